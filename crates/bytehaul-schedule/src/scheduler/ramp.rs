//! How many connections there may be in all: added as hosts answer, probed for more while that pays.

use std::time::{Duration, Instant};

use crate::Connections;

/// The limits on the number of connections to all sources together, from the careful to the wanted.
#[derive(Clone, Debug)]
pub(super) struct Ramp {
    wanted: Connections,
    /// What the answers so far allow.
    allowed: u32,
    /// How far [`Connections::Auto`] has climbed.
    level: u32,
    climb: Climb,
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
            level: AUTO_FIRST,
            climb,
        };
        ramp.allowed = start.clamp(1, ramp.wanted());
        ramp
    }

    /// How many connections there may be at this moment, as far as the answers go.
    pub(super) fn allowed(&self) -> u32 {
        self.allowed.min(self.wanted())
    }

    /// How many connections there may be once every one of them was answered, as far as the user goes.
    pub(super) fn wanted(&self) -> u32 {
        match self.wanted {
            Connections::Fixed(n) => n.get().min(MOST),
            Connections::Auto => self.level,
        }
    }

    /// Whether one connection is all that the user wants.
    pub(super) fn is_single(&self) -> bool {
        self.wanted == Connections::fixed(1)
    }

    pub(super) fn want(&mut self, wanted: Connections, proven: u32) {
        self.wanted = wanted;
        self.allowed = self
            .allowed
            .max(proven.saturating_add(ADD))
            .min(self.wanted());
    }

    /// A host answered.
    pub(super) fn on_accepted(&mut self) {
        self.allowed = self.allowed.saturating_add(ADD).min(self.wanted());
    }

    /// A host stands one connection more than was thought.
    pub(super) fn raise(&mut self) {
        self.allowed = self.allowed.saturating_add(1);
    }

    /// Hosts stand no more than `most` connections together.
    pub(super) fn cut(&mut self, most: u32) {
        self.allowed = self.allowed.min(most);
    }

    /// Nothing works any more: the next try is one connection again.
    pub(super) fn start_over(&mut self) {
        self.allowed = 1;
    }

    /// Looks whether more connections bring more, given how many are at work, the bytes received in all, and how long the
    /// rest will take.
    pub(super) fn climb(&mut self, now: Instant, working: u32, received: u64, left: Duration) {
        if self.wanted != Connections::Auto || left < WORTH_CLIMBING {
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
        for _ in 1..=5 {
            ramp.on_accepted();
            seen.push(ramp.allowed());
        }
        assert_eq!(seen, [1, 4, 7, 8, 8, 8]);
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
