//! `multipart/form-data` chunks to one URL, one after the other; the server's cursor decides where to go on.
//!
//! One URL takes two kinds of requests, told apart by their fields:
//!
//! | request | parts of the form, in this order |
//! |---|---|
//! | prepare | `fileMd5`, `fileName`, `category`, `totalSize` |
//! | chunk | the file part `file`, then `fileMd5`, `fileName`, `category`, `offset`, `partSize`, `totalSize` |
//!
//! Any 2xx answers with nothing or with `{"fileId": string, "nextByte": integer}`, both optional. A `fileId`, be it empty,
//! says that the object is there and is the outcome's payload, also as the answer to prepare. Else `nextByte` says where to
//! go on: after prepare anywhere up to the end, downwards too; after a chunk within that chunk, and behind its start.
//! The end reached without a `fileId` is the end as well, without a payload. An object of no bytes ends with prepare.
//!
//! The MD5 of the whole is how the server knows an upload again, so the source is read once for it before the first request,
//! unless the caller knows it ([`Form::file_md5`], [`Object::digest`]). When an earlier run has begun the upload and the
//! source has changed since, the digest is computed in any case: the one that was given must be that of the source.
//!
//! Where it is not known whether a chunk has arrived (its answer was lost, or 408 or a 5xx came, perhaps of a gateway),
//! prepare is sent again, as a new run would, and its answer believed. A server that appends blindly would otherwise have the
//! chunk twice. A chunk that was refused with 401, 403, 425 or 429, or never left, is sent again as it is.
//!
//! What an earlier run has completed is complete: it is not prepared again while the source is the same.
//!
//! Nothing can be discarded: the contract has no request for it.

mod body;
mod reply;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;

use bytehaul_integrity::{Algorithm, Digest};
use http::{HeaderValue, Method};
use url::Url;

use self::session::Session;
use crate::{
    Capabilities, Left, Object, ProtocolError, ProtocolErrorKind, UploadProtocol, UploadSession,
    address,
};

/// Chunks of `multipart/form-data` to one URL, as described in the [module](self).
///
/// ```
/// use bytehaul_providers::UploadProtocol;
/// use bytehaul_providers::form::Form;
///
/// let form = Form::new("https://api.example.com/upload").category("video").part_size(4 << 20);
/// form.validate()?;
/// # Ok::<(), bytehaul_providers::ProtocolError>(())
/// ```
#[derive(Clone)]
pub struct Form {
    url: String,
    method: Method,
    category: String,
    content_type: String,
    file_md5: Option<String>,
    part_size: u64,
}

impl Form {
    /// Uploads to this URL. A bad one is found by [`validate`](UploadProtocol::validate).
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: Method::POST,
            category: String::new(),
            content_type: "application/octet-stream".to_owned(),
            file_md5: None,
            part_size: PART_SIZE,
        }
    }

    /// The method of all requests. Default `POST`.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// The field `category`. Default empty.
    #[must_use]
    pub fn category(mut self, category: impl Into<String>) -> Self {
        self.category = category.into();
        self
    }

    /// The media type of the file part. Default `application/octet-stream`, which strict servers insist on.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// The MD5 of the whole content, in hex, which saves reading the source for it. Default: it is computed.
    #[must_use]
    pub fn file_md5(mut self, hex: impl Into<String>) -> Self {
        self.file_md5 = Some(hex.into());
        self
    }

    /// Bytes of one chunk, where [`Object::part_size`] says nothing. Default 8 MiB; 0 counts as 1.
    #[must_use]
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.part_size = bytes.max(1);
        self
    }

    fn known_md5(&self, object: &Object) -> Result<Option<Digest>, ProtocolError> {
        let given = object
            .digest
            .filter(|digest| digest.algorithm() == Algorithm::Md5);
        let Some(hex) = &self.file_md5 else {
            return Ok(given);
        };
        let md5 = Digest::parse(Algorithm::Md5, hex)
            .map_err(|error| ProtocolError::parameter("MD5", error))?;
        if given.is_some_and(|given| given != md5) {
            return Err(ProtocolError::parameter(
                "MD5",
                "two different ones are given",
            ));
        }
        Ok(Some(md5))
    }
}

impl UploadProtocol for Form {
    fn name(&self) -> &str {
        "form"
    }

    /// The URL, and the category as its fragment: the same file in another category is another upload.
    fn target(&self) -> String {
        let Ok(mut url) = address::parse(&self.url) else {
            return self.url.clone();
        };
        if !self.category.is_empty() {
            url.set_fragment(Some(&self.category));
        }
        url.into()
    }

    fn endpoint(&self) -> Option<Url> {
        address::parse(&self.url).ok()
    }

    fn validate(&self) -> Result<(), ProtocolError> {
        address::parse(&self.url)?;
        if NO_BODY.contains(&self.method) {
            let what = format!("{} carries no form", self.method);
            return Err(ProtocolError::parameter("method", what));
        }
        if HeaderValue::from_str(&self.content_type).is_err() {
            return Err(ProtocolError::parameter(
                "content type",
                "it holds control characters",
            ));
        }
        self.known_md5(&Object::default()).map(|_| ())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().resumable(true)
    }

    fn open(
        &self,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Box<dyn UploadSession>, ProtocolError> {
        self.validate()?;
        let url = address::parse(&self.url)?;
        let Some(total) = object.len else {
            let what = "form uploads need a source of known length";
            return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
        };
        let known = self.known_md5(object)?;
        Ok(Box::new(Session::new(
            self, url, object, total, known, left,
        )))
    }
}

impl fmt::Debug for Form {
    /// Shows the host of the URL alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form")
            .field("host", &address::shown(&self.url))
            .field("method", &self.method)
            .field("category", &self.category)
            .field("part_size", &self.part_size)
            .finish_non_exhaustive()
    }
}

/// Bytes of one chunk where nobody says.
const PART_SIZE: u64 = 8 << 20;

/// Methods whose requests have no body of any meaning (RFC 9110, section 9.3).
const NO_BODY: [Method; 4] = [Method::GET, Method::HEAD, Method::CONNECT, Method::TRACE];
