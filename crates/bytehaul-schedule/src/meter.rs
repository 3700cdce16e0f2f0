//! How a rate is measured from reports that come at uneven times.

use std::time::{Duration, Instant};

/// A rate with exponentially fading memory. Silence counts as zero bytes, so that a stall shows without an event.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    /// Bytes and seconds, both faded alike, so that their ratio is unbiased from the first sample on.
    bytes: f64,
    seconds: f64,
    /// Bytes and seconds that never fade.
    carried: u64,
    active: f64,
    /// Bytes since `last`, not folded in yet.
    pending: u64,
    last: Instant,
}

impl Meter {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            bytes: 0.0,
            seconds: 0.0,
            carried: 0,
            active: 0.0,
            pending: 0,
            last: now,
        }
    }

    /// Takes up measuring again after a time that says nothing about the rate, such as waiting for a response.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.last = now;
        self.pending = 0;
    }

    pub(crate) fn sample(&mut self, now: Instant, bytes: u64) {
        self.pending = self.pending.saturating_add(bytes);
        self.carried = self.carried.saturating_add(bytes);
        if now.saturating_duration_since(self.last) >= GRAIN {
            (self.bytes, self.seconds) = self.folded(now);
            self.active += now.saturating_duration_since(self.last).as_secs_f64();
            self.pending = 0;
            self.last = now;
        }
    }

    /// Bytes a second; `None` before enough has been seen.
    pub(crate) fn rate(&self, now: Instant) -> Option<f64> {
        let silent = now.saturating_duration_since(self.last);
        // Between two reports nothing is known; only a longer silence says something.
        let (bytes, seconds) = if silent > REPORTS {
            self.folded(now)
        } else {
            (self.bytes, self.seconds)
        };
        (seconds >= ENOUGH).then(|| bytes / seconds)
    }

    /// Bytes a second over all its time at work; `None` before it can be judged by that.
    pub(crate) fn lifetime(&self) -> Option<f64> {
        (self.active >= JUDGEABLE).then(|| self.carried as f64 / self.active)
    }

    /// Bytes that were ever sampled.
    pub(crate) const fn carried(&self) -> u64 {
        self.carried
    }

    fn folded(&self, now: Instant) -> (f64, f64) {
        let silent = now.saturating_duration_since(self.last).as_secs_f64();
        if silent <= 0.0 {
            return (self.bytes, self.seconds);
        }
        let fade = (-silent / MEMORY).exp();
        let weight = MEMORY * (1.0 - fade);
        (
            self.bytes * fade + self.pending as f64 * weight / silent,
            self.seconds * fade + weight,
        )
    }
}

/// Seconds after which a sample weighs a third of what it weighed.
const MEMORY: f64 = 0.7;
/// Seconds that have to be seen before a rate is told.
const ENOUGH: f64 = 0.08;
/// Seconds at work after which slow starts and first bursts no longer decide the average.
const JUDGEABLE: f64 = 1.0;
/// Shortest time that is folded into the memory, so that reports at the same moment add up.
const GRAIN: Duration = Duration::from_millis(5);
/// Longest time between two reports of a healthy connection.
const REPORTS: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn after(millis: u64) -> impl Fn(Instant) -> Instant {
        move |start| start + Duration::from_millis(millis)
    }

    #[test]
    fn steady_bytes_give_their_rate_at_once_and_for_long() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        assert_eq!(meter.rate(start), None);
        for step in 1..200 {
            let now = after(step * 50)(start);
            meter.sample(now, 50_000);
            if step > 2 {
                let rate = meter.rate(now).unwrap();
                assert!((rate - 1e6).abs() < 1.0, "{rate}");
            }
        }
    }

    #[test]
    fn silence_lowers_the_rate_without_an_event() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        for step in 1..=100 {
            meter.sample(after(step * 50)(start), 50_000);
        }
        assert!(meter.rate(after(5_100)(start)).unwrap() > 9.9e5);
        assert!(meter.rate(after(6_000)(start)).unwrap() < 5e5);
        assert!(meter.rate(after(9_000)(start)).unwrap() < 2e4);
    }

    #[test]
    fn waiting_between_requests_does_not_count() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        meter.sample(after(1_000)(start), 1_000_000);
        meter.resume(after(9_000)(start));
        assert!((meter.rate(after(9_000)(start)).unwrap() - 1e6).abs() < 1.0);
    }
}
