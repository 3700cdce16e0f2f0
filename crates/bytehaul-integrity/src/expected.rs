//! What an object has to hash to: one digest of all of its bytes, or one digest of the digests of its parts.

use std::fmt;
use std::num::NonZeroU64;

use crate::{Algorithm, Digest, Hasher};

/// How the bytes of an object become one digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hashing {
    /// Of the bytes; and of the digests of the parts, where there are any.
    pub algorithm: Algorithm,
    /// Bytes of each part but the last, where the digest is the *composite* one of an object that was uploaded in parts: that of
    /// the binary digests of all parts, one after the other. `None`: the digest of the bytes themselves.
    pub part_size: Option<NonZeroU64>,
}

impl Hashing {
    /// Starts with no data.
    #[must_use]
    pub fn hasher(self) -> Hasher {
        match self.part_size {
            None => Hasher::new(self.algorithm),
            Some(size) => Hasher::composite(self.algorithm, size),
        }
    }
}

impl From<Algorithm> for Hashing {
    fn from(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            part_size: None,
        }
    }
}

/// What an object has to hash to.
///
/// ```
/// use std::num::NonZeroU64;
///
/// use bytehaul_integrity::{Digest, Expected};
///
/// // The entity tag that S3 gives to "abcde", uploaded as "ab", "cd" and "e": b5d5…-3.
/// let digest: Digest = "md5=b5d55eef9b6106b14530433c1a359920".parse()?;
/// let expected = Expected::composite(digest, NonZeroU64::new(2).unwrap());
/// let mut hasher = expected.hashing().hasher();
/// hasher.update(b"abcde");
/// assert_eq!(hasher.finish(), expected.digest);
/// # Ok::<(), bytehaul_integrity::ParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The value.
    pub digest: Digest,
    /// As [`Hashing::part_size`].
    pub part_size: Option<NonZeroU64>,
}

impl Expected {
    /// The composite digest of an object whose parts have this size, but for the last one.
    #[must_use]
    pub fn composite(digest: Digest, part_size: NonZeroU64) -> Self {
        Self {
            digest,
            part_size: Some(part_size),
        }
    }

    /// How it is computed.
    #[must_use]
    pub fn hashing(&self) -> Hashing {
        Hashing {
            algorithm: self.digest.algorithm(),
            part_size: self.part_size,
        }
    }
}

impl From<Digest> for Expected {
    fn from(digest: Digest) -> Self {
        Self {
            digest,
            part_size: None,
        }
    }
}

/// `ALGO=HEX`, and behind it of what parts.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest.fmt(f)?;
        match self.part_size {
            None => Ok(()),
            Some(size) => write!(f, " of parts of {size} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn composites_are_digests_of_digests(
            data in prop::collection::vec(any::<u8>(), 0..200),
            size in 1_usize..70,
            cuts in prop::collection::vec(0_usize..200, 0..8),
            algorithm in prop::sample::select(&Algorithm::ALL[..]),
        ) {
            let mut outer = Vec::new();
            for part in data.chunks(size) {
                outer.extend_from_slice(Hasher::digest(algorithm, part).as_bytes());
            }
            if data.is_empty() {
                outer.extend_from_slice(Hasher::digest(algorithm, b"").as_bytes());
            }
            let expected = Hasher::digest(algorithm, &outer);

            let hashing = Hashing { algorithm, part_size: NonZeroU64::new(size as u64) };
            let mut hasher = hashing.hasher();
            let mut cuts: Vec<_> = cuts.into_iter().map(|at| at.min(data.len())).collect();
            cuts.sort_unstable();
            let mut at = 0;
            for cut in cuts.into_iter().chain([data.len()]) {
                hasher.update(&data[at..cut]);
                at = cut;
            }
            prop_assert_eq!(hasher.algorithm(), algorithm);
            prop_assert_eq!(hasher.clone().finish(), expected);
            prop_assert_eq!(hasher.finish(), expected);
        }
    }

    #[test]
    fn text() {
        let digest = Hasher::digest(Algorithm::Crc32c, b"a");
        let whole = Expected::from(digest);
        assert_eq!(whole.to_string(), "crc32c=c1d04330");
        let parts = Expected::composite(digest, NonZeroU64::new(5).unwrap());
        assert_eq!(parts.to_string(), "crc32c=c1d04330 of parts of 5 bytes");
        assert_ne!(whole, parts);
    }
}
