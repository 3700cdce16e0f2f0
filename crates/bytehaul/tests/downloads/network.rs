//! Each network setting by a round trip, once set for the downloader and once for the download: trust, names, versions.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytehaul::resolve::FixedResolver;
use bytehaul::{DownloadError, Downloader, ErrorKind, HttpVersion, Network, Outcome};
use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::pki::{Authority, Certificate};
use bytehaul_testkit::{Behaviour, Effect, Object, Server, check_file};

use crate::common::{MIB, ended, quick};

/// Settings that no environment has a say in.
pub(crate) fn settings() -> Network {
    Network::default().proxy_from_env(false)
}

/// Downloads twice: with a downloader that has the settings, and with a spec that has them.
pub(crate) async fn each(
    url: &str,
    settings: &Network,
    object: &Object,
) -> [Result<Outcome, DownloadError>; 2] {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let plain = Downloader::builder().proxy_from_env(false).build();
    let set = Downloader::builder().network(settings.clone()).build();
    let attempts = [
        (set.expect("settings"), quick(url)),
        (plain.expect("none"), quick(url).network(settings.clone())),
    ];
    let mut results = Vec::new();
    for (n, (downloader, spec)) in attempts.into_iter().enumerate() {
        let target = dir.path().join(n.to_string());
        let spec = spec.output_path(&target).max_retries(2);
        let result = ended(&downloader.download(spec)).await;
        if result.is_ok()
            && let Err(mismatch) = check_file(&target, object)
        {
            panic!("{mismatch}");
        }
        results.push(result);
    }
    results.try_into().expect("two of them")
}

/// Both ways lead to the file.
#[track_caller]
pub(crate) fn works(url: String, settings: Network, object: &Object) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let object = object.clone();
    async move {
        for result in each(&url, &settings, &object).await {
            if let Err(error) = result {
                panic!("{caller}: {}", line(&error));
            }
        }
    }
}

/// Both ways fail, at once, with one line that has all of this in it, and no secret.
#[track_caller]
pub(crate) fn fails<'a>(
    url: String,
    settings: Network,
    expected: &'a [&'a str],
) -> impl Future<Output = ()> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        for result in each(&url, &settings, &Object::empty()).await {
            let error = result.expect_err("this cannot work");
            let line = line(&error);
            println!("{line}");
            assert_eq!(error.kind(), ErrorKind::Network, "{caller}: {line}");
            for part in expected {
                assert!(line.contains(part), "{caller}: {part} is not in: {line}");
            }
            assert!(!line.contains('\n') && line.len() < 600, "{caller}: {line}");
            let all = format!("{line} {error:?} {error:#?}");
            assert!(!all.contains("hunter2"), "{caller}: {all}");
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(4), "{caller}: took {took:?}");
    }
}

/// The error and its causes as a command would show them.
pub(crate) fn line(error: &DownloadError) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        line += &format!(": {error}");
        cause = error.source();
    }
    line
}

pub(crate) fn object() -> Object {
    Object::random(7, 2 * MIB)
}

pub(crate) fn over_tls(certificate: &Certificate) -> Server {
    let server = Server::builder().tls(certificate).spawn_thread();
    let server = server.expect("a free port");
    server.serve("/f", object());
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_to_trust() {
    let authority = Authority::new();
    let certificate = authority.server(&["localhost"]);
    let server = over_tls(&certificate);
    let url = || server.url_on("localhost", "/f");
    let trusting = || settings().add_root_certificates(authority.pem());
    works(url(), trusting(), &object()).await;
    works(url(), trusting().only_these_roots(true), &object()).await;
    works(
        url(),
        settings().danger_accept_invalid_certificates(true),
        &object(),
    )
    .await;
    let sent = server.requests().len();
    assert!(sent > 0);
    fails(url(), settings(), &["localhost", "certificate"]).await;
    let stranger = settings().add_root_certificates(Authority::new().pem());
    fails(url(), stranger, &["localhost", "certificate"]).await;
    fails(server.url("/f"), trusting(), &["127.0.0.1", "localhost"]).await;
    let after = server.requests().len();
    assert_eq!(after, sent, "nothing is sent to whom nobody trusts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_are_not_good_now() {
    let authority = Authority::new();
    let trusting = || settings().add_root_certificates(authority.pem());
    let late = over_tls(&authority.expired(&["localhost"]));
    fails(late.url_on("localhost", "/f"), trusting(), &["expired"]).await;
    let early = over_tls(&authority.not_yet_valid(&["localhost"]));
    fails(
        early.url_on("localhost", "/f"),
        trusting(),
        &["not valid before"],
    )
    .await;
    let alone = over_tls(&Certificate::self_signed(&["localhost"]));
    fails(
        alone.url_on("localhost", "/f"),
        settings(),
        &["certificate"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pinned_keys() {
    let authority = Authority::new();
    let certificate = authority.server(&["localhost"]);
    let server = over_tls(&certificate);
    let url = || server.url_on("localhost", "/f");
    let pin = |key: [u8; 32]| format!("sha256//{}", data_encoding::BASE64.encode(&key));
    let own = pin(certificate.spki_sha256());
    let trusting = || settings().add_root_certificates(authority.pem());
    works(url(), trusting().pin_public_key(&own), &object()).await;
    let several = format!("{};{own}", pin([7; 32]));
    works(url(), trusting().pin_public_key(several), &object()).await;
    let other = || pin([7; 32]);
    fails(url(), trusting().pin_public_key(other()), &["pin"]).await;
    let anybody = settings()
        .danger_accept_invalid_certificates(true)
        .pin_public_key(other());
    fails(url(), anybody, &["pin"]).await;
}

/// An nginx over a directory with the object as `f.bin`.
struct Real {
    nginx: Nginx,
    _dir: tempfile::TempDir,
}

fn nginx(
    set: impl FnOnce(bytehaul_testkit::nginx::Setup) -> bytehaul_testkit::nginx::Setup,
) -> Real {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("f.bin"), object().whole()).expect("write");
    Real {
        nginx: set(Nginx::serving(dir.path())).start(),
        _dir: dir,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate() {
    let authority = Authority::new();
    let certificate = authority.server(&["localhost"]);
    let real = nginx(|setup| setup.tls(&certificate).client_authority(&authority));
    let url = || real.nginx.url_on("localhost", "/files/f.bin");
    let trusting = || settings().add_root_certificates(authority.pem());
    let client = authority.client("somebody");
    let shown = trusting().client_certificate(client.chain_pem(), client.key_pem());
    works(url(), shown, &object()).await;
    let seen = real.nginx.requests();
    assert!(
        seen.iter()
            .all(|seen| seen.client.as_deref() == Some("CN=somebody"))
    );
    for result in each(&url(), &trusting(), &object()).await {
        let error = result.expect_err("no certificate was shown");
        assert_eq!(error.status().map(|status| status.as_u16()), Some(400));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_version_of_http() {
    let authority = Authority::new();
    let certificate = authority.server(&["localhost"]);
    let real = nginx(|setup| setup.tls(&certificate).http2());
    let url = || real.nginx.url_on("localhost", "/files/f.bin");
    let trusting = || settings().add_root_certificates(authority.pem());
    let versions = [
        (None, "HTTP/1.1"),
        (Some(HttpVersion::Auto), "HTTP/2.0"),
        (Some(HttpVersion::Http2), "HTTP/2.0"),
    ];
    for (version, expected) in versions {
        let settings = match version {
            Some(version) => trusting().http_version(version),
            None => trusting(),
        };
        let before = real.nginx.requests().len();
        works(url(), settings, &object()).await;
        let seen = real.nginx.requests().split_off(before);
        assert!(seen.len() > 1, "{version:?}");
        assert!(
            seen.iter().all(|seen| seen.protocol == expected),
            "{seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_far_redirects_may_lead() {
    let authority = Authority::new();
    let server = over_tls(&authority.server(&["localhost"]));
    let plain = Server::spawn_thread();
    plain.serve("/f", object());
    server.redirect("/down", plain.url("/f"));
    let trusting = || settings().add_root_certificates(authority.pem());
    let url = || server.url_on("localhost", "/down");
    fails(url(), trusting(), &["redirect from https to http"]).await;
    assert_eq!(plain.requests().len(), 0);
    works(
        url(),
        trusting().danger_follow_https_to_http(true),
        &object(),
    )
    .await;
    plain.redirect("/r", "/f");
    works(plain.url("/r"), settings().max_redirects(1), &object()).await;
    fails(
        plain.url("/r"),
        settings().max_redirects(0),
        &["more than 0 redirects"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_addresses() {
    let server = Server::spawn_thread();
    server.serve("/f", object());
    let url = || server.url_on("files.test", "/f");
    let here: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    works(url(), settings().pin_host("files.test", [here]), &object()).await;
    let elsewhere = format!("http://files.test:1{}", "/f");
    let pinned = settings().pin_host("files.test", [server.address()]);
    works(elsewhere, pinned, &object()).await;
    let table = |address: &str| {
        let address = address.parse().expect("an address");
        FixedResolver::new([("files.test".to_owned(), vec![address])])
    };
    works(url(), settings().resolver(table("127.0.0.1")), &object()).await;
    let pinned = settings().resolver(table("127.0.0.9"));
    works(url(), pinned.pin_host("files.test", [here]), &object()).await;
    let nobody = settings().resolver(FixedResolver::new([]));
    fails(url(), nobody, &["files.test", "no such host"]).await;
    let only_v6 = settings().resolver(table("::1"));
    fails(url(), only_v6.enable_ipv6(false), &["files.test"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_and_how_long() {
    let server = Server::spawn_thread();
    server.serve("/f", object());
    works(server.url("/f"), settings().user_agent("tool/1"), &object()).await;
    for request in server.requests() {
        assert_eq!(request.header("user-agent"), Some("tool/1"));
    }
    let silent = Behaviour::new().always(Effect::StallAfter(0));
    server.behave("/f", silent);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let impatient = settings().read_timeout(Duration::from_millis(300));
    let mut spec = quick(&server.url("/f"))
        .network(impatient)
        .output_path(dir.path().join("f"))
        .max_retries(0);
    spec.read_timeout = None;
    let began = Instant::now();
    let downloader = Downloader::builder().proxy_from_env(false).build();
    let result = ended(&downloader.expect("settings").download(spec)).await;
    assert_eq!(result.expect_err("silence").kind(), ErrorKind::Network);
    assert!(began.elapsed() < Duration::from_secs(2));
}

/// What the system's table says of the timer of connections to this server: `2` and hundredths of a second is a probe to come.
#[cfg(target_os = "linux")]
fn timers(server: SocketAddr) -> Vec<(u32, u32)> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let remote = format!("0100007F:{:04X}", server.port());
    let rows = table
        .lines()
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    let established = rows.filter(|row| row[2] == remote && row[3] == "01");
    let timer = |row: Vec<&str>| {
        let (kind, left) = row[5].split_once(':').expect("a kind and a time");
        let number = |hex| u32::from_str_radix(hex, 16).expect("hexadecimal");
        (number(kind), number(left))
    };
    established.map(timer).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_are_probed() {
    let check = async |network: Network, expected: Option<std::ops::Range<u32>>| {
        let server = Server::spawn_thread();
        server.serve("/f", object());
        server.behave("/f", Behaviour::new().always(Effect::StallAfter(0)));
        let dir = tempfile::tempdir().expect("a temporary directory");
        let spec = quick(&server.url("/f"))
            .network(network)
            .output_path(dir.path().join("f"));
        let downloader = Downloader::builder().proxy_from_env(false).build();
        let handle = downloader.expect("settings").download(spec);
        let deadline = Instant::now() + Duration::from_secs(10);
        let fits = || {
            let timers = timers(server.address());
            let as_expected = |&(kind, left): &(u32, u32)| match &expected {
                Some(range) => kind == 2 && range.contains(&left),
                None => kind == 0,
            };
            (!timers.is_empty() && timers.iter().all(as_expected), timers)
        };
        // Until what was sent is acknowledged another timer is shown.
        while !fits().0 {
            assert!(Instant::now() < deadline, "{:?}", fits().1);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        handle.cancel().await;
    };
    check(settings(), Some(1000..3001)).await;
    let long = settings().tcp_keepalive(Duration::from_secs(300));
    check(long, Some(20_000..30_001)).await;
    check(settings().tcp_keepalive(Duration::ZERO), None).await;
}

#[test]
fn bad_settings_are_found_before_anything_is_sent() {
    let bad = [
        (settings().all_proxy("ftp://p"), "all_proxy"),
        (settings().http_proxy("http://:x"), "http_proxy"),
        (settings().https_proxy("://"), "https_proxy"),
        (settings().name_servers(["one.one"]), "name server"),
        (settings().add_root_certificates("x"), "root certificates"),
        (settings().only_these_roots(true), ""),
        (
            settings().client_certificate("x", "y"),
            "client certificate",
        ),
        (settings().pin_public_key("md5//x"), "public key pin"),
        (settings().user_agent("a\nb"), "user agent"),
    ];
    for (network, name) in bad {
        let error = Downloader::builder().network(network.clone()).build();
        let error = error.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Parameter, "{error:?}");
        assert!(error.to_string().starts_with(&format!("invalid {name}")) || name.is_empty());
        if !name.is_empty() {
            let spec = bytehaul::DownloadSpec::new("http://h/").network(network);
            let error = spec.validate().expect_err(name);
            assert!(error.to_string().starts_with(&format!("invalid {name}")));
        }
    }
}
