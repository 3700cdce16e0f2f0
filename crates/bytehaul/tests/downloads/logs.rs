//! What is written down at the most talkative level, by every crate beneath: names, numbers and times, never a secret.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytehaul::{
    Auth, DownloadSpec, Downloader, HttpVersion, Netrc, Network, Refreshed, refresh_fn,
};
use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::pki::Authority;
use bytehaul_testkit::proxy::{Microsocks, Squid};
use bytehaul_testkit::{Behaviour, Effect, Object, When};
use tracing_subscriber::fmt::MakeWriter;

use crate::common::{Bed, MIB, ended, eventually, quick};

/// All that any crate says in this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listening() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let listen = || {
            let log = Self::default();
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_ansi(false)
                .with_writer(log.clone())
                .finish();
            tracing::subscriber::set_global_default(subscriber).expect("the only one");
            log
        };
        LOG.get_or_init(listen).clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Whether what there is to hear was heard, and nothing else.
    #[track_caller]
    fn tells(&self, expected: &[&str], secrets: &[&str]) {
        let text = self.text();
        for part in expected {
            assert!(text.contains(part), "nobody heard of {part}");
        }
        for secret in secrets {
            let leak = text.lines().find(|line| line.contains(secret));
            assert_eq!(leak, None, "{secret} was heard");
        }
    }
}

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

const LEN: u64 = 6 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

/// Secrets of each kind, plain and as they travel (RFC 7617).
const SECRETS: [&str; 12] = [
    "pr0xy-password",
    "bWU6cHIweHktcGFzc3dvcmQ=",
    "0123456789abcdef0123456789abcdef",
    "AKIAEXAMPLEKEY",
    "b3arer-token",
    "n3w-token",
    "c00kie",
    "cust0m-key",
    "ur1-password",
    "bWU6dXIxLXBhc3N3b3Jk",
    "n3trc-password",
    "bWU6bjN0cmMtcGFzc3dvcmQ=",
];

const QUERY: &str =
    "X-Amz-Signature=0123456789abcdef0123456789abcdef&X-Amz-Credential=AKIAEXAMPLEKEY";

fn with_secrets(spec: DownloadSpec) -> DownloadSpec {
    spec.header("Cookie", "session=c00kie")
        .header("X-Api-Key", "cust0m-key")
        .max_connections(4)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_redirects_retries_and_refreshes_are_logged_without_secrets() {
    let log = Log::listening();
    let (bed, other) = crate::redirects::elsewhere();
    let location = format!("{}?{QUERY}", other.url("/f"));
    bed.server.behave(
        "/r",
        Behaviour::new()
            .always(Effect::redirect(location))
            .when(When::Requests(0..1), Effect::status(401))
            .when(When::Requests(1..2), Effect::status(503)),
    );
    let reset = Effect::ResetAfter(MIB);
    other.behave(
        "/f",
        Behaviour::new()
            .rate(4 * MIB)
            .when(When::Requests(0..1), reset),
    );
    let proxy = Squid::new().login("me", "pr0xy-password").start();
    let network = Network::default().http_proxy(proxy.url_as("http", "me", "pr0xy-password"));
    let new = format!("{}?{QUERY}", bed.server.url("/r"));
    let refresher = refresh_fn(move |_| {
        let refreshed = Refreshed::new().url(new.clone());
        std::future::ready(Ok(refreshed.auth(Auth::bearer("n3w-token"))))
    });
    let spec = with_secrets(bed.spec_of("/r"))
        .network(network)
        .auth(Auth::bearer("b3arer-token"))
        .refresher(refresher);
    let shown = format!("{spec:?} {spec:#?}");
    bed.completes(spec, &object()).await;
    assert!(proxy.logs("/r"), "the proxy was used");
    let expected = ["asking for new credentials", "X-Amz-Signature=***"];
    log.tells(&expected, &SECRETS);
    assert_eq!(
        SECRETS.into_iter().find(|secret| shown.contains(secret)),
        None
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_both_versions_of_http_are_logged_without_secrets() {
    let log = Log::listening();
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("f.bin"), object().whole()).expect("write");
    std::fs::write(
        dir.path().join("netrc"),
        "default login me password n3trc-password",
    )
    .expect("write");
    let authority = Authority::new();
    let certificate = authority.server(&["localhost"]);
    let nginx = Nginx::serving(dir.path()).tls(&certificate).http2().start();
    let proxy = Microsocks::new().login("me", "pr0xy-password").start();
    let client = authority.client("me");
    let downloader = Downloader::builder()
        .all_proxy(proxy.url_as("socks5h", "me", "pr0xy-password"))
        .add_root_certificates(authority.pem())
        .client_certificate(client.chain_pem(), client.key_pem())
        .netrc(Netrc::File(dir.path().join("netrc")))
        .build()
        .expect("settings");
    let url = format!("{}?{QUERY}", nginx.url_on("localhost", "/files/f.bin"));
    let with_user = url.replace("https://", "https://me:ur1-password@");
    for (n, url) in [&url, &with_user].into_iter().enumerate() {
        for version in [HttpVersion::Http1, HttpVersion::Http2] {
            let target = dir.path().join(format!("{n}-{version}").replace('/', "-"));
            let spec = with_secrets(quick(url))
                .network(Network::default().http_version(version))
                .output_path(target);
            let handle = downloader.download(spec);
            assert_eq!(ended(&handle).await.expect("complete").bytes, LEN);
        }
    }
    let seen = nginx.requests();
    let told = |value: &str| {
        seen.iter()
            .any(|seen| seen.header("authorization") == Some(value))
    };
    assert!(told("Basic bWU6bjN0cmMtcGFzc3dvcmQ=") && told("Basic bWU6dXIxLXBhc3N3b3Jk"));
    let key: Vec<_> = client.key_pem().lines().skip(1).take(1).collect();
    log.tells(&["localhost", "h2", "tunnel is open"], &SECRETS);
    log.tells(&[], &key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stays_on_disk_after_a_renewal_has_no_secret() {
    let bed = Bed::new();
    let slow = Behaviour::new().total_rate(4 * MIB);
    bed.server.serve(
        "/f",
        object().behaviour(Behaviour::new().always(Effect::status(403))),
    );
    bed.server.serve("/new", object().behaviour(slow));
    let new = format!("{}?{QUERY}", bed.server.url("/new"));
    let refresher = refresh_fn(move |_| std::future::ready(Ok(Refreshed::new().url(new.clone()))));
    let mut spec = with_secrets(bed.spec()).refresher(refresher);
    spec.url = format!("{}?{QUERY}", spec.url);
    let handle = bed.start(spec);
    eventually("some bytes", || handle.progress().received > MIB).await;
    tokio::time::timeout(Duration::from_secs(5), handle.pause())
        .await
        .expect("paused");
    let control = std::fs::read(bed.control()).expect("a control file");
    let control = String::from_utf8_lossy(&control);
    assert!(control.contains("/f"), "the identity is the first URL");
    assert!(!control.contains("/new"), "and not the new one");
    let shown = format!("{control} {handle:?} {:?}", bed.downloader);
    assert_eq!(
        SECRETS.into_iter().find(|secret| shown.contains(secret)),
        None
    );
}
