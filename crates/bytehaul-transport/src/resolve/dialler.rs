//! Connections to name servers, and why the last one could not be made.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ConnectionProvider, PoolContext};

/// hickory's own connections. Its pool says no more than "no connections" when one cannot be made, so the reason is kept.
#[derive(Clone, Default)]
pub(super) struct Dialler {
    runtime: TokioRuntimeProvider,
    failure: Arc<Mutex<Option<NetError>>>,
}

impl Dialler {
    /// The reason in place of hickory's "no connections", where there is one.
    pub(super) fn explained(&self, error: NetError) -> NetError {
        match error {
            NetError::NoConnections => {
                let failure = self.failure.lock();
                let failure = failure.unwrap_or_else(PoisonError::into_inner);
                failure.clone().unwrap_or(error)
            }
            error => error,
        }
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
        let failure = Arc::clone(&self.failure);
        Ok(Box::pin(async move {
            let dialled = dialling.await;
            let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
            *failure = dialled.as_ref().err().cloned();
            dialled
        }))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.runtime
    }
}
