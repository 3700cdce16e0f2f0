//! The handshake over streams that carry it in pieces, in another TLS connection, cut off, or not at all.

use std::error::Error as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytehaul_testkit::pki::{Authority, Certificate};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::Tls;
use crate::tls::Roots;

fn setup(authority: &Authority) -> TlsSetup {
    let tls = Tls::new()
        .add_roots_pem(authority.pem())
        .roots(Roots::ExtraOnly);
    TlsSetup::new(&tls).unwrap()
}

fn localhost() -> Host<String> {
    Host::Domain("localhost".to_owned())
}

/// Accepts, and gives back what it is sent, in capitals, until the end.
async fn shout(certificate: Certificate, protocols: &'static [&'static [u8]], io: DuplexStream) {
    let acceptor = TlsAcceptor::from(certificate.server_config(protocols));
    let Ok(mut tls) = acceptor.accept(io).await else {
        return;
    };
    let mut buffer = vec![0; 70_000];
    while let Ok(length @ 1..) = tls.read(&mut buffer).await {
        buffer[..length].make_ascii_uppercase();
        if tls.write_all(&buffer[..length]).await.is_err() || tls.flush().await.is_err() {
            return;
        }
    }
    let _ = tls.shutdown().await;
}

async fn hear<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut TlsStream<S>, text: &[u8]) {
    stream.write_all(text).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(answer == text.to_ascii_uppercase());
}

#[test]
fn names_as_certificates_have_them() {
    for (host, name) in [
        ("example.com", Some("example.com")),
        ("example.com.", Some("example.com")),
        ("b\u{fc}cher.example", Some("xn--bcher-kva.example")),
        ("my_host", Some("my_host")),
        ("127.0.0.1", Some("127.0.0.1")),
        ("[::1]", Some("::1")),
        ("..", None),
    ] {
        let found = server_name(&Host::parse(host).unwrap());
        let found = found.as_ref().map(|name| name.to_str());
        assert_eq!(found.ok().as_deref(), name, "{host}");
    }
}

#[tokio::test]
async fn the_protocol_is_what_both_have() {
    type Case = (Alpn, &'static [&'static [u8]], Option<&'static str>);
    let authority = Authority::new();
    let setup = setup(&authority);
    let cases: [Case; 5] = [
        (Alpn::Http1, &[b"h2", b"http/1.1"], Some("http/1.1")),
        (Alpn::Http2AndHttp1, &[b"http/1.1", b"h2"], Some("http/1.1")),
        (Alpn::Http2AndHttp1, &[b"h2", b"http/1.1"], Some("h2")),
        (Alpn::Http2AndHttp1, &[], None),
        (Alpn::Http2, &[b"h2", b"http/1.1"], Some("h2")),
    ];
    for (alpn, protocols, agreed) in cases {
        let (ours, theirs) = duplex(4096);
        tokio::spawn(shout(authority.server(&["localhost"]), protocols, theirs));
        let mut tls = handshake(&setup, &localhost(), alpn, ours).await.unwrap();
        assert_eq!(tls.alpn(), agreed.map(str::as_bytes), "{alpn:?}");
        hear(&mut tls, b"hello").await;
    }
}

#[tokio::test]
async fn tls_within_tls() {
    let (outer, inner) = (Authority::new(), Authority::new());
    let (ours, theirs) = duplex(4096);
    let proxy = TlsAcceptor::from(outer.server(&["proxy.test"]).server_config(&[]));
    let certificate = inner.server(&["localhost"]);
    tokio::spawn(async move {
        let mut outside = proxy.accept(theirs).await.unwrap();
        let (mut near, far) = duplex(10_000);
        tokio::spawn(shout(certificate, &[], far));
        let _ = tokio::io::copy_bidirectional(&mut outside, &mut near).await;
    });
    let proxy = Host::Domain("proxy.test".to_owned());
    let tunnel = handshake(&setup(&outer).for_helpers(), &proxy, Alpn::Http1, ours)
        .await
        .unwrap();
    let mut tls = handshake(&setup(&inner), &localhost(), Alpn::Http1, tunnel)
        .await
        .unwrap();
    hear(&mut tls, b"within").await;
    hear(&mut tls, &[b'x'; 60_000]).await;
    let _: &TlsStream<DuplexStream> = tls.get_ref();
    let _: &DuplexStream = tls.get_ref().get_ref();
}

#[tokio::test]
async fn helpers_are_shown_no_certificate_and_held_against_no_pin() {
    let authority = Authority::new();
    let own = authority.client("us");
    let tls = Tls::new()
        .add_roots_pem(authority.pem())
        .roots(Roots::ExtraOnly)
        .identity_pem(own.chain_pem(), own.key_pem())
        .pin_sha256([[1; 32]]);
    let hosts = TlsSetup::new(&tls).unwrap();
    let helpers = hosts.for_helpers();
    for (setup, good) in [(&hosts, false), (&helpers, true)] {
        let (ours, theirs) = duplex(4096);
        tokio::spawn(shout(authority.server(&["localhost"]), &[], theirs));
        let done = handshake(setup, &localhost(), Alpn::Http1, ours).await;
        assert_eq!(done.is_ok(), good, "{done:?}");
        let config = setup.config(Alpn::Http1).await.unwrap();
        assert_eq!(config.client_auth_cert_resolver.has_certs(), !good);
    }
}

#[tokio::test]
async fn byte_by_byte() {
    let authority = Authority::new();
    let (ours, theirs) = duplex(70_000);
    tokio::spawn(shout(authority.server(&["localhost"]), &[], theirs));
    let mut tls = handshake(&setup(&authority), &localhost(), Alpn::Http1, Drip(ours))
        .await
        .unwrap();
    hear(&mut tls, &[b'y'; 20_000]).await;
}

/// The network gave out after so many bytes of the server's: at none of them is that anybody's refusal.
#[tokio::test]
async fn cut_after_every_so_many_bytes() {
    let authority = Authority::new();
    let setup = setup(&authority);
    let certificate = authority.server(&["localhost"]);
    let mut cuts = 0;
    for limit in (0..).step_by(13) {
        let (ours, mut near) = duplex(70_000);
        let (far, theirs) = duplex(70_000);
        tokio::spawn(shout(certificate.clone(), &[], theirs));
        tokio::spawn(async move {
            let (mut from_server, mut to_server) = tokio::io::split(far);
            let (mut from_client, mut to_client) = tokio::io::split(&mut near);
            let mut limited = (&mut from_server).take(limit);
            tokio::select! {
                _ = tokio::io::copy(&mut limited, &mut to_client) => {}
                _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
            }
        });
        let host = localhost();
        let done = handshake(&setup, &host, Alpn::Http1, ours);
        match tokio::time::timeout(Duration::from_secs(4), done)
            .await
            .unwrap()
        {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Reset, "{limit}: {error:?}"),
        }
        cuts += 1;
    }
    assert!(cuts > 20, "only {cuts} cuts");
}

#[tokio::test]
async fn what_is_not_tls_is_named() {
    let authority = Authority::new();
    for (said, means, kind) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "the server speaks plain http on this port, not tls",
            ErrorKind::Tls,
        ),
        (
            b"SSH-2.0-OpenSSH_9.2p1\r\n",
            "the server does not speak tls on this port",
            ErrorKind::Tls,
        ),
        // A record of 65,535 bytes, which no record has.
        (
            b"\x16\x03\x03\xff\xff",
            "the server does not speak tls on this port",
            ErrorKind::Tls,
        ),
        (
            b"",
            "connection closed without tls notice",
            ErrorKind::Reset,
        ),
        (
            b"\x16\x03",
            "connection closed without tls notice",
            ErrorKind::Reset,
        ),
        // Alerts: handshake_failure, internal_error, unrecognized_name.
        (
            b"\x15\x03\x03\x00\x02\x02\x28",
            "the server refused the handshake: it accepts no common cipher, or it wants a client certificate",
            ErrorKind::Tls,
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x50",
            "the server reports an error of its own",
            ErrorKind::Reset,
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x70",
            "the server has no host of this name",
            ErrorKind::Tls,
        ),
    ] {
        let error = answered(&setup(&authority), said).await;
        let text = error.source().unwrap().to_string();
        assert_eq!((error.kind(), text.as_str()), (kind, means));
    }
}

#[tokio::test]
async fn the_error_is_the_same_when_nobody_hears_the_alert() {
    let authority = Authority::new();
    let (ours, mut theirs) = duplex(70_000);
    tokio::spawn(async move {
        let _ = theirs.read(&mut [0; 4096]).await.unwrap();
        theirs
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    });
    let (setup, host) = (setup(&authority), localhost());
    let done = handshake(&setup, &host, Alpn::Http1, ours).await;
    let error = done.unwrap_err();
    assert_eq!(
        error.source().unwrap().to_string(),
        "the server speaks plain http on this port, not tls"
    );
}

#[tokio::test]
async fn nothing_is_read_past_a_damaged_record() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(authority.server(&["localhost"]).server_config(&[]));
    let (ours, theirs) = duplex(70_000);
    let served = tokio::spawn(async move {
        let mut tls = acceptor.accept(theirs).await.unwrap();
        tls.write_all(b"good").await.unwrap();
        tls.flush().await.unwrap();
        let junk = [&b"\x17\x03\x03\x00\x20"[..], &[7; 32]].concat();
        tls.get_mut().0.write_all(&junk).await.unwrap();
        tls.write_all(b"more").await.unwrap();
        tls.flush().await.unwrap();
        tls
    });
    let (setup, host) = (setup(&authority), localhost());
    let done = handshake(&setup, &host, Alpn::Http1, ours).await;
    let mut tls = done.unwrap();
    let _open = served.await.unwrap();
    let mut buffer = [0; 100];
    assert_eq!(tls.read(&mut buffer).await.unwrap(), 4);
    for _ in 0..3 {
        let error = tls.read(&mut buffer).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "a record was changed or damaged on the way"
        );
    }
    assert!(tls.write_all(b"x").await.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn garbage_is_an_error(
        head in prop::sample::select(vec![
            &b""[..], b"\x16\x03\x03", b"\x16\x03\x03\x00\x40", b"\x16\x03\x03\x00\x40\x02\x00\x00\x3c\x03\x03",
            b"\x15\x03\x03", b"\x14\x03\x03\x00\x01\x01", b"\x17\x03\x03\x40\x00",
        ]),
        tail in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let setup = TlsSetup::new(&Tls::new().danger_accept_invalid_certificates()).unwrap();
        let said = [head, &tail].concat();
        let error = runtime.block_on(answered(&setup, &said));
        prop_assert!(matches!(error.kind(), ErrorKind::Tls | ErrorKind::Reset));
    }
}

/// The error of a handshake with somebody who says this and closes, whatever he hears.
async fn answered(setup: &TlsSetup, said: &[u8]) -> Error {
    let (ours, mut theirs) = duplex(70_000);
    theirs.write_all(said).await.unwrap();
    theirs.shutdown().await.unwrap();
    let host = localhost();
    let done = handshake(setup, &host, Alpn::Http1, ours);
    let done = tokio::time::timeout(Duration::from_secs(4), done).await;
    done.expect("no handshake waits after the end").unwrap_err()
}

/// Gives and takes one byte at a time.
#[derive(Debug)]
struct Drip(DuplexStream);

impl AsyncRead for Drip {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        let polled = Pin::new(&mut self.0).poll_read(cx, &mut one);
        buf.put_slice(one.filled());
        polled
    }
}

impl AsyncWrite for Drip {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &buf[..buf.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
