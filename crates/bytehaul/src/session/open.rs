//! Before the first byte is written: the claim on the target, what an earlier run left, and the probe, reconciled.

use std::ops::Range;
use std::time::Duration;

use bytehaul_schedule::RetryBudget;
use bytehaul_storage::{Claim, Left};
use bytehaul_transport::RequestRange;

use crate::error::DownloadError;
use crate::identity::{Evidence, Identity, Verdict};
use crate::session::job::{Connections, Job, Place, Resume};
use crate::session::place;
use crate::session::probe::{self, Probe};
use crate::session::source::Source;
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
    job: &Job,
    source: &Source,
    resume: Resume,
    retry: &mut RetryBudget,
) -> Result<Opened, DownloadError> {
    let mut opening = Opening {
        job,
        source,
        resume,
        doubts: 0,
    };
    let mut held = opening.claim_early().await?;
    loop {
        let left = held.as_ref().and_then(|claim| opening.usable(claim));
        if let Some(left) = &left
            && left.missing.is_empty()
        {
            let claim = held.expect("what is left was found by a claim");
            let kept = Kept::Left {
                evidence: Evidence::SingleResponse,
            };
            return Ok(Opened {
                claim,
                identity: left.identity.clone(),
                kept,
                probe: None,
            });
        }
        let probe = probe::probe(source, opening.wanted(left.as_ref()), retry).await?;
        let kept = match left {
            None => Kept::Nothing,
            Some(left) => match opening.reconcile(&left, &probe).await? {
                Reconciled::Kept(evidence) => Kept::Left { evidence },
                Reconciled::AskAgain => continue,
            },
        };
        if let Place::Automatic { directory } = &job.place {
            let path = place::automatic(directory, source.url(), &probe.headers);
            if held
                .as_ref()
                .is_none_or(|claim| claim.layout().target != path)
            {
                let claim = place::claim(&path, job.overwrite, opening.resume).await?;
                let resumable = opening.usable(&claim).is_some();
                held = Some(claim);
                if resumable {
                    // The server's own name leads to a part file: ask again, for what it lacks.
                    continue;
                }
                let claim = held.expect("just claimed");
                return Ok(Opened {
                    claim,
                    identity: probe.identity.clone(),
                    kept: Kept::Nothing,
                    probe: Some(probe),
                });
            }
        }
        let claim = held.expect("a named target is claimed before anything is sent");
        return Ok(Opened {
            claim,
            identity: probe.identity.clone(),
            kept,
            probe: Some(probe),
        });
    }
}

struct Opening<'a> {
    job: &'a Job,
    source: &'a Source,
    resume: Resume,
    doubts: u32,
}

/// What an earlier run left, as far as it may be used.
struct Usable {
    identity: Identity,
    missing: Vec<Range<u64>>,
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
            Place::Named(path) => place::claim(path, self.job.overwrite, self.resume)
                .await
                .map(Some),
            Place::Automatic { directory } => {
                let Some(path) = place::likely(directory, self.source.url()) else {
                    return Ok(None);
                };
                Ok(place::claim(&path, self.job.overwrite, self.resume)
                    .await
                    .ok())
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
        let missing = missing(left, identity.len?);
        let here = Identity {
            url: self.source.safe_url().identity(),
            ..Identity::default()
        };
        if missing.is_empty() {
            // Complete but not published: no server needs to be asked, but it has to be this very URL's file.
            return (identity.url == here.url).then_some(Usable { identity, missing });
        }
        let allowed = identity.has_validator() || self.resume == Resume::Trusting;
        allowed.then_some(Usable { identity, missing })
    }

    /// What the probe asks for: the first bytes that are missing, and not much more than one connection should
    /// fetch of a file that several may share.
    fn wanted(&self, left: Option<&Usable>) -> RequestRange {
        let alone = self.job.connections == Connections::AtMost(1);
        let share = self.job.min_split.clamp(PROBE_LEAST, PROBE_MOST);
        match left.and_then(|left| left.missing.first()) {
            Some(gap) if alone => RequestRange::Span(gap.clone()),
            Some(gap) => RequestRange::Span(gap.start..gap.end.min(gap.start + share)),
            None if alone => RequestRange::From(0),
            None => RequestRange::Span(0..share),
        }
    }

    async fn reconcile(
        &mut self,
        left: &Usable,
        probe: &Probe,
    ) -> Result<Reconciled, DownloadError> {
        let what = match left.identity.compare(&probe.identity) {
            Verdict::Same(evidence) if left.identity.is_resumable_as(&probe.identity) => {
                return Ok(Reconciled::Kept(evidence));
            }
            Verdict::Same(_) => "an earlier run downloaded another URL to this target".into(),
            Verdict::Doubt(what) => {
                self.doubts += 1;
                if self.doubts <= MAX_DOUBTS {
                    tokio::time::sleep(DOUBT_WAIT * self.doubts).await;
                    return Ok(Reconciled::AskAgain);
                }
                what
            }
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

/// The first request is never smaller than what a small file has, nor larger than one connection's fair share.
const PROBE_LEAST: u64 = 1024 * 1024;
const PROBE_MOST: u64 = 16 * 1024 * 1024;

/// Answers with another validator before it is a change.
const MAX_DOUBTS: u32 = 4;
const DOUBT_WAIT: Duration = Duration::from_millis(100);
