//! When the next bytes of a line with a fixed rate arrive.

use std::time::{Duration, Instant};

/// A line that delivers so many bytes a second, first come first served, without a burst at the start.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    free_from: Option<Instant>,
}

impl Pacer {
    /// The moment at which `bytes` more have passed the line.
    ///
    /// A sender that woke up late may catch up on [`CATCH_UP`], so that timers do not eat into the rate.
    pub(super) fn reserve(&mut self, now: Instant, bytes: u64, rate: u64) -> Instant {
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        let start = self.free_from.map_or(now, |free| free.max(earliest));
        let done = start + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        self.free_from = Some(done);
        done
    }

    /// Forgets the past: a line that stood idle starts anew.
    pub(super) fn restart(&mut self, now: Instant) {
        self.free_from = self.free_from.filter(|free| *free > now);
    }
}

const CATCH_UP: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_in_spite_of_late_wake_ups() {
        let begin = Instant::now();
        let mut pacer = Pacer::default();
        let mut now = begin;
        for step in 0..1000u32 {
            let due = pacer.reserve(now, 1000, 1_000_000);
            now = due.max(now) + Duration::from_micros(u64::from(step % 7) * 100);
        }
        let took = now - begin;
        assert!(took >= Duration::from_secs(1), "{took:?}");
        assert!(took < Duration::from_millis(1010), "{took:?}");
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let begin = Instant::now();
        let mut pacer = Pacer::default();
        pacer.reserve(begin, 1000, 1000);
        let later = begin + Duration::from_secs(60);
        pacer.restart(later);
        assert_eq!(
            pacer.reserve(later, 1000, 1000),
            later + Duration::from_secs(1)
        );
    }
}
