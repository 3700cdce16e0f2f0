//! What a caller can watch of a running upload.

use std::time::Duration;

/// Where an upload is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum UploadState {
    /// Accepted; nothing is sent yet.
    #[default]
    Pending,
    /// The source is opened, what an earlier run left is checked, the session is opened at the server.
    Preparing,
    /// Parts are sent.
    Sending,
    /// All parts are there; the server is asked to make the object of them.
    Committing,
    /// The server has said that the object is there. Terminal.
    Completed,
    /// Stopped by [`pause`](crate::UploadHandle::pause); the checkpoint is saved. Terminal for this handle.
    Paused,
    /// Stopped by [`cancel`](crate::UploadHandle::cancel). Terminal.
    Cancelled,
    /// Ended by an error. Terminal.
    Failed,
}

impl UploadState {
    /// Whether nothing will follow this state.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Paused | Self::Cancelled | Self::Failed => true,
            Self::Pending | Self::Preparing | Self::Sending | Self::Committing => false,
        }
    }
}

/// One look at a running upload. The three counters are bytes of the source, never go back, and never exceed its length:
/// bytes that are sent again do not count twice. `durable` ≤ `acknowledged` ≤ `sent`.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct UploadProgress {
    /// Where the upload is in its life.
    pub state: UploadState,
    /// Length of the source in bytes, once it is known.
    pub total: Option<u64>,
    /// Bytes that were handed to the network, in this run or an earlier one.
    pub sent: u64,
    /// Bytes of parts that the server has answered for.
    pub acknowledged: u64,
    /// Bytes that another run would not have to send again, because the checkpoint tells of them; without a
    /// checkpoint of its own, the acknowledged ones.
    pub durable: u64,
    /// Acknowledged bytes from the start of the source without a gap, at present: it goes back when the server has lost some.
    pub prefix: u64,
    /// Bytes that an earlier run had sent and that were not sent again.
    pub resumed_from: u64,
    /// Bytes a second over the last seconds.
    pub rate: u64,
    /// Time to the end at that rate, once total and rate are known.
    pub eta: Option<Duration>,
    /// Requests in flight.
    pub connections: u32,
    /// Requests that had to be made again.
    pub retries: u64,
    /// Time since the start.
    pub elapsed: Duration,
}

impl UploadProgress {
    /// Acknowledged bytes as a fraction of the total, 0.0 to 1.0; `None` while the total is not known.
    pub fn fraction(&self) -> Option<f64> {
        crate::progress::fraction(self.acknowledged, self.total?)
    }
}
