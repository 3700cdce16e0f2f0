//! The scheduler's state and its face: events in, actions out, questions about progress.

mod assign;
mod books;
mod health;
mod limit;
mod notes;
mod outlook;
mod ramp;
mod share;
mod sources;
mod table;
mod trouble;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use self::health::Health;
use self::ramp::Ramp;
use self::sources::Source;
pub use self::sources::Standing;
use self::table::{Connection, Dialled, Lease};
use self::trouble::Trouble;
use crate::meter::Meter;
use crate::{
    Action, ByteRange, Config, ConnectionId, Event, Geometry, LeaseId, Plan, RangeSet, SourceId,
};

/// Decides who fetches what in one transfer.
///
/// Sans-I/O: [`handle`](Self::handle) what happened, then take [`poll_action`](Self::poll_action) until it is `None`, then wait
/// for the next event or [`poll_timeout`](Self::poll_timeout), whichever is first. No call blocks, and none panics on
/// events that make no sense. Time never runs backwards for it: an earlier `now` counts as the latest one seen.
#[derive(Debug)]
pub struct Scheduler {
    geometry: Geometry,
    config: Config,
    done: RangeSet,
    connections: BTreeMap<ConnectionId, Connection>,
    leases: BTreeMap<LeaseId, Lease>,
    /// In the order in which they were named; the primary is always there.
    sources: Vec<Source>,
    seed: u64,
    /// Connections that the driver needs itself.
    reserved: u32,
    /// When a connection last went over to another source.
    moved: Option<Instant>,
    dialled: u32,
    leased: u64,
    ramp: Ramp,
    trouble: Trouble,
    /// Smoothed seconds to an answer on a connection that stands, and with dialling.
    latency: Option<f64>,
    setup: Option<f64>,
    total: Option<Meter>,
    /// Bytes that were reported, those fetched twice as well.
    delivered: u64,
    health: Health,
    actions: VecDeque<Action>,
    state: State,
    clock: Option<Instant>,
    wake: Wake,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Finished,
    Failed,
}

/// When there is something to decide.
#[derive(Clone, Copy, Debug)]
enum Wake {
    Now,
    At(Instant),
    Never,
}

impl Scheduler {
    /// A scheduler for what is missing of `plan`. `seed` decides the chance in the waits before retries.
    pub fn new(plan: Plan, config: Config, seed: u64) -> Self {
        Self {
            geometry: plan.geometry(),
            done: plan.present().clone(),
            connections: BTreeMap::new(),
            leases: BTreeMap::new(),
            sources: vec![Source::new(SourceId::PRIMARY, config.policy(), seed)],
            seed,
            reserved: 0,
            moved: None,
            dialled: 0,
            leased: 0,
            ramp: Ramp::new(config.wanted(), config.start()),
            trouble: Trouble::new(config.policy().clone(), seed),
            latency: None,
            setup: None,
            total: None,
            delivered: 0,
            health: Health::default(),
            actions: VecDeque::new(),
            state: State::Running,
            clock: None,
            wake: Wake::Now,
            config,
        }
    }

    /// Takes over a response that is being received already: the probe, which is the first lease.
    ///
    /// `range` is what was really asked for and granted; `latency` is the time from the request to its head. `None`
    /// when the range lies outside the object, overlaps a live lease, or the transfer has ended.
    pub fn adopt(
        &mut self,
        now: Instant,
        range: ByteRange,
        latency: Duration,
    ) -> Option<(ConnectionId, LeaseId)> {
        let now = self.advance(now);
        let is_free = self
            .leases
            .values()
            .filter_map(Lease::rest)
            .all(|rest| rest.intersect(&range).is_none());
        if self.state != State::Running || range.end() > self.geometry.len() || !is_free {
            return None;
        }
        let connection = self.dial(now, SourceId::PRIMARY);
        let lease = self.grant(now, connection, range, Dialled::Reused);
        self.accepted(now, lease, latency);
        Some((connection, lease))
    }

    /// Takes note of what happened at `now`.
    pub fn handle(&mut self, now: Instant, event: Event) {
        let now = self.advance(now);
        match event {
            Event::Accepted { lease, latency } => self.accepted(now, lease, latency),
            Event::Progress { lease, position } => self.progress(now, lease, position),
            Event::Failed { lease, failure } => self.failed(now, lease, failure),
            Event::Shrunk { lease, end } => self.shrunk(now, lease, end),
            Event::Invalidated { range } => self.invalidated(range),
            Event::Trusted { source } => self.trusted(source),
            Event::Lost { source } => self.lose(source),
            Event::Reserved { connections } => self.reserved = connections,
            Event::HostLimit {
                source,
                connections,
            } => {
                if let Some(source) = self.source_mut(source) {
                    source.limit.on_host_limit(now, connections);
                }
                let most = self.most();
                self.ramp.cut(most);
            }
            Event::HostHeld { source, until } => {
                // A word of another transfer to the same host; no host may put this one off for ever.
                let longest = later(now, self.config.policy().honoured(Duration::MAX));
                if let Some(source) = self.source_mut(source) {
                    source.hold_dials(until.min(longest));
                }
            }
            Event::SetConnections(wanted) => self.ramp.want(wanted, self.proven()),
            Event::Tick => {}
        }
        self.wake = Wake::Now;
    }

    /// The next thing to do, decided at `now`; `None` when there is nothing until the next event or timeout.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        let now = self.advance(now);
        if self.actions.is_empty() && self.is_due(now) {
            self.decide(now);
        }
        self.actions.pop_front()
    }

    /// When to call [`poll_action`](Self::poll_action) again if nothing happens before. `None`: only events matter.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state != State::Running {
            return None;
        }
        match self.wake {
            Wake::Now => self.clock,
            Wake::At(at) => Some(at),
            Wake::Never => None,
        }
    }

    /// The bytes that are there.
    pub const fn done(&self) -> &RangeSet {
        &self.done
    }

    /// The bytes that are not there yet, leased or not.
    pub fn missing(&self) -> RangeSet {
        self.geometry
            .whole()
            .map_or_else(RangeSet::new, |whole| self.done.gaps(whole))
    }

    /// Number of bytes that are there, those of earlier runs included.
    pub fn received(&self) -> u64 {
        self.done.covered()
    }

    /// The geometry of the plan.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Bytes a second of all connections together, smoothed over about a second.
    pub fn rate(&self, now: Instant) -> u64 {
        self.total
            .as_ref()
            .and_then(|total| total.rate(now))
            .unwrap_or(0.0) as u64
    }

    /// How long the rest takes at the present rate; `None` while nothing comes.
    pub fn eta(&self, now: Instant) -> Option<Duration> {
        let rate = self.rate(now);
        let missing = self.geometry.len() - self.received();
        (rate > 0).then(|| Duration::from_secs(missing / rate))
    }

    /// Number of live connections: dialling, receiving or idle.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The bytes of live leases that are still to come, with the lease that fetches them, by age of the lease.
    pub fn leases(&self) -> impl Iterator<Item = (LeaseId, ByteRange)> + '_ {
        self.leases
            .iter()
            .filter_map(|(&id, lease)| Some((id, lease.rest()?)))
    }

    /// How many connections the host of a source was seen to stand, when that was fewer than wanted: worth remembering
    /// for the next transfer from there, as [`Event::HostLimit`].
    pub fn host_limit(&self, source: SourceId) -> Option<u32> {
        let source = self.sources.iter().find(|known| known.id == source);
        source.and_then(|source| source.limit.learned())
    }

    /// Number of connections to a source on which it has answered.
    pub fn answered_by(&self, source: SourceId) -> u32 {
        self.proven_at(source)
    }

    /// Number of live connections to a source.
    pub fn connections_to(&self, source: SourceId) -> u32 {
        self.live_at(source)
    }

    /// Whether [`Action::Finish`] was given and nothing was invalidated since.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Whether [`Action::Fail`] was given.
    pub fn is_failed(&self) -> bool {
        self.state == State::Failed
    }
}

/// When and in which order things are decided.
impl Scheduler {
    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.clock.map_or(now, |clock| clock.max(now));
        self.clock = Some(now);
        now
    }

    fn is_due(&self, now: Instant) -> bool {
        self.state == State::Running
            && match self.wake {
                Wake::Now => true,
                Wake::At(at) => at <= now,
                Wake::Never => false,
            }
    }

    fn decide(&mut self, now: Instant) {
        self.wake = Wake::Never;
        if self.missing().is_empty() {
            self.finish();
            return;
        }
        self.raise_limits(now);
        self.measure(now);
        self.replace_stragglers(now);
        self.close_surplus(now);
        if !self.trouble.is_held(now) {
            self.move_on(now);
            self.assign(now);
            self.share(now);
        }
        self.climb(now);
        self.wake = self.next_wake(now).map_or(Wake::Never, Wake::At);
    }

    fn finish(&mut self) {
        for id in self.leases.keys().copied().collect::<Vec<_>>() {
            self.abandon(id);
        }
        self.state = State::Finished;
        self.actions.push_back(Action::Finish);
    }

    fn climb(&mut self, now: Instant) {
        if self.sources.iter().any(|s| s.limit.learned().is_some()) {
            return;
        }
        let working = self
            .connections
            .values()
            .filter(|c| c.is_proven() && c.lease.is_some())
            .count();
        let left = self.eta(now).unwrap_or_default();
        self.ramp.climb(
            now,
            u32::try_from(working).unwrap_or(u32::MAX),
            self.delivered,
            left,
        );
    }

    fn next_wake(&self, now: Instant) -> Option<Instant> {
        let watch = (!self.leases.is_empty()).then(|| later(now, WATCH));
        let idle = self
            .connections
            .values()
            .filter(|c| c.lease.is_none())
            .map(|c| later(c.idle_since, IDLE))
            .min();
        let (sources, trouble) = (self.source_timeout(now), self.trouble.timeout(now));
        [watch, idle, sources, trouble]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.max(now + Duration::from_millis(1)))
    }
}

/// `now + after`, or as late as can be said.
fn later(now: Instant, after: Duration) -> Instant {
    now.checked_add(after)
        .or_else(|| now.checked_add(FAR))
        .unwrap_or(now)
}

/// How often live leases are looked at when the driver says nothing.
const WATCH: Duration = Duration::from_millis(250);
/// An idle connection is closed after this; hosts close theirs not much later.
const IDLE: Duration = Duration::from_secs(5);
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
