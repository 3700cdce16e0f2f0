//! From a route to a connection that is ready for a request: TCP, proxies, TLS and the version spoken, within one time limit.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::Host;

use crate::client::Timeouts;
use crate::error::{Error, ErrorKind};
use crate::multiplex::Link;
use crate::origin::{Origin, Scheme};
use crate::pool::{Line, Pool};
use crate::proxy::{Proxies, Proxy, tunnel};
use crate::reach::Reach;
use crate::route::{Route, Speak};
use crate::stream::Stream;
use crate::tls::{Alpn, TlsSetup, TlsStream, handshake};
use crate::wire::Wire;

/// What is needed to make connections, shared by all requests of a client.
#[derive(Debug)]
pub(crate) struct Connector {
    reach: Reach,
    tls: TlsSetup,
    /// For TLS with proxies.
    helpers: TlsSetup,
    proxies: Proxies,
}

impl Connector {
    pub(crate) fn new(reach: Reach, tls: TlsSetup, proxies: Proxies) -> Self {
        Self {
            helpers: tls.for_helpers(),
            reach,
            tls,
            proxies,
        }
    }

    /// The way that requests to the origin take.
    pub(crate) fn route(&self, origin: &Origin, speak: Speak) -> Route {
        Route::to(origin, &self.proxies, speak)
    }

    /// A new connection on the route, ready for one request. The connect timeout covers all of it.
    pub(crate) async fn connect(
        &self,
        route: &Route,
        speak: Speak,
        timeouts: Timeouts,
        pool: &Pool,
    ) -> Result<Line, Error> {
        let limit = timeouts.connect;
        // The states of all ways to connect are too much for the future of each request.
        let dialling = Box::pin(self.line(route, speak, timeouts, pool));
        tokio::time::timeout(limit, dialling)
            .await
            .unwrap_or_else(|_elapsed| {
                let what = format!("connect to {} within {limit:?}", Shown(route));
                Err(Error::new(ErrorKind::TimeoutConnect, what))
            })
    }

    async fn line(
        &self,
        route: &Route,
        speak: Speak,
        timeouts: Timeouts,
        pool: &Pool,
    ) -> Result<Line, Error> {
        let (stream, spoken) = self.dial(route, speak).await?;
        match spoken {
            Spoken::Http1 => Ok(Line::Http1(Wire::new(stream, route.clone()))),
            Spoken::Http2 => {
                let link = Link::open(stream, timeouts.read, pool.timeout()).await?;
                Ok(Line::Http2(pool.join(route, &link, Instant::now())))
            }
        }
    }

    async fn dial(&self, route: &Route, speak: Speak) -> Result<(Stream, Spoken), Error> {
        match route {
            Route::Direct(origin) => {
                let tcp = self.reach.connect(origin.host(), origin.port()).await?;
                match origin.scheme() {
                    Scheme::Http => Ok((Stream::Plain(tcp), plain(speak))),
                    Scheme::Https => {
                        let (tls, spoken) = self.secure(origin, speak, tcp).await?;
                        Ok((Stream::Tls(Box::new(tls)), spoken))
                    }
                }
            }
            Route::Forward(proxy) if proxy.needs_tls() => {
                let tls = self.secure_proxy(proxy).await?;
                Ok((Stream::Tls(Box::new(tls)), Spoken::Http1))
            }
            Route::Forward(proxy) => {
                let tcp = self.reach_proxy(proxy).await?;
                Ok((Stream::Plain(tcp), Spoken::Http1))
            }
            Route::Tunnel(proxy, origin) => self.dig(proxy, origin, speak).await,
        }
    }

    /// A tunnel to the origin. Where names are looked up here, each address is tried that the proxy may reach.
    async fn dig(
        &self,
        proxy: &Proxy,
        origin: &Origin,
        speak: Speak,
    ) -> Result<(Stream, Spoken), Error> {
        let mut outcome = Err(Error::new(
            ErrorKind::HostNotFound,
            format!(
                "no address of {} that proxy {proxy} can be told",
                origin.host()
            ),
        ));
        for address in self.targets(proxy, origin).await? {
            outcome = self.dig_to(proxy, origin, address, speak).await;
            match &outcome {
                Err(error) if error.kind() == ErrorKind::ProxyFailed => {}
                _ => break,
            }
        }
        outcome
    }

    /// What the proxy is told in place of the origin's name, one after the other. `None` is the name itself.
    async fn targets(
        &self,
        proxy: &Proxy,
        origin: &Origin,
    ) -> Result<Vec<Option<SocketAddr>>, Error> {
        if proxy.resolves_names() || !matches!(origin.host(), Host::Domain(_)) {
            return Ok(vec![None]);
        }
        let mut addresses = self.reach.addresses(origin.host(), origin.port()).await?;
        addresses.retain(|address| proxy.takes(address.ip()));
        addresses.truncate(MAX_TARGETS);
        Ok(addresses.into_iter().map(Some).collect())
    }

    async fn dig_to(
        &self,
        proxy: &Proxy,
        origin: &Origin,
        address: Option<SocketAddr>,
        speak: Speak,
    ) -> Result<(Stream, Spoken), Error> {
        if proxy.needs_tls() {
            let tls = self.secure_proxy(proxy).await?;
            let tls = tunnel(proxy, tls, origin, address).await?;
            bytehaul_log::debug!(%proxy, host = %origin.host(), "tunnel is open");
            return match origin.scheme() {
                Scheme::Http => Ok((Stream::Tls(Box::new(tls)), plain(speak))),
                Scheme::Https => {
                    let (tls, spoken) = self.secure(origin, speak, tls).await?;
                    Ok((Stream::TlsInTls(Box::new(tls)), spoken))
                }
            };
        }
        let tcp = self.reach_proxy(proxy).await?;
        let tcp = tunnel(proxy, tcp, origin, address).await?;
        bytehaul_log::debug!(%proxy, host = %origin.host(), ?address, "tunnel is open");
        match origin.scheme() {
            Scheme::Http => Ok((Stream::Plain(tcp), plain(speak))),
            Scheme::Https => {
                let (tls, spoken) = self.secure(origin, speak, tcp).await?;
                Ok((Stream::Tls(Box::new(tls)), spoken))
            }
        }
    }

    async fn reach_proxy(&self, proxy: &Proxy) -> Result<TcpStream, Error> {
        let reached = self.reach.connect(proxy.host(), proxy.port()).await;
        reached.map_err(|error| blame(proxy, error))
    }

    async fn secure_proxy(&self, proxy: &Proxy) -> Result<TlsStream<TcpStream>, Error> {
        let tcp = self.reach_proxy(proxy).await?;
        let secured = handshake(&self.helpers, proxy.host(), Alpn::Http1, tcp).await;
        secured.map_err(|error| blame(proxy, error))
    }

    async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        origin: &Origin,
        speak: Speak,
        io: S,
    ) -> Result<(TlsStream<S>, Spoken), Error> {
        let tls = handshake(&self.tls, origin.host(), alpn(speak), io).await?;
        let spoken = spoken(speak, tls.alpn())?;
        Ok((tls, spoken))
    }
}

/// The same error with the proxy's name in front. What would be the host's refusal is none of the host.
fn blame(proxy: &Proxy, error: Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::Connect | ErrorKind::Refused | ErrorKind::Reset => ErrorKind::ProxyConnect,
        other => other,
    };
    Error::new(kind, format!("connect to proxy {proxy}")).with_source(error)
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

/// What is spoken where nothing can be agreed on.
fn plain(speak: Speak) -> Spoken {
    match speak {
        Speak::Http1 | Speak::Either => Spoken::Http1,
        Speak::Http2 => Spoken::Http2,
    }
}

/// A route as a user knows it.
struct Shown<'a>(&'a Route);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Route::Direct(origin) => write!(f, "{}:{}", origin.host(), origin.port()),
            Route::Tunnel(proxy, origin) => write!(
                f,
                "{}:{} through proxy {proxy}",
                origin.host(),
                origin.port()
            ),
            Route::Forward(proxy) => write!(f, "proxy {proxy}"),
        }
    }
}

/// Addresses of one host that a proxy is asked for. Each costs a connection to the proxy.
const MAX_TARGETS: usize = 4;
