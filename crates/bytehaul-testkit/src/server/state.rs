//! What all connections of a server share: routes, log, limits, counters and the random numbers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

#[cfg(feature = "tls")]
use rustls::ServerConfig;
use tokio::sync::watch;

use super::behaviour::{Behaviour, Effect};
use super::log::{Entry, Log};
use super::object::scramble;
use super::request::Request;
use super::route::Route;
#[cfg(feature = "tls")]
use super::tls::Handshake;
use super::{Excess, Object};

#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Log,
    started: Instant,
    routes: Mutex<HashMap<String, Arc<Route>>>,
    limit: Mutex<Option<(usize, Excess)>>,
    accepted: AtomicU64,
    open: AtomicUsize,
    most_open: AtomicUsize,
    random: AtomicU64,
    reset: watch::Sender<()>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl State {
    pub(super) fn new(seed: u64, limit: Option<(usize, Excess)>) -> Self {
        Self {
            log: Log::default(),
            started: Instant::now(),
            routes: Mutex::default(),
            limit: Mutex::new(limit),
            accepted: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            random: AtomicU64::new(scramble(seed)),
            reset: watch::channel(()).0,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    #[cfg(feature = "tls")]
    pub(super) fn secured(mut self, config: Option<Arc<ServerConfig>>) -> Self {
        self.tls = config.map(|config| Tls {
            config: Mutex::new(config),
            handshakes: Mutex::default(),
            failed: AtomicU64::new(0),
        });
        self
    }

    /// Counts a new connection: its number, and what to do with it when it is one too many.
    pub(super) fn accept(self: &Arc<Self>) -> (u64, Result<Open, Excess>) {
        let id = self.accepted.fetch_add(1, Ordering::SeqCst);
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        let guard = Open {
            state: Arc::clone(self),
        };
        let admitted = match *self.limit() {
            Some((most, excess)) if open > most => Err(excess),
            _ => Ok(guard),
        };
        if admitted.is_ok() {
            self.most_open.fetch_max(open, Ordering::SeqCst);
        }
        (id, admitted)
    }

    pub(super) fn route(&self, path: &str) -> (Arc<Route>, u64) {
        let chance = scramble(
            self.random
                .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst),
        );
        let route = self.routes().get(path).cloned().unwrap_or_else(|| {
            let nothing = Behaviour::new().always(Effect::status(404));
            Arc::new(Route::new(Object::empty().behaviour(nothing)))
        });
        (route, chance)
    }

    pub(super) fn record(&self, connection: u64, request: &Request) -> Arc<Entry> {
        self.log.open(connection, self.started.elapsed(), request)
    }

    pub(super) fn routes(&self) -> MutexGuard<'_, HashMap<String, Arc<Route>>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limit(&self) -> MutexGuard<'_, Option<(usize, Excess)>> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn resets(&self) -> watch::Receiver<()> {
        self.reset.subscribe()
    }

    pub(super) fn reset_connections(&self) {
        self.reset.send_replace(());
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn most_open(&self) -> usize {
        self.most_open.load(Ordering::SeqCst)
    }

    pub(super) fn reset_log(&self) {
        self.log.clear();
        self.most_open.store(self.open(), Ordering::SeqCst);
        for route in self.routes().values() {
            route.reset_counts();
        }
    }
}

#[cfg(feature = "tls")]
impl State {
    /// What the server says it is now; none when it speaks without TLS.
    pub(super) fn certificate(&self) -> Option<Arc<ServerConfig>> {
        let config = self.tls.as_ref()?.config.lock();
        Some(Arc::clone(&config.unwrap_or_else(PoisonError::into_inner)))
    }

    /// Says something else from now on.
    pub(super) fn change_certificate(&self, config: Arc<ServerConfig>) {
        let tls = self.tls.as_ref().expect("the server speaks TLS");
        *tls.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(super) fn agreed(&self, connection: u64, handshake: Handshake) {
        if let Some(tls) = &self.tls {
            tls.handshakes().insert(connection, handshake);
        }
    }

    pub(super) fn handshake_failed(&self) {
        if let Some(tls) = &self.tls {
            tls.failed.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn handshake(&self, connection: u64) -> Option<Handshake> {
        let tls = self.tls.as_ref()?;
        tls.handshakes().get(&connection).cloned()
    }

    pub(super) fn failed_handshakes(&self) -> u64 {
        self.tls
            .as_ref()
            .map_or(0, |tls| tls.failed.load(Ordering::SeqCst))
    }
}

/// What a server with TLS shows, and the handshakes that it had, by connection.
#[cfg(feature = "tls")]
#[derive(Debug)]
struct Tls {
    config: Mutex<Arc<ServerConfig>>,
    handshakes: Mutex<HashMap<u64, Handshake>>,
    failed: AtomicU64,
}

#[cfg(feature = "tls")]
impl Tls {
    fn handshakes(&self) -> MutexGuard<'_, HashMap<u64, Handshake>> {
        self.handshakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open connection, for the count.
#[derive(Debug)]
pub(super) struct Open {
    state: Arc<State>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.state.open.fetch_sub(1, Ordering::SeqCst);
    }
}
