//! What a path and its host are like, and the best time that any client could have on them.

use std::ops::Range;
use std::time::Duration;

use super::chance::Chance;

/// A path to a host: by default 4 MiB/s a connection, 1 ms round trip, and nothing ever goes wrong.
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) rate: f64,
    pub(super) total: Option<f64>,
    pub(super) round_trip: Duration,
    pub(super) dial_trips: u32,
    pub(super) slow_start: SlowStart,
    pub(super) slow: Option<(Pick, f64)>,
    pub(super) stalled: Option<(Pick, u64)>,
    pub(super) resets: Option<f64>,
    pub(super) limit: Option<(u32, Refusal)>,
    pub(super) outage: Option<Range<Duration>>,
}

/// Whether a connection begins with a small congestion window that doubles every round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowStart {
    /// The full rate from the first byte on.
    Off,
    /// Ten segments first (RFC 6928), then twice as many each round trip.
    On,
}

/// Which of the connections, counted from zero in the order of dialling, something befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one alone.
    Only(u32),
    /// The last of every `n`.
    Every(u32),
    /// Each with a chance of one in `n`.
    OneIn(u32),
}

/// How a host turns away a connection too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not take the connection.
    Refused,
    /// It answers 429 or 503, perhaps with a `Retry-After`.
    Throttled(Option<Duration>),
}

/// What befalls one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) rate: f64,
    /// Bytes after which nothing more comes, and after which it is reset.
    pub(super) stalls_after: Option<f64>,
    pub(super) resets_after: Option<f64>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            rate: 4.0 * MIB,
            total: None,
            round_trip: Duration::from_millis(1),
            dial_trips: 1,
            slow_start: SlowStart::Off,
            slow: None,
            stalled: None,
            resets: None,
            limit: None,
            outage: None,
        }
    }
}

impl Network {
    /// MiB a second that each connection can have. Default 4.
    #[must_use]
    pub const fn rate(mut self, mib: f64) -> Self {
        self.rate = mib * MIB;
        self
    }

    /// MiB a second that all connections share fairly. Default without bound.
    #[must_use]
    pub const fn total(mut self, mib: f64) -> Self {
        self.total = Some(mib * MIB);
        self
    }

    /// The round trip, which every request waits for. Default 1 ms.
    #[must_use]
    pub const fn round_trip(mut self, millis: u64) -> Self {
        self.round_trip = Duration::from_millis(millis);
        self
    }

    /// Round trips that dialling takes, before the request: 1 for TCP (the default), 2 with TLS 1.3.
    #[must_use]
    pub const fn dial_trips(mut self, trips: u32) -> Self {
        self.dial_trips = trips;
        self
    }

    /// Whether connections start slowly. Default off.
    #[must_use]
    pub const fn slow_start(mut self, slow_start: SlowStart) -> Self {
        self.slow_start = slow_start;
        self
    }

    /// These connections have their rate divided by `times`.
    #[must_use]
    pub const fn slow(mut self, pick: Pick, times: f64) -> Self {
        self.slow = Some((pick, times));
        self
    }

    /// These connections stall for good after so many bytes.
    #[must_use]
    pub const fn stalled(mut self, pick: Pick, after: u64) -> Self {
        self.stalled = Some((pick, after));
        self
    }

    /// Every connection is reset after about so many MiB, at a random byte.
    #[must_use]
    pub const fn resets(mut self, mib: f64) -> Self {
        self.resets = Some(mib * MIB);
        self
    }

    /// The host turns away every connection beyond so many.
    #[must_use]
    pub const fn limit(mut self, connections: u32, refusal: Refusal) -> Self {
        self.limit = Some((connections, refusal));
        self
    }

    /// The host is gone during this time since the start: connections are reset, new ones refused.
    #[must_use]
    pub const fn outage(mut self, time: Range<Duration>) -> Self {
        self.outage = Some(time);
        self
    }

    /// The least time in which `connections` connections that are all there from the start can bring `len` bytes, when none is
    /// replaced by a better one and nothing has to be fetched again.
    pub fn best(&self, len: u64, connections: u32) -> Duration {
        let connections = self
            .limit
            .map_or(connections, |(limit, _)| connections.min(limit));
        let sum: f64 = (0..connections).map(|index| self.mean_rate(index)).sum();
        let rate = self.total.map_or(sum, |total| sum.min(total));
        let away = self
            .outage
            .as_ref()
            .map_or(Duration::ZERO, |outage| outage.end - outage.start);
        self.round_trip * (self.dial_trips + 1) + away + Duration::from_secs_f64(len as f64 / rate)
    }

    pub(super) fn fate(&self, index: u32, chance: &mut Chance) -> Fate {
        let (slow, stalled) = (chance.unit(), chance.unit());
        let resets_after = self.resets.map(|mean| chance.wait(mean));
        let rate = match self.slow {
            Some((pick, times)) if pick.hits(index, slow) => self.rate / times,
            Some(_) | None => self.rate,
        };
        let stalls_after = self
            .stalled
            .filter(|(pick, _)| pick.hits(index, stalled))
            .map(|(_, after)| after as f64);
        Fate {
            rate,
            stalls_after,
            resets_after,
        }
    }

    fn mean_rate(&self, index: u32) -> f64 {
        let slow = self
            .slow
            .map_or(0.0, |(pick, times)| pick.share(index) * (1.0 - 1.0 / times));
        let stalled = self.stalled.map_or(0.0, |(pick, _)| pick.share(index));
        self.rate * (1.0 - slow) * (1.0 - stalled)
    }
}

impl Pick {
    fn hits(self, index: u32, unit: f64) -> bool {
        match self {
            Self::OneIn(_) => unit < self.share(index),
            Self::Only(_) | Self::Every(_) => self.share(index) > 0.0,
        }
    }

    /// The part of connections at this place of the order that are hit.
    fn share(self, index: u32) -> f64 {
        match self {
            Self::Only(only) => f64::from(u8::from(index == only)),
            Self::Every(n) => f64::from(u8::from(index % n == n - 1)),
            Self::OneIn(n) => 1.0 / f64::from(n),
        }
    }
}

pub(super) const MIB: f64 = 1024.0 * 1024.0;
