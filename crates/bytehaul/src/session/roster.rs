//! The sources of one download: which of them are used, which are out and why, and which bytes each has delivered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytehaul_schedule::{ByteRange, RangeSet};

use crate::outcome::{MirrorReport, MirrorState};
use crate::session::source::Source;

/// The URL that was given first, and its mirrors in the order of their priority. Outlives every attempt.
#[derive(Debug)]
pub(crate) struct Roster {
    members: Mutex<Vec<Member>>,
}

#[derive(Debug)]
struct Member {
    source: Arc<Source>,
    state: MirrorState,
    /// What the part file may have of it: of bytes that two brought, either.
    delivered: RangeSet,
    /// What of it was not compared with another's yet, and where it came to last.
    recent: RangeSet,
    last: u64,
    bytes: u64,
}

impl Roster {
    pub(crate) fn new(sources: impl IntoIterator<Item = Arc<Source>>) -> Self {
        let members = sources.into_iter().map(|source| Member {
            source,
            state: MirrorState::Unused,
            delivered: RangeSet::new(),
            recent: RangeSet::new(),
            last: 0,
            bytes: 0,
        });
        Self {
            members: Mutex::new(members.collect()),
        }
    }

    /// How many sources there are, with the first one.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn source(&self, member: usize) -> Arc<Source> {
        Arc::clone(&self.lock()[member].source)
    }

    /// Those that are not out, the best first.
    pub(crate) fn fit(&self) -> Vec<usize> {
        let members = self.lock();
        let fit = members
            .iter()
            .enumerate()
            .filter(|(_, member)| !member.is_out());
        fit.map(|(at, _)| at).collect()
    }

    pub(crate) fn is_out(&self, member: usize) -> bool {
        self.lock()[member].is_out()
    }

    pub(crate) fn set_used(&self, member: usize) {
        self.lock()[member].state = MirrorState::Used;
    }

    /// Of no more use, which says nothing against the bytes that it has delivered. A quarantined one stays so.
    pub(crate) fn set_dropped(&self, member: usize, reason: String) {
        let member = &mut self.lock()[member];
        if !member.is_out() {
            member.state = MirrorState::Dropped { reason };
        }
    }

    /// Proven to have other bytes. Returns those that it has delivered.
    pub(crate) fn quarantine(&self, member: usize, reason: String) -> RangeSet {
        let member = &mut self.lock()[member];
        member.state = MirrorState::Quarantined { reason };
        member.recent = RangeSet::new();
        std::mem::take(&mut member.delivered)
    }

    /// Notes bytes that a source has delivered.
    pub(crate) fn deliver(&self, member: usize, range: ByteRange) {
        let member = &mut self.lock()[member];
        let before = member.delivered.covered();
        member.delivered.insert(range);
        let news = member.delivered.covered() - before;
        if news > 0 {
            member.recent.insert(range);
            member.last = range.end();
            member.bytes += news;
        }
    }

    /// Forgets who delivered bytes that are to be fetched again.
    pub(crate) fn take_back(&self, ranges: &RangeSet) {
        for member in self.lock().iter_mut() {
            member.delivered = member.delivered.difference(ranges);
            member.recent = member.recent.difference(ranges);
        }
    }

    /// What others than `lead` have delivered.
    pub(crate) fn foreign(&self, lead: usize) -> RangeSet {
        let members = self.lock();
        let others = members.iter().enumerate().filter(|(at, _)| *at != lead);
        others.fold(RangeSet::new(), |all, (_, member)| {
            all.union(&member.delivered)
        })
    }

    /// What each source has delivered.
    pub(crate) fn shares(&self) -> Vec<RangeSet> {
        self.lock().iter().map(|m| m.delivered.clone()).collect()
    }

    /// Whether all of `range` is still counted as delivered by this source.
    pub(crate) fn has_delivered(&self, member: usize, range: &ByteRange) -> bool {
        self.lock()[member].delivered.contains(range)
    }

    /// Bytes that a source has delivered since its last comparison.
    pub(crate) fn unchecked(&self, member: usize) -> u64 {
        self.lock()[member].recent.covered()
    }

    /// The stretch to compare next: what came last, since one that has begun to damage bytes goes on with it, and the
    /// end of the longest run when that is short. They count as compared from now on, and with them all before.
    pub(crate) fn stretches(&self, member: usize) -> Vec<ByteRange> {
        let member = &mut self.lock()[member];
        let recent = std::mem::take(&mut member.recent);
        let latest = recent.iter().find(|range| range.end() == member.last);
        let longest = recent.iter().max_by_key(ByteRange::len);
        let ends = latest
            .into_iter()
            .chain(longest.filter(|_| latest.is_none_or(|latest| latest.len() < STRETCH)));
        let cut = |range: ByteRange| {
            ByteRange::new(
                range.end().saturating_sub(STRETCH).max(range.start()),
                range.end(),
            )
        };
        let chosen: RangeSet = ends.filter_map(cut).collect();
        chosen.iter().collect()
    }

    /// What belonged to a version of the file that is gone.
    pub(crate) fn start_over(&self) {
        for member in self.lock().iter_mut() {
            member.delivered = RangeSet::new();
            member.recent = RangeSet::new();
            if member.state == MirrorState::Used {
                member.state = MirrorState::Unused;
            }
        }
    }

    /// Nothing to say when there is one source only.
    pub(crate) fn report(&self) -> Vec<MirrorReport> {
        let members = self.lock();
        if members.len() < 2 {
            return Vec::new();
        }
        let report = |member: &Member| MirrorReport {
            url: member.source.safe_url().clone(),
            state: member.state.clone(),
            bytes: member.bytes,
        };
        members.iter().map(report).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn is_out(&self) -> bool {
        match self.state {
            MirrorState::Dropped { .. } | MirrorState::Quarantined { .. } => true,
            MirrorState::Unused | MirrorState::Used => false,
        }
    }
}

/// Long enough that one damaged byte in each MiB cannot hide.
const STRETCH: u64 = 1024 * 1024;
