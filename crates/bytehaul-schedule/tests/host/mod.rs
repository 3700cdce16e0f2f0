//! A host without a network: keeps the books of what the scheduler asked for, and fails when it breaks a law.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use bytehaul_schedule::{
    Action, ByteRange, Class, Config, ConnectionId, Event, Failure, LeaseId, Plan, RangeSet,
    Scheduler, SourceId,
};

/// A request that the host has and has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) connection: ConnectionId,
    pub(crate) range: ByteRange,
    pub(crate) position: u64,
    pub(crate) accepted: bool,
}

/// The other side of a scheduler, with its books.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: Instant,
    pub(crate) len: u64,
    pub(crate) requests: BTreeMap<LeaseId, Request>,
    pub(crate) open: BTreeSet<ConnectionId>,
    pub(crate) ended: Vec<LeaseId>,
    pub(crate) seen: BTreeSet<LeaseId>,
    pub(crate) gone: BTreeSet<ConnectionId>,
    pub(crate) received: RangeSet,
    /// The sources that may be asked, which of them each connection leads to, and what each brought.
    pub(crate) used: BTreeSet<SourceId>,
    pub(crate) leads: BTreeMap<ConnectionId, SourceId>,
    pub(crate) brought: BTreeMap<SourceId, RangeSet>,
    /// How far ahead of its position a worker has claimed bytes.
    pub(crate) claim: u64,
    pub(crate) last: Option<Action>,
}

impl Host {
    pub(crate) fn new(
        len: u64,
        piece_size: u64,
        done: RangeSet,
        config: Config,
        seed: u64,
    ) -> Self {
        let plan = Plan::new(len, NonZeroU64::new(piece_size).unwrap()).done(done.clone());
        let received = plan.present().clone();
        Self {
            scheduler: Scheduler::new(plan, config, seed),
            now: Instant::now(),
            len,
            requests: BTreeMap::new(),
            open: BTreeSet::new(),
            ended: Vec::new(),
            seen: BTreeSet::new(),
            gone: BTreeSet::new(),
            received,
            used: BTreeSet::from([SourceId::PRIMARY]),
            leads: BTreeMap::new(),
            brought: BTreeMap::new(),
            claim: 0,
            last: None,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.last, Some(Action::Finish | Action::Fail { .. }))
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.tell(Event::Tick);
    }

    /// Waits for the scheduler's own timeout.
    pub(crate) fn sleep(&mut self) {
        let at = self
            .scheduler
            .poll_timeout()
            .expect("an idle scheduler that is not done has a timeout");
        self.now = self.now.max(at);
        self.act();
    }

    pub(crate) fn accept(&mut self, lease: LeaseId, millis: u64) {
        if let Some(request) = self.requests.get_mut(&lease) {
            request.accepted = true;
        }
        self.tell(Event::Accepted {
            lease,
            latency: Duration::from_millis(millis),
        });
    }

    /// Brings up to `bytes` more of a request.
    pub(crate) fn bring(&mut self, lease: LeaseId, bytes: u64) {
        let Some(request) = self.requests.get_mut(&lease) else {
            return;
        };
        let position = request
            .position
            .saturating_add(bytes)
            .min(request.range.end());
        if let Some(news) = ByteRange::new(request.position, position) {
            self.received.insert(news);
            let source = self.leads[&request.connection];
            self.brought.entry(source).or_default().insert(news);
        }
        request.position = position;
        if position == request.range.end() {
            self.end(lease);
        }
        self.tell(Event::Progress { lease, position });
    }

    pub(crate) fn fail(&mut self, lease: LeaseId, class: Class, retry_after: Option<Duration>) {
        if let Some(request) = self.end(lease) {
            self.open.remove(&request.connection);
            self.gone.insert(request.connection);
        }
        let mut failure = Failure::new(class);
        failure.retry_after = retry_after;
        self.tell(Event::Failed { lease, failure });
    }

    /// Another source may be asked from now on.
    pub(crate) fn trust(&mut self, source: SourceId) {
        self.used.insert(source);
        self.tell(Event::Trusted { source });
    }

    /// A source is proven to lie: it is not asked again, and nothing that it brought is used.
    pub(crate) fn quarantine(&mut self, source: SourceId) {
        self.used.remove(&source);
        self.scheduler.handle(self.now, Event::Lost { source });
        for range in self.brought.remove(&source).unwrap_or_default().iter() {
            self.invalidate(range);
        }
        self.act();
    }

    pub(crate) fn invalidate(&mut self, range: ByteRange) {
        let before = self.received.covered();
        self.received.remove(range);
        if self.received.covered() < before {
            self.last = self.last.filter(|action| !matches!(action, Action::Finish));
        }
        self.tell(Event::Invalidated { range });
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.scheduler.handle(self.now, event);
        self.act();
    }

    /// Carries out what the scheduler wants, and checks that it may want it.
    pub(crate) fn act(&mut self) {
        let mut steps = 0;
        while let Some(action) = self.scheduler.poll_action(self.now) {
            steps += 1;
            assert!(steps < 5_000, "never waits");
            assert!(!self.is_over(), "{action:?} after {:?}", self.last);
            self.last = Some(action);
            match action {
                Action::Fetch {
                    connection,
                    source,
                    lease,
                    range,
                } => self.fetch(connection, source, lease, range),
                Action::Shrink { lease, end } => self.shrink(lease, end),
                Action::Abandon { lease } => {
                    let request = self.end(lease).expect("abandons a live lease");
                    self.open.remove(&request.connection);
                    self.gone.insert(request.connection);
                }
                Action::Close { connection } => {
                    assert!(
                        self.requests.values().all(|r| r.connection != connection),
                        "closes a busy connection"
                    );
                    assert!(self.open.remove(&connection), "closes what is not open");
                    self.gone.insert(connection);
                }
                Action::Finish => assert_eq!(self.received.covered(), self.len, "finishes early"),
                Action::Fail { .. } => self.requests.clear(),
                other => panic!("unknown {other:?}"),
            }
        }
        self.check();
    }

    /// The laws that hold at every moment.
    pub(crate) fn check(&self) {
        assert_eq!(
            self.scheduler.done(),
            &self.received,
            "done is what was reported"
        );
        let missing = self.scheduler.missing();
        assert_eq!(
            missing.covered() + self.received.covered(),
            self.len,
            "done and missing are the whole"
        );
        assert!(missing.intersection(&self.received).is_empty());
        assert_eq!(
            self.scheduler.is_finished(),
            matches!(self.last, Some(Action::Finish))
        );
        if self.is_over() {
            assert_eq!(self.scheduler.poll_timeout(), None);
            return;
        }
        let mine: Vec<_> = self
            .requests
            .iter()
            .map(|(&id, r)| (id, ByteRange::new(r.position, r.range.end()).unwrap()))
            .collect();
        assert_eq!(
            self.scheduler.leases().collect::<Vec<_>>(),
            mine,
            "both know the same leases"
        );
        assert_eq!(
            self.scheduler.connections(),
            self.open.len(),
            "both know the same connections"
        );
    }

    fn fetch(
        &mut self,
        connection: ConnectionId,
        source: SourceId,
        lease: LeaseId,
        range: ByteRange,
    ) {
        assert!(self.used.contains(&source), "{source} is not in use");
        let leads_to = *self.leads.entry(connection).or_insert(source);
        assert_eq!(leads_to, source, "{connection} leads elsewhere");
        assert!(self.seen.insert(lease), "{lease} was used before");
        assert!(!self.gone.contains(&connection), "{connection} is gone");
        assert!(range.end() <= self.len, "{range} is outside");
        assert!(
            self.requests.values().all(|r| r.connection != connection),
            "{connection} is busy"
        );
        let overlaps = |r: &&Request| {
            ByteRange::new(r.position, r.range.end())
                .is_some_and(|rest| rest.intersect(&range).is_some())
        };
        let raced: Vec<_> = self.requests.values().filter(overlaps).collect();
        match raced[..] {
            [] => {}
            [one] => assert!(
                range.start() == one.position
                    && range.end() == one.range.end()
                    && range.len() <= 2 << 20,
                "{range} races {one:?}"
            ),
            _ => panic!("{range} races several: {raced:?}"),
        }
        assert!(
            self.received.overlapping(range).next().is_none(),
            "{range} is there already"
        );
        self.open.insert(connection);
        self.requests.insert(
            lease,
            Request {
                connection,
                range,
                position: range.start(),
                accepted: false,
            },
        );
    }

    fn shrink(&mut self, lease: LeaseId, end: u64) {
        let request = self.requests.get_mut(&lease).expect("shrinks a live lease");
        assert!(
            request.position < end && end < request.range.end(),
            "shrinks {request:?} to {end}"
        );
        let claimed = request
            .position
            .saturating_add(self.claim)
            .min(request.range.end());
        let end = end.max(claimed);
        request.range = ByteRange::new(request.range.start(), end).unwrap();
        self.scheduler
            .handle(self.now, Event::Shrunk { lease, end });
    }

    fn end(&mut self, lease: LeaseId) -> Option<Request> {
        self.ended.push(lease);
        self.requests.remove(&lease)
    }
}
