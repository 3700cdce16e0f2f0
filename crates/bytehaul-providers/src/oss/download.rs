//! Downloads of an object of OSS, each range signed for itself.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::IF_MATCH;
use http::{HeaderMap, HeaderValue, Method};

use super::answers::{Verdict, verdict};
use super::location::Location;
use super::sign;
use crate::oss::{NAME, OssConfig, OssCredentials};
use crate::{
    Answer, DownloadProtocol, Proof, ProtocolError, ProtocolErrorKind, RangeRequest, Refreshing,
    Told, Wanted,
};

/// Downloads of one object of OSS.
///
/// Each request is signed when it is made. Credentials of a [provider](crate::CredentialSource::provider) are asked for before the
/// first one, before they expire, and when they are refused. The server says the CRC-64 of the whole object with each answer
/// (`x-oss-hash-crc64ecma`), which the file is held against.
#[derive(Clone, Debug)]
pub struct OssDownload {
    location: Location,
    config: OssConfig,
    /// Those that are there by now.
    credentials: Option<Arc<OssCredentials>>,
    version: Option<String>,
    etag: Option<HeaderValue>,
    len: Option<u64>,
    /// Whether it has been sent to another endpoint.
    has_moved: bool,
}

impl OssDownload {
    /// A download of `oss://BUCKET/KEY`.
    ///
    /// # Errors
    /// As [`Oss::new`](super::Oss::new).
    pub fn new(object: &str, config: OssConfig) -> Result<Self, ProtocolError> {
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

    /// A request for the object, with these fields and those that sign it.
    fn signed(
        &self,
        method: &Method,
        mut headers: HeaderMap,
        now: SystemTime,
    ) -> Result<RangeRequest, ProtocolError> {
        let Some(credentials) = &self.credentials else {
            let what = "there are no credentials yet";
            return Err(ProtocolError::new(ProtocolErrorKind::Refresh, what));
        };
        let version = self.version.as_deref();
        let query: Vec<_> = version.iter().map(|id| ("versionId", *id)).collect();
        let url = self.location.url(&query)?;
        if let Some(etag) = &self.etag {
            headers.insert(IF_MATCH, etag.clone());
        }
        let request = sign::Request::new(method, &url, &headers, self.location.object());
        let added = sign::sign(request, credentials, &self.location.region, now)?;
        headers.extend(added);
        Ok(RangeRequest::new(url, headers))
    }
}

impl DownloadProtocol for OssDownload {
    fn name(&self) -> &str {
        NAME
    }

    /// The URL of the object, which by itself gives nobody a right to it.
    fn target(&self) -> String {
        let version = self.version.as_deref();
        let query: Vec<_> = version.iter().map(|id| ("versionId", *id)).collect();
        let url = self.location.url(&query);
        url.map_or_else(|_| self.location.to_string(), String::from)
    }

    fn total_size(&self) -> Option<u64> {
        self.len
    }

    fn request(&self, wanted: &Wanted, now: SystemTime) -> Result<RangeRequest, ProtocolError> {
        let mut headers = HeaderMap::new();
        if *wanted != Wanted::Whole {
            // Without it a range that leaves the object gives all of it, and 200.
            headers.insert("x-oss-range-behavior", HeaderValue::from_static("standard"));
        }
        self.signed(&Method::GET, headers, now)
    }

    /// The CRC-64, which objects from before it was kept do not have.
    fn proof(&self, told: &[Told], now: SystemTime) -> Result<Proof, ProtocolError> {
        match told.iter().find_map(Told::declared) {
            Some(digest) => Ok(Proof::Known(digest.into())),
            None if told.is_empty() => {
                let question = self.signed(&Method::HEAD, HeaderMap::new(), now)?;
                Ok(Proof::Ask(question))
            }
            None => Ok(Proof::Nothing),
        }
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

    /// The bucket's endpoint, followed once.
    fn elsewhere(&self, answer: &Answer<'_>) -> Option<Arc<dyn DownloadProtocol>> {
        let Verdict::Elsewhere(endpoint, _) = verdict(answer, UNIX_EPOCH) else {
            return None;
        };
        let location = self.location.at_endpoint(&endpoint);
        let location = location.filter(|_| !self.has_moved)?;
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
