//! The driver's part for several sources: proving them, looking at what they deliver, and dropping what is wrong.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytehaul_schedule::{ByteRange, Class, Event, Failure, RangeSet, SourceId, Standing};
use tokio::task::{JoinError, JoinSet};

use crate::error::DownloadError;
use crate::session::description::News;
use crate::session::pieces::Checker;
use crate::session::prove::{self, Proven, Reference, Unfit};
use crate::session::ranged::Driver;
use crate::session::roster::Roster;
use crate::session::sink::Sink;
use crate::session::spot::{self, Finding, Judge};
use crate::session::worker;

/// What a driver with several sources has to watch.
pub(crate) struct Mirrored {
    pub(crate) roster: Arc<Roster>,
    /// Which member of the roster each source of the scheduler is; the first is the one that was probed.
    order: Vec<usize>,
    /// What mirrors are compared with. `None`: they are not used beside the first.
    reference: Option<Arc<Reference>>,
    pub(crate) proofs: JoinSet<Proof>,
    waiting: Vec<SourceId>,
    pub(crate) spots: JoinSet<Spot>,
    spotted: Vec<SourceId>,
    since: Instant,
    last_word: LastWord,
    /// Who took part in pieces that were wrong once, by their start.
    disputed: HashMap<u64, Vec<SourceId>>,
}

/// Who says in the end that the file is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LastWord {
    /// A digest of the whole file is compared.
    Digest,
    /// Nobody, so what each mirror delivered last is compared before it counts.
    Nobody,
}

pub(crate) type Proof = (SourceId, Result<Proven, Unfit>);
pub(crate) type Spot = (SourceId, ByteRange, Finding);

impl Mirrored {
    pub(crate) fn new(
        roster: Arc<Roster>,
        lead: usize,
        reference: Option<Reference>,
        last_word: LastWord,
    ) -> Self {
        let others = roster.fit().into_iter().filter(|&member| member != lead);
        let order: Vec<_> = std::iter::once(lead).chain(others).collect();
        let count = u32::try_from(order.len()).unwrap_or(u32::MAX);
        let waiting = match &reference {
            Some(_) => (1..count).rev().map(SourceId).collect(),
            None => Vec::new(),
        };
        Self {
            roster,
            order,
            reference: reference.map(Arc::new),
            proofs: JoinSet::new(),
            waiting,
            spots: JoinSet::new(),
            spotted: Vec::new(),
            since: Instant::now(),
            last_word,
            disputed: HashMap::new(),
        }
    }

    /// Takes in sources that have become known since. Returns how many.
    fn welcome(&mut self) -> usize {
        let before = self.order.len();
        for member in self.roster.fit() {
            if self.order.contains(&member) {
                continue;
            }
            let id = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
            self.order.push(member);
            if self.reference.is_some() {
                self.waiting.insert(0, SourceId(id));
            }
        }
        self.since = Instant::now();
        self.order.len() - before
    }

    pub(crate) fn member(&self, source: SourceId) -> usize {
        self.order[source.0 as usize]
    }

    /// How many sources there are.
    pub(crate) fn count(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.order.len() < 2
    }

    /// Starts proofs, a few at a time. Returns how many connections are kept free for them.
    fn prove(&mut self) -> u32 {
        let Some(reference) = &self.reference else {
            return 0;
        };
        while self.proofs.len() < PROOFS_AT_ONCE
            && let Some(id) = self.waiting.pop()
        {
            let mirror = self.roster.source(self.order[id.0 as usize]);
            let reference = Arc::clone(reference);
            self.proofs
                .spawn(async move { (id, prove::prove(&mirror, &reference).await) });
        }
        // A dead one takes long to show it, and must not cost a connection as long.
        if self.since.elapsed() > KEPT_FREE {
            return 0;
        }
        u32::try_from(self.proofs.len()).unwrap_or(u32::MAX)
    }
}

impl Driver {
    /// Whatever is due beside the transfer itself.
    pub(crate) fn look_after_mirrors(&mut self, now: Instant) {
        if self.mirrored.is_alone() {
            return;
        }
        let connections = self.mirrored.prove();
        if connections != self.reserved {
            self.reserved = connections;
            self.scheduler.handle(now, Event::Reserved { connections });
        }
        let standings: Vec<_> = self.scheduler.sources(now).collect();
        for (id, standing) in standings {
            let member = self.mirrored.member(id);
            match standing {
                Standing::Lost if !self.mirrored.roster.is_out(member) => {
                    let reason = self.parties[id.0 as usize].last_words.clone();
                    self.drop_out(id, reason.unwrap_or_else(|| "it failed too often".into()));
                }
                _ if self.mirrored.roster.unchecked(member) >= SPOT_EVERY => self.spot_check(id),
                _ => {}
            }
        }
    }

    /// Takes in what a description of the file says: sources to be proven, and hashes that every piece is checked
    /// against, those as well that are there already.
    pub(crate) fn take_in(&mut self, news: News, len: u64) {
        for _ in 0..self.mirrored.welcome() {
            self.add_party();
        }
        if let (Sink::File(writer), Some(pieces)) = (&*self.intake.sink, news.pieces) {
            self.checker = Checker::begin(Some((pieces, writer.clone())), len);
        }
    }

    /// Compares what came last from mirrors that nothing else speaks for. Whether anything is still being compared.
    pub(crate) fn is_looking(&mut self) -> bool {
        if self.mirrored.last_word == LastWord::Nobody {
            for id in 1..self.mirrored.order.len() {
                let id = SourceId(u32::try_from(id).unwrap_or(u32::MAX));
                if self.mirrored.roster.unchecked(self.mirrored.member(id)) > 0 {
                    self.spot_check(id);
                }
            }
        }
        !self.mirrored.spots.is_empty()
    }

    /// Has what a mirror delivered last compared with what another source has.
    fn spot_check(&mut self, accused: SourceId) {
        let Sink::File(writer) = &*self.intake.sink else {
            return;
        };
        // The first source is what the others are compared with; and one comparison at a time is enough.
        if accused == SourceId::PRIMARY || self.mirrored.spotted.contains(&accused) {
            return;
        }
        let now = Instant::now();
        let used = self.scheduler.sources(now);
        let judges: Vec<_> = used
            .filter(|&(id, standing)| id != accused && standing != Standing::Lost)
            .map(|(id, _)| Judge {
                id,
                shared: Arc::clone(&self.parties[id.0 as usize].shared),
            })
            .collect();
        let stretches = self
            .mirrored
            .roster
            .stretches(self.mirrored.member(accused));
        for range in stretches {
            let (writer, judges) = (writer.clone(), judges.clone());
            if !self.mirrored.spotted.contains(&accused) {
                self.mirrored.spotted.push(accused);
            }
            self.mirrored.spots.spawn(async move {
                (
                    accused,
                    range,
                    spot::check(accused, range, &writer, &judges).await,
                )
            });
        }
    }

    /// Takes note of a proof.
    pub(crate) fn proved(&mut self, proof: Result<Proof, JoinError>) -> Result<(), DownloadError> {
        let (id, proof) = match proof {
            Ok(proof) => proof,
            Err(error) => return self.joined(Err(error)),
        };
        let member = self.mirrored.member(id);
        match proof {
            Ok(Proven { known, evidence }) => {
                self.evidence = self.evidence.max(evidence);
                let source = self.mirrored.roster.source(member);
                bytehaul_log::debug!(url = %source.safe_url(), "a mirror has proven to have the same file");
                self.mirrored.roster.set_used(member);
                self.parties[id.0 as usize].shared = Arc::new(worker::Shared {
                    source,
                    intake: self.intake.clone(),
                    known,
                });
                self.scheduler
                    .handle(Instant::now(), Event::Trusted { source: id });
            }
            Err(Unfit::Unusable(reason)) => self.drop_out(id, reason),
            Err(Unfit::Differs(reason)) => {
                self.warn(id, &reason);
                self.mirrored.roster.quarantine(member, reason);
            }
        }
        Ok(())
    }

    /// Takes note of a comparison, and of the culprit if there is one.
    pub(crate) async fn looked(
        &mut self,
        spot: Result<Spot, JoinError>,
    ) -> Result<(), DownloadError> {
        let (accused, range, finding) = match spot {
            Ok(spot) => spot,
            Err(error) => return self.joined(Err(error)),
        };
        if self.mirrored.spots.is_empty() {
            self.mirrored.spotted.clear();
        }
        let member = self.mirrored.member(accused);
        // What was taken back meanwhile is no evidence any more.
        if !self.mirrored.roster.has_delivered(member, &range) {
            return Ok(());
        }
        match finding {
            Finding::Agrees => Ok(()),
            Finding::Unknown(what) => {
                let url = self.mirrored.roster.source(member).safe_url().clone();
                bytehaul_log::debug!(%url, what, "nobody to compare with");
                Ok(())
            }
            Finding::Guilty(culprit) => {
                let reason = format!("its bytes {range} are others");
                self.quarantine(culprit, reason).await
            }
        }
    }

    /// The mirror that has delivered every one of these bytes.
    pub(crate) fn mirror_of(&self, range: &ByteRange) -> Option<SourceId> {
        let mirrors = (1..self.mirrored.order.len()).filter_map(|id| u32::try_from(id).ok());
        let delivered = |id: SourceId| {
            let member = self.mirrored.member(id);
            self.mirrored.roster.has_delivered(member, range)
        };
        let mut mirrors = mirrors.map(SourceId);
        mirrors.find(|&id| delivered(id))
    }

    /// A piece is wrong of which no mirror delivered everything, so nobody is proven to be the culprit. When it happens
    /// again, whoever took part is left out of it: one who damages a little of each piece must not fail the download.
    pub(crate) fn dispute(&mut self, piece: ByteRange) {
        let count = u32::try_from(self.mirrored.order.len()).unwrap_or(u32::MAX);
        let took_part = |id: &SourceId| {
            let share = self
                .mirrored
                .roster
                .share(self.mirrored.order[id.0 as usize]);
            match *id {
                // Of bytes that others brought as well, it is believed.
                SourceId::PRIMARY => share.contains(&piece),
                _ => share.overlapping(piece).next().is_some(),
            }
        };
        let suspects: Vec<_> = (0..count).map(SourceId).filter(took_part).collect();
        let Some(before) = self.mirrored.disputed.remove(&piece.start()) else {
            self.mirrored.disputed.insert(piece.start(), suspects);
            return;
        };
        let now = Instant::now();
        for id in before.into_iter().chain(suspects) {
            let is_out = self.mirrored.roster.is_out(self.mirrored.member(id));
            if is_out || !self.has_others(now, id) {
                continue;
            }
            for lease in self.claims_of(id) {
                self.abandon(lease);
            }
            self.scheduler.handle(now, Event::Lost { source: id });
            let reason = format!("it took part in bytes {piece}, which were wrong twice");
            self.drop_out(id, reason);
        }
    }

    /// Nothing that the source has delivered is used. On return it is missing, on disk as well, so that no crash
    /// brings it back.
    pub(crate) async fn quarantine(
        &mut self,
        id: SourceId,
        reason: String,
    ) -> Result<(), DownloadError> {
        self.warn(id, &reason);
        let now = Instant::now();
        let theirs: Vec<_> = self.claims_of(id);
        for lease in theirs {
            self.abandon(lease);
        }
        self.scheduler.handle(now, Event::Lost { source: id });
        let member = self.mirrored.member(id);
        let wrong = self.mirrored.roster.quarantine(member, reason);
        self.take_back(&wrong).await
    }

    /// Makes bytes missing again. Whoever is fetching some of them has to begin again, since what was handed over
    /// before and after could not be told apart.
    pub(crate) async fn take_back(&mut self, wrong: &RangeSet) -> Result<(), DownloadError> {
        let Sink::File(writer) = &*self.intake.sink else {
            return Ok(());
        };
        let writer = writer.clone();
        let now = Instant::now();
        for lease in self.claims_within(wrong) {
            let Some(claim) = self.leases.remove(&lease) else {
                continue;
            };
            let position = claim.lease.revoke();
            self.note(&claim, position);
            self.scheduler
                .handle(now, Event::Progress { lease, position });
            self.close(claim.connection);
            let failure = Failure::new(Class::Withdrawn);
            self.scheduler.handle(now, Event::Failed { lease, failure });
        }
        self.mirrored.roster.take_back(wrong);
        let ranges = wrong.iter().map(|range| range.start()..range.end());
        writer.invalidate_all(ranges.collect()).await?;
        self.checker.forget(wrong);
        let now = Instant::now();
        for range in wrong.iter() {
            self.scheduler.handle(now, Event::Invalidated { range });
        }
        Ok(())
    }

    /// A source is of no more use, though nothing is wrong with what it delivered.
    pub(crate) fn drop_out(&mut self, id: SourceId, reason: String) {
        let member = self.mirrored.member(id);
        let source = self.mirrored.roster.source(member);
        bytehaul_log::warn!(url = %source.safe_url(), reason, "a source is dropped");
        self.mirrored.roster.set_dropped(member, reason);
    }

    fn warn(&self, id: SourceId, reason: &str) {
        let source = self.mirrored.roster.source(self.mirrored.member(id));
        bytehaul_log::warn!(url = %source.safe_url(), reason, "a source does not have the same file; nothing of it is used");
    }
}

/// Proofs that run at the same time.
const PROOFS_AT_ONCE: usize = 3;
/// How long connections are kept free for sources that are being proven.
const KEPT_FREE: Duration = Duration::from_secs(2);
/// Bytes that a mirror delivers between two comparisons, of 1 MiB each.
const SPOT_EVERY: u64 = 64 * 1024 * 1024;
