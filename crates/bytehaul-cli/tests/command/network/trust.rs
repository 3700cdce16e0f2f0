//! Whom the command trusts, what it shows of itself, and which version of HTTP it speaks.

use bytehaul_testkit::pki::{Authority, Certificate};
use data_encoding::BASE64;

use super::Site;

fn secure(authority: &Authority) -> (Site, String) {
    let site = Site::new(|setup| setup.tls(&authority.server(&["localhost"])));
    let ca = site.file("ca.pem", authority.pem());
    (site, ca)
}

#[test]
fn a_private_authority() {
    let authority = Authority::new();
    let (site, ca) = secure(&authority);
    let url = site.nginx.url_on("localhost", "/files/f.bin");
    site.works(&["--cacert", &ca, &url]);
    site.works(&["--cacert", &ca, "--cacert-only", &url]);
    site.works(&["--insecure", &url]);
    site.fails(&[&url], 3, &["certificate", "localhost"]);
    let stranger = site.file("stranger.pem", Authority::new().pem());
    site.fails(&["--cacert", &stranger, &url], 3, &["certificate"]);
    // The certificate is for the name only.
    site.fails(
        &["--cacert", &ca, &site.url()],
        3,
        &["certificate", "127.0.0.1"],
    );
    // Only those that were trusted got as far as a request.
    let requests = site.nginx.requests().len();
    assert!((3..=12).contains(&requests), "{requests} requests");
}

#[test]
fn certificates_that_are_wrong_by_themselves() {
    let authority = Authority::new();
    let check = |certificate: &Certificate, word: &str| {
        let site = Site::new(|setup| setup.tls(certificate));
        let ca = site.file("ca.pem", authority.pem());
        let url = site.nginx.url_on("localhost", "/files/f.bin");
        site.fails(&["--cacert", &ca, &url], 3, &["certificate", word]);
        site.works(&["--insecure", &url]);
    };
    check(&authority.expired(&["localhost"]), "expired");
    check(&authority.not_yet_valid(&["localhost"]), "not valid before");
    check(&authority.server(&["elsewhere.test"]), "elsewhere.test");
    check(&Certificate::self_signed(&["localhost"]), "localhost");
}

#[test]
fn a_client_certificate() {
    let authority = Authority::new();
    let site = Site::new(|setup| {
        setup
            .tls(&authority.server(&["localhost"]))
            .client_authority(&authority)
    });
    let ca = site.file("ca.pem", authority.pem());
    let url = site.nginx.url_on("localhost", "/files/f.bin");
    let client = authority.client("somebody");
    let cert = site.file("cert.pem", client.chain_pem());
    let key = site.file("key.pem", client.key_pem());
    let both = site.file(
        "both.pem",
        &format!("{}{}", client.chain_pem(), client.key_pem()),
    );
    site.works(&["--cacert", &ca, "--cert", &cert, "--key", &key, &url]);
    site.works(&["--cacert", &ca, "--cert", &both, &url]);
    assert!(site.nginx.requests().iter().all(|request| {
        request
            .client
            .as_deref()
            .is_some_and(|name| name.contains("somebody"))
    }));
    // nginx completes the handshake and then answers 400.
    site.fails(&["--cacert", &ca, &url], 4, &["400"]);
    let other = site.file("other.pem", authority.client("other").key_pem());
    site.fails(
        &["--cert", &cert, "--key", &other, &url],
        2,
        &["certificate", "key"],
    );
    site.fails(&["--cert", &cert, "--key", &ca, &url], 2, &["key"]);
}

#[test]
fn pinned_keys() {
    let authority = Authority::new();
    let certificate = authority.server(&["localhost"]);
    let site = Site::new(|setup| setup.tls(&certificate));
    let ca = site.file("ca.pem", authority.pem());
    let url = site.nginx.url_on("localhost", "/files/f.bin");
    let pin = format!("sha256//{}", BASE64.encode(&certificate.spki_sha256()));
    let other = format!("sha256//{}", BASE64.encode(&[7; 32]));
    site.works(&["--cacert", &ca, "--pinned-key", &pin, &url]);
    site.works(&[
        "--cacert",
        &ca,
        "--pinned-key",
        &other,
        "--pinned-key",
        &pin,
        &url,
    ]);
    site.works(&["--insecure", "--pinned-key", &pin, &url]);
    site.fails(
        &["--cacert", &ca, "--pinned-key", &other, &url],
        3,
        &["key", &pin],
    );
    site.fails(&["--insecure", "--pinned-key", &other, &url], 3, &["key"]);
    site.fails(&["--pinned-key", &pin, &url], 3, &["certificate"]);
}

#[test]
fn versions_of_http() {
    let authority = Authority::new();
    let site = Site::new(|setup| setup.tls(&authority.server(&["localhost"])).http2());
    let ca = site.file("ca.pem", authority.pem());
    let url = site.nginx.url_on("localhost", "/files/f.bin");
    for (version, expected) in [("1.1", "HTTP/1.1"), ("auto", "HTTP/2.0"), ("2", "HTTP/2.0")] {
        let before = site.nginx.requests().len();
        site.works(&[
            "--cacert",
            &ca,
            "--http",
            version,
            "--min-split-size",
            "0",
            "-x",
            "4",
            &url,
        ]);
        let requests = site.nginx.requests().split_off(before);
        assert!(
            !requests.is_empty() && requests.iter().all(|r| r.protocol == expected),
            "{requests:?}"
        );
    }
    let old = Site::new(|setup| setup.tls(&authority.server(&["localhost"])));
    let url = old.nginx.url_on("localhost", "/files/f.bin");
    old.works(&["--cacert", &ca, "--http", "auto", &url]);
    old.fails(
        &["--cacert", &ca, "--http", "2", &url],
        3,
        &["application protocols"],
    );
}

#[test]
fn a_step_down_from_https_needs_permission() {
    let authority = Authority::new();
    let plain = Site::new(|setup| setup);
    let server = bytehaul_testkit::Server::builder()
        .tls(&authority.server(&["localhost"]))
        .spawn_thread()
        .unwrap();
    server.redirect("/f.bin", plain.url());
    let ca = plain.file("ca.pem", authority.pem());
    let url = server.url_on("localhost", "/f.bin");
    plain.fails(&["--cacert", &ca, &url], 3, &["redirect", "https to http"]);
    plain.works(&["--cacert", &ca, "--insecure-redirects", &url]);
    plain.fails(
        &[
            "--cacert",
            &ca,
            "--insecure-redirects",
            "--max-redirects",
            "0",
            &url,
        ],
        3,
        &["redirects"],
    );
}
