//! The requests of OSS, signed one by one, and the one body that is not of the source.

use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::location::Location;
use super::sign;
use crate::oss::{Existing, OssCredentials};
use crate::{Exchange, ExchangeId, PartReceipt, Payload, ProtocolError, Step, said};

/// Where requests go: what all requests of one session have in common.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) location: Location,
    pub(super) existing: Existing,
    /// The fields that go with the creation.
    pub(super) creation: HeaderMap,
}

/// Who signs a request, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signer<'a> {
    pub(super) credentials: &'a OssCredentials,
    pub(super) now: SystemTime,
}

/// A request before it is signed.
struct Draft<'a> {
    step: Step,
    method: Method,
    query: &'a [(&'a str, &'a str)],
    headers: HeaderMap,
    payload: Payload,
}

impl<'a> Draft<'a> {
    fn new(step: Step, method: Method, query: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            step,
            method,
            query,
            headers: HeaderMap::new(),
            payload: Payload::default(),
        }
    }
}

impl Wire {
    fn sign(
        &self,
        id: ExchangeId,
        draft: Draft<'_>,
        by: Signer<'_>,
    ) -> Result<Exchange, ProtocolError> {
        let url = self.location.url(draft.query)?;
        let mut headers = draft.headers;
        let request = sign::Request::new(&draft.method, &url, &headers, self.location.object());
        let added = sign::sign(request, by.credentials, &self.location.region, by.now)?;
        headers.extend(added);
        Ok(Exchange::new(id, draft.step, draft.method, url)
            .headers(headers)
            .payload(draft.payload))
    }

    /// InitiateMultipartUpload.
    pub(super) fn begin(&self, id: ExchangeId, by: Signer<'_>) -> Result<Exchange, ProtocolError> {
        let query = [("uploads", ""), URL_ENCODED];
        let mut draft = Draft::new(Step::Begin, Method::POST, &query);
        draft.headers = self.made_with();
        // A length has to be there, also where there is no body.
        draft.payload = Payload::bytes(Bytes::new());
        self.sign(id, draft, by)
    }

    /// PutObject.
    pub(super) fn put(
        &self,
        id: ExchangeId,
        range: Range<u64>,
        by: Signer<'_>,
    ) -> Result<Exchange, ProtocolError> {
        let step = Step::Part {
            number: 1,
            range: range.clone(),
        };
        let mut draft = Draft::new(step, Method::PUT, &[]);
        draft.headers = self.made_with();
        draft.payload = Payload::source(range);
        self.sign(id, draft, by)
    }

    /// UploadPart.
    pub(super) fn part(
        &self,
        id: ExchangeId,
        upload: &str,
        number: u32,
        range: Range<u64>,
        by: Signer<'_>,
    ) -> Result<Exchange, ProtocolError> {
        let text = number.to_string();
        let query = [("partNumber", text.as_str()), ("uploadId", upload)];
        let step = Step::Part {
            number,
            range: range.clone(),
        };
        let mut draft = Draft::new(step, Method::PUT, &query);
        draft.payload = Payload::source(range);
        self.sign(id, draft, by)
    }

    /// ListParts, behind a part; 0: from the first.
    pub(super) fn list(
        &self,
        id: ExchangeId,
        upload: &str,
        marker: u32,
        by: Signer<'_>,
    ) -> Result<Exchange, ProtocolError> {
        let marker = marker.to_string();
        let query = [
            ("uploadId", upload),
            ("max-parts", "1000"),
            ("part-number-marker", &marker),
            URL_ENCODED,
        ];
        self.sign(id, Draft::new(Step::Check, Method::GET, &query), by)
    }

    /// CompleteMultipartUpload of exactly these parts, in their order.
    pub(super) fn complete(
        &self,
        id: ExchangeId,
        upload: &str,
        receipts: &[PartReceipt],
        by: Signer<'_>,
    ) -> Result<Exchange, ProtocolError> {
        let query = [("uploadId", upload), URL_ENCODED];
        let mut draft = Draft::new(Step::Commit, Method::POST, &query);
        let xml = HeaderValue::from_static("application/xml");
        draft.headers.insert(CONTENT_TYPE, xml);
        self.condition(&mut draft.headers);
        draft.payload = Payload::bytes(completion(receipts).into_bytes());
        self.sign(id, draft, by)
    }

    /// HeadObject.
    pub(super) fn head(&self, id: ExchangeId, by: Signer<'_>) -> Result<Exchange, ProtocolError> {
        self.sign(id, Draft::new(Step::Check, Method::HEAD, &[]), by)
    }

    /// AbortMultipartUpload.
    pub(super) fn abort(
        &self,
        id: ExchangeId,
        upload: &str,
        by: Signer<'_>,
    ) -> Result<Exchange, ProtocolError> {
        let query = [("uploadId", upload)];
        self.sign(id, Draft::new(Step::Abort, Method::DELETE, &query), by)
    }

    fn made_with(&self) -> HeaderMap {
        let mut headers = self.creation.clone();
        self.condition(&mut headers);
        headers
    }

    fn condition(&self, headers: &mut HeaderMap) {
        if self.existing == Existing::Refuse {
            headers.insert(FORBID_OVERWRITE, HeaderValue::from_static("true"));
        }
    }
}

fn completion(receipts: &[PartReceipt]) -> String {
    let mut xml = String::from("<CompleteMultipartUpload>");
    for receipt in receipts {
        xml.push_str("<Part><PartNumber>");
        xml.push_str(&receipt.number.to_string());
        xml.push_str("</PartNumber><ETag>");
        said::escape(receipt.tag.as_deref().unwrap_or_default(), &mut xml);
        xml.push_str("</ETag></Part>");
    }
    xml.push_str("</CompleteMultipartUpload>");
    xml
}

const FORBID_OVERWRITE: HeaderName = HeaderName::from_static("x-oss-forbid-overwrite");
/// Keys may hold characters that XML cannot.
pub(super) const URL_ENCODED: (&str, &str) = ("encoding-type", "url");
