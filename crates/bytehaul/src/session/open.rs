//! Before the first byte is written: the claim on the target, what an earlier run left, and the probe, reconciled.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytehaul_schedule::{ByteRange, RangeSet, RetryBudget};
use bytehaul_storage::{Claim, Layout, Left};
use bytehaul_transport::{RequestRange, SafeUrl};

use crate::error::DownloadError;
use crate::identity::{Evidence, Identity, Verdict};
use crate::metalink;
use crate::session::Session;
use crate::session::carry::Carrier;
use crate::session::compared;
use crate::session::job::{Connections, Job, Place, Resume};
use crate::session::overlap::{self, Overlap};
use crate::session::place;
use crate::session::probe::{self, Kind, Probe};
use crate::session::prove::{self, Unfit};
use crate::session::source::Source;
use crate::session::trouble::Trouble;
use crate::spec::OnRemoteChange;

/// A transfer that is ready to write.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) claim: Claim,
    pub(crate) identity: Identity,
    /// By what another run recognises the file: what the source before this one said of it, when this one has proven to
    /// have the same.
    pub(crate) stored: Identity,
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
    carrier: &Carrier,
    resume: Resume,
    retry: &mut RetryBudget,
) -> Result<Opened, DownloadError> {
    let (job, source) = (&carrier.job, &*carrier.source());
    let mut opening = Opening {
        session,
        carrier,
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
                stored: left.identity.clone(),
                kept,
                probe: None,
            });
        }
        let mut probe = probe::probe(source, opening.wanted(left.as_ref()), retry).await?;
        job.check_len(&probe.url, probe.identity.len)?;
        let identity = probe.identity.clone();
        let (kept, stored) = match left {
            None => (Kept::Nothing, identity.clone()),
            Some(left) => match opening.reconcile(&left, &mut probe, retry).await? {
                Reconciled::Kept(evidence) if opening.is_of_another_source(&left, &probe) => {
                    (Kept::Left { evidence }, left.identity)
                }
                Reconciled::Kept(evidence) => (Kept::Left { evidence }, identity.clone()),
                Reconciled::AskAgain => continue,
            },
        };
        match opening.settle(held, &probe).await? {
            Settled::Here(claim) => {
                return Ok(Opened {
                    claim,
                    identity,
                    stored,
                    kept,
                    probe: Some(probe),
                });
            }
            Settled::Elsewhere(claim) if opening.usable(&claim).is_none() => {
                return Ok(Opened {
                    claim,
                    stored: identity.clone(),
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
    carrier: &'a Carrier,
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
    durable: RangeSet,
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
            bytehaul_log::warn!(warning, "something of an earlier run cannot be used");
        }
        let left = claim.left()?;
        let identity = Identity::from_stored(&left.identity, left.len);
        // Of a file of another size, nothing is of use.
        self.job
            .check_len(self.source.safe_url(), identity.len)
            .ok()?;
        let missing = missing(left, identity.len?);
        let part = claim.layout().part.clone();
        let durable = left
            .durable
            .iter()
            .filter_map(|range| ByteRange::new(range.start, range.end))
            .collect();
        let Some(gap) = missing.first() else {
            // Complete but not published: no server needs to be asked, but it has to be this very URL's file.
            let same = self.carrier.roster.has_url(&identity.url);
            return same.then_some(Usable {
                identity,
                missing,
                overlap: 0..0,
                part,
                durable,
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
            durable,
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
        let verdict = match self.is_of_another_source(left, probe) {
            true => match self.prove(left, probe).await {
                Ok(evidence) => Verdict::Same(evidence),
                Err(Unfit::Differs(what)) if self.carrier.lead() == 0 => Verdict::Changed(what),
                // What the first source has sent is believed, and stays; this one is not asked again.
                Err(Unfit::Differs(what)) => {
                    let (url, lead) = (probe.url.clone(), self.carrier.lead());
                    bytehaul_log::warn!(%url, what, "a source does not have the same file; nothing of it is used");
                    self.carrier.roster.quarantine(lead, what.clone());
                    return Err(unproven(url, what));
                }
                Err(Unfit::Unusable(what)) if left.durable.covered() >= LITTLE => {
                    return Err(unproven(probe.url.clone(), what));
                }
                // Less is fetched anew sooner than it is proven.
                Err(Unfit::Unusable(_)) => {
                    self.resume = Resume::Never;
                    return Ok(Reconciled::AskAgain);
                }
            },
            false => left.identity.compare(&probe.identity),
        };
        let is_known = self.carrier.roster.has_url(&left.identity.url);
        let what = match verdict {
            Verdict::Same(evidence)
                if is_known || left.identity.is_resumable_as(&probe.identity) =>
            {
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
                bytehaul_log::warn!(url = %probe.url, what, "what an earlier run left is of another version; starting over");
                self.resume = Resume::Never;
                Ok(Reconciled::AskAgain)
            }
        }
    }

    /// Whether the bytes that are there came from another of the sources of this download: its validators say nothing
    /// about those of this one.
    fn is_of_another_source(&self, left: &Usable, probe: &Probe) -> bool {
        left.identity.url != probe.identity.url && self.carrier.roster.has_url(&left.identity.url)
    }

    /// Proves that this source has the file of which some bytes are there.
    async fn prove(&self, left: &Usable, probe: &Probe) -> Result<Evidence, Unfit> {
        let strong = Identity {
            len: left.identity.len,
            digests: metalink::strong(&left.identity.digests)
                .into_iter()
                .collect(),
            ..Identity::default()
        };
        match strong.compare(&probe.identity) {
            Verdict::Same(Evidence::Digest) => return Ok(Evidence::Digest),
            Verdict::Same(_) => (),
            Verdict::Doubt(what) | Verdict::Changed(what) => return Err(Unfit::Differs(what)),
        }
        if left.durable.covered() < LITTLE {
            return Err(Unfit::Unusable(
                "too little is there to compare with".into(),
            ));
        }
        let toll = self.carrier.toll();
        let seed = self.carrier.seed;
        prove::prove_by_part(
            self.source,
            &probe.identity,
            &left.part,
            &left.durable,
            seed,
            &toll,
        )
        .await?;
        Ok(Evidence::Samples)
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

fn unproven(url: SafeUrl, what: String) -> DownloadError {
    DownloadError::BadResponse {
        url,
        what,
        retries: 0,
    }
}

/// So few bytes could be of several files.
const LITTLE: u64 = 1024 * 1024;

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
