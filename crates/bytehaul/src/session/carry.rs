//! From the first response to the last byte: over ranges, or as one stream when that is all the server can do.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytehaul_ratelimit::{BytesPerSecond, Limiter};
use bytehaul_schedule::{ByteRange, Config, Plan, RangeSet, RetryBudget, Scheduler};
use bytehaul_storage::{Budget, Writer};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::downloader::Shared;
use crate::error::DownloadError;
use crate::identity::{Evidence, Identity};
use crate::network::Access;
use crate::session::description::{Learned, News};
use crate::session::intake::Intake;
use crate::session::job::{Connections, Job, Resume};
use crate::session::mirrored::{LastWord, Mirrored};
use crate::session::open::Kept;
use crate::session::pieces::{Checker, Pieces};
use crate::session::probe::{Kind, Probe};
use crate::session::prove::{Reference, Toll};
use crate::session::ranged::{self, Driver};
use crate::session::roster::Roster;
use crate::session::sequential::{self, Held, Ranges, Sequential, Shape, Stream};
use crate::session::sink::Sink;
use crate::session::source::Source;
use crate::session::stats::Stats;
use crate::session::worker::{self, Adopted};

/// What one download works with, whichever way its bytes come and wherever they go.
pub(crate) struct Carrier {
    pub(crate) job: Job,
    /// Every source, those that are out as well.
    pub(crate) roster: Arc<Roster>,
    /// The one that is asked first, and believed.
    lead: AtomicUsize,
    pub(crate) seed: u64,
    /// What the caller says that each piece has to hash to, over all attempts.
    pub(super) pieces: Option<Arc<Pieces>>,
    /// What answers have said beyond that.
    pub(crate) learned: Learned,
    pub(super) access: Access,
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
    /// From whoever reads a description of the file beside the transfer.
    pub(crate) news: Option<UnboundedReceiver<News>>,
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
        let roster = Arc::new(Roster::new(sources(access, &job)));
        let limiter = shared.limiter.child(BytesPerSecond::new(job.speed));
        let seed = RandomState::new().build_hasher().finish();
        let hashes = job.pieces.clone();
        let pieces = hashes.map(|hashes| Arc::new(Pieces::new(job.safe_url.clone(), hashes)));
        Self {
            job,
            roster,
            lead: AtomicUsize::new(0),
            seed,
            pieces,
            learned: Learned::default(),
            access: access.clone(),
            limiter,
            stats,
        }
    }

    /// The source that is asked first, and believed.
    pub(crate) fn source(&self) -> Arc<Source> {
        self.roster.source(self.lead())
    }

    /// Its place in the roster.
    pub(crate) fn lead(&self) -> usize {
        self.lead.load(Relaxed)
    }

    pub(crate) fn set_lead(&self, member: usize) {
        self.lead.store(member, Relaxed);
    }

    /// What bytes beside the file count for.
    pub(crate) fn toll(&self) -> Toll {
        Toll {
            limiter: self.limiter.clone(),
            stats: Arc::clone(&self.stats),
        }
    }

    /// The budget of the first request: while there is another source to try, a dead one is not waited for, and one of
    /// which nothing is known but its name never is.
    pub(crate) fn first_retry(&self) -> RetryBudget {
        if self.roster.has_choice() || self.roster.is_named(self.lead()) {
            return RetryBudget::new(self.job.retry.clone().max_retries(0), self.seed);
        }
        self.retry()
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
                bytehaul_log::debug!(url = %self.job.safe_url, "no validator; one stream is all that can be trusted");
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
        mut known: Known,
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
            source: self.source(),
            intake,
            known: known.identity.clone(),
        };
        let mirrored = self.mirrored(&sink, &known.identity, total - done.covered());
        let mut driver = Driver::new(scheduler, shared, mirrored, evidence, known.retry.longest());
        driver.check(self.checker(&sink, total));
        if let Some(news) = known.news.take() {
            driver.listen(news, total);
        }
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
                bytehaul_log::warn!(url = %self.job.safe_url, what, "ranges prove unreliable; going on with one stream");
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

    /// What is to be watched when several sources take part. A mirror costs a few MiB before it is of use, so there
    /// have to be many bytes left; a reader cannot give bytes back that prove to be wrong.
    fn mirrored(&self, sink: &Arc<Sink>, identity: &Identity, missing: u64) -> Mirrored {
        let is_worth_it =
            missing >= WORTH_A_MIRROR && self.job.connections != Connections::AtMost(1);
        let reference = match &**sink {
            Sink::File(writer) if is_worth_it => Some(Reference {
                source: self.source(),
                known: identity.clone(),
                member: self.lead(),
                roster: Arc::clone(&self.roster),
                writer: writer.clone(),
                digest: self.digest(),
                seed: self.seed,
                toll: self.toll(),
                cache: tokio::sync::Mutex::default(),
            }),
            Sink::File(_) | Sink::Ordered(_) => None,
        };
        let last_word = match self.digest() {
            Some(_) => LastWord::Digest,
            None => LastWord::Nobody,
        };
        self.roster.set_used(self.lead());
        Mirrored::new(Arc::clone(&self.roster), self.lead(), reference, last_word)
    }

    /// A check of every piece of a file of `len` bytes, as its bytes arrive.
    fn checker(&self, sink: &Sink, len: u64) -> Checker {
        let work = match (sink, self.pieces()) {
            (Sink::File(writer), Some(pieces)) => Some((pieces, writer.clone())),
            // A reader checks what it has been given.
            (Sink::Ordered(_), _) | (_, None) => None,
        };
        Checker::begin(work, len)
    }

    /// Checks the pieces of a complete file that were not checked on their arrival, and says which bytes were wrong.
    /// Those are missing again.
    pub(crate) async fn check_rest(
        &self,
        writer: &Writer,
        len: u64,
    ) -> Result<RangeSet, DownloadError> {
        let work = self.pieces().map(|pieces| (pieces, writer.clone()));
        Checker::go_on(work, len).finish().await
    }

    async fn sequential(
        &self,
        ground: Ground,
        known: Known,
        first: Option<Stream>,
        ranges: Ranges,
    ) -> Result<Carried, DownloadError> {
        // One stream may begin again from the start, so its pieces are checked at the end.
        if let Some(pieces) = self.pieces() {
            pieces.begin(0);
        }
        let sequential = Sequential {
            source: self.source(),
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

/// The URL that was given, and its mirrors in the order of their priority.
fn sources(access: &Access, job: &Job) -> Vec<Arc<Source>> {
    let mut mirrors: Vec<_> = job.mirrors.iter().collect();
    mirrors.sort_by_key(|mirror| mirror.priority);
    let mut seen = vec![&job.url];
    let mut sources = vec![Arc::new(Source::new(access, job))];
    for mirror in mirrors {
        if !seen.contains(&&mirror.url) {
            seen.push(&mirror.url);
            sources.push(Arc::new(Source::mirror(access, job, mirror.url.clone())));
        }
    }
    sources
}

/// Fewer missing bytes are left to the first source.
const WORTH_A_MIRROR: u64 = 16 * 1024 * 1024;

/// Connections that automatic mode may come to; what the size of buffers is reckoned by.
const AUTOMATIC_MOST: usize = 16;

/// Full buffers that may wait for the disk, beside the one that each connection fills.
const QUEUED: usize = 8;
