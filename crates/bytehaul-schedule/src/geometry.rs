//! How an object is cut into pieces, the units of the resume map.

use std::num::NonZeroU64;

use crate::{ByteRange, RangeSet};

/// Number of a piece, counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceId(pub u64);

/// An object's length and the size of its pieces; the last piece may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    len: u64,
    piece_size: NonZeroU64,
}

impl Geometry {
    /// An object of `len` bytes in pieces of `piece_size` bytes.
    pub const fn new(len: u64, piece_size: NonZeroU64) -> Self {
        Self { len, piece_size }
    }

    /// A piece size for strangers: a power of two from 1 MiB to 64 MiB that keeps the pieces to 16,384 where it can.
    pub fn automatic(len: u64) -> Self {
        let wanted = len.div_ceil(MAX_PIECES).max(1);
        let size = wanted
            .checked_next_power_of_two()
            .unwrap_or(LARGEST)
            .clamp(SMALLEST, LARGEST);
        Self::new(
            len,
            NonZeroU64::new(size).expect("at least the smallest size"),
        )
    }

    /// Length of the object in bytes.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the object has no bytes, and so no pieces.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of every piece but the last.
    pub const fn piece_size(&self) -> NonZeroU64 {
        self.piece_size
    }

    /// Number of pieces.
    pub const fn pieces(&self) -> u64 {
        self.len.div_ceil(self.piece_size.get())
    }

    /// The whole object; `None` when it has no bytes.
    pub const fn whole(&self) -> Option<ByteRange> {
        ByteRange::new(0, self.len)
    }

    /// The bytes of a piece; `None` when there is no such piece.
    pub fn piece(&self, id: PieceId) -> Option<ByteRange> {
        let start = id.0.checked_mul(self.piece_size.get())?;
        ByteRange::new(
            start,
            start.saturating_add(self.piece_size.get()).min(self.len),
        )
    }

    /// The piece that holds the byte at `offset`; `None` behind the end.
    pub fn piece_of(&self, offset: u64) -> Option<PieceId> {
        (offset < self.len).then(|| PieceId(offset / self.piece_size))
    }

    /// The pieces that lie fully inside `range`, ascending.
    pub fn pieces_within(&self, range: ByteRange) -> impl Iterator<Item = PieceId> + use<> {
        let first = range.start().div_ceil(self.piece_size.get());
        // The short last piece ends where the object ends, not at a multiple.
        let behind = if range.end() >= self.len {
            self.pieces()
        } else {
            range.end() / self.piece_size
        };
        (first..behind.max(first)).map(PieceId)
    }

    /// The lowest border of pieces at or behind `offset`, at most the object's end.
    pub(crate) fn border_at_or_after(&self, offset: u64) -> u64 {
        offset
            .div_ceil(self.piece_size.get())
            .saturating_mul(self.piece_size.get())
            .min(self.len)
    }
}

/// What is to be transferred: the object's geometry, and the bytes that are already there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    geometry: Geometry,
    done: RangeSet,
}

impl Plan {
    /// A plan for `len` bytes in pieces of `piece_size` bytes, none of which is there yet.
    pub const fn new(len: u64, piece_size: NonZeroU64) -> Self {
        Self::with_geometry(Geometry::new(len, piece_size))
    }

    /// A plan for an object of this geometry, none of which is there yet.
    pub const fn with_geometry(geometry: Geometry) -> Self {
        Self {
            geometry,
            done: RangeSet::new(),
        }
    }

    /// The bytes that are already there, from an earlier run. What lies behind the object's end is dropped.
    #[must_use]
    pub fn done(mut self, done: RangeSet) -> Self {
        self.done = match self.geometry.whole() {
            Some(whole) => done.overlapping(whole).collect(),
            None => RangeSet::new(),
        };
        self
    }

    /// The geometry planned for.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The bytes that need not be fetched.
    pub const fn present(&self) -> &RangeSet {
        &self.done
    }

    /// The bytes to be fetched.
    pub fn missing(&self) -> RangeSet {
        self.geometry
            .whole()
            .map_or_else(RangeSet::new, |whole| self.done.gaps(whole))
    }
}

const MAX_PIECES: u64 = 16 * 1024;
const SMALLEST: u64 = 1024 * 1024;
const LARGEST: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(len: u64, piece_size: u64) -> Geometry {
        Geometry::new(len, NonZeroU64::new(piece_size).unwrap())
    }

    #[test]
    fn automatic_sizes() {
        for (len, size) in [
            (0, 1 << 20),
            (1, 1 << 20),
            (16 << 30, 1 << 20),
            (17 << 30, 2 << 20),
            (u64::MAX, 64 << 20),
        ] {
            assert_eq!(Geometry::automatic(len).piece_size().get(), size, "{len}");
        }
    }

    #[test]
    fn the_last_piece_is_short() {
        let g = geometry(100, 40);
        assert_eq!(g.pieces(), 3);
        assert_eq!(g.piece(PieceId(2)), ByteRange::new(80, 100));
        assert_eq!(g.piece(PieceId(3)), None);
        assert_eq!(g.piece_of(99), Some(PieceId(2)));
        assert_eq!(g.piece_of(100), None);
        assert_eq!(geometry(0, 40).pieces(), 0);
        assert_eq!(geometry(u64::MAX, 1).piece(PieceId(u64::MAX)), None);
    }

    #[test]
    fn pieces_within_are_whole_pieces() {
        let g = geometry(100, 40);
        let within = |start, end| {
            g.pieces_within(ByteRange::new(start, end).unwrap())
                .map(|p| p.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(within(0, 100), [0, 1, 2]);
        assert_eq!(within(1, 100), [1, 2]);
        assert_eq!(within(0, 99), [0, 1]);
        assert_eq!(within(41, 79), [0u64; 0]);
        assert_eq!(within(90, 100), [0u64; 0]);
    }

    #[test]
    fn a_plan_drops_what_lies_behind_the_end() {
        let done: RangeSet = [
            ByteRange::new(10, 20).unwrap(),
            ByteRange::new(90, 500).unwrap(),
        ]
        .into_iter()
        .collect();
        let plan = Plan::new(100, NonZeroU64::new(40).unwrap()).done(done);
        assert_eq!(plan.present().covered() + plan.missing().covered(), 100);
        assert_eq!(
            plan.missing().iter().collect::<Vec<_>>(),
            [
                ByteRange::new(0, 10).unwrap(),
                ByteRange::new(20, 90).unwrap()
            ]
        );
    }
}
