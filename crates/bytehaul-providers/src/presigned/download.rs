//! Downloads by a presigned URL that a back end renews.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::presigned::answers::{Verdict, verdict};
use crate::presigned::checked::Signed;
use crate::presigned::{NAME, expiry, plan};
use crate::{
    Answer, BoxError, DownloadProtocol, ProtocolError, ProtocolErrorKind, RangeRequest, Refresh,
    Refreshing, Wanted,
};

/// Everything that a download by a presigned URL needs, as a value and as JSON. `Debug` shows neither the URL beyond its
/// host nor a field's value.
///
/// ```
/// use bytehaul_providers::presigned::{DownloadPlan, PresignedDownload};
///
/// let plan: DownloadPlan = serde_json::from_str(r#"{
///     "total_size": 12582912,
///     "range_url": "https://bucket.s3.amazonaws.com/key?X-Amz-Signature=s",
///     "range_headers": {"x-amz-expected-bucket-owner": "1"},
///     "expires_at": "2026-01-31T12:00:00Z"
/// }"#)?;
/// let protocol = PresignedDownload::new(plan)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DownloadPlan {
    /// Length of the object in bytes. `None`: what the server says.
    #[serde(default)]
    pub total_size: Option<u64>,
    /// The URL, signed for a `GET` of any range.
    pub range_url: String,
    /// Fields that belong to the signature.
    #[serde(default)]
    pub range_headers: BTreeMap<String, String>,
    /// Until when the URL is good: RFC 3339 text or seconds since 1970. Default: what the URL itself says, where it is of a
    /// kind that does (AWS, Google, Azure SAS, OSS).
    #[serde(
        default,
        with = "expiry::serde",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_at: Option<SystemTime>,
}

impl DownloadPlan {
    /// A download of whatever is at this URL.
    pub fn new(range_url: impl Into<String>) -> Self {
        Self {
            total_size: None,
            range_url: range_url.into(),
            range_headers: BTreeMap::new(),
            expires_at: None,
        }
    }

    /// Sets [`total_size`](Self#structfield.total_size), in bytes.
    #[must_use]
    pub fn total_size(mut self, bytes: u64) -> Self {
        self.total_size = Some(bytes);
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn range_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.range_headers.insert(name.into(), value.into());
        self
    }

    /// Sets [`expires_at`](Self#structfield.expires_at).
    #[must_use]
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }
}

impl fmt::Debug for DownloadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadPlan")
            .field("total_size", &self.total_size)
            .field("host", &plan::host(&self.range_url))
            .field(
                "range_headers",
                &self.range_headers.keys().collect::<Vec<_>>(),
            )
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// Downloads by a [`DownloadPlan`].
#[derive(Clone)]
pub struct PresignedDownload {
    total: Option<u64>,
    request: Signed,
    refresher: Option<Refresh<DownloadPlan>>,
}

impl PresignedDownload {
    /// Checks the plan.
    ///
    /// # Errors
    /// A URL or a field that cannot be sent.
    pub fn new(plan: DownloadPlan) -> Result<Self, ProtocolError> {
        Ok(Self {
            total: plan.total_size,
            request: Signed::new(
                "the download",
                "GET",
                &plan.range_url,
                &plan.range_headers,
                plan.expires_at,
            )?,
            refresher: None,
        })
    }

    /// Sets whom to ask for a new URL before this one expires, and when the server refuses it. The length must not change.
    #[must_use]
    pub fn refresher<F, R>(mut self, refresh: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<DownloadPlan, BoxError>> + Send + 'static,
    {
        self.refresher = Some(Arc::new(move || Box::pin(refresh())));
        self
    }

    fn renewed(&self, plan: DownloadPlan) -> Result<Self, ProtocolError> {
        let total = plan.total_size;
        let mut newer = Self::new(plan)?;
        if let (Some(before), Some(now)) = (self.total, total)
            && before != now
        {
            let what = format!("the renewed plan is of {now} bytes instead of {before}");
            return Err(ProtocolError::new(ProtocolErrorKind::Refresh, what));
        }
        newer.total = newer.total.or(self.total);
        newer.refresher = self.refresher.clone();
        Ok(newer)
    }
}

impl fmt::Debug for PresignedDownload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresignedDownload")
            .field("host", &self.request.url.host_str())
            .field("total_size", &self.total)
            .field("expires_at", &self.request.expires_at)
            .field("refresher", &self.refresher.is_some())
            .finish()
    }
}

impl DownloadProtocol for PresignedDownload {
    fn name(&self) -> &str {
        NAME
    }

    fn target(&self) -> String {
        self.request.url.to_string()
    }

    fn total_size(&self) -> Option<u64> {
        self.total
    }

    fn request(&self, _: &Wanted, _: SystemTime) -> Result<RangeRequest, ProtocolError> {
        let Signed { url, headers, .. } = &self.request;
        Ok(RangeRequest::new(url.clone(), headers.clone()))
    }

    fn expires_at(&self) -> Option<SystemTime> {
        self.request.expires_at
    }

    /// Amazon says with 400 that a token in the URL has expired.
    fn is_refused(&self, answer: &Answer<'_>) -> bool {
        matches!(verdict(answer), Verdict::Refused(_))
    }

    fn refresh(&self) -> Option<Refreshing<'_>> {
        let refresh = self.refresher.clone()?;
        Some(Box::pin(async move {
            let newer = self.renewed(refresh().await?)?;
            let newer: Arc<dyn DownloadProtocol> = Arc::new(newer);
            Ok(newer)
        }))
    }
}
