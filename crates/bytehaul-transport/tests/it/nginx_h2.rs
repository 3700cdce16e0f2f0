//! HTTP/2 with a real nginx, over TLS and without, and beside HTTP/1.1.

use std::collections::HashSet;
use std::time::Duration;

use bytehaul_testkit::nginx::{Nginx, Setup};
use bytehaul_testkit::pki::Authority;
use bytehaul_transport::http::Version;
use bytehaul_transport::{Client, Framing, HttpVersion, Request, RequestRange, Roots, Tls, Url};
use tokio::task::JoinSet;

use crate::server::{get, pattern, read_all};

const LENGTH: usize = 3_000_001;

/// A server that knows HTTP/2, its file, and a client that trusts it.
fn serve(secure: fn(Setup, &Authority) -> Setup) -> (Nginx, Vec<u8>, Client, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let content = pattern(LENGTH);
    std::fs::write(dir.path().join("f.bin"), &content).unwrap();
    let authority = Authority::new();
    let nginx = secure(Nginx::serving(dir.path()), &authority)
        .http2()
        .start();
    let tls = Tls::new()
        .add_roots_pem(authority.pem())
        .roots(Roots::ExtraOnly);
    let client = Client::builder().tls(tls).build().unwrap();
    (nginx, content, client, dir)
}

fn tls(setup: Setup, authority: &Authority) -> Setup {
    setup.tls(&authority.server(&["127.0.0.1"]))
}

fn plain(setup: Setup, _: &Authority) -> Setup {
    setup
}

async fn everything_is_the_same(secure: fn(Setup, &Authority) -> Setup, version: HttpVersion) {
    let (nginx, content, client, _dir) = serve(secure);
    let client = client.with_http_version(version);
    let url = |path: &str| Url::parse(&nginx.url(path)).unwrap();
    let ask = async |path: &str, range| {
        let request = Request::get(url(path)).range(range);
        client.send(request).await.unwrap()
    };
    let mut whole = ask("/files/f.bin", RequestRange::Whole).await;
    assert_eq!(whole.version(), Version::HTTP_2);
    assert_eq!(whole.body().framing(), Framing::Length(LENGTH as u64));
    assert!(read_all(whole.body_mut(), 77_777).await.unwrap() == content);

    let mut part = ask("/files/f.bin", RequestRange::Span(70_000..2_000_000)).await;
    assert_eq!(part.status().as_u16(), 206);
    assert!(read_all(part.body_mut(), 1 << 20).await.unwrap() == content[70_000..2_000_000]);

    let mut unsized_body = ask("/chunked/f.bin", RequestRange::Whole).await;
    assert_eq!(unsized_body.body().framing(), Framing::Chunked);
    assert!(read_all(unsized_body.body_mut(), 100_000).await.unwrap() == content);

    let mut moved = ask("/redir/f.bin", RequestRange::Span(5..9)).await;
    assert!(moved.redirected());
    assert_eq!(read_all(moved.body_mut(), 9).await.unwrap(), content[5..9]);

    let head = client.send(Request::head(url("/files/f.bin"))).await;
    let mut head = head.unwrap();
    assert_eq!(head.headers()["content-length"], LENGTH.to_string());
    assert_eq!(head.body_mut().bytes(0).await.unwrap(), "");
    assert_eq!(ask("/e503", RequestRange::Whole).await.status(), 503);

    // Nginx logs a request after its last byte.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let requests = nginx.requests();
    assert!(requests.len() >= 7);
    let connections: HashSet<u64> = requests.iter().map(|one| one.connection).collect();
    assert_eq!(connections.len(), 1, "{requests:?}");
    for request in requests {
        assert_eq!(request.protocol, "HTTP/2.0");
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        assert_eq!(
            request.header("host"),
            Some(&*format!("127.0.0.1:{}", nginx.port()))
        );
    }
}

#[tokio::test]
async fn over_tls_by_agreement() {
    everything_is_the_same(tls, HttpVersion::Auto).await;
}

#[tokio::test]
async fn over_tls_and_nothing_else() {
    everything_is_the_same(tls, HttpVersion::Http2).await;
}

#[tokio::test]
async fn without_tls_by_prior_knowledge() {
    everything_is_the_same(plain, HttpVersion::Http2).await;
}

#[tokio::test]
async fn http1_is_the_default_where_http2_is_offered() {
    let (nginx, _, client, _dir) = serve(tls);
    let url = Url::parse(&nginx.url("/files/f.bin")).unwrap();
    let response = get(&client, url).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
}

/// More bytes on one connection than its window, with streams that nobody reads among those that are read.
#[tokio::test]
async fn streams_that_nobody_reads_do_not_stop_the_others() {
    let (nginx, content, client, _dir) = serve(plain);
    let client = client.with_http_version(HttpVersion::Http2);
    let url = Url::parse(&nginx.url("/files/f.bin")).unwrap();
    let mut unread = Vec::new();
    for _ in 0..8 {
        unread.push(get(&client, url.clone()).await.unwrap());
    }
    let mut readers = JoinSet::new();
    for _ in 0..16 {
        let (client, url) = (client.clone(), url.clone());
        readers.spawn(async move {
            let mut response = get(&client, url).await.unwrap();
            read_all(response.body_mut(), 1 << 16).await.unwrap()
        });
    }
    while let Some(read) = readers.join_next().await {
        assert!(read.unwrap() == content);
    }
    for mut response in unread {
        assert!(read_all(response.body_mut(), 1 << 16).await.unwrap() == content);
    }
}
