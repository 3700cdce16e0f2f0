//! Thousands of requests that the official SDK signs too, byte for byte.

use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul_providers::azure::sign::{Sas, SharedKey, VERSION};
use bytehaul_providers::azure::{Azure, AzureConfig, AzureCredentials};
use bytehaul_providers::http::{HeaderMap, HeaderName, Method};
use bytehaul_providers::{Algorithm, Digest, Url};
use serde_json::{Value, json};

use crate::dice::Dice;

/// What the SDK says to each question; `None` where it is not installed.
fn sdk(questions: &[Value]) -> Option<Vec<String>> {
    let mut python = bytehaul_testkit::uploads::python()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azure/signer.py");
    python
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = python.spawn().unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let lines: String = questions.iter().map(|one| format!("{one}\n")).collect();
    let asking = thread::spawn(move || to.write_all(lines.as_bytes()).unwrap());
    let mut said = String::new();
    from.read_to_string(&mut said).unwrap();
    asking.join().unwrap();
    assert!(child.wait().unwrap().success());
    let answers: Vec<String> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), questions.len());
    Some(answers)
}

fn account(dice: &mut Dice) -> (String, String) {
    let name = dice.word("abcxyz0189", 20);
    let secret: Vec<u8> = (0..1 + dice.roll(64))
        .map(|_| u8::try_from(dice.roll(256)).unwrap())
        .collect();
    (name, base64(&secret))
}

fn base64(bytes: &[u8]) -> String {
    // The longest digest is as long as a key of Azure.
    let mut padded = bytes.to_vec();
    padded.resize(64, 7);
    Digest::from_bytes(Algorithm::Sha512, &padded)
        .unwrap()
        .base64()
}

fn at(dice: &mut Dice) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(dice.roll(4_000_000_000) as u64)
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(
            |byte| match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                true => char::from(byte).to_string(),
                false => format!("%{byte:02X}"),
            },
        )
        .collect()
}

#[test]
fn shared_key_signs_as_the_sdk_does() {
    let mut dice = Dice(1);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..REQUESTS {
        let (account, key) = account(&mut dice);
        let path: Vec<_> = dice.blob().split('/').map(percent_encoded).collect();
        let host = dice.pick(&[
            "https://acct.blob.core.windows.net",
            "http://127.0.0.1:10000/acct",
        ]);
        let mut url = format!("{host}/{}/{}", dice.word("abc-", 10), path.join("/"));
        let names = [
            "blockid", "comp", "restype", "timeout", "snapshot", "prefix", "marker",
        ];
        let count = dice.roll(names.len());
        for (at, name) in names.iter().take(count).enumerate() {
            let value = percent_encoded(&dice.word("ab+/=% ü&", 20));
            url.push_str(&format!(
                "{}{name}={value}",
                if at == 0 { "?" } else { "&" }
            ));
        }
        let url = Url::parse(&url).unwrap();
        let method = dice.pick(&[Method::PUT.as_str(), "GET", "HEAD", "DELETE"]);
        let mut fields = HeaderMap::new();
        for name in FIELDS {
            if dice.roll(3) == 0 {
                let value = dice.word("abAB019=/+*\",; .-", 30);
                let value = format!("x{value}x");
                fields.insert(HeaderName::from_static(name), value.parse().unwrap());
            }
        }
        for _ in 0..dice.roll(6) {
            let name = format!("x-ms-meta-{}", dice.word("ab_01-", 4));
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            fields.insert(name, dice.word("xyz", 5).parse().unwrap());
        }
        let len = dice.roll(3) as u64 * 12345;
        let signer = SharedKey::new(&*account, &*key).unwrap();
        signer.sign(
            &method.parse().unwrap(),
            &url,
            &mut fields,
            len,
            at(&mut dice),
        );
        let authorization = fields.remove("authorization").unwrap();
        ours.push(authorization.to_str().unwrap().to_owned());
        fields.insert("content-length", len.into());
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        questions.push(json!({"ask": "shared_key", "account": account, "key": key, "method": method, "url": url.as_str(), "fields": fields}));
    }
    let Some(theirs) = sdk(&questions) else {
        return;
    };
    for ((ours, theirs), question) in ours.iter().zip(&theirs).zip(&questions) {
        assert_eq!(ours, theirs, "{question}");
    }
}

#[test]
fn service_sas_is_that_of_the_sdk() {
    let mut dice = Dice(2);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..REQUESTS / 2 {
        let (account, key) = account(&mut dice);
        let container = dice.word("abc-", 10);
        let blob = (dice.roll(4) > 0).then(|| dice.blob());
        let letters = dice.pick(&["r", "cw", "racwd", "rl"]);
        let mut sas = Sas::new(letters, at(&mut dice));
        let mut maybe = |alphabet: &str| (dice.roll(3) == 0).then(|| dice.word(alphabet, 12));
        sas.identifier = maybe("abc");
        sas.ip = maybe("123.-");
        sas.cache_control = maybe("ab-=, ");
        sas.content_disposition = maybe("ab;=\"ü ");
        sas.content_encoding = maybe("gzip");
        sas.content_language = maybe("de-, ");
        sas.content_type = maybe("a/b;= +");
        if dice.roll(2) == 0 {
            sas.starts = Some(at(&mut dice));
        }
        if dice.roll(2) == 0 {
            sas = sas.over_http();
        }
        let signer = SharedKey::new(&*account, &*key).unwrap();
        let query = signer.sas(&container, blob.as_deref(), &sas);
        ours.push(query.expose().to_owned());
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs();
        questions.push(json!({
            "ask": "sas", "account": account, "key": key, "version": VERSION, "container": container, "blob": blob,
            "permissions": sas.permissions, "starts": sas.starts.map(seconds), "expires": seconds(sas.expires),
            "protocol": if sas.https_only { "https" } else { "https,http" },
            "more": {
                "policy_id": sas.identifier, "ip": sas.ip, "cache_control": sas.cache_control,
                "content_disposition": sas.content_disposition, "content_encoding": sas.content_encoding,
                "content_language": sas.content_language, "content_type": sas.content_type,
            },
        }));
    }
    let Some(theirs) = sdk(&questions) else {
        return;
    };
    for ((ours, theirs), question) in ours.iter().zip(&theirs).zip(&questions) {
        assert_eq!(sorted(ours), sorted(theirs), "{question}");
    }
}

#[test]
fn blobs_have_the_urls_that_the_sdk_gives_them() {
    let mut dice = Dice(3);
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    for endpoint in [
        "https://acct.blob.core.windows.net",
        "http://127.0.0.1:10000/acct",
    ] {
        for _ in 0..REQUESTS / 6 {
            let (container, blob) = (dice.word("abc0", 10), dice.blob());
            let sas = AzureCredentials::sas("sig=s").unwrap();
            let config = AzureConfig::new(sas).endpoint(endpoint);
            let azure = Azure::new(&format!("az://{container}/{blob}"), config).unwrap();
            assert_eq!((azure.container(), azure.blob()), (&*container, &*blob));
            ours.push(azure.url().to_string());
            questions.push(
                json!({"ask": "url", "endpoint": endpoint, "container": container, "blob": blob}),
            );
        }
    }
    let Some(theirs) = sdk(&questions) else {
        return;
    };
    for ((ours, theirs), question) in ours.iter().zip(&theirs).zip(&questions) {
        assert_eq!(ours, theirs, "{question}");
    }
}

/// The order of parameters is nobody's.
fn sorted(query: &str) -> Vec<(String, String)> {
    let url = Url::parse(&format!("http://h/?{query}")).unwrap();
    let mut pairs: Vec<_> = url.query_pairs().into_owned().collect();
    pairs.sort();
    pairs
}

const REQUESTS: usize = 6000;

/// Fields that are signed, and some that are not.
const FIELDS: [&str; 17] = [
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
    "user-agent",
    "accept",
    "x-ms-blob-type",
    "x-ms-blob-content-type",
    "x-ms-blob-content-md5",
    "x-ms-content-crc64",
    "x-ms-range",
    "x-ms-client-request-id",
];
