//! S3 beside Amazon's own SDK: the signer request by request and byte by byte, and both of them at real servers.
#![cfg(feature = "s3")]

mod client;
mod live;

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use bytehaul_providers::Url;
use bytehaul_providers::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytehaul_providers::s3::sign::{PayloadHash, Request, presign, sign};
use bytehaul_providers::s3::{Operation, S3, S3Config, S3Credentials};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// A request as both signers get it: what it is of, not how it is written.
#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    endpoint: String,
    key: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: String,
    signs_payload: bool,
    region: &'static str,
    token: Option<String>,
    now: u64,
    life: u64,
}

/// Keys as they should not be: any characters, empty segments, up to 1,024 bytes.
fn key() -> impl Strategy<Value = String> {
    let odd = prop_oneof![
        "[a-zA-Z0-9]{1,12}",
        "[ -~]{1,20}",
        "\\PC{1,20}",
        Just("a b+c//d%2Fe%".to_owned()),
        Just("/lead//and/trail/".to_owned()),
        Just("ünï/日本語/😀".to_owned()),
        Just("k".repeat(1024)),
    ];
    // A URL cannot hold them, see `S3::new`.
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
        "\\PC{1,12}".prop_map(move |text| vec![pair("prefix", text), pair("x-id", "Z".into())]),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let header = prop_oneof![
        ("x-amz-meta-[a-z]{1,6}", "[!-~]([ -~]{0,20}[!-~])?"),
        (Just("content-type".to_owned()), "[a-z]{1,5}/[a-z]{1,5}"),
        (Just("content-md5".to_owned()), "[A-Za-z0-9+/]{22}=="),
        (Just("range".to_owned()), "bytes=[0-9]{1,3}-"),
        (Just("user-agent".to_owned()), "[a-z]{1,9}"),
    ];
    let headers = prop::collection::vec(header, 0..4).prop_map(|mut headers| {
        headers.sort();
        headers.dedup_by(|a, b| a.0 == b.0);
        headers
    });
    let endpoint = prop_oneof![
        Just("https://bucket.s3.eu-west-1.amazonaws.com".to_owned()),
        Just("https://s3.eu-west-1.amazonaws.com/bucket".to_owned()),
        Just(OWN.to_owned()),
        Just("http://minio.test:80/bucket".to_owned()),
        Just("https://minio.test:8443".to_owned()),
    ];
    (
        (
            prop::sample::select(vec!["GET", "PUT", "POST", "DELETE", "HEAD"]),
            endpoint,
            key(),
            query(),
            headers,
            "[ -~]{0,30}",
        ),
        (
            any::<bool>(),
            prop::sample::select(vec!["us-east-1", "eu-west-1", "auto", "garage"]),
            prop::option::of("[A-Za-z0-9+/=]{1,60}"),
            0..4_000_000_000_u64,
            1..604_800_u64,
        ),
    )
        .prop_map(|(what, how)| {
            let (method, endpoint, key, query, headers, body) = what;
            let (signs_payload, region, token, now, life) = how;
            Asked {
                method,
                endpoint,
                key,
                query,
                headers,
                body,
                signs_payload,
                region,
                token,
                now,
                life,
            }
        })
}

impl Asked {
    fn path(&self) -> String {
        format!("/{}", self.key)
    }

    fn json(&self) -> Value {
        json!({
            "method": self.method,
            "endpoint": self.endpoint,
            "path": self.path(),
            "query": self.query,
            "headers": self.headers,
            "body": self.body,
            "signs_payload": self.signs_payload,
            "region": self.region,
            "token": self.token,
            "now": self.now,
            "life": self.life,
        })
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
        let mut credentials = S3Credentials::new("AKIDTEST", "secrettest/secret+test");
        if let Some(token) = &self.token {
            credentials = credentials.session_token(token.as_str());
        }
        let now = UNIX_EPOCH + Duration::from_secs(self.now);
        let payload = match self.signs_payload {
            true => PayloadHash::of(self.body.as_bytes()),
            false => PayloadHash::Unsigned,
        };
        let request = Request::new(&method, &url, &headers);
        let added = sign(request.payload(payload), &credentials, self.region, now).unwrap();
        let text = |name: &str| {
            added
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let names = [
            "authorization",
            "x-amz-content-sha256",
            "x-amz-date",
            "x-amz-security-token",
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

const OWN: &str = "http://127.0.0.1:9000/bucket";

/// Four thousand requests, each signed in its fields and in its URL.
#[test]
fn signs_like_botocore() {
    let Some(mut python) = bytehaul_testkit::uploads::python() else {
        return;
    };
    let mut runner = TestRunner::deterministic();
    let all: Vec<Asked> = (0..4000)
        .map(|_| asked().new_tree(&mut runner).unwrap().current())
        .collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/s3/signer.py");
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
        let url = theirs["url"].as_str().unwrap().to_owned();
        // What the URL type writes otherwise, such as a port that is that of the scheme, is compared as it writes it.
        let mut theirs = theirs;
        for field in ["url", "presigned"] {
            let text = theirs[field].as_str().unwrap();
            theirs[field] = Url::parse(text).unwrap().as_str().into();
        }
        assert_eq!(asked.signed(&url), theirs, "{asked:?}");
        // And the name of the object becomes the same path.
        if asked.endpoint == OWN && !asked.key.is_empty() {
            let config = S3Config::new(S3Credentials::new("AK", "s"));
            let config = config.endpoint("http://127.0.0.1:9000".parse().unwrap());
            let object = S3::new(&format!("s3://bucket/{}", asked.key), config).unwrap();
            let keys = S3Credentials::new("AK", "s");
            let life = Duration::from_secs(1);
            let ours = object
                .presign(&Operation::Get, &keys, UNIX_EPOCH, life)
                .unwrap();
            assert_eq!(ours.path(), Url::parse(&url).unwrap().path());
        }
    }
    println!("{} requests, each signed twice", all.len());
}
