//! The caller's end: pausing, cancelling, dropping, detaching, waiting and watching.

use std::time::{Duration, Instant};

use bytehaul::{DownloadError, DownloadSpec, DownloadState, Downloader, ErrorKind};
use bytehaul_testkit::{Behaviour, Effect, Object};

use crate::common::{Bed, KIB, MIB, ended, eventually, received, until};

const LEN: u64 = 6 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

fn slow_bed() -> Bed {
    Bed::serving(&object().behaviour(Behaviour::new().total_rate(6 * MIB)))
}

async fn at_once(what: impl Future<Output = ()>) {
    let began = Instant::now();
    what.await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "took {:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_while_connecting_returns_at_once() {
    let silent = Behaviour::new().always(Effect::Hang);
    let bed = Bed::serving(&object().behaviour(silent));
    let spec = || bed.spec().read_timeout(Duration::from_secs(60));
    let handle = bed.start(spec());
    eventually("a request", || bed.server.requests().len() == 1).await;
    assert_eq!(handle.progress().state, DownloadState::Connecting);
    at_once(async { handle.cancel().await }).await;
    assert!(matches!(handle.wait().await, Err(DownloadError::Cancelled)));
    let handle = bed.start(spec());
    eventually("a request", || bed.server.requests().len() == 2).await;
    at_once(async { handle.pause().await }).await;
    assert!(matches!(handle.wait().await, Err(DownloadError::Paused)));
    eventually("no connection left", || bed.server.open_connections() == 0).await;
    assert_eq!(bed.names(), Vec::<String>::new(), "nothing had come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_while_waiting_for_a_retry_returns_at_once() {
    let later = Effect::status(503).retry_after(Duration::from_secs(60));
    let bed = Bed::serving(&object().behaviour(Behaviour::new().always(later)));
    let handle = bed.start(bed.spec());
    eventually("a request", || bed.server.requests().len() == 1).await;
    at_once(async { handle.cancel().await }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_in_the_middle_drops_the_requests_in_flight() {
    for cancel in [false, true] {
        let bed = slow_bed();
        let handle = bed.start(bed.spec().max_connections(8));
        received(&handle, MIB).await;
        at_once(async {
            if cancel {
                handle.cancel().await
            } else {
                handle.pause().await
            }
        })
        .await;
        let error = handle.wait().await.expect_err("stopped");
        assert_eq!(error.kind(), ErrorKind::Stopped);
        assert_eq!(error.code(), if cancel { 120 } else { 124 });
        eventually("no connection left", || bed.server.open_connections() == 0).await;
        bed.is_kept();
    }
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
async fn what_a_cancelled_download_left_can_be_used() {
    let bed = slow_bed();
    let handle = bed.start(bed.spec().max_connections(4));
    received(&handle, 2 * MIB).await;
    handle.cancel().await;
    bed.server.behave("/f", Behaviour::new());
    let outcome = bed.completes(bed.spec(), &object()).await;
    assert!(outcome.resumed_from >= 2 * MIB, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_stops_and_keeps() {
    let bed = slow_bed();
    let handle = bed.start(bed.spec().max_connections(4));
    let clone = handle.clone();
    received(&handle, MIB).await;
    drop(handle);
    received(&clone, 3 * MIB / 2).await;
    drop(clone);
    eventually("no connection left", || bed.server.open_connections() == 0).await;
    bed.is_kept();
    bed.server.behave("/f", Behaviour::new());
    // The lock goes when what had come is saved, which nobody was there to wait for.
    let deadline = Instant::now() + Duration::from_secs(5);
    let outcome = loop {
        match bed.fetch(bed.spec()).await {
            Err(error) if error.code() == 126 && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await
            }
            result => break result.expect("goes on"),
        }
    };
    bed.is_published(&object());
    assert!(outcome.resumed_from >= MIB, "{outcome:?}");
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
async fn a_detached_download_runs_on() {
    let bed = slow_bed();
    let handle = bed.start(bed.spec().max_connections(4));
    received(&handle, MIB).await;
    handle.detach();
    eventually("the file", || {
        bed.target().exists() && !bed.control().exists()
    })
    .await;
    bed.is_published(&object());
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_what_has_ended_changes_nothing() {
    let bed = Bed::serving(&object());
    let handle = bed.start(bed.spec());
    ended(&handle).await.expect("completes");
    at_once(async { handle.cancel().await }).await;
    at_once(async { handle.pause().await }).await;
    handle.wait().await.expect("still complete");
    assert_eq!(handle.progress().state, DownloadState::Completed);
    bed.is_published(&object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_before_the_first_poll_is_heard() {
    let bed = slow_bed();
    for _ in 0..20 {
        let handle = bed.start(bed.spec());
        drop(handle.cancel());
        let result = ended(&handle).await;
        assert!(
            matches!(result, Err(DownloadError::Cancelled)),
            "{result:?}"
        );
    }
    assert!(!bed.target().exists());
}

/// A runtime that goes down takes the download with it, and nobody waits for ever.
#[test]
fn a_runtime_that_goes_down_is_an_end() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let (inner, outer) = (runtime(), runtime());
    let bed = slow_bed();
    let handle = inner.block_on(async {
        let handle = bed.start(bed.spec().max_connections(4));
        received(&handle, MIB).await;
        handle
    });
    inner.shutdown_timeout(Duration::from_secs(5));
    let result = outer.block_on(ended(&handle));
    result.expect_err("not complete");
    bed.is_kept();
    bed.server.behave("/f", Behaviour::new());
    let fresh = Bed {
        downloader: crate::common::downloader(),
        ..bed
    };
    let outcome = outer.block_on(fresh.completes(fresh.spec(), &object()));
    assert!(outcome.resumed_from > 0, "{outcome:?}");
}

async fn rate_of(downloader: &Downloader, specs: Vec<DownloadSpec>) -> f64 {
    let began = Instant::now();
    let handles: Vec<_> = specs
        .into_iter()
        .map(|spec| downloader.download(spec))
        .collect();
    let mut bytes = 0;
    for handle in &handles {
        bytes += ended(handle).await.expect("completes").bytes;
    }
    bytes as f64 / began.elapsed().as_secs_f64()
}

fn is_about(rate: f64, expected: u64) {
    let expected = expected as f64;
    assert!(
        (expected * 0.8..expected * 1.2).contains(&rate),
        "{rate} a second instead of {expected}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_a_download_holds() {
    for connections in [1, 8] {
        let bed = Bed::serving(&object());
        let spec = bed
            .spec()
            .max_connections(connections)
            .max_download_speed(4 * MIB);
        is_about(rate_of(&bed.downloader, vec![spec]).await, 4 * MIB);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_over_all_downloads_holds() {
    let mut bed = Bed::new();
    bed.downloader = Downloader::builder()
        .max_download_speed(6 * MIB)
        .build()
        .expect("fine");
    let specs = (0..3)
        .map(|n| {
            let path = format!("/f{n}");
            bed.server.serve(&path, Object::random(n, 3 * MIB));
            bed.spec_of(&path).output_path(bed.path(&path[1..]))
        })
        .collect();
    is_about(rate_of(&bed.downloader, specs).await, 6 * MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_can_be_lifted_while_it_runs() {
    let mut bed = Bed::serving(&object());
    bed.downloader = Downloader::builder()
        .max_download_speed(200 * KIB)
        .build()
        .expect("fine");
    let handle = bed.start(bed.spec().max_connections(4));
    until(&handle, |progress| progress.received > 0).await;
    bed.downloader.set_max_download_speed(0);
    at_once(async { drop(ended(&handle).await.expect("completes")) }).await;
    bed.is_published(&object());
}
