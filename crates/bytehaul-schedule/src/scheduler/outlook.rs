//! How things will go on if nothing is changed: who finishes when, and when all could finish together.

use std::time::Instant;

use super::Scheduler;
use super::table::{Connection, Lease};
use crate::LeaseId;

/// What is to be expected, in seconds from now and bytes a second.
#[derive(Clone, Debug)]
pub(super) struct Outlook {
    pub(super) runners: Vec<Runner>,
    /// The rate to expect of a connection that has none yet.
    pub(super) prior: f64,
    /// Whether any rate was measured, or all of this only weighs equals against equals.
    pub(super) basis: Basis,
    /// Seconds from a request to its first bytes, on a connection that stands and on a new one.
    pub(super) latency: f64,
    pub(super) setup: f64,
}

/// What the rates rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    Measured,
    Nominal,
}

/// One live lease.
#[derive(Clone, Debug)]
pub(super) struct Runner {
    pub(super) lease: LeaseId,
    pub(super) rate: f64,
    /// When its bytes begin to flow.
    pub(super) begin: f64,
    /// Offset that it has probably reached, and the bytes from there to its end.
    pub(super) at: u64,
    pub(super) left: f64,
    pub(super) finish: f64,
}

impl Scheduler {
    pub(super) fn outlook(&self, now: Instant) -> Outlook {
        let measured = self.usual_rate(now);
        let prior = measured.unwrap_or(NOMINAL).max(SLOWEST);
        let basis = if measured.is_some() {
            Basis::Measured
        } else {
            Basis::Nominal
        };
        let latency = self.latency.unwrap_or(DEFAULT_LATENCY);
        let setup = self.setup.unwrap_or(latency * ROUND_TRIPS_OF_A_DIAL);
        let mut outlook = Outlook {
            runners: Vec::new(),
            prior,
            basis,
            latency,
            setup,
        };
        for (&id, lease) in &self.leases {
            let connection = self
                .connections
                .get(&lease.connection)
                .expect("a lease has its connection");
            outlook
                .runners
                .push(outlook.runner(now, id, lease, connection));
        }
        outlook
    }
}

impl Outlook {
    /// The rate of a connection, or the one to expect of it.
    pub(super) fn rate(&self, now: Instant, connection: &Connection) -> f64 {
        connection
            .meter
            .rate(now)
            .unwrap_or(self.prior)
            .max(SLOWEST)
    }

    fn runner(&self, now: Instant, id: LeaseId, lease: &Lease, connection: &Connection) -> Runner {
        let rate = self.rate(now, connection);
        let begin = match lease.accepted {
            Some(_) => 0.0,
            None => self.answer(now, lease),
        };
        let unheard = now
            .saturating_duration_since(lease.heard)
            .as_secs_f64()
            .min(LONGEST_GUESS);
        let guessed = if lease.accepted.is_some() {
            (rate * unheard) as u64
        } else {
            0
        };
        let at = lease
            .position
            .saturating_add(guessed)
            .min(lease.range.end());
        let left = (lease.range.end() - at) as f64;
        Runner {
            lease: id,
            rate,
            begin,
            at,
            left,
            finish: begin + left / rate,
        }
    }

    /// When a request without an answer will be answered. One that is overdue is given as long again as it has waited.
    fn answer(&self, now: Instant, lease: &Lease) -> f64 {
        let usual = match lease.dialled {
            super::table::Dialled::New => self.setup,
            super::table::Dialled::Reused => self.latency,
        };
        let waited = now.saturating_duration_since(lease.requested).as_secs_f64();
        if waited < usual {
            usual - waited
        } else {
            waited
        }
    }
}

/// When `bytes` are through if each of the crew, given as (begin, rate), works from its begin on: water of that volume
/// poured into a vessel whose floor has steps.
pub(super) fn level(bytes: f64, crew: &mut [(f64, f64)]) -> f64 {
    crew.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut rates, mut missed, mut end) = (0.0, 0.0, f64::INFINITY);
    for &(begin, rate) in crew.iter() {
        if end <= begin {
            break;
        }
        rates += rate;
        missed += rate * begin;
        end = (bytes + missed) / rates;
    }
    end
}

/// The upper median.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Bytes a second of everybody, before any rate was measured. Only equal shares follow from it.
const NOMINAL: f64 = 1024.0 * 1024.0;
/// Keeps divisions finite: a stalled lease ends in years.
const SLOWEST: f64 = 1.0;
/// Seconds, before the host answered for the first time.
const DEFAULT_LATENCY: f64 = 0.05;
/// TCP, TLS and the request itself.
const ROUND_TRIPS_OF_A_DIAL: f64 = 3.0;
/// Seconds behind its last report for which a lease is believed to go on as before.
const LONGEST_GUESS: f64 = 0.2;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: f64, crew: &[(f64, f64)], expected: f64) {
        let end = level(bytes, &mut crew.to_vec());
        assert!((end - expected).abs() < 1e-9, "{bytes} by {crew:?}: {end}");
    }

    #[test]
    fn all_end_together() {
        check(10.0, &[(0.0, 1.0)], 10.0);
        check(10.0, &[(0.0, 1.0), (0.0, 4.0)], 2.0);
        check(10.0, &[(2.0, 1.0), (0.0, 4.0)], 2.4);
        check(10.0, &[(5.0, 100.0), (0.0, 4.0)], 2.5);
        check(0.0, &[(3.0, 1.0)], 3.0);
    }

    #[test]
    fn nobody_never_ends() {
        check_infinite(level(1.0, &mut []));
    }

    fn check_infinite(end: f64) {
        assert!(end.is_infinite());
    }

    #[test]
    fn the_median_ignores_outliers() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![1.0, 100.0, 3.0]), Some(3.0));
    }
}
