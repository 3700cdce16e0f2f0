//! Which connections are kept, for how long, and which of them is handed out next.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::multiplex::{Link, Seat};
use crate::route::{Route, Speak};
use crate::stall::NEVER;
use crate::wire::Wire;

/// Connections by route. Of the idle HTTP/1.1 ones that used last is handed out first: it is the least likely to have been
/// closed. Of the HTTP/2 ones it is that with the fewest requests.
#[derive(Debug)]
pub(crate) struct Pool {
    kept: Mutex<Kept>,
    limits: PoolLimits,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub(crate) per_route: usize,
    pub(crate) timeout: Duration,
}

/// A connection on which one request can be sent now.
#[derive(Debug)]
pub(crate) enum Line {
    Http1(Wire),
    Http2(Seat),
}

#[derive(Debug, Default)]
struct Kept {
    idle: HashMap<Route, Vec<Idle>>,
    links: HashMap<Route, Vec<Arc<Link>>>,
    /// Routes whose host offers HTTP/2 and then wants HTTP/1.1.
    only_http1: HashSet<Route>,
}

#[derive(Debug)]
struct Idle {
    wire: Wire,
    until: Instant,
}

impl Pool {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Self {
            kept: Mutex::default(),
            limits,
        }
    }

    /// How long a connection is kept without use.
    pub(crate) fn timeout(&self) -> Duration {
        self.limits.timeout
    }

    /// A connection on the route that is still open, as far as can be told without writing to it. `None`: make a new one.
    pub(crate) fn take(&self, route: &Route, speak: Speak, now: Instant) -> Option<Line> {
        if speak != Speak::Http1
            && let Some(seat) = self.seat(route)
        {
            return Some(Line::Http2(seat));
        }
        if speak == Speak::Http2 {
            return None;
        }
        loop {
            let idle = self.lock().idle.get_mut(route)?.pop()?;
            let mut wire = idle.wire;
            if now < idle.until && wire.is_quiet() {
                return Some(Line::Http1(wire));
            }
        }
    }

    /// The least used HTTP/2 connection, unless it is time for a further one.
    fn seat(&self, route: &Route) -> Option<Seat> {
        let mut kept = self.lock();
        let links = kept.links.get_mut(route)?;
        links.retain(|link| !link.is_retired());
        let link = links
            .iter()
            .filter(|link| link.has_room())
            .min_by_key(|link| link.streams())?;
        let busy = link.streams() >= MAX_STREAMS && links.len() < MAX_LINKS;
        (!busy).then(|| link.seat())
    }

    /// Keeps a connection whose last message is complete. `hint` is the server's own `Keep-Alive: timeout`.
    pub(crate) fn put(&self, wire: Wire, hint: Option<Duration>, now: Instant) {
        let keep = hint.map_or(self.limits.timeout, |hint| hint.min(self.limits.timeout));
        if self.limits.per_route == 0 || keep.is_zero() {
            return;
        }
        let mut kept = self.lock();
        kept.forget_old(now);
        let wires = kept.idle.entry(wire.route().clone()).or_default();
        if wires.len() >= self.limits.per_route {
            wires.remove(0);
        }
        wires.push(Idle {
            wire,
            until: now.checked_add(keep).unwrap_or(now + NEVER),
        });
    }

    /// Takes up a new HTTP/2 connection and its first request. It ends by itself when it has not been used for long.
    pub(crate) fn join(&self, route: &Route, link: &Arc<Link>, now: Instant) -> Seat {
        let seat = link.seat();
        if self.limits.per_route > 0 && !self.limits.timeout.is_zero() {
            let mut kept = self.lock();
            kept.forget_old(now);
            let links = kept.links.entry(route.clone()).or_default();
            links.push(Arc::clone(link));
        }
        seat
    }

    /// The host of this route wants HTTP/1.1 whatever it offers.
    pub(crate) fn remember_only_http1(&self, route: &Route) {
        let mut kept = self.lock();
        if kept.only_http1.len() >= MAX_REMEMBERED {
            kept.only_http1.clear();
        }
        kept.only_http1.insert(route.clone());
    }

    /// What to speak on a route, after what has been learned of it.
    pub(crate) fn narrow(&self, route: &Route, speak: Speak) -> Speak {
        if speak == Speak::Either && self.lock().only_http1.contains(route) {
            return Speak::Http1;
        }
        speak
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // No code under the lock can leave the maps half changed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Connections to hosts that are never asked again must not stay for ever.
    fn forget_old(&mut self, now: Instant) {
        self.idle.retain(|_, wires| {
            wires.retain(|idle| now < idle.until);
            !wires.is_empty()
        });
        self.links.retain(|_, links| {
            links.retain(|link| !link.is_retired());
            !links.is_empty()
        });
    }
}

/// Requests on one HTTP/2 connection before a further connection is made: they would share its one TCP window, and the one
/// core that decrypts it.
const MAX_STREAMS: usize = 1;

/// Routes that are remembered for wanting HTTP/1.1. Forgetting one costs a request.
const MAX_REMEMBERED: usize = 1024;

/// HTTP/2 connections on one route, as long as the server lets each of them take more requests.
const MAX_LINKS: usize = 8;
