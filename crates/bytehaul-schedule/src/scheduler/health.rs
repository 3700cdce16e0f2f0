//! Which connections are no longer worth having: stalled or slow against their peers, idle, or too many.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::outlook::{Outlook, median};
use super::sources::Served;
use super::table::{Connection, Dialled, Lease};
use super::{IDLE, Scheduler};
use crate::{Class, Failure, LeaseId, SourceId};

/// What is remembered of connections beyond their life.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    /// Average rates of the last connections that are gone, so that a transfer whose good connections happened to die
    /// still knows that its present ones are slow.
    past: VecDeque<(SourceId, f64)>,
    /// Slow connections replaced, less those forgiven since.
    replaced: u32,
    forgiven_at: Option<Instant>,
}

impl Health {
    pub(super) fn remember(&mut self, connection: &Connection) {
        let lifetime = connection.meter.lifetime();
        self.past
            .extend(lifetime.map(|rate| (connection.source, rate)));
        if self.past.len() > REMEMBERED {
            self.past.pop_front();
        }
    }

    /// Where new connections are no better, replacing again and again is no use: a few at once, then one from time to time.
    fn may_replace(&mut self, now: Instant, most: u32) -> bool {
        let since = *self.forgiven_at.get_or_insert(now);
        if now.saturating_duration_since(since) >= FORGIVE_EVERY {
            self.replaced = self.replaced.saturating_sub(1);
            self.forgiven_at = Some(now);
        }
        self.replaced < (most / 2).max(FEW)
    }
}

impl Scheduler {
    /// Gives up leases whose connections stall or crawl while their peers do well, so that new ones take their place.
    pub(super) fn replace_stragglers(&mut self, now: Instant) {
        if self.leases.len() < 2 || self.holds_dials(now) {
            return;
        }
        let outlook = self.outlook(now);
        let most = self.most();
        for id in self.leases.keys().copied().collect::<Vec<_>>() {
            let pace = self.pace(now, &outlook, id);
            let (lease_at, lease_since) = (self.leases[&id].connection, self.leases[&id].requested);
            let lease = self
                .leases
                .get_mut(&id)
                .expect("only the lease at hand is abandoned");
            let slow_since = match pace {
                Pace::Slow => *lease.slow_since.get_or_insert(now),
                Pace::Usual | Pace::Stalled => {
                    lease.slow_since = None;
                    now
                }
            };
            let is_slow = now.saturating_duration_since(slow_since) >= SLOW_FOR;
            if pace == Pace::Stalled {
                let waited = now.saturating_duration_since(lease.requested).as_secs_f64();
                // Next time there is more patience, or a host that is slow to answer would be asked the same for ever.
                if lease.accepted.is_none() {
                    let known = match lease.dialled {
                        Dialled::New => &mut self.setup,
                        Dialled::Reused => &mut self.latency,
                    };
                    *known = Some(known.map_or(waited, |known| known.max(waited)));
                }
                let (at, requested) = (self.connections[&lease_at].source, lease_since);
                self.abandon(id);
                if self.has_others(at) && !self.works_at(now, at) {
                    let silent = Failure::new(Class::Transient);
                    self.blame(now, at, requested, silent, Served::Nothing);
                }
            } else if is_slow && self.health.may_replace(now, most) {
                self.health.replaced += 1;
                self.abandon(id);
            }
        }
    }

    /// Closes idle connections beyond the limit, and those that have been idle for long.
    pub(super) fn close_surplus(&mut self, now: Instant) {
        let mut surplus = self.live().saturating_sub(self.most());
        let idle = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.lease.is_none());
        let idle: Vec<_> = idle
            .map(|(&id, connection)| (id, connection.idle_since))
            .collect();
        for (id, since) in idle {
            if surplus > 0 || now.saturating_duration_since(since) >= IDLE {
                surplus = surplus.saturating_sub(1);
                self.close(id);
            }
        }
    }

    /// The rate that a connection of this transfer usually has: that of the present ones, unless they are all far below
    /// what others had before them.
    pub(super) fn usual_rate(&self, now: Instant) -> Option<f64> {
        self.usual_rate_among(now, |_| true)
    }

    /// The rate that a connection to one source usually has.
    pub(super) fn usual_rate_at(&self, now: Instant, source: SourceId) -> Option<f64> {
        self.usual_rate_among(now, |other| other == source)
    }

    fn usual_rate_among(&self, now: Instant, counts: impl Fn(SourceId) -> bool) -> Option<f64> {
        let meters = || {
            self.connections
                .values()
                .filter(|connection| counts(connection.source))
                .map(|connection| &connection.meter)
        };
        let past = self
            .health
            .past
            .iter()
            .filter(|(source, _)| counts(*source));
        let present = median(meters().filter_map(|meter| meter.rate(now)).collect());
        let lifetimes = meters().filter_map(crate::meter::Meter::lifetime);
        let ever = median(lifetimes.chain(past.map(|&(_, rate)| rate)).collect());
        match (present, ever) {
            (Some(present), Some(ever)) if present < ever * SLOW_AGAINST_PEERS => Some(ever),
            (Some(present), _) => Some(present),
            (None, ever) => ever,
        }
    }

    fn pace(&self, now: Instant, outlook: &Outlook, id: LeaseId) -> Pace {
        let lease = &self.leases[&id];
        let peers = self.leases.iter().filter(|&(&peer, _)| peer != id);
        let lively = peers.filter(|(_, peer)| is_lively(now, peer)).count();
        let Some(usual) = self.usual_rate(now).filter(|_| lively > 0) else {
            return Pace::Usual;
        };
        let runner = outlook.runners.iter().find(|runner| runner.lease == id);
        let runner = runner.expect("a live lease is in the outlook");
        // A new connection has to be dialled, and then does what is usual.
        let replaced = outlook.setup + runner.left / usual;
        if runner.finish < REPLACE_GAIN * replaced || runner.finish < replaced + SHORTEST_USE {
            return Pace::Usual;
        }
        let seconds = |since: Instant| now.saturating_duration_since(since).as_secs_f64();
        let silent = seconds(lease.alive_at());
        if silent >= patience(lease, outlook) && silent * usual >= EXPECTED {
            return Pace::Stalled;
        }
        // Slow is measured against others at the same source: of a slow source another connection is as slow, and
        // whether a connection does better at another source is not a question of this one's health.
        let source = self.connections[&lease.connection].source;
        let kin = self.leases.iter().filter(|&(&peer, other)| {
            peer != id
                && self.connections[&other.connection].source == source
                && is_lively(now, other)
        });
        let Some(usual) = self.usual_rate_at(now, source).filter(|_| kin.count() >= 2) else {
            return Pace::Usual;
        };
        let replaced = outlook.setup + runner.left / usual;
        let is_worth_it =
            runner.finish >= REPLACE_GAIN * replaced && runner.finish >= replaced + SHORTEST_USE;
        let age = lease.accepted.map_or(0.0, seconds);
        let is_judgeable = is_worth_it && age >= JUDGE_AFTER && age * usual >= EXPECTED;
        if is_judgeable && runner.rate < usual * SLOW_AGAINST_PEERS {
            Pace::Slow
        } else {
            Pace::Usual
        }
    }
}

/// How a lease does against its peers, as far as another connection would do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Usual,
    Slow,
    Stalled,
}

fn is_lively(now: Instant, lease: &Lease) -> bool {
    lease.gained() > 0 && now.saturating_duration_since(lease.moved) < LIVELY
}

/// Seconds of silence after which a lease is stalled.
fn patience(lease: &Lease, outlook: &Outlook) -> f64 {
    let dial = if lease.accepted.is_none() {
        SETUPS_OF_PATIENCE * outlook.setup
    } else {
        0.0
    };
    STALL.max(LATENCIES_OF_PATIENCE * outlook.latency).max(dial)
}

/// Connections that are gone but not forgotten.
const REMEMBERED: usize = 16;
/// Replacements that may be made at once, at least, and how often one more may be.
const FEW: u32 = 2;
const FORGIVE_EVERY: Duration = Duration::from_secs(2);
/// A peer counts while it has received bytes within this time.
const LIVELY: Duration = Duration::from_millis(500);
/// Seconds without a byte after which a connection is stalled, if the latencies are short; else so many of them.
const STALL: f64 = 1.5;
const LATENCIES_OF_PATIENCE: f64 = 8.0;
const SETUPS_OF_PATIENCE: f64 = 4.0;
/// Seconds after which a rate may be judged, how long it has to stay low, and the part of the usual rate below which it is low.
const JUDGE_AFTER: f64 = 0.5;
const SLOW_FOR: Duration = Duration::from_secs(1);
const SLOW_AGAINST_PEERS: f64 = 0.25;
/// Bytes that a peer would have received in that time; with fewer, whole connections wait for their turn.
const EXPECTED: f64 = 512.0 * 1024.0;
/// How many times sooner, and seconds sooner, the replacement has to end.
const REPLACE_GAIN: f64 = 1.5;
const SHORTEST_USE: f64 = 0.5;
