//! One download to a file, from claim to last byte; begins again when the remote file changed under it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytehaul_integrity::Digest;
use bytehaul_schedule::{ByteRange, Geometry, RangeSet};
use bytehaul_storage::{Allocation, Keep, StartOptions, Writer};

use crate::downloader::Shared;
use crate::error::DownloadError;
use crate::identity::Identity;
use crate::metalink;
use crate::network::Access;
use crate::progress::DownloadState;
use crate::session::Session;
use crate::session::carry::{Carried, Carrier, Ground, Known};
use crate::session::finish::Arrived;
use crate::session::job::{Job, Resume};
use crate::session::open::{self, Kept, Opened};
use crate::session::probe::Probe;
use crate::session::sink::Sink;
use crate::spec::{Durability, FileAllocation, FollowMetalink, OnRemoteChange};

/// What one attempt came to.
struct Attempted {
    writer: Writer,
    /// What the file has to hash to.
    digest: Option<Digest>,
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
        loop {
            let Attempted {
                writer,
                digest,
                carried,
            } = self.attempt(resume).await?;
            match carried {
                Carried::Complete {
                    len,
                    evidence,
                    length_verified,
                } => {
                    let url = self.carrier.source().answered_from();
                    job.check_len(&url, Some(len))?;
                    return Ok(Arrived {
                        writer,
                        len,
                        evidence,
                        length_verified,
                        restarts,
                        url,
                        digest,
                        mirrors: self.carrier.roster.report(),
                    });
                }
                Carried::Changed(what) => {
                    let url = job.safe_url.clone();
                    if job.on_change == OnRemoteChange::Fail || restarts == MAX_RESTARTS {
                        return Err(DownloadError::RemoteChanged { url, what });
                    }
                    tracing::warn!(%url, what, "the remote file changed; starting over");
                    self.drop_old(writer).await?;
                    restarts += 1;
                    resume = Resume::Never;
                }
            }
        }
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
        let mut retry = self.carrier.retry();
        let opened = open::open(
            &self.session,
            self.job(),
            &self.carrier.source(),
            resume,
            &mut retry,
        )
        .await?;
        let Opened {
            claim,
            identity,
            kept,
            probe,
        } = opened;
        stats.set_path(claim.layout().target.clone());
        let digest = self.digest(probe.as_ref(), &identity);
        let options = self.start_options(&identity, &kept, digest);
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
                digest,
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
        let carried = self
            .carrier
            .carry(
                ground,
                Known {
                    identity,
                    kept,
                    retry,
                },
                probe,
            )
            .await?;
        Ok(Attempted {
            writer,
            digest,
            carried,
        })
    }

    /// What the file has to hash to: what the caller says, or else what binds the bytes of mirrors that the server named
    /// to its file. Of what an earlier run has left complete, nobody knows any more where it came from.
    fn digest(&self, probe: Option<&Probe>, identity: &Identity) -> Option<Digest> {
        let job = self.job();
        if job.digest.is_some() || job.follow_metalink == FollowMetalink::Off {
            return job.digest;
        }
        match probe {
            Some(probe) if probe.named.mirrors.is_empty() => None,
            Some(probe) => probe.named.digest,
            None => metalink::strong(&identity.digests),
        }
    }

    fn start_options(
        &self,
        identity: &Identity,
        kept: &Kept,
        digest: Option<Digest>,
    ) -> StartOptions {
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
            digest: digest.map(|digest| digest.algorithm()),
            durability: match job.durability {
                Durability::PowerCut => bytehaul_storage::Durability::PowerCut,
                Durability::Kill => bytehaul_storage::Durability::Kill,
            },
            ..StartOptions::default()
        }
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
