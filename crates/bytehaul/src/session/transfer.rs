//! One download from claim to last byte: chooses between ranges and one stream, and begins again when it must.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytehaul_ratelimit::{BytesPerSecond, Limiter};
use bytehaul_schedule::{ByteRange, Config, Geometry, Plan, RangeSet, RetryBudget, Scheduler};
use bytehaul_storage::{Allocation, Budget, Keep, StartOptions, Writer};

use crate::downloader::Shared;
use crate::error::DownloadError;
use crate::identity::{Evidence, Identity};
use crate::progress::DownloadState;
use crate::session::Session;
use crate::session::finish::Arrived;
use crate::session::intake::Intake;
use crate::session::job::{Connections, Job, Resume};
use crate::session::open::{self, Kept, Opened};
use crate::session::probe::{Kind, Probe};
use crate::session::ranged::{self, Driver};
use crate::session::sequential::{self, Sequential, Stream};
use crate::session::source::Source;
use crate::session::worker::{self, Adopted};
use crate::spec::{FileAllocation, OnRemoteChange};

/// A download under way.
pub(crate) struct Transfer {
    session: Arc<Session>,
    job: Job,
    source: Arc<Source>,
    limiter: Limiter,
    seed: u64,
}

/// How one attempt at the file ended.
enum Ended {
    Arrived(Arrived),
    Changed(String),
}

impl Transfer {
    pub(crate) fn new(session: Arc<Session>, shared: &Shared, job: Job) -> Self {
        let client = match (job.connect_timeout, job.read_timeout) {
            (None, None) => shared.client.clone(),
            (connect, read) => shared.client.with_timeouts(
                connect.unwrap_or(shared.connect_timeout),
                read.unwrap_or(shared.read_timeout),
            ),
        };
        let source = Arc::new(Source::new(client, job.url.clone(), job.headers.clone()));
        let limiter = shared.limiter.child(BytesPerSecond::new(job.speed));
        Self {
            session,
            source,
            limiter,
            job,
            seed: RandomState::new().build_hasher().finish(),
        }
    }

    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// Runs until every byte has been handed to the writer. Dropping the future drops all requests in flight.
    pub(crate) async fn run(&self) -> Result<Arrived, DownloadError> {
        let mut resume = self.job.resume;
        let mut restarts = 0;
        loop {
            match self.attempt(resume).await? {
                Ended::Arrived(arrived) => {
                    return Ok(Arrived {
                        restarts,
                        ..arrived
                    });
                }
                Ended::Changed(what) => {
                    let url = self.job.safe_url.clone();
                    if self.job.on_change == OnRemoteChange::Fail || restarts == MAX_RESTARTS {
                        return Err(DownloadError::RemoteChanged { url, what });
                    }
                    tracing::warn!(%url, what, "the remote file changed; starting over");
                    self.drop_mixed().await?;
                    restarts += 1;
                    resume = Resume::Never;
                }
            }
        }
    }

    /// Bytes of a version that is gone are of no use to anybody.
    async fn drop_mixed(&self) -> Result<(), DownloadError> {
        if let Some(writer) = self.session.active() {
            self.session.set_active(None);
            writer.discard().await?;
        }
        self.session.stats.start_over();
        Ok(())
    }

    async fn attempt(&self, resume: Resume) -> Result<Ended, DownloadError> {
        self.session.stats.set_state(DownloadState::Connecting);
        let mut retry = RetryBudget::new(self.job.retry.clone(), self.seed);
        let opened = open::open(&self.job, &self.source, resume, &mut retry).await?;
        let Opened {
            claim,
            identity,
            kept,
            probe,
        } = opened;
        self.session.stats.set_path(claim.layout().target.clone());
        let options = self.start_options(&identity, &kept);
        let writer = super::blocking(move || claim.start(options)).await?;
        self.session.set_active(Some(writer.clone()));
        let kept_bytes: u64 = writer
            .written()
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        self.session.stats.resumed_from.store(kept_bytes, Relaxed);
        self.session.stats.received.store(kept_bytes, Relaxed);
        if let Some(len) = identity.len {
            self.session.stats.set_total(len);
        }
        self.session.stats.set_state(DownloadState::Downloading);
        let Some(probe) = probe else {
            return Ok(self.arrived(
                writer,
                identity.len.unwrap_or(kept_bytes),
                Evidence::SingleResponse,
                true,
            ));
        };
        let known = Known {
            identity,
            kept,
            retry,
        };
        match probe.kind.clone() {
            Kind::Empty => Ok(self.arrived(writer, 0, Evidence::SingleResponse, true)),
            Kind::Ranged { range, total } => {
                self.ranged(
                    writer,
                    known,
                    probe,
                    ByteRange::new(range.start, range.end),
                    total,
                )
                .await
            }
            Kind::Whole { .. } => self.whole(writer, known, probe).await,
        }
    }

    async fn ranged(
        &self,
        writer: Writer,
        known: Known,
        probe: Probe,
        first: Option<ByteRange>,
        total: u64,
    ) -> Result<Ended, DownloadError> {
        let done: RangeSet = writer
            .written()
            .into_iter()
            .filter_map(|r| ByteRange::new(r.start, r.end))
            .collect();
        let whole = ByteRange::new(0, total);
        // What the first response carries, up to what is there already and to what was asked for.
        let first = first
            .and_then(|first| done.first_gap(first))
            .filter(|gap| Some(gap.start()) == first.map(|f| f.start()));
        let alone = done.is_empty() && first == whole;
        let piece_size = NonZeroU64::new(writer.piece_size()).unwrap_or(NonZeroU64::MIN);
        let evidence = known.evidence(if alone {
            Evidence::SingleResponse
        } else {
            evidence_of(&known.identity)
        });
        let plan = Plan::new(total, piece_size).done(done);
        let scheduler = Scheduler::new(plan, self.config(), self.seed);
        let intake = self.intake(writer.clone());
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
            ranged::End::Complete(evidence) => Ok(self.arrived(writer, total, evidence, true)),
            ranged::End::Changed(what) => Ok(Ended::Changed(what)),
            ranged::End::Unreliable(what) => {
                tracing::warn!(url = %self.job.safe_url, what, "ranges prove unreliable; going on with one stream");
                self.sequential(writer, known, None).await
            }
        }
    }

    async fn whole(
        &self,
        writer: Writer,
        known: Known,
        probe: Probe,
    ) -> Result<Ended, DownloadError> {
        // What an earlier run left at the start of the file is skipped; the writer keeps the rest of it as well.
        let there = prefix(&writer);
        let stream = Stream {
            body: probe.body,
            start: there,
            skip: there,
        };
        self.sequential(writer, known, Some(stream)).await
    }

    async fn sequential(
        &self,
        writer: Writer,
        known: Known,
        first: Option<Stream>,
    ) -> Result<Ended, DownloadError> {
        let from = prefix(&writer);
        let sequential = Sequential {
            source: Arc::clone(&self.source),
            intake: self.intake(writer.clone()),
            evidence: known.evidence(Evidence::SingleResponse),
            known: known.identity,
            retry: known.retry,
        };
        match sequential.run(first, from).await? {
            sequential::End::Complete {
                len,
                evidence,
                length_verified,
            } => Ok(self.arrived(writer, len, evidence, length_verified)),
            sequential::End::Changed(what) => Ok(Ended::Changed(what)),
        }
    }

    fn start_options(&self, identity: &Identity, kept: &Kept) -> StartOptions {
        let piece_size = self.job.piece_size.unwrap_or_else(|| {
            identity.len.map_or(UNKNOWN_PIECE, |len| {
                Geometry::automatic(len).piece_size().get()
            })
        });
        StartOptions {
            identity: identity.to_stored(),
            len: identity.len,
            piece_size,
            allocation: match self.job.allocation {
                FileAllocation::None => Allocation::None,
                FileAllocation::Prealloc => Allocation::Prealloc,
            },
            keep: match kept {
                Kept::Nothing => Keep::Nothing,
                Kept::Left { .. } => Keep::Left,
            },
            digest: self.job.digest.map(|digest| digest.algorithm()),
            ..StartOptions::default()
        }
    }

    fn intake(&self, writer: Writer) -> Intake {
        let budget = Budget::new(self.job.memory);
        let connections = match self.job.connections {
            Connections::Automatic => AUTOMATIC_MOST,
            Connections::AtMost(n) => n,
        };
        let buffer = budget.buffer_size(connections as usize);
        Intake {
            writer,
            budget,
            limiter: self.limiter.clone(),
            stats: Arc::clone(&self.session.stats),
            buffer,
        }
    }

    fn config(&self) -> Config {
        let connections = match self.job.connections {
            Connections::Automatic => bytehaul_schedule::Connections::Auto,
            Connections::AtMost(n) => bytehaul_schedule::Connections::fixed(n),
        };
        Config::default()
            .connections(connections)
            .min_split(self.job.min_split)
            .retry(self.job.retry.clone())
    }

    fn arrived(
        &self,
        writer: Writer,
        len: u64,
        evidence: Evidence,
        length_verified: bool,
    ) -> Ended {
        Ended::Arrived(Arrived {
            writer,
            len,
            evidence,
            length_verified,
            restarts: 0,
            url: self.job.safe_url.clone(),
        })
    }
}

/// What is known when the bytes begin to flow.
struct Known {
    identity: Identity,
    kept: Kept,
    retry: RetryBudget,
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

/// What the identity can prove at best.
fn evidence_of(identity: &Identity) -> Evidence {
    match identity.compare(identity) {
        crate::identity::Verdict::Same(evidence) => evidence,
        crate::identity::Verdict::Doubt(_) | crate::identity::Verdict::Changed(_) => {
            Evidence::Length
        }
    }
}

fn prefix(writer: &Writer) -> u64 {
    writer
        .written()
        .first()
        .filter(|range| range.start == 0)
        .map_or(0, |range| range.end)
}

/// A file that changes more often than this while it is downloaded cannot be had.
const MAX_RESTARTS: u32 = 3;

/// Connections that automatic mode may come to; what the size of buffers is reckoned by.
const AUTOMATIC_MOST: u32 = 16;

/// Piece of a file whose length is not known.
const UNKNOWN_PIECE: u64 = 1024 * 1024;
