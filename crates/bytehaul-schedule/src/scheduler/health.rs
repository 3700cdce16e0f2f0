//! Which connections are no longer worth having: stalled or slow against their peers, idle, or too many.

use std::time::{Duration, Instant};

use super::outlook::{Outlook, median};
use super::table::Lease;
use super::{IDLE, Scheduler, later};
use crate::LeaseId;

impl Scheduler {
    /// Gives up leases whose connections stall or crawl while their peers do well, so that new ones take their place.
    pub(super) fn replace_stragglers(&mut self, now: Instant) {
        if self.leases.len() < 2
            || self.replace_at.is_some_and(|at| at > now)
            || self.trouble.holds_dials(now)
        {
            return;
        }
        let outlook = self.outlook(now);
        let Some(id) = self
            .leases
            .keys()
            .copied()
            .find(|&id| self.is_straggler(now, &outlook, id))
        else {
            return;
        };
        self.abandon(id);
        self.replaced += 1;
        // Where new connections are no better, trying again and again is no use.
        let in_vain = self.replaced.saturating_sub(self.ramp.most() / 2);
        let wait = if in_vain == 0 {
            Duration::ZERO
        } else {
            REPLACE_WAIT * (1 << in_vain.min(5))
        };
        self.replace_at = Some(later(now, wait));
    }

    /// Closes idle connections beyond the limit, and those that have been idle for long.
    pub(super) fn close_surplus(&mut self, now: Instant) {
        let mut surplus = self.live().saturating_sub(self.ramp.most());
        let idle: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, c)| c.lease.is_none())
            .map(|(&id, c)| (id, c.idle_since))
            .collect();
        for (id, since) in idle {
            if surplus > 0 || now.saturating_duration_since(since) >= IDLE {
                surplus = surplus.saturating_sub(1);
                self.close(id);
            }
        }
    }

    fn is_straggler(&self, now: Instant, outlook: &Outlook, id: LeaseId) -> bool {
        let lease = &self.leases[&id];
        let peers: Vec<_> = self
            .leases
            .values()
            .filter(|peer| {
                peer.connection != lease.connection
                    && now.saturating_duration_since(peer.moved) < LIVELY
                    && peer.gained() > 0
            })
            .filter_map(|peer| self.connections[&peer.connection].meter.rate(now))
            .collect();
        let (count, Some(usual)) = (peers.len(), median(peers)) else {
            return false;
        };
        let runner = outlook
            .runners
            .iter()
            .find(|runner| runner.lease == id)
            .expect("a live lease is in the outlook");
        // A new connection has to be dialled, and then does what the peers do.
        let replaced = outlook.setup + runner.left / usual;
        if runner.finish < 1.5 * replaced || runner.finish < replaced + SHORTEST_USE {
            return false;
        }
        let silent = now
            .saturating_duration_since(lease.alive_at())
            .as_secs_f64();
        let patience = STALL
            .max(LATENCIES_OF_PATIENCE * outlook.latency)
            .max(self.dial_patience(lease, outlook));
        if silent >= patience && silent * usual >= EXPECTED {
            return true;
        }
        let age = lease
            .accepted
            .map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        let is_slow = runner.rate < usual * SLOW_AGAINST_PEERS;
        count >= 2 && is_slow && age >= JUDGE_AFTER && age * usual >= EXPECTED
    }

    fn dial_patience(&self, lease: &Lease, outlook: &Outlook) -> f64 {
        if lease.accepted.is_none() {
            SETUPS_OF_PATIENCE * outlook.setup
        } else {
            0.0
        }
    }
}

/// A peer counts while it has received bytes within this time.
const LIVELY: Duration = Duration::from_millis(500);
/// Seconds without a byte after which a connection is stalled, if the latencies are short; else so many of them.
const STALL: f64 = 1.5;
const LATENCIES_OF_PATIENCE: f64 = 8.0;
const SETUPS_OF_PATIENCE: f64 = 4.0;
/// Seconds after which a rate may be judged, and the part of the peers' median below which it is slow.
const JUDGE_AFTER: f64 = 1.5;
const SLOW_AGAINST_PEERS: f64 = 0.25;
/// Bytes that a peer would have received in that time; with fewer, whole connections wait for their turn.
const EXPECTED: f64 = 512.0 * 1024.0;
/// Seconds that a replacement has to gain.
const SHORTEST_USE: f64 = 0.5;
const REPLACE_WAIT: Duration = Duration::from_secs(1);
