//! One governor bucket, on a clock that counts bytes.
//!
//! Governor gives each cell a whole number of nanoseconds, which is too coarse for bytes: 300 MB/s would become 333. So its
//! unit of time is made the byte here: the clock says how many bytes the rate would have allowed by now, and a byte takes
//! one unit. Nothing is rounded at any rate, and tokio's clock, which tests can drive, stands behind it.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::BytesPerSecond;

/// A bucket of fixed rate.
pub(crate) struct Bucket {
    rate: BytesPerSecond,
    burst: NonZeroU32,
    clock: ByteClock,
    cells: RateLimiter<NotKeyed, InMemoryState, ByteClock, NoOpMiddleware<Nanos>>,
}

impl Bucket {
    /// Holds `level` bytes at first, or as many as fit.
    pub(crate) fn new(rate: BytesPerSecond, level: u64) -> Self {
        let clock = ByteClock {
            origin: Instant::now(),
            rate: rate.get(),
        };
        let burst = NonZeroU32::new(rate.burst()).expect("a burst has a minimum");
        let quota = Quota::with_period(Duration::from_nanos(1))
            .expect("one unit is not zero")
            .allow_burst(burst);
        let bucket = Self {
            rate,
            burst,
            clock,
            cells: RateLimiter::direct_with_clock(quota, clock),
        };
        // Governor starts with a full bucket.
        let surplus = u64::from(burst.get()).saturating_sub(level);
        let drained = bucket.take(surplus);
        debug_assert!(drained.is_ok(), "a full bucket has room for the surplus");
        bucket
    }

    /// The most to [`take`](Self::take) at once.
    pub(crate) fn quantum(&self) -> u64 {
        self.rate.quantum()
    }

    /// Takes all of `bytes`, at most a burst, or nothing and says when to come again.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), Instant> {
        let bytes = u32::try_from(bytes)
            .unwrap_or(u32::MAX)
            .min(self.burst.get());
        let Some(bytes) = NonZeroU32::new(bytes) else {
            return Ok(());
        };
        let taken = self.cells.check_n(bytes).expect("at most a burst is taken");
        taken.map_err(|wait| self.clock.at(wait.earliest_possible()))
    }

    /// How many bytes are left in it.
    pub(crate) fn into_level(self) -> u64 {
        let burst = u64::from(self.burst.get());
        let now = self.clock.now().as_u64();
        // The bucket is full again when a whole burst could be taken; until then, what accrues is what is missing.
        match self
            .cells
            .check_n(self.burst)
            .expect("a burst is not above itself")
        {
            Ok(()) => burst,
            Err(full) => {
                burst.saturating_sub(full.earliest_possible().as_u64().saturating_sub(now))
            }
        }
    }
}

/// The number of bytes that the rate has allowed since the origin, in the place of nanoseconds.
#[derive(Clone, Copy)]
struct ByteClock {
    origin: Instant,
    rate: u64,
}

impl ByteClock {
    /// The first moment at which the clock shows `count` bytes.
    fn at(&self, count: Nanos) -> Instant {
        let nanos = (u128::from(count.as_u64()) * NANOS).div_ceil(u128::from(self.rate));
        self.origin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).min(FAR))
    }
}

impl Clock for ByteClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let bytes = self.origin.elapsed().as_nanos() * u128::from(self.rate) / NANOS;
        // Room is left above for a burst.
        Nanos::from(u64::try_from(bytes).unwrap_or(u64::MAX).min(u64::MAX >> 1))
    }
}

const NANOS: u128 = 1_000_000_000;
/// A century: beyond every transfer, and within what an `Instant` can hold.
const FAR: u64 = 100 * 365 * 24 * 3600 * 1_000_000_000;
