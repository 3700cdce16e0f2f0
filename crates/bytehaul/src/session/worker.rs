//! One connection's life: take a lease, ask for its range, take the bytes in, say how it went.

use std::sync::Arc;
use std::time::Duration;

use bytehaul_schedule::LeaseId;
use bytehaul_transport::{Body, RequestRange};
use tokio::sync::mpsc;

use crate::identity::{Evidence, Identity};
use crate::response::Answer;
use crate::session::compared;
use crate::session::intake::{Intake, Received};
use crate::session::lease::Lease;
use crate::session::overlap::{self, Overlap};
use crate::session::source::{Source, lead_in};
use crate::session::trouble::Trouble;

/// What the workers of one download share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) source: Arc<Source>,
    pub(crate) intake: Intake,
    pub(crate) known: Identity,
}

/// One lease for a worker, with the response to it when the probe has already made the request.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) id: LeaseId,
    pub(crate) lease: Arc<Lease>,
    pub(crate) adopted: Option<Adopted>,
}

/// A body that is already flowing.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) body: Body,
    pub(crate) skip: u64,
}

/// What a worker has to say.
#[derive(Debug)]
pub(crate) enum Report {
    /// The head of the answer is as it should be.
    Accepted {
        id: LeaseId,
        latency: Duration,
        evidence: Evidence,
    },
    /// Every byte of the lease has been handed to the writer.
    Done { id: LeaseId },
    /// It did not work out; what has arrived has been handed to the writer.
    Failed { id: LeaseId, trouble: Trouble },
}

/// Works until the sender of assignments is dropped. Dropping the future drops the request in flight with it.
pub(crate) async fn work(
    shared: Arc<Shared>,
    mut assignments: mpsc::UnboundedReceiver<Assignment>,
    reports: mpsc::UnboundedSender<Report>,
) {
    while let Some(Assignment { id, lease, adopted }) = assignments.recv().await {
        let report = match fetch(&shared, id, &lease, adopted, &reports).await {
            Ok(()) => Report::Done { id },
            Err(trouble) => Report::Failed { id, trouble },
        };
        if reports.send(report).is_err() {
            return;
        }
    }
}

async fn fetch(
    shared: &Shared,
    id: LeaseId,
    lease: &Lease,
    adopted: Option<Adopted>,
    reports: &mpsc::UnboundedSender<Report>,
) -> Result<(), Trouble> {
    let url = shared.source.safe_url();
    let Adopted { mut body, skip } = match adopted {
        Some(adopted) => adopted,
        None => {
            let (adopted, latency, evidence) = open(shared, lease).await?;
            // The session may be gone already; then this future is about to be dropped.
            let _ = reports.send(Report::Accepted {
                id,
                latency,
                evidence,
            });
            adopted
        }
    };
    match shared.intake.receive(lease, &mut body, skip, url).await? {
        Received::Full => Ok(()),
        // A server may answer with less than was asked for (RFC 9110, section 15.3.7); the rest is asked again.
        Received::Ended => Err(Trouble::short(url)),
    }
}

async fn open(shared: &Shared, lease: &Lease) -> Result<(Adopted, Duration, Evidence), Trouble> {
    let start = lease.position();
    let end = start + lease.remaining();
    // Where no validator tells one version from another, bytes that are there already have to.
    let overlap = match shared.known.best() {
        Evidence::Length => shared.intake.sink.before(start),
        _ => None,
    };
    let first = overlap.as_ref().map_or(start, |(_, span)| span.start);
    let (mut reply, evidence) = compared::ask(
        &shared.source,
        &shared.known,
        RequestRange::Span(first..end),
    )
    .await?;
    let skip = match &reply.answer {
        Answer::Part { range, .. } => lead_in(first, range),
        Answer::Whole { .. } => Err("the whole file although a range was asked for".into()),
        Answer::Unsatisfiable { .. } => Err("416 for a range within the file".into()),
        Answer::Unreliable { what } => Err(what.clone()),
        Answer::Later { .. } | Answer::Refused { .. } | Answer::Unusable { .. } => {
            Err("no file".into())
        }
    };
    let skip = skip.map_err(Trouble::Unreliable)?;
    if skip > MAX_LEAD_IN {
        return Err(Trouble::Unreliable(format!(
            "{skip} bytes before the ones that were asked for"
        )));
    }
    if let Some((part, span)) = overlap {
        if skip > 0 {
            return Err(Trouble::Unreliable(
                "bytes before the ones that were asked for".into(),
            ));
        }
        let url = shared.source.safe_url();
        match overlap::compare(&part, span, &mut reply.body, url).await? {
            Overlap::Equal => (),
            Overlap::Differs => {
                return Err(Trouble::Changed(
                    "bytes that are there already differ".into(),
                ));
            }
        }
    }
    Ok((
        Adopted {
            body: reply.body,
            skip,
        },
        reply.latency,
        evidence,
    ))
}

/// A cache that aligns ranges to blocks uses blocks of up to a few MiB.
const MAX_LEAD_IN: u64 = 4 * 1024 * 1024;
