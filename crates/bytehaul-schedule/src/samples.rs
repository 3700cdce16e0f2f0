//! Which bytes of an object are compared when two places claim to have the same one.

use crate::random::SplitMix64;
use crate::{ByteRange, RangeSet};

/// The bytes of `there` that speak for all of it, ascending: everything when it is at most 4 MiB, else one stretch of
/// 1 MiB without a gap where there is one, the first and the last 64 KiB, and four times 64 KiB between.
///
/// The long stretch finds a place that damages one byte in each MiB; the short ones find another version, or a copy
/// that is damaged or missing in parts. `seed` decides where they lie.
///
/// ```
/// use bytehaul_schedule::{ByteRange, samples};
///
/// let whole = ByteRange::new(0, 1 << 30).expect("bytes");
/// let chosen = samples(&whole.into(), 42);
/// assert!(chosen.iter().any(|range| range.len() >= 1 << 20));
/// assert!(chosen.iter().map(ByteRange::len).sum::<u64>() < 2 << 20);
/// ```
pub fn samples(there: &RangeSet, seed: u64) -> Vec<ByteRange> {
    if there.covered() <= SMALL {
        return there.iter().collect();
    }
    let mut random = SplitMix64::new(seed);
    let mut chosen = RangeSet::new();
    let longest = there.iter().max_by_key(ByteRange::len);
    if let Some(longest) = longest {
        chosen.insert(within(longest, STRETCH, random.next()));
    }
    if let (Some(first), Some(last)) = (there.iter().next(), there.iter().next_back()) {
        chosen.insert(within(first, SHORT, 0));
        chosen.insert(within(last, SHORT, u64::MAX));
    }
    let quarter = there.covered() / BETWEEN;
    for part in 0..BETWEEN {
        let nth = part * quarter + random.next() % quarter.max(1);
        if let Some(at) = nth_byte(there, nth) {
            chosen.insert(at);
        }
    }
    chosen.iter().collect()
}

/// `len` bytes of `range`, or all of it; where, is between its start (0) and its end (`u64::MAX`).
fn within(range: ByteRange, len: u64, place: u64) -> ByteRange {
    let slack = range.len().saturating_sub(len);
    let offset = match place {
        u64::MAX => slack,
        place => place % (slack + 1),
    };
    let start = range.start() + offset;
    ByteRange::new(start, start.saturating_add(len).min(range.end())).unwrap_or(range)
}

/// Up to 64 KiB from the `nth` byte of the set on.
fn nth_byte(there: &RangeSet, mut nth: u64) -> Option<ByteRange> {
    for range in there.iter() {
        if nth < range.len() {
            let start = range.start() + nth;
            return ByteRange::new(start, start.saturating_add(SHORT).min(range.end()));
        }
        nth -= range.len();
    }
    None
}

/// Less than this is compared as a whole.
const SMALL: u64 = 4 * 1024 * 1024;
/// A byte in each MiB cannot hide from it.
const STRETCH: u64 = 1024 * 1024;
const SHORT: u64 = 64 * 1024;
/// Short ones beside the first and the last.
const BETWEEN: u64 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    #[test]
    fn what_is_small_is_compared_whole() {
        let there: RangeSet = [range(5, 9), range(100, 2_000)].into_iter().collect();
        assert_eq!(samples(&there, 1), [range(5, 9), range(100, 2_000)]);
        assert_eq!(samples(&RangeSet::new(), 1), []);
    }

    proptest! {
        #[test]
        fn they_lie_within_and_hold_a_stretch_and_both_ends(
            parts in proptest::collection::vec((0..1u64 << 40, 1..64u64 << 20), 1..6),
            seed in any::<u64>(),
        ) {
            let there: RangeSet = parts.iter().map(|&(start, len)| range(start, start + len)).collect();
            let chosen: RangeSet = samples(&there, seed).into_iter().collect();
            prop_assert!(chosen.difference(&there).is_empty());
            let first = there.iter().next().unwrap().start();
            let last = there.iter().next_back().unwrap().end() - 1;
            prop_assert!(chosen.contains(&range(first, first + 1)));
            prop_assert!(chosen.contains(&range(last, last + 1)));
            if there.covered() > SMALL {
                let longest = there.iter().map(|r| r.len()).max().unwrap();
                prop_assert!(chosen.iter().any(|r| r.len() >= longest.min(STRETCH)));
                prop_assert!(chosen.covered() <= STRETCH + (BETWEEN + 2) * SHORT);
            }
        }

        #[test]
        fn one_damaged_byte_in_each_mib_is_always_hit(len in SMALL + 1..1u64 << 34, at in 0..STRETCH, seed in any::<u64>()) {
            let chosen = samples(&range(0, len).into(), seed);
            prop_assert!(chosen.iter().any(|r| (r.start().saturating_sub(at)).div_ceil(STRETCH) * STRETCH + at < r.end()));
        }
    }
}
