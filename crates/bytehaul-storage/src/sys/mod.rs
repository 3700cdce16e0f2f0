//! The calls to the system that `std` has no portable form of.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::path::Path;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod unix_space;
#[cfg(windows)]
mod windows;

pub(crate) use self::imp::{
    FileId, fingerprint, id, is_foreign, is_link_refused, is_lock_table_missing, links, read_at,
    read_cached, rename_new, sync_directory, write_at,
};
pub(crate) use self::space::has_lasting_ids;
pub(crate) use self::space::{allocate, allocated, free_bytes, free_bytes_of_all, is_in_memory};
#[cfg(unix)]
use self::unix as imp;
#[cfg(unix)]
use self::unix_space as space;
#[cfg(windows)]
use self::windows::{self as imp, space};

/// Opens a file for reading and writing, without following a link in its last component or waiting for a pipe.
pub(crate) fn open_existing(path: &Path) -> io::Result<File> {
    imp::without_following(OpenOptions::new().read(true).write(true)).open(path)
}

/// Makes a file that must not be there yet.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    imp::without_following(OpenOptions::new().read(true).write(true).create_new(true)).open(path)
}

/// Opens a file for reading, through links, without waiting for a pipe.
pub(crate) fn open_source(path: &Path) -> io::Result<File> {
    imp::without_waiting(OpenOptions::new().read(true)).open(path)
}

/// Makes a file that must not be there yet, and that no other user may read.
pub(crate) fn create_new_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    imp::private(options.read(true).write(true).create_new(true));
    imp::without_following(&mut options).open(path)
}

/// Opens a file for reading alone, without following a link in its last component or waiting for a pipe.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    imp::without_following(OpenOptions::new().read(true)).open(path)
}

/// Makes a directory that no other user may enter, and those above it.
pub(crate) fn make_private_directory(path: &Path) -> io::Result<()> {
    imp::private_directory().recursive(true).create(path)
}

/// Whether somebody holds the lock of the file, as far as it can be opened and the file system has locks.
pub(crate) fn is_locked(path: &Path) -> bool {
    open_to_read(path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// What has this name itself, if anything.
pub(crate) fn entry(path: &Path) -> io::Result<Option<Metadata>> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file that may be gone already; says whether it was there.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Renames without replacing where the system cannot do it in one step: a second name first, which fails if it is taken.
fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Ok(()) => std::fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // No links either (FAT, some network file systems): look, then rename. Something that takes the name in between is lost.
        Err(_) if entry(to)?.is_none() => std::fs::rename(from, to),
        Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}
