//! The places that have the object: what each is known to do, and which of them the next connection goes to.

use std::time::{Duration, Instant};

use super::limit::Limit;
use super::table::{Cut, Shrink};
use super::{Scheduler, later};
use crate::{
    Action, Class, ConnectionId, Failure, LeaseId, RetryBudget, RetryPolicy, SourceId, Verdict,
};

/// Whether a source is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Connections may go there.
    Used,
    /// It failed a moment ago; nothing is asked of it before this.
    Resting(Instant),
    /// It failed for good, or the driver said so. [`Event::Trusted`](crate::Event::Trusted) brings it back.
    Lost,
}

/// What is known of one source.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) id: SourceId,
    pub(super) limit: Limit,
    /// Failures while nothing of it works.
    strikes: RetryBudget,
    /// Failures of new connections while others work: these only slow down dialling.
    dials: RetryBudget,
    /// Nothing is requested of it, and nothing is dialled, before these.
    hold: Option<Instant>,
    dial_hold: Option<Instant>,
    /// When dialling last failed; only what is dialled later can show that it works again.
    undialled: Option<Instant>,
    /// When a failure was last counted; requests that are older failed for the same reason.
    counted: Option<Instant>,
    /// When it last had a connection, and its rate then.
    tried: Option<Instant>,
    /// Connections in a row that were cut off after little.
    short: u32,
    rate: Option<f64>,
    lost: bool,
}

impl Source {
    pub(super) fn new(id: SourceId, policy: &RetryPolicy, seed: u64) -> Self {
        let seed = seed ^ u64::from(id.0).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self {
            id,
            limit: Limit::default(),
            strikes: RetryBudget::new(policy.clone(), seed),
            dials: RetryBudget::new(policy.clone().max_retries(u32::MAX), seed ^ 1),
            hold: None,
            dial_hold: None,
            undialled: None,
            counted: None,
            tried: None,
            short: 0,
            rate: None,
            lost: false,
        }
    }

    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.lost || self.hold.is_some_and(|until| until > now)
    }

    pub(super) fn holds_dials(&self, now: Instant) -> bool {
        self.is_held(now) || self.dial_hold.is_some_and(|until| until > now)
    }

    pub(super) fn hold(&mut self, until: Instant) {
        self.hold = self.hold.max(Some(until));
    }

    /// Not by a failure of ours: nothing is dialled before this.
    pub(super) fn hold_dials(&mut self, until: Instant) {
        self.dial_hold = self.dial_hold.max(Some(until));
    }

    pub(super) fn forgive_dials(&mut self) {
        self.dial_hold = None;
    }

    pub(super) fn on_progress(&mut self, bytes: u64, dialled: Option<Instant>) {
        self.strikes.on_progress(bytes);
        if dialled.is_some_and(|requested| self.undialled.is_none_or(|at| requested >= at)) {
            self.dials.on_progress(bytes);
        }
    }

    /// Counts a connection that did not work while others do, and says until when none is dialled.
    pub(super) fn slow_dials(&mut self, now: Instant, failure: Failure) -> Instant {
        let until = later(now, wait(self.dials.on_failure(failure)));
        self.hold_dials(until);
        self.undialled = Some(now);
        until
    }

    /// A connection broke off after so many bytes. The first short one may be an accident; a host that cuts each one
    /// off is not dialled faster and faster.
    pub(super) fn cut_short(&mut self, now: Instant, carried: u64) {
        if carried >= LONG {
            self.short = 0;
            return;
        }
        let pause = PAUSE * ((1 << self.short.min(MOST_DOUBLINGS)) - 1);
        self.short = self.short.saturating_add(1);
        self.hold_dials(later(now, pause));
    }

    /// Counts a failure of a source of which nothing works: it rests, and in the end is lost.
    fn strike(&mut self, now: Instant, requested: Instant, failure: Failure) {
        if self.counted.is_some_and(|at| requested < at) {
            return;
        }
        self.counted = Some(now);
        match self.strikes.on_failure(failure) {
            Verdict::Retry(after) => self.hold(later(now, after)),
            Verdict::GiveUp => self.lost = true,
        }
    }

    fn timeout(&self, now: Instant) -> Option<Instant> {
        let waits = [self.hold, self.dial_hold].into_iter().flatten();
        waits
            .filter(|&until| until > now)
            .chain(self.limit.timeout())
            .min()
    }

    /// Whether it was measured not long ago.
    fn is_fresh(&self, now: Instant) -> bool {
        self.tried
            .is_some_and(|at| now.saturating_duration_since(at) < TRY_AGAIN)
    }
}

impl Scheduler {
    /// Every source that was ever used, and whether it still is.
    pub fn sources(&self, now: Instant) -> impl Iterator<Item = (SourceId, Standing)> + '_ {
        self.sources.iter().map(move |source| {
            let standing = match source.hold {
                _ if source.lost => Standing::Lost,
                Some(until) if until > now => Standing::Resting(until),
                Some(_) | None => Standing::Used,
            };
            (source.id, standing)
        })
    }

    pub(super) fn trusted(&mut self, id: SourceId) {
        let fresh = Source::new(id, self.config.policy(), self.seed);
        match self.sources.iter_mut().find(|source| source.id == id) {
            Some(known) if known.lost => *known = fresh,
            Some(_) => {}
            None => self.sources.push(fresh),
        }
    }

    /// Takes a source out of use. What flows from it is dropped.
    pub(super) fn lose(&mut self, id: SourceId) {
        if let Some(source) = self.sources.iter_mut().find(|source| source.id == id) {
            source.lost = true;
        }
        let theirs = |connection: &ConnectionId| self.connections[connection].source == id;
        let leases: Vec<_> = self
            .leases
            .iter()
            .filter(|(_, lease)| theirs(&lease.connection))
            .map(|(&lease, _)| lease)
            .collect();
        for lease in leases {
            self.abandon(lease);
        }
        let idle: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.source == id)
            .map(|(&connection, _)| connection)
            .collect();
        for connection in idle {
            self.close(connection);
        }
    }

    pub(super) fn source(&self, id: SourceId) -> &Source {
        let known = self.sources.iter().find(|source| source.id == id);
        known.expect("a connection leads to a known source")
    }

    pub(super) fn source_mut(&mut self, id: SourceId) -> Option<&mut Source> {
        self.sources.iter_mut().find(|source| source.id == id)
    }

    /// Whether any other source may be used, now or after a rest.
    pub(super) fn has_others(&self, id: SourceId) -> bool {
        self.sources
            .iter()
            .any(|source| source.id != id && !source.lost)
    }

    /// Whether nothing may be dialled anywhere at this moment.
    pub(super) fn holds_dials(&self, now: Instant) -> bool {
        self.trouble.is_held(now) || self.sources.iter().all(|source| source.holds_dials(now))
    }

    /// When a wait of any source ends.
    pub(super) fn source_timeout(&self, now: Instant) -> Option<Instant> {
        let used = self.sources.iter().filter(|source| !source.lost);
        used.filter_map(|source| source.timeout(now)).min()
    }

    /// Most connections that make sense at present: as many as the user wants and the hosts together stand, without
    /// those that the driver needs itself.
    pub(super) fn most(&self) -> u32 {
        let wanted = self.ramp.wanted();
        let stood = self
            .sources
            .iter()
            .filter(|source| !source.lost)
            .fold(0u32, |sum, source| {
                sum.saturating_add(source.limit.most(wanted))
            });
        wanted.min(stood).saturating_sub(self.reserved).max(1)
    }

    pub(super) fn raise_limits(&mut self, now: Instant) {
        let wanted = self.ramp.wanted();
        for source in &mut self.sources {
            if source.limit.tick(now, wanted) {
                self.ramp.raise();
            }
        }
    }

    /// Live connections to a source.
    pub(super) fn live_at(&self, id: SourceId) -> u32 {
        let live = self.connections.values().filter(|c| c.source == id);
        u32::try_from(live.count()).unwrap_or(u32::MAX)
    }

    /// Connections to a source on which it has answered.
    pub(super) fn proven_at(&self, id: SourceId) -> u32 {
        let proven = self
            .connections
            .values()
            .filter(|c| c.source == id && c.is_proven());
        u32::try_from(proven.count()).unwrap_or(u32::MAX)
    }

    /// Where the next connection goes: first to those of which nothing is known, then to where it will be fastest.
    pub(super) fn next_source(&self, now: Instant) -> Option<SourceId> {
        let wanted = self.ramp.wanted();
        let open = self.sources.iter().filter(|source| {
            !source.holds_dials(now) && self.live_at(source.id) < source.limit.most(wanted)
        });
        let usual = self.usual_rate(now);
        // The first of equals is the one that was named first.
        let best = open.min_by(|a, b| {
            let rank = |source: &Source| {
                let live = self.live_at(source.id);
                let unknown = live == 0 && !source.is_fresh(now);
                let rate = self.rate_of(now, source).or(usual).unwrap_or(1.0);
                // A host may share out one rate among its connections, or give each its own: something in between.
                (!unknown, -rate / f64::from(live + 1).sqrt())
            };
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        best.map(|source| source.id)
    }

    /// Gives the place of a connection to a source that would use it better, now and then, when there is no room for
    /// one more: that is how mirrors that come late, or prove to be faster, get their share. An idle connection is
    /// closed; a busy one is asked to end soon, and what it does not fetch goes to its successor.
    pub(super) fn move_on(&mut self, now: Instant) {
        let is_early = self
            .moved
            .is_some_and(|at| now.saturating_duration_since(at) < MOVE_EVERY);
        if self.sources.len() < 2 || is_early || self.live() < self.most() {
            return;
        }
        let Some(to) = self.next_source(now) else {
            return;
        };
        let Some((id, lease)) = self.worst_place(now, to) else {
            return;
        };
        match lease {
            None => self.close(id),
            Some(lease) => self.cut(lease),
        }
        self.moved = Some(now);
    }

    /// The connection whose place is worth most to a source, with its lease.
    fn worst_place(&self, now: Instant, to: SourceId) -> Option<(ConnectionId, Option<LeaseId>)> {
        let is_new = self.live_at(to) == 0 && !self.source(to).is_fresh(now);
        let there = self.rate_of(now, self.source(to));
        // Where connections share one rate, the last one gets what the others had, which takes a while to show.
        let is_settled = self
            .moved
            .is_none_or(|at| now.saturating_duration_since(at) >= SETTLES);
        let places = self.connections.iter().filter(|(_, connection)| {
            let from = connection.source;
            let here = self.rate_of(now, self.source(from));
            let is_last = self.live_at(from) == 1;
            let factor = match is_last {
                true if !is_settled => f64::INFINITY,
                true => WORTH_LEAVING,
                false => WORTH_MOVING,
            };
            let is_better =
                matches!((here, there), (Some(here), Some(there)) if there > factor * here);
            from != to && (is_better || (is_new && !is_last))
        });
        let left = |lease: Option<LeaseId>| {
            let rest = lease.and_then(|lease| self.leases[&lease].rest());
            rest.map_or(0, |rest| rest.len())
        };
        let movable = places.filter(|(_, connection)| match connection.lease {
            None => true,
            Some(lease) => {
                let lease = &self.leases[&lease];
                lease.accepted.is_some()
                    && lease.shrink == Shrink::Free
                    && lease.cut == Cut::Whole
                    && lease.races.is_none()
                    && lease.rest().is_some_and(|rest| rest.len() >= WORTH_CUTTING)
            }
        });
        // Idle ones first; then the slowest source's, and of these the one with the most to give away.
        let worst = movable.min_by(|(_, a), (_, b)| {
            let rate = |source| self.rate_of(now, self.source(source)).unwrap_or(f64::MAX);
            let busy = a.lease.is_some().cmp(&b.lease.is_some());
            busy.then(rate(a.source).total_cmp(&rate(b.source)))
                .then(left(b.lease).cmp(&left(a.lease)))
        });
        worst.map(|(&id, connection)| (id, connection.lease))
    }

    fn cut(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        let end = lease.position.saturating_add(KEPT_IN_A_CUT);
        lease.shrink = Shrink::Asked;
        self.actions.push_back(Action::Shrink { lease: id, end });
    }

    /// Remembers how each source does.
    pub(super) fn measure(&mut self, now: Instant) {
        if self.sources.len() < 2 {
            return;
        }
        for at in 0..self.sources.len() {
            let id = self.sources[at].id;
            if self.live_at(id) == 0 {
                continue;
            }
            let rate = self.usual_rate_at(now, id);
            let source = &mut self.sources[at];
            source.rate = rate.or(source.rate);
            source.tried = Some(now);
        }
    }

    /// The rate of a connection to a source, as far as one was seen.
    pub(super) fn rate_of(&self, now: Instant, source: &Source) -> Option<f64> {
        if self.sources.len() < 2 {
            return None;
        }
        // One that stands still is the slowest, but not of no use: the others may be lost.
        let rate = self.usual_rate_at(now, source.id).or(source.rate);
        rate.map(|rate| rate.max(1.0))
    }

    /// A failure at one of several sources: the others go on with the bytes, and it rests when nothing of it works.
    pub(super) fn blame(
        &mut self,
        now: Instant,
        id: SourceId,
        requested: Instant,
        failure: Failure,
        served: Served,
    ) {
        let works = self.works_at(now, id);
        let proven = self.proven_at(id);
        let Some(source) = self.source_mut(id) else {
            return;
        };
        if works && failure.class.is_push_back() {
            source.limit.on_push_back(now, proven);
            source.slow_dials(now, failure);
        } else if works && served == Served::Nothing {
            source.slow_dials(now, failure);
        } else if !works {
            source.strike(now, requested, failure);
            if source.lost {
                self.lose(id);
            }
        }
        if failure.class == Class::Throttled
            && let Some(asked) = failure.retry_after
        {
            let until = later(now, self.config.policy().honoured(asked));
            self.source_mut(id)
                .expect("it was there a moment ago")
                .hold_dials(until);
        }
        let most = self.most();
        self.ramp.cut(most);
    }
}

/// Whether a request brought anything before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    Nothing,
    Something,
}

fn wait(verdict: Verdict) -> Duration {
    match verdict {
        Verdict::Retry(after) => after,
        Verdict::GiveUp => Duration::ZERO,
    }
}

/// A connection that carried as many bytes was no waste.
const LONG: u64 = 256 * 1024;
/// Pause after the second short connection in a row; it doubles with each further one, so many times.
const PAUSE: Duration = Duration::from_millis(20);
const MOST_DOUBLINGS: u32 = 6;
/// A source without a connection is tried again after this: it may have become fast.
const TRY_AGAIN: Duration = Duration::from_secs(30);
/// How often a connection may go over to another source, and how many times faster it has to be there.
const MOVE_EVERY: Duration = Duration::from_millis(500);
const WORTH_MOVING: f64 = 2.0;
/// The same for the last connection to a source, which may well be all that it takes to get what that one can give.
const WORTH_LEAVING: f64 = 4.0;
const SETTLES: Duration = Duration::from_secs(2);
/// A busy connection is asked to end only if so many bytes are left to it; it may still fetch so many of them.
const WORTH_CUTTING: u64 = 1024 * 1024;
const KEPT_IN_A_CUT: u64 = 64 * 1024;
