//! The scripted server over TLS, and what curl thinks of the certificates of a private authority.

use std::process::Command;
use std::thread;
use std::time::Duration;

use bytehaul_testkit::pki::{Authority, Certificate};
use bytehaul_testkit::process::Process;
use bytehaul_testkit::{Behaviour, Effect, Excess, Object, Server, When};

use crate::curl::Curl;

fn serving(certificate: &Certificate) -> Server {
    let server = Server::builder().tls(certificate).spawn_thread().unwrap();
    server.serve("/f.bin", Object::random(1, 3_000_000));
    server
}

#[test]
fn who_is_trusted() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let curl = Curl::trusting(&authority);
    let names = ["localhost", "127.0.0.1", "*.files.test"];
    let check = |certificate: &Certificate, host: &str, expected: &str| {
        let server = serving(certificate);
        let there = format!("{host}:{}:127.0.0.1", server.port());
        let ended = curl.status(&["--resolve", &there, &server.url_on(host, "/f.bin")]);
        assert!(
            ended.out() + &ended.err() == "200 " || ended.err().contains(expected),
            "{host}: {expected} in {ended:?}"
        );
        assert_eq!(ended.success(), expected.is_empty(), "{host}: {ended:?}");
    };
    check(&authority.server(&names), "localhost", "");
    check(&authority.server(&names), "127.0.0.1", "");
    check(&authority.server(&names), "one.files.test", "");
    check(
        &authority.server(&names),
        "other.test",
        "no alternative certificate subject name matches",
    );
    check(&authority.expired(&names), "localhost", "has expired");
    check(
        &authority.not_yet_valid(&names),
        "localhost",
        "not yet valid",
    );
    let refused = serving(&stranger.server(&names));
    let ended = curl.status(&[&refused.url_on("localhost", "/f.bin")]);
    assert!(ended.err().contains("unable to get local issuer"));
    while refused.failed_handshakes() == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    check(
        &Certificate::self_signed(&names),
        "localhost",
        "self-signed certificate",
    );
}

#[test]
fn behaviours_work_over_tls() {
    let authority = Authority::new();
    let curl = Curl::trusting(&authority);
    let server = serving(&authority.server(&["localhost", "127.0.0.1"]));
    let url = server.url_on("localhost", "/f.bin");
    let ranged = curl.status(&["-r", "10-19", &url]);
    assert_eq!((ranged.out().as_str(), ranged.code()), ("206 ", Some(0)));
    let request = server.requests().pop().unwrap();
    assert!(request.finished && request.sent == 10, "{request:?}");
    let handshake = server.handshake(request.connection).unwrap();
    assert_eq!(handshake.server_name.as_deref(), Some("localhost"));
    assert_eq!(handshake.protocol.as_deref(), Some("http/1.1"));
    assert!(handshake.is_tls13 && !handshake.resumed, "{handshake:?}");
    let resets = Behaviour::new().when(When::Requests(1..2), Effect::ResetAfter(100_000));
    server.behave("/f.bin", resets);
    assert_eq!(curl.status(&[&url]).code(), Some(56), "it is reset");
    let whole = curl.status(&["-w", "%{size_download} ", &url]);
    assert_eq!(whole.out(), "3000000 ");
    server.limit_connections(Some((0, Excess::Reset)));
    let refused = curl.status(&[&url]).code();
    assert!(matches!(refused, Some(7 | 35)), "no handshake: {refused:?}");
}

#[test]
fn pins_and_another_certificate() {
    let authority = Authority::new();
    let curl = Curl::trusting(&authority);
    let (first, second) = (
        authority.server(&["localhost"]),
        authority.server(&["localhost"]),
    );
    let server = serving(&first);
    let pin = |certificate: &Certificate| {
        let file = curl.file("spki", certificate.spki_sha256());
        let mut base64 = Command::new("base64");
        base64.arg(&file);
        let text = Process::new(base64).run().unwrap().out();
        format!("sha256//{}", text.trim())
    };
    let url = server.url_on("localhost", "/f.bin");
    let with = |certificate| {
        curl.status(&["--pinnedpubkey", &pin(certificate), &url])
            .code()
    };
    assert_eq!((with(&first), with(&second)), (Some(0), Some(90)));
    server.change_certificate(&second);
    assert_eq!((with(&first), with(&second)), (Some(90), Some(0)));
}
