//! What a finished download has to say for itself.

use std::path::PathBuf;
use std::time::Duration;

use bytehaul_integrity::{Digest, Expected};
use bytehaul_transport::SafeUrl;

use crate::identity::Evidence;

/// A complete download: the file is at [`path`](Self::path), synced and verified as far as `evidence`,
/// `digest` and `length_verified` say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Where the file is. Empty for a stream.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// The digest that was asked for and has matched; `None` when no checksum was given.
    pub digest: Option<Digest>,
    /// What the provider of the object says that it hashes to, when the file was held against that and matched. `None` for a
    /// stream, which compares it at its end.
    pub verified: Option<Expected>,
    /// Bytes taken over from an earlier run.
    pub resumed_from: u64,
    /// Bytes that came over the network in this run.
    pub fetched: u64,
    /// On what the claim rests that all bytes are of one version of the remote file.
    pub evidence: Evidence,
    /// Whether the length was announced and matched. False only for a body whose end is the end of the
    /// connection, where a truncation cannot be told from the end.
    pub length_verified: bool,
    /// Requests that had to be asked again.
    pub retries: u64,
    /// Times the transfer began again because the remote file had changed.
    pub restarts: u32,
    /// Connections in use at the same time, at most.
    pub connections: u32,
    /// Time from the start to the end.
    pub elapsed: Duration,
    /// Where the bytes came from after redirects, redacted.
    pub url: SafeUrl,
    /// How each source did, the first URL first and then its mirrors; empty for a download without mirrors.
    pub mirrors: Vec<MirrorReport>,
}

/// How one of several sources did.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MirrorReport {
    /// Its URL, redacted.
    pub url: SafeUrl,
    /// What became of it.
    pub state: MirrorState,
    /// Bytes of the file that came from it, those that were dropped and fetched again included.
    pub bytes: u64,
}

/// What became of one of several sources.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MirrorState {
    /// It was not needed, or the download was over before it had proven to have the same file.
    Unused,
    /// It has proven to have the same file, and was used.
    Used,
    /// It was of no use, or of no more use: dead, without the file, or without ranges. What it had delivered is right.
    Dropped {
        /// Why, in a few words, redacted.
        reason: String,
    },
    /// It has other bytes. Nothing that it had delivered is in the file.
    Quarantined {
        /// Why, in a few words, redacted.
        reason: String,
    },
}
