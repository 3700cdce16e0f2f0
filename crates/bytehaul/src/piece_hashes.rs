//! The hashes of a file's pieces as a caller knows them: how many there have to be, and which bytes each speaks of.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use bytehaul_integrity::{Algorithm, Digest};

use crate::error::DownloadError;

/// A hash for each piece of a file, such as a Metalink document carries (RFC 5854, section 4.2.12).
///
/// Each piece is checked soon after its last byte has arrived, whichever source its bytes came from; one that does not
/// match is dropped and fetched again. The pieces need not be those of [`DownloadSpec::piece_size`]. Cheap to clone.
///
/// ```
/// use bytehaul::{Algorithm, PieceHashes};
///
/// // Of a file of 20 bytes: three pieces of at most 8.
/// let hashes = PieceHashes::new(Algorithm::Md5, 8, [[1; 16], [2; 16], [3; 16]])?;
/// assert_eq!(hashes.ranges(20).last(), Some(16..20));
/// assert!(!hashes.fits(25));
/// # Ok::<(), bytehaul::DownloadError>(())
/// ```
///
/// [`DownloadSpec::piece_size`]: crate::DownloadSpec#structfield.piece_size
#[derive(Clone, PartialEq, Eq)]
pub struct PieceHashes {
    algorithm: Algorithm,
    length: NonZeroU64,
    /// The values, one after the other.
    bytes: Arc<[u8]>,
}

impl PieceHashes {
    /// The values of `algorithm` for pieces of `piece_length` bytes each, the last one of what is left, in the order
    /// of the file.
    ///
    /// # Errors
    /// [`DownloadError::InvalidParameter`] when a piece has no bytes, a value is not as long as the algorithm's, or
    /// there is none.
    pub fn new<H: AsRef<[u8]>>(
        algorithm: Algorithm,
        piece_length: u64,
        hashes: impl IntoIterator<Item = H>,
    ) -> Result<Self, DownloadError> {
        let length = NonZeroU64::new(piece_length)
            .ok_or_else(|| DownloadError::parameter(NAME, "a piece of no bytes"))?;
        let mut bytes = Vec::new();
        for hash in hashes {
            let hash = hash.as_ref();
            if hash.len() != algorithm.digest_len() {
                let reason = format!(
                    "a value of {algorithm} has {} bytes, not {}",
                    algorithm.digest_len(),
                    hash.len()
                );
                return Err(DownloadError::parameter(NAME, reason));
            }
            bytes.extend_from_slice(hash);
        }
        if bytes.is_empty() {
            return Err(DownloadError::parameter(NAME, "there are none"));
        }
        Ok(Self {
            algorithm,
            length,
            bytes: bytes.into(),
        })
    }

    /// The algorithm of every value.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Bytes of every piece but the last.
    pub fn piece_length(&self) -> u64 {
        self.length.get()
    }

    /// How many pieces there are; at least one.
    pub fn count(&self) -> usize {
        self.bytes.len() / self.algorithm.digest_len()
    }

    /// The value of one piece, counted from 0.
    pub fn hash(&self, piece: usize) -> Option<Digest> {
        let len = self.algorithm.digest_len();
        let start = piece.checked_mul(len)?;
        let bytes = self.bytes.get(start..start.checked_add(len)?)?;
        Digest::from_bytes(self.algorithm, bytes)
    }

    /// Whether a file of `len` bytes has exactly these pieces.
    pub fn fits(&self, len: u64) -> bool {
        len.div_ceil(self.length.get()) == self.count() as u64
    }

    /// The bytes of one piece of a file of `len` bytes; `None` when the file ends before it.
    pub fn range(&self, piece: usize, len: u64) -> Option<Range<u64>> {
        let start = (piece as u64).checked_mul(self.length.get())?;
        (piece < self.count() && start < len)
            .then(|| start..start.saturating_add(self.length.get()).min(len))
    }

    /// The bytes of each piece of a file of `len` bytes.
    pub fn ranges(&self, len: u64) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        (0..self.count()).filter_map(move |piece| self.range(piece, len))
    }
}

impl fmt::Debug for PieceHashes {
    /// Shows how many values there are and not each of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceHashes")
            .field("algorithm", &self.algorithm)
            .field("piece_length", &self.length)
            .field("count", &self.count())
            .finish()
    }
}

const NAME: &str = "piece hashes";

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(length: u64, count: u8) -> PieceHashes {
        PieceHashes::new(Algorithm::Md5, length, (0..count).map(|n| [n; 16])).expect("hashes")
    }

    #[test]
    fn the_pieces_are_the_file() {
        let three = hashes(8, 3);
        assert_eq!(three.ranges(20).collect::<Vec<_>>(), [0..8, 8..16, 16..20]);
        assert_eq!(three.hash(2).expect("three").as_bytes(), [2; 16]);
        assert_eq!(three.hash(3), None);
        assert_eq!((three.range(3, 100), three.range(2, 16)), (None, None));
        for len in 0..40 {
            assert_eq!(three.fits(len), (17..=24).contains(&len), "{len}");
        }
        assert!(hashes(u64::MAX, 1).fits(u64::MAX));
        assert_eq!(hashes(u64::MAX, 2).range(1, u64::MAX), None);
    }

    #[test]
    fn what_cannot_be_hashes_is_refused() {
        for (length, value) in [
            (0, vec![[0u8; 16].to_vec()]),
            (8, vec![]),
            (8, vec![vec![0; 15]]),
        ] {
            assert!(PieceHashes::new(Algorithm::Md5, length, value).is_err());
        }
    }
}
