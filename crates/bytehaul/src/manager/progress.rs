//! One look at a transfer, the same for both directions, as a value to keep.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::progress::{ProgressSnapshot, fraction};
use crate::upload::UploadProgress;

/// One look at a transfer. All counters are bytes of the file, those of earlier runs included once a run has found them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TransferProgress {
    /// Length of the file in bytes, once it is known.
    pub total: Option<u64>,
    /// Bytes that have arrived, or that were handed to the network.
    pub sent: u64,
    /// Bytes that have arrived, or that the server has answered for.
    pub done: u64,
    /// Bytes that another run need not move again.
    pub durable: u64,
    /// Bytes that an earlier run had moved and that were taken over.
    pub resumed_from: u64,
    /// Bytes a second over the last seconds.
    pub rate: u64,
    /// Time to the end at that rate, once total and rate are known.
    pub eta: Option<Duration>,
    /// Requests in flight.
    pub connections: u32,
    /// Requests of this run that had to be made again.
    pub retries: u64,
    /// Time since this run began.
    pub elapsed: Duration,
}

impl TransferProgress {
    /// Done bytes as a fraction of the total, 0.0 to 1.0; `None` while the total is not known.
    pub fn fraction(&self) -> Option<f64> {
        fraction(self.done, self.total?)
    }

    /// At rest: what is there stays, what moves does not.
    pub(super) fn at_rest(mut self) -> Self {
        self.rate = 0;
        self.eta = None;
        self.connections = 0;
        self
    }
}

impl From<&ProgressSnapshot> for TransferProgress {
    fn from(progress: &ProgressSnapshot) -> Self {
        Self {
            total: progress.total,
            sent: progress.received,
            done: progress.received,
            durable: progress.durable,
            resumed_from: progress.resumed_from,
            rate: progress.rate,
            eta: progress.eta,
            connections: progress.connections,
            retries: progress.retries,
            elapsed: progress.elapsed,
        }
    }
}

impl From<&UploadProgress> for TransferProgress {
    fn from(progress: &UploadProgress) -> Self {
        Self {
            total: progress.total,
            sent: progress.sent,
            done: progress.acknowledged,
            durable: progress.durable,
            resumed_from: progress.resumed_from,
            rate: progress.rate,
            eta: progress.eta,
            connections: progress.connections,
            retries: progress.retries,
            elapsed: progress.elapsed,
        }
    }
}
