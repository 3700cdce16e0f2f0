//! Downloads through real proxies: which URL takes which, what a proxy is told, and what is said when it does not help.

use bytehaul::Network;
use bytehaul_testkit::pki::Authority;
use bytehaul_testkit::proxy::{Dante, Microsocks, Squid, Tinyproxy, Twisted};
use bytehaul_testkit::{Object, Server};

use crate::network::{fails, object, over_tls, settings, works};

fn plain() -> Server {
    let server = Server::spawn_thread();
    server.serve("/f", object());
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_proxy() {
    let authority = Authority::new();
    let secure = over_tls(&authority.server(&["localhost"]));
    let plain = plain();
    let http = Tinyproxy::new().login("me", "hunter2").start();
    let certificate = authority.server(&["localhost"]);
    let https = Squid::new()
        .login("me", "hunter2")
        .tls(&certificate)
        .start();
    let socks5 = Microsocks::new().login("me", "hunter2").start();
    let socks4 = Twisted::new().start();
    let https_url = https.url_on("https", "me:hunter2@localhost");
    for url in [
        http.url_as("http", "me", "hunter2"),
        https_url,
        socks5.url_as("socks5", "me", "hunter2"),
        socks5.url_as("socks5h", "me", "hunter2"),
        socks4.url("socks4"),
        socks4.url("socks4a"),
    ] {
        let through = || {
            let trusting = settings().add_root_certificates(authority.pem());
            trusting.all_proxy(&url)
        };
        works(plain.url("/f"), through(), &object()).await;
        works(secure.url_on("localhost", "/f"), through(), &object()).await;
    }
    for proxy in [&http, &https, &socks5, &socks4] {
        assert!(!proxy.log().is_empty(), "{proxy:?} was not used");
    }
    for request in plain.requests().into_iter().chain(secure.requests()) {
        let told = request.header("proxy-authorization");
        assert_eq!(told, None, "a host is told the proxy's password");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_the_proxy_alone_knows() {
    let server = plain();
    let here = [127, 0, 0, 1];
    let http = Tinyproxy::new().host("only-there.test", here).start();
    let socks = Microsocks::new().host("only-there.test", here).start();
    let url = || server.url_on("only-there.test", "/f");
    works(url(), settings().all_proxy(http.url("http")), &object()).await;
    works(url(), settings().all_proxy(socks.url("socks5h")), &object()).await;
    let nobody = bytehaul::resolve::FixedResolver::new([]);
    let asked_here = settings().all_proxy(socks.url("socks5")).resolver(nobody);
    fails(url(), asked_here, &["only-there.test", "no such host"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn which_proxy_for_which_url() {
    let server = plain();
    let used = Tinyproxy::new().start();
    // Nobody listens there.
    let dead = "http://127.0.0.1:1";
    let url = || server.url("/f");
    let own = settings().http_proxy(used.url("http"));
    works(url(), own.all_proxy(dead), &object()).await;
    assert!(used.logs("/f"));
    let others = settings().https_proxy(dead);
    works(url(), others, &object()).await;
    let all = || settings().all_proxy(dead);
    works(url(), all().no_proxy("other.test,127.0.0.0/8"), &object()).await;
    works(url(), all().no_proxy("*"), &object()).await;
    fails(
        url(),
        all().no_proxy("127.0.0.2,localhost"),
        &["127.0.0.1:1"],
    )
    .await;
    works(url(), settings().all_proxy(""), &object()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_may_go_without_the_proxy_of_its_downloader() {
    let server = plain();
    let downloader = bytehaul::Downloader::builder()
        .all_proxy("http://127.0.0.1:1")
        .build()
        .expect("settings");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let spec = crate::common::quick(&server.url("/f"))
        .network(Network::default().all_proxy(""))
        .output_path(dir.path().join("f"));
    let outcome = crate::common::ended(&downloader.download(spec)).await;
    assert_eq!(outcome.expect("direct").bytes, object().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_does_not_help_is_named_without_its_password() {
    let authority = Authority::new();
    let secure = over_tls(&authority.server(&["localhost"]));
    let server = plain();
    let trusting = || settings().add_root_certificates(authority.pem());
    let targets = [server.url("/f"), secure.url_on("localhost", "/f")];
    let http = Tinyproxy::new().login("me", "right").start();
    let squid = Squid::new()
        .login("me", "right")
        .refuse_port(secure.port())
        .start();
    let socks = Microsocks::new().login("me", "right").start();
    for target in targets.clone() {
        for (proxy, scheme) in [(&http, "http"), (&squid, "http"), (&socks, "socks5h")] {
            let named = format!("127.0.0.1:{}", proxy.port());
            let wrong = trusting().all_proxy(proxy.url_as(scheme, "me", "hunter2"));
            fails(target.clone(), wrong, &["proxy", &named]).await;
        }
        let nobody = trusting().all_proxy("http://me:hunter2@127.0.0.1:1");
        fails(target.clone(), nobody, &["proxy", "127.0.0.1:1", "refused"]).await;
        let nameless = trusting().all_proxy("http://me:hunter2@no-such-proxy.invalid:1");
        let nameless = nameless.resolver(bytehaul::resolve::FixedResolver::new([]));
        fails(target, nameless, &["proxy", "no-such-proxy.invalid"]).await;
    }
    let refusing = trusting().all_proxy(squid.url_as("http", "me", "right"));
    fails(targets[1].clone(), refusing, &["proxy", "403"]).await;
    let dante = Dante::new().refuse([127, 0, 0, 1]).start();
    let refusing = trusting().all_proxy(dante.url("socks5"));
    fails(targets[0].clone(), refusing, &["proxy", "not allowed"]).await;
    assert_eq!(server.requests().len() + secure.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_nobody_trusts() {
    let authority = Authority::new();
    let certificate = authority.server(&["localhost"]);
    let proxy = Squid::new().tls(&certificate).start();
    let server = plain();
    let through = settings().all_proxy(proxy.url_on("https", "localhost"));
    fails(
        server.url("/f"),
        through,
        &["proxy", "localhost", "certificate"],
    )
    .await;
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_the_proxy_cannot_reach() {
    let proxy = Tinyproxy::new().start();
    let through = || settings().all_proxy(proxy.url("http"));
    let secure = "https://127.0.0.1:1/f".to_owned();
    fails(secure, through(), &["proxy"]).await;
    // In the plain form the proxy's 500 is an answer as any other.
    for result in crate::network::each("http://127.0.0.1:1/f", &through(), &Object::empty()).await {
        let error = result.expect_err("nobody listens");
        assert_eq!(error.kind(), bytehaul::ErrorKind::Network, "{error:?}");
    }
}
