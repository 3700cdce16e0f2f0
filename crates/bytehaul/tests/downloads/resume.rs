//! What a run leaves, the next one takes: whatever stopped it, and however the next one is set.

use std::time::Duration;

use bytehaul::{DownloadError, DownloadSpec, FileAllocation};
use bytehaul_testkit::{Behaviour, Effect, Object, Server, When};

use crate::common::{Bed, KIB, MIB, downloader, ended, eventually, received};

const LEN: u64 = 8 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

/// Pauses one way at 3 MiB and goes on another way: every byte right, none of those that were there fetched again.
async fn check(
    first: impl FnOnce(DownloadSpec) -> DownloadSpec,
    second: impl FnOnce(DownloadSpec) -> DownloadSpec,
) {
    let bed = Bed::serving(&object());
    let had = bed.paused_at(first(bed.spec()), 3 * MIB, 12 * MIB).await;
    let outcome = bed.completes(second(bed.spec()), &object()).await;
    assert!(
        outcome.resumed_from >= had,
        "{had} bytes were saved, {outcome:?}"
    );
    let missing = LEN - outcome.resumed_from;
    assert!(
        (missing..=missing + MIB).contains(&outcome.fetched),
        "{missing} bytes were missing, {} fetched",
        outcome.fetched
    );
    assert_eq!(outcome.restarts, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_with_eight_connections_resumed_with_one() {
    check(
        |spec| spec.max_connections(8).piece_size(256 * KIB),
        |spec| spec.max_connections(1).piece_size(256 * KIB),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_with_eight_connections_resumed_with_one_and_another_piece_size() {
    check(
        |spec| spec.max_connections(8).piece_size(192 * KIB),
        |spec| spec.max_connections(1).piece_size(MIB),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_with_one_connection_resumed_with_eight() {
    check(
        |spec| spec.max_connections(1).piece_size(MIB),
        |spec| spec.max_connections(8).piece_size(128 * KIB),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resumed_with_other_settings_of_everything() {
    check(
        |spec| {
            spec.max_connections(5)
                .file_allocation(FileAllocation::None)
        },
        |spec| {
            spec.max_connections(3)
                .min_split_size(64 * MIB)
                .memory_budget(64 * KIB)
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_again_and_again() {
    let bed = Bed::serving(&object());
    let mut had = 0;
    for connections in [8, 1, 3, 8] {
        let spec = bed.spec().max_connections(connections);
        let more = bed.paused_at(spec, 3 * MIB / 2, 8 * MIB).await;
        assert!(more > had, "{had} bytes, then {more}");
        had = more;
    }
    let outcome = bed
        .completes(bed.spec().max_connections(2), &object())
        .await;
    assert!(outcome.resumed_from >= had, "{had} were there: {outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_and_control_file_are_there_from_the_first_byte_on() {
    let stalls = Behaviour::new().always(Effect::StallAfter(1));
    let bed = Bed::serving(&object().behaviour(stalls));
    let handle = bed.start(bed.spec());
    eventually("part and control file", || {
        bed.part().exists() && bed.control().exists()
    })
    .await;
    bed.is_kept();
    handle.pause().await;
    bed.is_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_never_given_up_for_a_server_in_trouble() {
    let bed = Bed::serving(&object());
    let mut had = bed
        .paused_at(bed.spec().max_connections(4), 2 * MIB, 16 * MIB)
        .await;
    let troubles: [(&str, Effect); 8] = [
        ("503", Effect::status(503).into()),
        ("500", Effect::status(500).into()),
        ("429", Effect::status(429).into()),
        ("403", Effect::status(403).into()),
        ("404", Effect::status(404).into()),
        ("resets", Effect::ResetAfter(0)),
        ("no HTTP", Effect::Raw(b"SSH-2.0-dropbear\r\n".to_vec())),
        ("silence", Effect::Hang),
    ];
    for (name, effect) in troubles {
        bed.server.behave("/f", Behaviour::new().always(effect));
        let spec = bed
            .spec()
            .max_retries(1)
            .read_timeout(Duration::from_millis(200));
        let error = bed.fetch(spec).await.expect_err(name);
        assert!(
            !matches!(error, DownloadError::Internal { .. }),
            "{name}: {error}"
        );
        bed.is_kept();
        // A run that kept nothing of the ones before it would have no more than its own.
        let more = bed
            .paused_at(bed.spec().max_connections(2), 512 * KIB, 8 * MIB)
            .await;
        assert!(more >= had, "{name}: {had} bytes were there, then {more}");
        had = more;
    }
    bed.completes(bed.spec(), &object()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_costs_nothing() {
    let mut bed = Bed::serving(&object());
    let had = bed
        .paused_at(bed.spec().max_connections(4), 3 * MIB, 16 * MIB)
        .await;
    let port = bed.server.port();
    let url = bed.server.url("/f");
    bed.server = Server::spawn_thread();
    let spec = || bed.spec().max_retries(1);
    let mut down = spec();
    down.url = url;
    let error = bed
        .fetch(down.clone())
        .await
        .expect_err("nobody listens there");
    assert_eq!(error.code(), 106, "{error:?}");
    bed.is_kept();
    bed.server = Server::builder()
        .port(port)
        .spawn_thread()
        .expect("the port is free again");
    bed.server.serve("/f", object());
    let outcome = bed.completes(down, &object()).await;
    assert!(
        outcome.resumed_from >= had,
        "{had} bytes were there, {} used",
        outcome.resumed_from
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_while_the_resume_is_connecting_costs_nothing() {
    let bed = Bed::serving(&object());
    let had = bed
        .paused_at(bed.spec().max_connections(4), 3 * MIB, 16 * MIB)
        .await;
    bed.server
        .behave("/f", Behaviour::new().always(Effect::Hang));
    for cancel in [false, true] {
        bed.server.reset_log();
        let handle = bed.start(bed.spec());
        eventually("a request", || !bed.server.requests().is_empty()).await;
        if cancel {
            handle.cancel().await;
        } else {
            handle.pause().await;
        }
        ended(&handle).await.expect_err("stopped");
        bed.is_kept();
    }
    bed.server.behave("/f", Behaviour::new());
    let outcome = bed.completes(bed.spec(), &object()).await;
    assert!(
        outcome.resumed_from >= had,
        "{had} bytes were there, {} used",
        outcome.resumed_from
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_pieces_there_no_server_is_needed() {
    let mut bed = Bed::serving(&object());
    bed.server
        .behave("/f", Behaviour::new().total_rate(16 * MIB));
    let handle = bed.start(bed.spec().max_connections(4));
    received(&handle, MIB).await;
    // Somebody else takes the name, so that the whole file cannot be published.
    std::fs::write(bed.target(), "mine").expect("write");
    let error = ended(&handle).await.expect_err("the name is taken");
    assert_eq!(error.code(), 125, "{error:?}");
    assert_eq!(std::fs::read(bed.target()).expect("read"), b"mine");
    std::fs::remove_file(bed.target()).expect("remove");
    bed.is_kept();
    let spec = bed.spec();
    bed.server = Server::spawn_thread();
    let outcome = bed.completes(spec, &object()).await;
    assert_eq!((outcome.resumed_from, outcome.fetched), (LEN, 0));
    assert!(outcome.length_verified);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_can_be_declined() {
    let bed = Bed::serving(&object());
    bed.paused_at(bed.spec().max_connections(4), 3 * MIB, 16 * MIB)
        .await;
    let outcome = bed.completes(bed.spec().resume(false), &object()).await;
    assert_eq!(outcome.resumed_from, 0);
    assert!(outcome.fetched >= LEN, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_can_follow_a_pause_at_once() {
    let bed = Bed::serving(&object().behaviour(Behaviour::new().total_rate(8 * MIB)));
    let mut had = 0;
    for _ in 0..8 {
        let handle = bed.start(bed.spec().max_connections(8));
        received(&handle, had + 128 * KIB).await;
        handle.pause().await;
        let ended = handle.wait().await;
        assert!(matches!(ended, Err(DownloadError::Paused)), "{ended:?}");
        had = handle.progress().received;
    }
    bed.server.behave("/f", Behaviour::new());
    let outcome = bed.completes(bed.spec(), &object()).await;
    assert!(
        outcome.resumed_from >= had,
        "{had} bytes were there, {} used",
        outcome.resumed_from
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_length_of_a_finished_file_is_asked_for_only_once() {
    // The last byte is missing when the stream breaks off; what is asked for then is that byte alone.
    let short = Behaviour::new().when(When::Requests(0..1), Effect::TruncateAfter(LEN - 1));
    let bed = Bed::serving(&object().behaviour(short));
    let outcome = bed
        .completes(bed.spec().max_connections(1), &object())
        .await;
    assert_eq!(outcome.fetched, LEN);
    assert_eq!(bed.server.requests().len(), 2);
}

/// Two processes would not share this, so it is tested with a downloader of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_downloader_goes_on_as_well() {
    let bed = Bed::serving(&object());
    let had = bed
        .paused_at(bed.spec().max_connections(8), 2 * MIB, 16 * MIB)
        .await;
    let other = downloader().download(bed.spec());
    let outcome = ended(&other).await.expect("completes");
    assert!(
        outcome.resumed_from >= had,
        "{had} bytes were there, {} used",
        outcome.resumed_from
    );
    bed.is_published(&object());
}
