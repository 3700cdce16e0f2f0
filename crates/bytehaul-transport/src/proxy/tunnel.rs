//! How a connection to a proxy becomes a connection to a host: who speaks next, and what a silence or an end means.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Host;

use super::connect::Connect;
use super::refusal::Refusal;
use super::socks4::Socks4;
use super::socks5::Socks5;
use super::{Protocol, Proxy};
use crate::error::BoxError;
use crate::{Error, ErrorKind, Origin};

/// Asks the proxy at the other end of `io` to connect to the origin, and gives the stream back once it has. From then on
/// every byte is the host's.
///
/// `address` is sent in place of the origin's name, to proxies that do not [look names up](Proxy::resolves_names). No time
/// limit. Cancelled by dropping, which closes the connection.
///
/// # Errors
///
/// [`ProxyAuthentication`](ErrorKind::ProxyAuthentication), [`ProxyDenied`](ErrorKind::ProxyDenied),
/// [`ProxyFailed`](ErrorKind::ProxyFailed) (also when it hangs up) and [`ProxyProtocol`](ErrorKind::ProxyProtocol), all of
/// which name the proxy, the host and what was answered.
pub(crate) async fn tunnel<S>(
    proxy: &Proxy,
    mut io: S,
    origin: &Origin,
    address: Option<SocketAddr>,
) -> Result<S, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut talk =
        Talk::new(proxy, origin, address).map_err(|refusal| refusal.into_error(proxy, origin))?;
    let mut received = Vec::new();
    loop {
        let step = talk.step(&received);
        let done = match step.map_err(|refusal| refusal.into_error(proxy, origin))? {
            Step::Open => return Ok(io),
            Step::Send(bytes) => {
                received.clear();
                send(&mut io, &bytes).await
            }
            Step::Receive(length) => {
                received.resize(length, 0);
                io.read_exact(&mut received).await.map(drop)
            }
        };
        done.map_err(|cause| {
            let error = talk.cut(&cause).into_error(proxy, origin);
            match cause.kind() {
                io::ErrorKind::UnexpectedEof => error,
                _ => error.with_source(BoxError::from(cause)),
            }
        })?;
    }
}

/// How many bytes of what a proxy sends are its own answer, when that opens a tunnel to the origin; `None` when it does not.
/// Here for the fuzz targets.
#[doc(hidden)]
pub fn own_bytes(proxy: &Proxy, origin: &Origin, sent: &[u8]) -> Option<usize> {
    let mut talk = Talk::new(proxy, origin, None).ok()?;
    let (mut received, mut rest) = (&[][..], sent);
    loop {
        match talk.step(received).ok()? {
            Step::Open => return Some(sent.len() - rest.len()),
            Step::Send(_) => received = &[],
            Step::Receive(length) => (received, rest) = rest.split_at_checked(length)?,
        }
    }
}

/// What comes next in a talk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this.
    Send(Vec<u8>),
    /// Receive exactly as many bytes, at least one, and come back with them.
    Receive(usize),
    /// The next byte is the host's.
    Open,
}

/// What a SOCKS proxy is asked to connect to.
pub(super) enum Target<'a> {
    Address(IpAddr),
    /// At most 254 bytes, none of them a NUL.
    Name(&'a str),
}

impl<'a> Target<'a> {
    fn of(proxy: &Proxy, origin: &'a Origin, address: Option<SocketAddr>) -> Result<Self, Refusal> {
        match (origin.host(), address) {
            (Host::Ipv4(address), _) => Ok(Self::Address(IpAddr::V4(*address))),
            (Host::Ipv6(address), _) => Ok(Self::Address(IpAddr::V6(*address))),
            (Host::Domain(name), _) if proxy.resolves_names() => Ok(Self::Name(name)),
            (Host::Domain(_), Some(address)) => Ok(Self::Address(address.ip())),
            (Host::Domain(_), None) => Err(Refusal::new(
                ErrorKind::ProxyDenied,
                "it takes addresses only, and none is known",
            )),
        }
    }
}

/// The talk with a proxy, without the wire: what was received goes in, what comes next goes out.
pub(super) enum Talk {
    Http(Connect),
    Socks4(Socks4),
    Socks5(Socks5),
}

impl Talk {
    pub(super) fn new(
        proxy: &Proxy,
        origin: &Origin,
        address: Option<SocketAddr>,
    ) -> Result<Self, Refusal> {
        let target = || Target::of(proxy, origin, address);
        let (port, login) = (origin.port(), proxy.login.as_ref());
        Ok(match proxy.protocol {
            Protocol::Http | Protocol::Https => {
                Self::Http(Connect::new(origin, proxy.authorization().as_ref()))
            }
            Protocol::Socks4 | Protocol::Socks4a => {
                let user = login.map_or(&[][..], |login| &login.user);
                Self::Socks4(Socks4::new(&target()?, port, user)?)
            }
            Protocol::Socks5 | Protocol::Socks5h => {
                Self::Socks5(Socks5::new(&target()?, port, login))
            }
        })
    }

    /// Goes on with what was received since the last step: nothing, or as much as that one asked for.
    pub(super) fn step(&mut self, received: &[u8]) -> Result<Step, Refusal> {
        match self {
            Self::Http(connect) => connect.step(received),
            Self::Socks4(socks) => socks.step(received),
            Self::Socks5(socks) => socks.step(received),
        }
    }

    /// What it means that the connection ended here.
    fn cut(&self, cause: &io::Error) -> Refusal {
        let hung_up = matches!(
            cause.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        );
        match self {
            // RFC 1929 section 2 has it close then, and not all servers say why before they do.
            Self::Socks5(socks) if hung_up && socks.is_logging_in() => {
                Refusal::new(ErrorKind::ProxyAuthentication, "it hung up on the login")
            }
            _ if hung_up => Refusal::new(ErrorKind::ProxyFailed, "it hung up without an answer"),
            _ => Refusal::new(ErrorKind::ProxyFailed, "the connection to it failed"),
        }
    }
}

async fn send<S: AsyncWrite + Unpin>(io: &mut S, bytes: &[u8]) -> io::Result<()> {
    io.write_all(bytes).await?;
    // TLS may hold back what is written.
    io.flush().await
}
