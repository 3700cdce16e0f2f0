//! Uploads and downloads by plans of presigned URLs, for anything that a back end can presign: S3, OSS, Azure SAS, GCS.
//!
//! The back end keeps the credentials and writes a plan; whoever holds the plan can do what is in it and no more. An
//! [`UploadPlan`] is a serde value. As JSON, with what may be left out marked by `?`:
//!
//! ```json
//! {
//!   "upload_id": "2~VmVyc2lvbg",                            // ?
//!   "metadata": {"order": "4711"},                          // ? not looked at
//!   "total_size": 12582912,
//!   "chunk_size": 8388608,                                  // ?
//!   "parts": [
//!     {"part_number": 1, "offset": 0, "size": 8388608,
//!      "method": "PUT",                                     // ?
//!      "url": "https://bucket.s3.amazonaws.com/key?partNumber=1&uploadId=…&X-Amz-Signature=…",
//!      "headers": {"x-amz-checksum-crc32c": "yZRlqg=="},    // ?
//!      "provider_part_id": "block-0001",                    // ?
//!      "expires_at": "2026-01-31T12:00:00Z"},               // ? or seconds since 1970
//!     {"part_number": 2, "offset": 8388608, "size": 4194304, "url": "https://…"}
//!   ],
//!   "complete_request": {                                   // ?
//!     "method": "POST",                                     // ?
//!     "url": "https://api.example.com/uploads/17/complete",
//!     "headers": {"authorization": "Bearer …"},             // ?
//!     "body": "…",                                          // ?
//!     "body_format": "json"},                               // ? json, s3 or none
//!   "abort_request": {"url": "https://…"},                  // ? DELETE
//!   "head_request": {"url": "https://…"},                   // ? HEAD
//!   "refresh_before": 60                                    // ? seconds
//! }
//! ```
//!
//! # What is sent, and what ends an upload
//! Parts in any order, several at a time; each is taken when its answer is a success, and its receipt's tag is the answer's
//! `ETag`. Then the `complete_request`, always, also where an earlier run has sent all the parts; only its answer makes the
//! upload complete. Without one, the upload is complete when all parts are taken. Its body is the plan's own, else that of
//! [`Presigned::completion_body`], else what `body_format` says. A `200` with an error in its body, as S3 and OSS send it, is an
//! error.
//!
//! A completion whose answer was lost is sent again. If it is refused then, the object may be there nevertheless: the
//! `head_request` is asked, and where there is none, or it cannot tell, the upload ends as
//! [`Indeterminate`](crate::ProtocolErrorKind::Indeterminate). An object counts that has the plan's length and, where both
//! are known, S3's ETag of these parts.
//!
//! Cancelling sends the `abort_request`; without one nothing is sent. No object is ever deleted by this protocol itself.
//!
//! Neither the headers nor the credentials of a task go to presigned URLs.
//!
//! # What it does not do
//! It cannot ask a server which parts it has, since that is not in a plan: a resumed upload rests on its receipts. They count
//! for a plan with the same upload id and the same parts only.

pub mod azure;
pub mod oss;
pub mod s3;

mod answers;
mod checked;
mod completion;
mod download;
mod expiry;
mod found;
mod plan;
mod renewal;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use url::Url;

use crate::presigned::checked::Checked;
use crate::presigned::completion::BodyBuilder;
use crate::presigned::renewal::Renewal;
use crate::presigned::session::Session;
use crate::{
    BoxError, Capabilities, Left, Object, PartReceipt, ProtocolError, ProtocolErrorKind, Refresh,
    UploadProtocol, UploadSession,
};

pub use self::completion::{CompletedPart, json_body};
pub use self::download::{DownloadPlan, PresignedDownload};
pub use self::plan::{BodyFormat, PlanPart, PlanRequest, UploadPlan};

/// Uploads by a plan of presigned URLs.
///
/// ```
/// use bytehaul_providers::presigned::{Presigned, PlanPart, PlanRequest, UploadPlan};
///
/// # async fn ask_the_back_end() -> Result<UploadPlan, std::io::Error> { Ok(UploadPlan::default()) }
/// let plan = UploadPlan::new(10, 8)
///     .part(PlanPart::new(1, 0, 8, "https://example.com/key?part=1&signature=s"))
///     .part(PlanPart::new(2, 8, 2, "https://example.com/key?part=2&signature=s"))
///     .complete_request(PlanRequest::new("https://api.example.com/complete/17"));
/// let protocol = Presigned::new(plan).refresher(|| async { Ok(ask_the_back_end().await?) });
/// # let _ = protocol;
/// ```
#[derive(Clone)]
pub struct Presigned {
    plan: Arc<UploadPlan>,
    refresher: Option<Refresh<UploadPlan>>,
    body: Option<BodyBuilder>,
    resumed: Arc<[PartReceipt]>,
}

impl Presigned {
    /// An upload by this plan. [`validate`](UploadProtocol::validate) says whether it can be used.
    pub fn new(plan: UploadPlan) -> Self {
        Self {
            plan: Arc::new(plan),
            refresher: None,
            body: None,
            resumed: Arc::default(),
        }
    }

    /// Sets whom to ask for new URLs: `refresh_before` seconds before the next one expires, beside the transfer, and when a
    /// server answers 401 or 403 (or that a token has expired). It is asked once at a time, and gives a whole plan, in which
    /// number, offset, size and id of each part stay, or the upload ends with
    /// [`Refresh`](crate::ProtocolErrorKind::Refresh); requests beside the parts that it leaves out stay as they are. What is
    /// refused with a new URL too is refused for good.
    ///
    /// An error ends the upload, unless the present URLs have not expired yet; a [`CallError`](crate::CallError) that is
    /// transient has it asked again after a wait.
    #[must_use]
    pub fn refresher<F, R>(mut self, refresh: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<UploadPlan, BoxError>> + Send + 'static,
    {
        self.refresher = Some(Arc::new(move || Box::pin(refresh())));
        self
    }

    /// Sets what writes the body of the completion, of all parts ascending by number; a `body` in the plan wins. For S3 and
    /// OSS: [`s3::complete_body`]. Called again for each try. A field `Content-Type` has to be in the plan.
    #[must_use]
    pub fn completion_body<F>(mut self, build: F) -> Self
    where
        F: Fn(&[CompletedPart]) -> Result<Vec<u8>, BoxError> + Send + Sync + 'static,
    {
        self.body = Some(Arc::new(build));
        self
    }

    /// Sets parts that an earlier run has sent, for applications that keep them themselves; those that are not in the plan
    /// do not count, nor do any of them where there is a checkpoint. That they are of the same bytes is the caller's word: a
    /// checkpoint is compared with the source, these are not.
    #[must_use]
    pub fn resumed_parts(mut self, receipts: Vec<PartReceipt>) -> Self {
        self.resumed = receipts.into();
        self
    }
}

impl fmt::Debug for Presigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presigned")
            .field("plan", &self.plan)
            .field("refresher", &self.refresher.is_some())
            .field("completion_body", &self.body.is_some())
            .field("resumed_parts", &self.resumed.len())
            .finish()
    }
}

impl UploadProtocol for Presigned {
    fn name(&self) -> &str {
        NAME
    }

    /// The URL of the completion, or that of the first part, without its query, and the upload id.
    fn target(&self) -> String {
        let complete = self.plan.complete_request.as_ref();
        let first = self.plan.parts.iter().min_by_key(|part| part.offset);
        let url = complete
            .map(|complete| &complete.url)
            .or(first.map(|part| &part.url));
        let url = url.and_then(|url| Url::parse(url.trim()).ok());
        let Some(mut url) = url else {
            return String::new();
        };
        url.set_query(None);
        url.set_fragment(None);
        if let Some(id) = &self.plan.upload_id {
            url.query_pairs_mut().append_pair("upload_id", id);
        }
        url.into()
    }

    fn endpoint(&self) -> Option<Url> {
        None
    }

    fn validate(&self) -> Result<(), ProtocolError> {
        self.plan.validate()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .parallel(true)
            .resumable(true)
            .given_session(true)
    }

    fn open(
        &self,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Box<dyn UploadSession>, ProtocolError> {
        let plan = Checked::new(&self.plan)?;
        let Some(len) = object.len else {
            let what = "a plan needs a source whose length is known";
            return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
        };
        if len != plan.total {
            let reason = format!(
                "total_size is {}, and the source has {len} bytes",
                plan.total
            );
            return Err(ProtocolError::parameter("plan", reason));
        }
        let renewal = Renewal::new(self.refresher.clone());
        let session = Session::new(plan, self.body.clone(), renewal, &self.resumed, left);
        Ok(Box::new(session))
    }
}

const NAME: &str = "presigned";
