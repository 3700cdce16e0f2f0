//! The form of a control file: a framed snapshot, and the records that are appended to it until the next one.
//!
//! ```text
//! magic 8 · version u32 · body length u32 · CRC32C of the body, version and length u32 · body (postcard) · records of 24 bytes
//! record: offset u64 · length u64 · CRC32C of those bytes u32 · CRC32C of this record, seeded by the snapshot, u32
//! ```
//!
//! All numbers are little-endian. A record that is torn, or that belongs to another snapshot, ends the file.

mod identity;
mod journal;

use std::ops::Range;

use bytehaul_integrity::{crc32c, crc32c_append};
use serde::{Deserialize, Serialize};

pub use self::identity::{Identity, KnownDigest};
#[cfg(test)]
use self::journal::RECORD_LEN;
pub(crate) use self::journal::Record;
use crate::segments::{MAX_PIECE, Segment};

/// What a control file says. None of it is more than a claim until the part file has been compared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contents {
    /// What the object was when it was last seen.
    pub identity: Identity,
    /// Length of the object in bytes, where it is known.
    pub len: Option<u64>,
    /// Bytes of a piece, at least 1.
    pub piece_size: u64,
    /// What the part file looked like after its last sync.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// What was on disk when the snapshot was taken; sorted and disjoint.
    pub(crate) segments: Vec<Segment>,
    /// What was written since, and maybe not synced; in the order of writing.
    pub(crate) records: Vec<Record>,
}

impl Contents {
    /// The ranges that the snapshot claims, in order.
    pub fn claimed(&self) -> Vec<Range<u64>> {
        self.segments.iter().map(Segment::range).collect()
    }

    /// The ranges that were appended after the snapshot, in the order of writing.
    pub fn appended(&self) -> Vec<Range<u64>> {
        self.records
            .iter()
            .map(|record| record.segment.range())
            .collect()
    }
}

/// How an untouched part file is recognised, so that it need not be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    pub(crate) size: u64,
    pub(crate) modified: (i64, u32),
    pub(crate) inode: u64,
}

/// Why a control file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// It does not begin as a control file does, or is too short to.
    #[error("not a control file")]
    NotControl,
    /// It was written by another version of the format.
    #[error("control file of format {0}, only {VERSION} is known")]
    Version(u32),
    /// It was cut short, or its checksum does not fit.
    #[error("damaged control file")]
    Damaged,
    /// Its checksum fits, and a field has a value that makes no sense.
    #[error("control file with a senseless {0}")]
    Senseless(&'static str),
}

/// Reads the bytes of a control file.
///
/// Takes memory in proportion to the input, and never panics, whatever the bytes are.
///
/// # Errors
///
/// [`Malformed`] says what is wrong with the snapshot. Records behind it cannot be wrong: they end where they stop to fit.
pub fn decode(bytes: &[u8]) -> Result<Contents, Malformed> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Malformed::NotControl)?;
    let (version, rest) = split_u32(rest).ok_or(Malformed::NotControl)?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let (len, rest) = split_u32(rest).ok_or(Malformed::Damaged)?;
    let (crc, rest) = split_u32(rest).ok_or(Malformed::Damaged)?;
    if len > MAX_BODY {
        return Err(Malformed::Senseless("length"));
    }
    let (body, tail) = rest
        .split_at_checked(len as usize)
        .ok_or(Malformed::Damaged)?;
    if crc != frame_crc(version, body) {
        return Err(Malformed::Damaged);
    }
    let body: Body = match postcard::take_from_bytes(body) {
        Ok((body, [])) => body,
        Ok(_) | Err(_) => return Err(Malformed::Senseless("body")),
    };
    let mut contents = body.check()?;
    contents.records = journal::read(tail, crc, contents.len);
    Ok(contents)
}

/// Writes a snapshot, and says which seed the records behind it have.
pub(crate) fn encode(contents: &Contents) -> (Vec<u8>, u32) {
    let body =
        postcard::to_stdvec(&Body::of(contents)).expect("plain data in memory has a postcard form");
    let len = u32::try_from(body.len()).expect("segments and identity are bounded");
    let crc = frame_crc(VERSION, &body);
    let mut bytes = Vec::with_capacity(MAGIC.len() + 12 + body.len());
    bytes.extend_from_slice(MAGIC);
    for number in [VERSION, len, crc] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&body);
    (bytes, crc)
}

#[derive(Serialize, Deserialize)]
struct Body {
    identity: Identity,
    len: Option<u64>,
    piece_size: u64,
    fingerprint: Option<Fingerprint>,
    segments: Vec<Stored>,
}

/// A segment, with the distance from the end of the one before instead of its start.
#[derive(Serialize, Deserialize)]
struct Stored {
    gap: u64,
    len: u64,
    crc: u32,
}

impl Body {
    fn of(contents: &Contents) -> Self {
        let mut end = 0;
        // A snapshot may claim less than there is; so the file stays bounded whatever the holes.
        let segments = contents.segments.iter().take(MAX_SEGMENTS).map(|segment| {
            let gap = segment.start - end;
            end = segment.end();
            Stored {
                gap,
                len: segment.len,
                crc: segment.crc,
            }
        });
        Self {
            segments: segments.collect(),
            identity: contents.identity.clone().bounded(),
            len: contents.len,
            piece_size: contents.piece_size,
            fingerprint: contents.fingerprint,
        }
    }

    fn check(self) -> Result<Contents, Malformed> {
        if !(1..=2 * MAX_PIECE).contains(&self.piece_size) {
            return Err(Malformed::Senseless("piece size"));
        }
        if self.len.is_some_and(|len| len > MAX_LEN) {
            return Err(Malformed::Senseless("object length"));
        }
        if !self.identity.is_bounded() {
            return Err(Malformed::Senseless("identity"));
        }
        if self.segments.len() > MAX_SEGMENTS {
            return Err(Malformed::Senseless("number of segments"));
        }
        let bound = self.len.unwrap_or(MAX_LEN);
        let mut end = 0u64;
        let mut segments = Vec::with_capacity(self.segments.len());
        for stored in self.segments {
            let start = end
                .checked_add(stored.gap)
                .ok_or(Malformed::Senseless("segment"))?;
            end = start
                .checked_add(stored.len)
                .filter(|&end| end <= bound)
                .ok_or(Malformed::Senseless("segment"))?;
            if stored.len == 0 || start / self.piece_size != (end - 1) / self.piece_size {
                return Err(Malformed::Senseless("segment"));
            }
            segments.push(Segment {
                start,
                len: stored.len,
                crc: stored.crc,
            });
        }
        Ok(Contents {
            identity: self.identity,
            len: self.len,
            piece_size: self.piece_size,
            fingerprint: self.fingerprint,
            segments,
            records: Vec::new(),
        })
    }
}

fn frame_crc(version: u32, body: &[u8]) -> u32 {
    let crc = crc32c(body);
    let crc = crc32c_append(crc, &version.to_le_bytes());
    crc32c_append(crc, &(body.len() as u64).to_le_bytes())
}

fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

/// Offsets of files are signed numbers.
pub(crate) const MAX_LEN: u64 = i64::MAX as u64;
/// More of a control file is not read: a snapshot, and the records of a very long second.
pub(crate) const MAX_FILE: u64 = 64 << 20;
const MAGIC: &[u8; 8] = b"bytehaul";
const VERSION: u32 = 1;
const MAX_BODY: u32 = 16 << 20;
const MAX_SEGMENTS: usize = 1 << 18;

#[cfg(test)]
mod tests;
