//! Bookkeeping for CRCs of segments that are finished in any order.

use std::collections::BTreeMap;

use crate::{Crc, Digest};

/// Joins the CRCs of disjoint segments, finished in any order, to the CRC of the range that they make up.
///
/// Neighbours are joined as they come, so it holds one entry for each gap, not for each segment.
///
/// ```
/// use bytehaul_integrity::{Crc, Joiner, crc32c};
///
/// let mut piece = Joiner::new(Crc::Crc32c, 9);
/// piece.add(4, 5, crc32c(b"56789").into())?;
/// assert_eq!(piece.value(), None);
/// piece.add(0, 4, crc32c(b"1234").into())?;
/// assert_eq!(piece.value(), Some(crc32c(b"123456789").into()));
/// # Ok::<(), bytehaul_integrity::JoinError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joiner {
    crc: Crc,
    len: u64,
    /// Offset → length and value. Disjoint, none empty, no two adjacent.
    runs: BTreeMap<u64, (u64, u64)>,
}

/// A run of bytes with its CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it starts, in bytes from the start of the joined range.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// The CRC of its bytes alone.
    pub crc: u64,
}

impl Joiner {
    /// For a range of `len` bytes, of which none is known.
    #[must_use]
    pub const fn new(crc: Crc, len: u64) -> Self {
        Self {
            crc,
            len,
            runs: BTreeMap::new(),
        }
    }

    /// Takes the value `crc` of the `len` bytes from `offset` on. An empty segment changes nothing.
    ///
    /// # Errors
    /// A segment that ends beyond the range or overlaps an earlier one is refused and changes nothing.
    pub fn add(&mut self, offset: u64, len: u64, crc: u64) -> Result<(), JoinError> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len);
        let end = end.ok_or(JoinError::Outside {
            offset,
            len,
            limit: self.len,
        })?;
        if len == 0 {
            return Ok(());
        }
        let before = self
            .runs
            .range(..end)
            .next_back()
            .map(|(at, run)| (*at, *run));
        if before.is_some_and(|(at, (run, _))| at + run > offset) {
            return Err(JoinError::Overlap { offset, len });
        }

        let mut joined = Segment { offset, len, crc };
        if let Some((at, (run, value))) = before
            && at + run == offset
        {
            joined = Segment {
                offset: at,
                len: run + len,
                crc: self.crc.combine(value, crc, len),
            };
        }
        if let Some((run, value)) = self.runs.remove(&end) {
            joined = Segment {
                len: joined.len + run,
                crc: self.crc.combine(joined.crc, value, run),
                ..joined
            };
        }
        self.runs.insert(joined.offset, (joined.len, joined.crc));
        Ok(())
    }

    /// The CRC of the whole range, once every byte of it is known.
    #[must_use]
    pub fn value(&self) -> Option<u64> {
        if self.len == 0 {
            return Some(Crc::EMPTY);
        }
        self.runs
            .get(&0)
            .filter(|(len, _)| *len == self.len)
            .map(|(_, crc)| *crc)
    }

    /// As [`value`](Self::value), as a digest.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.value().map(|crc| self.crc.digest(crc))
    }

    /// How many bytes are known.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.runs.values().map(|(len, _)| len).sum()
    }

    /// The length of the whole range, in bytes; never changes.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.len
    }

    /// What is known, ascending, neighbours joined: what to save, and to [`add`](Self::add) again later.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        self.runs
            .iter()
            .map(|(&offset, &(len, crc))| Segment { offset, len, crc })
    }
}

/// Why a segment cannot be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The segment ends beyond the range.
    #[error("segment of {len} bytes at {offset} ends beyond {limit}")]
    Outside {
        /// Where the segment starts.
        offset: u64,
        /// Its length in bytes.
        len: u64,
        /// The length of the joined range.
        limit: u64,
    },
    /// Some of the segment's bytes are known already.
    #[error("segment of {len} bytes at {offset} overlaps an earlier one")]
    Overlap {
        /// Where the segment starts.
        offset: u64,
        /// Its length in bytes.
        len: u64,
    },
}
