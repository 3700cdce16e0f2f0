//! What a user of the scheduler may choose, with defaults for those who do not.

use std::num::NonZeroU32;

use crate::RetryPolicy;

/// How many connections a transfer may have at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Connections {
    /// Up to this many, as far as the bytes are worth it and the host allows it.
    Fixed(NonZeroU32),
    /// Quickly up to 8, then up to 16 as long as each step measurably adds throughput.
    Auto,
}

impl Connections {
    /// Up to `n`; zero counts as one.
    pub const fn fixed(n: u32) -> Self {
        match NonZeroU32::new(n) {
            Some(n) => Self::Fixed(n),
            None => Self::Fixed(NonZeroU32::MIN),
        }
    }
}

/// Settings of a [`Scheduler`](crate::Scheduler).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    connections: Connections,
    start_connections: NonZeroU32,
    min_split: u64,
    window: Option<u64>,
    retry: RetryPolicy,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections: Connections::Auto,
            start_connections: NonZeroU32::MIN,
            min_split: 4 * 1024 * 1024,
            window: None,
            retry: RetryPolicy::default(),
        }
    }
}

impl Config {
    /// Most connections at a time. Default [`Connections::Auto`]. One connection asks for everything in one request.
    #[must_use]
    pub const fn connections(mut self, connections: Connections) -> Self {
        self.connections = connections;
        self
    }

    /// Connections that are opened before the host has answered any; each answer then allows three more. Default 1.
    /// More of them saves a round trip or two, and draws refusals from hosts that dislike bursts.
    #[must_use]
    pub const fn start_connections(mut self, connections: NonZeroU32) -> Self {
        self.start_connections = connections;
        self
    }

    /// An object shorter than this many bytes is left to one connection. Default 4 MiB.
    #[must_use]
    pub const fn min_split(mut self, bytes: u64) -> Self {
        self.min_split = bytes;
        self
    }

    /// Leases only bytes that are less than this far behind the first missing byte, for a reader that takes the object in
    /// order. Default none. At least a piece and 64 KiB; below a few MiB a connection it costs throughput.
    #[must_use]
    pub const fn window(mut self, bytes: Option<u64>) -> Self {
        self.window = bytes;
        self
    }

    /// How failures are retried. Default [`RetryPolicy::default`].
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    pub(crate) const fn wanted(&self) -> Connections {
        self.connections
    }

    pub(crate) const fn start(&self) -> u32 {
        self.start_connections.get()
    }

    pub(crate) const fn split_from(&self) -> u64 {
        self.min_split
    }

    pub(crate) const fn window_bytes(&self) -> Option<u64> {
        self.window
    }

    pub(crate) const fn policy(&self) -> &RetryPolicy {
        &self.retry
    }
}
