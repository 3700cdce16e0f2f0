//! What a failure changes: whose fault it is, what waits for how long, and when to give up.

use std::time::{Duration, Instant};

use super::sources::Served;
use super::table::{Dialled, Lease};
use super::{Scheduler, State, later};
use crate::{
    Action, ByteRange, Class, Failure, LeaseId, RangeSet, RetryBudget, RetryPolicy, SourceId,
    Verdict,
};

/// Everything that waits after failures.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    policy: RetryPolicy,
    seed: u64,
    /// Failures while nothing else works: these end the transfer.
    budget: RetryBudget,
    /// Nothing is requested before this.
    hold: Option<Instant>,
    deferred: Vec<Deferred>,
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
            policy: patient,
            seed,
            hold: None,
            deferred: Vec::new(),
            counted: None,
        }
    }

    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.hold.is_some_and(|until| until > now)
    }

    /// Takes out of `open` what failed a moment ago.
    pub(super) fn withhold(&self, now: Instant, open: &mut RangeSet) {
        for deferred in self.deferred.iter().filter(|deferred| deferred.until > now) {
            open.remove(deferred.range);
        }
    }

    /// When the next wait ends.
    pub(super) fn timeout(&self, now: Instant) -> Option<Instant> {
        let waits = self
            .hold
            .into_iter()
            .chain(self.deferred.iter().map(|d| d.until));
        waits.filter(|&until| until > now).min()
    }

    pub(super) fn on_progress(&mut self, news: ByteRange) {
        self.budget.on_progress(news.len());
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

    fn hold(&mut self, until: Instant) {
        self.hold = self.hold.max(Some(until));
    }
}

impl Scheduler {
    pub(super) fn failed(&mut self, now: Instant, id: LeaseId, failure: Failure) {
        let Some((source, was_proven, carried)) = self.leases.get(&id).map(|lease| {
            let connection = &self.connections[&lease.connection];
            let carried = connection.meter.carried();
            (connection.source, connection.is_proven(), carried)
        }) else {
            return;
        };
        let Some(lease) = self.drop_lease(id) else {
            return;
        };
        if self.state != State::Running || failure.class == Class::Withdrawn {
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
        let is_one_of_many = self.has_others(source);
        if !failure.class.is_retryable() && is_one_of_many {
            self.lose(source);
        } else if !failure.class.is_retryable() {
            self.fail(lease.range, failure.class);
        } else if is_one_of_many {
            if !was_kept_too_long(&lease, failure.class) {
                let served = if lease.gained() >= SERVED {
                    Served::Something
                } else {
                    Served::Nothing
                };
                self.blame(now, source, lease.requested, failure, served);
                self.cut_short(now, source, carried, &lease);
            }
        } else if !self.is_working(now) {
            self.count(now, &lease, failure);
        } else if was_kept_too_long(&lease, failure.class) {
            // Nobody is to blame: the bytes go to the next connection.
        } else if failure.class.is_push_back() {
            self.step_back(now, source, failure, was_proven);
        } else {
            self.cut_short(now, source, carried, &lease);
            self.put_off(now, source, &lease, failure);
        }
        if self.connections.is_empty() {
            // From here on it is the budget that decides about the waits.
            if let Some(source) = self.source_mut(source).filter(|_| !is_one_of_many) {
                source.forgive_dials();
            }
            self.ramp.start_over();
        }
    }

    /// Whether some other lease does its work.
    fn is_working(&self, now: Instant) -> bool {
        self.leases
            .values()
            .any(|lease| self.is_at_work(now, lease))
    }

    /// Whether some lease of a source does its work.
    pub(super) fn works_at(&self, now: Instant, source: SourceId) -> bool {
        let mut theirs = self
            .leases
            .values()
            .filter(|lease| self.connections[&lease.connection].source == source);
        theirs.any(|lease| self.is_at_work(now, lease))
    }

    fn is_at_work(&self, now: Instant, lease: &Lease) -> bool {
        let patience = WORKING.max(Duration::from_secs_f64(
            LATENCIES * self.latency.unwrap_or(0.0),
        ));
        lease.accepted.is_some() && now.saturating_duration_since(lease.alive_at()) <= patience
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
    fn step_back(&mut self, now: Instant, source: SourceId, failure: Failure, was_proven: bool) {
        let proven = self.proven_at(source);
        let Some(source) = self.source_mut(source) else {
            return;
        };
        source.limit.on_push_back(now, proven);
        let until = source.slow_dials(now, failure);
        // A connection that was served before is one request too many, not one connection too many.
        if was_proven && failure.class == Class::Throttled {
            source.hold(until);
        }
        let most = self.most();
        self.ramp.cut(most);
    }

    /// A connection that was reset after a little, again and again, is not dialled anew without a pause.
    fn cut_short(&mut self, now: Instant, source: SourceId, carried: u64, lease: &Lease) {
        if lease.gained() >= SERVED
            && let Some(source) = self.source_mut(source)
        {
            source.cut_short(now, carried);
        }
    }

    /// One of many failed: a reset after bytes is taken up at once, anything else later.
    fn put_off(&mut self, now: Instant, source: SourceId, lease: &Lease, failure: Failure) {
        if lease.gained() >= SERVED {
            return;
        }
        if let Some(source) = self.source_mut(source) {
            source.slow_dials(now, failure);
        }
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
