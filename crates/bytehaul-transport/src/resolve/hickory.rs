//! DNS by hickory: with which servers and settings, and from when on they are to be read again.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::{Hosts, PoolContext, TlsConfig};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::engine::{Engine, Search};
use super::name_server::{NameServer, Place, Transport};
use super::system_files::{Stamp, SystemFiles};
use super::upstream::{LIMIT, Upstream};
use super::{Resolve, ResolveError, Resolving, SystemResolver};
use crate::error::{Error, ErrorKind};
use crate::reach::Families;
use crate::tls::{Alpn, Tls, TlsSetup};

/// Asks DNS itself, without blocking threads, and keeps answers for as long as they are valid. Clones share the cache.
///
/// - **Order.** The hosts file comes first. Name servers are asked in the given order: the next one at once when one fails,
///   and beside one that has not answered within 750 ms, which is then asked last for a minute. All together have 4 s.
///   They are taken to know the same names, as resolv.conf(5) has it.
/// - **Families.** A and AAAA are asked at the same time. When one has come, the other is waited for 50 ms (RFC 8305
///   section 3). Where there are both, RFC 6724 decides which is first: mostly IPv6, but not on a machine without a route for it.
/// - **Cache.** 1024 answers, each for its TTL, but for 1 s at least and an hour at most; "no such name" for what RFC 2308 says, and
///   for 30 s at most; failures not at all. Several look-ups of one name at the same time are one query.
/// - **Failure.** A name that does not exist is final, whichever server says so. `SERVFAIL`, `REFUSED` and silence are not: then
///   the next server is asked, and the error names each server with what it said.
/// - **System.** The configuration is read at the first look-up. On Linux and the BSDs `/etc/resolv.conf` and
///   `/etc/hosts` are looked at again every 3 s, while there are look-ups, and read when they have changed. Where
///   the configuration cannot be read at all, the [`SystemResolver`] takes the place of this one; it never does for a name that
///   DNS says does not exist. It also answers for `.local` (multicast DNS), unless other servers than the system's
///   are asked. Other modules of `nsswitch.conf` are not consulted.
#[derive(Clone)]
pub struct HickoryResolver {
    servers: Servers,
    families: Families,
    trust: Trust,
    files: SystemFiles,
    state: Arc<Mutex<Option<State>>>,
}

#[derive(Clone, Debug)]
enum Servers {
    System,
    Own(Arc<[NameServer]>),
}

/// Whom name servers over TLS are trusted by.
#[derive(Clone)]
enum Trust {
    Own(Tls),
    /// As a client does, with what it has already read.
    Shared(Arc<TlsSetup>),
}

/// What was read, and when it was last known to be up to date.
#[derive(Clone)]
struct State {
    /// None where the system's configuration cannot be had.
    engine: Option<Arc<Engine>>,
    hosts: Arc<Hosts>,
    resolv_conf: Stamp,
    hosts_file: Stamp,
    checked: Instant,
}

impl HickoryResolver {
    /// The servers of the system (`/etc/resolv.conf`) and its hosts file.
    pub fn system() -> Self {
        Self::with(Servers::System)
    }

    /// These servers, by UDP and, for long answers, TCP. The hosts file still comes first, the system's search list is
    /// not used.
    pub fn with_servers(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::with_name_servers(servers.into_iter().map(NameServer::from))
    }

    /// These servers, each by its own transport. The hosts file still comes first, the system's search list is not used.
    pub fn with_name_servers(servers: impl IntoIterator<Item = NameServer>) -> Self {
        Self::with(Servers::Own(servers.into_iter().collect()))
    }

    /// Asks for IPv4 addresses only. Default: both families at once. Begins with an empty cache.
    #[must_use]
    pub fn ipv4_only(self) -> Self {
        Self {
            families: Families::V4Only,
            state: Arc::default(),
            ..self
        }
    }

    /// Whom to trust as a name server over TLS or HTTPS. A client certificate is never shown to a name server. Default:
    /// the system's authorities. Begins with an empty cache.
    #[must_use]
    pub fn tls(self, tls: Tls) -> Self {
        self.trust(Trust::Own(tls))
    }

    pub(crate) fn trusting(self, tls: Arc<TlsSetup>) -> Self {
        self.trust(Trust::Shared(tls))
    }

    fn trust(self, trust: Trust) -> Self {
        Self {
            trust,
            state: Arc::default(),
            ..self
        }
    }

    fn with(servers: Servers) -> Self {
        Self {
            servers,
            families: Families::Both,
            trust: Trust::Own(Tls::default()),
            files: SystemFiles::default(),
            state: Arc::default(),
        }
    }

    /// What to resolve with now. Others wait meanwhile, so that nothing is read twice.
    async fn state(&self) -> Result<State, ResolveError> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if let Some(known) = &*state
            && now.saturating_duration_since(known.checked) < CHECK_INTERVAL
        {
            return Ok(known.clone());
        }
        let fresh = self.refresh(state.as_ref(), now).await?;
        *state = Some(fresh.clone());
        Ok(fresh)
    }

    async fn refresh(&self, known: Option<&State>, now: Instant) -> Result<State, ResolveError> {
        let hosts_file = self.files.hosts_stamp();
        let hosts = match known {
            Some(known) if known.hosts_file == hosts_file => Arc::clone(&known.hosts),
            _ => {
                let files = self.files.clone();
                Arc::new(blocking(move || files.read_hosts()).await?)
            }
        };
        let resolv_conf = match self.servers {
            Servers::System => self.files.resolv_conf_stamp(),
            Servers::Own(_) => None,
        };
        let engine = match known {
            Some(known) if known.resolv_conf == resolv_conf => known.engine.clone(),
            _ => self.start().await?,
        };
        Ok(State {
            engine,
            hosts,
            resolv_conf,
            hosts_file,
            checked: now,
        })
    }

    async fn start(&self) -> Result<Option<Arc<Engine>>, ResolveError> {
        let (servers, search, tls) = match &self.servers {
            Servers::System => {
                let files = self.files.clone();
                match blocking(move || files.read()).await? {
                    Ok((servers, search)) => {
                        let labelled = servers.into_iter().map(|one| (one.ip.to_string(), one));
                        (labelled.collect(), search, TlsConfig::new())
                    }
                    Err(error) => {
                        bytehaul_log::debug!(%error, "no dns of our own, the system is asked");
                        return Ok(None);
                    }
                }
            }
            Servers::Own(servers) => (
                self.located(servers).await?,
                Search::default(),
                self.tls_config(servers).await?,
            ),
        };
        let tls = tls.map_err(|error| ResolveError::Failed(Box::new(error)))?;
        let mut options = ResolverOpts::default();
        options.timeout = LIMIT;
        options.num_concurrent_reqs = 1;
        let upstream = Upstream::new(servers, &Arc::new(PoolContext::new(options, tls)));
        bytehaul_log::debug!(?upstream, ?search, "name servers");
        let engine = Engine::new(upstream, search, self.families);
        let engine = engine.map_err(|error| ResolveError::Failed(Box::new(error)))?;
        Ok(Some(Arc::new(engine)))
    }

    /// Where the servers are. Those that are known by name only are looked up by the system's configuration; one that
    /// cannot be is left out as long as there are others.
    async fn located(
        &self,
        servers: &[NameServer],
    ) -> Result<Vec<(String, NameServerConfig)>, ResolveError> {
        let mut located = Vec::new();
        let mut failure = None;
        for server in servers {
            let ips = match server.place() {
                Place::Address(ip) | Place::Both(ip, _) => vec![*ip],
                Place::Name(name) => match self.bootstrap(name).await {
                    Ok(ips) => ips,
                    Err(error) => {
                        let text = format!("look up name server {server:?}");
                        bytehaul_log::debug!(%error, "{text}");
                        let error = Error::new(ErrorKind::Resolve, text).with_source(error);
                        failure = Some(ResolveError::Failed(Box::new(error)));
                        continue;
                    }
                },
            };
            let ips = ips.into_iter().take(ADDRESSES_OF_A_SERVER);
            located.extend(ips.map(|ip| (format!("{server:?}"), configuration(server, ip))));
        }
        match failure {
            Some(failure) if located.is_empty() => Err(failure),
            _ => Ok(located),
        }
    }

    async fn bootstrap(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let mut system = Self::system();
        system.families = self.families;
        system.files = self.files.clone();
        system.resolve(name).await
    }

    async fn tls_config(
        &self,
        servers: &[NameServer],
    ) -> Result<Result<TlsConfig, hickory_resolver::net::NetError>, ResolveError> {
        if servers
            .iter()
            .all(|one| *one.transport() == Transport::Plain)
        {
            return Ok(TlsConfig::new());
        }
        let failed = |error: Error| ResolveError::Failed(Box::new(error));
        let setup = match &self.trust {
            Trust::Own(tls) => &TlsSetup::new(tls).map_err(failed)?.for_helpers(),
            Trust::Shared(setup) => &**setup,
        };
        let config = setup.config(Alpn::Http1).await.map_err(failed)?;
        let mut config = (*config).clone();
        // hickory offers what belongs to each transport.
        config.alpn_protocols.clear();
        Ok(Ok(TlsConfig { config }))
    }

    fn is_for_the_system(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        matches!(self.servers, Servers::System) && name.ends_with(".local")
    }
}

impl Resolve for HickoryResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        if self.is_for_the_system(name) {
            return SystemResolver.resolve(name);
        }
        Box::pin(async move {
            let state = self.state().await?;
            match &state.engine {
                Some(engine) => engine.look_up(name, &state.hosts).await,
                None => SystemResolver.resolve(name).await,
            }
        })
    }
}

impl fmt::Debug for HickoryResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HickoryResolver")
            .field("servers", &self.servers)
            .field("families", &self.families)
            .finish_non_exhaustive()
    }
}

fn configuration(server: &NameServer, ip: IpAddr) -> NameServerConfig {
    let name: Arc<str> = match server.place() {
        Place::Address(ip) => ip.to_string().into(),
        Place::Name(name) | Place::Both(_, name) => name.as_str().into(),
    };
    let mut connections = match server.transport() {
        Transport::Plain => vec![ConnectionConfig::udp(), ConnectionConfig::tcp()],
        Transport::Tls => vec![ConnectionConfig::tls(name)],
        Transport::Https { path } => {
            vec![ConnectionConfig::https(name, Some(path.as_str().into()))]
        }
    };
    for connection in &mut connections {
        connection.port = server.port();
    }
    NameServerConfig::new(ip, true, connections)
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ResolveError> {
    let done = tokio::task::spawn_blocking(read).await;
    done.map_err(|error| ResolveError::Failed(Box::new(error)))
}

const CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// Of a name server that is given by name; more would only lengthen the list of silent ones.
const ADDRESSES_OF_A_SERVER: usize = 4;

#[cfg(test)]
mod tests;
