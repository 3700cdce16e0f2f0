//! The client through real proxies: who is let in, who looks the name up, what is said of a refusal, and what the host sees.

use std::error::Error as _;
use std::time::{Duration, Instant};

use bytehaul_testkit::pki::Authority;
use bytehaul_testkit::proxy::{Dante, Microsocks, Squid, Tinyproxy, Twisted};
use bytehaul_testkit::{Object, Server};
use bytehaul_transport::{
    Class, Client, ClientBuilder, Error, ErrorKind, Proxies, Proxy, Roots, Tls, Url,
};

use crate::server::get;

/// A server without and one with TLS, under a name that only proxies know.
struct Net {
    authority: Authority,
    http: Server,
    https: Server,
}

impl Net {
    fn new() -> Self {
        let authority = Authority::new();
        let certificate = authority.server(&["localhost", "127.0.0.1", NAME]);
        let https = Server::builder().tls(&certificate).spawn_thread().unwrap();
        let http = Server::spawn_thread();
        for server in [&http, &https] {
            server.serve("/f.bin", Object::random(1, 100_000));
        }
        Self {
            authority,
            http,
            https,
        }
    }

    fn builder(&self, proxy: &str) -> ClientBuilder {
        let tls = Tls::new()
            .roots(Roots::ExtraOnly)
            .add_roots_pem(self.authority.pem());
        let proxies = Proxies::none().all(Proxy::parse(proxy).unwrap());
        Client::builder().tls(tls).proxies(proxies)
    }

    /// What becomes of a request to each server.
    async fn both(&self, client: &Client) -> [Result<(), Error>; 2] {
        let fetch = async |server: &Server| {
            let url = Url::parse(&server.url_on(NAME, "/f.bin")).unwrap();
            let mut response = get(client, url).await?;
            assert_eq!(response.status().as_u16(), 200);
            let body = response.body_mut().bytes(1 << 20).await?;
            assert_eq!(body.len(), 100_000);
            Ok(())
        };
        [fetch(&self.http).await, fetch(&self.https).await]
    }

    async fn works(&self, proxy: &str) {
        for outcome in self.both(&self.builder(proxy).build().unwrap()).await {
            outcome.unwrap_or_else(|error| panic!("{proxy}: {error:?}"));
        }
    }

    /// Both requests fail in this way, at once, and in a text that names the proxy and shows no password.
    async fn fails(&self, proxy: &str, kind: ErrorKind, said: &str) {
        let began = Instant::now();
        let shown = Proxy::parse(proxy).unwrap().to_string();
        for outcome in self.both(&self.builder(proxy).build().unwrap()).await {
            let error = outcome.unwrap_err();
            let text = chain(&error);
            assert_eq!(error.kind(), kind, "{proxy}: {text}");
            assert!(text.contains(said) && text.contains(&shown), "{text}");
            assert!(!format!("{text}{error:?}").contains("secret"), "{text}");
        }
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    /// Nothing of the proxy's credentials has reached a host.
    fn saw_no_credentials(&self) {
        for request in [self.http.requests(), self.https.requests()].concat() {
            assert_eq!(request.header("proxy-authorization"), None);
            let all = format!("{:?}", request.headers);
            assert!(!all.contains("bWU6c2VjcmV0"), "{all}");
        }
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn tinyproxy() {
    let net = Net::new();
    let open = Tinyproxy::new().host(NAME, [127, 0, 0, 1]).start();
    net.works(&open.url("http")).await;
    assert!(open.logs(&format!("CONNECT {NAME}:{} HTTP/1.1", net.https.port())));
    assert!(open.logs(&format!(
        "GET http://{NAME}:{}/f.bin HTTP/1.1",
        net.http.port()
    )));

    let closed = Tinyproxy::new()
        .host(NAME, [127, 0, 0, 1])
        .login("me", "secret")
        .start();
    net.works(&closed.url_as("http", "me", "secret")).await;
    net.saw_no_credentials();
    let kind = ErrorKind::ProxyAuthentication;
    net.fails(
        &closed.url("http"),
        kind,
        "wants a user name and password: 407",
    )
    .await;
    let wrong = closed.url_as("http", "me", "secreter");
    net.fails(
        &wrong,
        kind,
        "does not accept this user name and password: 401",
    )
    .await;
}

#[tokio::test]
async fn squid() {
    let net = Net::new();
    let squid = || Squid::new().host(NAME, [127, 0, 0, 1]);
    let closed = squid().login("me", "secret").start();
    net.works(&closed.url_as("http", "me", "secret")).await;
    net.saw_no_credentials();
    let kind = ErrorKind::ProxyAuthentication;
    net.fails(
        &closed.url("http"),
        kind,
        "wants a user name and password: 407",
    )
    .await;
    let wrong = closed.url_as("http", "me", "secreter");
    net.fails(
        &wrong,
        kind,
        "does not accept this user name and password: 407",
    )
    .await;

    let choosy = squid().refuse_port(net.https.port()).start();
    let client = net.builder(&choosy.url("http")).build().unwrap();
    let [http, https] = net.both(&client).await;
    http.unwrap();
    let error = https.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProxyDenied, "{error}");
    let port = net.https.port();
    let said = format!("refuses to connect to {NAME}:{port}: 403 Forbidden");
    assert!(error.to_string().contains(&said), "{error}");
}

#[tokio::test]
async fn over_tls_to_the_proxy() {
    let net = Net::new();
    let trusted = net.authority.server(&["localhost", "127.0.0.1"]);
    let squid = || {
        Squid::new()
            .host(NAME, [127, 0, 0, 1])
            .login("me", "secret")
    };
    let proxy = squid().tls(&trusted).start();
    net.works(&proxy.url_as("https", "me", "secret")).await;
    net.saw_no_credentials();
    let kind = ErrorKind::ProxyAuthentication;
    net.fails(
        &proxy.url("https"),
        kind,
        "wants a user name and password: 407",
    )
    .await;

    let stranger = Authority::new().server(&["localhost", "127.0.0.1"]);
    let proxy = squid().tls(&stranger).start();
    net.fails(
        &proxy.url_as("https", "me", "secret"),
        ErrorKind::Tls,
        "unknown authority",
    )
    .await;
    let plain = Tinyproxy::new().start();
    // It waits for the end of a line, which a handshake need not have.
    let client = net
        .builder(&plain.url("https"))
        .connect_timeout(Duration::from_millis(300));
    for outcome in net.both(&client.build().unwrap()).await {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains(&plain.url("https")), "{error}");
    }
}

#[tokio::test]
async fn socks5() {
    let net = Net::new();
    let open = Microsocks::new().host(NAME, [127, 0, 0, 1]).start();
    net.works(&open.url("socks5h")).await;
    assert!(open.logs(&format!("connected to {NAME}:{}", net.https.port())));

    let closed = Microsocks::new()
        .host(NAME, [127, 0, 0, 1])
        .login("me", "secret")
        .start();
    net.works(&closed.url_as("socks5h", "me", "secret")).await;
    let kind = ErrorKind::ProxyAuthentication;
    net.fails(
        &closed.url("socks5h"),
        kind,
        "wants a user name and password",
    )
    .await;
    let wrong = closed.url_as("socks5h", "me", "secreter");
    net.fails(&wrong, kind, "does not accept this user name and password")
        .await;

    let open = Dante::new().host(NAME, [127, 0, 0, 1]).start();
    net.works(&open.url("socks5h")).await;
    let strict = Dante::new()
        .host(NAME, [127, 0, 0, 1])
        .refuse([127, 0, 0, 1])
        .start();
    net.fails(
        &strict.url("socks5h"),
        ErrorKind::ProxyDenied,
        "not allowed by its rules (2)",
    )
    .await;
}

/// `socks5` and `socks4` send what was looked up here, even where the proxy knows the name otherwise.
#[tokio::test]
async fn names_are_looked_up_here() {
    let net = Net::new();
    let microsocks = Microsocks::new().host(NAME, [127, 0, 0, 9]).start();
    let dante = Dante::new().host(NAME, [127, 0, 0, 9]).start();
    for proxy in [
        microsocks.url("socks5"),
        dante.url("socks5"),
        dante.url("socks4"),
    ] {
        let address = "127.0.0.1:0".parse().unwrap();
        let client = net
            .builder(&proxy)
            .pin_host(NAME, [address])
            .build()
            .unwrap();
        for outcome in net.both(&client).await {
            outcome.unwrap_or_else(|error| panic!("{proxy}: {error:?}"));
        }
    }
    assert!(microsocks.logs(&format!("connected to 127.0.0.1:{}", net.https.port())));
    assert!(!microsocks.log().iter().any(|line| line.contains(NAME)));
}

#[tokio::test]
async fn socks4a() {
    let net = Net::new();
    let twisted = Twisted::new().host(NAME, [127, 0, 0, 1]).start();
    net.works(&twisted.url_as("socks4a", "me", "secret")).await;
    assert!(twisted.logs("(user b'me') authorized"));
    let ignorant = Twisted::new().start();
    net.fails(
        &ignorant.url("socks4a"),
        ErrorKind::ProxyFailed,
        "rejected or failed (91)",
    )
    .await;
}

#[tokio::test]
async fn hosts_that_the_proxy_cannot_reach() {
    let net = Net::new();
    let port = free_port();
    let url = Url::parse(&format!("https://127.0.0.1:{port}/")).unwrap();
    let (tinyproxy, squid) = (Tinyproxy::new().start(), Squid::new().start());
    let (microsocks, twisted) = (Microsocks::new().start(), Twisted::new().start());
    for (proxy, said) in [
        (tinyproxy.url("http"), "500 Unable to connect"),
        (squid.url("http"), "503 Service Unavailable"),
        (microsocks.url("socks5h"), "connection refused (5)"),
        (twisted.url("socks4a"), "(91)"),
    ] {
        let client = net.builder(&proxy).build().unwrap();
        let error = get(&client, url.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ProxyFailed, "{error}");
        assert_eq!(error.kind().class(), Class::Transient);
        let expected = format!("proxy {proxy} does not reach 127.0.0.1:{port}: ");
        let text = error.to_string();
        assert!(text.starts_with(&expected) && text.contains(said), "{text}");
    }
}

#[tokio::test]
async fn a_dead_proxy_is_passed_by_only_for_the_list() {
    let net = Net::new();
    let dead = format!("http://me:secret@127.0.0.1:{}", free_port());
    net.fails(&dead, ErrorKind::ProxyConnect, "connect to proxy")
        .await;
    let proxies = |list: &str| {
        Proxies::from_variables(|name| match name {
            "http_proxy" | "https_proxy" => Some(dead.clone()),
            "no_proxy" => Some(list.to_owned()),
            _ => None,
        })
    };
    let url = Url::parse(&net.http.url_on("127.0.0.1", "/f.bin")).unwrap();
    for (list, passed_by) in [
        ("127.0.0.0/8", true),
        (&format!("127.0.0.1:{}", net.http.port()), true),
        ("*", true),
        ("localhost", false),
        ("127.0.0.1:1", false),
        ("", false),
    ] {
        let client = Client::builder()
            .proxies(proxies(list).unwrap())
            .build()
            .unwrap();
        match get(&client, url.clone()).await {
            Ok(response) => assert!(passed_by && response.status().as_u16() == 200, "{list}"),
            Err(error) => assert!(
                !passed_by && error.kind() == ErrorKind::ProxyConnect,
                "{list}"
            ),
        }
    }
}

/// A port of loopback that nobody listens on.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

const NAME: &str = "files.test";
