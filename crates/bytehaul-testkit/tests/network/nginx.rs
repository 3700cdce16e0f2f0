//! nginx with TLS, HTTP/2, client certificates and logins, and what it writes down about requests.

use std::fs;

use bytehaul_testkit::nginx::{Logged, Nginx, Setup};
use bytehaul_testkit::pki::Authority;
use tempfile::TempDir;

use crate::curl::Curl;

/// Runs nginx as `choose` says for the directory with `f.bin`.
fn nginx(choose: impl FnOnce(Setup) -> Setup) -> (Nginx, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f.bin"), vec![7; 10_000]).unwrap();
    (choose(Nginx::serving(dir.path())).start(), dir)
}

fn last(nginx: &Nginx) -> Logged {
    nginx.requests().pop().expect("a finished request")
}

#[test]
fn versions() {
    let authority = Authority::new();
    let certificate = authority.server(&["localhost", "127.0.0.1"]);
    let curl = Curl::trusting(&authority);
    let check = |nginx: &Nginx, option: &str, expected: &str| {
        let url = nginx.url_on("localhost", "/files/f.bin");
        let ended = curl.status(&[option, "-w", "%{http_version}", &url]);
        assert_eq!(ended.out(), expected, "{option} {ended:?}");
    };
    let (https, _dir) = nginx(|setup| setup.tls(&certificate));
    check(&https, "--http2", "1.1");
    assert_eq!(last(&https).protocol, "HTTP/1.1");
    let (both, _dir) = nginx(|setup| setup.tls(&certificate).http2());
    check(&both, "--http2", "2");
    assert_eq!(last(&both).protocol, "HTTP/2.0");
    check(&both, "--http1.1", "1.1");
    let (clear, _dir) = nginx(Setup::http2);
    check(&clear, "--http2-prior-knowledge", "2");
    assert_eq!(last(&clear).protocol, "HTTP/2.0");
}

#[test]
fn client_certificates() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let certificate = authority.server(&["127.0.0.1"]);
    let curl = Curl::trusting(&authority);
    let (nginx, _dir) = nginx(|setup| setup.tls(&certificate).client_authority(&clients));
    let url = nginx.url("/files/f.bin");
    assert_eq!(curl.status(&[&url]).out(), "400 ", "none");
    let showing = |certificate| {
        let shown = curl.showing(&certificate);
        let arguments: Vec<_> = shown.iter().map(String::as_str).chain([&*url]).collect();
        curl.status(&arguments).out()
    };
    assert_eq!(showing(clients.client("alice")), "200 ");
    assert_eq!(last(&nginx).client.as_deref(), Some("CN=alice"));
    assert_eq!(showing(authority.client("mallory")), "400 ");
}

#[test]
fn logins_and_the_log() {
    let curl = Curl::trusting(&Authority::new());
    let (nginx, _dir) = nginx(|setup| setup.login("user", "pass word"));
    let url = nginx.url("/auth/f.bin");
    let with = |arguments: &[&str]| curl.status(&[arguments, &[&*url]].concat()).out();
    assert_eq!(with(&[]), "401 ");
    assert_eq!(last(&nginx).header("Authorization"), None);
    assert_eq!(with(&["-u", "user:wrong"]), "401 ");
    let sent = [
        "-u",
        "user:pass word",
        "-b",
        "a=b",
        "-H",
        "X-Custom: \"c d\"",
        "-r",
        "1-2",
    ];
    assert_eq!(with(&sent), "206 ");
    let seen = last(&nginx);
    assert_eq!((seen.status, seen.sent, seen.resumed), (206, 2, false));
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("GET", "/auth/f.bin")
    );
    assert_eq!(
        seen.header("authorization"),
        Some("Basic dXNlcjpwYXNzIHdvcmQ=")
    );
    assert_eq!(seen.header("cookie"), Some("a=b"));
    assert_eq!(seen.header("range"), Some("bytes=1-2"));
    assert_eq!(
        seen.header("x-custom"),
        Some("\\x22c d\\x22"),
        "as nginx escapes it"
    );
    curl.status(&[&url, "-o", "/dev/null", &url]);
    let connections: Vec<_> = nginx.requests().iter().map(|one| one.connection).collect();
    assert!(connections[3] == connections[4] && connections[2] != connections[3]);
}
