//! How large parts are: as the caller wants them, but no more of them than OSS takes.

use super::listing::MOST;
use crate::oss::OssConfig;
use crate::{Object, ProtocolError, ProtocolErrorKind};

/// The sizes of the parts of one upload ([Limits](https://help.aliyun.com/zh/oss/user-guide/multipart-upload)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Geometry {
    /// Bytes of a part; of a stream, of the first ones.
    pub(super) size: u64,
    pub(super) len: Option<u64>,
}

impl Geometry {
    /// That of a new upload.
    pub(super) fn new(object: &Object, config: &OssConfig) -> Result<Self, ProtocolError> {
        let wanted = object.part_size.or(config.part_size).unwrap_or(PART_SIZE);
        let wanted = wanted.max(config.least_part).clamp(1, LARGEST_PART);
        let needed = object.len.map_or(0, |len| len.div_ceil(MOST.into()));
        // Parts of whole mebibytes, where it is not the caller who says how large they are.
        let needed = match needed > wanted {
            true => needed.next_multiple_of(1 << 20),
            false => 0,
        };
        if needed > LARGEST_PART {
            let what = "an object of OSS has at most 10,000 parts of 5 GiB";
            return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
        }
        Ok(Self {
            size: wanted.max(needed),
            len: object.len,
        })
    }

    /// The same object in parts of the size that an earlier run has begun with; `None`: no such upload can be.
    pub(super) fn of_earlier(self, size: u64) -> Option<Self> {
        let len = self.len.unwrap_or(0);
        let fits = (1..=LARGEST_PART).contains(&size) && len.div_ceil(size) <= MOST.into();
        fits.then_some(Self { size, ..self })
    }

    /// Bytes of the part that comes after so many others. Those of a stream double each thousand parts, so that ten thousand
    /// of them are enough for whatever comes.
    pub(super) fn size_after(self, parts: usize) -> u64 {
        match self.len {
            Some(_) => self.size,
            None => {
                let doublings = u32::try_from(parts / STEADY).unwrap_or(u32::MAX).min(32);
                self.size.saturating_mul(1 << doublings).min(LARGEST_PART)
            }
        }
    }
}

/// Bytes of a part where nobody says.
const PART_SIZE: u64 = 8 << 20;
const LARGEST_PART: u64 = 5 << 30;
/// Parts of a stream that are of one size.
const STEADY: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oss::OssCredentials;

    fn size(len: Option<u64>, wanted: Option<u64>) -> Option<u64> {
        let mut object = Object::new("f", len);
        object.part_size = wanted;
        let config = OssConfig::new(OssCredentials::new("ak", "sk"));
        Geometry::new(&object, &config).ok().map(|made| made.size)
    }

    #[test]
    fn parts_grow_with_the_object() {
        let check = |len, wanted, expected| assert_eq!(size(len, wanted), expected, "{len:?}");
        check(Some(0), None, Some(8 << 20));
        check(Some(1), Some(1), Some(100 << 10));
        check(Some(10_000 * (100 << 10)), Some(1), Some(100 << 10));
        check(Some(10_000 * (100 << 10) + 1), Some(1), Some(1 << 20));
        check(Some(1 << 40), None, Some(105 << 20));
        check(Some(10_000 * LARGEST_PART), None, Some(LARGEST_PART));
        check(Some(10_000 * LARGEST_PART + 1), None, None);
        check(Some(u64::MAX), None, None);
        check(None, Some(u64::MAX), Some(LARGEST_PART));
    }

    #[test]
    fn parts_of_a_stream_suffice() {
        let stream = Geometry {
            size: 8 << 20,
            len: None,
        };
        assert_eq!(stream.size_after(999), 8 << 20);
        assert_eq!(stream.size_after(1000), 16 << 20);
        assert_eq!(stream.size_after(usize::MAX), LARGEST_PART);
        let all: u64 = (0..10_000).map(|parts| stream.size_after(parts)).sum();
        assert!(all > 7 << 40);
    }

    #[test]
    fn what_an_earlier_run_has_begun_with() {
        let now = |len| Geometry {
            size: 8 << 20,
            len: Some(len),
        };
        assert_eq!(
            now(1 << 30).of_earlier(1 << 20).map(|it| it.size),
            Some(1 << 20)
        );
        assert_eq!(now(1 << 30).of_earlier(0), None);
        assert_eq!(now(1 << 40).of_earlier(1 << 20), None);
        assert_eq!(now(1).of_earlier(u64::MAX), None);
    }
}
