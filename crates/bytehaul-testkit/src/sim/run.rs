//! What is simulated, and what is known of it afterwards.

use std::num::NonZeroU64;
use std::time::Duration;

use bytehaul_schedule::{Class, Config, Connections};

use super::network::Network;
use super::world::World;

/// One transfer to be simulated.
#[derive(Clone, Debug)]
pub struct Run {
    pub(super) network: Network,
    /// Further sources, each with the time when it has proven itself.
    pub(super) mirrors: Vec<(Network, Duration)>,
    pub(super) len: u64,
    pub(super) piece_size: NonZeroU64,
    pub(super) config: Config,
    pub(super) probe: u64,
}

/// How a simulated transfer went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Virtual time from dialling the first connection to the last byte, or to the failure.
    pub time: Duration,
    /// Class of the failure that ended it; `None` when every byte arrived.
    pub failure: Option<Class>,
    /// Requests sent, the probe included.
    pub requests: u32,
    /// Connections dialled, the first included.
    pub dials: u32,
    /// Bytes received by live leases beyond those of the object.
    pub wasted: u64,
    /// Most connections at one time.
    pub peak: u32,
    /// Bytes that each source brought, the first one first.
    pub brought: Vec<u64>,
}

impl Run {
    /// A transfer of `len` bytes over `network` by up to eight connections, in pieces of 1 MiB.
    pub fn new(network: Network, len: u64) -> Self {
        let config = Config::default().connections(Connections::fixed(8));
        Self {
            network,
            mirrors: Vec::new(),
            len,
            piece_size: PIECE,
            config,
            probe: PROBE,
        }
    }

    /// Adds a mirror behind a path of its own, which may be used from `after` on. Until then a connection is kept free
    /// for finding out whether it has the same object.
    #[must_use]
    pub fn mirror(mut self, network: Network, after: Duration) -> Self {
        self.mirrors.push((network, after));
        self
    }

    /// The scheduler's settings. Default: those of a stranger, with eight connections.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Most bytes that the first request asks for. Default 4 MiB.
    #[must_use]
    pub const fn probe(mut self, bytes: u64) -> Self {
        self.probe = bytes;
        self
    }

    /// Runs it. The same seed gives the same outcome.
    ///
    /// # Panics
    ///
    /// When the scheduler breaks a law: it neither ends nor waits, leases a byte twice outside a race, asks for what lies
    /// outside the object, or ends without every byte.
    pub fn simulate(&self, seed: u64) -> Outcome {
        World::new(self, seed).play()
    }
}

const PIECE: NonZeroU64 = NonZeroU64::new(1 << 20).unwrap();
const PROBE: u64 = 4 << 20;
