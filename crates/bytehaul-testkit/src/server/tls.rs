//! The server's side of TLS: who it says it is, and what a handshake agreed on.

use std::io;
use std::sync::Arc;

use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What the handshake of a connection agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handshake {
    /// The name that the client asked for (SNI); none when it connected to an address.
    pub server_name: Option<String>,
    /// The protocols that both sides can speak, chosen by ALPN; none when the client offered none.
    pub protocol: Option<String>,
    /// Whether it was TLS 1.3, and not 1.2.
    pub is_tls13: bool,
    /// Whether the session of an earlier connection was resumed.
    pub resumed: bool,
}

/// Carries out a handshake. It fails when the client does not like the certificate.
pub(super) async fn accept(
    config: Arc<ServerConfig>,
    stream: TcpStream,
) -> io::Result<(TlsStream<TcpStream>, Handshake)> {
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let (_, session) = stream.get_ref();
    let handshake = Handshake {
        server_name: session.server_name().map(str::to_owned),
        protocol: session
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned()),
        is_tls13: session.protocol_version() == Some(ProtocolVersion::TLSv1_3),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
    };
    Ok((stream, handshake))
}
