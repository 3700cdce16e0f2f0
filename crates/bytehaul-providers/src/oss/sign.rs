//! Signature Version 4 of OSS (`OSS4-HMAC-SHA256`): in header fields, and in the query of a URL.
//!
//! It can be used alone, with any HTTP client: a request as method, URL and fields goes in, and the fields to add, or a URL to
//! hand out, come back. Nothing is read from the environment, neither the clock.
//!
//! ```
//! use bytehaul_providers::http::{HeaderMap, Method};
//! use bytehaul_providers::oss::OssCredentials;
//! use bytehaul_providers::oss::sign::{Request, Resource, presign, sign};
//! use std::time::{Duration, SystemTime};
//!
//! let credentials = OssCredentials::new("LTAI5example", "secret").security_token("of STS");
//! let url = "https://bucket.oss-cn-hangzhou.aliyuncs.com/dir/a%20key".parse()?;
//! // The signature is of bucket and key, wherever the URL has them.
//! let resource = Resource::object("bucket", "dir/a key");
//! let mut fields = HeaderMap::new();
//! fields.insert("x-oss-range-behavior", "standard".parse()?);
//!
//! let request = Request::new(&Method::GET, &url, &fields, resource);
//! fields.extend(sign(request, &credentials, "cn-hangzhou", SystemTime::now())?);
//! assert!(fields.contains_key("authorization"));
//!
//! let none = HeaderMap::new();
//! let request = Request::new(&Method::GET, &url, &none, resource);
//! let signed = presign(request, &credentials, "cn-hangzhou", SystemTime::now(), Duration::from_secs(900))?;
//! assert!(signed.as_str().contains("&x-oss-signature="));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The rules are those of [Alibaba's reference](https://help.aliyun.com/zh/oss/developer-reference/recommend-to-use-signature-version-4).
//! Signed are `content-type`, `content-md5`, every `x-oss-…` field, and the [additional](Request::additional) ones; a client that
//! adds a `content-type` by itself breaks the signature. Bodies are never signed (`UNSIGNED-PAYLOAD`).
//!
//! What is not here: Version 1.

use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ring::{digest, hmac};
use url::Url;

use super::encoding;
use crate::oss::OssCredentials;
use crate::{ProtocolError, Secret, clock};

/// What a signature is of.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    method: &'a Method,
    url: &'a Url,
    headers: &'a HeaderMap,
    resource: Resource<'a>,
    additional: &'a [&'a str],
}

/// What a request is about, by the names as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resource<'a> {
    bucket: Option<&'a str>,
    key: Option<&'a str>,
}

impl<'a> Resource<'a> {
    /// An object.
    pub fn object(bucket: &'a str, key: &'a str) -> Self {
        Self {
            bucket: Some(bucket),
            key: Some(key),
        }
    }

    /// A bucket, such as for the list of its uploads.
    pub fn bucket(bucket: &'a str) -> Self {
        Self {
            bucket: Some(bucket),
            key: None,
        }
    }

    /// All buckets of the account.
    pub fn service() -> Self {
        Self {
            bucket: None,
            key: None,
        }
    }

    fn canonical(self) -> String {
        let mut path = String::from("/");
        if let Some(bucket) = self.bucket {
            path.push_str(bucket);
            path.push('/');
        }
        path.push_str(self.key.unwrap_or_default());
        encoding::encode_path(&path).into_owned()
    }
}

impl<'a> Request<'a> {
    /// A request without additional signed fields.
    pub fn new(
        method: &'a Method,
        url: &'a Url,
        headers: &'a HeaderMap,
        resource: Resource<'a>,
    ) -> Self {
        Self {
            method,
            url,
            headers,
            resource,
            additional: &[],
        }
    }

    /// Sets the names, in small letters, of fields that are signed besides those that always are; of them, those that the
    /// request has. `host` is taken from the URL where it is not among the fields.
    #[must_use]
    pub fn additional(mut self, names: &'a [&'a str]) -> Self {
        self.additional = names;
        self
    }
}

/// Signs a request in its fields: gives `authorization`, `x-oss-content-sha256`, `x-oss-date` and, with a security token,
/// `x-oss-security-token`, each to replace a field of its name. Servers take it for a quarter of an hour.
///
/// # Errors
/// [`Parameter`](crate::ProtocolErrorKind::Parameter): credentials or region cannot be in a field.
pub fn sign(
    request: Request<'_>,
    credentials: &OssCredentials,
    region: &str,
    now: SystemTime,
) -> Result<HeaderMap, ProtocolError> {
    let time = clock::basic(now);
    let scope = Scope {
        date: &time[..8],
        region,
    };
    let mut added = HeaderMap::new();
    added.insert(CONTENT_HASH, HeaderValue::from_static(UNSIGNED));
    added.insert(
        HeaderName::from_static("x-oss-date"),
        field("time", &time, Shown::Yes)?,
    );
    if let Some(token) = &credentials.security_token {
        let token = field("security token", token.expose(), Shown::No)?;
        added.insert(HeaderName::from_static("x-oss-security-token"), token);
    }
    let mut headers = request.headers.clone();
    for (name, value) in &added {
        headers.insert(name, value.clone());
    }
    let additional = additional(&request, &headers);
    let mut pairs = encoding::pairs(request.url.query().unwrap_or_default());
    let canonical = canonical(&request, &mut pairs, &headers, &additional);
    let signature = scope.signature(&credentials.secret, &time, &canonical);
    let (id, scope) = (&credentials.access_key_id, scope.text());
    let named = match additional.is_empty() {
        true => String::new(),
        false => format!("AdditionalHeaders={},", names(&additional)),
    };
    let text = format!("{ALGORITHM} Credential={id}/{scope},{named}Signature={signature}");
    added.insert(AUTHORIZATION, field("access key id", &text, Shown::No)?);
    Ok(added)
}

/// Signs a request in its URL, which is good for `life` from `now` on, for whoever has it: one second to seven days. Whoever
/// sends it sends all of its signed fields.
///
/// # Errors
/// [`Parameter`](crate::ProtocolErrorKind::Parameter): OSS knows no such life.
pub fn presign(
    request: Request<'_>,
    credentials: &OssCredentials,
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
    };
    let additional = additional(&request, request.headers);
    let mut pairs = encoding::pairs(request.url.query().unwrap_or_default());
    pairs.retain(|(name, _)| !OURS.contains(&name.as_str()));
    let mut add = |name: &str, value: &str| {
        let value = encoding::encode(value.as_bytes()).into_owned();
        pairs.push((name.to_owned(), value));
    };
    add("x-oss-signature-version", ALGORITHM);
    add("x-oss-date", &time);
    add("x-oss-expires", &life.as_secs().to_string());
    let credential = format!("{}/{}", credentials.access_key_id, scope.text());
    add("x-oss-credential", &credential);
    if let Some(token) = &credentials.security_token {
        add("x-oss-security-token", token.expose());
    }
    if !additional.is_empty() {
        add("x-oss-additional-headers", &names(&additional));
    }
    let query = encoding::query(&pairs);
    let canonical = canonical(&request, &mut pairs, request.headers, &additional);
    let signature = scope.signature(&credentials.secret, &time, &canonical);
    let mut url = request.url.clone();
    url.set_query(Some(&format!("{query}&x-oss-signature={signature}")));
    Ok(url)
}

/// What a signature is good for.
struct Scope<'a> {
    /// `YYYYMMDD`.
    date: &'a str,
    region: &'a str,
}

impl Scope<'_> {
    fn text(&self) -> String {
        format!("{}/{}/{PRODUCT}/{END}", self.date, self.region)
    }

    fn signature(&self, secret: &Secret, time: &str, canonical: &[u8]) -> String {
        let hash = HEXLOWER.encode(digest::digest(&digest::SHA256, canonical).as_ref());
        let text = format!("{ALGORITHM}\n{time}\n{}\n{hash}", self.text());
        let first = Secret::new(format!("aliyun_v4{}", secret.expose()));
        let mut key = mac(first.expose().as_bytes(), self.date);
        for next in [self.region, PRODUCT, END] {
            key = mac(key.as_ref(), next);
        }
        HEXLOWER.encode(mac(key.as_ref(), &text).as_ref())
    }
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// The canonical request; sorts the query's pairs for it.
fn canonical(
    request: &Request<'_>,
    pairs: &mut [(String, String)],
    headers: &HeaderMap,
    additional: &[(String, Vec<u8>)],
) -> Vec<u8> {
    pairs.sort();
    let (path, query) = (request.resource.canonical(), encoding::query(pairs));
    let mut fields: Vec<(String, Vec<u8>)> = headers
        .keys()
        .filter(|name| is_always_signed(name.as_str()))
        .map(|name| (name.as_str().to_owned(), value(headers, name.as_str())))
        .collect();
    fields.extend_from_slice(additional);
    fields.sort();
    let mut text = format!("{}\n{path}\n{query}\n", request.method).into_bytes();
    for (name, value) in &fields {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(names(additional).as_bytes());
    text.push(b'\n');
    let hash = match headers.contains_key(CONTENT_HASH) {
        true => value(headers, CONTENT_HASH.as_str()),
        false => UNSIGNED.into(),
    };
    text.extend_from_slice(&hash);
    text
}

/// The additional fields that there are, sorted.
fn additional(request: &Request<'_>, headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for name in request.additional {
        let name = name.to_ascii_lowercase();
        let mut value = value(headers, &name);
        if name == "host" && value.is_empty() {
            value = host(request.url).into_bytes();
        }
        if !is_always_signed(&name) && !value.is_empty() {
            found.push((name, value));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn is_always_signed(name: &str) -> bool {
    name.starts_with("x-oss-") || matches!(name, "content-type" | "content-md5")
}

/// The values of a field, without white space around them.
fn value(headers: &HeaderMap, name: &str) -> Vec<u8> {
    let values = headers.get_all(name).iter();
    let values: Vec<_> = values.map(|value| value.as_bytes().trim_ascii()).collect();
    values.join(&b',')
}

/// As the `Host` field has it: with the port, unless it is that of the scheme.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn names(fields: &[(String, Vec<u8>)]) -> String {
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.join(";")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Yes,
    No,
}

fn field(what: &str, text: &str, shown: Shown) -> Result<HeaderValue, ProtocolError> {
    let value = HeaderValue::from_str(text);
    let mut value =
        value.map_err(|_| ProtocolError::parameter(what, "it cannot be in a header field"))?;
    value.set_sensitive(shown == Shown::No);
    Ok(value)
}

const ALGORITHM: &str = "OSS4-HMAC-SHA256";
const PRODUCT: &str = "oss";
const END: &str = "aliyun_v4_request";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const CONTENT_HASH: HeaderName = HeaderName::from_static("x-oss-content-sha256");

/// Seconds.
const LONGEST_LIFE: u64 = 7 * 86400;

/// Parameters of an earlier signature, which a new one replaces.
const OURS: [&str; 7] = [
    "x-oss-additional-headers",
    "x-oss-credential",
    "x-oss-date",
    "x-oss-expires",
    "x-oss-security-token",
    "x-oss-signature",
    "x-oss-signature-version",
];

#[cfg(test)]
mod tests;
