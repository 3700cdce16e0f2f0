//! Downloads whose hosts only a name server of the caller's choice knows: each transport, what is shared, what fails.

use std::time::{Duration, Instant};

use bytehaul::Downloader;
use bytehaul_testkit::Server;
use bytehaul_testkit::dns::{Dnsmasq, Reply, Scripted, Unbound};
use bytehaul_testkit::pki::Authority;

use crate::common::{ended, quick};
use crate::network::{each, fails, object, settings, works};

const HERE: [u8; 4] = [127, 0, 0, 1];

fn server() -> Server {
    let server = Server::spawn_thread();
    server.serve("/f", object());
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_each_transport() {
    let server = server();
    let url = || server.url_on("files.test", "/f");
    let plain = Dnsmasq::new().host("files.test", HERE, 60).start();
    works(url(), settings().dns_servers([plain.address()]), &object()).await;
    let text = plain.address().to_string();
    works(url(), settings().name_servers([text]), &object()).await;
    assert!(plain.asked("files.test", "A") > 0);

    let authority = Authority::new();
    let certificate = authority.server(&["localhost", "127.0.0.1"]);
    let secure = Unbound::new()
        .host("files.test", HERE, 60)
        .tls(&certificate)
        .start();
    let over_tls = format!("tls://{}", secure.tls_address());
    let over_https = secure.https_url("127.0.0.1");
    for server in [over_tls, over_https] {
        let asking = settings().name_servers([server]);
        let trusting = asking.clone().add_root_certificates(authority.pem());
        works(url(), trusting, &object()).await;
        fails(url(), asking, &["files.test", "certificate"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_with_equal_settings_ask_once() {
    let server = server();
    let plain = Dnsmasq::new().host("files.test", HERE, 60).start();
    let downloader = Downloader::builder().proxy_from_env(false).build();
    let downloader = downloader.expect("settings");
    let dir = tempfile::tempdir().expect("a temporary directory");
    for n in 0..3 {
        let spec = quick(&server.url_on("files.test", "/f"))
            .network(settings().dns_servers([plain.address()]))
            .output_path(dir.path().join(n.to_string()));
        ended(&downloader.download(spec)).await.expect("complete");
    }
    assert_eq!(plain.asked("files.test", "A"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_does_not_exist_fails_at_once() {
    let plain = Dnsmasq::new().missing("files.test").start();
    let began = Instant::now();
    let asking = settings().dns_servers([plain.address()]);
    let url = || "http://files.test/f".to_owned();
    fails(url(), asking, &["files.test", "no such host"]).await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert!(plain.asked("files.test", "A") <= 2, "asked once for each");
}

#[test]
fn a_name_server_that_fails_is_told_from_a_name_that_is_not_there() {
    // It brings a runtime of its own.
    let failing = Scripted::new().all(Reply::ServFail).start();
    let asking = settings().dns_servers([failing.address()]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for result in runtime.block_on(each("http://files.test/f", &asking, &object())) {
        let error = result.expect_err("no answer");
        let line = crate::network::line(&error);
        println!("{line}");
        assert_eq!(error.kind(), bytehaul::ErrorKind::Network, "{line}");
        assert!(
            line.contains("files.test") && !line.contains("no such host"),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_ipv6_nobody_asks_for_it() {
    let server = server();
    let plain = Dnsmasq::new().host("files.test", HERE, 60).start();
    let asking = settings().dns_servers([plain.address()]).enable_ipv6(false);
    works(server.url_on("files.test", "/f"), asking, &object()).await;
    assert!(plain.asked("files.test", "A") > 0);
    assert_eq!(plain.asked("files.test", "AAAA"), 0);
}
