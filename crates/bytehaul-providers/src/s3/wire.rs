//! The requests of S3, signed one by one, and the few bodies that they have.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::IF_NONE_MATCH;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::location::Location;
use super::sign::{self, PayloadHash};
use crate::s3::{Checksum, PayloadSigning, S3Config, S3Credentials};
use crate::{
    Algorithm, Digest, Exchange, ExchangeId, PartReceipt, Payload, ProtocolError, Step, said,
};

/// Where requests go and how they are signed: what all requests of one session have in common.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) location: Location,
    payload_signing: PayloadSigning,
    pub(super) checksum: Checksum,
    if_none_match_any: bool,
    /// The fields that go with the creation.
    creation: HeaderMap,
}

/// Who signs a request, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signer<'a> {
    pub(super) credentials: &'a S3Credentials,
    pub(super) now: SystemTime,
}

/// A request before it is signed.
pub(super) struct Draft<'a> {
    pub(super) id: ExchangeId,
    pub(super) step: Step,
    pub(super) method: Method,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
    pub(super) hash: PayloadHash,
}

impl<'a> Draft<'a> {
    pub(super) fn new(id: ExchangeId, step: Step, method: Method) -> Self {
        Self {
            id,
            step,
            method,
            query: &[],
            headers: HeaderMap::new(),
            payload: Payload::default(),
            hash: PayloadHash::of(b""),
        }
    }

    pub(super) fn query(mut self, query: &'a [(&'a str, &'a str)]) -> Self {
        self.query = query;
        self
    }

    pub(super) fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }
}

impl Wire {
    pub(super) fn new(location: Location, config: &S3Config, creation: HeaderMap) -> Self {
        let checksum = config.checksum.unwrap_or(match location.kind {
            super::location::Kind::Amazon => Checksum::Crc64Nvme,
            super::location::Kind::Google | super::location::Kind::Other => Checksum::ContentMd5,
        });
        Self {
            location,
            payload_signing: config.payload_signing,
            checksum,
            if_none_match_any: config.if_none_match_any,
            creation,
        }
    }

    pub(super) fn sign(&self, draft: Draft<'_>, by: Signer<'_>) -> Result<Exchange, ProtocolError> {
        let url = self.location.url(draft.query)?;
        let request = sign::Request::new(&draft.method, &url, &draft.headers).payload(draft.hash);
        let added = sign::sign(request, by.credentials, &self.location.region, by.now)?;
        let mut headers = draft.headers;
        headers.extend(added);
        Ok(Exchange::new(draft.id, draft.step, draft.method, url)
            .headers(headers)
            .payload(draft.payload))
    }

    /// The digests of a body that are needed before it can be sent.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let mut all: Vec<Algorithm> = self.checksum.algorithm().into_iter().collect();
        if self.signs_payload() && !all.contains(&Algorithm::Sha256) {
            all.push(Algorithm::Sha256);
        }
        all
    }

    fn signs_payload(&self) -> bool {
        match self.payload_signing {
            PayloadSigning::Auto => !self.location.is_tls(),
            PayloadSigning::Always => true,
            PayloadSigning::Never => false,
        }
    }

    /// What a signature says of a body with these digests.
    pub(super) fn hash(&self, digests: &[Digest]) -> PayloadHash {
        let sha256 = digests
            .iter()
            .find(|one| one.algorithm() == Algorithm::Sha256);
        match sha256.filter(|_| self.signs_payload()) {
            Some(digest) => {
                let mut bytes = [0; 32];
                bytes.copy_from_slice(digest.as_bytes());
                PayloadHash::Sha256(bytes)
            }
            None => PayloadHash::Unsigned,
        }
    }

    /// The field with the checksum of a body with these digests.
    pub(super) fn checksum_field(&self, digests: &[Digest], headers: &mut HeaderMap) {
        let algorithm = self.checksum.algorithm();
        let digest = digests
            .iter()
            .find(|one| Some(one.algorithm()) == algorithm);
        if let (Some(digest), Some(name)) = (digest, self.checksum.field()) {
            headers.insert(name, text(&digest.base64()));
        }
    }

    /// CreateMultipartUpload.
    pub(super) fn create(&self, id: ExchangeId, by: Signer<'_>) -> Result<Exchange, ProtocolError> {
        let mut headers = self.creation.clone();
        if let Some(name) = self.checksum.name() {
            headers.insert(
                HeaderName::from_static("x-amz-checksum-algorithm"),
                text(name),
            );
            headers.insert(CHECKSUM_TYPE, text(self.checksum_type()));
        }
        let draft = Draft::new(id, Step::Begin, Method::POST).query(&[("uploads", "")]);
        // Some stores want a length where there is no body.
        let draft = Draft {
            payload: Payload::bytes(Bytes::new()),
            ..draft.headers(headers)
        };
        self.sign(draft, by)
    }

    /// PutObject; the body and what is known of it go into the draft.
    pub(super) fn put(
        &self,
        mut draft: Draft<'_>,
        digests: &[Digest],
        by: Signer<'_>,
    ) -> Result<Exchange, ProtocolError> {
        let mut headers = self.creation.clone();
        self.checksum_field(digests, &mut headers);
        self.condition(&mut headers);
        draft.headers = headers;
        draft.hash = self.hash(digests);
        self.sign(draft, by)
    }

    /// CompleteMultipartUpload of these parts, in their order. `sums` has the checksum of each, as far as it is needed.
    pub(super) fn complete(
        &self,
        id: ExchangeId,
        upload: &str,
        receipts: &[PartReceipt],
        sums: &[Option<Digest>],
        by: Signer<'_>,
    ) -> Result<Exchange, ProtocolError> {
        let body = self.completion(receipts, sums);
        let mut headers = HeaderMap::new();
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/xml"),
        );
        if let Some(whole) = self.joined(receipts, sums) {
            headers.insert(CHECKSUM_TYPE, text(self.checksum_type()));
            self.checksum_field(&[whole], &mut headers);
        }
        if self.location.kind == super::location::Kind::Amazon {
            let len: u64 = receipts.iter().map(|receipt| receipt.size).sum();
            headers.insert(HeaderName::from_static("x-amz-mp-object-size"), len.into());
        }
        self.condition(&mut headers);
        let draft = Draft::new(id, Step::Commit, Method::POST);
        let query = [("uploadId", upload)];
        let draft = Draft {
            hash: PayloadHash::of(body.as_bytes()),
            payload: Payload::bytes(body.into_bytes()),
            ..draft.query(&query).headers(headers)
        };
        self.sign(draft, by)
    }

    /// The checksum of the whole, where those of the parts make it.
    pub(super) fn joined(
        &self,
        receipts: &[PartReceipt],
        sums: &[Option<Digest>],
    ) -> Option<Digest> {
        let crc = match self.checksum {
            Checksum::Crc32c => bytehaul_integrity::Crc::Crc32c,
            Checksum::Crc64Nvme => bytehaul_integrity::Crc::Crc64Nvme,
            Checksum::None | Checksum::ContentMd5 | Checksum::Sha256 => return None,
        };
        if receipts.len() != sums.len() {
            return None;
        }
        let parts = receipts.iter().zip(sums);
        let parts: Option<Vec<(u64, u64)>> = parts
            .map(|(receipt, sum)| Some((sum.as_ref()?.crc()?, receipt.size)))
            .collect();
        Some(crc.digest(crc.join(parts?)))
    }

    fn completion(&self, receipts: &[PartReceipt], sums: &[Option<Digest>]) -> String {
        let mut xml = String::from(
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
        );
        for (at, receipt) in receipts.iter().enumerate() {
            xml.push_str("<Part><PartNumber>");
            xml.push_str(&receipt.number.to_string());
            xml.push_str("</PartNumber><ETag>");
            said::escape(receipt.tag.as_deref().unwrap_or_default(), &mut xml);
            xml.push_str("</ETag>");
            if let (Some(name), Some(Some(sum))) = (self.checksum.name(), sums.get(at)) {
                xml.push_str(&format!(
                    "<Checksum{name}>{}</Checksum{name}>",
                    sum.base64()
                ));
            }
            xml.push_str("</Part>");
        }
        xml.push_str("</CompleteMultipartUpload>");
        xml
    }

    fn checksum_type(&self) -> &'static str {
        match self.checksum.is_of_whole() {
            true => "FULL_OBJECT",
            false => "COMPOSITE",
        }
    }

    fn condition(&self, headers: &mut HeaderMap) {
        if self.if_none_match_any {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
    }
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("base64 and words are fit for a field")
}

const CHECKSUM_TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");
