//! The records between two snapshots: how one is framed, and where reading them stops.

use bytehaul_integrity::{crc32c, crc32c_append};

use super::MAX_LEN;
use crate::segments::Segment;

/// One write: it says that these bytes were handed to the system, not that they are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) segment: Segment,
}

impl Record {
    /// The seed ties the record to its snapshot, so that what an older control file left in a reused block is not taken for it.
    pub(crate) fn encode(&self, seed: u32) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        bytes[..8].copy_from_slice(&self.segment.start.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.segment.len.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.segment.crc.to_le_bytes());
        let crc = seal(seed, &bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; RECORD_LEN], seed: u32) -> Option<Self> {
        let (start, rest) = bytes.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let segment = Segment {
            start: u64::from_le_bytes(*start),
            len: u64::from_le_bytes(*len),
            crc: u32::from_le_bytes(*crc),
        };
        let sealed = u32::from_le_bytes(rest.try_into().ok()?);
        (sealed == seal(seed, &bytes[..20])).then_some(Self { segment })
    }
}

/// The records that fit, up to the first that does not.
pub(super) fn read(tail: &[u8], seed: u32, len: Option<u64>) -> Vec<Record> {
    let bound = len.unwrap_or(MAX_LEN);
    let within = |record: &Record| {
        record.segment.len > 0
            && record
                .segment
                .start
                .checked_add(record.segment.len)
                .is_some_and(|end| end <= bound)
    };
    let (records, _torn) = tail.as_chunks::<RECORD_LEN>();
    records
        .iter()
        .map_while(|bytes| Record::decode(bytes, seed).filter(within))
        .collect()
}

fn seal(seed: u32, bytes: &[u8]) -> u32 {
    crc32c_append(crc32c(&seed.to_le_bytes()), bytes)
}

pub(crate) const RECORD_LEN: usize = 24;
