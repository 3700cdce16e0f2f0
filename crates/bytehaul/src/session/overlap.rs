//! Further evidence for a resume on weak validators: a few bytes that are there already, fetched again and compared.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use bytehaul_transport::{Body, SafeUrl};
use bytes::BufMut;

use crate::session::trouble::Trouble;

/// What the comparison gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Overlap {
    Equal,
    Differs,
}

/// The bytes before `gap` that are worth comparing: a short stretch that an earlier run left, or nothing.
pub(crate) fn before(gap: &Range<u64>, durable: &[Range<u64>]) -> Range<u64> {
    let there = durable.iter().find(|range| range.end == gap.start);
    there.map_or(gap.start..gap.start, |range| {
        range.start.max(gap.start.saturating_sub(LENGTH))..gap.start
    })
}

/// Reads as many bytes of the body as `span` has, and compares them with those in the part file.
pub(crate) async fn compare(
    part: &Path,
    span: Range<u64>,
    body: &mut Body,
    url: &SafeUrl,
) -> Result<Overlap, Trouble> {
    let length = usize::try_from(span.end - span.start).expect("an overlap is short");
    let part = part.to_path_buf();
    let there = super::blocking(move || read(&part, span.start, length)).await;
    // What cannot be read back cannot be gone on with.
    let Ok(there) = there else {
        return Ok(Overlap::Differs);
    };
    let mut sent = Vec::with_capacity(length);
    while sent.len() < length {
        let wanted = length - sent.len();
        let count = body
            .read(&mut (&mut sent).limit(wanted))
            .await
            .map_err(|error| Trouble::transport(url, error))?;
        if count == 0 {
            return Err(Trouble::short(url));
        }
    }
    Ok(if sent == there {
        Overlap::Equal
    } else {
        Overlap::Differs
    })
}

/// Reads bytes back.
pub(crate) fn read(part: &Path, start: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(part)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Long enough that another version is unlikely to agree by chance, short enough to cost nothing.
const LENGTH: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(gap: Range<u64>, durable: &[(u64, u64)], expected: Range<u64>) {
        let durable: Vec<_> = durable.iter().map(|&(start, end)| start..end).collect();
        assert_eq!(before(&gap, &durable), expected);
    }

    #[test]
    fn only_bytes_right_before_the_gap_are_compared() {
        let gap = 100_000..200_000;
        check(0..10, &[], 0..0);
        check(5..10, &[(0, 5)], 0..5);
        check(gap.clone(), &[(0, 100_000)], 100_000 - LENGTH..100_000);
        check(gap.clone(), &[(0, 50), (99_000, 100_000)], 99_000..100_000);
        check(gap, &[(0, 50)], 100_000..100_000);
    }
}
