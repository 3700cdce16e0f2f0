//! The order in which written bytes become durable claims: take the set, sync the part, then write the snapshot.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytehaul_integrity::{crc32c, crc32c_combine};

use super::shared::{Journal, Shared};
use crate::claim::Durability;
use crate::control::{self, Contents};
use crate::disk::Disk;
use crate::segments::Segment;
use crate::witness::Name;
use crate::{Error, lock};

impl Shared {
    /// Makes everything that is written durable.
    ///
    /// The first failure is also this one's, but what had been written before it is saved still.
    pub(super) fn save(&self) -> Result<(), Error> {
        let saved = self.snapshot();
        if let Err(error) = &saved
            && !matches!(error, Error::Closed)
        {
            self.fail(error.clone());
        }
        self.failure().map_or(saved, Err)
    }

    /// Takes the ranges for missing, in memory first and then on disk, by one snapshot that begins after that.
    pub(super) fn invalidate(&self, ranges: &[Range<u64>]) -> Result<(), Error> {
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            self.forget(range)?;
        }
        self.announce();
        if let (Some(follower), Some(start)) =
            (&self.follower, ranges.iter().map(|range| range.start).min())
        {
            follower.restart_if_beyond(start);
        }
        self.save()
    }

    fn forget(&self, range: &Range<u64>) -> Result<(), Error> {
        let mut progress = lock(&self.progress);
        let progress = &mut *progress;
        progress.written.remove(range);
        let hit = progress.segments.take(range);
        // What is left of a run needs a checksum of its own.
        for segment in hit {
            for rest in [segment.start..range.start, range.end..segment.end()] {
                if !rest.is_empty() {
                    let crc = read_crc(&self.disk, &rest)?;
                    let (start, len) = (rest.start, rest.end - rest.start);
                    progress.segments.insert(Segment { start, len, crc });
                }
            }
        }
        Ok(())
    }

    /// One snapshot. Writing goes on beside it; what is written meanwhile is carried over as records.
    pub(super) fn snapshot(&self) -> Result<(), Error> {
        let _one = lock(&self.saving);
        if lock(&self.queue).closed {
            return Err(Error::Closed);
        }
        if self.sync_failed.load(Ordering::Acquire) {
            return Err(self.failure().unwrap_or(Error::Closed));
        }
        self.snapshot_in_turn()
    }

    fn snapshot_in_turn(&self) -> Result<(), Error> {
        let result = self.take_and_sync_and_tell();
        if result.is_err() {
            lock(&self.progress).carried = None;
        }
        self.announce();
        result
    }

    fn take_and_sync_and_tell(&self) -> Result<(), Error> {
        let (mut contents, written, replaces_claims) = {
            let mut progress = lock(&self.progress);
            progress.carried = Some(Vec::new());
            progress.unsaved = 0;
            let contents = Contents {
                identity: progress.identity.clone(),
                len: progress.len,
                piece_size: progress.segments.piece_size(),
                fingerprint: None,
                segments: progress.segments.iter().collect(),
                records: Vec::new(),
            };
            (
                contents,
                progress.written.clone(),
                progress.durable.bytes() > 0,
            )
        };
        if !contents.segments.is_empty() {
            self.sync_part()?;
            // What was not synced has to be read.
            contents.fingerprint = match self.disk.durability {
                Durability::PowerCut => self.disk.fingerprint()?,
                Durability::Kill => None,
            };
        }
        let (bytes, seed) = control::encode(&contents);
        let mut file = self.disk.create_control(&bytes)?;
        // A file that claims nothing, after one that claims nothing, may be lost.
        let matters = !contents.segments.is_empty() || replaces_claims;
        if matters {
            self.disk.sync_new_control(&file)?;
        }
        {
            let mut progress = lock(&self.progress);
            let carried = progress.carried.take().unwrap_or_default();
            let records: Vec<u8> = carried
                .iter()
                .flat_map(|record| record.encode(seed))
                .collect();
            self.disk
                .append_control(&mut file, Name::ControlNew, &records)?;
            self.disk.swap_control()?;
            progress.journal = Some(Journal {
                file,
                seed,
                snapshot_len: bytes.len() as u64,
            });
        }
        if matters {
            self.disk.sync_directory()?;
        }
        lock(&self.progress).durable = written;
        Ok(())
    }

    /// Writes the first control file, before the first bytes; but for an object that one write completes.
    ///
    /// It claims nothing, so what it is good for is its records. An object of one write has none that could be of use.
    pub(super) fn first_control(&self, len_of_write: u64) -> Result<(), Error> {
        {
            let progress = lock(&self.progress);
            if progress.journal.is_some() || progress.len == Some(len_of_write) {
                return Ok(());
            }
        }
        // Somebody else at it writes the file himself, or is closing and waits for this very thread.
        match self.saving.try_lock() {
            Ok(_one) => self.snapshot_in_turn(),
            Err(_) => Ok(()),
        }
    }

    /// Starts the timer for the next snapshot, unless it runs, and one ahead of it when much has been written.
    pub(super) fn save_later(self: &Arc<Self>) {
        let (timed, early) = {
            let mut progress = lock(&self.progress);
            let synced = self.disk.durability == Durability::PowerCut;
            let early = synced && progress.unsaved >= FLUSH_BYTES && !progress.flushing;
            progress.flushing |= early;
            (std::mem::replace(&mut progress.timed, true), early)
        };
        if !timed {
            // Not joined: it holds no claim on the file while it waits, and ends when nothing more is written.
            self.runtime.spawn(save_from_time_to_time(
                Arc::downgrade(self),
                self.save_every,
            ));
        }
        if early {
            let shared = Arc::clone(self);
            // Not joined: publishing and closing wait for their turn behind it.
            self.runtime.spawn_blocking(move || {
                // A failure is noted for everybody.
                let _ = shared.save();
                lock(&shared.progress).flushing = false;
            });
        }
    }

    /// Saves if something was written since the last time; else, or if that fails, the timer ends.
    fn save_in_time(&self) -> bool {
        {
            let mut progress = lock(&self.progress);
            if progress.unsaved == 0 || self.has_failed() {
                progress.timed = false;
                return false;
            }
        }
        let saved = self.save().is_ok();
        if !saved {
            lock(&self.progress).timed = false;
        }
        saved
    }
}

async fn save_from_time_to_time(shared: Weak<Shared>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let runtime = shared.runtime.clone();
        match runtime.spawn_blocking(move || shared.save_in_time()).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return,
        }
    }
}

fn read_crc(disk: &Disk, range: &Range<u64>) -> Result<u32, Error> {
    let mut buffer = vec![0; CHUNK];
    let (mut at, mut crc) = (range.start, 0);
    while at < range.end {
        let wanted = usize::try_from(range.end - at).unwrap_or(CHUNK).min(CHUNK);
        let chunk = &mut buffer[..wanted];
        if disk.read_part(at, chunk)? < wanted {
            return Err(Error::Removed {
                path: disk.layout.part.clone(),
            });
        }
        crc = crc32c_combine(crc, crc32c(chunk), wanted as u64);
        at += wanted as u64;
    }
    Ok(crc)
}

const CHUNK: usize = 256 << 10;
/// A fast transfer is over before the timer comes round; what the disk takes in meanwhile need not be waited for at the end.
const FLUSH_BYTES: u64 = 64 << 20;
