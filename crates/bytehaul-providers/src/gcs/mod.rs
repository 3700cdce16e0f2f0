//! Resumable uploads to Google Cloud Storage: a session that is opened once, and chunks one after the other, from where the
//! server says that it is.
//!
//! ```
//! use bytehaul_providers::gcs::{Gcs, GcsToken};
//! use bytehaul_providers::CredentialSource;
//!
//! async fn token() -> Result<GcsToken, Box<dyn std::error::Error + Send + Sync>> { Ok(GcsToken::new("ya29.…")) }
//!
//! let by_token = Gcs::new("gs://bucket/dump.zst", CredentialSource::provider(token))?;
//! let by_url = Gcs::signed("https://storage.googleapis.com/bucket/dump.zst?X-Goog-Signature=s".parse()?)?;
//! # let _ = (by_token, by_url);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The rules are those of [Google's page](https://cloud.google.com/storage/docs/performing-resumable-uploads): chunks are multiples
//! of 256 KiB but the last, `308` with `Range` says how much has been kept, less than was sent if need be, and `404` and `410`
//! mean that the session is gone and all begins anew. The session's URL is all that it takes to write to it, so that the
//! token is sent with the first request alone, and the URL is in checkpoints and not in logs. What an earlier run has completed is
//! looked for by the object's entity tag, for which the token has to be good for `storage.objects.get`; with another one, or a signed URL,
//! it is sent again.
//!
//! When the object is complete, its CRC-32C, which the server names, is compared with that of the source.
//!
//! For parallel parts and for downloads, Google's XML API takes HMAC keys: see the feature `s3` with the endpoint
//! `https://storage.googleapis.com`.

mod answers;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use self::session::{Session, Settings};
use crate::{
    Capabilities, CredentialSource, Credentials, Left, Object, ProtocolError, Secret,
    UploadProtocol, UploadSession,
};

/// An OAuth 2.0 access token. `Debug` does not show it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GcsToken {
    /// The token, without `Bearer`.
    pub token: Secret,
    /// Until when the server takes it. Default: not known.
    pub expires_at: Option<SystemTime>,
}

impl GcsToken {
    /// This token.
    pub fn new(token: impl Into<Secret>) -> Self {
        Self {
            token: token.into(),
            expires_at: None,
        }
    }

    /// Sets until when the server takes it.
    #[must_use]
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }
}

impl Credentials for GcsToken {
    fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }
}

/// Resumable uploads of one object.
#[derive(Clone)]
pub struct Gcs {
    start: Start,
    chunk_size: u64,
    if_absent: bool,
}

/// How a session is opened.
#[derive(Clone)]
enum Start {
    /// By the JSON API.
    Api {
        endpoint: Url,
        bucket: String,
        name: String,
        token: CredentialSource<GcsToken>,
    },
    /// By a URL that somebody has signed for it.
    Signed { url: Url, headers: HeaderMap },
}

impl Gcs {
    /// An upload to `gs://BUCKET/NAME` under a token. The name is taken as it is.
    ///
    /// # Errors
    /// [`Parameter`](crate::ProtocolErrorKind::Parameter): a name that cannot be.
    pub fn new(
        object: &str,
        token: impl Into<CredentialSource<GcsToken>>,
    ) -> Result<Self, ProtocolError> {
        let scheme = object
            .get(..5)
            .filter(|it| it.eq_ignore_ascii_case("gs://"));
        let parts = scheme.and_then(|_| object[5..].split_once('/'));
        let Some((bucket, name)) = parts else {
            let reason = "it is written as gs://BUCKET/NAME";
            return Err(ProtocolError::parameter("object", reason));
        };
        let fit = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if bucket.is_empty() || !bucket.chars().all(fit) || matches!(bucket, "." | "..") {
            let reason = "a bucket's name has letters, digits, dots, hyphens and underscores";
            return Err(ProtocolError::parameter("bucket", reason));
        }
        if name.is_empty() || name.len() > 1024 {
            return Err(ProtocolError::parameter(
                "name",
                "it has one to 1,024 bytes",
            ));
        }
        let endpoint = Url::parse(ENDPOINT).expect("a URL");
        Ok(Self::of(Start::Api {
            endpoint,
            bucket: bucket.to_owned(),
            name: name.to_owned(),
            token: token.into(),
        }))
    }

    /// An upload by a URL that was signed for `POST` with the field `x-goog-resumable: start`.
    ///
    /// # Errors
    /// [`Parameter`](crate::ProtocolErrorKind::Parameter): not an `http` or `https` URL.
    pub fn signed(url: Url) -> Result<Self, ProtocolError> {
        check(&url)?;
        let mut headers = HeaderMap::new();
        let start = HeaderValue::from_static("start");
        headers.insert(HeaderName::from_static("x-goog-resumable"), start);
        Ok(Self::of(Start::Signed { url, headers }))
    }

    fn of(start: Start) -> Self {
        Self {
            start,
            chunk_size: CHUNK_SIZE,
            if_absent: false,
        }
    }

    /// Sets another endpoint than `https://storage.googleapis.com`. Of no use with a signed URL.
    ///
    /// # Errors
    /// [`Parameter`](crate::ProtocolErrorKind::Parameter): not an `http` or `https` URL.
    pub fn endpoint(mut self, url: Url) -> Result<Self, ProtocolError> {
        check(&url)?;
        if let Start::Api { endpoint, .. } = &mut self.start {
            *endpoint = url;
        }
        Ok(self)
    }

    /// Adds a field that was signed into the URL, such as `content-type` or `x-goog-meta-…`. Of no use without a signed URL.
    #[must_use]
    pub fn signed_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if let Start::Signed { headers, .. } = &mut self.start {
            headers.insert(name, value);
        }
        self
    }

    /// Sets the bytes of a chunk where the upload does not say, rounded up to a multiple of 256 KiB. Default 16 MiB. What was
    /// not acknowledged is sent again after an interruption, up to a chunk.
    #[must_use]
    pub fn chunk_size(mut self, bytes: u64) -> Self {
        self.chunk_size = bytes;
        self
    }

    /// Whether an object that is there already is left alone (`ifGenerationMatch=0`). Default: it is replaced. With a signed
    /// URL it has to be signed: `x-goog-if-generation-match: 0` as a [field](Self::signed_header).
    #[must_use]
    pub fn if_absent(mut self, keeps: bool) -> Self {
        self.if_absent = keeps;
        self
    }
}

impl fmt::Debug for Gcs {
    /// Shows no query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gcs")
            .field("target", &self.target())
            .field("chunk_size", &self.chunk_size)
            .field("if_absent", &self.if_absent)
            .finish_non_exhaustive()
    }
}

impl UploadProtocol for Gcs {
    fn name(&self) -> &str {
        NAME
    }

    fn target(&self) -> String {
        match &self.start {
            Start::Api {
                endpoint,
                bucket,
                name,
                ..
            } if endpoint.as_str().trim_end_matches('/') == ENDPOINT => {
                format!("gs://{bucket}/{name}")
            }
            Start::Api {
                endpoint,
                bucket,
                name,
                ..
            } => format!(
                "gs+{}/{bucket}/{name}",
                endpoint.as_str().trim_end_matches('/')
            ),
            Start::Signed { url, .. } => {
                let mut url = url.clone();
                url.set_query(None);
                url.set_fragment(None);
                url.into()
            }
        }
    }

    /// `None`: fields and credentials of the task go nowhere.
    fn endpoint(&self) -> Option<Url> {
        None
    }

    fn validate(&self) -> Result<(), ProtocolError> {
        match (&self.start, self.if_absent) {
            (Start::Signed { .. }, true) => {
                let reason = "of a signed URL it is part of the signature";
                Err(ProtocolError::parameter("if_absent", reason))
            }
            (Start::Signed { .. } | Start::Api { .. }, _) => Ok(()),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().unknown_length(true).resumable(true)
    }

    fn open(
        &self,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Box<dyn UploadSession>, ProtocolError> {
        self.validate()?;
        let chunk = object.part_size.unwrap_or(self.chunk_size);
        let chunk = chunk.clamp(1, LARGEST_CHUNK).next_multiple_of(GRID);
        let (url, headers, body, token) = self.opening(object)?;
        let settings = Settings {
            url,
            headers,
            body,
            chunk,
            object: self.description(),
        };
        Ok(Box::new(Session::new(settings, token, object, left)))
    }
}

/// URL, fields and body of the request that opens a session, and the token that goes with it.
type Opening = (Url, HeaderMap, Vec<u8>, Option<CredentialSource<GcsToken>>);

impl Gcs {
    /// Where the object's description is, which a signed URL does not open.
    fn description(&self) -> Option<Url> {
        let Start::Api {
            endpoint,
            bucket,
            name,
            ..
        } = &self.start
        else {
            return None;
        };
        let mut url = endpoint.clone();
        let path = endpoint.path().trim_end_matches('/');
        url.set_path(&format!("{path}/storage/v1/b/{bucket}/o"));
        url.path_segments_mut().ok()?.push(name);
        Some(url)
    }

    fn opening(&self, object: &Object) -> Result<Opening, ProtocolError> {
        let (endpoint, bucket, name, token) = match &self.start {
            Start::Signed { .. } if !object.metadata.is_empty() => {
                let reason = "of a signed URL it is part of the signature";
                return Err(ProtocolError::parameter("metadata", reason));
            }
            Start::Signed { url, headers } => {
                return Ok((url.clone(), headers.clone(), Vec::new(), None));
            }
            Start::Api {
                endpoint,
                bucket,
                name,
                token,
            } => (endpoint, bucket, name, token),
        };
        let mut url = endpoint.clone();
        let path = endpoint.path().trim_end_matches('/');
        url.set_path(&format!("{path}/upload/storage/v1/b/{bucket}/o"));
        url.query_pairs_mut()
            .append_pair("uploadType", "resumable")
            .append_pair("name", name);
        if self.if_absent {
            url.query_pairs_mut().append_pair("ifGenerationMatch", "0");
        }
        let mut headers = HeaderMap::new();
        let mut resource = serde_json::Map::new();
        if let Some(media) = &object.content_type {
            let value = HeaderValue::from_str(media);
            let unfit = |_| ProtocolError::parameter("content type", "not fit for a header field");
            headers.insert("x-upload-content-type", value.map_err(unfit)?);
            resource.insert("contentType".into(), media.as_str().into());
        }
        if let Some(len) = object.len {
            headers.insert("x-upload-content-length", len.into());
        }
        let metadata = object.metadata.iter();
        let metadata: serde_json::Map<_, _> = metadata
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        if !metadata.is_empty() {
            resource.insert("metadata".into(), metadata.into());
        }
        let json = HeaderValue::from_static("application/json; charset=UTF-8");
        headers.insert(http::header::CONTENT_TYPE, json);
        let body = serde_json::Value::from(resource).to_string().into_bytes();
        Ok((url, headers, body, Some(token.clone())))
    }
}

fn check(url: &Url) -> Result<(), ProtocolError> {
    match matches!(url.scheme(), "http" | "https") && url.has_host() {
        true => Ok(()),
        false => Err(ProtocolError::parameter("URL", "neither http nor https")),
    }
}

const NAME: &str = "gcs";
const ENDPOINT: &str = "https://storage.googleapis.com";
const CHUNK_SIZE: u64 = 16 << 20;
/// Chunks but the last are multiples of this.
const GRID: u64 = 256 << 10;
const LARGEST_CHUNK: u64 = 5 << 30;
