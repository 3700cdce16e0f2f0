//! A limiter's rate and the wait for it: the bucket that is swapped when the rate changes, and who may draw on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::BytesPerSecond;
use crate::bucket::Bucket;
use crate::turns::{Flow, Turn, Turns};

/// Where the flows of one limiter meet.
pub(crate) struct Gate {
    /// Bytes per second, 0 for unlimited: a copy of what the bucket says, to be read without its lock.
    rate: AtomicU64,
    bucket: Mutex<Option<Bucket>>,
    changed: Notify,
    turns: Turns,
}

impl Gate {
    pub(crate) fn new(rate: Option<BytesPerSecond>) -> Self {
        Self {
            rate: AtomicU64::new(rate.map_or(UNLIMITED, BytesPerSecond::get)),
            bucket: Mutex::new(rate.map(|rate| Bucket::new(rate, rate.quantum()))),
            changed: Notify::new(),
            turns: Turns::default(),
        }
    }

    /// One relaxed load.
    pub(crate) fn rate(&self) -> Option<BytesPerSecond> {
        BytesPerSecond::new(self.rate.load(Ordering::Relaxed))
    }

    /// What is left in the old bucket goes into the new one, so that changing the rate often is no way around it.
    pub(crate) fn set_rate(&self, rate: Option<BytesPerSecond>) {
        let mut bucket = self.bucket();
        let old = bucket.take();
        *bucket =
            rate.map(|rate| Bucket::new(rate, old.map_or(rate.quantum(), Bucket::into_level)));
        self.rate.store(
            rate.map_or(UNLIMITED, BytesPerSecond::get),
            Ordering::Relaxed,
        );
        drop(bucket);
        self.changed.notify_waiters();
    }

    /// Waits for the turn of `flow` and then for up to `bytes`; says how many were granted, at most a quantum.
    ///
    /// Dropping the future gives up the place and takes nothing.
    pub(crate) async fn pass(&self, flow: &Flow, bytes: u64) -> (Turn<'_>, u64) {
        let turn = self.turns.wait(flow, bytes).await;
        loop {
            // From here on a change of the rate is noticed.
            let changed = self.changed.notified();
            match self.take(bytes) {
                Ok(granted) => {
                    turn.charge(flow, granted);
                    return (turn, granted);
                }
                // Both ends of the wait lead to another look at the bucket.
                Err(until) => drop(timeout_at(until, changed).await),
            }
        }
    }

    fn take(&self, bytes: u64) -> Result<u64, Instant> {
        let bucket = self.bucket();
        let Some(bucket) = bucket.as_ref() else {
            return Ok(bytes);
        };
        let granted = bytes.min(bucket.quantum());
        bucket.take(granted).map(|()| granted)
    }

    fn bucket(&self) -> MutexGuard<'_, Option<Bucket>> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const UNLIMITED: u64 = 0;
