//! One `PUT` or `POST` of the whole body (RFC 9110, sections 9.3.3 and 9.3.4), or `PUT`s of its ranges for servers that take them.
//!
//! Any 2xx says that the object is there; its ETag, its `Location` and its body are handed on. Where the answer names a digest
//! of the object (`Repr-Digest`, `Digest`, `Content-Digest`, `Content-MD5`, `x-amz-checksum-*` and the like) of an algorithm
//! whose value is known here (what [`Put::content_md5`] and [`Put::content_digest`] compute, [`Object::digest`], CRC-32C always),
//! the two are compared; an ETag proves something only when it is the MD5. A digest of the answer's own body says nothing.
//!
//! What becomes of an answer that is lost, or of one from a gateway that got none (502, 504):
//!
//! | request | then |
//! |---|---|
//! | `PUT` | sent again: it is idempotent |
//! | with [`Put::if_none_match_any`] | sent again; 412 is then looked into by `HEAD`: done if a digest or the MD5 in the ETag says that it is our object, changed if its length or digest is another, else indeterminate |
//! | `POST` | indeterminate, but with [`Put::idempotent`] sent again |
//! | `PUT` of a stream, of which nothing is kept | `HEAD`: done if a digest says that it is our object, sent again if there is none (which the driver may be unable to), else indeterminate |
//!
//! Another status, such as 503, says that the object was not made, so also a `POST` is sent again after it. One that was paused or
//! interrupted by the end of the process is sent again when the upload is resumed.
//!
//! ## In ranges
//!
//! [`Put::resumable`] sends a large body in parts, one after the other: the first as a plain `PUT`, which also removes what
//! an older and longer object would leave behind, all others with `Content-Range: bytes a-b/total`. RFC 9110 (section 14.5)
//! leaves that to agreements between client and server; Apache's mod_dav keeps to it, and others that do not may refuse it or,
//! worse, replace the object by a part of it. So it is for servers that are known to take it; at the end `HEAD` must
//! give the whole length. Until then an incomplete object stands under the URL.
//!
//! Where to go on after a lost answer or in another run is what `HEAD` says of the length. What it says is believed as far
//! as this upload can have written, of which a checkpoint tells before it is written: four parts beyond the last receipt at
//! most. With any other length, or another entity tag than the last answer's, the upload starts over from the first byte
//! rather than mix two objects. [Aborting](UploadSession::abort) deletes the incomplete object if it is
//! still the one that this upload wrote.

mod proof;
mod ranged;
#[cfg(test)]
mod tests;
mod whole;

use std::fmt;

use bytehaul_integrity::Algorithm;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use url::Url;

use self::ranged::Ranged;
use self::whole::Whole;
use crate::{
    Capabilities, Left, Object, ProtocolError, ProtocolErrorKind, UploadProtocol, UploadSession,
    address,
};

/// One request with the whole body, as described in the [module](self).
///
/// ```
/// use bytehaul_providers::put::Put;
/// use bytehaul_providers::{Algorithm, UploadProtocol};
///
/// let put = Put::new("https://files.example.com/a.iso").content_digest(Algorithm::Sha256).if_none_match_any();
/// put.validate()?;
/// # Ok::<(), bytehaul_providers::ProtocolError>(())
/// ```
#[derive(Clone)]
pub struct Put {
    url: String,
    method: Method,
    content_md5: bool,
    content_digest: Option<Algorithm>,
    if_none_match_any: bool,
    idempotent: bool,
    expect_above: u64,
    resumable: bool,
    part_size: u64,
}

impl Put {
    /// Uploads to this URL. A bad one is found by [`validate`](UploadProtocol::validate).
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: Method::PUT,
            content_md5: false,
            content_digest: None,
            if_none_match_any: false,
            idempotent: false,
            expect_above: EXPECT_ABOVE,
            resumable: false,
            part_size: PART_SIZE,
        }
    }

    /// `PUT` or `POST`. Default `PUT`.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Whether to send `Content-MD5` (RFC 1864), for which the source is read once before. Default false. Needs a known length.
    #[must_use]
    pub fn content_md5(mut self, send: bool) -> Self {
        self.content_md5 = send;
        self
    }

    /// Sends `Content-Digest` (RFC 9530) of this algorithm, SHA-256 or SHA-512, for which the source is read once before.
    /// Default: none. Needs a known length.
    #[must_use]
    pub fn content_digest(mut self, algorithm: Algorithm) -> Self {
        self.content_digest = Some(algorithm);
        self
    }

    /// Sends `If-None-Match: *`: an object that exists is not replaced. Default: it is. Not together with ranges.
    #[must_use]
    pub fn if_none_match_any(mut self) -> Self {
        self.if_none_match_any = true;
        self
    }

    /// Whether a `POST` may be sent again when its answer was lost. Default false. A `PUT` always may.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Bodies of more bytes than this, and those of unknown length, wait for the server's leave (`Expect: 100-continue`).
    /// Default 1 MiB; `u64::MAX` never, for any body.
    #[must_use]
    pub fn expect_continue_above(mut self, bytes: u64) -> Self {
        self.expect_above = bytes;
        self
    }

    /// Whether to send bodies larger than one part in ranges, so that an upload that broke off can go on. Default false: few
    /// servers can do it, and some do harm (see the [module](self)). Needs `PUT` and a known length.
    #[must_use]
    pub fn resumable(mut self, resumable: bool) -> Self {
        self.resumable = resumable;
        self
    }

    /// Bytes of one part of a resumable upload, where [`Object::part_size`] says nothing. Default 8 MiB; 0 counts as 1.
    #[must_use]
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.part_size = bytes.max(1);
        self
    }

    /// Whether a body of this length waits for leave.
    fn expects(&self, len: Option<u64>) -> bool {
        match len {
            Some(len) => len > self.expect_above,
            None => self.expect_above != u64::MAX,
        }
    }

    /// The digests that go with a body.
    fn algorithms(&self) -> Vec<Algorithm> {
        let md5 = self.content_md5.then_some(Algorithm::Md5);
        md5.into_iter().chain(self.content_digest).collect()
    }

    /// The fields of every request with a body.
    fn headers(&self, object: &Object) -> Result<HeaderMap, ProtocolError> {
        let mut headers = HeaderMap::new();
        if let Some(text) = &object.content_type {
            let value = HeaderValue::from_str(text)
                .map_err(|error| ProtocolError::parameter("content type", error))?;
            headers.insert(CONTENT_TYPE, value);
        }
        Ok(headers)
    }
}

impl UploadProtocol for Put {
    fn name(&self) -> &str {
        "put"
    }

    fn target(&self) -> String {
        address::parse(&self.url).map_or_else(|_| self.url.clone(), String::from)
    }

    fn endpoint(&self) -> Option<Url> {
        address::parse(&self.url).ok()
    }

    fn validate(&self) -> Result<(), ProtocolError> {
        address::parse(&self.url)?;
        if !matches!(self.method, Method::PUT | Method::POST) {
            let what = format!("{} is neither PUT nor POST", self.method);
            return Err(ProtocolError::parameter("method", what));
        }
        if let Some(algorithm) = self.content_digest
            && !matches!(algorithm, Algorithm::Sha256 | Algorithm::Sha512)
        {
            let what = format!("{algorithm} is neither sha-256 nor sha-512");
            return Err(ProtocolError::parameter("content digest", what));
        }
        if self.resumable && (self.method != Method::PUT || self.if_none_match_any) {
            let what = "ranges can neither be posted nor be sent on condition";
            return Err(ProtocolError::parameter("resumable", what));
        }
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .resumable(self.resumable)
            .unknown_length(!self.resumable && self.algorithms().is_empty())
    }

    fn open(
        &self,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Box<dyn UploadSession>, ProtocolError> {
        self.validate()?;
        let url = address::parse(&self.url)?;
        if object.len.is_none() && !self.capabilities().unknown_length {
            let what = "ranges and digests ahead of the body need a source of known length";
            return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
        }
        let headers = self.headers(object)?;
        let part_size = match left.as_ref().map_or(0, |left| left.saved.part_size) {
            0 => object.part_size.unwrap_or(self.part_size).max(1),
            kept => kept,
        };
        Ok(match object.len {
            Some(total) if self.resumable && total > part_size => Box::new(Ranged::new(
                self, url, headers, object, total, part_size, left,
            )),
            _ => Box::new(Whole::new(self, url, headers, object, left)),
        })
    }
}

impl fmt::Debug for Put {
    /// Shows the host of the URL alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Put")
            .field("host", &address::shown(&self.url))
            .field("method", &self.method)
            .field("content_md5", &self.content_md5)
            .field("content_digest", &self.content_digest)
            .field("if_none_match_any", &self.if_none_match_any)
            .field("resumable", &self.resumable)
            .finish_non_exhaustive()
    }
}

/// Bodies that are not worth a round trip for leave.
const EXPECT_ABOVE: u64 = 1 << 20;

/// Bytes of one part where nobody says.
const PART_SIZE: u64 = 8 << 20;
