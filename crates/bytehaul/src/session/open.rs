//! Before the first byte is written: the claim on the target, what an earlier run left, and the probe, reconciled.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytehaul_schedule::RetryBudget;
use bytehaul_storage::{Claim, Layout, Left};
use bytehaul_transport::RequestRange;

use crate::error::DownloadError;
use crate::identity::{Evidence, Identity, Verdict};
use crate::session::Session;
use crate::session::compared;
use crate::session::job::{Connections, Job, Place, Resume};
use crate::session::overlap::{self, Overlap};
use crate::session::place;
use crate::session::probe::{self, Kind, Probe};
use crate::session::source::Source;
use crate::session::trouble::Trouble;
use crate::spec::OnRemoteChange;

/// A transfer that is ready to write.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) claim: Claim,
    pub(crate) identity: Identity,
    pub(crate) kept: Kept,
    /// The first response. `None` when an earlier run had everything already.
    pub(crate) probe: Option<Probe>,
}

/// What is taken over from an earlier run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    Nothing,
    Left { evidence: Evidence },
}

/// Claims the target and asks the first request, until it is clear what to write.
pub(crate) async fn open(
    session: &Session,
    job: &Job,
    source: &Source,
    resume: Resume,
    retry: &mut RetryBudget,
) -> Result<Opened, DownloadError> {
    let mut opening = Opening {
        session,
        job,
        source,
        resume,
        waits: compared::DOUBT_WAITS.iter(),
        moved: false,
    };
    let mut held = opening.claim_early().await?;
    loop {
        let left = held.as_ref().and_then(|claim| opening.usable(claim));
        if let Some(left) = &left
            && left.missing.is_empty()
        {
            let claim = held.expect("what is left was found by a claim");
            let kept = Kept::Left {
                evidence: left.identity.best(),
            };
            return Ok(Opened {
                claim,
                identity: left.identity.clone(),
                kept,
                probe: None,
            });
        }
        let mut probe = probe::probe(source, opening.wanted(left.as_ref()), retry).await?;
        job.check_len(&probe.url, probe.identity.len)?;
        let kept = match left {
            None => Kept::Nothing,
            Some(left) => match opening.reconcile(&left, &mut probe, retry).await? {
                Reconciled::Kept(evidence) => Kept::Left { evidence },
                Reconciled::AskAgain => continue,
            },
        };
        let identity = probe.identity.clone();
        match opening.settle(held, &probe).await? {
            Settled::Here(claim) => {
                return Ok(Opened {
                    claim,
                    identity,
                    kept,
                    probe: Some(probe),
                });
            }
            Settled::Elsewhere(claim) if opening.usable(&claim).is_none() => {
                return Ok(Opened {
                    claim,
                    identity,
                    kept: Kept::Nothing,
                    probe: Some(probe),
                });
            }
            Settled::Elsewhere(_) if opening.moved => {
                let what = "another file name in each answer".into();
                return Err(DownloadError::BadResponse {
                    url: job.safe_url.clone(),
                    what,
                    retries: 0,
                });
            }
            // The server's own name leads to a part file: ask again, for what that one lacks.
            Settled::Elsewhere(claim) => {
                opening.moved = true;
                held = Some(claim);
            }
        }
    }
}

struct Opening<'a> {
    session: &'a Session,
    job: &'a Job,
    source: &'a Source,
    resume: Resume,
    /// How often it may still be asked again about another validator.
    waits: std::slice::Iter<'static, Duration>,
    /// Whether the server has named another file than the likely one already.
    moved: bool,
}

/// What an earlier run left, as far as it may be used.
struct Usable {
    identity: Identity,
    missing: Vec<Range<u64>>,
    /// Bytes before the first missing one that are compared with what the server has now; none where a
    /// validator proves enough.
    overlap: Range<u64>,
    part: PathBuf,
}

/// Which claim the download goes on with.
enum Settled {
    Here(Claim),
    Elsewhere(Claim),
}

enum Reconciled {
    Kept(Evidence),
    AskAgain,
}

impl Opening<'_> {
    /// A named target is claimed before anything is sent. For an automatic one, the likely name is only looked
    /// at, since the server may name another: what is wrong with it is said when the name is certain.
    async fn claim_early(&self) -> Result<Option<Claim>, DownloadError> {
        match &self.job.place {
            Place::Named(path) => place::claim(self.session, path, self.job.overwrite, self.resume)
                .await
                .map(Some),
            Place::Automatic { directory } => {
                let Some(path) = place::likely(directory, self.source.url()) else {
                    return Ok(None);
                };
                Ok(
                    place::claim(self.session, &path, self.job.overwrite, self.resume)
                        .await
                        .ok(),
                )
            }
        }
    }

    fn usable(&self, claim: &Claim) -> Option<Usable> {
        if self.resume == Resume::Never {
            return None;
        }
        if let Some(warning) = claim.warning() {
            tracing::warn!(warning, "something of an earlier run cannot be used");
        }
        let left = claim.left()?;
        let identity = Identity::from_stored(&left.identity, left.len);
        // Of a file of another size, nothing is of use.
        self.job
            .check_len(self.source.safe_url(), identity.len)
            .ok()?;
        let missing = missing(left, identity.len?);
        let part = claim.layout().part.clone();
        let Some(gap) = missing.first() else {
            // Complete but not published: no server needs to be asked, but it has to be this very URL's file.
            let same = identity.url == self.source.safe_url().identity();
            return same.then_some(Usable {
                identity,
                missing,
                overlap: 0..0,
                part,
            });
        };
        let weak = identity.best() > Evidence::StrongEtag;
        let overlap = if weak {
            overlap::before(gap, &left.durable)
        } else {
            gap.start..gap.start
        };
        let allowed = identity.has_validator() || self.resume == Resume::Trusting;
        allowed.then_some(Usable {
            identity,
            missing,
            overlap,
            part,
        })
    }

    /// The claim on the name that is certain now that the server has answered.
    async fn settle(&self, held: Option<Claim>, probe: &Probe) -> Result<Settled, DownloadError> {
        let Place::Automatic { directory } = &self.job.place else {
            return Ok(Settled::Here(
                held.expect("a named target is claimed before anything is sent"),
            ));
        };
        let path = place::automatic(directory, self.source.url(), &probe.headers);
        match held {
            Some(claim) if is_target(&claim, &path) => Ok(Settled::Here(claim)),
            Some(_) | None => place::claim(self.session, &path, self.job.overwrite, self.resume)
                .await
                .map(Settled::Elsewhere),
        }
    }

    /// What the probe asks for: the first bytes that are missing, and not much more than one connection should
    /// fetch of a file that several may share.
    fn wanted(&self, left: Option<&Usable>) -> RequestRange {
        let alone = self.job.connections == Connections::AtMost(1);
        let share = probe::share(self.job);
        let gap = left.and_then(|left| Some((left.missing.first()?, left.overlap.start)));
        match gap {
            Some((gap, start)) if alone => RequestRange::Span(start..gap.end),
            Some((gap, start)) => RequestRange::Span(start..gap.end.min(gap.start + share)),
            None => probe::beginning(self.job),
        }
    }

    async fn reconcile(
        &mut self,
        left: &Usable,
        probe: &mut Probe,
        retry: &mut RetryBudget,
    ) -> Result<Reconciled, DownloadError> {
        let what = match left.identity.compare(&probe.identity) {
            Verdict::Same(evidence) if left.identity.is_resumable_as(&probe.identity) => {
                match self.compare_overlap(left, probe).await {
                    Ok(Overlap::Equal) => return Ok(Reconciled::Kept(evidence)),
                    Ok(Overlap::Differs) => "bytes that are there already differ".into(),
                    Err(trouble) => {
                        probe::wait(&probe.url, trouble, retry).await?;
                        return Ok(Reconciled::AskAgain);
                    }
                }
            }
            Verdict::Same(_) => "an earlier run downloaded another URL to this target".into(),
            Verdict::Doubt(what) => match self.waits.next() {
                Some(wait) => {
                    tokio::time::sleep(*wait).await;
                    return Ok(Reconciled::AskAgain);
                }
                None => what,
            },
            Verdict::Changed(what) => what,
        };
        match self.job.on_change {
            OnRemoteChange::Fail => Err(DownloadError::RemoteChanged {
                url: probe.url.clone(),
                what,
            }),
            OnRemoteChange::Restart => {
                tracing::warn!(url = %probe.url, what, "what an earlier run left is of another version; starting over");
                self.resume = Resume::Never;
                Ok(Reconciled::AskAgain)
            }
        }
    }

    /// Takes the overlap from the start of the probe's body, so that what follows is missing.
    async fn compare_overlap(&self, left: &Usable, probe: &mut Probe) -> Result<Overlap, Trouble> {
        let Kind::Ranged { range, .. } = &mut probe.kind else {
            return Ok(Overlap::Equal);
        };
        if left.overlap.is_empty() {
            return Ok(Overlap::Equal);
        }
        if range.end <= left.overlap.end {
            return Err(Trouble::short(&probe.url));
        }
        range.start = left.overlap.end;
        overlap::compare(
            &left.part,
            left.overlap.clone(),
            &mut probe.body,
            &probe.url,
        )
        .await
    }
}

/// Whether `path` names what is claimed; a claim knows its target by its real path.
fn is_target(claim: &Claim, path: &Path) -> bool {
    Layout::beside(path).is_ok_and(|layout| layout.target == claim.layout().target)
}

fn missing(left: &Left, len: u64) -> Vec<Range<u64>> {
    let mut missing = Vec::new();
    let mut at = 0;
    for range in &left.durable {
        if range.start > at {
            missing.push(at..range.start);
        }
        at = range.end;
    }
    if at < len {
        missing.push(at..len);
    }
    missing
}
