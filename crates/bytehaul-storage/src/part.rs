//! How one download comes to own a part file: opened without following, locked, and still the file of that name.

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};

use crate::claim::Conflict;
use crate::sys::{self, FileId};
use crate::{Error, Layout, lock};

/// The open part file with its lock. The lock goes when this is dropped or released.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) file: File,
    id: FileId,
    path: PathBuf,
    held: AtomicBool,
    unused: AtomicBool,
}

/// Whether the part file was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Made,
    Left,
}

impl Part {
    /// Opens or makes the part file, and locks it.
    pub(crate) fn take(layout: &Layout, conflict: Conflict) -> Result<(Self, Found), Error> {
        // Whoever publishes or discards takes the name away between our opening and locking; then the next try sees it.
        for _ in 0..ATTEMPTS {
            check_target(layout, conflict)?;
            let (file, found) = open(layout)?;
            if let Some(part) = Self::own(layout, conflict, file, found)? {
                return Ok((part, found));
            }
        }
        Err(Error::Locked {
            path: layout.target.clone(),
        })
    }

    /// Locks the opened file. `None` when what was opened is not, or must not be, the part any more.
    fn own(
        layout: &Layout,
        conflict: Conflict,
        file: File,
        found: Found,
    ) -> Result<Option<Self>, Error> {
        let Some(part) = Self::lock(layout, file)? else {
            return Ok(None);
        };
        if !part
            .has_name(&layout.part)
            .map_err(|error| Error::of("look at", &layout.part, error))?
        {
            return Ok(None);
        }
        if part.is_shared(layout)? {
            sys::remove(&layout.part).map_err(|error| Error::of("remove", &layout.part, error))?;
            return Ok(None);
        }
        part.unused.store(found == Found::Made, Ordering::Relaxed);
        // Published by another since our first look, who then let go of the next part's name.
        check_target(layout, conflict)?;
        part.refuse_beside_publisher(layout)?;
        Ok(Some(part))
    }

    /// Fails while the target is a file that another has published and not yet let go of: the control file that he still
    /// has to remove by its name would be ours. No such file can appear later, since the part's name and lock are ours.
    fn refuse_beside_publisher(&self, layout: &Layout) -> Result<(), Error> {
        let id = match sys::entry(&layout.target) {
            Ok(Some(entry)) if entry.is_file() => sys::id(&entry),
            Ok(_) | Err(_) => return Ok(()),
        };
        // Where a file is known by its time of creation, the target may seem to be this very part; then the lock tells.
        let held = id != self.id && lock(&HELD).contains(&id);
        if held || sys::is_locked(&layout.target) {
            return Err(Error::Locked {
                path: layout.target.clone(),
            });
        }
        Ok(())
    }

    /// Whether `path` still names this very file.
    pub(crate) fn has_name(&self, path: &Path) -> io::Result<bool> {
        Ok(sys::entry(path)?.is_some_and(|entry| entry.is_file() && sys::id(&entry) == self.id))
    }

    /// From now on the file stays when this is dropped, even if it was made for this claim.
    pub(crate) fn keep(&self) {
        self.unused.store(false, Ordering::Relaxed);
    }

    /// Gives the lock back before the file is closed. A second call does nothing.
    pub(crate) fn release(&self) {
        if self.held.swap(false, Ordering::AcqRel) {
            // The file first: who finds the entry gone expects to get the lock.
            let _ = self.file.unlock();
            lock(&HELD).remove(&self.id);
        }
    }

    fn lock(layout: &Layout, file: File) -> Result<Option<Self>, Error> {
        let locked = || Error::Locked {
            path: layout.target.clone(),
        };
        let entry = file
            .metadata()
            .map_err(|error| Error::of("look at", &layout.part, error))?;
        if !entry.is_file() {
            return Err(Error::NotAFile {
                path: layout.part.clone(),
            });
        }
        let id = sys::id(&entry);
        // Some file systems lock for the process or not at all; the table holds within the process everywhere.
        if !lock(&HELD).insert(id) {
            return Err(locked());
        }
        let (path, held, unused) = (
            layout.part.clone(),
            AtomicBool::new(true),
            AtomicBool::new(false),
        );
        let part = Self {
            file,
            id,
            path,
            held,
            unused,
        };
        match part.file.try_lock() {
            Ok(()) => Ok(Some(part)),
            Err(TryLockError::WouldBlock) => Err(locked()),
            Err(TryLockError::Error(error)) if cannot_lock(&error) => {
                bytehaul_log::warn!(path = %layout.part.display(), "the file system has no locks; other processes are not kept out");
                Ok(Some(part))
            }
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {
                Ok(None)
            }
            Err(TryLockError::Error(error)) => Err(Error::of("lock", &layout.part, error)),
        }
    }

    /// Whether the file has a second name, through which our writes would reach a file that is not ours. It may be the target
    /// itself, when a crash came between the two steps of publishing on a system without a rename that refuses to replace.
    fn is_shared(&self, layout: &Layout) -> Result<bool, Error> {
        let entry = self
            .file
            .metadata()
            .map_err(|error| Error::of("look at", &layout.part, error))?;
        let shared = sys::links(&entry) > 1;
        if shared {
            bytehaul_log::warn!(path = %layout.part.display(), "the part file has a second name; starting a new one");
        }
        Ok(shared)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if *self.unused.get_mut() && self.has_name(&self.path).is_ok_and(|ours| ours) {
            let _ = sys::remove(&self.path);
        }
        self.release();
    }
}

/// Whether the target may be written at all.
pub(crate) fn check_target(layout: &Layout, conflict: Conflict) -> Result<(), Error> {
    let path = layout.target.clone();
    let entry = match sys::entry(&layout.target) {
        Ok(None) => return Ok(()),
        Ok(Some(entry)) => entry,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(parent_missing(layout));
        }
        Err(error) => return Err(Error::of("look at", &layout.target, error)),
    };
    if entry.is_dir() {
        return Err(Error::TargetIsDirectory { path });
    }
    match conflict {
        Conflict::Refuse => Err(Error::TargetExists { path }),
        // A link would be replaced itself, not what it points to; a device or a pipe should not be.
        Conflict::Overwrite if entry.is_file() || entry.is_symlink() => Ok(()),
        Conflict::Overwrite => Err(Error::NotAFile { path }),
    }
}

fn open(layout: &Layout) -> Result<(File, Found), Error> {
    match sys::create_new(&layout.part) {
        Ok(file) => return Ok((file, Found::Made)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Err(parent_missing(layout));
        }
        Err(error) => return Err(Error::of("create", &layout.part, error)),
    }
    let not_a_file = || Error::NotAFile {
        path: layout.part.clone(),
    };
    match sys::entry(&layout.part) {
        Ok(Some(entry)) if !entry.is_file() => return Err(not_a_file()),
        Ok(Some(_) | None) | Err(_) => {}
    }
    sys::open_existing(&layout.part)
        .map(|file| (file, Found::Left))
        .map_err(|error| match error.kind() {
            // A link or directory that came in between; or the part went, and a third download may be making its own.
            io::ErrorKind::IsADirectory => not_a_file(),
            io::ErrorKind::NotFound => Error::Locked {
                path: layout.target.clone(),
            },
            _ if sys::is_link_refused(&error) => not_a_file(),
            _ => Error::of("open", &layout.part, error),
        })
}

fn parent_missing(layout: &Layout) -> Error {
    Error::ParentMissing {
        path: layout.directory.clone(),
    }
}

/// Whether the file system offers no locks, so that one has to do without.
pub(crate) fn cannot_lock(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || sys::is_lock_table_missing(error)
}

static HELD: LazyLock<Mutex<HashSet<FileId>>> = LazyLock::new(Mutex::default);
const ATTEMPTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(directory: &tempfile::TempDir) -> Layout {
        Layout::beside(&directory.path().join("x")).unwrap()
    }

    #[test]
    fn a_part_that_was_published_before_it_was_locked_is_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        let layout = layout(&directory);
        let (file, found) = open(&layout).unwrap();
        std::fs::rename(&layout.part, &layout.target).unwrap();
        assert!(
            Part::own(&layout, Conflict::Overwrite, file, found)
                .unwrap()
                .is_none()
        );
        // Also when another one has the name by now.
        std::fs::write(&layout.part, "").unwrap();
        let (file, found) = open(&layout).unwrap();
        std::fs::rename(&layout.part, &layout.target).unwrap();
        std::fs::write(&layout.part, "another").unwrap();
        assert!(
            Part::own(&layout, Conflict::Overwrite, file, found)
                .unwrap()
                .is_none()
        );
        assert!(Part::take(&layout, Conflict::Overwrite).is_ok());
    }

    #[test]
    fn a_target_that_appeared_before_the_lock_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let layout = layout(&directory);
        let (file, found) = open(&layout).unwrap();
        std::fs::write(&layout.target, "published by another").unwrap();
        let owned = Part::own(&layout, Conflict::Refuse, file, found);
        assert!(
            matches!(owned, Err(Error::TargetExists { .. })),
            "{owned:?}"
        );
        assert!(!layout.part.exists(), "what was made for nothing goes");
    }

    #[test]
    fn a_target_that_another_process_has_still_to_clean_up_after_is_not_claimed() {
        let directory = tempfile::tempdir().unwrap();
        let layout = layout(&directory);
        std::fs::write(&layout.target, "published").unwrap();
        std::fs::write(&layout.control, "of the next").unwrap();
        // Not in this process's table, as the file of another process.
        let publisher = File::open(&layout.target).unwrap();
        publisher.lock().unwrap();
        let claim = |conflict| crate::claim(&layout.target, conflict, crate::Resume::Continue);
        let claimed = claim(Conflict::Overwrite);
        assert!(matches!(claimed, Err(Error::Locked { .. })), "{claimed:?}");
        assert!(!layout.part.exists(), "what was made for nothing goes");
        let refused = claim(Conflict::Refuse);
        assert!(
            matches!(refused, Err(Error::TargetExists { .. })),
            "{refused:?}"
        );
        assert!(layout.control.exists(), "not swept under a publisher");
        publisher.unlock().unwrap();
        assert!(claim(Conflict::Overwrite).is_ok());
        assert!(claim(Conflict::Refuse).is_err());
        assert!(!layout.control.exists(), "swept when nobody is at it");
    }

    #[test]
    fn one_process_locks_a_part_once() {
        let directory = tempfile::tempdir().unwrap();
        let layout = layout(&directory);
        let (part, _) = Part::take(&layout, Conflict::Refuse).unwrap();
        assert!(matches!(
            Part::take(&layout, Conflict::Refuse),
            Err(Error::Locked { .. })
        ));
        part.keep();
        part.release();
        let (again, found) = Part::take(&layout, Conflict::Refuse).unwrap();
        assert_eq!(found, Found::Left);
        drop(part);
        assert!(
            matches!(
                Part::take(&layout, Conflict::Refuse),
                Err(Error::Locked { .. })
            ),
            "released once only"
        );
        drop(again);
    }
}
