//! Counters that the parts of a session share, and the snapshots made of them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::progress::{DownloadState, ProgressSnapshot};

/// Counters of one download, written by its parts and read by its reporter. Approximate by nature: every number
/// is right by itself, two of them may be a moment apart.
#[derive(Debug)]
pub(crate) struct Stats {
    started: Instant,
    /// Bytes of the file that have arrived and been handed to the writer, those of earlier runs included.
    pub(crate) received: AtomicU64,
    /// Bytes that came over the network in this run.
    pub(crate) fetched: AtomicU64,
    /// Bytes that the control file on disk tells of.
    pub(crate) durable: AtomicU64,
    pub(crate) resumed_from: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) connections: AtomicU32,
    pub(crate) peak_connections: AtomicU32,
    total: AtomicU64,
    total_known: AtomicBool,
    place: Mutex<Place>,
}

#[derive(Debug, Default)]
struct Place {
    state: DownloadState,
    path: Option<PathBuf>,
}

impl Stats {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            received: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            resumed_from: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            connections: AtomicU32::new(0),
            peak_connections: AtomicU32::new(0),
            total: AtomicU64::new(0),
            total_known: AtomicBool::new(false),
            place: Mutex::new(Place::default()),
        }
    }

    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    pub(crate) fn set_total(&self, total: u64) {
        self.total.store(total, Relaxed);
        self.total_known.store(true, Relaxed);
    }

    pub(crate) fn set_connections(&self, count: u32) {
        self.connections.store(count, Relaxed);
        self.peak_connections.fetch_max(count, Relaxed);
    }

    pub(crate) fn set_state(&self, state: DownloadState) {
        self.place().state = state;
    }

    pub(crate) fn set_path(&self, path: PathBuf) {
        self.place().path = Some(path);
    }

    /// Forgets what belonged to a version of the file that is gone.
    pub(crate) fn start_over(&self) {
        self.received.store(0, Relaxed);
        self.durable.store(0, Relaxed);
        self.resumed_from.store(0, Relaxed);
        self.total_known.store(false, Relaxed);
    }

    /// One look at everything; the rate comes from the [`Meter`].
    pub(crate) fn snapshot(&self, now: Instant, rate: u64) -> ProgressSnapshot {
        let received = self.received.load(Relaxed);
        let total = self
            .total_known
            .load(Relaxed)
            .then(|| self.total.load(Relaxed));
        let left = total.map(|total| total.saturating_sub(received));
        let place = self.place();
        ProgressSnapshot {
            state: place.state,
            total,
            received,
            durable: self.durable.load(Relaxed).min(received),
            resumed_from: self.resumed_from.load(Relaxed),
            rate,
            eta: left.and_then(|left| eta(left, rate)),
            connections: self.connections.load(Relaxed),
            retries: self.retries.load(Relaxed),
            elapsed: self.elapsed(now),
            path: place.path.clone(),
        }
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Place> {
        self.place
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Bytes a second over a sliding window.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    samples: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// Adds the number of bytes so far and returns the rate over the window that ends `now`.
    pub(crate) fn sample(&mut self, now: Instant, bytes: u64) -> u64 {
        self.samples.push_back((now, bytes));
        while self.samples.len() > 2 && now.duration_since(self.samples[0].0) > WINDOW {
            self.samples.pop_front();
        }
        let (then, before) = self.samples[0];
        let nanos = now.duration_since(then).as_nanos();
        if nanos == 0 {
            return 0;
        }
        let rate = u128::from(bytes.saturating_sub(before)) * 1_000_000_000 / nanos;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

pub(crate) fn eta(left: u64, rate: u64) -> Option<Duration> {
    if left == 0 {
        return Some(Duration::ZERO);
    }
    (rate > 0).then(|| Duration::from_secs(left.div_ceil(rate)))
}

/// Long enough to be calm, short enough to follow a change.
const WINDOW: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_window() {
        let start = Instant::now();
        let mut meter = Meter::default();
        assert_eq!(meter.sample(start, 0), 0);
        assert_eq!(meter.sample(start + Duration::from_secs(1), 1000), 1000);
        for second in 2..10 {
            meter.sample(start + Duration::from_secs(second), 1000);
        }
        assert_eq!(
            meter.sample(start + Duration::from_secs(10), 1000),
            0,
            "nothing came for longer than the window"
        );
    }

    #[test]
    fn the_time_left_needs_a_rate_and_a_total() {
        let now = Instant::now();
        let stats = Stats::new(now);
        assert_eq!(stats.snapshot(now, 10).eta, None);
        stats.set_total(100);
        assert_eq!(stats.snapshot(now, 0).eta, None);
        assert_eq!(stats.snapshot(now, 10).eta, Some(Duration::from_secs(10)));
        stats.received.store(100, Relaxed);
        stats.durable.store(500, Relaxed);
        assert_eq!(stats.snapshot(now, 0).eta, Some(Duration::ZERO));
        assert_eq!(stats.snapshot(now, 0).durable, 100);
    }
}
