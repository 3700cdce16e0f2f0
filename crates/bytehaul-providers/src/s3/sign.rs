//! Signature Version 4 as S3 wants it: in header fields, and in the query of a URL.
//!
//! It can be used alone, with any HTTP client: a request as method, URL and fields goes in, and the fields to add, or a URL to
//! hand out, come back. Nothing is read from the environment, neither the clock.
//!
//! ```
//! use bytehaul_providers::http::{HeaderMap, Method};
//! use bytehaul_providers::s3::sign::{PayloadHash, Request, presign, sign};
//! use bytehaul_providers::s3::S3Credentials;
//! use std::time::{Duration, SystemTime};
//!
//! let credentials = S3Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
//! let url = "https://examplebucket.s3.amazonaws.com/test.txt".parse()?;
//! let mut fields = HeaderMap::new();
//! fields.insert("range", "bytes=0-9".parse()?);
//!
//! let request = Request::new(&Method::GET, &url, &fields).payload(PayloadHash::of(b""));
//! fields.extend(sign(request, &credentials, "us-east-1", SystemTime::now())?);
//! assert!(fields.contains_key("authorization"));
//!
//! let none = HeaderMap::new();
//! let request = Request::new(&Method::GET, &url, &none);
//! let signed = presign(request, &credentials, "us-east-1", SystemTime::now(), Duration::from_secs(900))?;
//! assert!(signed.as_str().contains("&X-Amz-Signature="));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The rules are those of [Amazon's reference](https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html):
//! unlike for other services the path is encoded once and never normalised. Signed are `host` and all fields given, but for those
//! that a hop may change; a field that is added later is not signed, and S3 refuses `x-amz-…` fields that are not.
//!
//! What is not here: bodies signed in chunks (`STREAMING-…`) and Signature Version 4A.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ring::{digest, hmac};
use url::Url;

use super::encoding;
use crate::s3::S3Credentials;
use crate::{ProtocolError, Secret, clock};

/// What a signature is of.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    method: &'a Method,
    url: &'a Url,
    headers: &'a HeaderMap,
    payload: PayloadHash,
}

impl<'a> Request<'a> {
    /// A request whose body is [not signed](PayloadHash::Unsigned).
    pub fn new(method: &'a Method, url: &'a Url, headers: &'a HeaderMap) -> Self {
        Self {
            method,
            url,
            headers,
            payload: PayloadHash::Unsigned,
        }
    }

    /// Sets what the signature says of the body.
    #[must_use]
    pub fn payload(mut self, payload: PayloadHash) -> Self {
        self.payload = payload;
        self
    }
}

/// What a signature says of the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PayloadHash {
    /// Nothing: `UNSIGNED-PAYLOAD`. Over TLS nobody can change it on its way.
    Unsigned,
    /// Its SHA-256.
    Sha256([u8; 32]),
}

impl PayloadHash {
    /// That of this body.
    pub fn of(body: &[u8]) -> Self {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, body).as_ref());
        Self::Sha256(sha256)
    }

    fn text(&self) -> String {
        match self {
            Self::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
            Self::Sha256(sha256) => HEXLOWER.encode(sha256),
        }
    }
}

/// Signs a request in its fields: gives `authorization`, `x-amz-content-sha256`, `x-amz-date` and, with a session token,
/// `x-amz-security-token`, each to replace a field of its name. Servers take it for a quarter of an hour.
///
/// # Errors
/// [`Parameter`](crate::ProtocolErrorKind::Parameter): the URL has no host, or credentials or region cannot be in a field.
pub fn sign(
    request: Request<'_>,
    credentials: &S3Credentials,
    region: &str,
    now: SystemTime,
) -> Result<HeaderMap, ProtocolError> {
    let time = clock::basic(now);
    let scope = Scope {
        date: &time[..8],
        region,
        service: SERVICE,
    };
    let mut added = HeaderMap::new();
    let hash = field("payload", &request.payload.text())?;
    added.insert(HeaderName::from_static("x-amz-content-sha256"), hash);
    added.insert(HeaderName::from_static("x-amz-date"), field("time", &time)?);
    if let Some(token) = &credentials.session_token {
        let token = secret_field("session token", token.expose())?;
        added.insert(HeaderName::from_static("x-amz-security-token"), token);
    }
    let mut headers = request.headers.clone();
    for (name, value) in &added {
        headers.insert(name, value.clone());
    }
    let fields = signed_fields(request.url, &headers)?;
    let query = encoding::canonical_query(request.url.query().unwrap_or_default());
    let canonical = canonical(&request, &query, &fields, &request.payload.text());
    let signature = scope.signature(&credentials.secret, &time, &canonical);
    let authorization = format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={signature}",
        credentials.access_key_id,
        scope.text(),
        names(&fields),
    );
    added.insert(
        AUTHORIZATION,
        secret_field("access key id", &authorization)?,
    );
    Ok(added)
}

/// Signs a request in its URL, which is good for `life` from `now` on, for whoever has it: one second to seven days. Whoever
/// sends it sends all of its fields.
///
/// # Errors
/// [`Parameter`](crate::ProtocolErrorKind::Parameter): as [`sign`], or S3 knows no such life.
pub fn presign(
    request: Request<'_>,
    credentials: &S3Credentials,
    region: &str,
    now: SystemTime,
    life: Duration,
) -> Result<Url, ProtocolError> {
    if !(1..=LONGEST_LIFE).contains(&life.as_secs()) {
        let reason = "a signed URL lives for a second to seven days";
        return Err(ProtocolError::parameter("life", reason));
    }
    let time = clock::basic(now);
    let scope = Scope {
        date: &time[..8],
        region,
        service: SERVICE,
    };
    let fields = signed_fields(request.url, request.headers)?;
    let mut query = request.url.query().unwrap_or_default().to_owned();
    let credential = format!("{}/{}", credentials.access_key_id, scope.text());
    let mut add = |name: &str, value: &str| {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(name);
        query.push('=');
        query.push_str(&encoding::encode(value.as_bytes()));
    };
    add("X-Amz-Algorithm", ALGORITHM);
    add("X-Amz-Credential", &credential);
    add("X-Amz-Date", &time);
    add("X-Amz-Expires", &life.as_secs().to_string());
    add("X-Amz-SignedHeaders", &names(&fields));
    if let Some(token) = &credentials.session_token {
        add("X-Amz-Security-Token", token.expose());
    }
    let sorted = encoding::canonical_query(&query);
    let canonical = canonical(&request, &sorted, &fields, &request.payload.text());
    let signature = scope.signature(&credentials.secret, &time, &canonical);
    query.push_str("&X-Amz-Signature=");
    query.push_str(&signature);
    let mut url = request.url.clone();
    url.set_query(Some(&query));
    Ok(url)
}

/// What a signature is good for.
struct Scope<'a> {
    /// `YYYYMMDD`.
    date: &'a str,
    region: &'a str,
    service: &'a str,
}

impl Scope<'_> {
    fn text(&self) -> String {
        format!(
            "{}/{}/{}/aws4_request",
            self.date, self.region, self.service
        )
    }

    fn signature(&self, secret: &Secret, time: &str, canonical: &[u8]) -> String {
        let hash = HEXLOWER.encode(digest::digest(&digest::SHA256, canonical).as_ref());
        let text = format!("{ALGORITHM}\n{time}\n{}\n{hash}", self.text());
        let first = Secret::new(format!("AWS4{}", secret.expose()));
        let mut key = mac(first.expose().as_bytes(), self.date);
        for next in [self.region, self.service, "aws4_request"] {
            key = mac(key.as_ref(), next);
        }
        HEXLOWER.encode(mac(key.as_ref(), &text).as_ref())
    }
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// The canonical request.
fn canonical(
    request: &Request<'_>,
    query: &str,
    fields: &[(String, Vec<u8>)],
    payload: &str,
) -> Vec<u8> {
    let path = encoding::canonical_path(request.url.path());
    let mut text = format!("{}\n{path}\n{query}\n", request.method).into_bytes();
    for (name, value) in fields {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(names(fields).as_bytes());
    text.push(b'\n');
    text.extend_from_slice(payload.as_bytes());
    text
}

/// Names and values that are signed, sorted; the values of one name joined.
fn signed_fields(url: &Url, headers: &HeaderMap) -> Result<Vec<(String, Vec<u8>)>, ProtocolError> {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for name in headers.keys() {
        if UNSIGNED.contains(&name.as_str()) {
            continue;
        }
        let values: Vec<_> = headers.get_all(name).iter().map(plain).collect();
        fields.push((name.as_str().to_owned(), values.join(&b',')));
    }
    if !headers.contains_key("host") {
        fields.push(("host".to_owned(), host(url)?.into_bytes()));
    }
    fields.sort();
    Ok(fields)
}

/// As the `Host` field has it: with the port, unless it is that of the scheme.
fn host(url: &Url) -> Result<String, ProtocolError> {
    let Some(host) = url.host_str() else {
        return Err(ProtocolError::parameter("URL", "it has no host"));
    };
    let mut text = host.to_owned();
    if let Some(port) = url.port() {
        let _ = write!(text, ":{port}");
    }
    Ok(text)
}

/// A value without white space around it, and with one space for each run of it within.
fn plain(value: &HeaderValue) -> Vec<u8> {
    let words = value.as_bytes().split(|byte| matches!(byte, b' ' | b'\t'));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join(&b' ')
}

fn names(fields: &[(String, Vec<u8>)]) -> String {
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.join(";")
}

fn field(what: &str, text: &str) -> Result<HeaderValue, ProtocolError> {
    HeaderValue::from_str(text)
        .map_err(|_| ProtocolError::parameter(what, "it cannot be in a header field"))
}

fn secret_field(what: &str, text: &str) -> Result<HeaderValue, ProtocolError> {
    let mut value = field(what, text)?;
    value.set_sensitive(true);
    Ok(value)
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "s3";

/// Seconds.
const LONGEST_LIFE: u64 = 7 * 86400;

/// Fields that hops change or that are no part of the request.
const UNSIGNED: [&str; 15] = [
    "authorization",
    "baggage",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// 24 May 2013, the day of Amazon's examples.
    fn then() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_369_353_600)
    }

    fn example() -> S3Credentials {
        S3Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        )
    }

    fn fields(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in text.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    /// The examples of "Authenticating Requests: Using the Authorization Header", Amazon S3 API Reference.
    #[test]
    fn examples_of_the_reference() {
        let check = |method: Method,
                     path: &str,
                     text: &str,
                     body: &str,
                     signed: &str,
                     hex: &str| {
            let url = Url::parse(&format!("https://examplebucket.s3.amazonaws.com{path}")).unwrap();
            let headers = fields(text);
            let request = Request::new(&method, &url, &headers);
            let request = request.payload(PayloadHash::of(body.as_bytes()));
            let added = sign(request, &example(), "us-east-1", then()).unwrap();
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
                 SignedHeaders={signed}, Signature={hex}"
            );
            assert_eq!(added["authorization"], expected);
        };
        check(
            Method::GET,
            "/test.txt",
            "range: bytes=0-9",
            "",
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
        check(
            Method::PUT,
            "/test$file.text",
            "date: Fri, 24 May 2013 00:00:00 GMT\nx-amz-storage-class: REDUCED_REDUNDANCY",
            "Welcome to Amazon S3.",
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
        check(
            Method::GET,
            "/?lifecycle",
            "",
            "",
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        );
        check(
            Method::GET,
            "/?max-keys=2&prefix=J",
            "",
            "",
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
    }

    /// The example of "Authenticating Requests: Using Query Parameters", Amazon S3 API Reference.
    #[test]
    fn example_of_a_signed_url() {
        let url = Url::parse("https://examplebucket.s3.amazonaws.com/test.txt").unwrap();
        let none = HeaderMap::new();
        let request = Request::new(&Method::GET, &url, &none);
        let life = Duration::from_secs(86400);
        let signed = presign(request, &example(), "us-east-1", then(), life).unwrap();
        let expected = "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
            &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
            &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert_eq!(signed.as_str(), expected);
    }

    /// The cases of the test suite of Signature Version 4 that do not rest on the normalisation of paths.
    #[test]
    fn cases_of_the_suite() {
        let secret = Secret::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let check = |method: Method, query: &str, text: &str, expected: &str| {
            let url = Url::parse(&format!("https://example.amazonaws.com/{query}")).unwrap();
            let headers = fields(&format!("x-amz-date: 20150830T123600Z\n{text}"));
            let request = Request::new(&method, &url, &headers);
            let fields = signed_fields(&url, &headers).unwrap();
            let query = encoding::canonical_query(url.query().unwrap_or_default());
            let empty = PayloadHash::of(b"").text();
            let canonical = canonical(&request, &query, &fields, &empty);
            let scope = Scope {
                date: "20150830",
                region: "us-east-1",
                service: "service",
            };
            let signature = scope.signature(&secret, "20150830T123600Z", &canonical);
            assert_eq!(signature, expected, "{method} {query} {text}");
        };
        // get-vanilla, get-vanilla-query-order-key-case, post-vanilla, get-header-value-trim
        check(
            Method::GET,
            "",
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        );
        check(
            Method::GET,
            "?Param2=value2&Param1=value1",
            "",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        );
        check(
            Method::POST,
            "",
            "",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        );
        check(
            Method::GET,
            "",
            "my-header1:  value1\nmy-header2:  \"a   b   c\"",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        );
    }

    #[test]
    fn nothing_secret_is_shown() {
        let credentials = S3Credentials::new("AK", "s3cret").session_token("t0ken");
        let shown = format!("{credentials:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("t0ken"),
            "{shown}"
        );
        let url = Url::parse("https://h/k").unwrap();
        let none = HeaderMap::new();
        let request = Request::new(&Method::GET, &url, &none);
        let added = sign(request, &credentials, "r", then()).unwrap();
        let shown = format!("{added:?}");
        assert!(
            !shown.contains("t0ken") && !shown.contains("Signature"),
            "{shown}"
        );
    }

    #[test]
    fn what_cannot_be_signed() {
        let url = Url::parse("https://h/k").unwrap();
        let none = HeaderMap::new();
        let request = Request::new(&Method::GET, &url, &none);
        let check = |ended: Result<Url, ProtocolError>, expected: &str| {
            assert_eq!(ended.unwrap_err().to_string(), expected);
        };
        for life in [0, LONGEST_LIFE + 1] {
            let life = Duration::from_secs(life);
            let ended = presign(request, &example(), "r", then(), life);
            check(
                ended,
                "invalid life: a signed URL lives for a second to seven days",
            );
        }
        let odd = S3Credentials::new("A\nK", "s3cret");
        let error = sign(request, &odd, "r", then()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid access key id: it cannot be in a header field"
        );
    }
}
