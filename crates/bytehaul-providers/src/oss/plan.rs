//! What a back end hands out: signed URLs for one request, and whole plans, made from credentials.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method};
use url::Url;

use super::listing::MOST_OF_A_TAG;
use super::sign;
use super::wire::Signer;
use crate::oss::{Oss, OssCredentials};
use crate::{
    Answer, Exchange, ExchangeId, Object, ProtocolError, ProtocolErrorKind, SessionId, xml,
};

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

impl Oss {
    /// A URL that is good for one operation from `now` on, but not for longer than the credentials. Whoever has it may use it as
    /// often as they like, with no field that has to be signed: no `Content-Type`, no `Content-MD5`, no `x-oss-…`.
    ///
    /// # Errors
    /// [`Parameter`](ProtocolErrorKind::Parameter): as [`sign::presign`].
    pub fn presign(
        &self,
        operation: &Operation<'_>,
        credentials: &OssCredentials,
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
        let location = &self.location;
        let url = location.url(&query)?;
        let none = HeaderMap::new();
        let request = sign::Request::new(&method, &url, &none, location.object());
        sign::presign(request, credentials, &location.region, now, life)
    }

    /// The request that begins a multipart upload, for a back end that then makes a plan of it.
    ///
    /// # Errors
    /// [`Parameter`](ProtocolErrorKind::Parameter): it cannot be signed, or the object has properties that OSS cannot keep.
    pub fn create_request(
        &self,
        object: &Object,
        credentials: &OssCredentials,
        now: SystemTime,
    ) -> Result<Exchange, ProtocolError> {
        let by = Signer { credentials, now };
        self.wire(object)?.begin(ExchangeId(1), by)
    }

    /// The id of the upload that was begun, from the answer to [`create_request`](Self::create_request).
    ///
    /// # Errors
    /// [`Status`](ProtocolErrorKind::Status) or [`Parse`](ProtocolErrorKind::Parse): none was begun.
    pub fn created(answer: &Answer<'_>) -> Result<SessionId, ProtocolError> {
        if !answer.status.is_success() {
            let what = format!("creation of the upload: status {}", answer.status.as_u16());
            let kind = ProtocolErrorKind::Status(answer.status);
            return Err(ProtocolError::new(kind, what));
        }
        let upload = xml::at(answer.body, &["InitiateMultipartUploadResult", "UploadId"]);
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
    use crate::oss::geometry::Geometry;
    use crate::presigned::{DownloadPlan, PlanRequest, UploadPlan};

    impl Oss {
        /// A plan for an upload that was [begun](Oss::create_request): URLs of all parts, of the completion, of the abort, and of
        /// the look at the object, each good for `life` from `now` on.
        ///
        /// # Errors
        /// [`Length`](ProtocolErrorKind::Length): the object's length is not known or too much;
        /// [`Parameter`](ProtocolErrorKind::Parameter): it cannot be signed.
        pub fn plan(
            &self,
            upload: &SessionId,
            object: &Object,
            credentials: &OssCredentials,
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
                let url = self.presign(&operation, credentials, now, life);
                url.map(String::from)
            };
            let numbers = 1..=u32::try_from(len.div_ceil(size).max(1)).unwrap_or(u32::MAX);
            let urls = numbers.map(|number| signed(Operation::Part { upload, number }));
            let urls: Vec<String> = urls.collect::<Result<_, _>>()?;
            let complete = signed(Operation::Complete { upload })?;
            let abort = signed(Operation::Abort { upload })?;
            let mut plan = UploadPlan::oss(len, size, urls, complete, Some(abort))?;
            plan.head_request = Some(PlanRequest::new(signed(Operation::Head)?));
            Ok(plan)
        }

        /// A plan for a download, good for `life` from `now` on.
        ///
        /// # Errors
        /// [`Parameter`](ProtocolErrorKind::Parameter): it cannot be signed.
        pub fn download_plan(
            &self,
            credentials: &OssCredentials,
            now: SystemTime,
            life: Duration,
        ) -> Result<DownloadPlan, ProtocolError> {
            let url = self.presign(&Operation::Get, credentials, now, life)?;
            Ok(DownloadPlan::new(String::from(url)))
        }
    }
}
