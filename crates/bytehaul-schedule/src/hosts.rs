//! What hosts were seen to stand, as far as all transfers of a process know together.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// One transfer's stay at a host. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VisitId(u64);

/// Whether a transfer without a connection may dial its first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Turn {
    /// Now; the place is taken for it.
    Go,
    /// Not now; worth asking again then.
    Wait(Instant),
}

/// What is known of hosts `H`: how many connections each was seen to stand, who has how many of them, and until when it
/// wants to be left alone. Time is an argument; nothing is forgotten by itself but for what is a minute old.
///
/// ```
/// use std::time::Instant;
/// use bytehaul_schedule::{HostLimits, Turn};
///
/// let (mut hosts, now) = (HostLimits::new(), Instant::now());
/// let (one, two) = (hosts.enter("host"), hosts.enter("host"));
/// assert_eq!(hosts.turn(now, &"host", one), Turn::Go);
/// assert_eq!(hosts.turn(now, &"host", two), Turn::Go);
/// // The host served the first and refused the second: from now on they take turns.
/// assert!(hosts.refused(now, &"host", two));
/// assert!(matches!(hosts.turn(now, &"host", two), Turn::Wait(_)));
/// hosts.leave(&"host", one);
/// assert_eq!(hosts.turn(now, &"host", two), Turn::Go);
/// ```
#[derive(Clone, Debug)]
pub struct HostLimits<H> {
    hosts: HashMap<H, Host>,
    visits: u64,
}

#[derive(Clone, Debug, Default)]
struct Host {
    /// Connections that it stood when it last refused one, and when that was.
    most: Option<(u32, Instant)>,
    held: Option<Instant>,
    /// Connections of each visit.
    users: BTreeMap<VisitId, u32>,
    /// When each visit without one last asked for its turn.
    asked: BTreeMap<VisitId, Instant>,
}

impl<H> Default for HostLimits<H> {
    fn default() -> Self {
        Self {
            hosts: HashMap::new(),
            visits: 0,
        }
    }
}

impl<H: Eq + Hash> HostLimits<H> {
    /// Nothing is known of any host.
    pub fn new() -> Self {
        Self::default()
    }

    /// A transfer comes to a host, without a connection so far.
    pub fn enter(&mut self, host: H) -> VisitId {
        let id = VisitId(self.visits);
        self.visits += 1;
        self.hosts.entry(host).or_default().users.insert(id, 0);
        id
    }

    /// A transfer is done with a host. What the host stands is remembered while anybody is there.
    pub fn leave(&mut self, host: &H, visit: VisitId) {
        if let Some(known) = self.hosts.get_mut(host) {
            known.users.remove(&visit);
            known.asked.remove(&visit);
            if known.users.is_empty() {
                self.hosts.remove(host);
            }
        }
    }

    /// A transfer has so many connections on which the host has answered.
    pub fn using(&mut self, host: &H, visit: VisitId, connections: u32) {
        if let Some(using) = self.user(host, visit) {
            *using = connections;
        }
    }

    /// The host refused the first connection of a transfer. Whether it serves others: then it is full, and this was
    /// nobody's failure.
    pub fn refused(&mut self, now: Instant, host: &H, visit: VisitId) -> bool {
        let Some(known) = self.hosts.get_mut(host) else {
            return false;
        };
        // The place that was taken for it was not one.
        if let Some(using) = known.users.get_mut(&visit) {
            *using = 0;
        }
        known.fill(now)
    }

    /// The host refused one more connection of a transfer that has some.
    pub fn is_full(&mut self, now: Instant, host: &H) {
        if let Some(known) = self.hosts.get_mut(host) {
            known.fill(now);
        }
    }

    /// The host asked to be left alone until then.
    pub fn hold(&mut self, host: &H, until: Instant) {
        if let Some(known) = self.hosts.get_mut(host) {
            known.held = known.held.max(Some(until));
        }
    }

    /// Until when nothing should be dialled.
    pub fn held(&self, now: Instant, host: &H) -> Option<Instant> {
        self.hosts.get(host)?.held.filter(|&until| until > now)
    }

    /// Whether a transfer without a connection may dial one: those that came first go first.
    pub fn turn(&mut self, now: Instant, host: &H, visit: VisitId) -> Turn {
        if let Some(until) = self.held(now, host) {
            return Turn::Wait(until);
        }
        let Some(known) = self.hosts.get_mut(host) else {
            return Turn::Go;
        };
        if let Some(most) = known.most(now) {
            let free = most.saturating_sub(known.total());
            // One that does not ask, as a mirror that was never needed, holds nobody up.
            let asks = |visit: &VisitId| {
                let asked = known.asked.get(visit);
                asked.is_some_and(|&at| now.saturating_duration_since(at) < STILL_ASKING)
            };
            let before = known
                .users
                .range(..visit)
                .filter(|(id, using)| **using == 0 && asks(id));
            if before.count() >= free as usize {
                known.asked.insert(visit, now);
                return Turn::Wait(now + ASK_AGAIN);
            }
        }
        known.asked.remove(&visit);
        if let Some(using) = known.users.get_mut(&visit) {
            *using = (*using).max(1);
        }
        Turn::Go
    }

    /// How many connections a transfer should have at most, when that is known: its fair part, at least one.
    pub fn share(&self, now: Instant, host: &H) -> Option<u32> {
        let known = self.hosts.get(host)?;
        let users = known.users.values().filter(|using| **using > 0).count();
        let users = u32::try_from(users).unwrap_or(u32::MAX).max(1);
        Some((known.most(now)? / users).max(1))
    }

    fn user(&mut self, host: &H, visit: VisitId) -> Option<&mut u32> {
        self.hosts.get_mut(host)?.users.get_mut(&visit)
    }
}

impl Host {
    /// It stands what it serves at this moment. Whether that is anything.
    fn fill(&mut self, now: Instant) -> bool {
        let total = self.total();
        if total > 0 {
            self.most = Some((total, now));
        }
        total > 0
    }

    fn total(&self) -> u32 {
        self.users.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    fn most(&self, now: Instant) -> Option<u32> {
        let (most, at) = self.most?;
        (now.saturating_duration_since(at) < FORGOTTEN).then_some(most.max(1))
    }
}

/// What a host did not stand a minute ago, it may stand now.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// How soon a place may have become free.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// Whoever still wants a place has asked again by then.
const STILL_ASKING: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_word_of_the_host_holds_everybody_for_as_long() {
        let (mut hosts, now) = (HostLimits::new(), Instant::now());
        let visit = hosts.enter(1);
        let until = now + Duration::from_secs(7);
        hosts.hold(&1, until);
        assert_eq!(hosts.turn(now, &1, visit), Turn::Wait(until));
        assert_eq!(hosts.turn(until, &1, visit), Turn::Go);
        assert_eq!(hosts.held(now, &2), None);
    }

    #[test]
    fn what_is_known_is_shared_fairly_and_forgotten() {
        let (mut hosts, now) = (HostLimits::new(), Instant::now());
        let visits: Vec<_> = (0..4).map(|_| hosts.enter(())).collect();
        assert_eq!(hosts.share(now, &()), None);
        for &visit in &visits {
            hosts.using(&(), visit, 2);
        }
        hosts.is_full(now, &());
        assert_eq!(hosts.share(now, &()), Some(2));
        assert_eq!(hosts.share(now + FORGOTTEN, &()), None);
    }

    #[test]
    fn one_that_does_not_ask_holds_nobody_up() {
        let (mut hosts, now) = (HostLimits::new(), Instant::now());
        let ids: Vec<_> = (0..4).map(|_| hosts.enter(())).collect();
        let [_idle, served, first, later] = ids[..] else {
            unreachable!()
        };
        assert_eq!(hosts.turn(now, &(), served), Turn::Go);
        assert!(hosts.refused(now, &(), first));
        assert!(matches!(hosts.turn(now, &(), first), Turn::Wait(_)));
        assert!(matches!(hosts.turn(now, &(), later), Turn::Wait(_)));
        hosts.leave(&(), served);
        assert!(matches!(hosts.turn(now, &(), later), Turn::Wait(_)));
        assert_eq!(hosts.turn(now, &(), first), Turn::Go);
    }

    #[test]
    fn without_anybody_served_a_refusal_teaches_nothing() {
        let (mut hosts, now) = (HostLimits::new(), Instant::now());
        let visit = hosts.enter(());
        assert_eq!(hosts.turn(now, &(), visit), Turn::Go);
        assert!(!hosts.refused(now, &(), visit));
        assert_eq!(hosts.turn(now, &(), visit), Turn::Go);
    }

    proptest! {
        /// As many as wish come to a host that stands a few; all get their turn, and each is refused once at most.
        #[test]
        fn everybody_gets_a_turn(stood in 1..5u32, visitors in 1..40usize) {
            let (mut hosts, now) = (HostLimits::new(), Instant::now());
            let mut waiting: Vec<_> = (0..visitors).map(|_| hosts.enter(())).collect();
            let (mut served, mut refusals) = (Vec::new(), 0);
            for _ in 0..200 {
                let mut still = Vec::new();
                for visit in waiting {
                    match hosts.turn(now, &(), visit) {
                        Turn::Wait(_) => still.push(visit),
                        Turn::Go if (served.len() as u32) < stood => served.push(visit),
                        Turn::Go => {
                            refusals += 1;
                            prop_assert!(hosts.refused(now, &(), visit));
                            still.push(visit);
                        }
                    }
                }
                waiting = still;
                if let Some(done) = served.pop() {
                    hosts.leave(&(), done);
                }
            }
            prop_assert!(waiting.is_empty() && served.is_empty());
            prop_assert!(refusals <= visitors, "{refusals} of {visitors}");
        }
    }
}
