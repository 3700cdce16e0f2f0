//! The caller's end of a running upload: watch it, stop it, wait for it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::control::{Control, Stop, Wishes, channels};
use crate::handle::Stopping;
use crate::progress::ProgressStream;
use crate::upload::checkpoint::Checkpoint;
use crate::upload::error::UploadError;
use crate::upload::outcome::UploadOutcome;
use crate::upload::progress::{UploadProgress, UploadState};

/// A running upload. Cheap to clone; every clone controls the same upload.
///
/// Dropping the last handle stops the upload as [`pause`](Self::pause) does, keeping what the server has;
/// [`detach`](Self::detach) lets it run on without one.
#[derive(Clone)]
pub struct UploadHandle {
    inner: Arc<Wishes<UploadProgress, Ended>>,
    checkpoint: watch::Receiver<Option<Checkpoint>>,
}

pub(crate) type Ended = Result<UploadOutcome, UploadError>;

/// The task's ends of the channels that a handle holds.
pub(crate) struct UploadControl {
    pub(crate) control: Control<UploadProgress, Ended>,
    pub(crate) checkpoint: watch::Sender<Option<Checkpoint>>,
}

impl UploadHandle {
    pub(crate) fn new() -> (Self, UploadControl) {
        let (wishes, control) = channels();
        let (sender, checkpoint) = watch::channel(None);
        let handle = Self {
            inner: Arc::new(wishes),
            checkpoint,
        };
        let control = UploadControl {
            control,
            checkpoint: sender,
        };
        (handle, control)
    }

    /// The latest look at the upload; refreshed about ten times a second.
    pub fn progress(&self) -> UploadProgress {
        self.inner.progress()
    }

    /// Snapshots as they come, about ten a second, ending with the terminal one.
    pub fn progress_stream(&self) -> ProgressStream<UploadProgress> {
        ProgressStream::new(self.inner.progress_watch(), |progress| {
            progress.state.is_terminal()
        })
    }

    /// The same snapshots as a [`watch::Receiver`], for `select!` loops.
    pub fn progress_watch(&self) -> watch::Receiver<UploadProgress> {
        self.inner.progress_watch()
    }

    /// What another run needs to go on from here, for applications that keep it themselves; `None` before there is
    /// anything to keep. It is there before the request that opens a session is sent.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoint.borrow().clone()
    }

    /// The same as a [`watch::Receiver`]. It changes with each stage of the upload, and with the parts that the server
    /// takes: at most ten times a second, less often where a checkpoint takes long to save. The last one tells of all of them.
    pub fn checkpoint_watch(&self) -> watch::Receiver<Option<Checkpoint>> {
        self.checkpoint.clone()
    }

    /// Asks the upload to stop and to keep what the server has. Requests in flight are dropped at once, but that the answer to one that
    /// opens a session is waited for up to two seconds: without it nobody would know of the session.
    ///
    /// It is asked when this is called; awaiting the returned value waits until the checkpoint is saved.
    /// [`wait`](Self::wait) then returns [`UploadError::Paused`]. Uploading the same spec again goes on from there, at once.
    pub fn pause(&self) -> Stopping {
        self.ask(Stop::Pause)
    }

    /// Asks the upload to stop for good, and to discard what it has staged at the server. Requests in flight are dropped
    /// at once, and [`wait`](Self::wait) returns [`UploadError::Cancelled`] without waiting for the server; awaiting the
    /// returned value waits until what was staged is discarded, or that has failed. Nothing but what this upload has staged is
    /// touched: an object that was there before stays.
    pub fn cancel(&self) -> Stopping {
        self.ask(Stop::Cancel)
    }

    /// Lets the upload run to its end without any handle.
    pub fn detach(self) {
        self.inner.detach();
    }

    /// Waits for the end. Cancel-safe; may be called any number of times, from any clone.
    ///
    /// # Errors
    /// Any [`UploadError`]; [`Cancelled`](UploadError::Cancelled) and [`Paused`](UploadError::Paused) when it was asked
    /// to stop before it was complete.
    pub async fn wait(&self) -> Result<UploadOutcome, UploadError> {
        // The runtime went down and took the task with it, where there is no result.
        let ended = self.inner.ended().await;
        ended.unwrap_or(Err(UploadError::Cancelled))
    }

    fn ask(&self, wish: Stop) -> Stopping {
        self.inner.ask(wish);
        let inner = Arc::clone(&self.inner);
        Stopping::new(async move { inner.gone().await })
    }
}

impl UploadControl {
    /// Ends an upload that never began.
    pub(crate) fn refuse(self, error: UploadError) {
        self.control
            .progress
            .send_modify(|progress| progress.state = UploadState::Failed);
        self.control.result.send_replace(Some(Err(error)));
    }
}

impl std::fmt::Debug for UploadHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadHandle")
            .field("progress", &self.inner.progress())
            .finish_non_exhaustive()
    }
}
