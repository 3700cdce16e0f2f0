//! A transfer as one stream, for servers without usable ranges and for files of unknown length.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytehaul_schedule::{RetryBudget, Verdict as Retry};
use bytehaul_transport::{Body, Framing, RequestRange};

use crate::error::DownloadError;
use crate::identity::{Evidence, Identity, Verdict};
use crate::response::Answer;
use crate::session::intake::{Intake, Received};
use crate::session::lease::Lease;
use crate::session::source::{Source, lead_in};
use crate::session::trouble::{Trouble, after_retries};

/// A stream that begins at `start` of the file, with `skip` bytes before it that are there already.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) body: Body,
    pub(crate) start: u64,
    pub(crate) skip: u64,
}

/// How a stream ended without an error.
#[derive(Debug)]
pub(crate) enum End {
    /// Every byte has been handed to the writer.
    Complete {
        len: u64,
        evidence: Evidence,
        length_verified: bool,
    },
    /// The remote file is another one now.
    Changed(String),
}

/// One stream, asked again where it broke off when the server can, and from the start when it cannot.
pub(crate) struct Sequential {
    pub(crate) source: Arc<Source>,
    pub(crate) intake: Intake,
    pub(crate) known: Identity,
    pub(crate) retry: RetryBudget,
    pub(crate) evidence: Evidence,
    pub(crate) ranges: Ranges,
}

/// Whether the rest of a stream may be asked for as a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ranges {
    Tried,
    GivenUp,
}

impl Sequential {
    /// Runs to the end of the file. Without `first`, the file is asked for from `from` on.
    pub(crate) async fn run(
        mut self,
        first: Option<Stream>,
        from: u64,
    ) -> Result<End, DownloadError> {
        let sink = Arc::clone(&self.intake.sink);
        tokio::select! {
            biased;
            error = sink.failed() => Err(error.into()),
            end = self.stream(first, from) => end,
        }
    }

    async fn stream(
        &mut self,
        mut next: Option<Stream>,
        mut position: u64,
    ) -> Result<End, DownloadError> {
        let mut doubts = 0;
        loop {
            let trouble = match self.attempt(next.take(), &mut position).await {
                Ok(end) => return Ok(end),
                Err(trouble) => trouble,
            };
            tracing::debug!(url = %self.source.safe_url(), ?trouble, "the stream failed");
            self.intake.stats.retries.fetch_add(1, Relaxed);
            match trouble {
                Trouble::Fatal(error) => return Err(error),
                Trouble::Changed(what) => return Ok(End::Changed(what)),
                Trouble::Doubt(what) => {
                    doubts += 1;
                    if doubts > MAX_DOUBTS {
                        return Ok(End::Changed(what));
                    }
                    tokio::time::sleep(DOUBT_WAIT * doubts).await;
                }
                Trouble::Unreliable(_) if self.ranges == Ranges::Tried => {
                    self.ranges = Ranges::GivenUp
                }
                Trouble::Unreliable(what) => {
                    let url = self.source.safe_url().clone();
                    return Err(DownloadError::BadResponse { url, what });
                }
                Trouble::Retry { failure, error } => match self.retry.on_failure(failure) {
                    Retry::Retry(after) => tokio::time::sleep(after).await,
                    Retry::GiveUp => return Err(after_retries(error, self.retry.failures())),
                },
            }
        }
    }

    async fn attempt(&mut self, first: Option<Stream>, position: &mut u64) -> Result<End, Trouble> {
        let mut stream = match first {
            Some(stream) => stream,
            None => match self.open(position).await? {
                Opened::Stream(stream) => stream,
                Opened::AtEnd(len) => return Ok(self.complete(len, Framing::Length(len))),
            },
        };
        *position = stream.start;
        let end = self.known.len.unwrap_or(u64::MAX);
        let lease = Lease::new(stream.start, end);
        let framing = stream.body.framing();
        self.intake.stats.set_connections(1);
        let received = {
            let receive = self.intake.receive(
                &lease,
                &mut stream.body,
                stream.skip,
                self.source.safe_url(),
            );
            watched(&self.intake, &lease, receive).await
        };
        self.retry.on_progress(lease.submitted() - stream.start);
        *position = lease.submitted();
        match received? {
            Received::Full => Ok(self.complete(*position, framing)),
            Received::Ended if self.known.len.is_none() => Ok(self.complete(*position, framing)),
            Received::Ended => Err(Trouble::short(self.source.safe_url())),
        }
    }

    /// Asks for the rest where a validator can prove that it is of the same file, and for all of it elsewhere.
    async fn open(&mut self, position: &mut u64) -> Result<Opened, Trouble> {
        let provable = self.known.has_validator();
        let from = provable && *position > 0 && self.ranges == Ranges::Tried;
        let range = if from {
            RequestRange::From(*position)
        } else {
            RequestRange::Whole
        };
        let reply = self.source.ask(range).await?;
        let evidence = match &reply.answer {
            Answer::Later { status, after } => {
                return Err(Trouble::later(&reply.url, *status, *after));
            }
            Answer::Refused { status } => return Err(Trouble::refused(&reply.url, *status)),
            Answer::Unusable { what } => return Err(Trouble::unusable(&reply.url, what.clone())),
            Answer::Unreliable { what } => return Err(Trouble::Unreliable(what.clone())),
            Answer::Unsatisfiable { total: Some(total) } if *total == *position => {
                return Ok(Opened::AtEnd(*total));
            }
            Answer::Unsatisfiable { .. } => {
                return Err(Trouble::Unreliable("416 for the rest of the file".into()));
            }
            Answer::Part { .. } | Answer::Whole { .. } => match self.known.compare(&reply.identity)
            {
                Verdict::Same(evidence) => evidence,
                Verdict::Doubt(what) => return Err(Trouble::Doubt(what)),
                Verdict::Changed(what) => return Err(Trouble::Changed(what)),
            },
        };
        let skip = match &reply.answer {
            Answer::Part { range, .. } => lead_in(*position, range).map_err(Trouble::Unreliable)?,
            _ if provable => *position,
            _ => {
                // Nothing proves that this is the same file, so what there is must not be mixed with it.
                self.forget(position).await?;
                0
            }
        };
        self.evidence = if *position == 0 {
            self.evidence
        } else {
            self.evidence.max(evidence)
        };
        Ok(Opened::Stream(Stream {
            body: reply.body,
            start: *position,
            skip,
        }))
    }

    async fn forget(&mut self, position: &mut u64) -> Result<(), Trouble> {
        if *position == 0 {
            return Ok(());
        }
        if !self
            .intake
            .sink
            .forget(*position)
            .await
            .map_err(|error| Trouble::Fatal(error.into()))?
        {
            let what =
                "it broke off, and nothing proves that the rest would be of the same version"
                    .into();
            return Err(Trouble::Changed(what));
        }
        self.intake.stats.received.store(0, Relaxed);
        *position = 0;
        Ok(())
    }

    fn complete(&self, len: u64, framing: Framing) -> End {
        self.intake.stats.received.store(len, Relaxed);
        End::Complete {
            len,
            evidence: self.evidence,
            length_verified: framing != Framing::UntilClose,
        }
    }
}

enum Opened {
    Stream(Stream),
    AtEnd(u64),
}

/// Keeps the counter of received bytes true while a body is taken in.
async fn watched<T>(intake: &Intake, lease: &Lease, receive: impl Future<Output = T>) -> T {
    tokio::pin!(receive);
    let base = intake.stats.received.load(Relaxed).max(lease.submitted());
    loop {
        tokio::select! {
            biased;
            result = &mut receive => {
                intake.stats.received.store(base.max(lease.submitted()), Relaxed);
                return result;
            }
            () = tokio::time::sleep(TICK) => intake.stats.received.store(base.max(lease.submitted()), Relaxed),
        }
    }
}

const TICK: Duration = Duration::from_millis(50);

/// Answers with another validator before it is a change, and how much longer to wait before each.
const MAX_DOUBTS: u32 = 5;
const DOUBT_WAIT: Duration = Duration::from_millis(100);
