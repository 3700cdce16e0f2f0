//! The caller's end: pausing, cancelling, dropping, detaching, waiting and watching.

use std::time::{Duration, Instant};

use bytehaul::{DownloadError, DownloadState, ErrorKind};
use bytehaul_testkit::{Behaviour, Effect, Object};

use crate::common::{Bed, MIB, at_once, ended, eventually, received};

const LEN: u64 = 6 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

fn slow_bed() -> Bed {
    Bed::serving(&object().behaviour(Behaviour::new().total_rate(6 * MIB)))
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
    bed.falls_silent().await;
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
                handle.cancel().await;
            } else {
                handle.pause().await;
            }
        })
        .await;
        let error = handle.wait().await.expect_err("stopped");
        assert_eq!(error.kind(), ErrorKind::Stopped);
        assert_eq!(error.code(), if cancel { 120 } else { 124 });
        bed.falls_silent().await;
        bed.is_kept();
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
    bed.falls_silent().await;
    bed.is_kept();
    bed.server.behave("/f", Behaviour::new());
    // The lock goes when what had come is saved, which nobody was there to wait for.
    let deadline = Instant::now() + Duration::from_secs(5);
    let outcome = loop {
        match bed.fetch(bed.spec()).await {
            Err(error) if error.code() == 126 && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            result => break result.expect("goes on"),
        }
    };
    bed.is_published(&object());
    assert!(outcome.resumed_from >= MIB, "{outcome:?}");
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
