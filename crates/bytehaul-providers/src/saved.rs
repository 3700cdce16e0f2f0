//! What of a session outlives the process: its name at the server, its parts, and how far it was.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A session's state as a value to keep: small, versioned by whoever stores it, without credentials.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Saved {
    /// How the server names the session: an upload id, or the URL of an upload resource.
    pub session: Option<SessionId>,
    /// How far it is.
    pub stage: Stage,
    /// Bytes of one part; 0 where parts are not of one size.
    pub part_size: u64,
    /// Parts that the server has taken, ascending by offset.
    pub parts: Vec<PartReceipt>,
    /// What else the protocol needs to know again.
    pub extra: BTreeMap<String, String>,
}

/// How far a session has come.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Stage {
    /// Nothing is known to exist at the server; a request to open a session may be on its way.
    #[default]
    Beginning,
    /// The session is open, and parts are missing.
    Sending,
    /// All parts are there, and the commit has been or is about to be sent.
    Committing,
    /// The server has said that the object is there.
    Complete,
    /// What was staged has been discarded.
    Aborted,
}

/// A part that the server has taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartReceipt {
    /// Its number, as the protocol counts.
    pub number: u32,
    /// Where it begins, in bytes of the source.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// What the server calls it: an ETag, a block id, the URL of a partial upload.
    pub tag: Option<String>,
    /// CRC-32C of its bytes as they were read and sent.
    pub crc32c: Option<u32>,
}

impl PartReceipt {
    /// A receipt without tag and checksum.
    pub fn new(number: u32, offset: u64, size: u64) -> Self {
        Self {
            number,
            offset,
            size,
            tag: None,
            crc32c: None,
        }
    }

    /// Sets the server's name for it.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<Option<String>>) -> Self {
        self.tag = tag.into();
        self
    }

    /// Sets the checksum of its bytes.
    #[must_use]
    pub fn crc32c(mut self, crc: impl Into<Option<u32>>) -> Self {
        self.crc32c = crc.into();
        self
    }

    /// Where it ends.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}

/// The server's name of a session. Not a secret, but a URL may be all that is needed to write to it: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(String);

impl SessionId {
    /// The name as the server gave it.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({} bytes)", self.0.len())
    }
}

/// What an earlier run left, after the driver has compared the receipts with the source.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Left {
    /// What was saved. Of the parts, those alone whose bytes in the source still have the checksum that they had.
    pub saved: Saved,
    /// Whether the source is, by its size, times and identity, the one that was read then. What the server has beyond
    /// the receipts may be trusted only if it is.
    pub unchanged: bool,
}

impl Left {
    /// What was saved, and whether the source is the same.
    pub fn new(saved: Saved, unchanged: bool) -> Self {
        Self { saved, unchanged }
    }
}
