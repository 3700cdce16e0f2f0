//! The settings of the network, each of them optional, for a downloader and for one download.

mod clients;
pub(crate) mod setters;
mod transport;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytehaul_transport::resolve::Resolving;
use bytehaul_transport::{HttpVersion, NameServer, Resolve};

use crate::netrc::Netrc;

pub(crate) use self::clients::{Access, Clients};
pub(crate) use self::setters::network_setters;

/// How a download reaches its servers: proxies, names, trust, timing. Every setting may be left out.
///
/// A [`DownloaderBuilder`](crate::DownloaderBuilder) takes one for all of its downloads, a
/// [`DownloadSpec`](crate::DownloadSpec) one for itself: what is set there replaces the downloader's setting of the
/// same name, and what is not set is the downloader's. Downloads whose settings come out equal share connections,
/// looked-up names and TLS sessions.
///
/// ```
/// use bytehaul::{DownloadSpec, Network};
///
/// let network = Network::default()
///     .all_proxy("socks5h://127.0.0.1:1080")
///     .enable_ipv6(false);
/// let spec = DownloadSpec::new("https://example.com/big.iso").network(network);
/// ```
///
/// What cannot be used is found by [`build`](crate::DownloaderBuilder::build), or by
/// [`DownloadSpec::validate`](crate::DownloadSpec::validate) and at the start of the download, before anything is
/// sent.
#[derive(Clone, Default, PartialEq)]
#[must_use]
pub struct Network {
    all_proxy: Option<String>,
    http_proxy: Option<String>,
    https_proxy: Option<String>,
    no_proxy: Option<String>,
    proxy_from_env: Option<bool>,
    name_servers: Option<Vec<String>>,
    pinned_hosts: Option<BTreeMap<String, Vec<SocketAddr>>>,
    resolver: Option<SharedResolver>,
    ipv6: Option<bool>,
    roots: Option<Vec<Vec<u8>>>,
    only_these_roots: Option<bool>,
    client_certificate: Option<ClientCertificate>,
    pinned_keys: Option<Vec<String>>,
    accept_invalid_certificates: Option<bool>,
    http_version: Option<HttpVersion>,
    max_redirects: Option<usize>,
    follow_https_to_http: Option<bool>,
    user_agent: Option<String>,
    connect_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
    tcp_keepalive: Option<Duration>,
    netrc: Option<Netrc>,
}

impl Network {
    /// A proxy for every request: `http`, `https`, `socks4`, `socks4a`, `socks5` or `socks5h`, with credentials in the
    /// URL where it wants some, such as `socks5h://user:password@127.0.0.1:1080`. Wins over the environment; an empty
    /// text means none. Default: the environment's.
    pub fn all_proxy(mut self, url: impl Into<String>) -> Self {
        self.all_proxy = Some(url.into());
        self
    }

    /// A proxy for `http` URLs; wins over [`all_proxy`](Self::all_proxy).
    pub fn http_proxy(mut self, url: impl Into<String>) -> Self {
        self.http_proxy = Some(url.into());
        self
    }

    /// A proxy for `https` URLs; wins over [`all_proxy`](Self::all_proxy).
    pub fn https_proxy(mut self, url: impl Into<String>) -> Self {
        self.https_proxy = Some(url.into());
        self
    }

    /// Hosts that are reached without a proxy: names (with all beneath them), addresses and networks (`10.0.0.0/8`),
    /// separated by commas; `*` is every host. Default: the environment's `NO_PROXY`, whoever named the proxy.
    pub fn no_proxy(mut self, list: impl Into<String>) -> Self {
        self.no_proxy = Some(list.into());
        self
    }

    /// Whether `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` of the environment count, where no setting
    /// says otherwise. They are read when a client is made. Default true.
    pub fn proxy_from_env(mut self, counts: bool) -> Self {
        self.proxy_from_env = Some(counts);
        self
    }

    /// Asks these name servers (UDP, then TCP) in place of the system's; the same setting as
    /// [`name_servers`](Self::name_servers). Default: the system's configuration.
    pub fn dns_servers(self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.name_servers(servers.into_iter().map(|server| server.to_string()))
    }

    /// Asks these name servers in place of the system's: `1.1.1.1` or `1.1.1.1:53` by UDP and TCP,
    /// `tls://1.1.1.1` over TLS, `https://dns.example/dns-query` over HTTPS, in this order; see
    /// [`NameServer`](bytehaul_transport::NameServer). The hosts file still comes first, and over TLS the certificates
    /// that servers need are trusted. Default: the system's configuration.
    pub fn name_servers(mut self, servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.name_servers = Some(servers.into_iter().map(Into::into).collect());
        self
    }

    /// Takes these addresses for a host and asks nobody; port 0 stands for the URL's. Wins over every resolver and over
    /// [`enable_ipv6`](Self::enable_ipv6); without effect where a proxy looks names up. May be called for several
    /// hosts. Default: none.
    pub fn pin_host(
        mut self,
        name: impl Into<String>,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let pinned = self.pinned_hosts.get_or_insert_default();
        pinned.insert(name.into(), addresses.into_iter().collect());
        self
    }

    /// Looks names up in another way; name servers are then without effect, pinned hosts are not. Clones of these
    /// settings share the resolver; two that do not are not equal. Default: the built-in one.
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Some(SharedResolver(Arc::new(resolver)));
        self
    }

    /// Whether IPv6 addresses of names are used. Default true.
    pub fn enable_ipv6(mut self, enabled: bool) -> Self {
        self.ipv6 = Some(enabled);
        self
    }

    /// Trusts the certificates in this PEM text as well as the system's. May be called several times.
    pub fn add_root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.get_or_insert_default().push(pem.into());
        self
    }

    /// Whether to trust [`add_root_certificates`](Self::add_root_certificates) alone and not the system's. Default
    /// false.
    pub fn only_these_roots(mut self, only: bool) -> Self {
        self.only_these_roots = Some(only);
        self
    }

    /// Shows this certificate chain to servers that ask for one; both texts are PEM, the key PKCS#8, PKCS#1 or SEC1
    /// and without a password. Default: none.
    pub fn client_certificate(
        mut self,
        chain_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> Self {
        self.client_certificate = Some(ClientCertificate {
            chain: chain_pem.into(),
            key: key_pem.into(),
        });
        self
    }

    /// Accepts only servers whose public key has this hash, `sha256//` and base64 as curl writes it, beside all that is
    /// checked anyway. May be called several times; one that fits is enough. Default: any key.
    pub fn pin_public_key(mut self, pin: impl Into<String>) -> Self {
        self.pinned_keys.get_or_insert_default().push(pin.into());
        self
    }

    /// Whether certificates are accepted whoever signed them, for any name, expired or not. Anybody on the way can
    /// then read and change everything, credentials too; pinned keys still hold. Default false.
    pub fn danger_accept_invalid_certificates(mut self, accept: bool) -> Self {
        self.accept_invalid_certificates = Some(accept);
        self
    }

    /// Which version of HTTP is spoken. Default HTTP/1.1, whose connections are independent of each other.
    pub fn http_version(mut self, version: HttpVersion) -> Self {
        self.http_version = Some(version);
        self
    }

    /// Redirects that one request follows before it fails. Default 10.
    pub fn max_redirects(mut self, redirects: usize) -> Self {
        self.max_redirects = Some(redirects);
        self
    }

    /// Whether a redirect may lead from `https` to `http`, where anybody on the way can change what arrives. Default
    /// false.
    pub fn danger_follow_https_to_http(mut self, follow: bool) -> Self {
        self.follow_https_to_http = Some(follow);
        self
    }

    /// The `User-Agent` of every request. Default `bytehaul/<version>`.
    pub fn user_agent(mut self, value: impl Into<String>) -> Self {
        self.user_agent = Some(value.into());
        self
    }

    /// Time for one attempt to connect, name resolution, proxy and TLS included. Default 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Longest silence of a server, before the head and within the body. There is no limit on a whole transfer.
    /// Default 30 s.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = Some(timeout);
        self
    }

    /// Silence on a connection after which the system asks the other end whether it is still there, which also keeps
    /// routers from forgetting it; from 1 s to about 9 h, zero never asks. Default 30 s.
    pub fn tcp_keepalive(mut self, silence: Duration) -> Self {
        self.tcp_keepalive = Some(silence);
        self
    }

    /// Where user names and passwords are looked up for hosts that have no others. Default [`Netrc::Off`].
    pub fn netrc(mut self, netrc: Netrc) -> Self {
        self.netrc = Some(netrc);
        self
    }

    /// These settings, and what they leave out from `base`.
    pub(crate) fn over(self, base: &Self) -> Self {
        macro_rules! first {
            ($($field:ident),* $(,)?) => {
                Self { $($field: self.$field.or_else(|| base.$field.clone())),* }
            };
        }
        first!(
            all_proxy,
            http_proxy,
            https_proxy,
            no_proxy,
            proxy_from_env,
            name_servers,
            pinned_hosts,
            resolver,
            ipv6,
            roots,
            only_these_roots,
            client_certificate,
            pinned_keys,
            accept_invalid_certificates,
            http_version,
            max_redirects,
            follow_https_to_http,
            user_agent,
            connect_timeout,
            read_timeout,
            tcp_keepalive,
            netrc,
        )
    }
}

impl fmt::Debug for Network {
    /// Shows what is set, without credentials of proxies and without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Network");
        let mut field = |name: &str, value: Option<&dyn fmt::Debug>| {
            if let Some(value) = value {
                shown.field(name, value);
            }
        };
        fn any<T: fmt::Debug>(value: &Option<T>) -> Option<&dyn fmt::Debug> {
            value.as_ref().map(|value| value as &dyn fmt::Debug)
        }
        let url = |url: &Option<String>| url.as_deref().map(crate::session::shown);
        let (all, http, https) = (
            url(&self.all_proxy),
            url(&self.http_proxy),
            url(&self.https_proxy),
        );
        let servers: Option<Vec<_>> = self
            .name_servers
            .as_ref()
            .map(|servers| servers.iter().map(|text| shown_server(text)).collect());
        let roots = self.roots.as_ref().map(Vec::len);
        let certificate = self.client_certificate.as_ref().map(|_| "…");
        field("all_proxy", any(&all));
        field("http_proxy", any(&http));
        field("https_proxy", any(&https));
        field("no_proxy", any(&self.no_proxy));
        field("proxy_from_env", any(&self.proxy_from_env));
        field("name_servers", any(&servers));
        field("pinned_hosts", any(&self.pinned_hosts));
        field("resolver", any(&self.resolver));
        field("enable_ipv6", any(&self.ipv6));
        field("root_certificates", any(&roots));
        field("only_these_roots", any(&self.only_these_roots));
        field("client_certificate", any(&certificate));
        field("pinned_public_keys", any(&self.pinned_keys));
        field(
            "accept_invalid_certificates",
            any(&self.accept_invalid_certificates),
        );
        field("http_version", any(&self.http_version));
        field("max_redirects", any(&self.max_redirects));
        field("follow_https_to_http", any(&self.follow_https_to_http));
        field("user_agent", any(&self.user_agent));
        field("connect_timeout", any(&self.connect_timeout));
        field("read_timeout", any(&self.read_timeout));
        field("tcp_keepalive", any(&self.tcp_keepalive));
        field("netrc", any(&self.netrc));
        shown.finish()
    }
}

/// Some services put the account into the path, which the name server's own form leaves out.
fn shown_server(text: &str) -> String {
    match text.trim().parse::<NameServer>() {
        Ok(server) => format!("{server:?}"),
        Err(_) => crate::session::shown(text),
    }
}

/// What a server that asks for a certificate is shown.
#[derive(Clone, PartialEq)]
struct ClientCertificate {
    chain: Vec<u8>,
    key: Vec<u8>,
}

/// A resolver of the caller's, the same one as another when it is the same object.
#[derive(Clone, Debug)]
struct SharedResolver(Arc<dyn Resolve>);

impl Resolve for SharedResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        self.0.resolve(name)
    }
}

impl PartialEq for SharedResolver {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_comes_from_beneath() {
        let base = Network::default()
            .all_proxy("http://base:1")
            .user_agent("base")
            .max_redirects(3);
        let own = Network::default().user_agent("own").enable_ipv6(false);
        let merged = own.clone().over(&base);
        let expected = Network::default()
            .all_proxy("http://base:1")
            .user_agent("own")
            .enable_ipv6(false)
            .max_redirects(3);
        assert_eq!(merged, expected);
        assert_eq!(Network::default().over(&base), base);
        assert_eq!(own.clone().over(&Network::default()), own);
    }

    #[test]
    fn debug_shows_what_is_set_and_no_secret() {
        let network = Network::default()
            .all_proxy("http://me:hunter2@proxy:3128")
            .http_proxy("me:hunter2@proxy:3128")
            .https_proxy("socks5://me:hunter2@[bad")
            .name_servers(["https://me:hunter2@dns.example/dns-query?token=hunter2"])
            .client_certificate("hunter2", "hunter2");
        let text = format!("{network:?} {network:#?}");
        assert!(
            text.contains("proxy:3128") && text.contains("dns.example"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(format!("{:?}", Network::default()), "Network");
    }
}
