//! How many connections there may be: added as the host answers, dropped as it pushes back, probed for more.

use std::time::{Duration, Instant};

use super::later;
use crate::Connections;

/// The limits on the number of connections, from the careful to the wanted.
#[derive(Clone, Debug)]
pub(super) struct Ramp {
    wanted: Connections,
    /// What the answers so far allow.
    allowed: u32,
    /// What the host was seen to stand.
    learned: Option<Learned>,
    /// How far [`Connections::Auto`] has climbed.
    level: u32,
    climb: Climb,
}

#[derive(Clone, Debug)]
struct Learned {
    most: u32,
    at: Instant,
    raise_at: Instant,
    wait: Duration,
}

/// Looking for more throughput beyond the first [`AUTO_FIRST`] connections.
#[derive(Clone, Debug)]
enum Climb {
    /// Waiting until all connections have been at work for a while.
    Settling {
        since: Option<Instant>,
        before: Option<f64>,
    },
    /// Counting bytes; `before` is the rate of the step below.
    Measuring {
        since: Instant,
        from: u64,
        before: Option<f64>,
    },
    /// The last step was not worth it, or there are no more.
    Settled,
}

impl Ramp {
    pub(super) fn new(wanted: Connections, start: u32) -> Self {
        let climb = Climb::Settling {
            since: None,
            before: None,
        };
        let mut ramp = Self {
            wanted,
            allowed: 0,
            learned: None,
            level: AUTO_FIRST,
            climb,
        };
        ramp.allowed = start.clamp(1, ramp.most());
        ramp
    }

    /// How many connections there may be at this moment.
    pub(super) fn allowed(&self) -> u32 {
        self.allowed.min(self.most())
    }

    /// How many connections there may be once every one of them was answered.
    pub(super) fn most(&self) -> u32 {
        let wanted = self.wanted();
        self.learned
            .as_ref()
            .map_or(wanted, |learned| learned.most.min(wanted))
    }

    /// Whether one connection is all that the user wants.
    pub(super) fn is_single(&self) -> bool {
        self.wanted == Connections::fixed(1)
    }

    /// What the host was seen to stand, when that is less than was wanted.
    pub(super) fn learned(&self) -> Option<u32> {
        self.learned.as_ref().map(|learned| learned.most)
    }

    pub(super) fn want(&mut self, wanted: Connections, proven: u32) {
        self.wanted = wanted;
        self.allowed = self
            .allowed
            .max(proven.saturating_add(ADD))
            .min(self.most());
    }

    /// The host answered; `proven` connections work by now.
    pub(super) fn on_accepted(&mut self, proven: u32) {
        if let Some(learned) = &mut self.learned {
            learned.most = learned.most.max(proven);
        }
        self.allowed = self.allowed.saturating_add(ADD).min(self.most());
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

    /// Nothing works any more: the next try is one connection again.
    pub(super) fn start_over(&mut self) {
        self.allowed = 1;
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.learned.as_ref().map(|learned| learned.raise_at)
    }

    /// Tries one connection more than the host stood, from time to time.
    pub(super) fn tick(&mut self, now: Instant) {
        let wanted = self.wanted();
        let Some(learned) = &mut self.learned else {
            return;
        };
        if learned.raise_at > now {
            return;
        }
        learned.most = learned.most.saturating_add(1);
        learned.raise_at = later(now, learned.wait);
        self.allowed = self.allowed.saturating_add(1);
        if learned.most >= wanted {
            self.learned = None;
        }
    }

    /// Looks whether more connections bring more, given how many are at work, the bytes received in all, and how long the
    /// rest will take.
    pub(super) fn climb(&mut self, now: Instant, working: u32, received: u64, left: Duration) {
        let is_open =
            self.wanted == Connections::Auto && self.learned.is_none() && left >= WORTH_CLIMBING;
        if !is_open {
            return;
        }
        self.climb = match std::mem::replace(&mut self.climb, Climb::Settled) {
            Climb::Settling { before, .. } | Climb::Measuring { before, .. }
                if working < self.level =>
            {
                Climb::Settling {
                    since: None,
                    before,
                }
            }
            Climb::Settling {
                since: None,
                before,
            } => Climb::Settling {
                since: Some(now),
                before,
            },
            Climb::Settling {
                since: Some(since),
                before,
            } if now.saturating_duration_since(since) >= SETTLE => Climb::Measuring {
                since: now,
                from: received,
                before,
            },
            Climb::Measuring {
                since,
                from,
                before,
            } if now.saturating_duration_since(since) >= MEASURE => {
                let seconds = now.saturating_duration_since(since).as_secs_f64();
                self.judge(received.saturating_sub(from) as f64 / seconds, before)
            }
            waiting @ (Climb::Settling { .. } | Climb::Measuring { .. } | Climb::Settled) => {
                waiting
            }
        };
    }

    fn wanted(&self) -> u32 {
        match self.wanted {
            Connections::Fixed(n) => n.get().min(MOST),
            Connections::Auto => self.level,
        }
    }

    fn judge(&mut self, rate: f64, before: Option<f64>) -> Climb {
        let below = self.level.saturating_sub(STEP).max(AUTO_FIRST);
        // Connections that share fairly would add this much; half of it is a gain beyond the noise.
        let fair = f64::from(self.level) / f64::from(below);
        if before.is_some_and(|before| rate < before * f64::midpoint(1.0, fair)) {
            self.level = below;
            return Climb::Settled;
        }
        if self.level >= AUTO_MOST {
            return Climb::Settled;
        }
        self.level += STEP;
        self.allowed = self.allowed.max(self.level);
        Climb::Settling {
            since: None,
            before: Some(rate),
        }
    }

    fn learn(&mut self, now: Instant, connections: u32, wait: Duration) {
        let most = connections.max(1);
        self.learned = Some(Learned {
            most,
            at: now,
            raise_at: later(now, wait),
            wait,
        });
        self.allowed = self.allowed.min(most);
    }
}

/// Connections that each answer adds to what is allowed.
const ADD: u32 = 3;
/// Beyond this a user's number is not taken seriously.
const MOST: u32 = 256;
/// Connections of `Auto` before it looks whether more bring more, the steps then, and the last one.
const AUTO_FIRST: u32 = 8;
const STEP: u32 = 2;
const AUTO_MOST: u32 = 16;
/// Slow starts are over after the first, noise evens out over the second.
const SETTLE: Duration = Duration::from_millis(600);
const MEASURE: Duration = Duration::from_secs(1);
/// A rest that is shorter gains nothing from another step.
const WORTH_CLIMBING: Duration = Duration::from_secs(3);
/// Time after which one more connection than the host stood is tried again; doubles each time it is refused.
const RAISE_AFTER: Duration = Duration::from_secs(30);
const RAISE_AFTER_MOST: Duration = Duration::from_secs(480);

/// Refusals within this time are one.
const SAME_ROUND: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn each_answer_allows_three_more() {
        let mut ramp = Ramp::new(Connections::fixed(8), 1);
        let mut seen = vec![ramp.allowed()];
        for proven in 1..=5 {
            ramp.on_accepted(proven);
            seen.push(ramp.allowed());
        }
        assert_eq!(seen, [1, 4, 7, 8, 8, 8]);
    }

    #[test]
    fn a_refusal_steps_down_and_is_tried_again_later_and_later() {
        let start = Instant::now();
        let mut ramp = Ramp::new(Connections::fixed(8), 8);
        ramp.on_push_back(start, 4);
        assert_eq!((ramp.allowed(), ramp.learned()), (4, Some(4)));
        ramp.tick(start + secs(29.0));
        assert_eq!(ramp.allowed(), 4);
        ramp.tick(start + secs(30.0));
        assert_eq!(ramp.allowed(), 5);
        ramp.on_push_back(start + secs(30.1), 4);
        ramp.tick(start + secs(61.0));
        assert_eq!(ramp.allowed(), 4);
        ramp.tick(start + secs(91.0));
        assert_eq!(ramp.allowed(), 5);
    }

    /// The host gives `rate(n)` bytes a second to `n` connections; how many does automatic choose?
    fn settles_at(rate: impl Fn(u32) -> f64) -> u32 {
        let start = Instant::now();
        let mut ramp = Ramp::new(Connections::Auto, 8);
        let mut received = 0.0;
        for step in 0..2_000 {
            received += rate(ramp.allowed()) * 0.05;
            let now = start + secs(f64::from(step) * 0.05);
            ramp.climb(now, ramp.allowed(), received as u64, secs(60.0));
        }
        ramp.allowed()
    }

    #[test]
    fn automatic_climbs_only_while_it_pays() {
        assert_eq!(settles_at(|n| f64::from(n) * 4e6), 16);
        assert_eq!(settles_at(|_| 32e6), 8);
        assert_eq!(settles_at(|n| f64::from(n.min(12)) * 4e6), 12);
    }
}
