//! What the scheduler and its driver say to each other.

use std::fmt;
use std::time::{Duration, Instant};

use crate::{ByteRange, Class, Connections, Failure};

/// One of the places that have the object. The driver numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

impl SourceId {
    /// The place that was asked first. It is known from the start; all others are told of by [`Event::Trusted`].
    pub const PRIMARY: Self = Self(0);
}

/// One connection to a host. Never used again once the connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// One claim of one connection on one range. It is also the generation of the claim: never used again, so that what is
/// still said of a lease that has ended is known to be stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l{}", self.0)
    }
}

/// What happened. An event of a lease that has ended changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The head of the response was accepted.
    Accepted {
        /// The lease that asked.
        lease: LeaseId,
        /// Time from sending the request to its head. Without the time that dialling took.
        latency: Duration,
    },
    /// Bytes came in. Reported for every live lease about every 50–100 ms, and at once when a lease is complete.
    Progress {
        /// The lease that receives.
        lease: LeaseId,
        /// Absolute offset up to which its bytes are there. One below an earlier one is ignored; the end of the lease completes it.
        position: u64,
    },
    /// The request or its connection failed. The connection is gone; bytes not reported by [`Event::Progress`] are missing again.
    Failed {
        /// The lease that failed.
        lease: LeaseId,
        /// What the driver saw.
        failure: Failure,
    },
    /// The answer to [`Action::Shrink`].
    Shrunk {
        /// The lease that was shrunk.
        lease: LeaseId,
        /// The end that was granted: the wanted one, or a later one when the worker had already claimed more (the old end: nothing is given up).
        end: u64,
    },
    /// Bytes were proven wrong: they are missing again. After [`Action::Finish`] this reopens the transfer.
    Invalidated {
        /// The wrong bytes.
        range: ByteRange,
    },
    /// Another source has proven to have the same object: connections may go there from now on. A source that was lost
    /// may come back this way.
    Trusted {
        /// The source.
        source: SourceId,
    },
    /// A source is of no more use. Its leases are abandoned, and what they did not bring goes elsewhere at once. Without
    /// any source left, nothing is requested.
    Lost {
        /// The source.
        source: SourceId,
    },
    /// The driver itself keeps so many connections busy, which count against the most that are wanted.
    Reserved {
        /// Their number.
        connections: u32,
    },
    /// Somebody else learned how many connections a host stands.
    HostLimit {
        /// The source at that host.
        source: SourceId,
        /// That number; zero counts as one.
        connections: u32,
    },
    /// Somebody else was told by a host not to come before this. What flows goes on; nothing is dialled.
    HostHeld {
        /// The source at that host.
        source: SourceId,
        /// When dialling may go on.
        until: Instant,
    },
    /// The user changed the number of connections.
    SetConnections(Connections),
    /// Nothing but time passed.
    Tick,
}

/// What to do next. Actions are to be carried out in the order in which they are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Request `range` on `connection`; a connection not seen before is to be dialled. So may one be that the host has
    /// closed while it was idle.
    Fetch {
        /// Where to send the request.
        connection: ConnectionId,
        /// The source that the connection leads to; always the same for one connection.
        source: SourceId,
        /// The claim that the request fulfils.
        lease: LeaseId,
        /// The bytes to ask for.
        range: ByteRange,
    },
    /// Let the lease end at `end` instead of its present end, as far as its worker has not claimed more, and answer with
    /// [`Event::Shrunk`] before the next [`Event::Tick`]. The tail is leased to somebody else only after the answer.
    /// When the lease completes, [`Action::Close`] follows, as the rest of the response is still under way.
    Shrink {
        /// The lease to shrink.
        lease: LeaseId,
        /// Its wanted end: behind its last reported position.
        end: u64,
    },
    /// Drop the request of this lease and its connection: somebody else was first, or it is too slow against its peers.
    Abandon {
        /// The lease to drop. Its events are stale from now on.
        lease: LeaseId,
    },
    /// Close a connection that has no lease.
    Close {
        /// The connection to close.
        connection: ConnectionId,
    },
    /// Every byte is there. Nothing follows, unless bytes are invalidated.
    Finish,
    /// No further try is worth while. Nothing follows; live requests are to be dropped.
    Fail {
        /// What the last failed request asked for.
        range: ByteRange,
        /// How it failed.
        class: Class,
    },
}
