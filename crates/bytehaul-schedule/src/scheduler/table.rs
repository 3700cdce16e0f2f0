//! What is known of each live connection and each live lease.

use std::time::{Duration, Instant};

use crate::meter::Meter;
use crate::{ByteRange, ConnectionId, LeaseId, SourceId};

/// A connection that was dialled and is not gone.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) source: SourceId,
    pub(super) lease: Option<LeaseId>,
    pub(super) meter: Meter,
    /// Of its last response.
    pub(super) latency: Option<Duration>,
    /// Since when it has no lease; meaningless while it has one.
    pub(super) idle_since: Instant,
}

impl Connection {
    pub(super) const fn new(now: Instant, source: SourceId) -> Self {
        Self {
            source,
            lease: None,
            meter: Meter::new(now),
            latency: None,
            idle_since: now,
        }
    }

    /// Whether the host has ever answered on it.
    pub(super) const fn is_proven(&self) -> bool {
        self.latency.is_some()
    }
}

/// A claim of one connection on one range.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) connection: ConnectionId,
    pub(super) range: ByteRange,
    /// Everything of the range before this offset was received.
    pub(super) position: u64,
    pub(super) requested: Instant,
    pub(super) dialled: Dialled,
    pub(super) accepted: Option<Instant>,
    /// Last report, and last report with new bytes.
    pub(super) heard: Instant,
    pub(super) moved: Instant,
    /// Since when it has been slow against its peers.
    pub(super) slow_since: Option<Instant>,
    pub(super) shrink: Shrink,
    /// Whether its end was moved, so that the response has more bytes than the lease.
    pub(super) cut: Cut,
    /// The lease whose last bytes this one fetches a second time.
    pub(super) races: Option<LeaseId>,
}

impl Lease {
    pub(super) const fn new(
        now: Instant,
        connection: ConnectionId,
        range: ByteRange,
        dialled: Dialled,
    ) -> Self {
        Self {
            connection,
            range,
            position: range.start(),
            requested: now,
            dialled,
            accepted: None,
            heard: now,
            moved: now,
            slow_since: None,
            shrink: Shrink::Free,
            cut: Cut::Whole,
            races: None,
        }
    }

    /// The bytes that are still to come; `None` when it is complete.
    pub(super) const fn rest(&self) -> Option<ByteRange> {
        ByteRange::new(self.position, self.range.end())
    }

    /// Bytes received so far.
    pub(super) const fn gained(&self) -> u64 {
        self.position - self.range.start()
    }

    /// When it last gave a sign of life: the request, its answer, or bytes.
    pub(super) fn alive_at(&self) -> Instant {
        self.accepted
            .map_or(self.requested, |at| at.max(self.moved))
    }
}

/// Whether a lease's request had to wait for its connection to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialled {
    New,
    Reused,
}

/// How far the giving up of a lease's tail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shrink {
    Free,
    Asked,
    /// The worker gave nothing up; not worth asking again before this.
    Refused(Instant),
}

/// Whether the response goes on behind the end of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Whole,
    Short,
}
