//! How a connected stream becomes a TLS stream with a host, and what a failure of that means.

use std::io;
use std::net::IpAddr;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Host;

use super::failure::Failure;
use super::{TlsSetup, TlsStream};
use crate::error::{Error, ErrorKind};

/// The application protocols that a client offers (RFC 7301), the preferred one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpn {
    Http1,
    Http2AndHttp1,
    Http2,
}

impl Alpn {
    pub(crate) const ALL: [Self; 3] = [Self::Http1, Self::Http2AndHttp1, Self::Http2];

    pub(crate) fn protocols(self) -> Vec<Vec<u8>> {
        let protocols: &[&[u8]] = match self {
            Self::Http1 => &[b"http/1.1"],
            Self::Http2AndHttp1 => &[b"h2", b"http/1.1"],
            Self::Http2 => &[b"h2"],
        };
        protocols.iter().map(|name| name.to_vec()).collect()
    }
}

/// Does the handshake with the host over a connected stream: a TCP connection, or a tunnel through a proxy.
///
/// Cancel safe: dropping the future closes the stream below.
pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    setup: &TlsSetup,
    host: &Host<String>,
    alpn: Alpn,
    io: S,
) -> Result<TlsStream<S>, Error> {
    let config = setup.config(alpn).await?;
    let name = server_name(host)?;
    let done = TlsStream::connect(config, name, io).await;
    let stream = done.map_err(|error| {
        Error::new(kind(&error), format!("tls handshake with {host}")).with_source(error)
    })?;
    bytehaul_log::debug!(
        %host,
        version = ?stream.version(),
        alpn = ?stream.alpn().map(String::from_utf8_lossy),
        handshake = ?stream.handshake_kind(),
        "tls connection"
    );
    Ok(stream)
}

/// The name in the certificate. An address is never sent as one (RFC 6066 section 3).
fn server_name(host: &Host<String>) -> Result<ServerName<'static>, Error> {
    match host {
        Host::Ipv4(ip) => Ok(IpAddr::V4(*ip).into()),
        Host::Ipv6(ip) => Ok(IpAddr::V6(*ip).into()),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_owned();
            ServerName::try_from(name).map_err(|error| {
                Error::new(ErrorKind::InvalidUrl, "host is no name for tls").with_source(error)
            })
        }
    }
}

/// What the peer or this side objects to will be so again; what the network cut may work next time.
fn kind(error: &io::Error) -> ErrorKind {
    let failure = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<Failure>());
    failure.map_or(ErrorKind::Reset, Failure::kind)
}

#[cfg(test)]
mod tests;
