//! What each proxy promises: whom it lets in, where it goes, what it writes down, and that it knows hosts that we do not.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytehaul_testkit::pki::Authority;
use bytehaul_testkit::proxy::{Dante, Microsocks, Proxy, Squid, Tinyproxy, Twisted};
use bytehaul_testkit::{Object, Server};

use crate::curl::Curl;

/// A server without and one with TLS behind the proxies, and a curl that trusts both it and them.
struct Net {
    authority: Authority,
    curl: Curl,
    http: Server,
    https: Server,
}

impl Net {
    fn new() -> Self {
        let authority = Authority::new();
        let certificate = authority.server(&["localhost", "files.test"]);
        let https = Server::builder().tls(&certificate).spawn_thread().unwrap();
        let http = Server::spawn_thread();
        for server in [&http, &https] {
            server.serve("/f.bin", Object::random(1, 1000));
        }
        Self {
            curl: Curl::trusting(&authority),
            authority,
            http,
            https,
        }
    }

    /// Status of the answer, or curl's complaint.
    fn get(&self, proxy: &str, url: &str) -> String {
        let trusted = self.curl.trusted();
        let ended = self
            .curl
            .run(&["--proxy-cacert", trusted, "-x", proxy, url]);
        if ended.success() {
            ended.out().trim().to_owned()
        } else {
            ended.err()
        }
    }

    /// Both servers under a name that only the proxy knows.
    fn both(&self, proxy: &str) -> [String; 2] {
        [&self.http, &self.https]
            .map(|server| self.get(proxy, &server.url_on("files.test", "/f.bin")))
    }
}

#[track_caller]
fn all(statuses: [String; 2], expected: &str) {
    for status in statuses {
        assert!(status.contains(expected), "{expected} in {status}");
    }
}

/// It is gone with its port when it is dropped, and soon.
#[track_caller]
fn goes(proxy: Proxy) {
    let (port, began) = (proxy.port(), Instant::now());
    drop(proxy);
    TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn tinyproxy() {
    let net = Net::new();
    let open = Tinyproxy::new().host("files.test", [127, 0, 0, 1]).start();
    all(net.both(&open.url("http")), "200");
    let port = net.https.port();
    assert!(open.logs(&format!("CONNECT files.test:{port} HTTP/1.1")));
    assert!(open.logs("GET http://files.test:"));
    goes(open);
    let closed = Tinyproxy::new().login("user", "secret");
    let closed = closed.host("files.test", [127, 0, 0, 1]).start();
    all(net.both(&closed.url_as("http", "user", "secret")), "200");
    all(net.both(&closed.url_as("http", "user", "wrong")), "401");
    all(net.both(&closed.url("http")), "407");
}

#[test]
fn squid() {
    let net = Net::new();
    let open = Squid::new().host("files.test", [127, 0, 0, 1]);
    let open = open.refuse_port(9).start();
    all(net.both(&open.url("http")), "200");
    assert!(open.logs(&format!("CONNECT files.test:{} -", net.https.port())));
    let refused = net.get(&open.url("http"), "https://files.test:9/");
    assert!(refused.contains("403"), "{refused}");
    let unknown = net.get(
        &open.url("http"),
        &net.https.url_on("unknown.test", "/f.bin"),
    );
    assert!(unknown.contains("tunnel failed, response 50"), "{unknown}");
    goes(open);
}

#[test]
fn squid_with_a_login_over_tls() {
    let net = Net::new();
    let certificate = net.authority.server(&["localhost"]);
    let closed = Squid::new().tls(&certificate).login("user", "secret");
    let closed = closed.host("files.test", [127, 0, 0, 1]).start();
    let url = |login: &str| format!("https://{login}localhost:{}", closed.port());
    all(net.both(&url("user:secret@")), "200");
    assert!(closed.logs(&format!("CONNECT files.test:{} user", net.https.port())));
    all(net.both(&url("user:wrong@")), "407");
    all(net.both(&url("")), "407");
    all(
        net.both(&closed.url_as("https", "user", "secret")),
        "no alternative certificate subject name",
    );
}

#[test]
fn microsocks() {
    let net = Net::new();
    let open = Microsocks::new().host("files.test", [127, 0, 0, 1]).start();
    all(net.both(&open.url("socks5h")), "200");
    assert!(open.logs(&format!("connected to files.test:{}", net.https.port())));
    all(net.both(&open.url("socks5")), "resolve host: files.test");
    let url = net.http.url_on("localhost", "/f.bin");
    assert_eq!(net.get(&open.url("socks5"), &url), "200");
    assert!(open.logs(&format!("connected to 127.0.0.1:{}", net.http.port())));
    goes(open);
    let closed = Microsocks::new().login("user", "secret");
    let closed = closed.host("files.test", [127, 0, 0, 1]).start();
    all(net.both(&closed.url_as("socks5h", "user", "secret")), "200");
    all(
        net.both(&closed.url_as("socks5h", "user", "wrong")),
        "rejected by the SOCKS5 server",
    );
    all(
        net.both(&closed.url("socks5h")),
        "No authentication method was acceptable",
    );
}

#[test]
fn dante() {
    let net = Net::new();
    let dante = Dante::new().refuse([127, 0, 0, 9]);
    let dante = dante.host("files.test", [127, 0, 0, 1]);
    let dante = dante.host("dead.test", [127, 0, 0, 9]).start();
    all(net.both(&dante.url("socks5h")), "200");
    let refused = net.get(
        &dante.url("socks5h"),
        &net.http.url_on("dead.test", "/f.bin"),
    );
    assert!(
        refused.contains("SOCKS5 connection to dead.test. (2)"),
        "{refused}"
    );
    assert!(dante.logs("dead.test."));
    assert_eq!(
        net.get(&dante.url("socks4"), &net.http.url("/f.bin")),
        "200"
    );
    goes(dante);
}

#[test]
fn twisted() {
    let net = Net::new();
    let proxy = Twisted::new().host("files.test", [127, 0, 0, 1]).start();
    all(net.both(&proxy.url("socks4a")), "200");
    all(net.both(&proxy.url("socks4")), "resolve host: files.test");
    let unknown = net.http.url_on("unknown.test", "/f.bin");
    let refused = net.get(&proxy.url("socks4a"), &unknown);
    assert!(refused.contains("(91), request rejected"), "{refused}");
    let named = format!("socks4://me@127.0.0.1:{}", proxy.port());
    assert_eq!(net.get(&named, &net.http.url("/f.bin")), "200");
    let port = net.http.port();
    assert!(proxy.logs(&format!("127.0.0.1:{port} (user b'me') authorized")));
    goes(proxy);
}
