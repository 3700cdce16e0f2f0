//! TLS with a private authority: who is trusted, who is not, and that bodies and reuse are the same as without.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytehaul_transport::http::{HeaderMap, HeaderValue};
use bytehaul_transport::{Class, Client, ErrorKind, Request, Roots, Tls, Url};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, IsCa, KeyPair,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::server::{client, get, read_all, read_head, sized};

/// How the server ends a response.
#[derive(Clone, Copy)]
enum End {
    KeepAlive,
    /// `close_notify`, as it should be.
    Notify,
    /// The TCP connection alone.
    Cut,
    /// Not at all, but with new keys in the middle of it.
    NewKeys,
}

struct TlsServer {
    address: SocketAddr,
    ca: String,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl TlsServer {
    async fn start(
        response: Vec<u8>,
        end: End,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let (config, ca) = server_config(versions);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (acceptor, response) = (acceptor.clone(), response.clone());
                sessions.spawn(async move {
                    let Ok(mut tls) = acceptor.accept(stream).await else {
                        return;
                    };
                    while read_head(&mut tls).await.is_ok() {
                        let (first, second) = response.split_at(response.len() / 2);
                        tls.write_all(first).await.unwrap();
                        if matches!(end, End::NewKeys) {
                            tls.get_mut().1.refresh_traffic_keys().unwrap();
                        }
                        tls.write_all(second).await.unwrap();
                        tls.flush().await.unwrap();
                        match end {
                            End::KeepAlive | End::NewKeys => {}
                            End::Notify => return tls.shutdown().await.unwrap(),
                            End::Cut => return tls.get_mut().0.shutdown().await.unwrap(),
                        }
                    }
                });
            }
        });
        Self {
            address,
            ca,
            connections,
            _tasks: tasks,
        }
    }

    fn url(&self, host: &str) -> Url {
        Url::parse(&format!("https://{host}:{}/", self.address.port())).unwrap()
    }

    fn client(&self) -> Client {
        let tls = Tls::new().add_roots_pem(&self.ca).roots(Roots::ExtraOnly);
        Client::builder().tls(tls).build().unwrap()
    }
}

fn server_config(versions: &[&'static rustls::SupportedProtocolVersion]) -> (ServerConfig, String) {
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut leaf = CertificateParams::new(names).unwrap();
    leaf.distinguished_name = DistinguishedName::new();
    let leaf = leaf.signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    (config, authority.pem())
}

#[tokio::test]
async fn bodies_and_reuse_over_both_versions() {
    for versions in [
        &[&rustls::version::TLS13][..],
        &[&rustls::version::TLS12][..],
    ] {
        for length in [0, 1, 16_384, 16_385, 1 << 20] {
            let (response, body) = sized(length);
            let server = TlsServer::start(response, End::KeepAlive, versions).await;
            let client = server.client();
            for (host, step) in [
                ("localhost", 1 << 20),
                ("localhost", 5000),
                ("localhost", 16_384),
            ] {
                let mut response = get(&client, server.url(host)).await.unwrap();
                assert!(read_all(response.body_mut(), step).await.unwrap() == body);
            }
            assert_eq!(server.connections.load(Ordering::SeqCst), 1);
        }
    }
}

#[tokio::test]
async fn keys_may_change_within_a_body() {
    let (response, body) = sized(300_000);
    let server = TlsServer::start(response, End::NewKeys, &[&rustls::version::TLS13]).await;
    let client = server.client();
    for _ in 0..3 {
        let mut response = get(&client, server.url("localhost")).await.unwrap();
        assert!(read_all(response.body_mut(), 10_000).await.unwrap() == body);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_may_be_larger_than_a_record() {
    let server = TlsServer::start(sized(3).0, End::KeepAlive, rustls::ALL_VERSIONS).await;
    let mut headers = HeaderMap::new();
    headers.insert(
        "x-large",
        HeaderValue::from_str(&"x".repeat(100_000)).unwrap(),
    );
    let request = Request::get(server.url("localhost")).headers(headers);
    let mut response = server.client().send(request).await.unwrap();
    assert_eq!(read_all(response.body_mut(), 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_address_may_be_the_name() {
    let server = TlsServer::start(sized(3).0, End::KeepAlive, rustls::ALL_VERSIONS).await;
    get(&server.client(), server.url("127.0.0.1"))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let server = TlsServer::start(sized(3).0, End::KeepAlive, rustls::ALL_VERSIONS).await;
    let other = TlsServer::start(sized(3).0, End::KeepAlive, rustls::ALL_VERSIONS).await;
    let error = get(&other.client(), server.url("localhost"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.kind().class()),
        (ErrorKind::Tls, Class::Fatal),
        "{error:?}"
    );
    // All authorities of this file have the same name.
    let text = crate::tls_peer::chain(&error);
    let said =
        "the certificate was not signed by the trusted authority whose name it has for its issuer";
    assert!(text.ends_with(said), "{text}");
}

#[tokio::test]
async fn a_certificate_of_another_name_is_not_trusted() {
    let server = TlsServer::start(sized(3).0, End::KeepAlive, rustls::ALL_VERSIONS).await;
    let error = get(&server.client(), server.url("other.localhost"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls() {
    let plain = crate::server::Server::always("HTTP/1.1 400 Bad Request\r\n\r\n\r\n\r\n").await;
    let server = TlsServer::start(sized(3).0, End::KeepAlive, rustls::ALL_VERSIONS).await;
    let url = Url::parse(&format!("https://{}/", plain.address)).unwrap();
    let client = server
        .client()
        .with_timeouts(Duration::from_millis(500), Duration::from_secs(1));
    let error = get(&client, url).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Tls | ErrorKind::TimeoutConnect),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_body_until_close_needs_its_notice() {
    let response = b"HTTP/1.1 200 OK\r\n\r\nwhole".to_vec();
    let server = TlsServer::start(response.clone(), End::Notify, rustls::ALL_VERSIONS).await;
    let mut good = get(&server.client(), server.url("localhost"))
        .await
        .unwrap();
    assert_eq!(good.body_mut().text(10).await.unwrap(), "whole");
    let server = TlsServer::start(response, End::Cut, rustls::ALL_VERSIONS).await;
    let mut cut = get(&server.client(), server.url("localhost"))
        .await
        .unwrap();
    assert_eq!(
        cut.body_mut().text(10).await.unwrap_err().kind(),
        ErrorKind::Truncated
    );
}

/// What was announced has come: how the connection ends after that says nothing about it.
#[tokio::test]
async fn a_sized_body_needs_no_notice() {
    let (response, body) = sized(100_000);
    let server = TlsServer::start(response, End::Cut, rustls::ALL_VERSIONS).await;
    let client = server.client();
    for connections in 1..4 {
        let mut response = get(&client, server.url("localhost")).await.unwrap();
        assert!(read_all(response.body_mut(), 30_000).await.unwrap() == body);
        assert_eq!(server.connections.load(Ordering::SeqCst), connections);
    }
}

#[tokio::test]
async fn a_sized_body_that_is_cut() {
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc".to_vec();
    for end in [End::Notify, End::Cut] {
        let server = TlsServer::start(response.clone(), end, rustls::ALL_VERSIONS).await;
        let mut response = get(&server.client(), server.url("localhost"))
            .await
            .unwrap();
        let error = read_all(response.body_mut(), 50).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error:?}");
    }
}

#[tokio::test]
async fn a_pooled_connection_that_was_closed_is_replaced() {
    let server = TlsServer::start(sized(3).0, End::Notify, rustls::ALL_VERSIONS).await;
    let client = server.client();
    for _ in 0..3 {
        get(&client, server.url("localhost"))
            .await
            .unwrap()
            .body_mut()
            .text(9)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn no_step_down_from_https() {
    let response =
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
            .to_vec();
    let server = TlsServer::start(response, End::KeepAlive, rustls::ALL_VERSIONS).await;
    let error = get(&server.client(), server.url("localhost"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InsecureRedirect);
}

#[tokio::test]
async fn what_is_no_certificate_is_told_when_building() {
    for pem in [
        "junk",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let error = Client::builder()
            .tls(Tls::new().add_roots_pem(pem))
            .build()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
    let none = Client::builder()
        .tls(Tls::new().roots(Roots::ExtraOnly))
        .build()
        .unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn the_systems_authorities_do_not_know_ours() {
    let server = TlsServer::start(sized(3).0, End::KeepAlive, rustls::ALL_VERSIONS).await;
    let error = get(&client(), server.url("localhost")).await.unwrap_err();
    // On a machine without any authority the client says so instead.
    assert!(
        matches!(error.kind(), ErrorKind::Tls | ErrorKind::Configuration),
        "{error:?}"
    );
}
