//! What follows when a file that several sources delivered does not match its checksum: who was it?

use std::path::Path;

use bytehaul_integrity::{Expected, crc32c};
use bytehaul_schedule::{ByteRange, RangeSet};
use bytehaul_storage::{FinishError, Writer};

use crate::error::DownloadError;
use crate::session::carry::Carrier;
use crate::session::overlap;

/// What a source had delivered, in short.
#[derive(Debug)]
pub(crate) struct Suspect {
    member: usize,
    marks: Vec<(ByteRange, u32)>,
}

/// Everybody but the first source, when the file does not match and they have delivered some of it. `None` when there
/// is nothing to be suspicious about, or nobody to suspect.
pub(crate) async fn suspicion(
    carrier: &Carrier,
    writer: &Writer,
    expected: Option<Expected>,
    len: u64,
) -> Result<Option<Vec<Suspect>>, DownloadError> {
    let lead = carrier.lead();
    let Some(expected) = expected.filter(|_| !carrier.roster.foreign(lead).is_empty()) else {
        return Ok(None);
    };
    let url = || carrier.job.safe_url.clone();
    let actual = match writer.digest(expected.hashing(), len).await {
        Ok(actual) => actual,
        Err(FinishError::Storage(error)) => return Err(error.into()),
        Err(error) => {
            let (url, what) = (url(), error.to_string());
            return Err(DownloadError::Internal { url, what });
        }
    };
    if actual == expected.digest {
        return Ok(None);
    }
    let mut suspects = Vec::new();
    for member in (0..carrier.roster.len()).filter(|&member| member != lead) {
        let marks = marks(writer, carrier.roster.share(member)).await?;
        suspects.push(Suspect { member, marks });
    }
    Ok(Some(suspects))
}

/// Now that the first source has fetched the same bytes: names those who had others.
pub(crate) async fn name(
    carrier: &Carrier,
    writer: &Writer,
    suspects: Vec<Suspect>,
) -> Result<(), DownloadError> {
    writer.settled().await?;
    for Suspect {
        member,
        marks: before,
    } in suspects
    {
        let ranges = before.iter().map(|(range, _)| *range);
        let now = marks_of(writer, ranges.collect()).await?;
        if let Some(((range, _), _)) = before.iter().zip(&now).find(|(then, now)| then != now) {
            let reason = format!("its bytes {range} are others");
            let url = carrier.roster.source(member).safe_url().clone();
            bytehaul_log::warn!(%url, reason, "a source does not have the same file; nothing of it is used");
            carrier.roster.quarantine(member, reason);
        }
    }
    Ok(())
}

async fn marks(writer: &Writer, share: RangeSet) -> Result<Vec<(ByteRange, u32)>, DownloadError> {
    let mut ranges = Vec::new();
    for range in share.iter() {
        let mut rest = Some(range);
        while let Some(now) = rest {
            let (first, later) = now.split_at(now.start().saturating_add(CHUNK));
            ranges.extend(first);
            rest = later;
        }
    }
    marks_of(writer, ranges).await
}

async fn marks_of(
    writer: &Writer,
    ranges: Vec<ByteRange>,
) -> Result<Vec<(ByteRange, u32)>, DownloadError> {
    let part = writer.layout().part.clone();
    let read = move || read(&part, &ranges);
    super::blocking(read).await.map_err(|source| {
        let path = writer.layout().part.clone();
        bytehaul_storage::Error::Io {
            action: "read",
            path,
            offset: None,
            source: source.into(),
        }
        .into()
    })
}

fn read(part: &Path, ranges: &[ByteRange]) -> std::io::Result<Vec<(ByteRange, u32)>> {
    let mark = |range: &ByteRange| {
        let length = usize::try_from(range.len()).unwrap_or(usize::MAX);
        let bytes = overlap::read(part, range.start(), length)?;
        Ok((*range, crc32c(&bytes)))
    };
    ranges.iter().map(mark).collect()
}

/// Bytes that one mark stands for.
const CHUNK: u64 = 1024 * 1024;
