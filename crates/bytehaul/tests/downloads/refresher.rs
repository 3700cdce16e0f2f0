//! URLs and tokens that expire while a download runs, and a refresher that has new ones, wrong ones, or none.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytehaul::{
    Auth, DownloadError, ErrorKind, OnRemoteChange, RefreshReason, Refreshed, refresh_fn,
};
use bytehaul_testkit::{Behaviour, Effect, Object};

use crate::common::{Bed, MIB, at_once, eventually};

const LEN: u64 = 24 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

/// A bed whose `/f` refuses with `status` from the request of this number on, and whose `/new` does not.
fn expiring(from: u64, status: u16) -> Bed {
    let bed = Bed::new();
    let expires = Behaviour::new().rate(4 * MIB).when(
        bytehaul_testkit::When::From(from),
        Effect::status(status).body("expired"),
    );
    bed.server.serve("/f", object().behaviour(expires));
    let fast = Behaviour::new().rate(16 * MIB);
    bed.server.serve("/new", object().behaviour(fast));
    bed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expires_is_renewed_once_for_all_connections() {
    for status in [401, 403, 410] {
        let bed = expiring(3, status);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, new) = (Arc::clone(&asked), bed.server.url("/new?token=hunter2"));
        let refresher = refresh_fn(move |request| {
            seen.lock().unwrap().push(request);
            let new = new.clone();
            async move {
                // Long enough for every other connection to be refused as well.
                tokio::time::sleep(Duration::from_millis(300)).await;
                Ok(Refreshed::new().url(new))
            }
        });
        let spec = bed.spec().max_connections(8).refresher(refresher);
        let outcome = bed.completes(spec, &object()).await;
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 1, "{status}: {asked:?}");
        let reason = RefreshReason::Status(http::StatusCode::from_u16(status).unwrap());
        assert_eq!(asked[0].reason, reason);
        assert_eq!(outcome.restarts, 0, "{status}");
        assert!(outcome.fetched <= LEN + MIB, "{status}: {outcome:?}");
        assert!(bed.server.count("/new") > 0);
        let shown = format!("{outcome:?}");
        assert!(shown.contains("/new?token=") && !shown.contains("hunter2"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_file_at_the_new_url_is_never_mixed_with_the_old() {
    let other = Object::random(2, LEN);
    let moved = |bed: &Bed| {
        let new = bed.server.url("/new");
        refresh_fn(move |_| std::future::ready(Ok(Refreshed::new().url(new.clone()))))
    };
    let bed = expiring(2, 403);
    bed.server.serve("/new", other.clone());
    let spec = bed.spec().max_connections(4).refresher(moved(&bed));
    let strict = spec.clone().on_remote_change(OnRemoteChange::Fail);
    let error = bed.fetch(strict).await.expect_err("another file");
    assert_eq!(error.kind(), ErrorKind::RemoteChanged, "{error:?}");
    bed.is_kept();

    let bed = expiring(2, 403);
    bed.server.serve("/new", other.clone());
    let spec = bed.spec().max_connections(4).refresher(moved(&bed));
    let outcome = bed.completes(spec, &other).await;
    assert_eq!(outcome.restarts, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_renewed_url_left_behind_is_resumed_by_the_old_one() {
    let bed = expiring(1, 403);
    let slow = Behaviour::new().total_rate(8 * MIB);
    bed.server.serve("/new", object().behaviour(slow));
    let new = bed.server.url("/new");
    let refresher = refresh_fn(move |_| std::future::ready(Ok(Refreshed::new().url(new.clone()))));
    let handle = bed.start(bed.spec().max_connections(2).refresher(refresher));
    eventually("some bytes of the new URL", || {
        bed.server.count("/new") > 0 && handle.progress().received > 3 * MIB
    })
    .await;
    handle.pause().await;
    bed.is_kept();
    bed.server.serve("/f", object());
    let outcome = bed.completes(bed.spec(), &object()).await;
    assert!(outcome.resumed_from > 0, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresher_that_fails_ends_the_download_with_its_reason() {
    let bed = expiring(2, 401);
    let refresher = refresh_fn(|_| std::future::ready(Err("the account is closed".into())));
    let spec = bed.spec().max_connections(4).refresher(refresher);
    let error = bed.fetch(spec).await.expect_err("no new token");
    assert!(matches!(error, DownloadError::Refresh { .. }), "{error:?}");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Server, 129));
    let cause = std::error::Error::source(&error).expect("a cause");
    assert_eq!(cause.to_string(), "the account is closed");
    assert!(bed.server.requests().len() <= 8, "no storm");
    bed.is_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_refresher_gives_has_to_be_usable() {
    let bed = expiring(0, 403);
    let refresher =
        refresh_fn(|_| std::future::ready(Ok(Refreshed::new().url("ftp://a:hunter2@b"))));
    let error = bed.fetch(bed.spec().refresher(refresher)).await;
    let error = error.expect_err("no URL to download");
    let cause = std::error::Error::source(&error).expect("a cause");
    assert!(cause.to_string().contains("ftp is not http"), "{cause}");
    assert!(!format!("{error:?} {cause}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresher_that_panics_fails_its_own_download_alone() {
    let bed = expiring(0, 403);
    async fn panics() -> Result<Refreshed, bytehaul::RefreshError> {
        panic!("a bug of the application")
    }
    let spec = bed.spec().refresher(refresh_fn(|_| panics()));
    let error = bed.fetch(spec).await.expect_err("no new token");
    let cause = std::error::Error::source(&error).expect("a cause");
    assert_eq!(cause.to_string(), "the refresher panicked");
    bed.completes(bed.spec_of("/new"), &object()).await;
}

/// Set when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresher_that_hangs_can_be_cancelled() {
    let bed = expiring(0, 403);
    let (called, dropped) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (begun, ended) = (Arc::clone(&called), Arc::clone(&dropped));
    let refresher = refresh_fn(move |_| {
        begun.store(true, Ordering::SeqCst);
        let guard = Dropped(Arc::clone(&ended));
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    });
    let handle = bed.start(bed.spec().refresher(refresher));
    eventually("asked", || called.load(Ordering::SeqCst)).await;
    at_once(async {
        handle.cancel();
        let ended = handle.wait().await;
        assert!(matches!(ended, Err(DownloadError::Cancelled)), "{ended:?}");
    })
    .await;
    eventually("the refresher is dropped", || {
        dropped.load(Ordering::SeqCst)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_credentials_that_do_not_help_are_asked_for_only_so_often() {
    let bed = expiring(0, 401);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let refresher = refresh_fn(move |_| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(Refreshed::new().auth(Auth::bearer(format!("t{n}")))))
    });
    let spec = bed.spec().auth(Auth::bearer("first")).refresher(refresher);
    let error = bed.fetch(spec).await.expect_err("refused");
    assert_eq!(error.status().map(|status| status.as_u16()), Some(401));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let sent: Vec<_> = bed
        .server
        .requests()
        .iter()
        .map(|request| {
            request
                .header("authorization")
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert_eq!(
        sent,
        ["Bearer first", "Bearer t0", "Bearer t1", "Bearer t2"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_expired_is_not_even_tried() {
    let bed = expiring(99, 403);
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&reasons);
    let refresher = refresh_fn(move |request| {
        seen.lock().unwrap().push(request.reason);
        std::future::ready(Ok(Refreshed::new().auth(Auth::bearer("new"))))
    });
    let spec = bed
        .spec()
        .auth(Auth::bearer("old"))
        .expires_at(SystemTime::now() - Duration::from_secs(1))
        .refresher(refresher);
    bed.completes(spec, &object()).await;
    assert_eq!(*reasons.lock().unwrap(), [RefreshReason::Expiring]);
    for request in bed.server.requests() {
        assert_eq!(request.header("authorization"), Some("Bearer new"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresher_that_fails_ahead_of_time_is_no_failure() {
    let bed = expiring(99, 403);
    let refresher = refresh_fn(|_| std::future::ready(Err("not now".into())));
    let spec = bed
        .spec()
        .expires_at(SystemTime::now() - Duration::from_secs(1))
        .refresher(refresher);
    bed.completes(spec, &object()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_credentials_go_to_their_origin_alone() {
    let (bed, other) = crate::redirects::elsewhere();
    let refused = Effect::status(401);
    bed.server.behave(
        "/r",
        Behaviour::new()
            .always(Effect::redirect(other.url("/f")))
            .when(bytehaul_testkit::When::Requests(0..1), refused),
    );
    let refresher = refresh_fn(|_| {
        let refreshed = Refreshed::new()
            .auth(Auth::bearer("hunter2"))
            .header("X-Api-Key", "hunter2");
        std::future::ready(Ok(refreshed))
    });
    let small = Object::random(1, 6 * MIB);
    let spec = bed.spec_of("/r").max_connections(4).refresher(refresher);
    bed.completes(spec, &small).await;
    let asked = bed.server.requests();
    assert_eq!(asked[1].header("authorization"), Some("Bearer hunter2"));
    assert_eq!(asked[1].header("x-api-key"), Some("hunter2"));
    assert!(!other.requests().is_empty());
    for request in other.requests() {
        let leaked = request
            .headers
            .iter()
            .find(|(_, value)| value.contains("hunter2"));
        assert_eq!(leaked, None);
    }
}
