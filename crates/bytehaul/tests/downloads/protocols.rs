//! Downloads whose every request a protocol makes: signed for its range, renewed, planned by a back end.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytehaul::protocol::{
    Answer, DownloadPlan, DownloadProtocol, PresignedDownload, ProtocolError, ProtocolErrorKind,
    RangeRequest, Url, Wanted, http,
};
use bytehaul::{DownloadError, DownloadSpec, SafeUrl};
use bytehaul_testkit::{Behaviour, Effect, Object, When};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{Bed, MIB, quick, received};

const LEN: u64 = 24 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

/// The spec of a protocol, with retries that do not wait long.
fn spec(bed: &Bed, protocol: impl DownloadProtocol + 'static) -> DownloadSpec {
    let url = protocol.target();
    quick(&url).output_path(bed.target()).protocol(protocol)
}

/// A server that takes a token for the range that it was made for and for no other, with a key that changes.
struct Signing {
    address: std::net::SocketAddr,
    key: AtomicU64,
    bytes: Vec<u8>,
    /// Tokens that were taken.
    taken: Mutex<Vec<String>>,
    refused: AtomicUsize,
    /// How it refuses the others.
    status: AtomicUsize,
}

impl Signing {
    async fn start(bytes: Vec<u8>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let server = Arc::new(Self {
            address: listener.local_addr().expect("bound"),
            key: AtomicU64::new(1),
            bytes,
            taken: Mutex::default(),
            refused: AtomicUsize::new(0),
            status: AtomicUsize::new(403),
        });
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&serving);
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        server
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).expect("text").to_lowercase();
        let target = head.split(' ').nth(1).expect("a target");
        let token = target.split_once("token=").map_or("", |(_, token)| token);
        let range = head
            .split_once("range: bytes=")
            .map(|(_, rest)| rest.split("\r\n").next());
        let range = range.flatten().unwrap_or("all").to_owned();
        if token != format!("{}.{range}", self.key.load(Ordering::SeqCst)) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            let status = self.status.load(Ordering::SeqCst);
            let refusal = format!(
                "HTTP/1.1 {status} No\r\ncontent-length: 7\r\nconnection: close\r\n\r\nexpired"
            );
            return stream.write_all(refusal.as_bytes()).await;
        }
        self.taken.lock().unwrap().push(range.clone());
        let (start, end) = range.split_once('-').expect("a range");
        let start: usize = start.parse().expect("a number");
        let end = end.parse().map_or(self.bytes.len(), |end: usize| {
            (end + 1).min(self.bytes.len())
        });
        let answer = format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {start}-{}/{}\r\ncontent-length: {}\r\netag: \"v\"\r\nconnection: close\r\n\r\n",
            end - 1,
            self.bytes.len(),
            end - start
        );
        stream.write_all(answer.as_bytes()).await?;
        // Slowly enough for several connections to share the work.
        for piece in self.bytes[start..end].chunks(256 * 1024) {
            stream.write_all(piece).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

/// Signs each range with a key that it may get anew.
#[derive(Clone, Debug)]
struct Signer {
    url: Url,
    key: u64,
    total: u64,
    renewed_to: Option<u64>,
}

impl Signer {
    fn of(server: &Signing) -> Self {
        Self {
            url: format!("http://{}/f", server.address)
                .parse()
                .expect("a URL"),
            key: server.key.load(Ordering::SeqCst),
            total: server.bytes.len() as u64,
            renewed_to: None,
        }
    }
}

impl DownloadProtocol for Signer {
    fn name(&self) -> &str {
        "signer"
    }

    fn target(&self) -> String {
        self.url.to_string()
    }

    fn total_size(&self) -> Option<u64> {
        Some(self.total)
    }

    fn request(&self, wanted: &Wanted, _: SystemTime) -> Result<RangeRequest, ProtocolError> {
        let range = match wanted {
            Wanted::Whole => "all".into(),
            Wanted::From(start) => format!("{start}-"),
            Wanted::Span(span) => format!("{}-{}", span.start, span.end - 1),
        };
        let mut url = self.url.clone();
        url.set_query(Some(&format!("token={}.{range}", self.key)));
        Ok(RangeRequest::new(url, http::HeaderMap::new()))
    }

    fn is_refused(&self, answer: &Answer<'_>) -> bool {
        &answer.body[..] == b"expired"
    }

    fn refresh(&self) -> Option<bytehaul::protocol::Refreshing<'_>> {
        let key = self.renewed_to?;
        let mut newer = self.clone();
        (newer.key, newer.renewed_to) = (key, None);
        Some(Box::pin(async move {
            let newer: Arc<dyn DownloadProtocol> = Arc::new(newer);
            Ok(newer)
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_range_is_asked_for_with_a_signature_of_its_own() {
    let bed = Bed::new();
    let server = Signing::start(object().whole()).await;
    let spec = spec(&bed, Signer::of(&server)).max_connections(4);
    bed.completes(spec, &object()).await;
    let taken = server.taken.lock().unwrap();
    let different: HashSet<_> = taken.iter().collect();
    assert!(different.len() > 2, "{taken:?}");
    assert_eq!(server.refused.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_changes_midway_is_renewed_and_another_run_has_its_own() {
    let bed = Bed::new();
    let server = Signing::start(object().whole()).await;
    let signer = Signer {
        renewed_to: Some(2),
        ..Signer::of(&server)
    };
    let handle = bed.start(spec(&bed, signer).max_connections(4));
    received(&handle, MIB).await;
    server.key.store(2, Ordering::SeqCst);
    received(&handle, 12 * MIB).await;
    handle.pause().await;
    bed.is_kept();
    server.key.store(3, Ordering::SeqCst);
    let outcome = bed
        .completes(spec(&bed, Signer::of(&server)), &object())
        .await;
    assert!(outcome.resumed_from >= MIB, "{outcome:?}");
}

/// Amazon says with 400 that a token has expired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_by_another_status_is_the_protocols_to_tell() {
    let bed = Bed::new();
    let server = Signing::start(object().whole()).await;
    server.status.store(400, Ordering::SeqCst);
    let signer = Signer {
        renewed_to: Some(2),
        ..Signer::of(&server)
    };
    server.key.store(2, Ordering::SeqCst);
    bed.completes(spec(&bed, signer), &object()).await;
    assert!(server.refused.load(Ordering::SeqCst) > 0);
}

fn plan(bed: &Bed, path: &str) -> DownloadPlan {
    let plan = DownloadPlan::new(bed.server.url(path)).total_size(LEN);
    plan.range_header("x-signed", "yes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_expires_midway_is_renewed_once() {
    let bed = Bed::new();
    let expires = Behaviour::new()
        .rate(4 * MIB)
        .when(When::From(3), Effect::status(403).body("expired"));
    bed.server.serve("/f", object().behaviour(expires));
    bed.server.serve("/new", object());
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, newer) = (Arc::clone(&asked), plan(&bed, "/new?X-Amz-Signature=b"));
    let old = plan(&bed, "/f?X-Amz-Signature=a");
    let protocol = PresignedDownload::new(old).unwrap().refresher(move || {
        count.fetch_add(1, Ordering::SeqCst);
        let newer = newer.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(newer)
        }
    });
    let outcome = bed
        .completes(spec(&bed, protocol).max_connections(8), &object())
        .await;
    assert_eq!((asked.load(Ordering::SeqCst), outcome.restarts), (1, 0));
    assert!(bed.server.count("/new") > 0);
    let requests = bed.server.requests();
    let signed =
        |request: &&bytehaul_testkit::RecordedRequest| request.header("x-signed") == Some("yes");
    assert_eq!(requests.iter().filter(signed).count(), requests.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_expired_before_it_began_is_renewed_first() {
    let bed = Bed::serving(&object());
    bed.server.serve("/old", object());
    let newer = plan(&bed, "/f");
    let old = plan(&bed, "/old").expires_at(SystemTime::UNIX_EPOCH);
    let protocol = PresignedDownload::new(old)
        .unwrap()
        .refresher(move || std::future::ready(Ok(newer.clone())));
    bed.completes(spec(&bed, protocol), &object()).await;
    assert_eq!(bed.server.count("/old"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_length_is_the_planned_one() {
    let bed = Bed::serving(&object());
    let short = DownloadPlan::new(bed.server.url("/f")).total_size(LEN - 1);
    let protocol = || PresignedDownload::new(short.clone()).unwrap();
    let error = bed
        .fetch(spec(&bed, protocol()))
        .await
        .expect_err("another length");
    assert!(
        matches!(error, DownloadError::SizeMismatch { expected, actual, .. } if (expected, actual) == (LEN - 1, LEN))
    );
    let told = spec(&bed, protocol()).expected_size(LEN);
    let error = bed.fetch(told).await.expect_err("two lengths");
    assert_eq!(error.code(), 102);

    // Nor may it change when the plan is renewed.
    let refusing = Behaviour::new().always(Effect::status(403));
    bed.server.serve("/old", object().behaviour(refusing));
    let protocol = PresignedDownload::new(plan(&bed, "/old"))
        .unwrap()
        .refresher(move || std::future::ready(Ok(short.clone())));
    let error = bed
        .fetch(spec(&bed, protocol))
        .await
        .expect_err("another length");
    assert_eq!(error.code(), 129, "{error:?}");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert_eq!(
        cause,
        format!("the renewed plan is of {} bytes instead of {LEN}", LEN - 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_run_goes_on_with_another_signature() {
    let bed = Bed::serving(&object());
    let signed = |signature: &str| {
        let plan = plan(
            &bed,
            &format!("/f?X-Amz-Date=20260131T123456Z&X-Amz-Signature={signature}"),
        );
        DownloadSpec::with_protocol(PresignedDownload::new(plan).unwrap())
            .output_path(bed.target())
            .min_split_size(MIB)
    };
    let left = bed.paused_at(signed("a"), 4 * MIB, 8 * MIB).await;
    let outcome = bed.completes(signed("b"), &object()).await;
    assert!(outcome.resumed_from > 0 && outcome.resumed_from <= left);
    assert!(!format!("{:?} {outcome:?}", signed("secret")).contains("secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_redirect_led_is_good_for_one_request() {
    let bed = Bed::serving(&object());
    bed.server.redirect("/signed", "/f");
    let protocol = PresignedDownload::new(plan(&bed, "/signed")).unwrap();
    bed.completes(spec(&bed, protocol).max_connections(4), &object())
        .await;
    assert!(bed.server.count("/f") > 1);
    assert_eq!(bed.server.count("/signed"), bed.server.count("/f"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tasks_own_fields_go_along_and_the_protocols_win() {
    let bed = Bed::serving(&object());
    let protocol = PresignedDownload::new(plan(&bed, "/f")).unwrap();
    let spec = spec(&bed, protocol)
        .header("Accept", "text/html")
        .accept("application/octet-stream")
        .header("x-signed", "no")
        .header("x-mine", "1");
    bed.completes(spec, &object()).await;
    for request in bed.server.requests() {
        let fields = ["accept", "x-signed", "x-mine"].map(|name| request.header(name));
        assert_eq!(
            fields,
            [Some("application/octet-stream"), Some("yes"), Some("1")]
        );
    }
}

/// A protocol whose requests go to another origin than its target, or cannot be made.
#[derive(Debug)]
struct Elsewhere(Url, Result<Url, ProtocolErrorKind>);

impl DownloadProtocol for Elsewhere {
    fn name(&self) -> &str {
        "elsewhere"
    }

    fn target(&self) -> String {
        self.0.to_string()
    }

    fn request(&self, _: &Wanted, _: SystemTime) -> Result<RangeRequest, ProtocolError> {
        match &self.1 {
            Ok(url) => Ok(RangeRequest::new(url.clone(), http::HeaderMap::new())),
            Err(kind) => Err(ProtocolError::new(*kind, "no credentials")),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tasks_own_fields_go_to_no_other_origin() {
    let bed = Bed::serving(&object());
    let target: Url = bed.server.url_on("localhost", "/name").parse().unwrap();
    let there = bed.server.url("/f").parse().unwrap();
    let spec = spec(&bed, Elsewhere(target, Ok(there))).header("x-mine", "1");
    let outcome = bed.completes(spec, &object()).await;
    assert_eq!(
        SafeUrl::to_string(&outcome.url),
        bed.server.url_on("localhost", "/name")
    );
    let requests = bed.server.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.header("x-mine").is_none())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_asked_for_ends_the_download() {
    let bed = Bed::serving(&object());
    for (kind, code) in [
        (ProtocolErrorKind::Refresh, 129),
        (ProtocolErrorKind::Parameter, 102),
    ] {
        let target = bed.server.url("/f").parse().unwrap();
        let error = bed.fetch(spec(&bed, Elsewhere(target, Err(kind)))).await;
        assert_eq!(error.expect_err("nothing to ask").code(), code);
    }
    assert_eq!(bed.server.requests().len(), 0);
}
