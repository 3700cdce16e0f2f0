//! What a listener of the debug log hears of a download with secrets everywhere: enough to follow it, and none of them.

use std::sync::{Arc, Mutex};

use bytehaul::debug_log::{LogRecord, set_debug_log_listener};
use bytehaul::{DownloadSpec, Network};
use bytehaul_testkit::proxy::Tinyproxy;
use bytehaul_testkit::{Behaviour, Effect, Object, When};

use crate::common::{Bed, MIB};

const SECRETS: [&str; 6] = [
    "listened-signature",
    "listened-token",
    "listened-password",
    "listened-cookie",
    "listened-proxy",
    "listened-mirror",
];

/// Records of this test alone: others may run in this process.
fn listen() -> Arc<Mutex<Vec<String>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&heard);
    set_debug_log_listener(Some(Arc::new(move |record: &LogRecord| {
        to.lock().expect("no panic").push(format!("{record:?}"));
    })));
    heard
}

fn with_secrets(bed: &Bed, object: &Object) -> DownloadSpec {
    let signed = |path: &str, secret: &str| bed.server.url(path) + "?X-Amz-Signature=" + secret;
    let behaviour = Behaviour::new()
        .when(When::Requests(0..1), Effect::status(503))
        .when(When::Requests(2..3), Effect::ResetAfter(MIB / 2));
    let mirror = format!("<{}>; rel=duplicate", signed("/f", "listened-mirror"));
    let named = object.clone().header("Link", mirror).behaviour(behaviour);
    bed.server.serve("/f", named);
    bed.server
        .redirect("/r", signed("/f", "listened-signature"));
    let mut spec = bed
        .spec_of("/r")
        .max_connections(4)
        .header("Authorization", "Bearer listened-token")
        .header("Cookie", "a=listened-cookie");
    spec.url =
        signed("/r", "listened-signature").replace("http://", "http://user:listened-password@");
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_heard_over_a_proxy_a_redirect_and_retries() {
    let object = Object::random(1, 4 * MIB);
    let bed = Bed::new();
    let heard = listen();
    let proxy = Tinyproxy::new().login("u", "listened-proxy").start();
    let through = |port: &str| Network::default().all_proxy(port.to_owned());
    let mut spec = with_secrets(&bed, &object);
    spec.network = through(&proxy.url_as("http", "u", "listened-proxy"));
    bed.completes(spec.clone(), &object).await;
    // And what is said when everything fails.
    std::fs::remove_file(bed.target()).expect("published");
    let wrong = proxy.url_as("http", "u", "listened-password");
    for network in [
        through(&wrong),
        through("http://u:listened-proxy@127.0.0.1:9"),
    ] {
        let mut failing = spec.clone().max_retries(1);
        failing.network = network;
        bed.fetch(failing).await.expect_err("no way out");
    }
    set_debug_log_listener(None);
    let heard = std::mem::take(&mut *heard.lock().expect("no panic"));
    let all = heard.join("\n");
    for expected in ["bytehaul::session", "bytehaul_transport", "503"] {
        assert!(all.contains(expected), "{expected} is not in\n{all}");
    }
    for secret in SECRETS {
        let leak = heard.iter().find(|record| record.contains(secret));
        assert_eq!(leak, None, "{secret}");
    }
    bed.completes(spec, &object).await;
    assert!(!heard.is_empty());
}
