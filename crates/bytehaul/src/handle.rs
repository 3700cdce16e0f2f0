//! The caller's end of a running download: watch it, stop it, wait for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;

use crate::control::{Control, Stop, Wishes, channels};
use crate::error::DownloadError;
use crate::outcome::Outcome;
use crate::progress::{DownloadState, ProgressSnapshot, ProgressStream};

/// A running download. Cheap to clone; every clone controls the same download.
///
/// Dropping the last handle stops the download as [`pause`](Self::pause) does, keeping what has arrived;
/// [`detach`](Self::detach) lets it run on without one.
#[derive(Clone)]
pub struct DownloadHandle {
    inner: Arc<Wishes<ProgressSnapshot, Ended>>,
}

type Ended = Result<Outcome, DownloadError>;

impl DownloadHandle {
    pub(crate) fn new() -> (Self, Control<ProgressSnapshot, Ended>) {
        let (wishes, control) = channels();
        (
            Self {
                inner: Arc::new(wishes),
            },
            control,
        )
    }

    /// The latest look at the download; refreshed about ten times a second.
    pub fn progress(&self) -> ProgressSnapshot {
        self.inner.progress()
    }

    /// Snapshots as they come, about ten a second, ending with the terminal one.
    pub fn progress_stream(&self) -> ProgressStream {
        ProgressStream::new(self.inner.progress_watch(), |snapshot| {
            snapshot.state.is_terminal()
        })
    }

    /// The same snapshots as a [`watch::Receiver`], for `select!` loops.
    pub fn progress_watch(&self) -> watch::Receiver<ProgressSnapshot> {
        self.inner.progress_watch()
    }

    /// Asks the download to stop and to keep what it has. Requests in flight are dropped at once.
    ///
    /// It is asked when this is called; awaiting the returned value waits until everything that had arrived is
    /// synced and recorded. [`wait`](Self::wait) then returns [`DownloadError::Paused`]. Downloading the same
    /// spec again goes on from there, at once.
    pub fn pause(&self) -> Stopping {
        self.ask(Stop::Pause)
    }

    /// Asks the download to stop for good. Requests in flight are dropped at once.
    ///
    /// What has arrived stays beside the target, so that another download of the same spec can use it. It is
    /// asked when this is called; awaiting the returned value waits for the end. [`wait`](Self::wait) then
    /// returns [`DownloadError::Cancelled`].
    pub fn cancel(&self) -> Stopping {
        self.ask(Stop::Cancel)
    }

    /// Lets the download run to its end without any handle.
    pub fn detach(self) {
        self.inner.detach();
    }

    /// Waits for the end. Cancel-safe; may be called any number of times, from any clone.
    ///
    /// # Errors
    /// Any [`DownloadError`]; [`Cancelled`](DownloadError::Cancelled) and [`Paused`](DownloadError::Paused)
    /// when it was asked to stop before it was complete.
    pub async fn wait(&self) -> Result<Outcome, DownloadError> {
        // The runtime went down and took the session with it, where there is no result.
        let ended = self.inner.ended().await;
        ended.unwrap_or(Err(DownloadError::Cancelled))
    }

    fn ask(&self, wish: Stop) -> Stopping {
        self.inner.ask(wish);
        let inner = Arc::clone(&self.inner);
        Stopping::new(async move {
            // Without a result the session is gone, which is an end as well.
            let _ = inner.ended().await;
        })
    }
}

impl Control<ProgressSnapshot, Ended> {
    /// Ends a download that never began.
    pub(crate) fn refuse(self, error: DownloadError) {
        self.progress
            .send_modify(|snapshot| snapshot.state = DownloadState::Failed);
        self.result.send_replace(Some(Err(error)));
    }
}

impl std::fmt::Debug for DownloadHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DownloadHandle")
            .field("progress", &self.inner.progress())
            .finish_non_exhaustive()
    }
}

/// The end of a transfer that was asked to stop. Await it to know that it has stopped, or drop it: the wish
/// stands either way.
pub struct Stopping(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Stopping {
    pub(crate) fn new(ended: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(ended))
    }
}

impl Future for Stopping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for Stopping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stopping")
    }
}
