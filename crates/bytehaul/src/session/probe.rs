//! The first request: useful bytes from its first one on, retried until its head says what kind of server this is.

use std::ops::Range;
use std::time::Duration;

use bytehaul_schedule::{RetryBudget, Verdict as Retry};
use bytehaul_transport::{Body, RequestRange, SafeUrl};
use http::HeaderMap;

use crate::error::DownloadError;
use crate::identity::Identity;
use crate::metalink::Named;
use crate::response::Answer;
use crate::session::job::{Connections, Job};
use crate::session::source::Source;
use crate::session::trouble::{Trouble, after_retries};

/// The first usable answer.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) kind: Kind,
    pub(crate) identity: Identity,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) latency: Duration,
    pub(crate) url: SafeUrl,
    /// Mirrors and a digest that the answer names; what of it counts is the job's choice.
    pub(crate) named: Named,
}

/// What kind of server it speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// It answers ranges, and this is the first one.
    Ranged { range: Range<u64>, total: u64 },
    /// It sends the whole file.
    Whole { len: Option<u64> },
    /// The file has no bytes.
    Empty,
}

/// Asks for `wanted` until there is a usable answer. Where the answer to a range is no use, the whole file is
/// asked for, once.
pub(crate) async fn probe(
    source: &Source,
    wanted: RequestRange,
    retry: &mut RetryBudget,
) -> Result<Probe, DownloadError> {
    let mut wanted = wanted;
    // Connections that a host took and dropped without an answer, while it served others of this process.
    let mut lost = 0;
    loop {
        source.visit().turn().await;
        let reply = match source.ask(wanted.clone()).await {
            Ok(reply) => reply,
            Err(Trouble::Retry { failure, .. })
                if (failure.class.is_push_back() || lost < MOST_LOST)
                    && source.visit().refused(&failure, retry.longest()) =>
            {
                lost += 1;
                continue;
            }
            Err(trouble) => {
                wait(source.safe_url(), trouble, retry).await?;
                continue;
            }
        };
        let plain = wanted == RequestRange::Whole;
        let kind = match reply.answer {
            Answer::Part {
                range,
                total: Some(total),
            } if range.start == first(&wanted) => Ok(Kind::Ranged { range, total }),
            Answer::Whole { len } => Ok(Kind::Whole { len }),
            Answer::Unsatisfiable { total: Some(0) } => Ok(Kind::Empty),
            Answer::Part {
                range,
                total: Some(_),
            } => Err(format!("bytes {}-{}", range.start, range.end - 1)),
            Answer::Part { total: None, .. } => Err("a range of a file of unknown length".into()),
            Answer::Unsatisfiable { .. } => Err("416 for a range that should be there".into()),
            Answer::Unreliable { what } => Err(what),
            Answer::Later { status, after } => {
                let trouble = Trouble::later(&reply.url, status, after);
                let is_full = matches!(&trouble, Trouble::Retry { failure, .. }
                    if failure.class.is_push_back()
                        && source.visit().refused(failure, retry.longest()));
                if !is_full {
                    wait(source.safe_url(), trouble, retry).await?;
                }
                continue;
            }
            Answer::Refused { status } => {
                return Err(fatal(
                    source.safe_url(),
                    Trouble::refused(&reply.url, status),
                ));
            }
            Answer::Unusable { what } => {
                return Err(fatal(
                    source.safe_url(),
                    Trouble::unusable(&reply.url, what),
                ));
            }
        };
        match kind {
            Ok(kind) => {
                let (identity, headers, body, latency, url, named) = (
                    reply.identity,
                    reply.headers,
                    reply.body,
                    reply.latency,
                    reply.url,
                    reply.named,
                );
                return Ok(Probe {
                    kind,
                    identity,
                    headers,
                    body,
                    latency,
                    url,
                    named,
                });
            }
            Err(what) if plain => {
                return Err(fatal(
                    source.safe_url(),
                    Trouble::unusable(&reply.url, what),
                ));
            }
            Err(what) => {
                bytehaul_log::debug!(url = %reply.url, what, "no use of ranges, the whole file is asked for");
                wanted = RequestRange::Whole;
            }
        }
    }
}

/// Waits as long as the trouble asks for, or says that it is final.
pub(crate) async fn wait(
    url: &SafeUrl,
    trouble: Trouble,
    retry: &mut RetryBudget,
) -> Result<(), DownloadError> {
    let Trouble::Retry { failure, error } = trouble else {
        return Err(fatal(url, trouble));
    };
    match retry.on_failure(failure) {
        Retry::Retry(after) => {
            bytehaul_log::debug!(%error, ?after, "the first request failed");
            tokio::time::sleep(after).await;
            Ok(())
        }
        Retry::GiveUp => Err(after_retries(error, retry.failures())),
    }
}

fn fatal(url: &SafeUrl, trouble: Trouble) -> DownloadError {
    match trouble {
        Trouble::Fatal(error) | Trouble::Retry { error, .. } => error,
        Trouble::Unreliable(what) | Trouble::Doubt(what) | Trouble::Changed(what) => {
            DownloadError::BadResponse {
                url: url.clone(),
                what,
                retries: 0,
            }
        }
    }
}

/// What the first request for a file asks for: not much more than one connection should fetch of a file that
/// several may share, or everything when there is one connection only.
pub(crate) fn beginning(job: &Job) -> RequestRange {
    match job.connections {
        Connections::AtMost(1) => RequestRange::From(0),
        Connections::AtMost(_) | Connections::Automatic => RequestRange::Span(0..share(job)),
    }
}

/// Bytes that the first connection fetches before others may take part.
pub(crate) fn share(job: &Job) -> u64 {
    job.min_split.clamp(LEAST, MOST)
}

fn first(wanted: &RequestRange) -> u64 {
    match wanted {
        RequestRange::Whole => 0,
        RequestRange::From(start) => *start,
        RequestRange::Span(span) => span.start,
    }
}

/// So many connections may be dropped because the host has too many, before it is taken for a failure.
const MOST_LOST: u32 = 3;

/// The first request is never smaller than what a small file has, nor larger than one connection's fair share.
const LEAST: u64 = 1024 * 1024;
const MOST: u64 = 16 * 1024 * 1024;
