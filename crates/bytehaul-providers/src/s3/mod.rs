//! Uploads to Amazon S3 and to those who speak like it, downloads from them, and a signer that can be used alone.
//!
//! ```
//! use bytehaul_providers::s3::{S3, S3Config, S3Credentials, S3Download};
//!
//! let config = S3Config::new(S3Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret")).region("eu-west-1");
//! let upload = S3::new("s3://bucket/dump.zst", config.clone())?;
//! let download = S3Download::new("s3://bucket/dump.zst", config)?;
//! # let _ = (upload, download);
//! # Ok::<(), bytehaul_providers::ProtocolError>(())
//! ```
//!
//! # What is sent
//! What is not larger than one part (8 MiB) goes in one PutObject. Everything else is a multipart upload: CreateMultipartUpload,
//! parts in any order and several at a time, and CompleteMultipartUpload with exactly the parts that were sent. Each part goes with
//! a checksum that the server compares ([`Checksum`]); over plain HTTP its SHA-256 is signed as well. Bodies are never sent
//! in signed chunks or with trailers, which many stores do not understand.
//!
//! # What follows on answers that never came
//! A completion whose answer was lost is sent again. If the upload is gone then, the object is asked for: it is ours if it has
//! our length and the checksum or the ETag that follows from our parts. Where that cannot be told, the upload ends as
//! [`Indeterminate`](crate::ProtocolErrorKind::Indeterminate). A creation whose answer was lost is sent again too and leaves an
//! upload without parts behind, which [`ListUploads`] shows.
//!
//! # Resuming
//! The server's list of parts decides ([ListParts](https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html)). A part with
//! the size and the ETag of its receipt is there; a part that the server has and nobody here knows of is compared with the source by
//! its checksum, or its ETag where that is an MD5, and not sent if it is the same. Stores that list nothing are believed what they have
//! acknowledged.
//!
//! Cancelling aborts the one upload that was begun. An object is never deleted.
//!
//! # Google Cloud Storage
//! With HMAC keys and the endpoint `https://storage.googleapis.com` its XML API takes the same requests. It knows no checksum fields
//! but `Content-MD5`, its final ETags say nothing of the bytes, and `If-None-Match` on a write is not understood, so that
//! [`S3Config::if_none_match_any`] is refused.

mod answers;
mod config;
mod credentials;
mod digests;
mod download;
mod encoding;
mod geometry;
mod listing;
mod location;
mod orphans;
mod plan;
mod proof;
mod session;
pub mod sign;
#[cfg(test)]
mod tests;
mod wire;

use http::HeaderMap;
use url::Url;

use self::location::{Kind, Location};
use self::session::Session;
use self::wire::Wire;
use crate::{Capabilities, Left, Object, ProtocolError, UploadProtocol, UploadSession};

pub use self::config::{Addressing, Checksum, PayloadSigning, S3Config, SharedFiles};
pub use self::credentials::S3Credentials;
pub use self::download::S3Download;
pub use self::orphans::{ListUploads, OpenUpload};
pub use self::plan::Operation;

/// Uploads of one object of S3.
#[derive(Clone, Debug)]
pub struct S3 {
    location: Location,
    config: S3Config,
}

impl S3 {
    /// An upload to `s3://BUCKET/KEY`. The key is taken as it is: it is not percent-decoded, and `?`, `#` and `+` belong to it.
    ///
    /// # Errors
    /// [`Parameter`](crate::ProtocolErrorKind::Parameter): a name, an endpoint or a region that cannot be, or a key with `.` or
    /// `..` between slashes, which no URL can hold.
    pub fn new(object: &str, config: S3Config) -> Result<Self, ProtocolError> {
        let location = Location::new(object, &config)?;
        if location.kind == Kind::Google && config.if_none_match_any {
            let reason = "Google takes it for reads alone";
            return Err(ProtocolError::parameter("if_none_match_any", reason));
        }
        Ok(Self { location, config })
    }

    fn wire(&self, creation: HeaderMap) -> Wire {
        Wire::new(self.location.clone(), &self.config, creation)
    }
}

impl UploadProtocol for S3 {
    fn name(&self) -> &str {
        NAME
    }

    fn target(&self) -> String {
        self.location.to_string()
    }

    /// `None`: neither fields nor credentials of the task go to S3, whose requests are signed.
    fn endpoint(&self) -> Option<Url> {
        None
    }

    fn validate(&self) -> Result<(), ProtocolError> {
        self.location.url(&[]).map(drop)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .parallel(true)
            .unknown_length(true)
            .resumable(true)
    }

    fn open(
        &self,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Box<dyn UploadSession>, ProtocolError> {
        let creation = self.config.creation(object)?;
        let session = Session::new(self.wire(creation), &self.config, object, left)?;
        Ok(Box::new(session))
    }
}

const NAME: &str = "s3";
