//! Each name server knows what it was told, for as long as it was told, and remembers what it was asked.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytehaul_testkit::dns::{Dnsmasq, Reply, Scripted, Unbound};
use bytehaul_testkit::pki::{Authority, Certificate};
use bytehaul_testkit::{Object, Server};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::curl::Curl;

fn question(name: &str, kind: &str) -> Vec<u8> {
    let mut message = Message::query();
    let kind = RecordType::from_str(kind).unwrap();
    message.add_query(Query::query(Name::from_str(name).unwrap(), kind));
    message.metadata.recursion_desired = true;
    message.to_vec().unwrap()
}

/// `127.0.0.1/5 127.0.0.2/5`: addresses with their seconds; else the code of the answer, and whether it was cut off.
fn told(answer: &[u8]) -> String {
    let message = Message::from_vec(answer).expect("an answer");
    if message.metadata.truncation {
        return "truncated".to_owned();
    }
    let address = |data: &RData| match data {
        RData::A(address) => IpAddr::from(address.0),
        RData::AAAA(address) => IpAddr::from(address.0),
        other => panic!("{other}"),
    };
    let mut all: Vec<_> = message
        .answers
        .iter()
        .map(|record| format!("{}/{}", address(&record.data), record.ttl))
        .collect();
    all.sort();
    if all.is_empty() {
        return format!("{:?}", message.metadata.response_code);
    }
    all.join(" ")
}

fn udp(server: SocketAddr, name: &str, kind: &str) -> io::Result<String> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(300)))?;
    socket.send_to(&question(name, kind), server)?;
    let mut answer = [0; 1500];
    let len = socket.recv(&mut answer)?;
    Ok(told(&answer[..len]))
}

fn over(mut stream: impl Read + Write, name: &str, kind: &str) -> io::Result<String> {
    let asked = question(name, kind);
    let len = u16::try_from(asked.len()).unwrap();
    stream.write_all(&[&len.to_be_bytes()[..], &asked].concat())?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut answer)?;
    Ok(told(&answer))
}

fn tcp(server: SocketAddr, name: &str, kind: &str) -> io::Result<String> {
    over(TcpStream::connect(server)?, name, kind)
}

fn tls(server: SocketAddr, authority: &Authority, name: &str) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), host).unwrap();
    over(
        StreamOwned::new(session, TcpStream::connect(server)?),
        name,
        "A",
    )
}

#[test]
fn dnsmasq() {
    let server = Dnsmasq::new()
        .host("files.test", [127, 0, 0, 1], 7)
        .host("files.test", [127, 0, 0, 9], 7)
        .host("files.test", [0, 0, 0, 0, 0, 0, 0, 1], 8)
        .host("four.test", [127, 0, 0, 1], 9)
        .missing("none.test")
        .start();
    let check = |name: &str, kind: &str, expected: &str| {
        assert_eq!(udp(server.address(), name, kind).unwrap(), expected);
        assert_eq!(tcp(server.address(), name, kind).unwrap(), expected);
        assert_eq!(server.asked(name, kind), 2, "{:?}", server.log());
    };
    check("files.test", "A", "127.0.0.1/7 127.0.0.9/7");
    check("files.test", "AAAA", "::1/8");
    check("four.test", "AAAA", "NoError");
    check("below.none.test", "A", "NXDomain");
    check("other.org", "A", "Refused");
    assert_eq!(server.questions().len(), 10);
    assert_eq!(server.questions()[2].kind, "AAAA");
}

#[test]
fn unbound() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate: Certificate = authority.server(&["localhost"]);
    let server = Unbound::new()
        .host("files.test", [127, 0, 0, 1], 7)
        .host("files.test", [0, 0, 0, 0, 0, 0, 0, 1], 7)
        .tls(&certificate)
        .start();
    let plain = server.address();
    assert_eq!(udp(plain, "files.test", "A").unwrap(), "127.0.0.1/7");
    assert_eq!(tcp(plain, "files.test", "AAAA").unwrap(), "::1/7");
    assert_eq!(udp(plain, "other.org", "A").unwrap(), "NXDomain");
    assert_eq!(server.asked("files.test", "A"), 1, "{:?}", server.log());
    let secured = server.tls_address();
    let answer = tls(secured, &authority, "files.test");
    assert_eq!(answer.unwrap(), "127.0.0.1/7");
    tls(secured, &stranger, "files.test").unwrap_err();
    assert_eq!(server.asked("files.test", "A"), 2);
    let site = Server::spawn_thread();
    site.serve("/f.bin", Object::random(1, 10));
    let doh = server.https_url("localhost");
    let url = site.url_on("files.test", "/f.bin");
    let curl = Curl::trusting(&authority);
    assert_eq!(curl.status(&["--doh-url", &doh, &url]).out(), "200 ");
    assert_eq!(server.asked("files.test", "A"), 3);
    let suspicious = Curl::trusting(&stranger);
    assert!(!suspicious.status(&["--doh-url", &doh, &url]).success());
}

#[test]
fn scripted() {
    let known = || {
        Scripted::new().host("files.test", [127, 0, 0, 1], 5).host(
            "files.test",
            [0, 0, 0, 0, 0, 0, 0, 1],
            5,
        )
    };
    let server = known().start();
    let a = || udp(server.address(), "Files.test", "A");
    assert_eq!(a().unwrap(), "127.0.0.1/5");
    assert_eq!(server.asked("files.test", "A"), 1);
    let unknown = udp(server.address(), "other.test", "A");
    assert_eq!(unknown.unwrap(), "NXDomain");
    server.change(known().aaaa(Reply::Drop));
    let six = udp(server.address(), "files.test", "AAAA").unwrap_err();
    assert!(matches!(
        six.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    ));
    assert_eq!(server.asked("files.test", "AAAA"), 1, "dropped, but asked");
    assert_eq!(a().unwrap(), "127.0.0.1/5");
    for (reply, expected) in [
        (Reply::ServFail, "ServFail"),
        (Reply::Refused, "Refused"),
        (Reply::NxDomain, "NXDomain"),
        (Reply::Truncated, "truncated"),
    ] {
        server.change(known().all(reply));
        assert_eq!(a().unwrap(), expected);
    }
    let whole = tcp(server.address(), "files.test", "A");
    assert_eq!(whole.unwrap(), "127.0.0.1/5");
    server.change(known().a(Reply::Delay(Duration::from_millis(100))));
    let began = Instant::now();
    assert_eq!(a().unwrap(), "127.0.0.1/5");
    assert!(began.elapsed() >= Duration::from_millis(100));
}
