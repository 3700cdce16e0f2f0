//! Downloads of an object of S3, each range signed for itself.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::IF_MATCH;
use http::{HeaderMap, HeaderValue, Method};

use super::answers::{Verdict, verdict};
use super::location::{Kind, Location};
use super::proof::{self, Step};
use super::sign::{self, PayloadHash};
use crate::s3::{NAME, S3Config, S3Credentials};
use crate::{
    Answer, DownloadProtocol, Proof, ProtocolError, ProtocolErrorKind, RangeRequest, Refreshing,
    Told, Wanted,
};

/// Downloads of one object of S3.
///
/// Each request is signed when it is made. Credentials of a [provider](crate::CredentialSource::provider) are asked for before the
/// first one, before they expire, and when they are refused.
#[derive(Clone, Debug)]
pub struct S3Download {
    location: Location,
    config: S3Config,
    /// Those that are there by now.
    credentials: Option<Arc<S3Credentials>>,
    version: Option<String>,
    etag: Option<HeaderValue>,
    len: Option<u64>,
    /// Whether it has been sent to another region.
    has_moved: bool,
}

impl S3Download {
    /// A download of `s3://BUCKET/KEY`.
    ///
    /// # Errors
    /// As [`S3::new`](super::S3::new).
    pub fn new(object: &str, config: S3Config) -> Result<Self, ProtocolError> {
        let location = Location::new(object, &config)?;
        location.url(&[])?;
        Ok(Self {
            location,
            credentials: config.credentials.given().cloned().map(Arc::new),
            config,
            version: None,
            etag: None,
            len: None,
            has_moved: false,
        })
    }

    /// Sets which version of the object (`versionId`). Default: the newest.
    #[must_use]
    pub fn version(mut self, id: impl Into<String>) -> Self {
        self.version = Some(id.into());
        self
    }

    /// Sets the entity tag that the object must have (`If-Match`): with another one the server answers 412. The downloader itself
    /// holds all ranges to the tag of the first.
    ///
    /// # Errors
    /// [`Parameter`](ProtocolErrorKind::Parameter): it cannot be in a field.
    pub fn if_match(mut self, etag: &str) -> Result<Self, ProtocolError> {
        let value = HeaderValue::from_str(etag);
        let value = value.map_err(|_| ProtocolError::parameter("etag", "not fit for a field"))?;
        self.etag = Some(value);
        Ok(self)
    }

    /// Sets the length, in bytes, where it is known.
    #[must_use]
    pub fn total_size(mut self, bytes: u64) -> Self {
        self.len = Some(bytes);
        self
    }
}

impl S3Download {
    /// A request for the object, or for a part of it as it was uploaded, with these fields and those that sign it.
    fn signed(
        &self,
        method: &Method,
        part: Option<u32>,
        mut headers: HeaderMap,
        now: SystemTime,
    ) -> Result<RangeRequest, ProtocolError> {
        let Some(credentials) = &self.credentials else {
            let what = "there are no credentials yet";
            return Err(ProtocolError::new(ProtocolErrorKind::Refresh, what));
        };
        let part = part.map(|number| number.to_string());
        let part = part.as_deref().map(|number| ("partNumber", number));
        let version = self.version.as_deref().map(|id| ("versionId", id));
        let query: Vec<_> = part.into_iter().chain(version).collect();
        let url = self.location.url(&query)?;
        if let Some(etag) = &self.etag {
            headers.insert(IF_MATCH, etag.clone());
        }
        let request = sign::Request::new(method, &url, &headers).payload(PayloadHash::of(b""));
        let added = sign::sign(request, credentials, &self.location.region, now)?;
        headers.extend(added);
        Ok(RangeRequest::new(url, headers))
    }
}

impl DownloadProtocol for S3Download {
    fn name(&self) -> &str {
        NAME
    }

    /// The URL of the object, which by itself gives nobody a right to it.
    fn target(&self) -> String {
        let version = self.version.as_deref().map(|id| ("versionId", id));
        let query: Vec<_> = version.into_iter().collect();
        let url = self.location.url(&query);
        url.map_or_else(|_| self.location.to_string(), String::from)
    }

    fn total_size(&self) -> Option<u64> {
        self.len
    }

    fn request(&self, wanted: &Wanted, now: SystemTime) -> Result<RangeRequest, ProtocolError> {
        let mut headers = HeaderMap::new();
        // The checksum of the whole comes with the whole alone.
        if *wanted == Wanted::Whole && self.location.kind == Kind::Amazon {
            headers.insert("x-amz-checksum-mode", HeaderValue::from_static("ENABLED"));
        }
        self.signed(&Method::GET, None, headers, now)
    }

    fn proof(&self, told: &[Told], now: SystemTime) -> Result<Proof, ProtocolError> {
        let part = match proof::of(told, &self.location) {
            Step::Known(expected) => return Ok(Proof::Known(expected)),
            Step::Nothing => return Ok(Proof::Nothing),
            Step::Whole => None,
            Step::Part(number) => Some(number),
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-checksum-mode", HeaderValue::from_static("ENABLED"));
        self.signed(&Method::HEAD, part, headers, now)
            .map(Proof::Ask)
    }

    /// Before the credentials of a provider have been asked for, everything has expired.
    fn expires_at(&self) -> Option<SystemTime> {
        match &self.credentials {
            None => Some(UNIX_EPOCH),
            Some(credentials) => credentials
                .expires_at
                .filter(|_| self.config.credentials.can_renew()),
        }
    }

    /// The bucket's region, followed once.
    fn elsewhere(&self, answer: &Answer<'_>) -> Option<Arc<dyn DownloadProtocol>> {
        let Verdict::Elsewhere(region, _) = verdict(answer, UNIX_EPOCH) else {
            return None;
        };
        let location = self
            .location
            .in_region(&region)
            .filter(|_| !self.has_moved)?;
        Some(Arc::new(Self {
            location,
            has_moved: true,
            ..self.clone()
        }))
    }

    fn is_refused(&self, answer: &Answer<'_>) -> bool {
        matches!(verdict(answer, UNIX_EPOCH), Verdict::Refused(_))
    }

    fn refresh(&self) -> Option<Refreshing<'_>> {
        if !self.config.credentials.can_renew() {
            return None;
        }
        Some(Box::pin(async move {
            let credentials = self.config.credentials.get().await?;
            let newer: Arc<dyn DownloadProtocol> = Arc::new(Self {
                credentials: Some(credentials),
                ..self.clone()
            });
            Ok(newer)
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;
    use crate::CredentialSource;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    /// Names and values of the fields but the signature, and the query.
    fn asked(download: &S3Download, wanted: &Wanted) -> String {
        let request = download.request(wanted, now()).unwrap();
        let shown = request.headers.iter().filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "authorization" | "x-amz-date" | "x-amz-content-sha256"
            )
        });
        let shown: Vec<_> = shown
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        format!(
            "{:?} {}",
            request.url.query().unwrap_or_default(),
            shown.join(" ")
        )
    }

    #[test]
    fn requests_are_signed_one_by_one() {
        let config = S3Config::new(S3Credentials::new("AK", "s3cret").session_token("T"));
        let plain = S3Download::new("s3://b/k", config.clone()).unwrap();
        assert_eq!(
            asked(&plain, &Wanted::Span(0..9)),
            "\"\" x-amz-security-token=T"
        );
        let whole = "\"\" x-amz-checksum-mode=ENABLED x-amz-security-token=T";
        assert_eq!(asked(&plain, &Wanted::Whole), whole);
        let pinned = plain.version("v 1").if_match("\"e\"").unwrap();
        let expected = "\"versionId=v%201\" if-match=\"e\" x-amz-security-token=T";
        assert_eq!(asked(&pinned, &Wanted::From(3)), expected);
        let at = "https://b.s3.us-east-1.amazonaws.com/k?versionId=v%201";
        assert_eq!(pinned.target(), at);
        assert_eq!(
            (pinned.expires_at(), pinned.refresh().is_none()),
            (None, true)
        );
        let range = |headers: &HeaderMap| headers.contains_key(http::header::RANGE);
        assert!(!range(
            &pinned.request(&Wanted::From(3), now()).unwrap().headers
        ));
    }

    #[test]
    fn a_bucket_in_another_region_is_followed_once() {
        let download = S3Download::new(
            "s3://b/k",
            S3Config::new(S3Credentials::new("AK", "s3cret")),
        );
        let download = download.unwrap();
        let told = |download: &dyn DownloadProtocol, status: u16, code: &str, region: &str| {
            let body = format!("<Error><Code>{code}</Code><Region>{region}</Region></Error>");
            let (body, headers) = (bytes::Bytes::from(body), HeaderMap::new());
            let status = http::StatusCode::from_u16(status).unwrap();
            let url = "http://h/".parse().unwrap();
            download.elsewhere(&Answer::new(status, &headers, &body, &url))
        };
        assert!(told(&download, 403, "AccessDenied", "eu-west-3").is_none());
        assert!(told(&download, 404, "NoSuchKey", "eu-west-3").is_none());
        // No region can be a host of somebody else.
        assert!(told(&download, 301, "PermanentRedirect", "evil.test/").is_none());
        for (status, code) in [
            (301, "PermanentRedirect"),
            (400, "AuthorizationHeaderMalformed"),
        ] {
            let there = told(&download, status, code, "eu-west-3").unwrap();
            let request = there.request(&Wanted::Whole, now()).unwrap();
            assert_eq!(
                request.url.as_str(),
                "https://b.s3.eu-west-3.amazonaws.com/k"
            );
            let scope = request.headers["authorization"].to_str().unwrap();
            assert!(scope.contains("/eu-west-3/s3/"), "{scope}");
            assert!(told(&*there, status, code, "us-east-1").is_none());
        }
    }

    #[test]
    fn amazon_says_that_credentials_have_expired_with_400() {
        let config = S3Config::new(S3Credentials::new("AK", "s3cret"));
        let download = S3Download::new("s3://b/k", config).unwrap();
        let is_refused = |code: &str| {
            let body = format!("<Error><Code>{code}</Code></Error>");
            let (body, headers) = (bytes::Bytes::from(body), HeaderMap::new());
            let url = "http://h/".parse().unwrap();
            let status = http::StatusCode::BAD_REQUEST;
            download.is_refused(&Answer::new(status, &headers, &body, &url))
        };
        assert!(is_refused("ExpiredToken"));
        assert!(!is_refused("InvalidRequest") && !is_refused("RequestTimeout"));
    }

    #[test]
    fn a_provider_is_asked_before_the_first_request() {
        let keys = S3Credentials::new("AK", "s3cret").expires_at(now());
        let provider = CredentialSource::provider(move || std::future::ready(Ok(keys.clone())));
        let download = S3Download::new("s3://b/k", S3Config::new(provider)).unwrap();
        assert_eq!(download.expires_at(), Some(UNIX_EPOCH));
        let error = download.request(&Wanted::Whole, now()).unwrap_err();
        assert_eq!(error.kind(), ProtocolErrorKind::Refresh);
        let mut asking = download.refresh().unwrap();
        let Poll::Ready(Ok(newer)) = asking
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("it has nothing to wait for")
        };
        assert_eq!(newer.expires_at(), Some(now()));
        assert_eq!(newer.target(), download.target());
        assert!(newer.request(&Wanted::Whole, now()).is_ok());
    }
}
