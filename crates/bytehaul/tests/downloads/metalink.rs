//! What a caller or a server says of a file beforehand holds: its size, the hashes of its pieces, and the digest beside its mirrors.

use bytehaul::{Algorithm, DownloadError, ErrorKind, FollowMetalink, PieceHashes};
use bytehaul_integrity::Hasher;
use bytehaul_testkit::{Behaviour, Effect, Object, When};

use crate::common::{Bed, MIB};

const LEN: u64 = 4 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_another_size_is_not_the_one() {
    let bed = Bed::serving(&object());
    let error = bed
        .fetch(bed.spec().expected_size(LEN + 1))
        .await
        .expect_err("another size");
    assert!(
        matches!(error, DownloadError::SizeMismatch { expected, actual, .. } if (expected, actual) == (LEN + 1, LEN)),
        "{error:?}"
    );
    assert_eq!((error.code(), error.kind()), (128, ErrorKind::Integrity));
    assert_eq!(bed.names(), Vec::<String>::new(), "nothing is left of it");
    bed.completes(bed.spec().expected_size(LEN), &object())
        .await;
}

/// The object with a mirror and a digest in its header fields, the digest of `of`.
fn with_mirror(of: &Object) -> Object {
    let digest = Hasher::digest(Algorithm::Sha256, &of.whole()).base64();
    object()
        .header("Link", "<http://127.0.0.1:9/f>; rel=duplicate; pri=1")
        .header("Repr-Digest", format!("sha-256=:{digest}:"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_beside_mirrors_is_verified() {
    let bed = Bed::serving(&with_mirror(&object()));
    let outcome = bed.completes(bed.spec(), &object()).await;
    assert_eq!(
        outcome.digest.expect("verified").algorithm(),
        Algorithm::Sha256
    );
    let bed = Bed::serving(&with_mirror(&Object::random(2, LEN)));
    let error = bed.fetch(bed.spec()).await.expect_err("another digest");
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
    let off = bed.spec().follow_metalink(FollowMetalink::Off);
    assert_eq!(bed.completes(off, &object()).await.digest, None);
}

/// The hashes of pieces of `length` bytes.
fn hashes(object: &Object, length: usize) -> PieceHashes {
    let whole = object.whole();
    let values = whole
        .chunks(length)
        .map(|piece| Hasher::digest(Algorithm::Sha256, piece).as_bytes().to_vec());
    PieceHashes::new(Algorithm::Sha256, length as u64, values).expect("hashes")
}

/// Not a divisor of anything.
const PIECE: usize = 300_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piece_that_was_wrong_is_fetched_again_alone() {
    // Over ranges, with one connection, and as one stream.
    for (connections, behaviour) in [
        (4, Behaviour::new()),
        (1, Behaviour::new()),
        (4, Behaviour::new().always(Effect::IgnoreRange)),
    ] {
        let wrong = behaviour.when(When::Requests(0..1), Effect::Flip(5));
        let bed = Bed::serving(&object().behaviour(wrong));
        let spec = bed
            .spec()
            .max_connections(connections)
            .piece_size(MIB)
            .piece_hashes(hashes(&object(), PIECE));
        let outcome = bed.completes(spec, &object()).await;
        assert!(outcome.fetched > LEN, "{outcome:?}");
    }
    // Where every byte can be asked for alone, only the piece comes again.
    let wrong = Behaviour::new().when(When::Requests(0..1), Effect::Flip(LEN / 2));
    let bed = Bed::serving(&object().behaviour(wrong));
    let spec = bed
        .spec()
        .max_connections(1)
        .piece_hashes(hashes(&object(), PIECE));
    let outcome = bed.completes(spec, &object()).await;
    // A request that still runs over it is begun again, and loses what is in its buffer.
    let again = outcome.fetched - LEN;
    assert!(
        (PIECE as u64..PIECE as u64 + MIB).contains(&again),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piece_that_is_always_wrong_is_named() {
    for connections in [1, 4] {
        let bed = Bed::serving(&object().flipped_at(PIECE as u64 + 5));
        let spec = bed
            .spec()
            .max_connections(connections)
            .piece_hashes(hashes(&object(), PIECE));
        let error = bed.fetch(spec).await.expect_err("one byte differs");
        let DownloadError::ChecksumMismatch { piece, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*piece, Some(PIECE as u64..2 * PIECE as u64));
        assert!(
            error.to_string().contains("bytes 300000-599999 of"),
            "{error}"
        );
        assert!(!bed.target().exists());
        let asked = bed.server.requests_for("/f").len();
        assert!(asked < 30, "{asked} requests");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_run_left_is_checked_too() {
    let bed = Bed::serving(&object());
    let left = bed.paused_at(bed.spec(), 2 * MIB, 4 * MIB).await;
    // The claim of the control file holds, since it was made of these bytes.
    bed.server.serve("/f", object());
    let spec = bed
        .spec()
        .piece_hashes(hashes(&object().flipped_at(0), PIECE));
    let error = bed.fetch(spec).await.expect_err("the first piece differs");
    assert!(
        matches!(&error, DownloadError::ChecksumMismatch { piece: Some(piece), .. } if piece.start == 0),
        "{error:?}"
    );
    let spec = bed.spec().piece_hashes(hashes(&object(), PIECE));
    let outcome = bed.completes(spec, &object()).await;
    assert!(outcome.resumed_from > 0 && left > 0, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashes_of_another_file_are_refused() {
    let bed = Bed::serving(&object());
    let other = hashes(&Object::random(3, 10 * MIB), PIECE);
    let error = bed
        .fetch(bed.spec().piece_hashes(other.clone()))
        .await
        .expect_err("not those of this file");
    assert_eq!(error.kind(), ErrorKind::Server, "{error:?}");
    let never = bed.spec().piece_hashes(other).expected_size(LEN);
    assert_eq!(
        never.validate().expect_err("at once").kind(),
        ErrorKind::Parameter
    );
}
