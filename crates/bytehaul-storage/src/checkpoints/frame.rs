//! The form of a checkpoint file: a frame in which zeros, torn writes and other files are recognised.
//!
//! ```text
//! magic 8 · version u32 · key length u32 · content length u32 · CRC32C of lengths, version, key and content u32 · key · content
//! ```
//!
//! All numbers are little-endian. Nothing follows the content.

use bytehaul_integrity::{crc32c, crc32c_append};

/// Why a checkpoint file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it is no checkpoint of an upload")]
    NotCheckpoint,
    #[error("it is a checkpoint of format {0}, only {VERSION} is known")]
    Version(u32),
    #[error("it is damaged")]
    Damaged,
}

/// Key and content.
pub(super) fn decode(bytes: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Malformed::NotCheckpoint)?;
    let (version, rest) = split_u32(rest)?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let (key_len, rest) = split_u32(rest)?;
    let (content_len, rest) = split_u32(rest)?;
    let (crc, rest) = split_u32(rest)?;
    let (key, content) = rest
        .split_at_checked(key_len as usize)
        .ok_or(Malformed::Damaged)?;
    if content.len() as u64 != u64::from(content_len) || crc != frame_crc(key, content) {
        return Err(Malformed::Damaged);
    }
    let key = str::from_utf8(key).map_err(|_| Malformed::Damaged)?;
    Ok((key, content))
}

/// The bytes of a file. `None` when they would be more than [`MAX_FILE`].
pub(super) fn encode(key: &str, content: &[u8]) -> Option<Vec<u8>> {
    let len = HEADER
        .checked_add(key.len())?
        .checked_add(content.len())
        .filter(|&len| len as u64 <= MAX_FILE)?;
    let mut bytes = Vec::with_capacity(len);
    bytes.extend_from_slice(MAGIC);
    let crc = frame_crc(key.as_bytes(), content);
    for number in [VERSION, bounded(key.as_bytes()), bounded(content), crc] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(key.as_bytes());
    bytes.extend_from_slice(content);
    Some(bytes)
}

fn frame_crc(key: &[u8], content: &[u8]) -> u32 {
    let mut crc = crc32c(&VERSION.to_le_bytes());
    for part in [key, content] {
        crc = crc32c_append(crc, &(part.len() as u64).to_le_bytes());
    }
    crc32c_append(crc32c_append(crc, key), content)
}

fn bounded(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a file is at most 16 MiB")
}

fn split_u32(bytes: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let (number, rest) = bytes.split_first_chunk().ok_or(Malformed::Damaged)?;
    Ok((u32::from_le_bytes(*number), rest))
}

/// Larger files are neither written nor read.
pub(super) const MAX_FILE: u64 = 16 << 20;
const MAGIC: &[u8; 8] = b"bhupload";
const VERSION: u32 = 1;
const HEADER: usize = MAGIC.len() + 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_form_stays() {
        let bytes = encode("k", b"content").unwrap();
        assert_eq!(bytes[..20], *b"bhupload\x01\0\0\0\x01\0\0\0\x07\0\0\0");
        assert_eq!(bytes[24..], *b"kcontent");
        assert_eq!(
            u32::from_le_bytes(*bytes[20..].first_chunk().unwrap()),
            0x6e81_708d
        );
        assert_eq!(decode(&bytes), Ok(("k", &b"content"[..])));
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let mut later = encode("k", b"content").unwrap();
        later[8] = 2;
        assert_eq!(decode(&later), Err(Malformed::Version(2)));
        for other in [&b""[..], b"bytehaul", &[0; 64]] {
            assert_eq!(decode(other), Err(Malformed::NotCheckpoint));
        }
    }

    #[test]
    fn what_would_be_too_large_has_no_form() {
        let most = vec![7; MAX_FILE as usize - HEADER - 1];
        let bytes = encode("k", &most).unwrap();
        assert_eq!(bytes.len() as u64, MAX_FILE);
        assert_eq!(decode(&bytes).unwrap().1, most);
        assert_eq!(encode("kk", &most), None);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(key in ".{0,40}", content: Vec<u8>) {
            let bytes = encode(&key, &content).unwrap();
            prop_assert_eq!(decode(&bytes), Ok((&*key, &*content)));
        }

        #[test]
        fn torn_zeroed_and_longer_files_are_noticed(
            key in ".{0,9}", content: Vec<u8>, at: proptest::sample::Index, bit in 0u32..8,
        ) {
            let bytes = encode(&key, &content).unwrap();
            let at = at.index(bytes.len());
            prop_assert!(decode(&bytes[..at]).is_err());
            let mut zeroed = bytes.clone();
            zeroed[at..].fill(0);
            prop_assert!(zeroed == bytes || decode(&zeroed).is_err());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            prop_assert!(decode(&flipped).is_err());
            let mut longer = bytes;
            longer.push(0);
            prop_assert_eq!(decode(&longer), Err(Malformed::Damaged));
        }

        #[test]
        fn no_bytes_are_too_strange(mut bytes: Vec<u8>, framed: bool) {
            if framed {
                bytes.splice(0..0, [&MAGIC[..], &VERSION.to_le_bytes()].concat());
            }
            let _ = decode(&bytes);
        }
    }
}
