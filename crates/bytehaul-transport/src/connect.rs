//! From an origin to a connected stream: names, addresses, TCP options and the TLS handshake, within one time limit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;
use url::Host;

use crate::client::Timeouts;
use crate::error::{Error, ErrorKind};
use crate::eyeballs::{self, BadAddresses};
use crate::multiplex::Link;
use crate::origin::{Origin, Scheme};
use crate::pool::{Line, Pool};
use crate::resolve::{Pins, Resolve, ResolveError};
use crate::route::{Route, Speak};
use crate::stream::Stream;
use crate::tls::{Alpn, TlsSetup, handshake};
use crate::wire::Wire;

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
    /// A new connection on the route, ready for one request. The connect timeout covers all of it.
    pub(crate) async fn connect(
        &self,
        route: &Route,
        speak: Speak,
        timeouts: Timeouts,
        pool: &Pool,
    ) -> Result<Line, Error> {
        let limit = timeouts.connect;
        let Ok(dialled) = tokio::time::timeout(limit, self.dial(route, speak)).await else {
            let origin = route.origin();
            let what = format!(
                "connect to {}:{} within {limit:?}",
                origin.host(),
                origin.port()
            );
            return Err(Error::new(ErrorKind::TimeoutConnect, what));
        };
        let (stream, spoken) = dialled?;
        match spoken {
            Spoken::Http1 => Ok(Line::Http1(Wire::new(stream, route.clone()))),
            Spoken::Http2 => {
                let link = Link::open(stream, timeouts.read, pool.timeout()).await?;
                Ok(Line::Http2(pool.join(route, &link, Instant::now())))
            }
        }
    }

    async fn dial(&self, route: &Route, speak: Speak) -> Result<(Stream, Spoken), Error> {
        let origin = route.origin();
        let tcp = self.tcp(origin).await?;
        match (origin.scheme(), speak) {
            (Scheme::Http, Speak::Http2) => Ok((Stream::Plain(tcp), Spoken::Http2)),
            (Scheme::Http, Speak::Http1 | Speak::Either) => Ok((Stream::Plain(tcp), Spoken::Http1)),
            (Scheme::Https, _) => {
                let tls = handshake(&self.tls, origin.host(), alpn(speak), tcp).await?;
                let spoken = spoken(speak, tls.alpn())?;
                Ok((Stream::Tls(Box::new(tls)), spoken))
            }
        }
    }

    async fn tcp(&self, origin: &Origin) -> Result<TcpStream, Error> {
        let started = Instant::now();
        let addresses = self.addresses(origin).await?;
        let looked_up = started.elapsed();
        let tcp = eyeballs::connect(addresses, &self.bad)
            .await
            .map_err(|(address, error)| {
                let kind = match error.kind() {
                    io::ErrorKind::ConnectionRefused => ErrorKind::Refused,
                    _ => ErrorKind::Connect,
                };
                Error::new(kind, format!("connect to {address}")).with_source(error)
            })?;
        tracing::debug!(host = %origin.host(), address = ?tcp.peer_addr().ok(), ?looked_up, took = ?started.elapsed(), "connected");
        // A request is one small write that must not wait for company. Failing to say so costs time, not correctness.
        let _ = tcp.set_nodelay(true);
        Ok(tcp)
    }

    async fn addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, Error> {
        let name = match origin.host() {
            Host::Ipv4(ip) => return Ok(vec![(*ip, origin.port()).into()]),
            Host::Ipv6(ip) => return Ok(vec![(*ip, origin.port()).into()]),
            Host::Domain(name) => name,
        };
        if let Some(pinned) = self.pins.addresses(name, origin.port()) {
            return pinned;
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
}

/// What the other end speaks.
#[derive(Clone, Copy)]
enum Spoken {
    Http1,
    Http2,
}

fn alpn(speak: Speak) -> Alpn {
    match speak {
        Speak::Http1 => Alpn::Http1,
        Speak::Either => Alpn::Http2AndHttp1,
        Speak::Http2 => Alpn::Http2,
    }
}

/// What was agreed on. A server that does not know of ALPN agrees to nothing and speaks HTTP/1.1.
fn spoken(speak: Speak, agreed: Option<&[u8]>) -> Result<Spoken, Error> {
    match (speak, agreed) {
        (Speak::Either | Speak::Http2, Some(b"h2")) => Ok(Spoken::Http2),
        (Speak::Http1 | Speak::Either, _) => Ok(Spoken::Http1),
        (Speak::Http2, _) => Err(Error::new(ErrorKind::Tls, "server does not offer http/2")),
    }
}

/// RFC 6761 section 6.3: these names are never asked from DNS.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}
