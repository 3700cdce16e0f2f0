//! What of an object a blob carries, and into which blocks it goes.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::azure::AzureConfig;
use crate::blocks::{MOST_BLOCKS, MOST_IN_A_BLOCK};
use crate::{Algorithm, Object, ProtocolError, ProtocolErrorKind};

/// An object, checked and in the service's terms.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    /// `None`: not known before the source ends.
    pub(super) len: Option<u64>,
    pub(super) part_size: u64,
    pub(super) parallel: usize,
    /// Fields of the request that makes the blob.
    pub(super) fields: HeaderMap,
}

impl Blob {
    pub(super) fn new(object: &Object, config: &AzureConfig) -> Result<Self, ProtocolError> {
        let wanted = object.part_size.or(config.part_size).unwrap_or(PART_SIZE);
        Ok(Self {
            len: object.len,
            part_size: part_size(object.len, wanted.max(1))?,
            parallel: object.parallel.max(1),
            fields: fields(object)?,
        })
    }

    /// Bytes of the block of this index: of a source without end, blocks grow, so that they suffice.
    pub(super) fn size_of(&self, index: usize) -> u64 {
        match self.len {
            Some(_) => self.part_size,
            None => {
                let doublings = u32::try_from(index / STEADY).unwrap_or(u32::MAX).min(40);
                let size = self.part_size.saturating_mul(1 << doublings);
                size.min(MOST_IN_A_BLOCK.max(self.part_size))
            }
        }
    }
}

/// The wanted size, or as much as it takes to do with as many blocks as there may be.
fn part_size(len: Option<u64>, wanted: u64) -> Result<u64, ProtocolError> {
    let least = len.unwrap_or(0).div_ceil(MOST_BLOCKS);
    let size = match least > wanted {
        true => least.next_multiple_of(1 << 20),
        false => wanted,
    };
    if size > MOST_IN_A_BLOCK {
        let what = format!(
            "blocks of {size} bytes would be needed, and the service takes {MOST_IN_A_BLOCK}"
        );
        return Err(ProtocolError::new(ProtocolErrorKind::Parameter, what));
    }
    Ok(size)
}

fn fields(object: &Object) -> Result<HeaderMap, ProtocolError> {
    let mut fields = HeaderMap::new();
    let mut add = |name: &str, value: &str| {
        let shown: String = name.chars().take(80).collect();
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| ProtocolError::parameter(&shown, "it is no name that a blob's can be"))?;
        let is_plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let value = HeaderValue::from_str(value.trim())
            .ok()
            .filter(|_| is_plain);
        let value = value
            .ok_or_else(|| ProtocolError::parameter(&shown, "a blob takes plain ASCII alone"))?;
        match fields.insert(name, value) {
            Some(_) => Err(ProtocolError::parameter(&shown, "it is there twice")),
            None => Ok(()),
        }
    };
    if let Some(media) = &object.content_type {
        add("x-ms-blob-content-type", media)?;
    }
    if let Some(md5) = object
        .digest
        .filter(|one| one.algorithm() == Algorithm::Md5)
    {
        add("x-ms-blob-content-md5", &md5.base64())?;
    }
    for (name, value) in &object.metadata {
        // The names of C# variables, says the service.
        let mut letters = name.chars();
        let is_name = letters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            let shown: String = name.chars().take(80).collect();
            let reason = format!("{shown:?} is not made of letters, digits and underscores");
            return Err(ProtocolError::parameter("metadata name", reason));
        }
        add(&format!("x-ms-meta-{name}"), value)?;
    }
    Ok(fields)
}

/// Bytes of one part where nobody says.
const PART_SIZE: u64 = 8 << 20;

/// Blocks of a source without end that are of one size.
const STEADY: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_the_object() {
        let check = |len, wanted, expected| {
            assert_eq!(part_size(len, wanted).ok(), expected, "{len:?} by {wanted}");
        };
        check(Some(0), 5, Some(5));
        check(Some(250_000), 5, Some(5));
        check(Some(250_001), 5, Some(1 << 20));
        check(Some(1 << 40), PART_SIZE, Some(21 << 20));
        check(
            Some(50_000 * MOST_IN_A_BLOCK),
            PART_SIZE,
            Some(MOST_IN_A_BLOCK),
        );
        check(Some(50_000 * MOST_IN_A_BLOCK + 1), PART_SIZE, None);
        check(None, PART_SIZE, Some(PART_SIZE));
        check(Some(u64::MAX), 1, None);
    }

    #[test]
    fn blocks_of_a_stream_suffice() {
        let stream = Blob::new(&Object::new("s", None), &AzureConfig::default()).unwrap();
        assert_eq!(stream.size_of(0), PART_SIZE);
        assert_eq!(stream.size_of(9_999), PART_SIZE);
        assert_eq!(stream.size_of(10_000), 2 * PART_SIZE);
        assert_eq!(stream.size_of(usize::MAX), MOST_IN_A_BLOCK);
        let all: u64 = (0..50_000).map(|index| stream.size_of(index)).sum();
        assert!(all > 2 << 40);
    }

    #[test]
    fn what_a_blob_can_carry() {
        let check = |pairs: &[(&str, &str)], expected: Option<&[&str]>| {
            let mut object = Object::new("f", Some(1));
            object.metadata = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            object.content_type = Some("text/plain".to_owned());
            let made = Blob::new(&object, &AzureConfig::default()).ok();
            let names = made.as_ref().map(|blob| {
                let names = blob.fields.keys().map(HeaderName::as_str);
                names.collect::<Vec<_>>()
            });
            assert_eq!(names.as_deref(), expected, "{pairs:?}");
        };
        check(&[], Some(&["x-ms-blob-content-type"]));
        check(
            &[("a_1", " v=, ")],
            Some(&["x-ms-blob-content-type", "x-ms-meta-a_1"]),
        );
        for bad in [
            ("a-b", "v"),
            ("1a", "v"),
            ("", "v"),
            ("ü", "v"),
            ("a", "ü"),
            ("a", "x\ny"),
        ] {
            check(&[bad], None);
        }
        check(&[("a", "v"), ("A", "w")], None);
    }
}
