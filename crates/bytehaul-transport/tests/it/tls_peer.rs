//! A TLS server that gives everybody the same three bytes, and remembers what they showed of themselves.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytehaul_testkit::pki::{Authority, Certificate};
use bytehaul_transport::{Client, Error, Roots, Tls, Url};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::server::{get, read_all, read_head};

pub(crate) type Versions<'a> = &'a [&'static SupportedProtocolVersion];

/// A client whose handshake was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) name: Option<String>,
    pub(crate) alpn: Option<String>,
    pub(crate) version: ProtocolVersion,
    pub(crate) resumed: bool,
    pub(crate) certificates: usize,
}

/// Dropping it stops it.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Peer {
    pub(crate) async fn start(config: ServerConfig) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                sessions.spawn(serve(acceptor.clone(), stream, Arc::clone(&log)));
            }
        });
        Self {
            address,
            seen,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self, host: &str) -> Url {
        Url::parse(&format!("https://{host}:{}/", self.address.port())).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// One request and its answer.
    pub(crate) async fn ask(&self, client: &Client, host: &str) -> Result<(), Error> {
        ask(client, self.url(host)).await
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, log: Arc<Mutex<Vec<Seen>>>) {
    let Ok(mut tls) = acceptor.accept(stream).await else {
        return;
    };
    let session = tls.get_ref().1;
    log.lock().unwrap().push(Seen {
        name: session.server_name().map(str::to_owned),
        alpn: session
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned()),
        version: session.protocol_version().unwrap(),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        certificates: session.peer_certificates().map_or(0, <[_]>::len),
    });
    while read_head(&mut tls).await.is_ok() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        if tls.write_all(answer).await.is_err() || tls.flush().await.is_err() {
            return;
        }
    }
}

/// What a server needs to show this certificate, and to want one of those that this authority signed.
pub(crate) fn config(
    certificate: &Certificate,
    versions: Versions<'_>,
    clients: Option<&Authority>,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from(authority.der().to_vec()))
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    builder.with_single_cert(chain, key).unwrap()
}

pub(crate) fn any(certificate: &Certificate) -> ServerConfig {
    config(certificate, rustls::ALL_VERSIONS, None)
}

/// Trusts this authority and no other.
pub(crate) fn trusting(authority: &Authority) -> Tls {
    Tls::new()
        .add_roots_pem(authority.pem())
        .roots(Roots::ExtraOnly)
}

pub(crate) fn client(tls: Tls) -> Client {
    Client::builder().tls(tls).build().unwrap()
}

/// A client that makes a connection for every request.
pub(crate) fn forgetful(tls: Tls) -> Client {
    Client::builder().tls(tls).pool_max_idle(0).build().unwrap()
}

pub(crate) async fn ask(client: &Client, url: Url) -> Result<(), Error> {
    let mut response = get(client, url).await?;
    assert_eq!(response.status().as_u16(), 200);
    read_all(response.body_mut(), 4096).await.map(drop)
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
