//! Names and addresses: name servers over each transport, what does not exist, pinned hosts, dead families.

use std::time::{Duration, Instant};

use bytehaul_testkit::dns::{Dnsmasq, Unbound};
use bytehaul_testkit::pki::Authority;

use super::Site;

#[test]
fn name_servers_over_each_transport() {
    let authority = Authority::new();
    let site = Site::new(|setup| setup);
    let ca = site.file("ca.pem", authority.pem());
    let url = site.nginx.url_on("files.test", "/files/f.bin");
    let plain = Dnsmasq::new()
        .host("files.test", [127, 0, 0, 1], 60)
        .start();
    site.works(&[
        "--dns-server",
        &plain.address().to_string(),
        "-x",
        "4",
        &url,
    ]);
    assert_eq!(
        plain.asked("files.test", "A"),
        1,
        "once for all connections"
    );
    site.works(&[
        "--dns-server",
        &plain.address().to_string(),
        "--no-ipv6",
        &url,
    ]);
    assert_eq!(
        plain.asked("files.test", "AAAA"),
        1,
        "by the first of the two only"
    );

    let secure = Unbound::new()
        .host("files.test", [127, 0, 0, 1], 60)
        .tls(&authority.server(&["localhost", "127.0.0.1"]))
        .start();
    let over_tls = format!("tls://{}", secure.tls_address());
    let over_https = secure.https_url("127.0.0.1");
    for server in [&over_tls, &over_https] {
        site.works(&["--cacert", &ca, "--dns-server", server, &url]);
        site.fails(
            &["--dns-server", server, &url],
            3,
            &["files.test", "certificate"],
        );
    }
}

#[test]
fn a_name_that_does_not_exist_is_told_at_once() {
    let site = Site::new(|setup| setup);
    let server = Unbound::new()
        .host("files.test", [127, 0, 0, 1], 60)
        .start();
    let started = Instant::now();
    let url = site.nginx.url_on("missing.test", "/files/f.bin");
    site.fails(
        &["--dns-server", &server.address().to_string(), &url],
        3,
        &["missing.test", "no such host"],
    );
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert!(
        server.asked("missing.test", "A") <= 1,
        "{:?}",
        server.questions()
    );
}

#[test]
fn a_host_gets_the_address_that_the_option_says() {
    let site = Site::new(|setup| setup);
    let url = site.nginx.url_on("pinned.test", "/files/f.bin");
    site.works(&["--resolve", "pinned.test:127.0.0.1", &url]);
    let port = site.nginx.port();
    let elsewhere = format!("pinned.test:127.0.0.1:{port}");
    site.works(&["--resolve", &elsewhere, "http://pinned.test/files/f.bin"]);
}

#[test]
fn a_host_with_a_dead_family_costs_no_second() {
    let site = Site::new(|setup| setup);
    let url = site.nginx.url_on("dual.test", "/files/f.bin");
    let took = |addresses: &str| {
        let pin = format!("dual.test:{addresses}");
        let started = Instant::now();
        site.works(&["--resolve", &pin, &url]);
        started.elapsed()
    };
    let alone = took("127.0.0.1");
    // The discard prefix of RFC 6666: nothing there answers, if there is a route at all.
    let both = took("[100::1],127.0.0.1");
    assert!(
        both < alone + Duration::from_secs(1),
        "{both:?} instead of {alone:?}"
    );
}
