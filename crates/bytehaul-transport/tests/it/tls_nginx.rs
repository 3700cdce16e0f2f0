//! TLS with a real nginx: bodies, sessions and client certificates as its own log tells of them, and a port without TLS.

use std::time::Duration;

use bytehaul_testkit::nginx::{Logged, Nginx};
use bytehaul_testkit::pki::{Authority, Certificate};
use bytehaul_transport::{
    Client, ErrorKind, HttpVersion, Request, RequestRange, Response, Tls, Url,
};
use tempfile::TempDir;

use crate::server::{pattern, read_all};
use crate::tls_peer::{chain, client, forgetful, trusting};

const LENGTH: usize = 3 << 20;

/// A directory with one file of the pattern.
fn served() -> (TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let content = pattern(LENGTH);
    std::fs::write(dir.path().join("f.bin"), &content).unwrap();
    (dir, content)
}

async fn fetch(client: &Client, url: &str, range: RequestRange) -> (Response, Vec<u8>) {
    let request = Request::get(Url::parse(url).unwrap()).range(range);
    let mut response = client.send(request).await.unwrap();
    let body = read_all(response.body_mut(), 300_000).await.unwrap();
    (response, body)
}

/// The requests that nginx has written down, as soon as there are so many: it does so after the answer.
async fn logged(nginx: &Nginx, count: usize) -> Vec<Logged> {
    for _ in 0..200 {
        let requests = nginx.requests();
        if requests.len() >= count {
            return requests;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", nginx.requests());
}

#[tokio::test]
async fn bodies_of_both_versions_of_http() {
    let (dir, content) = served();
    let authority = Authority::new();
    let certificate = authority.server(&["localhost", "127.0.0.1"]);
    let nginx = Nginx::serving(dir.path()).tls(&certificate).http2().start();
    for (version, protocol) in [
        (HttpVersion::Http1, "HTTP/1.1"),
        (HttpVersion::Auto, "HTTP/2.0"),
        (HttpVersion::Http2, "HTTP/2.0"),
    ] {
        let client = Client::builder()
            .tls(trusting(&authority).pin_sha256([certificate.spki_sha256()]))
            .http_version(version)
            .build()
            .unwrap();
        let (_, whole) = fetch(&client, &nginx.url("/files/f.bin"), RequestRange::Whole).await;
        assert!(whole == content);
        let url = nginx.url_on("localhost", "/files/f.bin");
        let (_, part) = fetch(&client, &url, RequestRange::Span(70_000..2_000_001)).await;
        assert!(part == content[70_000..2_000_001]);
        drop(client);
        let all = logged(&nginx, 2).await;
        assert_eq!(all.last().unwrap().protocol, protocol);
    }
}

#[tokio::test]
async fn sessions_and_client_certificates() {
    let (dir, content) = served();
    let authority = Authority::new();
    let certificate = authority.server(&["127.0.0.1"]);
    let own = authority.client("us");
    let nginx = Nginx::serving(dir.path())
        .tls(&certificate)
        .client_authority(&authority)
        .start();
    let url = nginx.url("/files/f.bin");
    let known = forgetful(trusting(&authority).identity_pem(own.chain_pem(), own.key_pem()));
    for _ in 0..3 {
        let (response, body) = fetch(&known, &url, RequestRange::Whole).await;
        assert!(response.status().as_u16() == 200 && body == content);
    }
    let requests = logged(&nginx, 3).await;
    let shown: Vec<_> = requests
        .iter()
        .map(|request| (request.client.as_deref(), request.resumed))
        .collect();
    assert_eq!(
        shown,
        [
            (Some("CN=us"), false),
            (Some("CN=us"), true),
            (Some("CN=us"), true)
        ]
    );

    // nginx says it in the language of HTTP, once the handshake is over.
    let stranger = Authority::new().client("them");
    for tls in [
        trusting(&authority),
        trusting(&authority).identity_pem(stranger.chain_pem(), stranger.key_pem()),
    ] {
        let (response, _) = fetch(&client(tls), &url, RequestRange::Whole).await;
        assert_eq!(response.status().as_u16(), 400);
    }
}

#[tokio::test]
async fn unchecked_and_pinned() {
    let (dir, content) = served();
    let certificate = Certificate::self_signed(&["other.test"]);
    let nginx = Nginx::serving(dir.path()).tls(&certificate).start();
    let url = nginx.url("/files/f.bin");
    let unchecked = || Tls::new().danger_accept_invalid_certificates();
    for tls in [
        unchecked(),
        unchecked().pin_sha256([certificate.spki_sha256()]),
    ] {
        let (_, body) = fetch(&client(tls), &url, RequestRange::Whole).await;
        assert!(body == content);
    }
    let request = || Request::get(Url::parse(&url).unwrap());
    for tls in [
        unchecked().pin_sha256([[0; 32]]),
        trusting(&Authority::new()).pin_sha256([certificate.spki_sha256()]),
    ] {
        let error = client(tls).send(request()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{}", chain(&error));
    }
    assert_eq!(logged(&nginx, 2).await.len(), 2);
}

#[tokio::test]
async fn a_port_without_tls() {
    let (dir, _) = served();
    let nginx = Nginx::serving(dir.path()).start();
    let url = nginx.url("/files/f.bin").replace("http:", "https:");
    let request = Request::get(Url::parse(&url).unwrap());
    let client = client(trusting(&Authority::new()));
    let error = client.send(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
    assert!(
        chain(&error).ends_with("the server speaks plain http on this port, not tls"),
        "{}",
        chain(&error)
    );
}
