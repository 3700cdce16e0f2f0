//! What a complete transfer has to say for itself: the outcome of its direction, and the same as a value to keep.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::outcome::Outcome;
use crate::upload::UploadOutcome;

/// A complete transfer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TransferOutcome {
    /// A file is at its target.
    Download(Outcome),
    /// The server has said that the object is there.
    Upload(UploadOutcome),
}

impl TransferOutcome {
    /// The same as a value to keep: what the terminal event of a complete task carries.
    pub fn completion(&self) -> Completion {
        match self {
            Self::Download(outcome) => Completion {
                bytes: outcome.bytes,
                moved: outcome.fetched,
                resumed_from: outcome.resumed_from,
                path: Some(outcome.path.clone()),
                location: None,
                etag: None,
                payload: None,
                digest: outcome.digest.as_ref().map(ToString::to_string),
                retries: outcome.retries,
                elapsed: outcome.elapsed,
            },
            Self::Upload(outcome) => Completion {
                bytes: outcome.bytes,
                moved: outcome.sent,
                resumed_from: outcome.resumed_from,
                path: None,
                location: outcome.location.clone(),
                etag: outcome.etag.clone(),
                payload: outcome.payload.as_ref().map(|payload| payload.to_vec()),
                digest: outcome.digest.as_ref().map(ToString::to_string),
                retries: outcome.retries,
                elapsed: outcome.elapsed,
            },
        }
    }
}

/// A complete transfer as a value to keep.
///
/// `location` and `payload` are what the server gave the application: they may be all that is needed to read or change the
/// object, so `Debug` does not show them. Serialized they are there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Completion {
    /// Length of the file or object in bytes.
    pub bytes: u64,
    /// Bytes that went over the network in the last run.
    pub moved: u64,
    /// Bytes that the last run took over from earlier ones.
    pub resumed_from: u64,
    /// Where the file of a download is. Serialized as text, in which what is no UTF-8 is replaced.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "lossy"
    )]
    pub path: Option<PathBuf>,
    /// Where the object of an upload is or what it is called, as the server said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The object's entity tag, as the server said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// What the server's last answer carried for the application, such as an id. Serialized in base64.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "base64")]
    pub payload: Option<Vec<u8>>,
    /// The digest that was asked for and has matched, such as `sha-256=9f86…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Requests of the last run that had to be made again.
    pub retries: u64,
    /// Time of the last run.
    pub elapsed: Duration,
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion")
            .field("bytes", &self.bytes)
            .field("moved", &self.moved)
            .field("resumed_from", &self.resumed_from)
            .field("path", &self.path)
            .field("etag", &self.etag)
            .field("payload", &self.payload.as_ref().map(Vec::len))
            .field("digest", &self.digest)
            .field("retries", &self.retries)
            .field("elapsed", &self.elapsed)
            .finish_non_exhaustive()
    }
}

/// A path that is no UTF-8 must not keep an application from its event.
fn lossy<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = path.as_ref().map(|path| path.to_string_lossy());
    text.serialize(serializer)
}

mod base64 {
    use data_encoding::BASE64;
    use serde::de::Error;

    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = bytes.as_ref().map(|bytes| BASE64.encode(bytes));
        text.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let decode = |text: String| BASE64.decode(text.as_bytes());
        text.map(decode).transpose().map_err(D::Error::custom)
    }
}
