//! Proxies, by the option and by the environment, with and without what they want.

use bytehaul_testkit::pki::Authority;
use bytehaul_testkit::proxy::{Dante, Microsocks, Squid, Tinyproxy};

use super::{SECRET, Site};

#[test]
fn an_http_proxy_by_option_and_environment() {
    let site = Site::new(|setup| setup);
    let proxy = Tinyproxy::new()
        .login("me", SECRET)
        .host("inside.test", [127, 0, 0, 1])
        .start();
    let address = proxy.url_as("http", "me", SECRET);
    let inside = site.nginx.url_on("inside.test", "/files/f.bin");
    site.works(&["--proxy", &address, &inside]);
    assert!(proxy.logs("inside.test"), "the proxy looks the name up");
    site.works_with(&[&inside], &[("http_proxy", &address)]);
    site.works_with(&[&inside], &[("ALL_PROXY", &address)]);

    let seen = site.nginx.requests();
    assert!(
        seen.iter()
            .all(|request| request.header("proxy-authorization").is_none())
    );
    // A proxy that nobody runs shows which one is asked.
    let dead = ("http_proxy", "http://127.0.0.1:1");
    site.works_with(&["--no-proxy", "127.0.0.1", &site.url()], &[dead]);
    site.works_with(&[&site.url()], &[dead, ("NO_PROXY", "127.0.0.0/8")]);
    site.works_with(&["--proxy", &address, &inside], &[dead]);
    site.fails_with(
        &["--retries", "0", &site.url()],
        &[dead],
        3,
        &["proxy", "127.0.0.1:1"],
    );
}

#[test]
fn wrong_credentials_are_told_at_once() {
    let site = Site::new(|setup| setup);
    let url = site.url();
    let tinyproxy = Tinyproxy::new().login("me", SECRET).start();
    let squid = Squid::new().login("me", SECRET).start();
    let microsocks = Microsocks::new().login("me", SECRET).start();
    for (proxy, scheme) in [
        (&tinyproxy, "http"),
        (&squid, "http"),
        (&microsocks, "socks5h"),
    ] {
        let named = format!("127.0.0.1:{}", proxy.port());
        site.works(&["--proxy", &proxy.url_as(scheme, "me", SECRET), &url]);
        site.fails(
            &["--proxy", &proxy.url(scheme), &url],
            3,
            &["proxy", &named],
        );
        let wrong = proxy.url_as(scheme, "me", "hunter22");
        site.fails(&["--proxy", &wrong, &url], 3, &["proxy", &named]);
    }
    // Only the three that worked have been here: whoever was refused did not ask on.
    let requests = site.nginx.requests().len();
    assert!((3..=12).contains(&requests), "{requests} requests");
}

#[test]
fn socks_with_names_on_either_side() {
    let site = Site::new(|setup| setup);
    let proxy = Microsocks::new()
        .host("inside.test", [127, 0, 0, 1])
        .start();
    let inside = site.nginx.url_on("inside.test", "/files/f.bin");
    site.works(&["--proxy", &proxy.url("socks5h"), &inside]);
    site.works(&["--proxy", &proxy.url("socks5"), &site.url()]);
    // With socks5 the name is looked up here, where nobody knows it.
    site.fails(
        &["--proxy", &proxy.url("socks5"), &inside],
        3,
        &["inside.test"],
    );
    let here = ["--resolve", "inside.test:127.0.0.1"];
    site.works(&[&here[..], &["--proxy", &proxy.url("socks5"), &inside]].concat());

    let strict = Dante::new().refuse([127, 0, 0, 1]).start();
    site.fails(
        &["--proxy", &strict.url("socks5"), &site.url()],
        3,
        &["proxy", &format!("127.0.0.1:{}", strict.port())],
    );
}

#[test]
fn https_through_tunnels_and_to_the_proxy_itself() {
    let authority = Authority::new();
    let site = Site::new(|setup| setup.tls(&authority.server(&["localhost"])));
    let ca = site.file("ca.pem", authority.pem());
    let url = site.nginx.url_on("localhost", "/files/f.bin");
    let tunnel = Tinyproxy::new().start();
    site.works(&["--cacert", &ca, "--proxy", &tunnel.url("http"), &url]);
    let secure = Squid::new().tls(&authority.server(&["localhost"])).start();
    let proxy = secure.url_on("https", "localhost");
    site.works(&["--cacert", &ca, "--proxy", &proxy, &url]);
    site.fails(&["--proxy", &proxy, &url], 3, &["proxy", "localhost"]);
    let strict = Squid::new().refuse_port(site.nginx.port()).start();
    site.fails(
        &["--cacert", &ca, "--proxy", &strict.url("http"), &url],
        3,
        &["proxy", "403"],
    );
}
