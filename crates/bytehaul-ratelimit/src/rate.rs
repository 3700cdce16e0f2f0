//! The unit of a limit, and what follows from it: how much may come at once, and how much to ask for.

use std::fmt;
use std::num::NonZeroU64;

/// A rate in bytes per second, never zero.
///
/// ```
/// use bytehaul_ratelimit::BytesPerSecond;
///
/// assert_eq!(BytesPerSecond::mib(4).get(), 4 * 1024 * 1024);
/// assert_eq!(BytesPerSecond::kib(1536).to_string(), "1.5 MiB/s");
/// assert_eq!(BytesPerSecond::new(0), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BytesPerSecond(NonZeroU64);

impl BytesPerSecond {
    /// A rate of `bytes` per second, or `None` for zero, which would be no rate but a halt.
    #[must_use]
    pub const fn new(bytes: u64) -> Option<Self> {
        match NonZeroU64::new(bytes) {
            Some(bytes) => Some(Self(bytes)),
            None => None,
        }
    }

    /// A rate in KiB (1024 bytes) per second.
    ///
    /// # Panics
    /// If `kib` is zero; use [`new`](Self::new) for a number that comes from outside.
    #[must_use]
    pub const fn kib(kib: u32) -> Self {
        Self::new(kib as u64 * KIB).expect("a rate is not zero")
    }

    /// A rate in MiB (1024² bytes) per second.
    ///
    /// # Panics
    /// If `mib` is zero; use [`new`](Self::new) for a number that comes from outside.
    #[must_use]
    pub const fn mib(mib: u32) -> Self {
        Self::new(mib as u64 * MIB).expect("a rate is not zero")
    }

    /// Bytes per second.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The most that may pass at once after a pause, in bytes: 50 ms worth, at least 4 KiB, and below 4 GiB.
    pub(crate) fn burst(self) -> u32 {
        u32::try_from((self.get() / BURSTS_PER_SECOND).max(MIN_BURST)).unwrap_or(u32::MAX)
    }

    /// What a reader takes at a time, in bytes: 10 ms worth, at least 1 KiB, at most 256 KiB. Never more than the burst, and
    /// far below it where timers are coarse: what accrues while a wake-up is late must find room in the bucket.
    pub(crate) fn quantum(self) -> u64 {
        (self.get() / QUANTA_PER_SECOND).clamp(MIN_QUANTUM, MAX_QUANTUM)
    }

    /// What one child takes at a time among others, in bytes: 4 ms worth, within the bounds of a quantum.
    ///
    /// A slow child with few connections has to wait for the end of such a turn before each of its own quanta; were turns
    /// as long as quanta, it would fall behind its own rate.
    pub(crate) fn turn(self) -> u64 {
        (self.get() / TURNS_PER_SECOND).clamp(MIN_QUANTUM, MAX_QUANTUM)
    }
}

impl From<NonZeroU64> for BytesPerSecond {
    fn from(bytes: NonZeroU64) -> Self {
        Self(bytes)
    }
}

/// The largest binary unit that leaves at least 1, with at most one decimal place, rounded down.
impl fmt::Display for BytesPerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.get() {
            GIB.. => (GIB, "GiB/s"),
            MIB.. => (MIB, "MiB/s"),
            KIB.. => (KIB, "KiB/s"),
            _ => (1, "B/s"),
        };
        let (whole, rest) = (self.get() / unit, self.get() % unit);
        match rest * 10 / unit {
            0 => write!(f, "{whole} {name}"),
            tenths => write!(f, "{whole}.{tenths} {name}"),
        }
    }
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const BURSTS_PER_SECOND: u64 = 20;
const QUANTA_PER_SECOND: u64 = 100;
const TURNS_PER_SECOND: u64 = 250;
const MIN_BURST: u64 = 4 * KIB;
const MIN_QUANTUM: u64 = KIB;
const MAX_QUANTUM: u64 = 256 * KIB;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display() {
        let check =
            |bytes, want: &str| assert_eq!(BytesPerSecond::new(bytes).unwrap().to_string(), want);
        check(1, "1 B/s");
        check(1023, "1023 B/s");
        check(1024, "1 KiB/s");
        check(500 * KIB, "500 KiB/s");
        check(MIB + MIB / 4, "1.2 MiB/s");
        check(3 * GIB, "3 GiB/s");
        check(u64::MAX, "17179869183.9 GiB/s");
    }

    #[test]
    fn a_quantum_fits_the_burst_and_the_burst_100_ms() {
        for exponent in 0..64 {
            let rate = BytesPerSecond::new(1 << exponent).unwrap();
            assert!(rate.quantum() <= u64::from(rate.burst()), "{rate}");
            assert!(
                u64::from(rate.burst()) <= (rate.get() / 10).max(MIN_BURST),
                "{rate}"
            );
        }
    }
}
