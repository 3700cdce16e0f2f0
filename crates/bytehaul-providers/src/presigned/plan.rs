//! The plan of an upload as a back end writes it: which part goes to which URL, and what makes the object of the parts.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::ProtocolError;
use crate::presigned::checked::Checked;
use crate::presigned::expiry;

/// Everything that an upload through presigned URLs needs, as a value and as JSON; the [module](crate::presigned) shows an
/// example.
///
/// `Debug` shows neither a URL beyond its host nor a field's value. The JSON holds both: it is as secret as what it signs.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct UploadPlan {
    /// How the server names the session, such as the `UploadId` of S3. A plan with another one is another upload.
    pub upload_id: Option<String>,
    /// The application's own names and values. bytehaul does not look at them.
    pub metadata: BTreeMap<String, String>,
    /// Length of the object in bytes.
    pub total_size: u64,
    /// Bytes of one part, for whoever reads the completion body; the parts say themselves how long they are.
    pub chunk_size: u64,
    /// The parts, in any order. For an object of no bytes: none, or one of no bytes.
    pub parts: Vec<PlanPart>,
    /// Makes the object of the parts. `None`: the object is complete when the last part is taken.
    pub complete_request: Option<PlanRequest>,
    /// Discards what was staged. `None`: nothing is sent, and what was staged stays until the server forgets it.
    pub abort_request: Option<PlanRequest>,
    /// Asks whether the object is there, with a signed `HEAD` (the default method) or `GET`. Needed only where the answer to
    /// `complete_request` was lost and the session is gone when it is sent again (a `GET` only of objects up to 1 MiB, which is
    /// what is read of an answer); without it that upload ends as
    /// [`Indeterminate`](crate::ProtocolErrorKind::Indeterminate).
    pub head_request: Option<PlanRequest>,
    /// How long before their expiry new URLs are asked for, in seconds. Default 60.
    #[serde(default = "refresh_before")]
    pub refresh_before: u64,
}

/// One part: which bytes, and the request that carries them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlanPart {
    /// Its number; the completion body lists the parts in this order.
    pub part_number: u32,
    /// Where it begins, in bytes of the object.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Default `PUT`.
    #[serde(default = "put")]
    pub method: String,
    /// The signed URL.
    pub url: String,
    /// Fields that belong to the signature.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What the server calls the part before it is there, such as the block id of Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_part_id: Option<String>,
    /// Until when the URL is good: RFC 3339 text or seconds since 1970. Default: what the URL itself says, where it is of a
    /// kind that does (AWS, Google, Azure SAS, OSS).
    #[serde(
        default,
        with = "expiry::serde",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_at: Option<SystemTime>,
}

/// A request beside the parts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlanRequest {
    /// Default `POST` to complete, `DELETE` to abort and `HEAD` to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The signed URL.
    pub url: String,
    /// Fields that belong to the signature.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body as it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What to make the body of, where there is none and no builder. It counts for `complete_request` alone.
    #[serde(default)]
    pub body_format: BodyFormat,
    /// As in [`PlanPart::expires_at`].
    #[serde(
        default,
        with = "expiry::serde",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_at: Option<SystemTime>,
}

/// What the body of a completion is made of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BodyFormat {
    /// The [JSON of all parts](super::json_body); nothing with `GET`, `HEAD` and `DELETE`, which have no body.
    #[default]
    Json,
    /// The XML of S3's CompleteMultipartUpload, which OSS and others take too ([`s3::complete_body`](super::s3::complete_body)).
    S3,
    /// Nothing.
    None,
}

impl UploadPlan {
    /// A plan for an object of this length, with the defaults of everything and no parts yet.
    pub fn new(total_size: u64, chunk_size: u64) -> Self {
        Self {
            total_size,
            chunk_size,
            refresh_before: refresh_before(),
            ..Self::default()
        }
    }

    /// Adds a part that begins where the one before it ends.
    #[must_use]
    pub fn part(mut self, part: PlanPart) -> Self {
        self.parts.push(part);
        self
    }

    /// Sets [`upload_id`](Self#structfield.upload_id).
    #[must_use]
    pub fn upload_id(mut self, id: impl Into<String>) -> Self {
        self.upload_id = Some(id.into());
        self
    }

    /// Sets [`complete_request`](Self#structfield.complete_request).
    #[must_use]
    pub fn complete_request(mut self, request: PlanRequest) -> Self {
        self.complete_request = Some(request);
        self
    }

    /// Sets [`abort_request`](Self#structfield.abort_request).
    #[must_use]
    pub fn abort_request(mut self, request: PlanRequest) -> Self {
        self.abort_request = Some(request);
        self
    }

    /// Sets [`head_request`](Self#structfield.head_request).
    #[must_use]
    pub fn head_request(mut self, request: PlanRequest) -> Self {
        self.head_request = Some(request);
        self
    }

    /// Checks the plan without sending anything: every part has bytes and lies within the object, they cover it without gap or
    /// overlap, no number or id stands twice, and every URL, method and field can be sent. An object of bytes needs parts; one
    /// of no bytes needs a part or a completion, or nothing would be sent at all.
    ///
    /// # Errors
    /// [`Parameter`](crate::ProtocolErrorKind::Parameter) with the first thing that cannot be used.
    pub fn validate(&self) -> Result<(), ProtocolError> {
        Checked::new(self).map(drop)
    }
}

impl PlanPart {
    /// A `PUT` of these bytes to this URL.
    pub fn new(part_number: u32, offset: u64, size: u64, url: impl Into<String>) -> Self {
        Self {
            part_number,
            offset,
            size,
            method: put(),
            url: url.into(),
            headers: BTreeMap::new(),
            provider_part_id: None,
            expires_at: None,
        }
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Sets [`provider_part_id`](Self#structfield.provider_part_id).
    #[must_use]
    pub fn provider_part_id(mut self, id: impl Into<String>) -> Self {
        self.provider_part_id = Some(id.into());
        self
    }

    /// Sets [`expires_at`](Self#structfield.expires_at).
    #[must_use]
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }
}

impl PlanRequest {
    /// A request to this URL with the default method of its place in the plan.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            method: None,
            url: url.into(),
            headers: BTreeMap::new(),
            body: None,
            body_format: BodyFormat::default(),
            expires_at: None,
        }
    }

    /// Sets [`method`](Self#structfield.method).
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Sets [`body`](Self#structfield.body).
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets [`body_format`](Self#structfield.body_format).
    #[must_use]
    pub fn body_format(mut self, format: BodyFormat) -> Self {
        self.body_format = format;
        self
    }

    /// Sets [`expires_at`](Self#structfield.expires_at).
    #[must_use]
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }
}

impl fmt::Debug for UploadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadPlan")
            .field("upload_id", &self.upload_id)
            .field("metadata", &self.metadata.keys().collect::<Vec<_>>())
            .field("total_size", &self.total_size)
            .field("chunk_size", &self.chunk_size)
            .field("parts", &self.parts)
            .field("complete_request", &self.complete_request)
            .field("abort_request", &self.abort_request)
            .field("head_request", &self.head_request)
            .field("refresh_before", &self.refresh_before)
            .finish()
    }
}

impl fmt::Debug for PlanPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanPart")
            .field("part_number", &self.part_number)
            .field("offset", &self.offset)
            .field("size", &self.size)
            .field("method", &self.method)
            .field("host", &host(&self.url))
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("provider_part_id", &self.provider_part_id)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

impl fmt::Debug for PlanRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanRequest")
            .field("method", &self.method)
            .field("host", &host(&self.url))
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &self.body.as_ref().map(String::len))
            .field("body_format", &self.body_format)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// The host of a URL, which is all of it that is shown.
pub(super) fn host(url: &str) -> Option<String> {
    let url = crate::Url::parse(url.trim()).ok()?;
    Some(url.host_str()?.to_owned())
}

fn put() -> String {
    "PUT".into()
}

/// Seconds.
pub(super) fn refresh_before() -> u64 {
    60
}
