//! The scheduler under a driver that says whatever it likes, and then under an honest one that wants to finish.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use bytehaul_schedule::{
    Action, ByteRange, Class, Config, ConnectionId, Connections, Event, Failure, LeaseId, Plan,
    RangeSet, Scheduler, SourceId,
};

use crate::input::Input;

/// After any events: nothing is lost or counted twice, the clock and the actions end, and honest work finishes it.
pub fn scheduler_events(data: &[u8]) {
    let mut input = Input(data);
    let mut driver = Driver::new(&mut input);
    while !input.0.is_empty() {
        driver.disturb(&mut input);
        driver.act();
        driver.check();
    }
    driver.finish();
}

struct Driver {
    now: Instant,
    scheduler: Scheduler,
    live: BTreeMap<LeaseId, (ConnectionId, ByteRange)>,
    seen: Vec<LeaseId>,
    sources: BTreeMap<ConnectionId, SourceId>,
    ended: bool,
}

impl Driver {
    fn new(input: &mut Input<'_>) -> Self {
        let len = input.number() % (1 << 30);
        let piece = NonZeroU64::new(1 << (10 + input.byte() % 12)).expect("a power of two");
        let connections = match input.byte() {
            0 => Connections::Auto,
            count => Connections::fixed(u32::from(count % 20)),
        };
        let config = Config::default()
            .connections(connections)
            .min_split(input.number() % (32 << 20));
        let mut done = RangeSet::new();
        for _ in 0..input.byte() % 4 {
            done.extend_by(input.number() % (len + 1), input.number() % (len + 1), len);
        }
        let plan = Plan::new(len, piece).done(done);
        let scheduler = Scheduler::new(plan, config, input.number());
        Self {
            now: Instant::now(),
            scheduler,
            live: BTreeMap::new(),
            seen: Vec::new(),
            sources: BTreeMap::new(),
            ended: false,
        }
    }

    /// One event, sensible or not.
    fn disturb(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        let lease = match input.byte() {
            255 => LeaseId(input.number()),
            index if self.seen.is_empty() => LeaseId(u64::from(index)),
            index => self.seen[usize::from(index) % self.seen.len()],
        };
        self.now += Duration::from_millis(input.number() % 10_000);
        let source = SourceId(u32::from(input.byte() % 4));
        let event = match choice % 13 {
            0 => Event::Tick,
            1 => Event::Accepted {
                lease,
                latency: Duration::from_micros(input.number()),
            },
            2 => Event::Progress {
                lease,
                position: input.number(),
            },
            3 => {
                let class = match input.byte() % 5 {
                    0 => Class::Throttled,
                    1 => Class::Refused,
                    2 if input.byte() == 0 => Class::Fatal,
                    3 if input.byte() == 0 => Class::RangesUnreliable,
                    _ => Class::Transient,
                };
                let failure = match input.byte() {
                    0 => Failure::new(class).retry_after(Duration::from_secs(input.number())),
                    _ => Failure::new(class),
                };
                self.live.remove(&lease);
                Event::Failed { lease, failure }
            }
            4 => Event::Shrunk {
                lease,
                end: input.number(),
            },
            5 => {
                let Some(range) = ByteRange::with_len(input.number(), input.number()) else {
                    return;
                };
                Event::Invalidated { range }
            }
            6 => Event::HostLimit {
                source,
                connections: u32::from(input.byte()),
            },
            7 => Event::HostHeld {
                source,
                until: self.now + Duration::from_secs(input.number() % 1_000),
            },
            8 => Event::Trusted { source },
            9 => Event::Lost { source },
            10 => Event::Reserved {
                connections: u32::from(input.byte() % 8),
            },
            11 => Event::SetConnections(Connections::fixed(u32::from(input.byte() % 20))),
            _ => {
                let Some(range) = ByteRange::with_len(input.number(), input.number()) else {
                    return;
                };
                if let Some((connection, lease)) =
                    self.scheduler
                        .adopt(self.now, range, Duration::from_millis(5))
                {
                    self.live.insert(lease, (connection, range));
                    self.seen.push(lease);
                }
                return;
            }
        };
        self.scheduler.handle(self.now, event);
        // Invalidated bytes reopen what was finished.
        self.ended &= self.scheduler.is_finished() || self.scheduler.is_failed();
    }

    /// Carries out all actions, as a driver would.
    fn act(&mut self) {
        for _ in 0..MOST_ACTIONS {
            let Some(action) = self.scheduler.poll_action(self.now) else {
                return;
            };
            match action {
                Action::Fetch {
                    connection,
                    source,
                    lease,
                    range,
                } => {
                    let known = *self.sources.entry(connection).or_insert(source);
                    assert_eq!(known, source, "{connection} leads elsewhere");
                    assert!(!self.seen.contains(&lease), "{lease} is given twice");
                    assert!(range.end() <= self.scheduler.geometry().len(), "{range:?}");
                    self.seen.push(lease);
                    self.live.insert(lease, (connection, range));
                }
                Action::Shrink { lease, end } => self
                    .scheduler
                    .handle(self.now, Event::Shrunk { lease, end }),
                Action::Abandon { lease } => {
                    self.live.remove(&lease);
                }
                Action::Close { connection } => self.live.retain(|_, (own, _)| *own != connection),
                Action::Finish | Action::Fail { .. } => self.ended = true,
                _ => (),
            }
        }
        panic!("more than {MOST_ACTIONS} actions without an event");
    }

    fn check(&self) {
        let len = self.scheduler.geometry().len();
        let (done, missing) = (self.scheduler.done(), self.scheduler.missing());
        assert_eq!(done.covered() + missing.covered(), len);
        assert!(done.intersection(&missing).is_empty());
        assert_eq!(self.scheduler.received(), done.covered());
        for (lease, range) in self.scheduler.leases() {
            assert!(range.end() <= len, "{lease}: {range:?}");
        }
        let _ = (self.scheduler.rate(self.now), self.scheduler.eta(self.now));
    }

    /// From here on every request succeeds, so the end has to come.
    fn finish(&mut self) {
        let source = SourceId(0);
        self.scheduler.handle(self.now, Event::Trusted { source });
        let connections = 0;
        self.scheduler
            .handle(self.now, Event::Reserved { connections });
        for _ in 0..MOST_ROUNDS {
            self.act();
            if self.scheduler.is_finished() || self.scheduler.is_failed() {
                let over = self.scheduler.poll_action(self.now);
                assert_eq!((over, self.ended), (None, true));
                assert!(self.scheduler.is_failed() || self.scheduler.missing().is_empty());
                return;
            }
            let next = self.scheduler.leases().next();
            if let Some((lease, rest)) = next {
                let latency = Duration::from_millis(10);
                self.now += latency;
                self.scheduler
                    .handle(self.now, Event::Accepted { lease, latency });
                self.scheduler.handle(
                    self.now,
                    Event::Progress {
                        lease,
                        position: rest.end(),
                    },
                );
            } else {
                let later = self.now + Duration::from_secs(1);
                self.now = self
                    .scheduler
                    .poll_timeout()
                    .map_or(later, |due| due.max(self.now));
                self.scheduler.handle(self.now, Event::Tick);
            }
        }
        panic!(
            "{MOST_ROUNDS} honest rounds do not finish: {:?} missing",
            self.scheduler.missing()
        );
    }
}

/// Filling a set from numbers of the fuzzer's choice.
trait ExtendBy {
    fn extend_by(&mut self, one: u64, other: u64, len: u64);
}

impl ExtendBy for RangeSet {
    fn extend_by(&mut self, one: u64, other: u64, len: u64) {
        if let Some(range) = ByteRange::new(one.min(other), one.max(other).min(len)) {
            self.insert(range);
        }
    }
}

const MOST_ACTIONS: usize = 10_000;
const MOST_ROUNDS: usize = 100_000;
