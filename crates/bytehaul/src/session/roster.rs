//! The sources of one download: which of them are used, which are out and why, and which bytes each has delivered.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytehaul_schedule::{ByteRange, RangeSet, samples};

use crate::metalink::MOST_MIRRORS;
use crate::outcome::{MirrorReport, MirrorState};
use crate::session::source::Source;

/// The bytes of one request.
#[derive(Clone, Copy, Debug)]
struct Run {
    range: ByteRange,
    /// When it last grew.
    touched: u64,
}

/// The URL that was given first, and its mirrors in the order of their priority. Outlives every attempt.
#[derive(Debug)]
pub(crate) struct Roster {
    members: Mutex<Vec<Member>>,
}

/// Who says that a source has the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    Caller,
    /// An answer, of the version that is downloaded now.
    Answer,
    /// An answer, of a version that is gone.
    Past,
}

#[derive(Debug)]
struct Member {
    source: Arc<Source>,
    word: Word,
    state: MirrorState,
    /// What the part file may have of it: of bytes that two brought, either.
    delivered: RangeSet,
    /// What of it came since the last comparison: by request, in the order in which they began.
    recent: Vec<Run>,
    unchecked: u64,
    clock: u64,
    bytes: u64,
    benched: bool,
}

impl Roster {
    pub(crate) fn new(sources: impl IntoIterator<Item = Arc<Source>>) -> Self {
        Self {
            members: Mutex::new(
                sources
                    .into_iter()
                    .map(|source| Member::new(source, Word::Caller))
                    .collect(),
            ),
        }
    }

    /// Adds a source that an answer names, unless it is known, or enough are.
    pub(crate) fn add_named(&self, source: Arc<Source>) {
        let mut members = self.lock();
        let named = members.iter().filter(|known| known.word == Word::Answer);
        if named.count() >= MOST_MIRRORS {
            return;
        }
        let mut known = members.iter_mut();
        match known.find(|known| known.source.url() == source.url()) {
            Some(known) if known.word == Word::Past => known.word = Word::Answer,
            Some(_) => (),
            None => members.push(Member::new(source, Word::Answer)),
        }
    }

    /// Whether only an answer says that this source has the file.
    pub(crate) fn is_named(&self, member: usize) -> bool {
        self.lock()[member].word != Word::Caller
    }

    /// Whether there is more than one source of which something better than the word of an answer is known.
    pub(crate) fn has_choice(&self) -> bool {
        let members = self.lock();
        let known = members.iter().filter(|member| {
            member.is_fit() && (member.word == Word::Caller || member.state == MirrorState::Used)
        });
        known.count() > 1
    }

    /// Whether a source has this URL, as identities tell it.
    pub(crate) fn has_url(&self, url: &str) -> bool {
        let members = self.lock();
        members
            .iter()
            .any(|member| member.source.safe_url().identity() == url)
    }

    /// Nothing else is left: a source that did not work is tried once more.
    pub(crate) fn readmit(&self, member: usize) {
        self.lock()[member].state = MirrorState::Unused;
    }

    /// Whether others are left out already.
    pub(crate) fn is_benched(&self) -> bool {
        self.lock().iter().any(|member| member.benched)
    }

    /// From now on no other source than `lead` is used, though nothing is said against them yet.
    pub(crate) fn bench_others(&self, lead: usize) {
        for (at, member) in self.lock().iter_mut().enumerate() {
            member.benched = at != lead;
        }
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
            .filter(|(_, member)| member.is_fit());
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
        member.recent.clear();
        member.unchecked = 0;
        std::mem::take(&mut member.delivered)
    }

    /// Notes bytes that a source has delivered.
    pub(crate) fn deliver(&self, member: usize, range: ByteRange) {
        let member = &mut self.lock()[member];
        let before = member.delivered.covered();
        member.delivered.insert(range);
        let news = member.delivered.covered() - before;
        if news > 0 {
            member.unchecked += news;
            member.bytes += news;
            member.touch(range);
        }
    }

    /// Forgets who delivered bytes that are to be fetched again.
    pub(crate) fn take_back(&self, ranges: &RangeSet) {
        for member in self.lock().iter_mut() {
            member.delivered = member.delivered.difference(ranges);
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

    /// What one source has delivered.
    pub(crate) fn share(&self, member: usize) -> RangeSet {
        self.lock()[member].delivered.clone()
    }

    /// How many sources there are, with the first one.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether all of `range` is still counted as delivered by this source.
    pub(crate) fn has_delivered(&self, member: usize, range: &ByteRange) -> bool {
        self.lock()[member].delivered.contains(range)
    }

    /// Bytes that a source has delivered since its last comparison.
    pub(crate) fn unchecked(&self, member: usize) -> u64 {
        self.lock()[member].unchecked
    }

    /// What to compare next, 1 MiB or a little more: the ends of the request that began last and of the one that grew
    /// last, since one that has begun to damage bytes goes on with it, and where these are short some before them. What
    /// came until now counts as compared.
    pub(crate) fn stretches(&self, member: usize) -> Vec<ByteRange> {
        let member = &mut self.lock()[member];
        member.unchecked = 0;
        let runs = std::mem::take(&mut member.recent);
        let mut chosen = RangeSet::new();
        for run in runs.iter().rev() {
            chosen.insert(tail(run.range));
            if run.range.len() >= STRETCH || chosen.covered() >= STRETCH {
                break;
            }
        }
        let touched = runs.iter().max_by_key(|run| run.touched);
        chosen.extend(touched.map(|run| tail(run.range)));
        // And a little from anywhere, so that nobody can tell where it is safe to lie.
        let all: RangeSet = runs.iter().map(|run| run.range).collect();
        chosen.extend(unbroken(&runs, &all.intersection(&member.delivered)));
        let seed = RandomState::new().build_hasher().finish();
        let short = samples(&all, seed).into_iter();
        let short = short.filter(|range| range.len() <= SHORT);
        chosen.extend(short.skip((seed % 3) as usize).step_by(3));
        chosen.intersection(&member.delivered).iter().collect()
    }

    /// What belonged to a version of the file that is gone, and those who were named for it.
    pub(crate) fn start_over(&self) {
        for member in self.lock().iter_mut() {
            if member.word == Word::Answer {
                member.word = Word::Past;
            }
            member.delivered = RangeSet::new();
            member.recent.clear();
            member.unchecked = 0;
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
    fn new(source: Arc<Source>, word: Word) -> Self {
        Self {
            source,
            word,
            state: MirrorState::Unused,
            delivered: RangeSet::new(),
            recent: Vec::new(),
            unchecked: 0,
            clock: 0,
            bytes: 0,
            benched: false,
        }
    }

    fn touch(&mut self, range: ByteRange) {
        self.clock += 1;
        let touched = self.clock;
        let known = self.recent.iter_mut().rev();
        match known
            .into_iter()
            .find(|run| run.range.start() == range.start())
        {
            Some(run) => *run = Run { range, touched },
            None => self.recent.push(Run { range, touched }),
        }
    }

    fn is_fit(&self) -> bool {
        !self.is_out() && !self.benched && self.word != Word::Past
    }

    fn is_out(&self) -> bool {
        match self.state {
            MirrorState::Dropped { .. } | MirrorState::Quarantined { .. } => true,
            MirrorState::Unused | MirrorState::Used => false,
        }
    }
}

/// The end of the newest stretch that is long enough, though it may have come by several requests: a source that breaks
/// off early and often has short ones only, between whose ends there is room for damage.
fn unbroken(runs: &[Run], recent: &RangeSet) -> Option<ByteRange> {
    let long = recent.iter().filter(|range| range.len() >= STRETCH);
    let newest = |range: &ByteRange| {
        let within = runs
            .iter()
            .filter(|run| run.range.intersect(range).is_some());
        within.map(|run| run.touched).max()
    };
    long.max_by_key(newest).map(tail)
}

/// The end of a range, not longer than is compared at a time.
fn tail(range: ByteRange) -> ByteRange {
    let start = range.end().saturating_sub(STRETCH).max(range.start());
    ByteRange::new(start, range.end()).unwrap_or(range)
}

/// Long enough that one damaged byte in each MiB cannot hide.
const STRETCH: u64 = 1024 * 1024;
const SHORT: u64 = 64 * 1024;
