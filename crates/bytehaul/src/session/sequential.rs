//! A transfer as one stream, for servers without usable ranges and for files of unknown length.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytehaul_schedule::{RetryBudget, Verdict as Retry};
use bytehaul_transport::{Body, Framing, RequestRange};

use crate::error::DownloadError;
use crate::identity::{Evidence, Identity};
use crate::response::Answer;
use crate::session::compared;
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
    pub(crate) shape: Shape,
}

/// What the end of a body of unknown length says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// It is the end of the file.
    Whole,
    /// It is the end of the part that the server chose to send.
    Part,
}

/// How a stream ended without an error.
#[derive(Debug)]
pub(crate) enum End {
    /// Every byte has been handed to the sink.
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
    pub(crate) held: Held,
}

/// Whether the rest of a stream may be asked for as a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ranges {
    Tried,
    GivenUp,
}

/// Whether the sink has bytes that whatever comes has to be of one version with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    Nothing,
    Something,
}

enum Opened {
    Stream(Box<Stream>),
    AtEnd(u64),
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
        loop {
            let trouble = match self.attempt(next.take(), &mut position).await {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => continue,
                Err(trouble) => trouble,
            };
            bytehaul_log::debug!(url = %self.source.safe_url(), ?trouble, "the stream failed");
            self.intake.stats.retries.fetch_add(1, Relaxed);
            match trouble {
                Trouble::Fatal(error) => return Err(error),
                Trouble::Changed(what) | Trouble::Doubt(what) => return Ok(End::Changed(what)),
                Trouble::Unreliable(_) if self.ranges == Ranges::Tried => {
                    self.ranges = Ranges::GivenUp;
                }
                Trouble::Unreliable(what) => {
                    let url = self.source.safe_url().clone();
                    return Err(DownloadError::BadResponse {
                        url,
                        what,
                        retries: 0,
                    });
                }
                Trouble::Retry { failure, error } => match self.retry.on_failure(failure) {
                    Retry::Retry(after) => tokio::time::sleep(after).await,
                    Retry::GiveUp => return Err(after_retries(error, self.retry.failures())),
                },
            }
        }
    }

    /// One response. `None`: it ended well, and there is more to ask for.
    async fn attempt(
        &mut self,
        first: Option<Stream>,
        position: &mut u64,
    ) -> Result<Option<End>, Trouble> {
        let mut stream = match first {
            Some(stream) => stream,
            None => match self.open(position).await? {
                Opened::Stream(stream) => *stream,
                Opened::AtEnd(len) => return Ok(Some(self.complete(len, Framing::Length(len)))),
            },
        };
        *position = stream.start;
        let lease = Lease::new(stream.start, self.known.len.unwrap_or(u64::MAX));
        let framing = stream.body.framing();
        self.intake.stats.set_connections(1);
        let received = {
            let url = self.source.safe_url();
            let receive = self
                .intake
                .receive(&lease, &mut stream.body, stream.skip, url);
            watched(&self.intake, &lease, receive).await
        };
        self.retry.on_progress(lease.submitted() - stream.start);
        *position = lease.submitted();
        if *position > 0 {
            self.held = Held::Something;
        }
        match (received?, self.known.len, stream.shape) {
            (Received::Full, ..) | (Received::Ended, None, Shape::Whole) => {
                Ok(Some(self.complete(*position, framing)))
            }
            (Received::Ended, None, Shape::Part) => Ok(None),
            (Received::Ended, Some(_), _) => Err(Trouble::short(self.source.safe_url())),
        }
    }

    /// Asks for the rest where a validator can prove that it is of the same file, and for all of it elsewhere.
    async fn open(&mut self, position: &mut u64) -> Result<Opened, Trouble> {
        let provable = self.known.has_validator();
        let rest = provable && *position > 0 && self.ranges == Ranges::Tried;
        let range = if rest {
            RequestRange::From(*position)
        } else {
            RequestRange::Whole
        };
        let (reply, evidence) = compared::ask(&self.source, &self.known, range).await?;
        if let Some(total) = reply.identity.len {
            self.known.len = Some(total);
            self.intake.stats.set_total(total);
        }
        let (skip, shape) = match &reply.answer {
            Answer::Part { range, .. } => (
                lead_in(*position, range).map_err(Trouble::Unreliable)?,
                Shape::Part,
            ),
            Answer::Unsatisfiable { total: Some(total) } if total == position => {
                return Ok(Opened::AtEnd(*total));
            }
            Answer::Whole { .. } if provable => (*position, Shape::Whole),
            Answer::Whole { .. } => {
                // Nothing proves that this is the same file, so what there is must not be mixed with it.
                self.forget(position).await?;
                (0, Shape::Whole)
            }
            Answer::Unreliable { what } => return Err(Trouble::Unreliable(what.clone())),
            _ => return Err(Trouble::Unreliable("416 for the rest of the file".into())),
        };
        if self.held == Held::Something {
            self.evidence = self.evidence.max(evidence);
        }
        let stream = Stream {
            body: reply.body,
            start: *position,
            skip,
            shape,
        };
        Ok(Opened::Stream(Box::new(stream)))
    }

    async fn forget(&mut self, position: &mut u64) -> Result<(), Trouble> {
        if self.held == Held::Nothing {
            return Ok(());
        }
        if !self
            .intake
            .sink
            .forget()
            .await
            .map_err(|error| Trouble::Fatal(error.into()))?
        {
            let what =
                "it broke off, and nothing proves that the rest would be of the same version"
                    .into();
            return Err(Trouble::Changed(what));
        }
        self.intake.stats.start_over();
        if let Some(total) = self.known.len {
            self.intake.stats.set_total(total);
        }
        self.held = Held::Nothing;
        self.evidence = Evidence::SingleResponse;
        *position = 0;
        Ok(())
    }

    fn complete(&self, len: u64, framing: Framing) -> End {
        self.intake.stats.received.store(len, Relaxed);
        let length_verified = framing != Framing::UntilClose || self.known.len.is_some();
        End::Complete {
            len,
            evidence: self.evidence,
            length_verified,
        }
    }
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
