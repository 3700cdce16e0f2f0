//! Several sources for one file: used together, proven first, watched while they deliver, and named when they lie.

use std::time::Duration;

use bytehaul::{Algorithm, DownloadSpec, Evidence, MirrorState, Outcome, PieceHashes};
use bytehaul_integrity::Hasher;
use bytehaul_testkit::{Behaviour, Effect, Excess, Object, Server, When};

use crate::common::{Bed, MIB};

/// Long enough for mirrors to be worth their proof.
const LEN: u64 = 40 * MIB;

/// The first server of the bed and further ones, each at 4 to 6 MiB/s.
struct Several {
    bed: Bed,
    others: Vec<Server>,
}

impl Several {
    /// `first` at the bed's server, and each of `others` at a server of its own.
    fn new(first: &Object, others: &[Object]) -> Self {
        let bed = Bed::serving(&paced(first));
        let serve = |object: &Object| {
            let server = Server::spawn_thread();
            server.serve("/f", paced(object));
            server
        };
        let others = others.iter().map(serve).collect();
        Self { bed, others }
    }

    fn spec(&self) -> DownloadSpec {
        let mirrors = self.others.iter().map(|server| server.url("/f"));
        mirrors.fold(self.bed.spec(), DownloadSpec::mirror)
    }
}

/// So slow that every source is needed.
fn paced(object: &Object) -> Object {
    object.clone().behaviour(slow())
}

fn slow() -> Behaviour {
    Behaviour::new().total_rate(12 * MIB)
}

/// The same bytes, as another server would describe them.
fn copy(of: u64) -> Object {
    Object::random(of, LEN).etag(format!("\"copy-{of}\""))
}

/// A copy of which one byte in each MiB from `from` on is wrong.
fn damaged(of: u64, from: u64) -> Object {
    let mut bytes = bytes(of);
    for at in (from + 4_321..LEN).step_by(1 << 20) {
        bytes[usize::try_from(at).expect("small")] ^= 0x20;
    }
    Object::bytes(bytes).etag(format!("\"copy-{of}\""))
}

fn bytes(of: u64) -> Vec<u8> {
    Object::random(of, LEN).whole()
}

fn states(outcome: &Outcome) -> Vec<&'static str> {
    let state = |state: &MirrorState| match state {
        MirrorState::Unused => "unused",
        MirrorState::Used => "used",
        MirrorState::Dropped { .. } => "dropped",
        MirrorState::Quarantined { .. } => "quarantined",
        _ => "unknown",
    };
    outcome.mirrors.iter().map(|m| state(&m.state)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sources_deliver_at_the_same_time() {
    let file = Object::random(1, LEN);
    let several = Several::new(&file, &[copy(1), copy(1)]);
    // One alone would take many times as long as the others need to be found, proven and asked.
    let others = several.others.iter();
    let all: Vec<_> = [&several.bed.server].into_iter().chain(others).collect();
    let pace = |server: &Server| {
        server.behave("/f", Behaviour::new().total_rate(4 * MIB));
    };
    all.iter().for_each(|server| pace(server));
    let handle = several.bed.start(several.spec());
    crate::common::until(&handle, |_| all.iter().all(|it| it.bytes_sent() > 3 * MIB)).await;
    // Each of them goes on while the others do.
    let before: Vec<_> = all.iter().map(|server| server.bytes_sent()).collect();
    let grows = |(server, before): (&&Server, &u64)| server.bytes_sent() > *before;
    crate::common::until(&handle, |_| all.iter().zip(&before).all(grows)).await;
    let received = handle.progress().received;
    assert!(
        received < LEN,
        "{received}: they had nothing to do any more"
    );
    let outcome = crate::common::ended(&handle)
        .await
        .expect("the file is there");
    several.bed.is_published(&file);
    assert_eq!(states(&outcome), ["used", "used", "used"], "{outcome:?}");
    assert!(outcome.mirrors.iter().all(|m| m.bytes > MIB), "{outcome:?}");
    assert_eq!(outcome.evidence, Evidence::Samples);
    // Samples of all three for the proofs, and what came last from each mirror with what the first has there.
    assert!(
        outcome.fetched < LEN + 3 * 3 * MIB / 2 + 2 * 5 * MIB / 2,
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_flips_a_byte_in_each_mib_is_never_used() {
    let file = Object::random(2, LEN);
    let several = Several::new(&file, &[damaged(2, 0), copy(2)]);
    let outcome = several.bed.completes(several.spec(), &file).await;
    assert_eq!(
        states(&outcome),
        ["used", "quarantined", "used"],
        "{outcome:?}"
    );
    assert_eq!(outcome.mirrors[1].bytes, 0);
    assert_eq!(
        outcome.mirrors[1].url.to_string(),
        several.others[0].url("/f")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_begins_to_flip_later_is_found_and_replaced() {
    let file = Object::random(3, LEN);
    let several = Several::new(&file, &[copy(3), copy(3)]);
    // The samples of the proof are right, and so may be a little of what follows.
    let wrong = Effect::Serve(Box::new(damaged(3, 0)));
    several.others[0].behave("/f", slow().when(When::From(8), wrong));
    let handle = several.bed.start(several.spec());
    crate::common::until(&handle, |_| several.others[0].bytes_sent() > 4 * MIB).await;
    several.others[0].reset_connections();
    let outcome = crate::common::ended(&handle)
        .await
        .expect("the file is there");
    several.bed.is_published(&file);
    assert_eq!(
        states(&outcome),
        ["used", "quarantined", "used"],
        "{outcome:?}"
    );
    assert!(outcome.mirrors[1].bytes > 0, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_length_another_version_and_no_file_are_not_used() {
    let file = Object::random(4, LEN);
    let longer = Object::random(4, LEN + 1);
    let several = Several::new(&file, &[longer, Object::random(5, LEN), copy(4)]);
    several.others[2].remove("/f");
    let outcome = several.bed.completes(several.spec(), &file).await;
    let expected = ["used", "quarantined", "quarantined", "dropped"];
    assert_eq!(states(&outcome), expected, "{outcome:?}");
    let reason = |at: usize| format!("{:?}", outcome.mirrors[at].state);
    assert!(reason(1).contains("length"), "{}", reason(1));
    assert!(reason(2).contains("bytes"), "{}", reason(2));
    assert!(reason(3).contains("404"), "{}", reason(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_not_there_and_one_that_dies_do_not_matter() {
    let file = Object::random(6, LEN);
    let several = Several::new(&file, &[copy(6), copy(6)]);
    let nobody = Server::spawn_thread();
    let url = nobody.url("/f");
    drop(nobody);
    let handle = several.bed.start(several.spec().mirror(url));
    crate::common::until(&handle, |_| several.others[0].bytes_sent() > 4 * MIB).await;
    let dead = Behaviour::new().always(Effect::status(404));
    several.others[0].behave("/f", dead);
    several.others[0].reset_connections();
    let outcome = crate::common::ended(&handle)
        .await
        .expect("the file is there");
    several.bed.is_published(&file);
    assert_eq!(
        states(&outcome),
        ["used", "dropped", "used", "dropped"],
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_may_die_on_the_way() {
    let file = Object::random(7, LEN);
    let several = Several::new(&file, &[copy(7)]);
    let handle = several.bed.start(several.spec());
    crate::common::until(&handle, |_| several.others[0].bytes_sent() > 4 * MIB).await;
    several
        .bed
        .server
        .behave("/f", Behaviour::new().always(Effect::status(404)));
    several.bed.server.reset_connections();
    let outcome = crate::common::ended(&handle)
        .await
        .expect("the file is there");
    several.bed.is_published(&file);
    // It may not have been asked again.
    assert_eq!(states(&outcome)[1], "used", "{outcome:?}");
    assert!(several.others[0].bytes_sent() > 8 * MIB, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_one_does_not_hold_the_end() {
    let file = Object::random(8, LEN);
    let several = Several::new(&file, &[copy(8)]);
    several.others[0].behave("/f", Behaviour::new().total_rate(MIB));
    let outcome = several.bed.completes(several.spec(), &file).await;
    // The first alone takes LEN / 12 MiB/s.
    assert!(
        outcome.elapsed < Duration::from_millis(5_500),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_etag_at_the_same_origin_is_proof_enough() {
    let file = Object::random(9, LEN);
    let bed = Bed::serving(&paced(&file));
    bed.server.serve("/g", paced(&file));
    let spec = bed.spec().mirror(bed.server.url("/g"));
    let outcome = bed.completes(spec, &file).await;
    assert_eq!(states(&outcome), ["used", "used"], "{outcome:?}");
    assert_eq!(outcome.evidence, Evidence::StrongEtag);
    // One sample, for the head of its answer, and the last comparison.
    assert!(outcome.fetched <= LEN + 4 * MIB, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_without_ranges_is_dropped() {
    let file = Object::random(10, LEN);
    let several = Several::new(&file, &[copy(10)]);
    several.others[0].behave("/f", slow().when(When::Always, Effect::IgnoreRange));
    let outcome = several.bed.completes(several.spec(), &file).await;
    assert_eq!(states(&outcome), ["used", "dropped"], "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_takes_the_place_of_a_first_that_is_not_there() {
    let file = Object::random(11, 2 * MIB);
    for status in [404, 403, 503] {
        let several = Several::new(&file, std::slice::from_ref(&file));
        let refuses = Behaviour::new().always(Effect::status(status));
        several.bed.server.behave("/f", refuses);
        let outcome = several.bed.completes(several.spec(), &file).await;
        assert_eq!(states(&outcome), ["dropped", "used"], "{outcome:?}");
        assert!(several.bed.server.requests().len() <= 2, "not waited for");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_source_the_first_is_what_is_reported() {
    let file = Object::random(12, 2 * MIB);
    let several = Several::new(&file, std::slice::from_ref(&file));
    several.bed.server.remove("/f");
    several.others[0].behave("/f", Behaviour::new().always(Effect::status(403)));
    let error = several
        .bed
        .fetch(several.spec())
        .await
        .expect_err("no file");
    assert_eq!(
        error.status().map(|status| status.as_u16()),
        Some(404),
        "{error:?}"
    );
    assert!(several.bed.names().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_file_whose_source_dies_is_gone_on_with_from_a_mirror() {
    let len = 12 * MIB;
    let file = Object::random(13, len);
    let several = Several::new(&file, &[file.clone().etag("\"another\"")]);
    several
        .bed
        .server
        .behave("/f", Behaviour::new().total_rate(4 * MIB));
    let handle = several.bed.start(several.spec());
    crate::common::received(&handle, 5 * MIB).await;
    several.bed.server.remove("/f");
    several.bed.server.reset_connections();
    let outcome = crate::common::ended(&handle)
        .await
        .expect("a mirror has it");
    several.bed.is_published(&file);
    assert_eq!(states(&outcome), ["dropped", "used"], "{outcome:?}");
    assert!(outcome.resumed_from >= 4 * MIB, "{outcome:?}");
    assert!(several.others[0].bytes_sent() < len, "gone on with");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_of_something_else_does_not_cost_what_is_there() {
    let file = Object::random(14, 12 * MIB);
    let stranger = Object::random(15, 12 * MIB);
    let several = Several::new(&file, &[stranger, file.clone().etag("\"another\"")]);
    several
        .bed
        .server
        .behave("/f", Behaviour::new().total_rate(4 * MIB));
    let handle = several.bed.start(several.spec());
    crate::common::received(&handle, 5 * MIB).await;
    several.bed.server.remove("/f");
    several.bed.server.reset_connections();
    let outcome = crate::common::ended(&handle)
        .await
        .expect("a mirror has it");
    several.bed.is_published(&file);
    assert_eq!(
        states(&outcome),
        ["dropped", "quarantined", "used"],
        "{outcome:?}"
    );
    assert!(outcome.resumed_from >= 4 * MIB, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_match_the_checksum_is_fetched_from_the_first_alone() {
    let file = Object::random(16, LEN);
    // Proven by its samples, and with a checksum nothing is looked at until the end.
    let several = Several::new(&file, &[copy(16), copy(16)]);
    let wrong = Effect::Serve(Box::new(damaged(16, 0)));
    several.others[0].behave("/f", slow().when(When::From(7), wrong));
    let digest = Hasher::digest(Algorithm::Sha256, &bytes(16));
    let checksum = bytehaul::Checksum::Sha256(digest.hex());
    let spec = several.spec().checksum(checksum);
    let outcome = several.bed.completes(spec, &file).await;
    assert_eq!(outcome.digest, Some(digest));
    assert_eq!(
        states(&outcome),
        ["used", "quarantined", "used"],
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_and_other_mirrors_later_lose_nothing() {
    let file = Object::random(17, LEN);
    let several = Several::new(&file, &[copy(17), copy(17)]);
    let handle = several.bed.start(several.spec());
    crate::common::received(&handle, 20 * MIB).await;
    handle.pause().await;
    let left = handle.progress().durable;
    assert!(left >= 10 * MIB, "{left}");
    // The first is gone, and so is one of the mirrors.
    several.bed.server.remove("/f");
    let spec = several.bed.spec().mirror(several.others[1].url("/f"));
    let outcome = several.bed.completes(spec, &file).await;
    assert_eq!(outcome.resumed_from, left, "{outcome:?}");
    assert_eq!(states(&outcome), ["dropped", "used"], "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_begins_at_the_first_source_that_answers() {
    let file = Object::random(18, 2 * MIB);
    let several = Several::new(&file, std::slice::from_ref(&file));
    several.bed.server.remove("/f");
    let mut stream = several.bed.downloader.stream(several.spec());
    let mut got = Vec::new();
    while let Some(chunk) = stream.next().await {
        got.extend_from_slice(&chunk.expect("the mirror has it"));
    }
    assert!(got == file.whole());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_downloads_share_a_host_that_stands_two_connections() {
    let bed = Bed::new();
    let files: Vec<_> = (0..16)
        .map(|at| Object::random(100 + at, MIB / 2))
        .collect();
    for (at, file) in files.iter().enumerate() {
        let line = Behaviour::new().total_rate(8 * MIB);
        bed.server
            .serve(format!("/{at}"), file.clone().behaviour(line));
    }
    bed.server.limit_connections(Some((2, Excess::Reset)));
    let specs = (0..files.len()).map(|at| {
        let spec = bed.spec_of(&format!("/{at}"));
        spec.output_path(bed.path(&format!("{at}.bin")))
            .max_retries(1)
    });
    // Each with a pool of its own, so that no connection is left to another.
    let downloads: Vec<_> = specs
        .map(|spec| crate::common::downloader().download(spec))
        .collect();
    for (at, handle) in downloads.iter().enumerate() {
        let outcome = crate::common::ended(handle)
            .await
            .expect("everybody gets a turn");
        bytehaul_testkit::check_file(bed.path(&format!("{at}.bin")), &files[at]).expect("right");
        assert_eq!(outcome.fetched, MIB / 2, "no byte is lost");
    }
    let dialled = bed.server.connections();
    assert!(
        dialled <= 16 + 16 + 8,
        "{dialled} connections for sixteen files"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn naming_the_digest_of_the_file_is_no_proof_without_a_checksum() {
    let file = Object::random(40, LEN);
    let digest = Hasher::digest(Algorithm::Sha256, &bytes(40));
    let field = format!("sha-256=:{}:", digest.base64());
    let claims = |object: &Object| object.clone().header("repr-digest", &field);
    let several = Several::new(&claims(&file), &[claims(&Object::random(41, LEN))]);
    let outcome = several.bed.completes(several.spec(), &file).await;
    assert_eq!(states(&outcome), ["used", "quarantined"], "{outcome:?}");
    assert_eq!(outcome.mirrors[1].bytes, 0, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_damages_a_little_of_each_piece_does_not_fail_the_download() {
    let file = Object::random(43, LEN);
    let several = Several::new(&file, &[copy(43)]);
    several
        .bed
        .server
        .behave("/f", Behaviour::new().total_rate(4 * MIB));
    // Never a whole piece, and fast, so that it is asked for more and more.
    let wrong = Effect::Serve(Box::new(damaged(43, 0)));
    let evil = Behaviour::new()
        .when(When::From(7), wrong)
        .when(When::From(7), Effect::ResetAfter(3 * MIB / 2));
    several.others[0].behave("/f", evil);
    let whole = bytes(43);
    let hashes = whole
        .chunks(2 << 20)
        .map(|piece| Hasher::digest(Algorithm::Sha256, piece).as_bytes().to_vec());
    let pieces = PieceHashes::new(Algorithm::Sha256, 2 * MIB, hashes).expect("hashes");
    let outcome = several
        .bed
        .completes(several.spec().piece_hashes(pieces), &file)
        .await;
    assert_ne!(states(&outcome)[1], "used", "{outcome:?}");
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_that_is_busy_is_asked_again_before_bytes_of_others_count() {
    let file = Object::random(42, LEN);
    let several = Several::new(&file, &[copy(42)]);
    let wrong = Effect::Serve(Box::new(damaged(42, 0)));
    several.others[0].behave("/f", slow().when(When::From(8), wrong));
    let handle = several.bed.start(several.spec().max_retries(50));
    crate::common::until(&handle, |_| several.others[0].bytes_sent() > 4 * MIB).await;
    let busy = Behaviour::new().always(Effect::status(503));
    several.bed.server.behave("/f", busy);
    several.bed.server.reset_connections();
    several.others[0].reset_connections();
    crate::common::received(&handle, LEN).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    several.bed.server.behave("/f", slow());
    let outcome = crate::common::ended(&handle)
        .await
        .expect("the file is there");
    assert_eq!(states(&outcome), ["used", "quarantined"], "{outcome:?}");
    several.bed.is_published(&file);
}
