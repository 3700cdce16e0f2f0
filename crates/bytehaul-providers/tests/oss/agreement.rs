//! The signer of OSS beside Alibaba's own, request by request and byte by byte.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use bytehaul_providers::Url;
use bytehaul_providers::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytehaul_providers::oss::OssCredentials;
use bytehaul_providers::oss::sign::{Request, Resource, presign, sign};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// A request as both signers get it: what it is of, not how it is written.
#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    endpoint: &'static str,
    bucket: Option<String>,
    key: Option<String>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    additional: Vec<String>,
    region: &'static str,
    token: Option<String>,
    now: u64,
    life: u64,
}

/// Keys as they should not be: any characters, empty segments, as long as may be.
fn key() -> impl Strategy<Value = String> {
    let odd = prop_oneof![
        "[a-zA-Z0-9]{1,12}",
        "[ -~]{1,20}",
        "\\PC{1,20}",
        Just("a b+c//d%2Fe%".to_owned()),
        Just("/lead//and/trail/".to_owned()),
        Just("ünï/日本語/😀".to_owned()),
        Just("k".repeat(1023)),
        Just("k".repeat(1024)),
    ];
    // A URL cannot hold them, see `Oss::new`.
    odd.prop_filter("no dots alone", |key| {
        !key.split('/').any(|segment| matches!(segment, "." | ".."))
    })
}

fn query() -> impl Strategy<Value = Vec<(String, String)>> {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    prop_oneof![
        Just(Vec::new()),
        Just(vec![pair("uploads", String::new())]),
        (1..=10_000_u32, "[ -~]{1,40}")
            .prop_map(move |(n, id)| vec![pair("partNumber", n.to_string()), pair("uploadId", id)]),
        "\\PC{1,12}".prop_map(move |text| vec![pair("prefix", text), pair("~Z a+b", "Z".into())]),
    ]
}

fn resource() -> impl Strategy<Value = (Option<String>, Option<String>)> {
    let bucket = || "[a-z0-9][a-z0-9-]{1,20}[a-z0-9]";
    prop_oneof![
        8 => (bucket(), key()).prop_map(|(bucket, key)| (Some(bucket), Some(key))),
        1 => bucket().prop_map(|bucket| (Some(bucket), None)),
        1 => Just((None, None)),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let header = prop_oneof![
        ("x-oss-meta-[a-z]{1,6}", "[!-~]([ -~]{0,20}[!-~])?"),
        (Just("content-type".to_owned()), "[a-z]{1,5}/[a-z]{1,5}"),
        (Just("content-md5".to_owned()), "[A-Za-z0-9+/]{22}=="),
        (Just("range".to_owned()), "bytes=[0-9]{1,3}-"),
        (Just("host".to_owned()), "[a-z]{1,9}"),
        (Just("user-agent".to_owned()), "[a-z]{1,9}"),
    ];
    let headers = prop::collection::vec(header, 0..5).prop_map(|mut headers| {
        headers.sort();
        headers.dedup_by(|a, b| a.0 == b.0);
        headers
    });
    let names = vec!["range", "host-is-not", "content-type", "user-agent"];
    (
        (
            prop::sample::select(vec!["GET", "PUT", "POST", "DELETE", "HEAD"]),
            prop::sample::select(vec![
                "https://bucket.oss-cn-hangzhou.aliyuncs.com/",
                "http://127.0.0.1:9000/bucket/",
                "https://files.test:8443/",
            ]),
            resource(),
            query(),
            headers,
            prop::sample::subsequence(names, 0..=4),
        ),
        (
            prop::sample::select(vec!["cn-hangzhou", "ap-southeast-1", "us-east-1"]),
            prop::option::of("[A-Za-z0-9+/=]{1,60}"),
            0..4_000_000_000_u64,
            1..=604_800_u64,
        ),
    )
        .prop_map(|(what, how)| {
            let (method, endpoint, (bucket, key), query, headers, additional) = what;
            let (region, token, now, life) = how;
            let mut additional: Vec<String> = additional.into_iter().map(str::to_owned).collect();
            if headers.iter().any(|(name, _)| name == "host") {
                additional.push("host".to_owned());
            }
            Asked {
                method,
                endpoint,
                bucket,
                key,
                query,
                headers,
                additional,
                region,
                token,
                now,
                life,
            }
        })
}

impl Asked {
    fn json(&self) -> Value {
        json!({
            "method": self.method,
            "endpoint": self.endpoint,
            "bucket": self.bucket,
            "key": self.key,
            "query": self.query,
            "headers": self.headers,
            "additional": self.additional,
            "region": self.region,
            "token": self.token,
            "now": self.now,
            "life": self.life,
        })
    }

    fn resource(&self) -> Resource<'_> {
        match (&self.bucket, &self.key) {
            (Some(bucket), Some(key)) => Resource::object(bucket, key),
            (Some(bucket), None) => Resource::bucket(bucket),
            (None, _) => Resource::service(),
        }
    }

    /// The same by ours, for the URL that the other one has made.
    fn signed(&self, url: &str) -> Value {
        let url = Url::parse(url).unwrap();
        let method: Method = self.method.parse().unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let mut credentials = OssCredentials::new("LTAItest", "secrettest/secret+test");
        if let Some(token) = &self.token {
            credentials = credentials.security_token(token.as_str());
        }
        let now = UNIX_EPOCH + Duration::from_secs(self.now);
        let additional: Vec<&str> = self.additional.iter().map(String::as_str).collect();
        let request = Request::new(&method, &url, &headers, self.resource());
        let request = request.additional(&additional);
        let added = sign(request, &credentials, self.region, now).unwrap();
        let text = |name: &str| {
            let value = added.get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let names = [
            "authorization",
            "x-oss-content-sha256",
            "x-oss-date",
            "x-oss-security-token",
        ];
        let fields: serde_json::Map<_, _> = names
            .iter()
            .map(|name| ((*name).to_owned(), json!(text(name))))
            .collect();
        let life = Duration::from_secs(self.life);
        let presigned = presign(request, &credentials, self.region, now, life).unwrap();
        json!({"url": url.as_str(), "fields": fields, "presigned": presigned.as_str()})
    }
}

/// Four thousand requests, each signed in its fields and in its URL.
#[test]
fn signs_like_the_sdk() {
    let Some(mut python) = bytehaul_testkit::uploads::python() else {
        return;
    };
    let mut runner = TestRunner::deterministic();
    let all: Vec<Asked> = (0..4000)
        .map(|_| asked().new_tree(&mut runner).unwrap().current())
        .collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oss/signer.py");
    let mut python = python
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let lines: Vec<u8> = all
        .iter()
        .flat_map(|asked| format!("{}\n", asked.json()).into_bytes())
        .collect();
    let writer = std::thread::spawn(move || stdin.write_all(&lines));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let theirs: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(theirs.len(), all.len());
    for (asked, theirs) in all.iter().zip(theirs) {
        let url = theirs["url"].as_str().unwrap();
        assert_eq!(asked.signed(url), theirs, "{asked:?}");
    }
    println!("{} requests, each signed twice", all.len());
}
