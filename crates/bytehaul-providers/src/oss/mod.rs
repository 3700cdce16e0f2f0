//! Uploads to Aliyun OSS, downloads from it, and a signer that can be used alone.
//!
//! ```
//! use bytehaul_providers::oss::{Oss, OssConfig, OssCredentials, OssDownload};
//!
//! let config = OssConfig::new(OssCredentials::new("LTAI5example", "secret")).region("cn-hangzhou");
//! let upload = Oss::new("oss://bucket/dump.zst", config.clone())?;
//! let download = OssDownload::new("oss://bucket/dump.zst", config)?;
//! # let _ = (upload, download);
//! # Ok::<(), bytehaul_providers::ProtocolError>(())
//! ```
//!
//! # What is sent
//! What is not larger than one part (8 MiB) goes in one PutObject. Everything else is a multipart upload: InitiateMultipartUpload,
//! parts in any order and several at a time, and CompleteMultipartUpload with exactly the parts that were sent, never
//! `x-oss-complete-all`. Every request is signed by Version 4.
//!
//! # What is compared
//! The server says the CRC-64 of each part that it takes, and of the object that it makes. The source is read once more, a
//! part ahead of what is sent, and both must be that of its bytes: a part that is not is sent again.
//!
//! # What follows on answers that never came
//! A completion whose answer was lost is sent again. If the upload is gone then, the object is asked for: it is ours if it has
//! our length and our CRC-64. Where that cannot be told, the upload ends as
//! [`Indeterminate`](crate::ProtocolErrorKind::Indeterminate). A creation whose answer was lost is sent again too and leaves an
//! upload without parts behind, which [`ListUploads`] shows.
//!
//! # Resuming
//! The server's list of parts decides ([ListParts](https://help.aliyun.com/zh/oss/developer-reference/listparts)). A part with the
//! size, the ETag and the CRC-64 of its receipt is there; a part that the server has and nobody here knows of is compared with the
//! source by its CRC-64, and not sent if it is the same. An upload that is gone is begun anew.
//!
//! Cancelling aborts the one upload that was begun. An object is never deleted.

pub mod sign;

mod answers;
mod config;
mod credentials;
mod download;
mod encoding;
mod geometry;
mod listing;
mod location;
mod orphans;
mod plan;
mod session;
mod sums;
#[cfg(test)]
mod tests;
mod wire;

use url::Url;

use self::location::Location;
use self::session::Session;
use self::wire::Wire;
use crate::{Capabilities, Left, Object, ProtocolError, UploadProtocol, UploadSession};

pub use self::config::{Addressing, Existing, OssConfig};
pub use self::credentials::OssCredentials;
pub use self::download::OssDownload;
pub use self::orphans::{ListUploads, OpenUpload};
pub use self::plan::Operation;

/// Uploads of one object of OSS.
#[derive(Clone, Debug)]
pub struct Oss {
    location: Location,
    config: OssConfig,
}

impl Oss {
    /// An upload to `oss://BUCKET/KEY`. The key is taken as it is: it is not percent-decoded, and `?`, `#` and `+` belong to it.
    ///
    /// # Errors
    /// [`Parameter`](crate::ProtocolErrorKind::Parameter): a name, an endpoint or a region that cannot be, or a key with `.` or
    /// `..` between slashes, which no URL can hold.
    pub fn new(object: &str, config: OssConfig) -> Result<Self, ProtocolError> {
        let location = Location::new(object, &config)?;
        Ok(Self { location, config })
    }

    fn wire(&self, object: &Object) -> Result<Wire, ProtocolError> {
        Ok(Wire {
            location: self.location.clone(),
            existing: self.config.existing,
            creation: self.config.creation(object)?,
        })
    }
}

impl UploadProtocol for Oss {
    fn name(&self) -> &str {
        NAME
    }

    fn target(&self) -> String {
        self.location.to_string()
    }

    /// `None`: neither fields nor credentials of the task go to OSS, whose requests are signed.
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
        let session = Session::new(self.wire(object)?, &self.config, object, left)?;
        Ok(Box::new(session))
    }
}

const NAME: &str = "oss";
