//! The last steps, when every byte is there: compare the digest, publish the file, sum up.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytehaul_integrity::Expected;
use bytehaul_storage::{FinishError, Writer};
use bytehaul_transport::SafeUrl;

use crate::error::DownloadError;
use crate::identity::Evidence;
use crate::outcome::{MirrorReport, Outcome};
use crate::progress::DownloadState;
use crate::session::Session;
use crate::session::job::Job;

/// A transfer whose every byte has been handed to the writer.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) writer: Writer,
    pub(crate) len: u64,
    pub(crate) evidence: Evidence,
    pub(crate) length_verified: bool,
    pub(crate) restarts: u32,
    pub(crate) url: SafeUrl,
    /// What the file has to hash to.
    pub(crate) expected: Option<Expected>,
    /// Whether that is the word of the object's provider.
    pub(crate) is_declared: bool,
    pub(crate) mirrors: Vec<MirrorReport>,
}

/// Verifies and publishes. Not interrupted by a stop: once the rename is under way there is no half of it.
pub(crate) async fn finish(
    session: &Session,
    job: &Job,
    arrived: Arrived,
) -> Result<Outcome, DownloadError> {
    session.stats.set_state(DownloadState::Finishing);
    session.stats.set_connections(0);
    session.stats.received.store(arrived.len, Relaxed);
    let finished = arrived.writer.finish(arrived.expected, arrived.len).await;
    session.set_active(None);
    if finished.is_err() {
        // What is there stays for another run, and the target is free for it. Its own failure adds nothing.
        let _ = arrived.writer.close().await;
    }
    let finished = finished.map_err(|error| match error {
        FinishError::Mismatch { expected, got } => DownloadError::ChecksumMismatch {
            url: job.safe_url.clone(),
            expected,
            actual: got,
            piece: None,
            declared: arrived.is_declared,
        },
        FinishError::Storage(error) => error.into(),
        other => DownloadError::Internal {
            url: job.safe_url.clone(),
            what: other.to_string(),
        },
    })?;
    let stats = &session.stats;
    stats.set_total(arrived.len);
    stats.durable.store(arrived.len, Relaxed);
    Ok(Outcome {
        path: finished.path,
        bytes: arrived.len,
        digest: finished.digest.filter(|_| !arrived.is_declared),
        verified: arrived.expected.filter(|_| arrived.is_declared),
        resumed_from: stats.resumed_from.load(Relaxed),
        fetched: stats.fetched.load(Relaxed),
        evidence: arrived.evidence,
        length_verified: arrived.length_verified,
        retries: stats.retries.load(Relaxed),
        restarts: arrived.restarts,
        connections: stats.peak_connections.load(Relaxed),
        elapsed: stats.elapsed(Instant::now()),
        url: arrived.url,
        mirrors: arrived.mirrors,
    })
}
