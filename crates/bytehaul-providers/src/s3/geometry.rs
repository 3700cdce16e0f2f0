//! How large parts are: as the caller wants them, but no more of them than S3 takes.

use super::listing::MOST;
use crate::s3::S3Config;
use crate::{Object, ProtocolError, ProtocolErrorKind};

/// The sizes of the parts of one upload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Geometry {
    /// Bytes of a part; of a stream, of the first ones.
    pub(super) size: u64,
    pub(super) len: Option<u64>,
}

impl Geometry {
    /// That of a new upload.
    pub(super) fn new(object: &Object, config: &S3Config) -> Result<Self, ProtocolError> {
        let wanted = object.part_size.unwrap_or(config.part_size);
        let wanted = wanted.max(config.least_part).clamp(1, LARGEST_PART);
        let needed = object.len.map_or(0, |len| len.div_ceil(MOST.into()));
        // Parts of whole mebibytes, where it is not the caller who says how large they are.
        let needed = match needed > wanted {
            true => needed.next_multiple_of(1 << 20),
            false => 0,
        };
        if needed > LARGEST_PART {
            let what = "an object of S3 has at most 10,000 parts of 5 GiB";
            return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
        }
        Ok(Self {
            size: wanted.max(needed),
            len: object.len,
        })
    }

    /// That of an upload which an earlier run has begun; `None`: no such upload can be.
    pub(super) fn of_earlier(size: u64, len: Option<u64>) -> Option<Self> {
        let fits = (1..=LARGEST_PART).contains(&size)
            && len.is_none_or(|len| len.div_ceil(size) <= MOST.into());
        fits.then_some(Self { size, len })
    }

    /// Whether an object of this length goes in one request.
    pub(super) fn is_single(&self, len: u64) -> bool {
        len <= self.size
    }

    /// Bytes of the part that comes after so many others. Those of a stream double each thousand parts, so that ten thousand
    /// of them are enough for whatever comes.
    pub(super) fn size_after(&self, parts: usize) -> u64 {
        match self.len {
            Some(_) => self.size,
            None => {
                let doubled = u32::try_from(parts / 1000).unwrap_or(u32::MAX);
                let factor = 1_u64.checked_shl(doubled).unwrap_or(u64::MAX);
                self.size.saturating_mul(factor).min(LARGEST_PART)
            }
        }
    }
}

/// "Amazon S3 multipart upload limits", Amazon S3 User Guide.
const LARGEST_PART: u64 = 5 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::S3Credentials;

    #[test]
    fn parts_grow_with_the_object() {
        let mib = 1 << 20;
        let check = |len: Option<u64>, wanted: Option<u64>, expected: Option<u64>| {
            let config = S3Config::new(S3Credentials::new("AK", "s3cret"));
            let mut object = Object::new("f", len);
            object.part_size = wanted;
            let size = Geometry::new(&object, &config).ok().map(|made| made.size);
            assert_eq!(size, expected, "{len:?} {wanted:?}");
            if let (Some(len), Some(size)) = (len, size) {
                assert!(len.div_ceil(size) <= 10_000);
            }
        };
        check(Some(0), None, Some(8 * mib));
        check(Some(80_000 * mib), None, Some(8 * mib));
        check(Some(80_000 * mib + 1), None, Some(9 * mib));
        check(Some(1), Some(1), Some(5 * mib));
        check(None, Some(6 * mib + 1), Some(6 * mib + 1));
        check(None, Some(u64::MAX), Some(5120 * mib));
        check(Some(50_000 * 1024 * mib), None, Some(5120 * mib));
        check(Some(50_001 * 1024 * mib), None, None);
        check(Some(u64::MAX), None, None);
    }

    #[test]
    fn streams_of_any_length_have_parts_enough() {
        let stream = Geometry {
            size: 8 << 20,
            len: None,
        };
        let all: u64 = (0..10_000).map(|at| stream.size_after(at)).sum();
        assert!(all > 7 << 40, "{all}");
        assert_eq!(stream.size_after(usize::MAX), LARGEST_PART);
    }
}
