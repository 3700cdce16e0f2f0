//! Which bytes are written and what their CRC32C is, one run for each finished piece, in bounded memory.

use std::collections::BTreeMap;
use std::ops::Range;

use bytehaul_integrity::crc32c_combine;

/// A run of written bytes that does not cross the edge of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) crc: u32,
}

impl Segment {
    pub(crate) fn end(&self) -> u64 {
        self.start + self.len
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.end()
    }
}

/// Disjoint segments; neighbours within a piece are joined.
#[derive(Debug, Clone)]
pub(crate) struct Segments {
    piece_size: u64,
    runs: BTreeMap<u64, (u64, u32)>,
}

impl Segments {
    pub(crate) fn new(piece_size: u64) -> Self {
        Self {
            piece_size,
            runs: BTreeMap::new(),
        }
    }

    pub(crate) fn piece_size(&self) -> u64 {
        self.piece_size
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Segment> + '_ {
        self.runs
            .iter()
            .map(|(&start, &(len, crc))| Segment { start, len, crc })
    }

    /// Where the piece that holds `at` ends.
    pub(crate) fn piece_end(&self, at: u64) -> u64 {
        (at / self.piece_size + 1).saturating_mul(self.piece_size)
    }

    /// Adds a segment that overlaps none that is held. When there are more than a bound, pieces become twice as large.
    pub(crate) fn insert(&mut self, segment: Segment) {
        self.join(segment);
        // Each doubling costs one pass, and halves what whole pieces take; runs with holes between them cannot be joined.
        if self.runs.len() > self.bound() {
            self.coarsen();
        }
    }

    /// Takes out every segment that touches `range`.
    pub(crate) fn take(&mut self, range: &Range<u64>) -> Vec<Segment> {
        let hit: Vec<Segment> = self.overlapping(range).collect();
        hit.iter().for_each(|segment| {
            self.runs.remove(&segment.start);
        });
        hit
    }

    fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = Segment> + '_ {
        let from = self
            .runs
            .range(..=range.start)
            .next_back()
            .map_or(range.start, |(&start, _)| start);
        let range = range.clone();
        let runs = self
            .runs
            .range(from..range.end.max(from))
            .map(|(&start, &(len, crc))| Segment { start, len, crc });
        runs.filter(move |segment| segment.start < range.end && range.start < segment.end())
    }

    fn join(&mut self, mut segment: Segment) {
        let piece = segment.start / self.piece_size;
        let before = self
            .runs
            .range(..segment.start)
            .next_back()
            .map(|(&start, &(len, crc))| Segment { start, len, crc });
        if let Some(before) =
            before.filter(|run| run.end() == segment.start && run.start / self.piece_size == piece)
        {
            self.runs.remove(&before.start);
            let crc = crc32c_combine(before.crc, segment.crc, segment.len);
            segment = Segment {
                start: before.start,
                len: before.len + segment.len,
                crc,
            };
        }
        let end = segment.end();
        if end / self.piece_size == piece
            && let Some((len, crc)) = self.runs.remove(&end)
        {
            segment.crc = crc32c_combine(segment.crc, crc, len);
            segment.len += len;
        }
        self.runs.insert(segment.start, (segment.len, segment.crc));
    }

    fn bound(&self) -> usize {
        // Beyond this piece size the number of runs comes from holes, and coarser pieces would not help.
        if self.piece_size >= MAX_PIECE {
            usize::MAX
        } else {
            MAX_RUNS
        }
    }

    fn coarsen(&mut self) {
        let runs = std::mem::take(&mut self.runs);
        self.piece_size *= 2;
        for (start, (len, crc)) in runs {
            self.join(Segment { start, len, crc });
        }
    }
}

/// A piece size within the bounds for an object of this length, so that its pieces stay few.
pub(crate) fn piece_size_for(wanted: u64, len: Option<u64>) -> u64 {
    let mut size = wanted.clamp(MIN_PIECE, MAX_PIECE);
    while size < MAX_PIECE && len.unwrap_or(0) / size >= MAX_RUNS as u64 / 2 {
        size = (size * 2).min(MAX_PIECE);
    }
    size
}

const MIN_PIECE: u64 = 4 << 10;
pub(crate) const MAX_PIECE: u64 = 1 << 40;
const MAX_RUNS: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use bytehaul_integrity::crc32c;
    use proptest::prelude::*;

    use super::*;

    fn bytes(range: Range<u64>) -> Vec<u8> {
        range.map(|at| (at * 31 % 251) as u8).collect()
    }

    fn segment(range: Range<u64>) -> Segment {
        Segment {
            start: range.start,
            len: range.end - range.start,
            crc: crc32c(&bytes(range)),
        }
    }

    #[test]
    fn coarser_pieces_keep_the_checksums() {
        let mut segments = Segments::new(4096);
        for piece in (0..40_000u64).rev() {
            // Zero-filled pieces: only the arithmetic is of interest here.
            segments.insert(Segment {
                start: piece * 4096,
                len: 4096,
                crc: crc32c(&[0; 4096]),
            });
            assert!(segments.runs.len() <= MAX_RUNS);
        }
        let size = segments.piece_size();
        assert!(size > 4096);
        let whole = crc32c(&vec![0; size as usize]);
        for run in segments.iter().filter(|run| run.len == size) {
            assert_eq!(run.crc, whole);
        }
        assert_eq!(
            segments.iter().map(|run| run.len).sum::<u64>(),
            40_000 * 4096
        );
    }

    #[test]
    fn piece_sizes_are_bounded() {
        assert_eq!(piece_size_for(0, None), 4096);
        assert_eq!(piece_size_for(1 << 20, Some(1 << 30)), 1 << 20);
        assert!((1u64 << 44) / piece_size_for(1 << 20, Some(1 << 44)) < MAX_RUNS as u64);
        assert_eq!(piece_size_for(u64::MAX, Some(u64::MAX)), MAX_PIECE);
    }

    proptest! {
        #[test]
        fn any_order_of_writes_gives_the_checksums_of_the_bytes(order in Just((0u64..32).collect::<Vec<_>>()).prop_shuffle(), piece in 1u64..200) {
            // 32 writes of 17 bytes, split at the edges of pieces.
            let mut segments = Segments::new(piece);
            for write in order {
                let (mut at, end) = (write * 17, write * 17 + 17);
                while at < end {
                    let stop = segments.piece_end(at).min(end);
                    segments.insert(segment(at..stop));
                    at = stop;
                }
            }
            let mut at = 0;
            for run in segments.iter() {
                prop_assert_eq!(run.start, at);
                prop_assert_eq!(run, segment(run.range()));
                prop_assert!(run.end() % piece == 0 || run.end() == 32 * 17);
                at = run.end();
            }
            prop_assert_eq!(at, 32 * 17);
        }

        #[test]
        fn taking_gives_exactly_what_overlaps(starts in prop::collection::btree_set(0u64..50, 0..20), a in 0u64..110, len in 1u64..40) {
            let mut segments = Segments::new(2);
            for start in starts {
                segments.insert(segment(start * 2..start * 2 + 1));
            }
            let all: Vec<Segment> = segments.iter().collect();
            let hit = segments.take(&(a..a + len));
            let (expected, rest): (Vec<Segment>, Vec<Segment>) =
                all.into_iter().partition(|run| run.start < a + len && a < run.end());
            prop_assert_eq!(hit, expected);
            prop_assert_eq!(segments.iter().collect::<Vec<_>>(), rest);
        }
    }
}
