//! One served path: the object that is there now, how it behaves now, and how many ask for it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::answer::{self, Plan};
use super::behaviour::{Effect, Facts};
use super::pace::Pacer;
use super::request::{Request, RequestedRange};
use super::{Behaviour, Object};

#[derive(Debug)]
pub(super) struct Route {
    object: Mutex<Object>,
    requests: AtomicU64,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    line: Mutex<Pacer>,
}

impl Route {
    pub(super) fn new(object: Object) -> Self {
        Self {
            object: Mutex::new(object),
            requests: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
            line: Mutex::new(Pacer::default()),
        }
    }

    /// Takes the next request number and counts the request as in flight until the [`Flight`] lands.
    pub(super) fn enter(
        self: &Arc<Self>,
        request: &Request,
        connection: u64,
        chance: u64,
    ) -> (Flight, Facts) {
        let others = self.in_flight.fetch_add(1, Ordering::SeqCst);
        self.most_in_flight.fetch_max(others + 1, Ordering::SeqCst);
        let facts = Facts {
            number: self.requests.fetch_add(1, Ordering::SeqCst),
            connection,
            others,
            method: request.method.clone(),
            range_start: request.range().and_then(RequestedRange::start),
            chance,
        };
        (
            Flight {
                route: Some(Arc::clone(self)),
            },
            facts,
        )
    }

    pub(super) fn plan(&self, request: &Request, facts: &Facts) -> Plan {
        let object = self.object().clone();
        let effects: Vec<_> = object.behaviour.effects(facts).collect();
        answer::plan(request, &object, &effects, facts.number, facts.chance)
    }

    /// When `bytes` more may have arrived over the connection's own line and the shared one, as fast as they are now.
    pub(super) fn due(
        &self,
        facts: &Facts,
        own: &mut Pacer,
        now: Instant,
        bytes: u64,
    ) -> Option<Instant> {
        let (own_rate, total_rate) = self.rates(facts);
        let own = own_rate.map(|rate| own.reserve(now, bytes, rate));
        let total = total_rate.map(|rate| self.line().reserve(now, bytes, rate));
        own.max(total)
    }

    /// The slowest rate that applies to a request, in bytes a second.
    pub(super) fn slowest(&self, facts: &Facts) -> Option<u64> {
        let (own, total) = self.rates(facts);
        own.into_iter().chain(total).min()
    }

    pub(super) fn restart_line_if_idle(&self, now: Instant) {
        self.line().restart(now);
    }

    /// Puts another object in place; how the path behaves stays.
    pub(super) fn replace(&self, object: Object) {
        let mut current = self.object();
        let behaviour = std::mem::take(&mut current.behaviour);
        *current = object.behaviour(behaviour);
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        self.object().behaviour = behaviour;
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.most_in_flight.load(Ordering::SeqCst)
    }

    pub(super) fn reset_counts(&self) {
        self.requests.store(0, Ordering::SeqCst);
        self.most_in_flight
            .store(self.in_flight.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    fn rates(&self, facts: &Facts) -> (Option<u64>, Option<u64>) {
        let object = self.object();
        let own = object
            .behaviour
            .effects(facts)
            .filter_map(|effect| match effect {
                Effect::Rate(rate) => Some(*rate),
                _ => None,
            });
        (own.last(), object.behaviour.total_rate)
    }

    fn object(&self) -> MutexGuard<'_, Object> {
        self.object.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self) -> MutexGuard<'_, Pacer> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Flight {
    route: Option<Arc<Route>>,
}

impl Flight {
    /// Ends before the last byte is sent, so that a client that has it all may ask again without being one too many.
    pub(super) fn land(&mut self) {
        if let Some(route) = self.route.take() {
            route.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.land();
    }
}
