//! From an origin to a connected stream: names, addresses, TCP options and the TLS handshake, within one time limit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use url::Host;

use crate::error::{Error, ErrorKind};
use crate::eyeballs::{self, BadAddresses};
use crate::origin::{Origin, Scheme};
use crate::resolve::{Pins, Resolve, ResolveError};
use crate::tls::{Alpn, TlsSetup, handshake};
use crate::wire::{Stream, Wire};

/// What is needed to make connections, shared by all requests of a client.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) pins: Pins,
    pub(crate) families: Families,
    pub(crate) tls: TlsSetup,
    pub(crate) bad: BadAddresses,
}

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    Both,
    V4Only,
}

impl Connector {
    /// A new connection to the origin. The limit covers all of it.
    pub(crate) async fn connect(&self, origin: &Origin, limit: Duration) -> Result<Wire, Error> {
        match tokio::time::timeout(limit, self.dial(origin)).await {
            Ok(dialled) => dialled,
            Err(_elapsed) => {
                let what = format!(
                    "connect to {}:{} within {limit:?}",
                    origin.host(),
                    origin.port()
                );
                Err(Error::new(ErrorKind::TimeoutConnect, what))
            }
        }
    }

    async fn dial(&self, origin: &Origin) -> Result<Wire, Error> {
        let addresses = self.addresses(origin).await?;
        let tcp = eyeballs::connect(addresses, &self.bad)
            .await
            .map_err(|(address, error)| {
                let kind = match error.kind() {
                    io::ErrorKind::ConnectionRefused => ErrorKind::Refused,
                    _ => ErrorKind::Connect,
                };
                Error::new(kind, format!("connect to {address}")).with_source(error)
            })?;
        // A request is one small write that must not wait for company. Failing to say so costs time, not correctness.
        let _ = tcp.set_nodelay(true);
        let stream = match origin.scheme() {
            Scheme::Http => Stream::Plain(tcp),
            Scheme::Https => self.secure(origin, tcp).await?,
        };
        Ok(Wire::new(stream, origin.clone()))
    }

    async fn addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, Error> {
        let name = match origin.host() {
            Host::Ipv4(ip) => return Ok(vec![(*ip, origin.port()).into()]),
            Host::Ipv6(ip) => return Ok(vec![(*ip, origin.port()).into()]),
            Host::Domain(name) => name,
        };
        if let Some(pinned) = self.pins.addresses(name, origin.port()) {
            return Ok(pinned);
        }
        let mut found = if is_localhost(name) {
            vec![
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ]
        } else {
            self.resolver.resolve(name).await.map_err(|error| {
                let kind = match error {
                    ResolveError::NotFound => ErrorKind::HostNotFound,
                    ResolveError::Failed(_) => ErrorKind::Resolve,
                    ResolveError::Untrusted(_) => ErrorKind::Tls,
                };
                Error::new(kind, format!("resolve {name}")).with_source(error)
            })?
        };
        if self.families == Families::V4Only {
            found.retain(IpAddr::is_ipv4);
        }
        if found.is_empty() {
            return Err(Error::new(
                ErrorKind::HostNotFound,
                format!("no usable address for {name}"),
            ));
        }
        Ok(found
            .into_iter()
            .map(|ip| SocketAddr::new(ip, origin.port()))
            .collect())
    }

    async fn secure(&self, origin: &Origin, tcp: TcpStream) -> Result<Stream, Error> {
        let tls = handshake(&self.tls, origin.host(), Alpn::Http1, tcp).await?;
        Ok(Stream::Tls(Box::new(tls)))
    }
}

/// RFC 6761 section 6.3: these names are never asked from DNS.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}
