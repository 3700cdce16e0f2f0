//! How a set of bytes is kept: sorted, disjoint, coalesced ranges with the algebra on them.

use std::fmt;

use crate::ByteRange;

/// A set of byte offsets, kept as sorted ranges that neither overlap nor touch.
///
/// Changing the set costs a binary search and a shift of the ranges behind the place of change; memory is 16 bytes a range.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct RangeSet {
    ranges: Vec<ByteRange>,
}

impl RangeSet {
    /// The empty set. Allocates nothing.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Adds every byte of `range`.
    pub fn insert(&mut self, range: ByteRange) {
        // Ranges that overlap or touch are merged, so `end == start` counts on both sides.
        let from = self.ranges.partition_point(|r| r.end() < range.start());
        let to = self.ranges.partition_point(|r| r.start() <= range.end());
        let merged = match self.ranges.get(from..to) {
            Some([first, .., last]) => span(
                first.start().min(range.start()),
                last.end().max(range.end()),
            ),
            Some([only]) => span(only.start().min(range.start()), only.end().max(range.end())),
            Some([]) | None => range,
        };
        self.ranges.splice(from..to, [merged]);
    }

    /// Takes every byte of `range` out.
    pub fn remove(&mut self, range: ByteRange) {
        let from = self.ranges.partition_point(|r| r.end() <= range.start());
        let to = self.ranges.partition_point(|r| r.start() < range.end());
        if from >= to {
            return;
        }
        let left = self.ranges[from].split_at(range.start()).0;
        let right = self.ranges[to - 1].split_at(range.end()).1;
        self.ranges.splice(from..to, left.into_iter().chain(right));
    }

    /// Whether every byte of `range` is in the set.
    pub fn contains(&self, range: &ByteRange) -> bool {
        let at = self.ranges.partition_point(|r| r.end() <= range.start());
        self.ranges.get(at).is_some_and(|r| r.contains(range))
    }

    /// Number of bytes in the set.
    pub fn covered(&self) -> u64 {
        self.ranges.iter().map(ByteRange::len).sum()
    }

    /// Whether the set holds no byte.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges in ascending order; no two of them touch.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = ByteRange> + ExactSizeIterator + '_ {
        self.ranges.iter().copied()
    }

    /// The bytes of `within` that are not in the set.
    pub fn gaps(&self, within: ByteRange) -> Self {
        let mut ranges = Vec::new();
        let mut at = within.start();
        for held in self.overlapping(within) {
            ranges.extend(ByteRange::new(at, held.start()));
            at = held.end();
        }
        ranges.extend(ByteRange::new(at, within.end()));
        Self { ranges }
    }

    /// The lowest run of bytes of `within` that is not in the set.
    pub fn first_gap(&self, within: ByteRange) -> Option<ByteRange> {
        let mut at = within.start();
        for held in self.overlapping(within) {
            if let Some(gap) = ByteRange::new(at, held.start()) {
                return Some(gap);
            }
            at = held.end();
        }
        ByteRange::new(at, within.end())
    }

    /// The bytes that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        self.ranges
            .iter()
            .flat_map(|mine| other.overlapping(*mine))
            .collect()
    }

    /// The bytes that are in either set.
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.extend(other.iter());
        all
    }

    /// The bytes of this set that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let ranges = self
            .ranges
            .iter()
            .flat_map(|mine| other.gaps(*mine).ranges)
            .collect();
        Self { ranges }
    }

    /// End of the run of bytes that starts at offset 0; zero when the first byte is not in the set.
    pub fn prefix_end(&self) -> u64 {
        match self.ranges.first() {
            Some(first) if first.start() == 0 => first.end(),
            Some(_) | None => 0,
        }
    }

    /// The parts of the set that lie in `within`, cut to it, ascending.
    pub fn overlapping(&self, within: ByteRange) -> impl Iterator<Item = ByteRange> + '_ {
        let from = self.ranges.partition_point(|r| r.end() <= within.start());
        self.ranges[from..]
            .iter()
            .map_while(move |r| r.intersect(&within))
    }
}

impl From<ByteRange> for RangeSet {
    fn from(range: ByteRange) -> Self {
        Self {
            ranges: vec![range],
        }
    }
}

impl Extend<ByteRange> for RangeSet {
    fn extend<I: IntoIterator<Item = ByteRange>>(&mut self, ranges: I) {
        for range in ranges {
            self.insert(range);
        }
    }
}

impl FromIterator<ByteRange> for RangeSet {
    fn from_iter<I: IntoIterator<Item = ByteRange>>(ranges: I) -> Self {
        let mut set = Self::new();
        set.extend(ranges);
        set
    }
}

impl fmt::Debug for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.ranges).finish()
    }
}

fn span(start: u64, end: u64) -> ByteRange {
    ByteRange::new(start, end).expect("a span of ranges is not empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &[(char, u64, u64)], expected: &[(u64, u64)]) {
        let mut set = RangeSet::new();
        for &(what, start, end) in steps {
            let range = ByteRange::new(start, end).unwrap();
            match what {
                '+' => set.insert(range),
                _ => set.remove(range),
            }
        }
        let got: Vec<_> = set.iter().map(|r| (r.start(), r.end())).collect();
        assert_eq!(got, expected, "{steps:?}");
    }

    #[test]
    fn insert_coalesces_and_remove_splits() {
        check(&[('+', 0, 4), ('+', 4, 8)], &[(0, 8)]);
        check(&[('+', 0, 4), ('+', 5, 8)], &[(0, 4), (5, 8)]);
        check(&[('+', 0, 4), ('+', 6, 8), ('+', 3, 6)], &[(0, 8)]);
        check(&[('+', 0, 9), ('-', 3, 5)], &[(0, 3), (5, 9)]);
        check(&[('+', 0, 3), ('+', 5, 9), ('-', 2, 6)], &[(0, 2), (6, 9)]);
        check(&[('+', 2, 3), ('-', 3, 9), ('-', 0, 2)], &[(2, 3)]);
        check(&[('-', 0, 5)], &[]);
    }

    #[test]
    fn prefix_counts_only_from_zero() {
        let set: RangeSet = [ByteRange::new(1, 5).unwrap()].into_iter().collect();
        assert_eq!(set.prefix_end(), 0);
        assert_eq!(
            set.union(&ByteRange::new(0, 1).unwrap().into())
                .prefix_end(),
            5
        );
    }
}
