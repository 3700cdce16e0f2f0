//! What a finished upload has to say for itself.

use std::fmt;
use std::time::Duration;

use bytehaul_integrity::Digest;
use bytehaul_transport::SafeUrl;
use bytes::Bytes;

/// A complete upload: the server has said that the object is there.
#[derive(Clone)]
#[non_exhaustive]
pub struct UploadOutcome {
    /// Length of the object in bytes.
    pub bytes: u64,
    /// Bytes of the source that went over the network in this run, those that were sent again included.
    pub sent: u64,
    /// Bytes that an earlier run had sent and that were not sent again.
    pub resumed_from: u64,
    /// Whether the server had it already, by an earlier run or by somebody else, so that no byte of it was sent.
    pub already_complete: bool,
    /// Where the object is or what it is called, as the server said. It may be all that is needed to read or change it.
    pub location: Option<String>,
    /// Its entity tag, as the server said.
    pub etag: Option<String>,
    /// What the server's last answer carried for the application, such as an id.
    pub payload: Option<Bytes>,
    /// The digest that was asked for and that the source has; `None` when no checksum was given.
    pub digest: Option<Digest>,
    /// A digest of the whole that the server named, and that is that of the bytes that were sent.
    pub verified: Option<Digest>,
    /// Requests that had to be made again.
    pub retries: u64,
    /// Requests in flight at the same time, at most.
    pub connections: u32,
    /// Time from the start to the end.
    pub elapsed: Duration,
    /// Where it went, redacted.
    pub url: SafeUrl,
}

impl fmt::Debug for UploadOutcome {
    /// Shows neither location nor payload, which may be for the application alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadOutcome")
            .field("bytes", &self.bytes)
            .field("sent", &self.sent)
            .field("resumed_from", &self.resumed_from)
            .field("already_complete", &self.already_complete)
            .field("etag", &self.etag)
            .field("payload", &self.payload.as_ref().map(Bytes::len))
            .field("digest", &self.digest)
            .field("verified", &self.verified)
            .field("retries", &self.retries)
            .field("connections", &self.connections)
            .field("elapsed", &self.elapsed)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
