//! Calls of an application's own that go wrong in ways of their own: they panic, or never return.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use bytehaul::protocol::{
    Begun, BoxFuture, CallError, Custom, CustomUpload, PartData, PartReceipt, PartTaken,
    UploadContext,
};
use bytehaul::{ErrorKind, UploadSpec, UploadState, Uploader};
use bytes::Bytes;

/// A call of an upload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    Begin,
    Part,
    Commit,
    Abort,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Does {
    /// When it is called.
    Panics,
    /// When it is polled.
    PanicsLater,
    Hangs,
}

#[derive(Debug)]
struct Bad {
    which: Which,
    does: Does,
    /// How often it does so; after that all is well.
    times: AtomicU32,
    parallel: bool,
    called: Arc<AtomicU32>,
}

impl Bad {
    fn call<T: Send + 'static>(
        &self,
        which: Which,
        value: T,
    ) -> BoxFuture<'_, Result<T, CallError>> {
        let is_it = self.which == which;
        let is_bad = is_it && self.times.load(Relaxed) > 0;
        if is_it {
            self.called.fetch_add(1, Relaxed);
        }
        if is_bad {
            self.times.fetch_sub(1, Relaxed);
        }
        let does = is_bad.then_some(self.does);
        assert_ne!(does, Some(Does::Panics), "a fault of the application");
        Box::pin(async move {
            match does {
                Some(Does::Hangs) => std::future::pending().await,
                Some(_) => panic!("a fault of the application"),
                None => Ok(value),
            }
        })
    }
}

impl CustomUpload for Bad {
    fn name(&self) -> &str {
        "bad"
    }

    fn target(&self) -> String {
        "bad:".to_owned()
    }

    fn parallel(&self) -> bool {
        self.parallel
    }

    fn begin(&self, _: UploadContext) -> BoxFuture<'_, Result<Begun, CallError>> {
        self.call(Which::Begin, Begun::new().session("s"))
    }

    fn part(&self, _: UploadContext, _: PartData) -> BoxFuture<'_, Result<PartTaken, CallError>> {
        self.call(Which::Part, PartTaken::new())
    }

    fn commit(
        &self,
        _: UploadContext,
        _: Vec<PartReceipt>,
    ) -> BoxFuture<'_, Result<Option<Bytes>, CallError>> {
        self.call(Which::Commit, None)
    }

    fn abort(&self, _: UploadContext) -> BoxFuture<'_, Result<(), CallError>> {
        self.call(Which::Abort, ())
    }
}

/// An upload of three parts whose call is bad so many times, and how often that call was made.
fn bad(which: Which, does: Does, times: u32, parallel: bool) -> (UploadSpec, Arc<AtomicU32>) {
    let called = Arc::new(AtomicU32::new(0));
    let calls = Bad {
        which,
        does,
        times: AtomicU32::new(times),
        parallel,
        called: Arc::clone(&called),
    };
    let custom = Custom::new(calls).call_timeout(Duration::from_millis(50));
    let spec = UploadSpec::bytes("b", vec![7; 3000], custom)
        .part_size(1000)
        .max_retries(2)
        .max_begin_retries(2)
        .retry_base_delay(Duration::from_millis(1));
    (spec, called)
}

fn uploader() -> Uploader {
    Uploader::builder().proxy_from_env(false).build().unwrap()
}

#[tokio::test]
async fn a_panic_is_the_end_of_its_upload_alone() {
    let uploader = uploader();
    for parallel in [false, true] {
        for which in [Which::Begin, Which::Part, Which::Commit] {
            for does in [Does::Panics, Does::PanicsLater] {
                let (good, _) = bad(Which::Abort, Does::Panics, 1, parallel);
                let (spec, _) = bad(which, does, u32::MAX, parallel);
                let good = uploader.upload(good);
                let handle = uploader.upload(spec);
                let error = handle.wait().await.unwrap_err();
                let what = format!("{which:?} {does:?}");
                assert_eq!(
                    (error.code(), error.kind()),
                    (127, ErrorKind::Internal),
                    "{what}"
                );
                assert_eq!(handle.progress().state, UploadState::Failed, "{what}");
                good.wait().await.expect("the other upload goes on");
            }
        }
    }
}

/// Whoever cancels waits for the calls no longer than for a server.
#[tokio::test]
async fn a_panic_while_something_is_discarded_is_borne() {
    for does in [Does::Panics, Does::PanicsLater] {
        let (spec, called) = bad(Which::Abort, does, u32::MAX, false);
        let handle = uploader().upload(spec.max_upload_speed(100));
        let mut progress = handle.progress_watch();
        let is_sending = |state| matches!(state, UploadState::Sending);
        let began = progress.wait_for(|progress| is_sending(progress.state));
        began.await.unwrap();
        handle.cancel().await;
        assert_eq!(handle.wait().await.unwrap_err().code(), 120);
        assert_eq!(called.load(Relaxed), 1, "{does:?}");
    }
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_made_again() {
    for parallel in [false, true] {
        for which in [Which::Begin, Which::Part, Which::Commit] {
            let (spec, _) = bad(which, Does::Hangs, 2, parallel);
            let outcome = uploader()
                .upload(spec)
                .wait()
                .await
                .expect("the third call");
            assert!(outcome.retries >= 1, "{outcome:?}");
            let (spec, called) = bad(which, Does::Hangs, u32::MAX, parallel);
            let error = uploader().upload(spec).wait().await.unwrap_err();
            // It may have been carried out each time.
            let code = if which == Which::Commit { 130 } else { 106 };
            assert_eq!(error.code(), code, "{which:?}: {error:?}");
            assert!(called.load(Relaxed) >= 3, "{which:?}");
        }
    }
}
