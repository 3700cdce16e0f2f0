//! How many connections one host was seen to stand, and when one more is tried again.

use std::time::{Duration, Instant};

use super::later;

/// Learned from refusals; without any, a host stands whatever is wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Limit {
    learned: Option<Learned>,
}

#[derive(Clone, Debug)]
struct Learned {
    most: u32,
    at: Instant,
    raise_at: Instant,
    wait: Duration,
}

impl Limit {
    /// How many of the wanted connections the host stands.
    pub(super) fn most(&self, wanted: u32) -> u32 {
        self.learned
            .as_ref()
            .map_or(wanted, |learned| learned.most.min(wanted))
    }

    /// What the host was seen to stand, when that is less than was wanted.
    pub(super) fn learned(&self) -> Option<u32> {
        self.learned.as_ref().map(|learned| learned.most)
    }

    /// The host answered; `proven` connections to it work by now.
    pub(super) fn on_accepted(&mut self, proven: u32) {
        if let Some(learned) = &mut self.learned {
            learned.most = learned.most.max(proven);
        }
    }

    /// The host refused one more while `proven` worked.
    pub(super) fn on_push_back(&mut self, now: Instant, proven: u32) {
        let wait = match &self.learned {
            // Connections that were dialled together are refused together.
            Some(learned) if now.saturating_duration_since(learned.at) < SAME_ROUND => learned.wait,
            Some(learned) => (learned.wait * 2).min(RAISE_AFTER_MOST),
            None => RAISE_AFTER,
        };
        self.learn(now, proven, wait);
    }

    /// Somebody else learned what the host stands.
    pub(super) fn on_host_limit(&mut self, now: Instant, connections: u32) {
        self.learn(now, connections, RAISE_AFTER);
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.learned.as_ref().map(|learned| learned.raise_at)
    }

    /// Tries one connection more than the host stood, from time to time. Whether it is time.
    pub(super) fn tick(&mut self, now: Instant, wanted: u32) -> bool {
        let Some(learned) = &mut self.learned else {
            return false;
        };
        if learned.raise_at > now {
            return false;
        }
        learned.most = learned.most.saturating_add(1);
        learned.raise_at = later(now, learned.wait);
        if learned.most >= wanted {
            self.learned = None;
        }
        true
    }

    fn learn(&mut self, now: Instant, connections: u32, wait: Duration) {
        self.learned = Some(Learned {
            most: connections.max(1),
            at: now,
            raise_at: later(now, wait),
            wait,
        });
    }
}

/// Time after which one more connection than the host stood is tried again; doubles each time it is refused.
const RAISE_AFTER: Duration = Duration::from_secs(30);
const RAISE_AFTER_MOST: Duration = Duration::from_secs(480);

/// Refusals within this time are one.
const SAME_ROUND: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_steps_down_and_is_tried_again_later_and_later() {
        let start = Instant::now();
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut limit = Limit::default();
        assert_eq!((limit.most(8), limit.learned()), (8, None));
        limit.on_push_back(start, 4);
        assert_eq!((limit.most(8), limit.learned()), (4, Some(4)));
        assert!(!limit.tick(after(29.0), 8));
        assert!(limit.tick(after(30.0), 8));
        assert_eq!(limit.most(8), 5);
        limit.on_push_back(after(30.1), 4);
        assert!(!limit.tick(after(61.0), 8));
        assert_eq!(limit.most(8), 4);
        assert!(limit.tick(after(91.0), 8));
        assert_eq!(limit.most(8), 5);
    }

    #[test]
    fn what_works_is_stood() {
        let mut limit = Limit::default();
        limit.on_push_back(Instant::now(), 0);
        assert_eq!(limit.most(8), 1);
        limit.on_accepted(3);
        assert_eq!(limit.most(8), 3);
    }
}
