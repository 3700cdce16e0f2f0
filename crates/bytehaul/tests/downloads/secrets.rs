//! The caller's secrets go to the origin that they were given for, and into no text and no file.

use std::time::Duration;

use bytehaul::{DownloadError, DownloadSpec};
use bytehaul_testkit::{Behaviour, Effect, Object, RecordedRequest};

use crate::common::{Bed, MIB, eventually};
use crate::redirects::elsewhere;

const LEN: u64 = 6 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

const SECRETS: [&str; 4] = ["s3cret-token", "c2VjcmV0", "hunter2", "session=s3cret"];

/// A download of `/r` with every kind of secret that a caller can give.
fn with_secrets(bed: &Bed) -> DownloadSpec {
    let mut spec = bed
        .spec_of("/r")
        .max_connections(4)
        .header("X-Api-Key", "s3cret-token")
        .header("Authorization", "Basic c2VjcmV0")
        .header("Cookie", "session=s3cret");
    spec.url = spec.url.replace("http://", "http://user:hunter2@");
    spec
}

fn secrets_in(requests: &[RecordedRequest]) -> Vec<String> {
    let of = |request: &RecordedRequest| {
        let fields = request.headers.iter();
        fields
            .filter(|(name, value)| {
                let named = [
                    "authorization",
                    "cookie",
                    "x-api-key",
                    "referer",
                    "proxy-authorization",
                ];
                named.contains(&name.to_lowercase().as_str())
                    || SECRETS.iter().any(|secret| value.contains(secret))
            })
            .map(|(name, value)| format!("{}: {name}: {value}", request.target))
            .collect::<Vec<_>>()
    };
    requests.iter().flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_never_go_to_another_origin() {
    let (bed, other) = elsewhere();
    bed.completes(with_secrets(&bed), &object()).await;
    let asked = bed.server.requests();
    assert_eq!(
        asked[0].header("x-api-key"),
        Some("s3cret-token"),
        "where they belong"
    );
    assert_eq!(asked[0].header("authorization"), Some("Basic c2VjcmV0"));
    assert!(other.requests().len() > 1);
    assert_eq!(secrets_in(&other.requests()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_name_of_the_same_host_is_another_origin() {
    let bed = Bed::new();
    bed.server
        .serve("/f", object().behaviour(Behaviour::new().rate(4 * MIB)));
    bed.server
        .redirect("/r", bed.server.url_on("localhost", "/f"));
    bed.completes(with_secrets(&bed), &object()).await;
    let there = bed.server.requests_for("/f");
    assert!(there.len() > 1);
    assert_eq!(secrets_in(&there), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_back_does_not_bring_them_along() {
    let (bed, other) = elsewhere();
    // There, and back to where it came from.
    bed.server
        .serve("/back", object().behaviour(Behaviour::new().rate(4 * MIB)));
    other.redirect("/f", bed.server.url("/back"));
    bed.completes(with_secrets(&bed).max_connections(1), &object())
        .await;
    assert_eq!(secrets_in(&other.requests()), Vec::<String>::new());
    assert_eq!(
        secrets_in(&bed.server.requests_for("/back")[..1]),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_the_origin_they_stay() {
    let bed = Bed::new();
    bed.server
        .serve("/f", object().behaviour(Behaviour::new().rate(4 * MIB)));
    bed.server.redirect("/r", "/f");
    bed.completes(with_secrets(&bed), &object()).await;
    for request in bed.server.requests() {
        assert_eq!(
            request.header("x-api-key"),
            Some("s3cret-token"),
            "{request:?}"
        );
        assert_eq!(request.header("authorization"), Some("Basic c2VjcmV0"));
        assert_eq!(request.header("referer"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_the_url_are_sent_as_a_header_to_its_origin_alone() {
    let (bed, other) = elsewhere();
    let mut spec = bed.spec_of("/r").max_connections(4);
    spec.url = spec.url.replace("http://", "http://user:hunter2@");
    bed.completes(spec, &object()).await;
    // `user:hunter2` in base64 (RFC 7617).
    assert_eq!(
        bed.server.requests()[0].header("authorization"),
        Some("Basic dXNlcjpodW50ZXIy")
    );
    assert!(
        other
            .requests()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

/// Every text that a download gives away, at every end that it can have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_in_no_text_and_in_no_file() {
    let signature = "0123456789abcdef".repeat(4);
    let query = format!(
        "X-Amz-Signature={signature}&X-Amz-Credential=AKIAEXAMPLEKEY&token=s3cret-token-of-some-length"
    );
    let secrets = [
        signature.as_str(),
        "AKIAEXAMPLEKEY",
        "s3cret-token",
        "hunter2",
        "c2VjcmV0",
        "session=s3cret",
    ];
    let clean = |what: &str, text: &str| {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {what}: {text}");
        }
    };
    let (bed, other) = elsewhere();
    let spec = || {
        let mut spec = with_secrets(&bed).max_retries(1);
        spec.url = format!("{}?{query}#{signature}", spec.url);
        spec
    };
    bed.server
        .redirect("/r", format!("{}?{query}", other.url("/f")));
    clean("the spec", &format!("{:?}", spec()));
    other.behave("/f", Behaviour::new().total_rate(8 * MIB));
    let handle = bed.start(spec());
    eventually("some bytes", || other.bytes_sent() > MIB).await;
    handle.pause().await;
    bed.is_kept();
    let control = std::fs::read(bed.control()).expect("read");
    clean("the control file", &String::from_utf8_lossy(&control));
    clean("the handle", &format!("{handle:?} {:?}", handle.progress()));
    clean("the downloader", &format!("{:?}", bed.downloader));
    for effect in [
        Effect::from(Effect::status(403)),
        Effect::status(503).into(),
        Effect::ResetAfter(0),
        Effect::Gzip,
        Effect::Raw(b"x".to_vec()),
    ] {
        other.behave("/f", Behaviour::new().always(effect));
        let error = bed.fetch(spec()).await.expect_err("no");
        clean("an error", &chain(&error));
    }
    other.behave("/f", Behaviour::new());
    let outcome = bed.completes(spec(), &object()).await;
    clean("the outcome", &format!("{outcome:?} {}", outcome.url));
    for url in [
        format!("ftp://user:hunter2@h/?{query}"),
        format!("http://user:hunter2@[bad/?{query}"),
        format!("user:hunter2@h?{query}"),
    ] {
        let error = bed
            .fetch(DownloadSpec::new(url))
            .await
            .expect_err("no URL to download");
        clean("an error about the URL", &chain(&error));
    }
    let mut nobody = spec().connect_timeout(Duration::from_secs(2));
    nobody.url = nobody
        .url
        .replace(&format!(":{}/", bed.server.port()), ":1/");
    nobody.output_path = Some(bed.path("nobody"));
    clean(
        "an error of the network",
        &chain(&bed.fetch(nobody).await.expect_err("nobody there")),
    );
}

/// All that can be printed of an error and of what caused it.
fn chain(error: &DownloadError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(" / {error} {error:?}");
        cause = error.source();
    }
    text
}
