//! Which claims of an earlier run are believed: those that the bytes of the part file bear out.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytehaul_integrity::{crc32c, crc32c_combine};

use crate::control::{self, Contents, Identity};
use crate::disk::Disk;
use crate::ranges::Ranges;
use crate::segments::{Segment, Segments};
use crate::{Error, sys};

/// What an earlier run left, and what of it may be used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Left {
    /// By what the object was recognised.
    pub identity: Identity,
    /// Length of the object in bytes, where it was known.
    pub len: Option<u64>,
    /// Bytes of a piece in that run.
    pub piece_size: u64,
    /// The ranges whose bytes are there and have the right checksums; in order, disjoint, not touching.
    pub durable: Vec<Range<u64>>,
    /// Bytes that were claimed and are not as they were claimed to be, so they are missing.
    pub refuted: u64,
    pub(crate) segments: Segments,
}

#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) left: Option<Left>,
    pub(crate) warning: Option<String>,
}

/// Reads the control file and compares the part with it.
pub(crate) fn load(disk: &Disk, stop: &AtomicBool) -> Result<Loaded, Error> {
    let path = &disk.layout.control;
    let warn = |why: String| {
        bytehaul_log::warn!(path = %path.display(), "{why}");
        Ok(Loaded {
            left: None,
            warning: Some(why),
        })
    };
    let bytes = match read_control(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if disk.part_len()? == 0 {
                Ok(Loaded::default())
            } else {
                warn(NO_CONTROL.into())
            };
        }
        Err(error) => return warn(format!("the control file cannot be read: {error}")),
    };
    let contents = match control::decode(&bytes) {
        Ok(contents) => contents,
        Err(error) => return warn(format!("the control file cannot be used: {error}")),
    };
    let left = verify(disk, contents, stop)?;
    let warning = (left.refuted > 0).then(|| {
        format!(
            "{} bytes of the part file are not what was written",
            left.refuted
        )
    });
    Ok(Loaded {
        left: Some(left),
        warning,
    })
}

fn read_control(path: &Path) -> io::Result<Vec<u8>> {
    let file: File = sys::open_existing(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(control::MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn verify(disk: &Disk, contents: Contents, stop: &AtomicBool) -> Result<Left, Error> {
    let untouched = contents.fingerprint.is_some() && contents.fingerprint == disk.fingerprint()?;
    let mut verified = Verified {
        disk,
        stop,
        buffer: Vec::new(),
        written: Ranges::default(),
        segments: Segments::new(contents.piece_size),
        refuted: 0,
    };
    for segment in &contents.segments {
        if untouched {
            verified.accept(*segment);
        } else {
            verified.check(*segment)?;
        }
    }
    // Never believed unread: these bytes may have been in memory only.
    for record in &contents.records {
        verified.check(record.segment)?;
    }
    Ok(Left {
        identity: contents.identity,
        len: contents.len,
        piece_size: verified.segments.piece_size(),
        durable: verified.written.to_vec(),
        refuted: verified.refuted,
        segments: verified.segments,
    })
}

struct Verified<'a> {
    disk: &'a Disk,
    stop: &'a AtomicBool,
    buffer: Vec<u8>,
    written: Ranges,
    segments: Segments,
    refuted: u64,
}

impl Verified<'_> {
    fn accept(&mut self, segment: Segment) {
        self.written.insert(segment.range());
        self.segments.insert(segment);
    }

    /// Accepts the segment if it overlaps none before it, stays in one piece, and the bytes have its checksum.
    fn check(&mut self, segment: Segment) -> Result<(), Error> {
        let range = segment.range();
        if self.written.gaps(range.clone()) != [range]
            || self.segments.piece_end(segment.start) < segment.end()
        {
            return Ok(());
        }
        if self.crc(segment)? == Some(segment.crc) {
            self.accept(segment);
        } else {
            self.refuted += segment.len;
        }
        Ok(())
    }

    /// The checksum of the bytes that the part holds there, if it is long enough.
    fn crc(&mut self, segment: Segment) -> Result<Option<u32>, Error> {
        self.buffer.resize(CHUNK, 0);
        let (mut at, mut crc) = (segment.start, 0);
        while at < segment.end() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            let wanted = usize::try_from(segment.end() - at)
                .unwrap_or(CHUNK)
                .min(CHUNK);
            let chunk = &mut self.buffer[..wanted];
            if self.disk.read_part(at, chunk)? < wanted {
                return Ok(None);
            }
            crc = crc32c_combine(crc, crc32c(chunk), wanted as u64);
            at += wanted as u64;
        }
        Ok(Some(crc))
    }
}

const CHUNK: usize = 1 << 20;
const NO_CONTROL: &str = "the part file has no control file, so nothing is known about its bytes";
