//! A driver in virtual time: carries a scheduler's actions out on the network and reports what comes of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytehaul_schedule::{
    Action, ByteRange, Class, ConnectionId, Event, Failure, LeaseId, Plan, RangeSet, Scheduler,
    SourceId,
};

use super::chance::Chance;
use super::link::{Answer, Link};
use super::network::{Network, Refusal};
use super::run::{Outcome, Run};

/// A path, a host, a driver and a scheduler, and the time.
pub(super) struct World<'a> {
    run: &'a Run,
    scheduler: Scheduler,
    /// Mirrors that may be used by now.
    joined: usize,
    chance: Chance,
    links: BTreeMap<ConnectionId, Link>,
    start: Instant,
    elapsed: Duration,
    arrived: RangeSet,
    delivered: u64,
    outcome: Outcome,
}

impl<'a> World<'a> {
    pub(super) fn new(run: &'a Run, seed: u64) -> Self {
        let outcome = Outcome {
            time: Duration::ZERO,
            failure: None,
            requests: 0,
            dials: 0,
            wasted: 0,
            peak: 0,
            brought: vec![0; run.mirrors.len() + 1],
        };
        let mut scheduler =
            Scheduler::new(Plan::new(run.len, run.piece_size), run.config.clone(), seed);
        let connections = u32::try_from(run.mirrors.len()).expect("few mirrors");
        if connections > 0 {
            scheduler.handle(Instant::now(), Event::Reserved { connections });
        }
        Self {
            run,
            scheduler,
            joined: 0,
            chance: Chance::new(seed),
            links: BTreeMap::new(),
            start: Instant::now(),
            elapsed: Duration::ZERO,
            arrived: RangeSet::new(),
            delivered: 0,
            outcome,
        }
    }

    /// Lets time pass until the transfer has ended.
    pub(super) fn play(mut self) -> Outcome {
        self.probe();
        while self.step() {}
        self.outcome
    }

    fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    /// The first request, which finds out the length and is then adopted.
    fn probe(&mut self) {
        let network = &self.run.network;
        self.elapsed = network.round_trip * (network.dial_trips + 1);
        let Some(range) = ByteRange::new(0, self.run.probe.min(self.run.len)) else {
            return;
        };
        let adopted = self.scheduler.adopt(self.now(), range, network.round_trip);
        let (connection, lease) = adopted.expect("nothing else is leased yet");
        self.dial(connection, SourceId::PRIMARY);
        let link = self.links.get_mut(&connection).expect("just dialled");
        link.ask(lease, range, self.elapsed);
        link.request.as_mut().expect("just asked").answer = Answer::Come;
        self.outcome.requests += 1;
        self.act();
    }

    /// One step of time; false when the transfer has ended.
    fn step(&mut self) -> bool {
        if self.scheduler.is_finished() || self.scheduler.is_failed() {
            return false;
        }
        self.elapsed += STEP;
        assert!(
            self.elapsed < FOREVER,
            "the transfer never ends: {:?}",
            self.scheduler
        );
        self.join();
        self.outage();
        self.heads();
        self.flow();
        self.deaths();
        self.reports();
        if self
            .scheduler
            .poll_timeout()
            .is_some_and(|at| at <= self.now())
        {
            self.scheduler.handle(self.now(), Event::Tick);
        }
        self.act();
        true
    }

    /// Mirrors prove themselves in the order in which they are named.
    fn join(&mut self) {
        while let Some((_, after)) = self.run.mirrors.get(self.joined)
            && *after <= self.elapsed
        {
            self.joined += 1;
            let source = SourceId(u32::try_from(self.joined).expect("few mirrors"));
            let left = self.run.mirrors.len() - self.joined;
            let connections = u32::try_from(left).expect("few mirrors");
            let now = self.now();
            self.scheduler.handle(now, Event::Trusted { source });
            self.scheduler.handle(now, Event::Reserved { connections });
        }
    }

    fn network(&self, source: SourceId) -> &'a Network {
        match source.0 {
            0 => &self.run.network,
            mirror => &self.run.mirrors[mirror as usize - 1].0,
        }
    }

    fn is_out(&self, source: SourceId) -> bool {
        self.network(source)
            .outage
            .as_ref()
            .is_some_and(|outage| outage.contains(&self.elapsed))
    }

    fn outage(&mut self) {
        let served = self
            .links
            .iter()
            .filter(|(_, link)| link.turned_away.is_none() && self.is_out(link.source))
            .map(|(&id, _)| id);
        for id in served.collect::<Vec<_>>() {
            self.kill(id, Failure::new(Class::Transient));
        }
    }

    fn heads(&mut self) {
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            let link = self.links.get_mut(&id).expect("listed");
            let Some(request) = &mut link.request else {
                continue;
            };
            if request.answer == Answer::Come || request.head_at > self.elapsed {
                continue;
            }
            let lease = request.lease;
            if let Some(failure) = link.turned_away {
                self.kill(id, failure);
                continue;
            }
            request.answer = Answer::Come;
            let source = link.source;
            let latency = self.network(source).round_trip;
            self.scheduler
                .handle(self.now(), Event::Accepted { lease, latency });
        }
    }

    /// Shares the bottleneck max-min fairly among what the connections would take.
    fn flow(&mut self) {
        for source in 0..=self.run.mirrors.len() {
            self.flow_from(SourceId(u32::try_from(source).expect("few mirrors")));
        }
    }

    fn flow_from(&mut self, source: SourceId) {
        let network = self.network(source);
        let mut demands: Vec<_> = self
            .links
            .iter()
            .filter(|(_, link)| link.source == source)
            .map(|(&id, link)| (link.demand(network), id))
            .collect();
        demands.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut rest = network.total.unwrap_or(f64::INFINITY);
        let mut sharers = demands.len() as f64;
        for (demand, id) in demands {
            let rate = demand.min(rest / sharers);
            rest -= rate;
            sharers -= 1.0;
            self.links
                .get_mut(&id)
                .expect("listed")
                .flow(self.elapsed, rate * STEP.as_secs_f64());
        }
    }

    fn deaths(&mut self) {
        let dead: Vec<_> = self
            .links
            .iter()
            .filter_map(|(&id, link)| Some((id, link.death(self.elapsed)?)))
            .collect();
        for (id, failure) in dead {
            self.kill(id, failure);
        }
    }

    fn reports(&mut self) {
        let is_time = self.elapsed.as_millis().is_multiple_of(REPORT_MILLIS);
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            let link = self
                .links
                .get(&id)
                .expect("reporting does not remove links");
            let is_complete = link
                .request
                .as_ref()
                .is_some_and(|request| request.position() == request.range.end());
            if is_complete || is_time {
                self.report(id);
            }
        }
    }

    fn report(&mut self, id: ConnectionId) {
        let link = self.links.get_mut(&id).expect("the caller knows the link");
        let Some(request) = &mut link.request else {
            return;
        };
        if request.answer == Answer::Awaited {
            return;
        }
        let (lease, position) = (request.lease, request.position());
        if let Some(news) = ByteRange::new(request.reported, position) {
            self.delivered += news.len();
            self.outcome.brought[link.source.0 as usize] += news.len();
            self.arrived.insert(news);
        }
        request.reported = position;
        if position == request.range.end() {
            link.request = None;
        }
        self.scheduler
            .handle(self.now(), Event::Progress { lease, position });
    }

    fn kill(&mut self, id: ConnectionId, failure: Failure) {
        self.report(id);
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        // A connection that dies while idle tells nobody: the next request on it would be the first to know.
        let Some(request) = link.request else {
            self.links
                .insert(id, Link::new(link.source, link.fate, Some(failure)));
            return;
        };
        self.scheduler.handle(
            self.now(),
            Event::Failed {
                lease: request.lease,
                failure,
            },
        );
    }

    fn act(&mut self) {
        let mut steps = 0;
        while let Some(action) = self.scheduler.poll_action(self.now()) {
            steps += 1;
            assert!(
                steps < 10_000,
                "the scheduler never waits: {:?}",
                self.scheduler
            );
            match action {
                Action::Fetch {
                    connection,
                    source,
                    lease,
                    range,
                } => self.fetch(connection, source, lease, range),
                Action::Shrink { lease, end } => self.shrink(lease, end),
                Action::Abandon { lease } => {
                    self.links.retain(|_, link| {
                        link.request
                            .as_ref()
                            .is_none_or(|request| request.lease != lease)
                    });
                }
                Action::Close { connection } => {
                    self.links.remove(&connection);
                }
                Action::Finish => self.end(None),
                Action::Fail { class, .. } => self.end(Some(class)),
                other => panic!("unknown action {other:?}"),
            }
        }
    }

    fn fetch(
        &mut self,
        connection: ConnectionId,
        source: SourceId,
        lease: LeaseId,
        range: ByteRange,
    ) {
        assert!(range.end() <= self.run.len, "{range} is outside the object");
        let network = self.network(source);
        let mut wait = network.round_trip;
        if !self.links.contains_key(&connection) {
            wait *= network.dial_trips + 1;
            self.dial(connection, source);
        }
        let head_at = self.elapsed + wait;
        let link = self.links.get_mut(&connection).expect("dialled");
        assert!(link.request.is_none(), "{connection} has a request already");
        link.ask(lease, range, head_at);
        self.outcome.requests += 1;
    }

    fn dial(&mut self, connection: ConnectionId, source: SourceId) {
        let network = self.network(source);
        let fate = network.fate(self.outcome.dials, &mut self.chance);
        let served = self
            .links
            .values()
            .filter(|link| link.source == source && link.turned_away.is_none())
            .count();
        let turned_away = match network.limit {
            _ if self.is_out(source) => Some(Failure::new(Class::Refused)),
            Some((limit, refusal)) if served >= limit as usize => Some(refusal.failure()),
            Some(_) | None => None,
        };
        self.links
            .insert(connection, Link::new(source, fate, turned_away));
        self.outcome.dials += 1;
        self.outcome.peak = self
            .outcome
            .peak
            .max(u32::try_from(self.links.len()).expect("few links"));
    }

    /// The worker gives up what it has not claimed yet.
    fn shrink(&mut self, lease: LeaseId, end: u64) {
        let requests = self
            .links
            .values_mut()
            .filter_map(|link| link.request.as_mut());
        let request = requests
            .into_iter()
            .find(|request| request.lease == lease)
            .expect("a live lease has its request");
        let claimed = (request.position() + CLAIM).min(request.range.end());
        let end = end.max(claimed);
        request.range = ByteRange::new(request.range.start(), end).expect("a claim is not empty");
        self.scheduler
            .handle(self.now(), Event::Shrunk { lease, end });
    }

    fn end(&mut self, failure: Option<Class>) {
        self.outcome.time = self.elapsed;
        self.outcome.failure = failure;
        self.outcome.wasted = self.delivered - self.arrived.covered();
        assert!(
            failure.is_some() || self.arrived.covered() == self.run.len,
            "ended without {:?}",
            self.scheduler.missing()
        );
    }
}

impl Refusal {
    fn failure(self) -> Failure {
        match self {
            Self::Refused => Failure::new(Class::Refused),
            Self::Throttled(None) => Failure::new(Class::Throttled),
            Self::Throttled(Some(wait)) => Failure::new(Class::Throttled).retry_after(wait),
        }
    }
}

const STEP: Duration = Duration::from_millis(1);
/// How often a driver reports.
const REPORT_MILLIS: u128 = 50;
/// Bytes that a worker claims ahead of what it has.
const CLAIM: u64 = 256 * 1024;
/// No scenario takes as long.
const FOREVER: Duration = Duration::from_secs(3_600);
