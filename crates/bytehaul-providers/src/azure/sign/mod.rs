//! Shared Key: what is signed of a request, and the field that carries the signature.
//!
//! Usable without the rest of the crate: a method, a URL, fields and a time go in, fields come out. A request is signed for the
//! next quarter of an hour and for these fields alone: whoever adds an `x-ms-` field, a condition or a `Range` afterwards makes
//! the signature void. [`SharedKey::sas`] signs a URL instead, which others may then use as they like within what it allows.
//!
//! ```
//! use std::time::SystemTime;
//! use bytehaul_providers::azure::sign::{Sas, SharedKey};
//! use bytehaul_providers::http::{HeaderMap, Method};
//! use bytehaul_providers::Url;
//!
//! let key = SharedKey::new("account", "c2VjcmV0")?;
//! let url: Url = "https://account.blob.core.windows.net/box/a%20file".parse()?;
//! let mut fields = HeaderMap::new();
//! fields.insert("x-ms-blob-type", "BlockBlob".parse()?);
//! key.sign(&Method::PUT, &url, &mut fields, 5, SystemTime::now());
//! assert!(fields["authorization"].to_str()?.starts_with("SharedKey account:"));
//!
//! let hour = SystemTime::now() + std::time::Duration::from_secs(3600);
//! let query = key.sas("box", Some("a file"), &Sas::new("r", hour));
//! let link = format!("{url}?{}", query.expose());
//! # drop(link);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod order;
mod sas;

use std::fmt;
use std::time::SystemTime;

use data_encoding::BASE64;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ring::hmac;
use url::Url;
use zeroize::Zeroizing;

use crate::azure::address::decoded;
use crate::clock::within_reason;
use crate::{ProtocolError, Secret};

pub use self::sas::Sas;
pub use crate::blocks::VERSION;

/// The name of a storage account and one of its two keys, which open all of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedKey {
    account: String,
    /// As Azure shows it: base64.
    key: Secret,
}

impl SharedKey {
    /// The account of this name and its key in base64.
    ///
    /// # Errors
    /// The name is not one of an account (letters, digits and hyphens), or the key is not base64.
    pub fn new(account: impl Into<String>, key: impl Into<Secret>) -> Result<Self, ProtocolError> {
        let (account, key) = (account.into(), key.into());
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if account.is_empty() || !account.bytes().all(is_name) {
            let reason = "it is not the name of a storage account";
            return Err(ProtocolError::parameter("account", reason));
        }
        let key = Secret::new(key.expose().trim());
        if key.is_empty() || bytes_of(&key).is_none() {
            return Err(ProtocolError::parameter("account key", "it is not base64"));
        }
        Ok(Self { account, key })
    }

    /// The name of the account.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Signs a request with a body of so many bytes: sets `x-ms-date` and `Authorization`, and `x-ms-version` where there is none.
    pub fn sign(
        &self,
        method: &Method,
        url: &Url,
        fields: &mut HeaderMap,
        body_len: u64,
        now: SystemTime,
    ) {
        let date = httpdate::fmt_http_date(within_reason(now));
        let date = HeaderValue::from_str(&date).expect("a date is plain text");
        fields.insert(HeaderName::from_static("x-ms-date"), date);
        fields
            .entry(HeaderName::from_static("x-ms-version"))
            .or_insert(HeaderValue::from_static(VERSION));
        let signature = self.signature(&string_to_sign(
            &self.account,
            method,
            url,
            fields,
            body_len,
        ));
        let value = format!("SharedKey {}:{signature}", self.account);
        let mut value = HeaderValue::from_str(&value).expect("a name and base64 are plain text");
        value.set_sensitive(true);
        fields.insert(AUTHORIZATION, value);
    }

    /// The HMAC-SHA256 of any text under the account's key, in base64.
    fn signature(&self, text: &[u8]) -> String {
        let bytes = bytes_of(&self.key).unwrap_or_default();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        BASE64.encode(hmac::sign(&key, text).as_ref())
    }
}

/// The text that is signed for a request, without its `Authorization` and `Date`
/// ([Shared Key](https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key)). Bytes, because fields may be no text.
pub fn string_to_sign(
    account: &str,
    method: &Method,
    url: &Url,
    fields: &HeaderMap,
    body_len: u64,
) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(method.as_str().as_bytes());
    for name in SIGNED {
        text.push(b'\n');
        match name {
            "content-length" if body_len > 0 => {
                text.extend_from_slice(body_len.to_string().as_bytes());
            }
            // `x-ms-date` is signed in its place.
            "content-length" | "date" => (),
            _ => value_of(fields, name, &mut text),
        }
    }
    text.push(b'\n');
    let mut own: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
    own.retain(|name| name.starts_with("x-ms-"));
    own.sort_by(|left, right| order::compare(left, right));
    for name in own {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        value_of(fields, name, &mut text);
        text.push(b'\n');
    }
    text.extend_from_slice(format!("/{account}{}", url.path()).as_bytes());
    for (name, values) in parameters(url) {
        text.push(b'\n');
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        text.extend_from_slice(values.join(",").as_bytes());
    }
    text
}

fn value_of(fields: &HeaderMap, name: &str, text: &mut Vec<u8>) {
    for (at, value) in fields.get_all(name).iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        text.extend_from_slice(value.as_bytes().trim_ascii());
    }
}

/// Names in lower case and their values, decoded, both rising.
fn parameters(url: &Url) -> Vec<(String, Vec<String>)> {
    let pairs = url.query().unwrap_or_default().split('&');
    let pairs = pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name).to_lowercase(), decoded(value))
    });
    let mut pairs: Vec<(String, String)> = pairs.collect();
    pairs.sort();
    let mut grouped: Vec<(String, Vec<String>)> = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        match grouped.last_mut() {
            Some((last, values)) if *last == name => values.push(value),
            _ => grouped.push((name, vec![value])),
        }
    }
    grouped
}

fn bytes_of(key: &Secret) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = BASE64.decode(key.expose().as_bytes()).ok()?;
    Some(Zeroizing::new(bytes))
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKey")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// What of the fields that are not Azure's own is signed, in this order.
const SIGNED: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed() {
        let url = "http://127.0.0.1:10000/acct/box/a%20b?comp=block&blockid=QQ%3D%3D&Comp=a";
        let mut fields = HeaderMap::new();
        for (name, value) in [
            ("x-ms-version", "2023-11-03"),
            ("x-ms-meta-b", " two "),
            ("x-ms-meta-b", "three"),
            ("x-ms-date", "Sat, 31 Jan 2026 12:34:56 GMT"),
            ("if-none-match", "*"),
            ("content-md5", "md5"),
            ("date", "never"),
            ("user-agent", "x"),
        ] {
            fields.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let check = |body_len, length: &str| {
            let url = Url::parse(url).unwrap();
            let text = string_to_sign("acct", &Method::PUT, &url, &fields, body_len);
            let expected = format!(
                "PUT\n\n\n{length}\nmd5\n\n\n\n\n*\n\n\n\
                 x-ms-date:Sat, 31 Jan 2026 12:34:56 GMT\nx-ms-meta-b:two,three\nx-ms-version:2023-11-03\n\
                 /acct/acct/box/a%20b\nblockid:QQ==\ncomp:a,block"
            );
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        };
        check(0, "");
        check(17, "17");
    }

    #[test]
    fn names_and_keys_that_are_none() {
        let check = |account: &str, key: &str, is_fine: bool| {
            let made = SharedKey::new(account, key);
            assert_eq!(made.is_ok(), is_fine, "{account} {key}");
            if let Err(error) = made {
                assert!(key.is_empty() || !error.to_string().contains(key));
            }
        };
        check("acct", "c2VjcmV0", true);
        check("acct-1", " c2VjcmV0\n", true);
        check("", "c2VjcmV0", false);
        check("a:b", "c2VjcmV0", false);
        check("a\n", "c2VjcmV0", false);
        check("acct", "", false);
        check("acct", "s3cret!!", false);
    }

    #[test]
    fn keys_are_not_shown() {
        let key = SharedKey::new("acct", "c2VjcmV0").unwrap();
        assert!(!format!("{key:?}").contains("c2VjcmV0"));
    }
}
