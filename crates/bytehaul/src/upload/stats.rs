//! Counters that the parts of an upload share, and the snapshots made of them.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytehaul_providers::Acknowledged;
use bytehaul_schedule::{ByteRange, RangeSet};

use crate::session::stats::eta;
use crate::upload::progress::{UploadProgress, UploadState};

/// Counters of one upload, written by its parts and read by its reporter.
#[derive(Debug)]
pub(crate) struct Stats {
    started: Instant,
    /// Bytes of the source that went over the network in this run, repetitions included.
    pub(crate) wire: AtomicU64,
    pub(crate) resumed_from: AtomicU64,
    pub(crate) retries: AtomicU64,
    /// Whether an earlier run was told that all of it is there.
    pub(crate) was_complete: AtomicBool,
    acknowledged: AtomicU64,
    durable: AtomicU64,
    prefix: AtomicU64,
    connections: AtomicU32,
    pub(crate) peak_connections: AtomicU32,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    state: UploadState,
    total: Option<u64>,
    /// Which bytes have been handed to the network, so that none counts twice.
    sent: RangeSet,
}

impl Stats {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            wire: AtomicU64::new(0),
            resumed_from: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            was_complete: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            prefix: AtomicU64::new(0),
            connections: AtomicU32::new(0),
            peak_connections: AtomicU32::new(0),
            rest: Mutex::default(),
        }
    }

    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    pub(crate) fn set_state(&self, state: UploadState) {
        self.rest().state = state;
    }

    /// A later stage of a running upload; one that has ended stays as it is.
    pub(crate) fn advance(&self, state: UploadState) {
        let mut rest = self.rest();
        if !rest.state.is_terminal() {
            rest.state = state;
        }
    }

    pub(crate) fn set_total(&self, total: u64) {
        self.rest().total = Some(total);
    }

    pub(crate) fn total(&self) -> Option<u64> {
        self.rest().total
    }

    pub(crate) fn set_connections(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.connections.store(count, Relaxed);
        self.peak_connections.fetch_max(count, Relaxed);
    }

    /// These bytes were handed to the network.
    pub(crate) fn sent(&self, range: Range<u64>) {
        self.wire.fetch_add(range.end - range.start, Relaxed);
        self.known_sent(range);
    }

    /// These bytes need not be sent, because the server has them.
    pub(crate) fn known_sent(&self, range: Range<u64>) {
        if let Some(range) = ByteRange::new(range.start, range.end) {
            self.rest().sent.insert(range);
        }
    }

    pub(crate) fn acknowledged(&self, by: Acknowledged) {
        // What the server has from the start was sent by somebody, if not by this run.
        self.known_sent(0..by.prefix);
        self.acknowledged.fetch_max(by.bytes, Relaxed);
        self.prefix.store(by.prefix, Relaxed);
    }

    pub(crate) fn durable(&self, bytes: u64) {
        self.durable.fetch_max(bytes, Relaxed);
    }

    /// Whether the server had all of so many bytes before, so that none was sent. What an earlier run has sent part by part is
    /// not there before the end of this one.
    pub(crate) fn was_there(&self, bytes: u64) -> bool {
        let is_known = self.was_complete.load(Relaxed);
        let is_instant = bytes > 0 && self.resumed_from.load(Relaxed) == 0;
        self.wire.load(Relaxed) == 0 && (is_known || is_instant)
    }

    /// One look at everything.
    pub(crate) fn snapshot(&self, now: Instant, rate: u64) -> UploadProgress {
        let rest = self.rest();
        let sent = rest.sent.covered();
        let acknowledged = self.acknowledged.load(Relaxed).min(sent);
        let left = rest.total.map(|total| total.saturating_sub(acknowledged));
        UploadProgress {
            state: rest.state,
            total: rest.total,
            sent,
            acknowledged,
            durable: self.durable.load(Relaxed).min(acknowledged),
            prefix: self.prefix.load(Relaxed),
            resumed_from: self.resumed_from.load(Relaxed),
            rate,
            eta: left.and_then(|left| eta(left, rate)),
            connections: self.connections.load(Relaxed),
            retries: self.retries.load(Relaxed),
            elapsed: self.elapsed(now),
        }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
