//! What a control file remembers of the object itself, and how large that may be.

use bytehaul_integrity::Digest;
use serde::{Deserialize, Serialize};

/// By what a later run recognises the object. Opaque here: it is stored and handed back.
///
/// A field over its bound (URL 64 KiB, ETag and date 4 KiB, 16 digests of 64 bytes) is left out of the file, so a later run
/// finds nothing to rely on where it could only find half of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The URL, already without credentials and signatures: it is stored in clear.
    pub url: String,
    /// Length of the object in bytes, as the server said.
    pub len: Option<u64>,
    /// The entity tag as it was sent, with its quotes and weakness.
    pub etag: Option<String>,
    /// The `Last-Modified` date as it was sent.
    pub last_modified: Option<String>,
    /// Digests of the whole object that the server or the user gave.
    pub digests: Vec<KnownDigest>,
}

/// A digest in the form in which it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownDigest {
    /// Name of the algorithm, such as `sha-256`.
    pub algorithm: String,
    /// The value.
    pub bytes: Vec<u8>,
}

impl From<&Digest> for KnownDigest {
    fn from(digest: &Digest) -> Self {
        Self {
            algorithm: digest.algorithm().to_string(),
            bytes: digest.as_bytes().to_vec(),
        }
    }
}

impl KnownDigest {
    /// The digest again, if its algorithm is known and the length fits.
    pub fn digest(&self) -> Option<Digest> {
        Digest::from_bytes(self.algorithm.parse().ok()?, &self.bytes)
    }

    fn is_bounded(&self) -> bool {
        self.algorithm.len() <= MAX_DIGEST && self.bytes.len() <= MAX_DIGEST
    }
}

impl Identity {
    pub(super) fn bounded(mut self) -> Self {
        if self.url.len() > MAX_URL {
            self.url.clear();
        }
        self.etag = self.etag.filter(|text| text.len() <= MAX_TEXT);
        self.last_modified = self.last_modified.filter(|text| text.len() <= MAX_TEXT);
        self.digests.retain(KnownDigest::is_bounded);
        self.digests.truncate(MAX_DIGESTS);
        self
    }

    pub(super) fn is_bounded(&self) -> bool {
        let short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= MAX_TEXT);
        self.url.len() <= MAX_URL
            && short(&self.etag)
            && short(&self.last_modified)
            && self.digests.len() <= MAX_DIGESTS
            && self.digests.iter().all(KnownDigest::is_bounded)
    }
}

const MAX_URL: usize = 64 << 10;
const MAX_TEXT: usize = 4 << 10;
const MAX_DIGEST: usize = 64;
const MAX_DIGESTS: usize = 16;
