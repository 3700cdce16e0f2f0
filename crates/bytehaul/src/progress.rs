//! What a caller can watch of a running download: one snapshot type, and a stream of them.

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::watch;

/// Where a download is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum DownloadState {
    /// Accepted; nothing is sent yet.
    #[default]
    Pending,
    /// The first request is under way, or what an earlier run left is being checked.
    Connecting,
    /// Bytes arrive.
    Downloading,
    /// Every byte is there; the digest is compared and the file is synced and renamed.
    Finishing,
    /// The file is at its target. Terminal.
    Completed,
    /// Stopped by [`pause`](crate::DownloadHandle::pause); what was there is saved. Terminal for this handle.
    Paused,
    /// Stopped by [`cancel`](crate::DownloadHandle::cancel). Terminal.
    Cancelled,
    /// Ended by an error. Terminal.
    Failed,
}

impl DownloadState {
    /// Whether nothing will follow this state.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Paused | Self::Cancelled | Self::Failed => true,
            Self::Pending | Self::Connecting | Self::Downloading | Self::Finishing => false,
        }
    }
}

/// One look at a running download. Counters are bytes of the file and never go back, except when the remote
/// file changed and the transfer began again.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct ProgressSnapshot {
    /// Where the download is in its life.
    pub state: DownloadState,
    /// Length of the file in bytes, once it is known.
    pub total: Option<u64>,
    /// Bytes of the file that have arrived, those of earlier runs included.
    pub received: u64,
    /// Bytes that are recorded as being safely on disk: what a power cut could not take back.
    pub durable: u64,
    /// Bytes that an earlier run had left and that were taken over.
    pub resumed_from: u64,
    /// Bytes a second over the last seconds.
    pub rate: u64,
    /// Time to the end at that rate, once total and rate are known.
    pub eta: Option<Duration>,
    /// Connections in use.
    pub connections: u32,
    /// Requests that had to be asked again.
    pub retries: u64,
    /// Time since the start.
    pub elapsed: Duration,
    /// The target, once its name is known.
    pub path: Option<PathBuf>,
}

impl ProgressSnapshot {
    /// Received bytes as a fraction of the total, 0.0 to 1.0; `None` while the total is not known.
    pub fn fraction(&self) -> Option<f64> {
        fraction(self.received, self.total?)
    }
}

/// So many of a total, 0.0 to 1.0; nothing of nothing is all of it.
pub(crate) fn fraction(part: u64, total: u64) -> Option<f64> {
    if total == 0 {
        return Some(1.0);
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a fraction for a bar needs no more than 52 bits"
    )]
    Some((part as f64 / total as f64).min(1.0))
}

/// Snapshots of one download as a [`Stream`], about ten a second, ending after the terminal one.
///
/// A slow reader misses intermediate snapshots, never the last. Dropping it has no effect on the transfer.
pub struct ProgressStream<T = ProgressSnapshot> {
    next: Pin<Box<dyn Future<Output = Changed<T>> + Send>>,
    is_last: fn(&T) -> bool,
    ended: bool,
}

impl<T: Clone + Send + Sync + 'static> ProgressStream<T> {
    pub(crate) fn new(receiver: watch::Receiver<T>, is_last: fn(&T) -> bool) -> Self {
        Self {
            next: Box::pin(changed(receiver)),
            is_last,
            ended: false,
        }
    }

    /// The next snapshot, or `None` after the terminal one. Cancel-safe.
    pub async fn next(&mut self) -> Option<T> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T: Clone + Send + Sync + 'static> Stream for ProgressStream<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let (snapshot, receiver) = std::task::ready!(self.next.as_mut().poll(cx));
        self.ended = snapshot.as_ref().is_none_or(self.is_last);
        self.next = Box::pin(changed(receiver));
        Poll::Ready(snapshot)
    }
}

impl<T> std::fmt::Debug for ProgressStream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProgressStream")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// The next snapshot if there is one, and the receiver to wait for the one after it.
type Changed<T> = (Option<T>, watch::Receiver<T>);

async fn changed<T: Clone>(mut receiver: watch::Receiver<T>) -> Changed<T> {
    // A change that was not seen yet is reported even after the sender is gone, so the terminal one is never lost.
    let snapshot = match receiver.changed().await {
        Ok(()) => Some(receiver.borrow_and_update().clone()),
        Err(_) => None,
    };
    (snapshot, receiver)
}
