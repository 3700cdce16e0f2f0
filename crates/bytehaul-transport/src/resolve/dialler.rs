//! Connections to name servers, and why the last one could not be made.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ConnectionProvider, PoolContext};

/// hickory's own connections. Its pool says no more than "no connections" when one cannot be made, so the reason is kept.
#[derive(Clone, Default)]
pub(super) struct Dialler {
    runtime: TokioRuntimeProvider,
    failure: Arc<Mutex<Option<NetError>>>,
    connected: Arc<AtomicUsize>,
}

impl Dialler {
    /// How many connections were made so far.
    pub(super) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// The reason in place of hickory's "no connections", where there is one.
    pub(super) fn explained(&self, error: NetError) -> NetError {
        match error {
            NetError::NoConnections => self.failure().clone().unwrap_or(error),
            error => error,
        }
    }

    /// Why the last one could not be made, if it could not.
    pub(super) fn failure(&self) -> MutexGuard<'_, Option<NetError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionProvider for Dialler {
    type Conn = <TokioRuntimeProvider as ConnectionProvider>::Conn;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Self::Conn, NetError>> + Send>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let dialling = self.runtime.new_connection(ip, config, context)?;
        let dialler = self.clone();
        Ok(Box::pin(async move {
            let dialled = dialling.await;
            if dialled.is_ok() {
                dialler.connected.fetch_add(1, Ordering::Relaxed);
            }
            *dialler.failure() = dialled.as_ref().err().cloned();
            dialled
        }))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.runtime
    }
}
