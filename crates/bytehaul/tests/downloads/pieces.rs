//! Hashes of pieces beside several sources: whoever brought a wrong piece is out, and what comes instead is checked anew.

use bytehaul::{Algorithm, DownloadSpec, MirrorState, PieceHashes};
use bytehaul_integrity::Hasher;
use bytehaul_testkit::{Behaviour, Effect, Object, Server, When};

use crate::common::{Bed, MIB, ended, until};

const LEN: u64 = 24 * MIB;
const PIECE: usize = 256 << 10;

/// The file, and what a damaged disk makes of it: one wrong byte in each piece, under the same validators.
struct Versions {
    right: Object,
    wrong: Object,
}

impl Versions {
    fn new(seed: u64) -> Self {
        let right = Object::random(seed, LEN).whole();
        let mut wrong = right.clone();
        for byte in wrong.iter_mut().skip(99).step_by(PIECE) {
            *byte ^= 1;
        }
        let object = |bytes: Vec<u8>| Object::bytes(bytes).etag("\"one\"");
        Self {
            right: object(right),
            wrong: object(wrong),
        }
    }

    fn hashes(&self) -> PieceHashes {
        let whole = self.right.whole();
        let values = whole
            .chunks(PIECE)
            .map(|piece| Hasher::digest(Algorithm::Sha256, piece).as_bytes().to_vec());
        PieceHashes::new(Algorithm::Sha256, PIECE as u64, values).expect("hashes")
    }

    fn wrong(&self) -> Effect {
        Effect::Serve(Box::new(self.wrong.clone()))
    }
}

fn line(mib: u64) -> Behaviour {
    Behaviour::new().total_rate(mib * MIB)
}

/// A slow first server, a fast mirror with an `ETag` of its own, and a download from both with hashes of the pieces.
fn slow_and_fast(versions: &Versions) -> (Bed, Server, DownloadSpec) {
    let bed = Bed::serving(&versions.right.clone().behaviour(line(6)));
    let mirror = Server::spawn_thread();
    mirror.serve("/f", versions.right.clone().behaviour(line(24)));
    let spec = bed
        .spec()
        .mirror(mirror.url("/f"))
        .piece_hashes(versions.hashes());
    (bed, mirror, spec)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_brings_a_wrong_piece_is_out() {
    let versions = Versions::new(1);
    let (bed, mirror, spec) = slow_and_fast(&versions);
    let handle = bed.start(spec);
    until(&handle, |_| mirror.bytes_sent() > 7 * MIB).await;
    mirror.behave("/f", line(24).always(versions.wrong()));
    mirror.reset_connections();
    let before = handle.progress().received;
    // What it had delivered is missing again.
    until(&handle, |progress| progress.received < before - 3 * MIB).await;
    bed.server.behave("/f", line(48));
    bed.server.reset_connections();
    let outcome = ended(&handle).await.expect("the first has it");
    bed.is_published(&versions.right);
    let MirrorState::Quarantined { reason } = &outcome.mirrors[1].state else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("the hash of their piece"), "{reason}");
    assert_eq!(outcome.mirrors[0].state, MirrorState::Used);
    assert_eq!(outcome.restarts, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_instead_of_right_pieces_is_checked_as_well() {
    let versions = Versions::new(2);
    let (bed, mirror, spec) = slow_and_fast(&versions);
    let handle = bed.start(spec.max_connections(4));
    until(&handle, |_| mirror.bytes_sent() > 9 * MIB).await;
    mirror.behave("/f", line(24).always(versions.wrong()));
    mirror.reset_connections();
    let before = handle.progress().received;
    // Most of what is missing again was right, and had been found so. The first is wrong there now, once.
    until(&handle, |progress| progress.received < before - 4 * MIB).await;
    let once = When::Requests(bed.server.count("/f")..bed.server.count("/f") + 4);
    bed.server
        .behave("/f", line(48).when(once, versions.wrong()));
    bed.server.reset_connections();
    let outcome = ended(&handle).await.expect("right in the end");
    bed.is_published(&versions.right);
    // The mirror's share came twice, and of the first's wrong answers at least one piece.
    assert!(outcome.fetched > LEN + 4 * MIB, "{outcome:?}");
}
