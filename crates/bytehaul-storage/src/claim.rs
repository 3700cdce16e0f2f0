//! What a download asks for before it may write to a target, and how writing starts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytehaul_integrity::Hashing;

use crate::control::Identity;
use crate::disk::Disk;
use crate::load::{self, Left, Loaded};
use crate::part::{Found, Part};
use crate::segments::{Segments, piece_size_for};
use crate::witness::Witness;
use crate::writer::{Seed, Writer};
use crate::{Error, Layout, sys};

/// What to do about a file that has the target's name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Conflict {
    /// Fail with [`Error::TargetExists`], now or when the finished file is published. The default.
    #[default]
    Refuse,
    /// Replace it, in one step, when the new file is complete and verified.
    Overwrite,
}

/// What to do about the part file of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Resume {
    /// Read what it left, and offer it. The default.
    #[default]
    Continue,
    /// Take it as nothing.
    Ignore,
}

/// Whether the disk is reserved before the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Allocation {
    /// The file grows as it is written.
    None,
    /// Reserve it where the file system can; else make the file that long and check the free space. A full disk is found
    /// before the first byte; but for objects of up to 1 MiB, which are one write anyway. The default.
    #[default]
    Prealloc,
}

/// Which of the bytes of an earlier run stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Keep {
    /// Those of [`Claim::left`].
    Left,
    /// None: the part file is emptied. The default.
    #[default]
    Nothing,
}

/// Which crash the bytes survive, once they are saved or published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Durability {
    /// A power cut: the part file, its claims, the target and its name are synced, in that order. The default.
    #[default]
    PowerCut,
    /// A kill of the program only: nothing is synced, so the end need not wait for the disk.
    ///
    /// A power cut within about half a minute after publishing may leave the target empty or torn. A resumed part is still
    /// right: the next run reads and compares everything that is claimed.
    Kill,
}

/// How writing starts. Change what differs from [`StartOptions::default`].
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// By what a later run recognises the object. Default: nothing is known.
    pub identity: Identity,
    /// Length of the object in bytes. Default: unknown.
    pub len: Option<u64>,
    /// Bytes for which one checksum is kept. Default 1 MiB.
    ///
    /// At least 4 KiB, and doubled for very long objects until there are fewer than 8,192; what is kept from an earlier
    /// run has the piece size of that run. [`Writer::piece_size`] says what came of it.
    pub piece_size: u64,
    /// Whether to reserve the disk. Only where `len` is known. Default [`Allocation::Prealloc`].
    pub allocation: Allocation,
    /// What stays of an earlier run. Default [`Keep::Nothing`].
    pub keep: Keep,
    /// A digest to compute beside the transfer. Default: none.
    pub digest: Option<Hashing>,
    /// Which crash the bytes survive. Default [`Durability::PowerCut`].
    pub durability: Durability,
    /// How often what was written is made durable while data arrives. Default 1 s, at least 10 ms.
    pub save_every: Duration,
}

impl Default for StartOptions {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            len: None,
            piece_size: 1 << 20,
            allocation: Allocation::default(),
            keep: Keep::default(),
            digest: None,
            durability: Durability::default(),
            save_every: Duration::from_secs(1),
        }
    }
}

/// The sole right to write to a target, and what an earlier run left for it.
///
/// Dropping it without starting leaves everything as it was.
#[derive(Debug)]
pub struct Claim {
    disk: Disk,
    conflict: Conflict,
    loaded: Loaded,
}

/// Claims `target`: locks its part file, and reads what an earlier run left. Blocks; not for an async task.
///
/// What the control file claims is read back from the part file and compared with its checksums, unless the part file is
/// just as the last clean save left it. That takes about a second for each 2 GiB.
///
/// # Errors
///
/// [`Error::TargetExists`], [`Error::TargetIsDirectory`], [`Error::NotAFile`], [`Error::BadName`], [`Error::Locked`],
/// [`Error::ParentMissing`], [`Error::Permission`], or [`Error::Io`].
pub fn claim(target: &Path, conflict: Conflict, resume: Resume) -> Result<Claim, Error> {
    claim_unless(target, conflict, resume, &AtomicBool::new(false))
}

/// [`claim`], which gives up soon after `stop` is set.
///
/// # Errors
///
/// Those of [`claim`], and [`Error::Stopped`].
pub fn claim_unless(
    target: &Path,
    conflict: Conflict,
    resume: Resume,
    stop: &AtomicBool,
) -> Result<Claim, Error> {
    claim_watched(target, conflict, resume, stop, None)
}

pub(crate) fn claim_watched(
    target: &Path,
    conflict: Conflict,
    resume: Resume,
    stop: &AtomicBool,
    witness: Option<Arc<dyn Witness>>,
) -> Result<Claim, Error> {
    let layout = Layout::beside(target)?;
    let (part, found) = match Part::take(&layout, conflict) {
        Err(error @ Error::TargetExists { .. }) => {
            sweep(&layout);
            return Err(error);
        }
        other => other?,
    };
    let disk = Disk::new(layout, part, witness);
    let loaded = match (resume, found) {
        (Resume::Continue, Found::Left) => load::load(&disk, stop)?,
        (Resume::Continue, Found::Made) | (Resume::Ignore, _) => Loaded::default(),
    };
    Ok(Claim {
        disk,
        conflict,
        loaded,
    })
}

impl Claim {
    /// What an earlier run left and what was found to be as it said. `None` if there is nothing that can be used.
    pub fn left(&self) -> Option<&Left> {
        self.loaded.left.as_ref()
    }

    /// Why something of an earlier run cannot be used, for a person to read.
    pub fn warning(&self) -> Option<&str> {
        self.loaded.warning.as_deref()
    }

    /// The names of the files.
    pub fn layout(&self) -> &Layout {
        &self.disk.layout
    }

    /// Starts writing: reserves the disk, and tells it what is kept. Blocks, and belongs inside a tokio runtime
    /// (in `spawn_blocking`), on whose blocking threads the writer will work.
    ///
    /// With [`Keep::Nothing`] this is the moment when the bytes of an earlier run go.
    ///
    /// # Errors
    ///
    /// [`Error::DiskFull`] when the object does not fit; [`Error::BeyondEnd`] when what is kept is longer than `len`;
    /// otherwise what the file system says. What an earlier run left stays when it was to be kept.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime that has its timer enabled.
    pub fn start(mut self, options: StartOptions) -> Result<Writer, Error> {
        let runtime = tokio::runtime::Handle::current();
        self.disk.durability = options.durability;
        let left = self
            .loaded
            .left
            .take()
            .filter(|_| options.keep == Keep::Left);
        let len = options.len.or(left.as_ref().and_then(|left| left.len));
        let segments = match left {
            Some(left) => self.go_on(left, len)?,
            None => self.start_over(piece_size_for(options.piece_size, len))?,
        };
        match (options.allocation, len) {
            (Allocation::Prealloc, Some(len)) if len > SMALL => self.disk.reserve(len)?,
            (Allocation::Prealloc | Allocation::None, _) => {}
        }
        Writer::start(Seed {
            disk: self.disk,
            conflict: self.conflict,
            len,
            segments,
            runtime,
            options,
        })
    }

    fn go_on(&self, left: Left, len: Option<u64>) -> Result<Segments, Error> {
        let (segments, end) = (
            left.segments,
            left.durable.last().map_or(0, |range| range.end),
        );
        if let Some(len) = len.filter(|&len| len < end) {
            return Err(Error::BeyondEnd {
                path: self.disk.layout.part.clone(),
                offset: len,
                len,
            });
        }
        Ok(segments)
    }

    fn start_over(&self, piece_size: u64) -> Result<Segments, Error> {
        // The old claims go for good before the bytes that they speak of.
        if self.disk.remove_control()? {
            self.disk.sync_directory_always()?;
        }
        if self.disk.part_len()? > 0 {
            self.disk.set_part_len(0)?;
        }
        Ok(Segments::new(piece_size))
    }
}

/// After a crash between publishing and removing the control file the latter is left alone beside the finished target.
fn sweep(layout: &Layout) {
    let alone = matches!(
        (sys::entry(&layout.part), sys::entry(&layout.control)),
        (Ok(None), Ok(Some(_)))
    );
    if alone && let Ok((part, Found::Made)) = Part::take(layout, Conflict::Overwrite) {
        // Best effort: the caller is told about the target in any case.
        let _ = Disk::new(layout.clone(), part, None).remove_control();
    }
}

const SMALL: u64 = 1 << 20;
