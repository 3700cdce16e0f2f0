//! What a byte range is: a half-open, never empty interval of offsets in one object.

use std::fmt;

/// A half-open interval of byte offsets, `start..end`, that always holds at least one byte.
///
/// An HTTP `Range` or `Content-Range` speaks of the last byte instead (RFC 9110 §14.1.2): that is [`last`](Self::last).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

impl ByteRange {
    /// The range from `start` up to, but not including, `end`. `None` when that would hold no byte.
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start < end {
            Some(Self { start, end })
        } else {
            None
        }
    }

    /// The range of `len` bytes from `start`. `None` when `len` is zero or the end would overflow.
    pub const fn with_len(start: u64, len: u64) -> Option<Self> {
        match start.checked_add(len) {
            Some(end) => Self::new(start, end),
            None => None,
        }
    }

    /// Offset of the first byte.
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Offset just behind the last byte.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Offset of the last byte, as HTTP header fields write it.
    pub const fn last(&self) -> u64 {
        self.end - 1
    }

    /// Number of bytes, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub const fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether every byte of `other` is in this range.
    pub const fn contains(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the byte at `offset` is in this range.
    pub const fn contains_offset(&self, offset: u64) -> bool {
        self.start <= offset && offset < self.end
    }

    /// The bytes that both ranges hold, if any.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// The two parts before and from `offset` on. A part is `None` when `offset` leaves it empty;
    /// an offset outside the range leaves the range whole on one side.
    pub fn split_at(&self, offset: u64) -> (Option<Self>, Option<Self>) {
        let cut = offset.clamp(self.start, self.end);
        (Self::new(self.start, cut), Self::new(cut, self.end))
    }
}

/// Writes `start-end`, half-open, as logs and error messages show it.
impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

impl fmt::Debug for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).unwrap()
    }

    #[test]
    fn empty_and_overflowing_ranges_do_not_exist() {
        assert_eq!(ByteRange::new(5, 5), None);
        assert_eq!(ByteRange::new(6, 5), None);
        assert_eq!(ByteRange::with_len(u64::MAX, 1), None);
        assert_eq!(ByteRange::with_len(3, 0), None);
        assert_eq!(ByteRange::with_len(3, 4), ByteRange::new(3, 7));
    }

    #[test]
    fn split_outside_keeps_the_range_whole() {
        assert_eq!(
            range(10, 20).split_at(15),
            (Some(range(10, 15)), Some(range(15, 20)))
        );
        assert_eq!(range(10, 20).split_at(3), (None, Some(range(10, 20))));
        assert_eq!(range(10, 20).split_at(20), (Some(range(10, 20)), None));
    }

    #[test]
    fn display_is_half_open() {
        assert_eq!(range(0, 40).to_string(), "0-40");
        assert_eq!(range(0, 40).last(), 39);
        assert_eq!(range(0, 40).intersect(&range(40, 50)), None);
        assert_eq!(range(0, 41).intersect(&range(40, 50)), Some(range(40, 41)));
    }
}
