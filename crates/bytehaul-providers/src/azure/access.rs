//! What opens an account or a blob, and how a request carries it.

use std::fmt;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use crate::azure::address::{decoded, encoded, is_sas};
use crate::azure::sign::{SharedKey, VERSION};
use crate::{Credentials, ProtocolError, Secret, rfc3339};

/// What requests to Azure are authorised with.
#[derive(Clone)]
#[non_exhaustive]
pub enum AzureCredentials {
    /// The key of the account: each request is signed.
    SharedKey(SharedKey),
    /// A shared access signature of any kind (account, service, user delegation): it goes into the query of each request as it is.
    Sas(SasToken),
}

/// A shared access signature as it was given, and until when it says that it is good.
#[derive(Clone)]
pub struct SasToken {
    query: Secret,
    expires_at: Option<SystemTime>,
}

impl AzureCredentials {
    /// The name of an account and its key in base64.
    ///
    /// # Errors
    /// As [`SharedKey::new`].
    pub fn shared_key(
        account: impl Into<String>,
        key: impl Into<Secret>,
    ) -> Result<Self, ProtocolError> {
        Ok(Self::SharedKey(SharedKey::new(account, key)?))
    }

    /// The query of a shared access signature, with or without `?`.
    ///
    /// # Errors
    /// It has no `sig`, or characters that a query cannot have.
    pub fn sas(query: impl Into<Secret>) -> Result<Self, ProtocolError> {
        let query = query.into();
        let text = query.expose().trim().trim_start_matches('?');
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !is_plain || !is_sas(text) {
            let reason = "it is not the query of a signature (no sig, or characters of no query)";
            return Err(ProtocolError::parameter("SAS", reason));
        }
        let end = text.split('&').find_map(|pair| pair.strip_prefix("se="));
        Ok(Self::Sas(SasToken {
            expires_at: end.and_then(|end| rfc3339::parse(&decoded(end))),
            query: Secret::new(text),
        }))
    }

    /// The URL and the fields with what authorises them. The parameters are not encoded yet.
    pub(super) fn authorize(
        &self,
        method: &Method,
        url: &Url,
        parameters: &[(&str, &str)],
        mut fields: HeaderMap,
        body_len: u64,
        now: SystemTime,
    ) -> (Url, HeaderMap) {
        let pairs = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)));
        let mut query: Vec<String> = pairs.collect();
        if let Self::Sas(sas) = self {
            query.push(sas.query.expose().to_owned());
        }
        let mut url = url.clone();
        let query = query.join("&");
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        fields.insert(
            HeaderName::from_static("x-ms-version"),
            HeaderValue::from_static(VERSION),
        );
        if let Self::SharedKey(key) = self {
            key.sign(method, &url, &mut fields, body_len, now);
        }
        (url, fields)
    }
}

impl Credentials for AzureCredentials {
    fn expires_at(&self) -> Option<SystemTime> {
        match self {
            Self::SharedKey(_) => None,
            Self::Sas(sas) => sas.expires_at,
        }
    }
}

impl From<SharedKey> for AzureCredentials {
    fn from(key: SharedKey) -> Self {
        Self::SharedKey(key)
    }
}

impl fmt::Debug for AzureCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedKey(key) => key.fmt(f),
            Self::Sas(sas) => sas.fmt(f),
        }
    }
}

impl fmt::Debug for SasToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SasToken")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn signatures_as_they_are_given() {
        let check = |text: &str, expected: Option<Option<u64>>| {
            let sas = AzureCredentials::sas(text);
            let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs();
            let found = sas.as_ref().ok().map(|sas| sas.expires_at().map(seconds));
            assert_eq!(found, expected, "{text}");
            assert!(!format!("{sas:?}").contains("s3cret"), "{sas:?}");
        };
        check(
            "sv=1&se=2026-01-31T12%3A34%3A56Z&sig=s3cret",
            Some(Some(1_769_862_896)),
        );
        check("?sig=s3cret&se=2026-01-31", Some(None));
        check(" ?sig=s3cret\n", Some(None));
        for bad in [
            "",
            "?",
            "sv=1",
            "sig=s3cret#x",
            "sig=s3cret x",
            "sig=s3crét",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn what_is_signed_is_what_is_sent() {
        let url: Url = "http://h/dev/box/a%20b".parse().unwrap();
        let authorize = |by: &AzureCredentials| {
            let now = UNIX_EPOCH + Duration::from_secs(1_769_862_896);
            let parameters = [("comp", "block"), ("blockid", "QQ==+/")];
            by.authorize(&Method::PUT, &url, &parameters, HeaderMap::new(), 5, now)
        };
        let asked = "http://h/dev/box/a%20b?comp=block&blockid=QQ%3D%3D%2B%2F";
        let (sent, fields) = authorize(&AzureCredentials::sas("sv=1&sig=a%2Bb").unwrap());
        assert_eq!(sent.as_str(), format!("{asked}&sv=1&sig=a%2Bb"));
        assert_eq!(fields["x-ms-version"], VERSION);
        assert!(!fields.contains_key("authorization"));
        let (sent, fields) = authorize(&AzureCredentials::shared_key("dev", "c2VjcmV0").unwrap());
        assert_eq!(sent.as_str(), asked);
        assert_eq!(fields["x-ms-date"], "Sat, 31 Jan 2026 12:34:56 GMT");
        assert!(fields["authorization"].is_sensitive());
    }
}
