//! DNS by hickory: the system's servers and hosts file, or servers of the caller's choice.

use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::{Resolve, ResolveError, Resolving, SystemResolver};
use crate::connect::Families;

/// Asks DNS itself, without blocking threads, and keeps answers for as long as they are valid.
///
/// The system's configuration is read at the first look-up. Where that cannot be done, the [`SystemResolver`] takes its
/// place; it never does for a name that DNS says does not exist.
pub struct HickoryResolver {
    servers: Servers,
    families: Families,
    inner: OnceLock<Option<TokioResolver>>,
}

#[derive(Debug)]
enum Servers {
    System,
    Own(Vec<SocketAddr>),
}

impl HickoryResolver {
    /// The servers of the system (`/etc/resolv.conf`) and its hosts file.
    pub fn system() -> Self {
        Self::with(Servers::System)
    }

    /// These servers, by UDP and, for long answers, TCP. The hosts file still comes first.
    pub fn with_servers(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::with(Servers::Own(servers.into_iter().collect()))
    }

    /// Asks for IPv4 addresses only. Default: both families at once.
    #[must_use]
    pub fn ipv4_only(mut self) -> Self {
        self.families = Families::V4Only;
        self
    }

    fn with(servers: Servers) -> Self {
        Self {
            servers,
            families: Families::Both,
            inner: OnceLock::new(),
        }
    }

    fn resolver(&self) -> Option<&TokioResolver> {
        self.inner
            .get_or_init(|| {
                self.start()
                    .inspect_err(|error| tracing::debug!(%error, "no dns of our own"))
                    .ok()
            })
            .as_ref()
    }

    fn start(&self) -> Result<TokioResolver, NetError> {
        let mut builder = match &self.servers {
            Servers::System => TokioResolver::builder_tokio()?,
            Servers::Own(servers) => {
                let servers = servers.iter().map(name_server).collect();
                let config = ResolverConfig::from_parts(None, vec![], servers);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        set_options(builder.options_mut(), self.families);
        builder.build()
    }
}

impl Resolve for HickoryResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        let Some(resolver) = self.resolver() else {
            return SystemResolver.resolve(name);
        };
        Box::pin(async move {
            match resolver.lookup_ip(name).await {
                Ok(found) => Ok(found.iter().collect()),
                Err(error) if error.is_no_records_found() => Err(ResolveError::NotFound),
                Err(error) => Err(ResolveError::Failed(Box::new(error))),
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

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![
        at_port(ConnectionConfig::udp()),
        at_port(ConnectionConfig::tcp()),
    ];
    NameServerConfig::new(address.ip(), true, connections)
}

fn set_options(options: &mut ResolverOpts, families: Families) {
    options.use_hosts_file = ResolveHosts::Always;
    options.ip_strategy = match families {
        Families::Both => LookupIpStrategy::Ipv6AndIpv4,
        Families::V4Only => LookupIpStrategy::Ipv4Only,
    };
}
