//! A download without a file: the bytes go to a reader, in order, over as many connections as a file would use.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytehaul_schedule::{RangeSet, RetryBudget};

use crate::error::DownloadError;
use crate::identity::Evidence;
use crate::progress::DownloadState;
use crate::session::carry::{Carried, Carrier, Ground, Known};
use crate::session::open::Kept;
use crate::session::probe::{self, Probe};
use crate::session::sink::{Ordered, Sink};
use crate::session::transfer::{automatic_piece, is_of_the_source};
use crate::session::{Reader, Session};

/// How a stream came to its end: all bytes have been handed to the reader.
#[derive(Debug)]
pub(crate) struct Streamed {
    pub(crate) len: u64,
    pub(crate) evidence: Evidence,
    pub(crate) length_verified: bool,
}

/// The first answer of the first source that has one. The others are not used beside it: bytes that a reader has could
/// not be taken back if they proved to be wrong.
async fn first_answer(carrier: &Carrier, retry: &mut RetryBudget) -> Result<Probe, DownloadError> {
    let wanted = || probe::beginning(&carrier.job);
    for member in carrier.roster.fit().into_iter().skip(1) {
        let mut retry = carrier.first_retry();
        match probe::probe(&carrier.source(), wanted(), &mut retry).await {
            Err(error) if is_of_the_source(&error) => {
                let url = carrier.source().safe_url().clone();
                bytehaul_log::warn!(%url, %error, "a source is dropped");
                carrier.set_lead(member);
            }
            answered => return answered,
        }
    }
    probe::probe(&carrier.source(), wanted(), retry).await
}

/// Runs until every byte has been handed to the reader. Bytes that a reader has cannot be taken back, so a
/// change of the remote file begins again only while there are none.
pub(crate) async fn stream(
    session: &Session,
    carrier: &Carrier,
    reader: Reader,
) -> Result<Streamed, DownloadError> {
    let job = &carrier.job;
    let stats = &session.stats;
    stats.set_state(DownloadState::Connecting);
    let mut retry = carrier.retry();
    let first = first_answer(carrier, &mut retry).await?;
    let identity = first.identity.clone();
    job.check_len(&first.url, identity.len)?;
    if let Some(len) = identity.len {
        stats.set_total(len);
    }
    stats.set_state(DownloadState::Downloading);
    carrier.ask_provider(Some(&first), &identity).await;
    if let Some(expected) = carrier.expected_of_stream() {
        let _ = reader.expected.set(expected);
    }
    let sink = Arc::new(Sink::Ordered(Ordered::new(reader.chunks)));
    let ground = Ground {
        sink,
        done: RangeSet::default(),
        piece_size: job
            .piece_size
            .unwrap_or_else(|| automatic_piece(identity.len))
            // The window is never less than a piece, and must stay less than the budget.
            .min(job.memory as u64 / 8),
        // With a third of the budget in buffers being filled, half of it may wait for bytes before it, and the
        // worker that fetches those never lacks a buffer.
        window: Some(job.memory as u64 / 2),
    };
    match carrier
        .carry(
            ground,
            Known {
                identity,
                kept: Kept::Nothing,
                retry,
                news: None,
            },
            first,
        )
        .await?
    {
        Carried::Complete {
            len,
            evidence,
            length_verified,
        } => {
            stats.received.store(len, Relaxed);
            job.check_len(&job.safe_url, Some(len))?;
            Ok(Streamed {
                len,
                evidence,
                length_verified,
            })
        }
        Carried::Changed(what) => Err(DownloadError::RemoteChanged {
            url: job.safe_url.clone(),
            what,
        }),
    }
}
