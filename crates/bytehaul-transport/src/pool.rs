//! Which idle connections are kept, for how long, and which of them is handed out next.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Origin;
use crate::wire::Wire;

/// Idle connections by origin. The one used last is handed out first: it is the least likely to have been closed.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<HashMap<Origin, Vec<Idle>>>,
    limits: PoolLimits,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub(crate) per_origin: usize,
    pub(crate) timeout: Duration,
}

#[derive(Debug)]
struct Idle {
    wire: Wire,
    until: Instant,
}

impl Pool {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Self {
            idle: Mutex::new(HashMap::new()),
            limits,
        }
    }

    /// An idle connection to the origin that is still open, as far as can be told without writing to it.
    pub(crate) fn take(&self, origin: &Origin, now: Instant) -> Option<Wire> {
        loop {
            let idle = self.lock().get_mut(origin)?.pop()?;
            let mut wire = idle.wire;
            if now < idle.until && wire.is_quiet() {
                return Some(wire);
            }
        }
    }

    /// Keeps a connection whose last message is complete. `hint` is the server's own `Keep-Alive: timeout`.
    pub(crate) fn put(&self, wire: Wire, hint: Option<Duration>, now: Instant) {
        let keep = hint.map_or(self.limits.timeout, |hint| hint.min(self.limits.timeout));
        if self.limits.per_origin == 0 || keep.is_zero() {
            return;
        }
        let mut idle = self.lock();
        // Connections to origins that are never asked for again must not stay for ever.
        idle.retain(|_, wires| {
            wires.retain(|idle| now < idle.until);
            !wires.is_empty()
        });
        let wires = idle.entry(wire.origin().clone()).or_default();
        if wires.len() >= self.limits.per_origin {
            wires.remove(0);
        }
        wires.push(Idle {
            wire,
            until: now + keep,
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Vec<Idle>>> {
        // No code under the lock can leave the map half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
