//! Request bodies to a real nginx, over TLS, HTTP/2 and real proxies: what lies in its directory afterwards is what was sent.

use std::time::{Duration, Instant};

use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::pki::Authority;
use bytehaul_testkit::proxy::{Microsocks, Squid, Tinyproxy};
use bytehaul_transport::http::Method;
use bytehaul_transport::{
    Client, ErrorKind, HttpVersion, Proxies, Proxy, Request, RequestBody, Response, Url,
};
use bytes::Bytes;
use tempfile::TempDir;

use crate::server::pattern;
use crate::tls_peer::trusting;
use crate::upload_peer::{Piece, Pieces};

/// An nginx of each kind, and clients that speak to it.
struct Place {
    dir: TempDir,
    nginx: Nginx,
    client: Client,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Tls,
    Http2,
    PlainHttp2,
}

const KINDS: [Kind; 4] = [Kind::Plain, Kind::Tls, Kind::Http2, Kind::PlainHttp2];

impl Place {
    fn new(kind: Kind, proxies: Proxies) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let certificate = authority.server(&["localhost", "127.0.0.1"]);
        let setup = Nginx::serving(dir.path());
        let (setup, version) = match kind {
            Kind::Plain => (setup, HttpVersion::Http1),
            Kind::Tls => (setup.tls(&certificate), HttpVersion::Http1),
            Kind::Http2 => (setup.tls(&certificate).http2(), HttpVersion::Auto),
            Kind::PlainHttp2 => (setup.http2(), HttpVersion::Http2),
        };
        let client = Client::builder()
            .tls(trusting(&authority))
            .http_version(version)
            .proxies(proxies)
            .build()
            .unwrap();
        Self {
            nginx: setup.start(),
            dir,
            client,
        }
    }

    fn request(&self, path: &str, body: RequestBody) -> Request {
        let url = Url::parse(&self.nginx.url(path)).unwrap();
        Request::new(Method::PUT, url).body(body)
    }

    async fn send(&self, request: Request) -> Response {
        let mut response = self.client.send(request).await.unwrap();
        response.body_mut().text(10_000).await.unwrap();
        response
    }

    /// Puts a body and looks at the file that it became.
    async fn put(&self, content: &[u8], body: RequestBody) {
        let path = format!("f{}", content.len());
        let told = body.length();
        let response = self.send(self.request(&format!("/put/{path}"), body)).await;
        assert!(response.status().is_success(), "{response:?}");
        let stored = std::fs::read(self.dir.path().join(path)).unwrap();
        assert!(stored == content, "{} {told:?}", content.len());
    }
}

#[tokio::test]
async fn what_is_put_is_there() {
    for kind in KINDS {
        let place = Place::new(kind, Proxies::none());
        for length in [0, 1, 16_384, 65_537, 5 << 20] {
            let content = pattern(length);
            let known = Some(length as u64);
            place
                .put(&content, RequestBody::bytes(content.clone()))
                .await;
            for length in [known, None] {
                let body = RequestBody::once(length, Pieces::of(&content, 90_000));
                place.put(&content, body).await;
            }
        }
        let url = Url::parse(&place.nginx.url("/put/f1")).unwrap();
        let response = place.send(Request::new(Method::DELETE, url)).await;
        assert_eq!(response.status().as_u16(), 204);
        assert!(!place.dir.path().join("f1").exists());
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut connections: Vec<u64> = Vec::new();
        connections.extend(place.nginx.requests().iter().map(|one| one.connection));
        connections.dedup();
        assert_eq!(connections.len(), 1, "{kind:?}");
    }
}

fn large() -> RequestBody {
    let frame = Bytes::from(vec![7; 1 << 20]);
    RequestBody::once(Some(64 << 20), Pieces::new(&vec![Piece::Data(frame); 64]))
}

#[tokio::test]
async fn what_nginx_does_not_want_is_not_sent() {
    for kind in KINDS {
        let place = Place::new(kind, Proxies::none());
        for request in [
            place.request("/put-small/f", large()),
            place.request("/put-small/f", large()).expect_continue(),
        ] {
            let began = Instant::now();
            let response = place.send(request).await;
            assert_eq!(response.status().as_u16(), 413, "{kind:?}");
            assert!(began.elapsed() < Duration::from_secs(2), "{kind:?}");
        }
        assert!(!place.dir.path().join("f").exists());
    }
}

/// nginx says 100 at once, so that nobody waits for a second.
#[tokio::test]
async fn nginx_gives_the_go_ahead() {
    for kind in [Kind::Plain, Kind::Tls] {
        let place = Place::new(kind, Proxies::none());
        let content = pattern(3 << 20);
        let began = Instant::now();
        let body = RequestBody::bytes(content.clone());
        let response = place
            .send(place.request("/put/g", body).expect_continue())
            .await;
        assert_eq!(response.status().as_u16(), 201);
        assert!(std::fs::read(place.dir.path().join("g")).unwrap() == content);
        assert!(began.elapsed() < Duration::from_millis(900), "{kind:?}");
    }
}

/// It answers 204 before it has read the body, and reads that all the same.
#[tokio::test]
async fn an_early_success_of_nginx_is_one() {
    for kind in KINDS {
        let place = Place::new(kind, Proxies::none());
        let response = place.send(place.request("/sink/f", large())).await;
        assert_eq!(response.status().as_u16(), 204, "{kind:?}");
    }
}

#[tokio::test]
async fn bodies_go_through_proxies() {
    let (squid, tinyproxy) = (
        Squid::new().login("me", "secret").start(),
        Tinyproxy::new().login("me", "secret").start(),
    );
    let socks = Microsocks::new().start();
    for proxy in [
        squid.url_as("http", "me", "secret"),
        tinyproxy.url_as("http", "me", "secret"),
        socks.url("socks5"),
    ] {
        for kind in [Kind::Plain, Kind::Tls, Kind::Http2] {
            let proxies = Proxies::none().all(Proxy::parse(&proxy).unwrap());
            let place = Place::new(kind, proxies);
            for length in [0, 1, 3 << 20] {
                let content = pattern(length);
                place
                    .put(&content, RequestBody::bytes(content.clone()))
                    .await;
            }
            // Squid and tinyproxy pass chunks on as they please; what arrives is the same.
            let content = pattern(200_000);
            let body = RequestBody::once(None, Pieces::of(&content, 70_000));
            place.put(&content, body).await;
        }
    }
}

#[tokio::test]
async fn a_proxy_that_wants_a_login_is_an_error() {
    for proxy in [
        Squid::new().login("me", "secret").start(),
        Tinyproxy::new().login("me", "secret").start(),
    ] {
        let proxies = Proxies::none().all(Proxy::parse(&proxy.url("http")).unwrap());
        let place = Place::new(Kind::Plain, proxies);
        for request in [
            place.request("/put/f", large()),
            place.request("/put/f", large()).expect_continue(),
        ] {
            let error = place.client.send(request).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ProxyAuthentication, "{error:?}");
        }
    }
}
