//! Names and addresses.

use std::time::{Duration, Instant};

use super::Site;

#[test]
fn a_host_gets_the_address_that_the_option_says() {
    let site = Site::new(|setup| setup);
    let url = site.nginx.url_on("pinned.test", "/files/f.bin");
    site.fails(&[&url], 3, &["pinned.test"]);
    site.works(&["--resolve", "pinned.test:127.0.0.1", &url]);
    let port = site.nginx.port();
    let elsewhere = format!("pinned.test:127.0.0.1:{port}");
    site.works(&["--resolve", &elsewhere, "http://pinned.test/files/f.bin"]);
}

#[test]
fn a_host_with_a_dead_family_costs_no_second() {
    let site = Site::new(|setup| setup);
    let url = site.nginx.url_on("dual.test", "/files/f.bin");
    // The discard prefix of RFC 6666: nothing there answers, if there is a route at all.
    let both = "dual.test:[100::1],127.0.0.1";
    let started = Instant::now();
    site.works(&["--resolve", both, &url]);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    site.works(&["--resolve", both, "--no-ipv6", &url]);
}
