//! The settings of a client and their defaults.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::client::{Client, Shared, Timeouts};
use crate::connect::Connector;
use crate::error::{Error, ErrorKind};
use crate::eyeballs::BadAddresses;
use crate::pool::{Pool, PoolLimits};
use crate::proxy::Proxies;
use crate::reach::{Families, Reach};
use crate::redirect::{Downgrade, Redirects};
use crate::resolve::{HickoryResolver, NameServer, Pins, Resolve};
use crate::tls::{Tls, TlsSetup};
use crate::version::HttpVersion;

/// Makes a [`Client`]. Every setting has a default that fits a stranger.
///
/// ```
/// use std::time::Duration;
/// use bytehaul_transport::Client;
///
/// let client = Client::builder()
///     .connect_timeout(Duration::from_secs(5))
///     .dns_servers(["1.1.1.1:53".parse()?])
///     .enable_ipv6(false)
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ClientBuilder {
    timeouts: Timeouts,
    name_servers: Vec<NameServer>,
    pins: Pins,
    resolver: Option<Arc<dyn Resolve>>,
    families: Families,
    keepalive: Duration,
    proxies: Proxies,
    redirects: Redirects,
    version: HttpVersion,
    user_agent: String,
    tls: Tls,
    pool: PoolLimits,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            timeouts: Timeouts {
                connect: Duration::from_secs(10),
                read: Duration::from_secs(30),
            },
            name_servers: Vec::new(),
            pins: Pins::default(),
            resolver: None,
            families: Families::Both,
            keepalive: Duration::from_secs(30),
            proxies: Proxies::none(),
            redirects: Redirects {
                max: 10,
                downgrade: Downgrade::Refuse,
            },
            version: HttpVersion::default(),
            user_agent: concat!("bytehaul/", env!("CARGO_PKG_VERSION")).to_owned(),
            tls: Tls::default(),
            pool: PoolLimits {
                per_route: 32,
                timeout: Duration::from_secs(60),
            },
        }
    }
}

impl ClientBuilder {
    /// Longest time for look-up, connection and TLS handshake together. Default 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }

    /// Longest time without a byte: for the response head as a whole, and for every wait within the body. There is no limit
    /// on a request's total time. Default 30 s.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.read = timeout;
        self
    }

    /// Silence on a connection after which the system asks the other end whether it is still there, which also keeps
    /// routers from forgetting it; from 1 s to about 9 h, zero never asks. Default 30 s.
    pub fn tcp_keepalive(mut self, silence: Duration) -> Self {
        self.keepalive = silence;
        self
    }

    /// Name servers to ask instead of the system's, by UDP and TCP. The hosts file still comes first. Default: none, which
    /// means the system's. Takes the place of [`ClientBuilder::name_servers`].
    pub fn dns_servers(self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.name_servers(servers.into_iter().map(NameServer::from))
    }

    /// Name servers to ask instead of the system's, each by UDP, by TLS or by HTTPS, and in this order. The hosts file still
    /// comes first. Servers over TLS are trusted as the hosts are, see [`ClientBuilder::tls`]. Default: none, which means
    /// the system's. Takes the place of [`ClientBuilder::dns_servers`].
    pub fn name_servers(mut self, servers: impl IntoIterator<Item = NameServer>) -> Self {
        self.name_servers = servers.into_iter().collect();
        self
    }

    /// Looks names up in another way; `dns_servers` and `name_servers` are then without effect. Default:
    /// [`HickoryResolver`].
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Connects to these addresses wherever a URL has this host, in this order, without any look-up. An address with
    /// port 0 is dialled at the URL's port, another at its own. Wins over every resolver, over `localhost` being the
    /// loopback, and over `enable_ipv6(false)`. The `Host` header and the name in the certificate stay those of the URL.
    /// Without effect where a proxy looks names up, and on addresses in URLs, which are dialled as they are. Calling it
    /// again for a host replaces its addresses; no address at all makes the host unreachable.
    ///
    /// ```
    /// use bytehaul_transport::Client;
    ///
    /// let client = Client::builder()
    ///     .pin_host("files.example.org", ["192.0.2.1:0".parse()?, "127.0.0.1:8443".parse()?])
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pin_host(mut self, name: &str, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.pins.insert(name, addresses.into_iter().collect());
        self
    }

    /// Whether IPv6 addresses of names are asked for and used. An IPv6 literal in a URL is used in any case. Default true.
    pub fn enable_ipv6(mut self, enabled: bool) -> Self {
        self.families = if enabled {
            Families::Both
        } else {
            Families::V4Only
        };
        self
    }

    /// Redirects that one request follows before it fails. Default 10.
    pub fn max_redirects(mut self, redirects: usize) -> Self {
        self.redirects.max = redirects;
        self
    }

    /// Follows redirects from `https` to `http` too. Everybody on the way can then read and change what is transferred; each
    /// such redirect is logged as a warning. The caller's headers are never taken along. Default: such a redirect is the
    /// error [`InsecureRedirect`](ErrorKind::InsecureRedirect).
    pub fn danger_follow_https_to_http(mut self) -> Self {
        self.redirects.downgrade = Downgrade::Follow;
        self
    }

    /// Which proxy is used for which URL, decided anew at each redirect. Requests for `http` URLs go to an HTTP proxy in the
    /// absolute form, with its credentials; all else goes through a tunnel. The connect timeout covers the proxy too.
    /// Default [`Proxies::none`]: the environment is only read by those who ask for [`Proxies::from_env`].
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// The version of HTTP that is spoken, unless a [request](crate::Request::http_version) says otherwise. Default
    /// [`HttpVersion::Http1`], which is the fastest for large files.
    pub fn http_version(mut self, version: HttpVersion) -> Self {
        self.version = version;
        self
    }

    /// The `User-Agent` field, unless a request's own headers have one. Default `bytehaul/` and the version.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// TLS settings.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// How long an idle connection is kept; a shorter `Keep-Alive: timeout` of the server wins. Default 60 s.
    pub fn pool_idle_timeout(mut self, timeout: Duration) -> Self {
        self.pool.timeout = timeout;
        self
    }

    /// Idle HTTP/1.1 connections kept for each origin. 0 keeps none, and shares no HTTP/2 connection. Default 32.
    pub fn pool_max_idle(mut self, connections: usize) -> Self {
        self.pool.per_route = connections;
        self
    }

    /// Makes the client. Nothing is opened or read yet: name servers, hosts file and root certificates are read when first
    /// needed.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration): the root certificates are not PEM, none at all is trusted, or the user
    /// agent is no header value.
    pub fn build(self) -> Result<Client, Error> {
        let user_agent = HeaderValue::from_str(&self.user_agent).map_err(|error| {
            Error::new(ErrorKind::Configuration, "user agent is no header value").with_source(error)
        })?;
        let tls = TlsSetup::new(&self.tls)?;
        let resolver = self.resolver.unwrap_or_else(|| {
            let resolver = match self.name_servers.is_empty() {
                true => HickoryResolver::system(),
                false => HickoryResolver::with_name_servers(self.name_servers)
                    .trusting(Arc::new(tls.for_helpers())),
            };
            Arc::new(match self.families {
                Families::Both => resolver,
                Families::V4Only => resolver.ipv4_only(),
            })
        });
        let reach = Reach {
            resolver,
            pins: self.pins,
            families: self.families,
            keepalive: self.keepalive,
            bad: BadAddresses::default(),
        };
        let connector = Connector::new(reach, tls, self.proxies);
        let pool = Arc::new(Pool::new(self.pool));
        let shared = Shared {
            connector,
            pool,
            user_agent,
            redirects: self.redirects,
        };
        Ok(Client::new(Arc::new(shared), self.timeouts, self.version))
    }
}
