//! What a watcher sees: counters that only grow, and one last snapshot that tells the end.

use std::time::Duration;

use bytehaul::DownloadState;
use bytehaul_testkit::{Behaviour, Effect, Object};

use crate::common::{Bed, MIB, ended, received};

const LEN: u64 = 6 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

fn slow_bed() -> Bed {
    Bed::serving(&object().behaviour(Behaviour::new().total_rate(6 * MIB)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_snapshot_of_a_pause_tells_what_the_next_run_finds() {
    for connections in [1, 8] {
        let bed = slow_bed();
        let handle = bed.start(bed.spec().max_connections(connections));
        received(&handle, 2 * MIB).await;
        handle.pause().await;
        let last = handle.progress();
        assert_eq!(last.state, DownloadState::Paused);
        assert_eq!(last.connections, 0);
        assert_eq!(last.total, Some(LEN));
        assert_eq!(
            last.durable, last.received,
            "a pause saves all that it says it has"
        );
        bed.server.behave("/f", Behaviour::new());
        let outcome = bed.completes(bed.spec(), &object()).await;
        assert_eq!(outcome.resumed_from, last.durable, "{last:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_does_not_keep_a_download_alive() {
    let bed = slow_bed();
    let handle = bed.start(bed.spec());
    let mut progress = handle.progress_stream();
    received(&handle, MIB).await;
    drop(handle);
    let mut last = None;
    while let Some(snapshot) = progress.next().await {
        last = Some(snapshot);
    }
    assert_eq!(
        last.map(|snapshot| snapshot.state),
        Some(DownloadState::Paused)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_monotone_and_ends_with_the_terminal_snapshot() {
    for connections in [1, 4] {
        let bed = slow_bed();
        let handle = bed.start(bed.spec().max_connections(connections));
        let mut stream = handle.progress_stream();
        let mut seen = Vec::new();
        while let Some(snapshot) = stream.next().await {
            seen.push(snapshot);
        }
        assert!(seen.len() >= 4, "{} snapshots in a second", seen.len());
        for pair in seen.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            assert!(before.received <= after.received, "{before:?} {after:?}");
            assert!(before.durable <= after.durable, "{before:?} {after:?}");
            assert!(before.elapsed <= after.elapsed && before.retries <= after.retries);
            assert!(!before.state.is_terminal());
        }
        for snapshot in &seen {
            assert!(
                snapshot.received <= LEN && snapshot.durable <= snapshot.received,
                "{snapshot:?}"
            );
            assert!(snapshot.connections <= connections, "{snapshot:?}");
            assert!(
                snapshot
                    .fraction()
                    .is_none_or(|fraction| (0.0..=1.0).contains(&fraction))
            );
        }
        let middle = seen
            .iter()
            .find(|snapshot| snapshot.received > LEN / 2)
            .expect("more than half");
        assert!(middle.rate > MIB && middle.eta.is_some(), "{middle:?}");
        let last = seen.last().expect("some");
        assert_eq!(
            (last.state, last.received, last.total),
            (DownloadState::Completed, LEN, Some(LEN))
        );
        assert_eq!((last.durable, last.connections), (LEN, 0));
        assert_eq!(last.path, Some(bed.target()));
        assert_eq!(handle.progress(), *last);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_terminal_snapshot_tells_how_it_ended() {
    let bed = slow_bed();
    bed.server.serve(
        "/gone",
        Object::empty().behaviour(Behaviour::new().always(Effect::status(410))),
    );
    let mut wrong = bed.spec();
    wrong.url = "not a url".into();
    for (spec, expected) in [
        (bed.spec_of("/gone"), DownloadState::Failed),
        (wrong, DownloadState::Failed),
        (bed.spec(), DownloadState::Completed),
    ] {
        let handle = bed.start(spec);
        let result = ended(&handle).await;
        assert_eq!(
            result.is_ok(),
            expected == DownloadState::Completed,
            "{result:?}"
        );
        assert_eq!(handle.progress().state, expected);
        let mut stream = handle.progress_stream();
        // Who comes late learns of the end as well, and does not wait for ever.
        let late = tokio::time::timeout(Duration::from_secs(1), stream.next()).await;
        assert!(late.is_ok(), "hangs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_who_waits_hears_the_same() {
    let bed = slow_bed();
    let handle = bed.start(bed.spec());
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move { handle.wait().await })
        })
        .collect();
    // A wait that is given up changes nothing.
    let _ = tokio::time::timeout(Duration::from_millis(20), handle.wait()).await;
    for waiter in waiting {
        let outcome = waiter.await.expect("no panic").expect("completes");
        assert_eq!(outcome.bytes, LEN);
    }
    assert_eq!(handle.wait().await.expect("still known").bytes, LEN);
}
