//! What a back end hands out: signed URLs for one request, and whole plans, made from credentials.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Method};
use url::Url;

use super::answers::{Verdict, shown, verdict};
use super::listing::{MOST_OF_A_TAG, below_root};
use super::sign;
use super::wire::Signer;
use crate::s3::{S3, S3Credentials};
use crate::{Answer, Exchange, ExchangeId, Object, ProtocolError, ProtocolErrorKind, SessionId};

/// What is signed into a URL.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Operation<'a> {
    /// Reads the object, any range of it.
    Get,
    /// Asks for the object's properties.
    Head,
    /// Writes the whole object.
    Put,
    /// Writes a part of an upload.
    Part {
        /// The upload's id.
        upload: &'a str,
        /// The part's number, from 1.
        number: u32,
    },
    /// Makes the object of the parts.
    Complete {
        /// The upload's id.
        upload: &'a str,
    },
    /// Discards the parts.
    Abort {
        /// The upload's id.
        upload: &'a str,
    },
    /// Lists the parts.
    ListParts {
        /// The upload's id.
        upload: &'a str,
    },
}

impl S3 {
    /// A URL that is good for one operation from `now` on, but not for longer than the credentials. Whoever has it may use it as
    /// often as they like.
    ///
    /// # Errors
    /// [`Parameter`](ProtocolErrorKind::Parameter): as [`sign::presign`].
    pub fn presign(
        &self,
        operation: &Operation<'_>,
        credentials: &S3Credentials,
        now: SystemTime,
        life: Duration,
    ) -> Result<Url, ProtocolError> {
        let number;
        let (method, query) = match *operation {
            Operation::Get => (Method::GET, vec![]),
            Operation::Head => (Method::HEAD, vec![]),
            Operation::Put => (Method::PUT, vec![]),
            Operation::Part { upload, number: of } => {
                number = of.to_string();
                let query = vec![("partNumber", number.as_str()), ("uploadId", upload)];
                (Method::PUT, query)
            }
            Operation::Complete { upload } => (Method::POST, vec![("uploadId", upload)]),
            Operation::Abort { upload } => (Method::DELETE, vec![("uploadId", upload)]),
            Operation::ListParts { upload } => (Method::GET, vec![("uploadId", upload)]),
        };
        let left = credentials
            .expires_at
            .map(|at| at.duration_since(now).unwrap_or_default());
        let life = left.map_or(life, |left| life.min(left.max(Duration::from_secs(1))));
        let url = self.location.url(&query)?;
        let none = HeaderMap::new();
        let request = sign::Request::new(&method, &url, &none);
        sign::presign(request, credentials, &self.location.region, now, life)
    }

    /// The request that begins a multipart upload, for a back end that then makes a plan of it. Without checksums: whoever sends
    /// the parts of a plan does not compute any.
    ///
    /// # Errors
    /// [`Parameter`](ProtocolErrorKind::Parameter): it cannot be signed, or the object has properties that S3 cannot keep.
    pub fn create_request(
        &self,
        object: &Object,
        credentials: &S3Credentials,
        now: SystemTime,
    ) -> Result<Exchange, ProtocolError> {
        let mut wire = self.wire(self.config.creation(object)?);
        wire.checksum = super::Checksum::None;
        wire.create(ExchangeId(1), Signer { credentials, now })
    }

    /// The id of the upload that was begun, from the answer to [`create_request`](Self::create_request).
    ///
    /// # Errors
    /// [`Status`](ProtocolErrorKind::Status) or [`Parse`](ProtocolErrorKind::Parse): none was begun.
    pub fn created(answer: &Answer<'_>) -> Result<SessionId, ProtocolError> {
        if !answer.status.is_success() {
            let what = match verdict(answer, UNIX_EPOCH) {
                Verdict::Elsewhere(region, said) => {
                    format!("the bucket is in {}: {said}", shown(&region))
                }
                _ => format!("creation of the upload: status {}", answer.status.as_u16()),
            };
            return Err(ProtocolError::new(
                ProtocolErrorKind::Status(answer.status),
                what,
            ));
        }
        let upload = below_root(answer.body, "UploadId");
        let upload = upload.filter(|id| id.len() <= MOST_OF_A_TAG);
        upload.map(SessionId::new).ok_or_else(|| {
            let what = "the answer to the creation has no upload id";
            ProtocolError::new(ProtocolErrorKind::Parse, what)
        })
    }
}

#[cfg(feature = "presigned")]
mod plans {
    use super::*;
    use crate::presigned::{DownloadPlan, PlanRequest, UploadPlan};
    use crate::s3::geometry::Geometry;

    impl S3 {
        /// A plan for an upload that was [begun](S3::create_request): URLs of all parts, of the completion, of the abort, and of
        /// the look at the object, each good for `life` from `now` on.
        ///
        /// # Errors
        /// [`Length`](ProtocolErrorKind::Length): the object's length is not known or too much;
        /// [`Parameter`](ProtocolErrorKind::Parameter): it cannot be signed.
        pub fn plan(
            &self,
            upload: &SessionId,
            object: &Object,
            credentials: &S3Credentials,
            now: SystemTime,
            life: Duration,
        ) -> Result<UploadPlan, ProtocolError> {
            let Some(len) = object.len else {
                let what = "a plan is of an object whose length is known";
                return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
            };
            let size = Geometry::new(object, &self.config)?.size;
            let upload = upload.as_str();
            let signed = |operation: Operation<'_>| {
                self.presign(&operation, credentials, now, life)
                    .map(String::from)
            };
            let numbers = 1..=u32::try_from(len.div_ceil(size).max(1)).unwrap_or(u32::MAX);
            let urls = numbers.map(|number| signed(Operation::Part { upload, number }));
            let urls: Vec<String> = urls.collect::<Result<_, _>>()?;
            let complete = signed(Operation::Complete { upload })?;
            let abort = signed(Operation::Abort { upload })?;
            let mut plan = UploadPlan::s3(upload, len, size, urls, complete, Some(abort));
            plan.head_request = Some(PlanRequest::new(signed(Operation::Head)?));
            Ok(plan)
        }

        /// A plan for a download, good for `life` from `now` on.
        ///
        /// # Errors
        /// [`Parameter`](ProtocolErrorKind::Parameter): it cannot be signed.
        pub fn download_plan(
            &self,
            credentials: &S3Credentials,
            now: SystemTime,
            life: Duration,
        ) -> Result<DownloadPlan, ProtocolError> {
            let url = self.presign(&Operation::Get, credentials, now, life)?;
            Ok(DownloadPlan::new(String::from(url)))
        }
    }
}
