//! The requests of an upload, without what authorises them.

use bytehaul_integrity::Hasher;
use data_encoding::BASE64;
use http::header::{CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::azure::AzureConfig;
use crate::azure::object::Blob;
use crate::blocks::{Existing, block_list};
use crate::{Algorithm, Digest, Part, PartReceipt, Payload, Step};

/// A request to the blob's URL.
pub(super) struct Request {
    pub(super) step: Step,
    pub(super) method: Method,
    /// Names and values, not encoded.
    pub(super) parameters: Vec<(&'static str, String)>,
    pub(super) fields: HeaderMap,
    pub(super) payload: Payload,
    pub(super) answer_limit: usize,
}

impl Request {
    fn new(step: Step, method: Method, parameters: &[(&'static str, &str)]) -> Self {
        let parameters = parameters.iter();
        Self {
            step,
            method,
            parameters: parameters
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            fields: HeaderMap::new(),
            payload: Payload::default(),
            answer_limit: 64 * 1024,
        }
    }

    /// Put Block.
    pub(super) fn block(part: &Part, id: &str, digest: Option<Digest>) -> Self {
        let parameters = [("comp", "block"), ("blockid", id)];
        let mut request = Self::new(step(part), Method::PUT, &parameters);
        request.payload = Payload::source(part.range.clone());
        request.fields.extend(digest.map(check));
        request
    }

    /// Put Blob.
    pub(super) fn whole(
        part: &Part,
        blob: &Blob,
        config: &AzureConfig,
        digest: Option<Digest>,
    ) -> Self {
        let mut request = Self::new(step(part), Method::PUT, &[]);
        request.fields = blob.fields.clone();
        let kind = HeaderName::from_static("x-ms-blob-type");
        request
            .fields
            .insert(kind, HeaderValue::from_static("BlockBlob"));
        request.fields.extend(digest.map(check));
        request.condition(config);
        request.payload = Payload::source(part.range.clone());
        request
    }

    /// Put Block List.
    pub(super) fn commit(blob: &Blob, config: &AzureConfig, parts: &[PartReceipt]) -> Self {
        let mut request = Self::new(Step::Commit, Method::PUT, &[("comp", "blocklist")]);
        let body = block_list(parts.iter().filter_map(|part| part.tag.as_deref()));
        request.fields = blob.fields.clone();
        let media = HeaderValue::from_static("application/xml");
        request.fields.insert(CONTENT_TYPE, media);
        let md5 = Hasher::digest(Algorithm::Md5, body.as_bytes());
        request.fields.extend([check(md5)]);
        request.condition(config);
        request.payload = Payload::bytes(body);
        request
    }

    /// Get Block List, of all blocks.
    pub(super) fn blocks() -> Self {
        let parameters = [("comp", "blocklist"), ("blocklisttype", "all")];
        let mut request = Self::new(Step::Check, Method::GET, &parameters);
        request.answer_limit = MOST_OF_A_LIST;
        request
    }

    /// Get Blob Properties.
    pub(super) fn properties() -> Self {
        Self::new(Step::Check, Method::HEAD, &[])
    }

    fn condition(&mut self, config: &AzureConfig) {
        if config.existing == Existing::Refuse {
            let any = HeaderValue::from_static("*");
            self.fields.insert(IF_NONE_MATCH, any);
        }
    }
}

fn step(part: &Part) -> Step {
    Step::Part {
        number: part.number,
        range: part.range.clone(),
    }
}

/// The field that has the service compare a body with its digest. A CRC is written from its last byte to its first.
fn check(digest: Digest) -> (HeaderName, HeaderValue) {
    let (name, value) = match digest.algorithm() {
        Algorithm::Crc64Nvme => {
            let crc = digest.crc().unwrap_or_default().to_le_bytes();
            ("x-ms-content-crc64", BASE64.encode(&crc))
        }
        _ => ("content-md5", digest.base64()),
    };
    let value = HeaderValue::from_str(&value).expect("base64 is plain text");
    (HeaderName::from_static(name), value)
}

/// Bytes of a list of blocks, at most: 50,000 of the blob and twice as many beside it, with names of 88 letters and room.
const MOST_OF_A_LIST: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_written_as_the_service_reads_them() {
        let shown = |algorithm| {
            let (name, value) = check(Hasher::digest(algorithm, b"123456789"));
            format!("{name}: {}", value.to_str().unwrap())
        };
        assert_eq!(
            shown(Algorithm::Md5),
            "content-md5: JfnnlDI7RTiF9RgfG2JNCw=="
        );
        // As azure-storage-extensions of the official SDK computes it and writes it.
        assert_eq!(
            shown(Algorithm::Crc64Nvme),
            "x-ms-content-crc64: iJh5CoYUi64="
        );
    }
}
