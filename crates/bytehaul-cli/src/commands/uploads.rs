//! `uploads`: what of the records of uploads is the same for showing and for discarding them.

pub(crate) mod abort;
pub(crate) mod list;
pub(crate) mod provider;

use std::ffi::OsStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul::UploadRecord;

/// The part of a record's name that tells it from others, of which the beginning will do.
fn id(record: &UploadRecord) -> &str {
    id_of(&record.name)
}

fn id_of(name: &OsStr) -> &str {
    // A name that was not made by bytehaul may hold anything.
    let name = name.to_str().unwrap_or("?");
    let last = name.rsplit_once('~').map_or(name, |(_, last)| last);
    last.split_once('.').map_or(last, |(id, _)| id)
}

/// Characters of the ids that are enough to tell all of them apart, and not so few that a later one is likely to be the same.
fn enough(records: &[UploadRecord]) -> usize {
    let mut ids: Vec<&str> = records.iter().map(id).collect();
    ids.sort_unstable();
    let pairs = ids.windows(2).filter(|pair| pair[0] != pair[1]);
    let shared = pairs.map(|pair| {
        let same = pair[0].chars().zip(pair[1].chars());
        same.take_while(|(one, other)| one == other).count() + 1
    });
    shared.max().unwrap_or(0).max(SHORT)
}

/// The beginning of an id.
fn short(id: &str, characters: usize) -> &str {
    let end = id.char_indices().nth(characters);
    end.map_or(id, |(end, _)| &id[..end])
}

/// Time since something happened to the upload.
fn age(record: &UploadRecord, now: SystemTime) -> Option<Duration> {
    let written = record
        .checkpoint()
        .map(|checkpoint| UNIX_EPOCH + Duration::from_secs(checkpoint.updated_at.min(LATEST)));
    let at = written.or(record.modified)?;
    Some(now.duration_since(at).unwrap_or_default())
}

const SHORT: usize = 8;

/// Seconds since 1970 that a time can still be made of: the end of the year 9999.
const LATEST: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_names() {
        let check = |name: &str, id: &str| assert_eq!(id_of(OsStr::new(name)), id);
        check("tus-http-h-f~0123abcd.bytehaul-upload", "0123abcd");
        check("~00.bytehaul-upload", "00");
        check("foreign.bytehaul-upload", "foreign");
        check("a~b~c", "c");
        assert_eq!(short("äbc", 2), "äb");
        assert_eq!(short("a", 8), "a");
    }
}
