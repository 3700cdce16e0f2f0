//! What a failure changes: whose fault it is, what waits for how long, and when to give up.

use std::time::{Duration, Instant};

use super::table::{Dialled, Lease};
use super::{Scheduler, State, later};
use crate::{
    Action, ByteRange, Class, Failure, LeaseId, RangeSet, RetryBudget, RetryPolicy, Verdict,
};

/// Everything that waits after failures.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    policy: RetryPolicy,
    seed: u64,
    /// Failures while nothing else works: these end the transfer.
    budget: RetryBudget,
    /// Failures of new connections while others work: these only slow down dialling.
    dials: RetryBudget,
    /// Nothing is requested before this.
    hold: Option<Instant>,
    /// Nothing is dialled before this.
    dial_hold: Option<Instant>,
    deferred: Vec<Deferred>,
    /// When dialling last failed; only what is dialled later can show that it works again.
    undialled: Option<Instant>,
    /// When a failure was last counted; requests that are older failed for the same reason.
    counted: Option<Instant>,
}

/// A range that failed without a byte: others go first for a while.
#[derive(Clone, Debug)]
struct Deferred {
    range: ByteRange,
    budget: RetryBudget,
    until: Instant,
}

impl Trouble {
    pub(super) fn new(policy: RetryPolicy, seed: u64) -> Self {
        let patient = policy.clone().max_retries(u32::MAX);
        Self {
            budget: RetryBudget::new(policy, seed),
            dials: RetryBudget::new(patient.clone(), seed ^ 1),
            policy: patient,
            seed,
            hold: None,
            dial_hold: None,
            deferred: Vec::new(),
            undialled: None,
            counted: None,
        }
    }

    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.hold.is_some_and(|until| until > now)
    }

    pub(super) fn holds_dials(&self, now: Instant) -> bool {
        self.is_held(now) || self.dial_hold.is_some_and(|until| until > now)
    }

    /// Takes out of `open` what failed a moment ago.
    pub(super) fn withhold(&self, now: Instant, open: &mut RangeSet) {
        for deferred in self.deferred.iter().filter(|deferred| deferred.until > now) {
            open.remove(deferred.range);
        }
    }

    /// When the next wait ends.
    pub(super) fn timeout(&self, now: Instant) -> Option<Instant> {
        let waits = [self.hold, self.dial_hold]
            .into_iter()
            .flatten()
            .chain(self.deferred.iter().map(|d| d.until));
        waits.filter(|&until| until > now).min()
    }

    pub(super) fn on_progress(&mut self, news: ByteRange, lease: &Lease) {
        self.budget.on_progress(news.len());
        if lease.dialled == Dialled::New && self.undialled.is_none_or(|at| lease.requested >= at) {
            self.dials.on_progress(news.len());
        }
        self.deferred
            .retain(|deferred| deferred.range.intersect(&news).is_none());
    }

    fn defer(&mut self, now: Instant, range: ByteRange, failure: Failure) {
        let known = self
            .deferred
            .iter()
            .position(|deferred| deferred.range.intersect(&range).is_some());
        let mut budget = match known {
            Some(at) => self.deferred.swap_remove(at).budget,
            None => RetryBudget::new(
                self.policy.clone(),
                self.seed ^ range.start().wrapping_mul(0x9E37_79B9_7F4A_7C15),
            ),
        };
        let until = later(now, wait(budget.on_failure(failure)));
        self.deferred.push(Deferred {
            range,
            budget,
            until,
        });
    }

    /// Counts a connection that did not work while others do, and says until when none is dialled.
    fn slow_dials(&mut self, now: Instant, failure: Failure) -> Instant {
        let until = later(now, wait(self.dials.on_failure(failure)));
        self.dial_hold = self.dial_hold.max(Some(until));
        self.undialled = Some(now);
        until
    }

    fn hold(&mut self, until: Instant) {
        self.hold = self.hold.max(Some(until));
    }
}

impl Scheduler {
    pub(super) fn failed(&mut self, now: Instant, id: LeaseId, failure: Failure) {
        let was_proven = self
            .leases
            .get(&id)
            .is_some_and(|lease| self.connections[&lease.connection].is_proven());
        let Some(lease) = self.drop_lease(id) else {
            return;
        };
        if self.state != State::Running {
            return;
        }
        // Somebody else fetches the same bytes: nothing is lost.
        if lease.rest().is_none_or(|rest| {
            self.leases
                .values()
                .filter_map(Lease::rest)
                .any(|other| other.contains(&rest))
        }) {
            return;
        }
        if !failure.class.is_retryable() {
            self.fail(lease.range, failure.class);
        } else if !self.is_working(now) {
            self.count(now, &lease, failure);
        } else if was_kept_too_long(&lease, failure.class) {
            // Nobody is to blame: the bytes go to the next connection.
        } else if failure.class.is_push_back() {
            self.step_back(now, failure, was_proven);
        } else {
            self.put_off(now, &lease, failure);
        }
        if self.connections.is_empty() {
            // From here on it is the budget that decides about the waits.
            self.trouble.dial_hold = None;
            self.ramp.start_over();
        }
    }

    /// Whether some other lease does its work.
    fn is_working(&self, now: Instant) -> bool {
        let patience = WORKING.max(Duration::from_secs_f64(
            LATENCIES * self.latency.unwrap_or(0.0),
        ));
        let works = |lease: &Lease| {
            lease.accepted.is_some() && now.saturating_duration_since(lease.alive_at()) <= patience
        };
        self.leases.values().any(works)
    }

    /// A failure with nothing else at work uses up the budget.
    fn count(&mut self, now: Instant, lease: &Lease, failure: Failure) {
        if self.trouble.counted.is_some_and(|at| lease.requested < at) {
            let asked = self
                .trouble
                .policy
                .honoured(failure.retry_after.unwrap_or_default());
            self.trouble.hold(later(now, asked));
            return;
        }
        match self.trouble.budget.on_failure(failure) {
            Verdict::Retry(after) => {
                self.trouble.counted = Some(now);
                self.trouble.hold(later(now, after));
            }
            Verdict::GiveUp => self.fail(lease.range, failure.class),
        }
    }

    /// The host wants fewer connections than there are, or fewer requests; what works goes on.
    fn step_back(&mut self, now: Instant, failure: Failure, was_proven: bool) {
        self.ramp.on_push_back(now, self.proven());
        let until = self.trouble.slow_dials(now, failure);
        // A connection that was served before is one request too many, not one connection too many.
        if was_proven && failure.class == Class::Throttled {
            self.trouble.hold(until);
        }
    }

    /// One of many failed: a reset after bytes is taken up at once, anything else later.
    fn put_off(&mut self, now: Instant, lease: &Lease, failure: Failure) {
        if lease.gained() >= SERVED {
            return;
        }
        self.trouble.slow_dials(now, failure);
        if let (0, Some(rest)) = (lease.gained(), lease.rest()) {
            self.trouble.defer(now, rest, failure);
        }
    }

    fn fail(&mut self, range: ByteRange, class: Class) {
        self.state = State::Failed;
        self.leases.clear();
        self.connections.clear();
        self.actions.clear();
        self.actions.push_back(Action::Fail { range, class });
    }
}

/// Whether the host had closed an idle connection before it saw the request.
fn was_kept_too_long(lease: &Lease, class: Class) -> bool {
    lease.dialled == Dialled::Reused && lease.accepted.is_none() && class != Class::Throttled
}

fn wait(verdict: Verdict) -> Duration {
    match verdict {
        Verdict::Retry(after) => after,
        Verdict::GiveUp => Duration::ZERO,
    }
}

/// Bytes after which a connection was served, however it ended.
const SERVED: u64 = 4 * 1024;
/// A lease works if it gave a sign of life within this, or within so many latencies.
const WORKING: Duration = Duration::from_secs(2);
const LATENCIES: f64 = 8.0;
