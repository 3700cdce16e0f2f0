//! One download to a file, from claim to last byte; begins again when the remote file changed under it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytehaul_integrity::Expected;
use bytehaul_schedule::{ByteRange, Geometry, RangeSet};
use bytehaul_storage::{Allocation, Keep, StartOptions, Writer};
use tokio::sync::mpsc;

use crate::downloader::Shared;
use crate::error::{DownloadError, ErrorKind};
use crate::identity::Identity;
use crate::network::Access;
use crate::progress::DownloadState;
use crate::session::Session;
use crate::session::carry::{Carried, Carrier, Ground, Known};
use crate::session::description;
use crate::session::finish::Arrived;
use crate::session::job::{Job, Resume};
use crate::session::open::{self, Kept, Opened};
use crate::session::recheck;
use crate::session::sink::Sink;
use crate::session::trouble::in_a_line;
use crate::spec::{Durability, FileAllocation, FollowMetalink, OnRemoteChange};

/// What one attempt came to.
struct Attempted {
    writer: Writer,
    /// What the file has to hash to.
    expected: Option<Expected>,
    carried: Carried,
}

/// A download under way.
pub(crate) struct Transfer {
    session: Arc<Session>,
    carrier: Carrier,
}

impl Transfer {
    pub(crate) fn new(session: Arc<Session>, shared: &Shared, access: &Access, job: Job) -> Self {
        let carrier = Carrier::new(shared, access, job, Arc::clone(&session.stats));
        Self { session, carrier }
    }

    pub(crate) fn job(&self) -> &Job {
        &self.carrier.job
    }

    /// Runs until every byte has been handed to the writer. Dropping the future drops all requests in flight.
    pub(crate) async fn run(&self) -> Result<Arrived, DownloadError> {
        let job = self.job();
        let mut resume = job.resume;
        let mut restarts = 0;
        let mut first_error = None;
        let mut suspects = None;
        loop {
            let Attempted {
                writer,
                expected,
                carried,
            } = match self.attempt(resume).await {
                Ok(attempted) => attempted,
                Err(error) => {
                    resume = self.stand_in(error, resume, &mut first_error).await?;
                    continue;
                }
            };
            match carried {
                Carried::Complete {
                    len,
                    evidence,
                    length_verified,
                } => {
                    let url = self.carrier.source().answered_from();
                    job.check_len(&url, Some(len))?;
                    let wrong = self.carrier.check_rest(&writer, len).await?;
                    if !wrong.is_empty() {
                        // What was found right is there to go on from, whatever earlier runs left.
                        self.carrier.roster.take_back(&wrong);
                        self.session.set_active(None);
                        writer.close().await?;
                        resume = job.resume.max_of_own();
                        continue;
                    }
                    match suspects.take() {
                        None => {
                            let found =
                                recheck::suspicion(&self.carrier, &writer, expected, len).await?;
                            if let Some(found) = found {
                                suspects = Some(found);
                                self.fetch_again(writer).await?;
                                resume = Resume::Proven;
                                continue;
                            }
                        }
                        Some(suspects) => {
                            recheck::name(&self.carrier, &writer, suspects).await?;
                        }
                    }
                    return Ok(Arrived {
                        writer,
                        len,
                        evidence,
                        length_verified,
                        restarts,
                        url,
                        expected,
                        is_declared: self.carrier.is_declared(),
                        mirrors: self.carrier.roster.report(),
                    });
                }
                // What was said of the file was said of another one than this source has.
                Carried::Changed(what) if self.carrier.roster.is_named(self.carrier.lead()) => {
                    let url = self.carrier.source().safe_url().clone();
                    let error = DownloadError::BadResponse {
                        url,
                        what,
                        retries: 0,
                    };
                    resume = self.stand_in(error, resume, &mut first_error).await?;
                }
                Carried::Changed(what) => {
                    let url = job.safe_url.clone();
                    if job.on_change == OnRemoteChange::Fail || restarts == MAX_RESTARTS {
                        return Err(DownloadError::RemoteChanged { url, what });
                    }
                    bytehaul_log::warn!(%url, what, "the remote file changed; starting over");
                    self.drop_old(writer).await?;
                    self.carrier.roster.start_over();
                    self.carrier.learned.forget();
                    // Marks of the version that is gone accuse nobody.
                    suspects = None;
                    restarts += 1;
                    resume = Resume::Never;
                }
            }
        }
    }

    /// After a source has failed, the next one takes its place, with what is there already as far as it proves to have the
    /// same file. When none is left, the first is tried once more, with all the patience that was asked for.
    async fn stand_in(
        &self,
        error: DownloadError,
        resume: Resume,
        first_error: &mut Option<DownloadError>,
    ) -> Result<Resume, DownloadError> {
        let (roster, lead) = (&self.carrier.roster, self.carrier.lead());
        if roster.len() < 2 || !is_of_the_source(&error) {
            return Err(error);
        }
        let source = self.carrier.source();
        bytehaul_log::warn!(url = %source.safe_url(), %error, "a source is dropped");
        roster.set_dropped(lead, in_a_line(&error));
        let had_writer = match self.session.active() {
            Some(writer) => {
                self.session.set_active(None);
                writer.close().await?;
                true
            }
            None => false,
        };
        match (roster.fit().first(), &first_error) {
            (Some(&next), _) => {
                self.carrier.set_lead(next);
                first_error.get_or_insert(error);
            }
            (None, Some(first)) if first.kind() == ErrorKind::Network && !roster.is_benched() => {
                self.carrier.set_lead(0);
                roster.readmit(0);
                roster.bench_others(0);
            }
            (None, _) => return Err(first_error.take().unwrap_or(error)),
        }
        Ok(match resume {
            // What is there by now is of this run.
            Resume::Never if had_writer => Resume::Proven,
            resume => resume,
        })
    }

    /// Has the first source alone fetch what others had delivered.
    async fn fetch_again(&self, writer: Writer) -> Result<(), DownloadError> {
        let (roster, lead) = (&self.carrier.roster, self.carrier.lead());
        let url = self.carrier.source().safe_url().clone();
        bytehaul_log::warn!(%url, "the file does not match its checksum; what mirrors have delivered is fetched again");
        let foreign = roster.foreign(lead);
        roster.bench_others(lead);
        roster.take_back(&foreign);
        let ranges = foreign.iter().map(|range| range.start()..range.end());
        writer.invalidate_all(ranges.collect()).await?;
        self.session.set_active(None);
        writer.close().await?;
        Ok(())
    }

    /// Bytes of a version that is gone are of no use to anybody.
    async fn drop_old(&self, writer: Writer) -> Result<(), DownloadError> {
        self.session.set_active(None);
        writer.discard().await?;
        self.session.stats.start_over();
        Ok(())
    }

    async fn attempt(&self, resume: Resume) -> Result<Attempted, DownloadError> {
        let stats = &self.session.stats;
        stats.set_state(DownloadState::Connecting);
        let mut retry = self.carrier.first_retry();
        let opened = open::open(&self.session, &self.carrier, resume, &mut retry).await?;
        let Opened {
            claim,
            identity,
            stored,
            kept,
            probe,
        } = opened;
        stats.set_path(claim.layout().target.clone());
        self.carrier.learn(probe.as_ref(), &identity);
        self.carrier.ask_provider(probe.as_ref(), &identity).await;
        let options = self.start_options(&stored, &kept);
        // Known to the session before anybody could stop waiting for it.
        let session = Arc::clone(&self.session);
        let starting = move || {
            let writer = claim.start(options)?;
            session.set_active(Some(writer.clone()));
            Ok::<_, bytehaul_storage::Error>(writer)
        };
        let writer = self.session.blocking(starting).await?;
        let done: RangeSet = writer
            .written()
            .into_iter()
            .filter_map(|range| ByteRange::new(range.start, range.end))
            .collect();
        stats.resumed_from.store(done.covered(), Relaxed);
        stats.received.store(done.covered(), Relaxed);
        if let Some(len) = identity.len {
            stats.set_total(len);
        }
        stats.set_state(DownloadState::Downloading);
        let Some(probe) = probe else {
            let (len, evidence) = (done.covered(), identity.best());
            return Ok(Attempted {
                writer,
                expected: self.carrier.expected(),
                carried: Carried::Complete {
                    len,
                    evidence,
                    length_verified: true,
                },
            });
        };
        let sink = Arc::new(Sink::File(writer.clone()));
        let ground = Ground {
            sink,
            done,
            piece_size: writer.piece_size(),
            window: None,
        };
        let (tell, news) = mpsc::unbounded_channel();
        let description = match self.job().follow_metalink {
            FollowMetalink::HeadersAndDescription => probe.named.description.clone(),
            FollowMetalink::Headers | FollowMetalink::Off => None,
        };
        let known = Known {
            identity: identity.clone(),
            kept,
            retry: match self.carrier.roster.fit().len() {
                0 | 1 => retry,
                _ => self.carrier.retry(),
            },
            news: description.is_some().then_some(news),
        };
        let reading = description::read(&self.carrier, description, &identity, tell);
        let carry = self.carrier.carry(ground, known, probe);
        let carried = description::beside(carry, reading).await?;
        Ok(Attempted {
            writer,
            expected: self.carrier.expected(),
            carried,
        })
    }

    fn start_options(&self, identity: &Identity, kept: &Kept) -> StartOptions {
        let job = self.job();
        StartOptions {
            identity: identity.to_stored(),
            len: identity.len,
            piece_size: job
                .piece_size
                .unwrap_or_else(|| automatic_piece(identity.len)),
            allocation: match job.allocation {
                FileAllocation::None => Allocation::None,
                FileAllocation::Prealloc => Allocation::Prealloc,
            },
            keep: match kept {
                Kept::Nothing => Keep::Nothing,
                Kept::Left { .. } => Keep::Left,
            },
            digest: self.carrier.expected().map(|expected| expected.hashing()),
            durability: match job.durability {
                Durability::PowerCut => bytehaul_storage::Durability::PowerCut,
                Durability::Kill => bytehaul_storage::Durability::Kill,
            },
            ..StartOptions::default()
        }
    }
}

/// Whether another source may do better.
pub(crate) fn is_of_the_source(error: &DownloadError) -> bool {
    match error.kind() {
        ErrorKind::Network | ErrorKind::Server => true,
        ErrorKind::Integrity => matches!(error, DownloadError::SizeMismatch { .. }),
        ErrorKind::Parameter
        | ErrorKind::Local
        | ErrorKind::RemoteChanged
        | ErrorKind::Stopped
        | ErrorKind::Internal => false,
    }
}

/// The piece size for a file of this length, or of an unknown one.
pub(crate) fn automatic_piece(len: Option<u64>) -> u64 {
    len.map_or(UNKNOWN_PIECE, |len| {
        Geometry::automatic(len).piece_size().get()
    })
}

/// A file that changes more often than this while it is downloaded cannot be had.
const MAX_RESTARTS: u32 = 3;

const UNKNOWN_PIECE: u64 = 1024 * 1024;
