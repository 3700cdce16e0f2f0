//! From the first response to the last byte: over ranges, or as one stream when that is all the server can do.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroU64;
use std::sync::Arc;

use bytehaul_ratelimit::{BytesPerSecond, Limiter};
use bytehaul_schedule::{ByteRange, Config, Plan, RangeSet, RetryBudget, Scheduler};
use bytehaul_storage::Budget;

use crate::downloader::Shared;
use crate::error::DownloadError;
use crate::identity::{Evidence, Identity};
use crate::network::Access;
use crate::session::intake::Intake;
use crate::session::job::{Connections, Job, Resume};
use crate::session::open::Kept;
use crate::session::probe::{Kind, Probe};
use crate::session::ranged::{self, Driver};
use crate::session::sequential::{self, Held, Ranges, Sequential, Shape, Stream};
use crate::session::sink::Sink;
use crate::session::source::Source;
use crate::session::stats::Stats;
use crate::session::worker::{self, Adopted};

/// What one download works with, whichever way its bytes come and wherever they go.
pub(crate) struct Carrier {
    pub(crate) job: Job,
    pub(crate) source: Arc<Source>,
    pub(crate) seed: u64,
    limiter: Limiter,
    stats: Arc<Stats>,
}

/// What is there before the first byte of this run.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) sink: Arc<Sink>,
    pub(crate) done: RangeSet,
    pub(crate) piece_size: u64,
    /// How far ahead of the first missing byte others may be fetched. `None`: anywhere.
    pub(crate) window: Option<u64>,
}

/// What is known when the bytes begin to flow.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) identity: Identity,
    pub(crate) kept: Kept,
    pub(crate) retry: RetryBudget,
}

/// How it ended without an error.
#[derive(Debug)]
pub(crate) enum Carried {
    /// Every byte has been handed to the sink.
    Complete {
        len: u64,
        evidence: Evidence,
        length_verified: bool,
    },
    /// The remote file is another one now.
    Changed(String),
}

impl Carrier {
    pub(crate) fn new(shared: &Shared, access: &Access, job: Job, stats: Arc<Stats>) -> Self {
        let source = Arc::new(Source::new(access, &job));
        let limiter = shared.limiter.child(BytesPerSecond::new(job.speed));
        let seed = RandomState::new().build_hasher().finish();
        Self {
            job,
            source,
            seed,
            limiter,
            stats,
        }
    }

    pub(crate) fn retry(&self) -> RetryBudget {
        RetryBudget::new(self.job.retry.clone(), self.seed)
    }

    /// Carries every missing byte into the sink. Dropping the future drops all requests in flight.
    pub(crate) async fn carry(
        &self,
        ground: Ground,
        known: Known,
        probe: Probe,
    ) -> Result<Carried, DownloadError> {
        match probe.kind.clone() {
            Kind::Empty => Ok(Carried::Complete {
                len: 0,
                evidence: Evidence::SingleResponse,
                length_verified: true,
            }),
            // Several answers could be of several versions, and nothing would tell: one answer is of one.
            Kind::Ranged { range, total } if !self.may_be_joined(&known.identity) => {
                tracing::debug!(url = %self.job.safe_url, "no validator; one stream is all that can be trusted");
                let first = (range == (0..total)).then_some(Stream {
                    body: probe.body,
                    start: 0,
                    skip: 0,
                    shape: Shape::Part,
                });
                self.sequential(ground, known, first, Ranges::GivenUp).await
            }
            Kind::Ranged { range, total } => {
                let first = ByteRange::new(range.start, range.end);
                self.ranged(ground, known, probe, first, total).await
            }
            Kind::Whole { .. } => {
                // What is there at the start of the file is skipped; the sink keeps the rest of it as well.
                let there = ground.done.prefix_end();
                let stream = Stream {
                    body: probe.body,
                    start: there,
                    skip: there,
                    shape: Shape::Whole,
                };
                self.sequential(ground, known, Some(stream), Ranges::Tried)
                    .await
            }
        }
    }

    /// Whether bytes of several answers may be put together.
    fn may_be_joined(&self, identity: &Identity) -> bool {
        identity.has_validator() || self.job.resume == Resume::Trusting
    }

    async fn ranged(
        &self,
        ground: Ground,
        known: Known,
        probe: Probe,
        first: Option<ByteRange>,
        total: u64,
    ) -> Result<Carried, DownloadError> {
        let Ground {
            sink,
            done,
            piece_size,
            window,
        } = ground;
        // What the first response carries, as far as it is not there already.
        let start = first.map(|range| range.start());
        let first = first
            .and_then(|range| done.first_gap(range))
            .filter(|gap| Some(gap.start()) == start);
        let alone = done.is_empty() && first == ByteRange::new(0, total);
        let evidence = known.evidence(if alone {
            Evidence::SingleResponse
        } else {
            known.identity.best()
        });
        let piece_size = NonZeroU64::new(piece_size).unwrap_or(NonZeroU64::MIN);
        let plan = Plan::new(total, piece_size).done(done.clone());
        let scheduler = Scheduler::new(plan, self.config(window), self.seed);
        let intake = self.intake(Arc::clone(&sink));
        let shared = worker::Shared {
            source: Arc::clone(&self.source),
            intake,
            known: known.identity.clone(),
        };
        let mut driver = Driver::new(scheduler, Arc::new(shared), evidence);
        if let Some(range) = first {
            driver.adopt(
                range,
                probe.latency,
                Adopted {
                    body: probe.body,
                    skip: 0,
                },
            );
        }
        match driver.run().await? {
            ranged::End::Complete(evidence) => Ok(Carried::Complete {
                len: total,
                evidence,
                length_verified: true,
            }),
            ranged::End::Changed(what) => Ok(Carried::Changed(what)),
            ranged::End::Unreliable { what, done } => {
                tracing::warn!(url = %self.job.safe_url, what, "ranges prove unreliable; going on with one stream");
                let ground = Ground {
                    sink,
                    done,
                    piece_size: piece_size.get(),
                    window,
                };
                self.sequential(ground, known, None, Ranges::GivenUp).await
            }
        }
    }

    async fn sequential(
        &self,
        ground: Ground,
        known: Known,
        first: Option<Stream>,
        ranges: Ranges,
    ) -> Result<Carried, DownloadError> {
        let sequential = Sequential {
            source: Arc::clone(&self.source),
            intake: self.intake(ground.sink),
            evidence: known.evidence(if ground.done.is_empty() {
                Evidence::SingleResponse
            } else {
                known.identity.best()
            }),
            held: if ground.done.is_empty() {
                Held::Nothing
            } else {
                Held::Something
            },
            known: known.identity,
            retry: known.retry,
            ranges,
        };
        Ok(
            match sequential.run(first, ground.done.prefix_end()).await? {
                sequential::End::Complete {
                    len,
                    evidence,
                    length_verified,
                } => Carried::Complete {
                    len,
                    evidence,
                    length_verified,
                },
                sequential::End::Changed(what) => Carried::Changed(what),
            },
        )
    }

    /// A file's intake holds no more memory than keeps sockets and disk busy, whatever the budget allows: what
    /// waits in memory is what a crash loses. A reader's needs the whole budget for bytes that wait for others.
    fn intake(&self, sink: Arc<Sink>) -> Intake {
        let connections = match self.job.connections {
            Connections::Automatic => AUTOMATIC_MOST,
            Connections::AtMost(n) => n as usize,
        };
        let buffer = Budget::new(self.job.memory).buffer_size(connections);
        let memory = match &*sink {
            Sink::File(_) => self
                .job
                .memory
                .min(buffer.saturating_mul(connections + QUEUED)),
            Sink::Ordered(_) => self.job.memory,
        };
        Intake {
            sink,
            budget: Budget::new(memory),
            limiter: self.limiter.clone(),
            stats: Arc::clone(&self.stats),
            buffer,
        }
    }

    fn config(&self, window: Option<u64>) -> Config {
        let connections = match self.job.connections {
            Connections::Automatic => bytehaul_schedule::Connections::Auto,
            Connections::AtMost(n) => bytehaul_schedule::Connections::fixed(n),
        };
        Config::default()
            .connections(connections)
            .min_split(self.job.min_split)
            .window(window)
            .retry(self.job.retry.clone())
    }
}

impl Known {
    /// Bytes of an earlier run weaken what this run alone could claim.
    fn evidence(&self, alone: Evidence) -> Evidence {
        match &self.kept {
            Kept::Nothing => alone,
            Kept::Left { evidence } => alone.max(*evidence),
        }
    }
}

/// Connections that automatic mode may come to; what the size of buffers is reckoned by.
const AUTOMATIC_MOST: usize = 16;

/// Full buffers that may wait for the disk, beside the one that each connection fills.
const QUEUED: usize = 8;
