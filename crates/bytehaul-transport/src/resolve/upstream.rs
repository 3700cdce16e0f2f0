//! In which order name servers are asked, and what is said when none of them has an answer.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, ResponseCode};
use hickory_resolver::{ConnectionProvider, NameServerPool, PoolContext};
use tokio::time::{Instant, timeout};

use super::dialler::Dialler;
use crate::race::{Pace, race};
use crate::recent::Recent;
use crate::tls::explain;

/// The name servers of a resolver, asked in the given order: the next one when one fails, or beside one that has not
/// answered after 750 ms. One that was overtaken so is asked last for a minute. `NXDOMAIN` of any is final.
///
/// hickory would rather ask two at once and the fastest from then on; but the order is a statement of the administrator
/// or the caller, of which server knows the names of this network.
#[derive(Clone)]
pub(super) struct Upstream {
    inner: Arc<Inner>,
}

struct Inner {
    servers: Vec<Server>,
    silent: Mutex<Recent<usize>>,
}

struct Server {
    label: String,
    dialler: Dialler,
    pool: NameServerPool<Dialler>,
}

impl Upstream {
    /// Servers with what they are called in errors.
    pub(super) fn new(
        servers: impl IntoIterator<Item = (String, NameServerConfig)>,
        context: &Arc<PoolContext>,
    ) -> Self {
        let servers = servers.into_iter().map(|(label, config)| {
            let dialler = Dialler::default();
            let pool = NameServerPool::from_config([config], Arc::clone(context), dialler.clone());
            Server {
                label,
                dialler,
                pool,
            }
        });
        Self {
            inner: Arc::new(Inner {
                servers: servers.collect(),
                silent: Mutex::default(),
            }),
        }
    }
}

impl Inner {
    async fn ask(&self, request: DnsRequest) -> Result<DnsResponse, NetError> {
        let mut failures: Vec<(usize, NetError)> = Vec::new();
        let begin = |index: usize| self.servers[index].ask(&request);
        let failed = |index, error: Option<NetError>| {
            failures.push((index, error.unwrap_or(NetError::Timeout)));
        };
        let pace = Pace {
            stagger: PATIENCE,
            most: self.servers.len().max(1),
        };
        match timeout(LIMIT, race(self.order(), pace, begin, failed)).await {
            Ok(Some(won)) => {
                self.remember(won.key, &won.overtaken);
                won.value
            }
            Ok(None) | Err(_) => Err(self.failure(&failures)),
        }
    }

    fn order(&self) -> Vec<usize> {
        let (silent, now) = (self.silent(), Instant::now().into_std());
        let mut order: Vec<usize> = (0..self.servers.len()).collect();
        order.sort_by_key(|index| silent.contains(index, now));
        order
    }

    fn remember(&self, winner: usize, overtaken: &[usize]) {
        let (mut silent, now) = (self.silent(), Instant::now().into_std());
        silent.remove(&winner);
        for index in overtaken {
            bytehaul_log::debug!(server = self.servers[*index].label, "name server is silent");
            silent.insert(*index, now);
        }
    }

    fn silent(&self) -> std::sync::MutexGuard<'_, Recent<usize>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One line for all servers. hickory carries our own text unchanged in these two variants.
    fn failure(&self, failures: &[(usize, NetError)]) -> NetError {
        let said = |(index, server): (usize, &Server)| {
            let error = failures.iter().find(|(failed, _)| *failed == index);
            let error = error.map_or(&NetError::Timeout, |(_, error)| error);
            format!("{} {}", server.label, describe(error))
        };
        let lines: Vec<String> = self.servers.iter().enumerate().map(said).collect();
        let text = match lines.is_empty() {
            true => "there is no name server".to_owned(),
            false => lines.join(", "),
        };
        let untrusted = |(_, error): &(usize, NetError)| certificate_error(error).is_some();
        if failures.len() == self.servers.len() && failures.iter().all(untrusted) {
            return NetError::RustlsError(rustls::Error::General(text));
        }
        NetError::Msg(text)
    }
}

impl Server {
    /// What the server says, of which "there is none" is an answer too.
    async fn ask(&self, request: &DnsRequest) -> Result<Result<DnsResponse, NetError>, NetError> {
        let mut tries = 1;
        loop {
            let connected = self.dialler.connected();
            let answer = self.pool.send(request.clone()).first_answer().await;
            if tries < MOST_TRIES && self.was_closed_before(&answer, connected) {
                tries += 1;
                continue;
            }
            return match answer.map_err(|error| self.dialler.explained(error)) {
                Err(error) if !error.is_no_records_found() => Err(error),
                answer => Ok(answer),
            };
        }
    }

    /// Whether the query went out on an old connection that the server had closed, which says nothing. hickory has let go
    /// of it by now, but there may be as many of them as there were queries at a time.
    fn was_closed_before(&self, answer: &Result<DnsResponse, NetError>, connected: usize) -> bool {
        let was_old = self.dialler.connected() == connected && self.dialler.failure().is_none();
        was_old && is_lost(answer)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.inner.servers.iter().map(|server| &server.label);
        f.debug_list().entries(labels).finish()
    }
}

impl DnsHandle for Upstream {
    type Response = Answer;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Answer {
        let inner = Arc::clone(&self.inner);
        Answer {
            asking: Some(Box::pin(async move { inner.ask(request).await })),
        }
    }
}

/// hickory's cache sits on a pool of servers, and a pool makes its connections here: to all of ours as if they were one.
impl ConnectionProvider for Upstream {
    type Conn = Self;
    type FutureConn = std::future::Ready<Result<Self, NetError>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        _ip: std::net::IpAddr,
        _config: &ConnectionConfig,
        _context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        Ok(std::future::ready(Ok(self.clone())))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        static RUNTIME: std::sync::LazyLock<TokioRuntimeProvider> =
            std::sync::LazyLock::new(TokioRuntimeProvider::default);
        &RUNTIME
    }
}

/// The one answer to a query, as the stream that hickory wants.
pub(super) struct Answer {
    asking: Option<Asking>,
}

type Asking = Pin<Box<dyn Future<Output = Result<DnsResponse, NetError>> + Send>>;

impl futures_core::Stream for Answer {
    type Item = Result<DnsResponse, NetError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(asking) = &mut self.asking else {
            return Poll::Ready(None);
        };
        let answer = std::task::ready!(asking.as_mut().poll(cx));
        self.asking = None;
        Poll::Ready(Some(answer))
    }
}

/// Whether the connection broke off. hickory has several words for it, one for each transport.
fn is_lost(answer: &Result<DnsResponse, NetError>) -> bool {
    matches!(
        answer,
        Err(NetError::NoConnections
            | NetError::Message(_)
            | NetError::Msg(_)
            | NetError::Io(_)
            | NetError::H2(_))
    )
}

fn describe(error: &NetError) -> String {
    if let Some(error) = certificate_error(error) {
        return format!("is not trusted: {}", explain(error));
    }
    match error {
        NetError::Timeout | NetError::NoConnections => "did not answer".to_owned(),
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => {
            "answered SERVFAIL".to_owned()
        }
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => {
            "answered REFUSED".to_owned()
        }
        NetError::Io(error) => format!("failed: {error}"),
        other => {
            // A peer's words may be in it.
            let text = other.to_string().replace(char::is_control, " ");
            format!("failed: {}", text.chars().take(200).collect::<String>())
        }
    }
}

/// What rustls has against the server's certificate, if that is what went wrong.
fn certificate_error(error: &NetError) -> Option<&rustls::Error> {
    let NetError::Io(error) = error else {
        return None;
    };
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    matches!(error, rustls::Error::InvalidCertificate(_)).then_some(error)
}

/// RFC 1035 leaves it open; glibc waits for 5 s, which is as long as a user waits at all.
const PATIENCE: Duration = Duration::from_millis(750);
const MOST_TRIES: usize = 8;
/// For all servers together.
pub(super) const LIMIT: Duration = Duration::from_secs(4);
