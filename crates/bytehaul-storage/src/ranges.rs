//! A set of byte ranges that are kept sorted, disjoint and coalesced.

use std::ops::Range;

/// The set. Few ranges are expected: one for each place where writing goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // Ranges that only touch are joined too.
        let first = self.0.partition_point(|held| held.end < range.start);
        let last = self.0.partition_point(|held| held.start <= range.end);
        let joined = match self.0.get(first..last) {
            Some([only]) => only.start.min(range.start)..only.end.max(range.end),
            Some([a, .., b]) => a.start.min(range.start)..b.end.max(range.end),
            Some([]) | None => range,
        };
        self.0.splice(first..last, [joined]);
    }

    pub(crate) fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|held| held.end <= range.start);
        let last = self.0.partition_point(|held| held.start < range.end);
        let Some(hit) = self.0.get(first..last).filter(|hit| !hit.is_empty()) else {
            return;
        };
        let left = hit[0].start..range.start;
        let right = range.end..hit[hit.len() - 1].end;
        self.0.splice(
            first..last,
            [left, right].into_iter().filter(|rest| !rest.is_empty()),
        );
    }

    /// The parts of `range` that are not in the set, in order.
    pub(crate) fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = range.start;
        for held in &self.0[self.0.partition_point(|held| held.end <= range.start)..] {
            if held.start >= range.end {
                break;
            }
            if at < held.start {
                gaps.push(at..held.start);
            }
            at = held.end;
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// Where the first missing byte is.
    pub(crate) fn prefix(&self) -> u64 {
        self.0
            .first()
            .filter(|first| first.start == 0)
            .map_or(0, |first| first.end)
    }

    /// One past the last byte of the set.
    pub(crate) fn end(&self) -> u64 {
        self.0.last().map_or(0, |last| last.end)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    pub(crate) fn to_vec(&self) -> Vec<Range<u64>> {
        self.0.clone()
    }
}

impl FromIterator<Range<u64>> for Ranges {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runs(model: &[bool], of: bool, from: usize, to: usize) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for at in (from..to).filter(|&at| model[at] == of).map(|at| at as u64) {
            match runs.last_mut() {
                Some(last) if last.end == at => last.end = at + 1,
                _ => runs.push(at..at + 1),
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn behaves_as_a_row_of_bits(ops in prop::collection::vec((any::<bool>(), 0usize..64, 0usize..64), 0..40)) {
            let mut model = vec![false; 64];
            let mut set = Ranges::default();
            for (insert, a, b) in ops {
                let (from, to) = (a.min(b), a.max(b));
                model[from..to].fill(insert);
                let range = from as u64..to as u64;
                if insert { set.insert(range.clone()) } else { set.remove(&range) }
                prop_assert_eq!(set.to_vec(), runs(&model, true, 0, 64));
                prop_assert_eq!(set.gaps(a as u64..b.max(a) as u64), runs(&model, false, a, b.max(a)));
                prop_assert_eq!(set.bytes(), model.iter().filter(|&&bit| bit).count() as u64);
                prop_assert_eq!(set.prefix(), model.iter().take_while(|&&bit| bit).count() as u64);
                prop_assert_eq!(set.end(), model.iter().rposition(|&bit| bit).map_or(0, |at| at as u64 + 1));
            }
        }
    }
}
