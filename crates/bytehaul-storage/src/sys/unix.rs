//! The calls of Unix: files by device and inode, positioned vectors, renaming without replacing.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};

use rustix::fs::OFlags;

use super::{File, IoSlice, Metadata, OpenOptions, Path, io};
use crate::control::Fingerprint;

/// What a name stands for: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId(u64, u64);

pub(crate) fn id(metadata: &Metadata) -> FileId {
    FileId(metadata.dev(), metadata.ino())
}

pub(crate) fn links(metadata: &Metadata) -> u64 {
    metadata.nlink()
}

pub(crate) fn fingerprint(metadata: &Metadata) -> Option<Fingerprint> {
    let nanoseconds = u32::try_from(metadata.mtime_nsec()).ok()?;
    Some(Fingerprint {
        size: metadata.len(),
        modified: (metadata.mtime(), nanoseconds),
        inode: metadata.ino(),
    })
}

/// One read that does not wait: an error where it would have to.
#[cfg(target_os = "linux")]
pub(crate) fn read_cached(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut into = [io::IoSliceMut::new(into)];
    let read = rustix::io::preadv2(file, &mut into, offset, rustix::io::ReadWriteFlags::NOWAIT);
    Ok(read?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn read_cached(_: &File, _: u64, _: &mut [u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn without_following(options: &mut OpenOptions) -> &mut OpenOptions {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(flags.bits().cast_signed())
}

pub(super) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(flags.bits().cast_signed())
}

/// For the owner alone, whatever the process's mask is.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

pub(super) fn private_directory() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Whether the file is of another user, the superuser aside, who may have written anything into it.
pub(crate) fn is_foreign(metadata: &Metadata) -> bool {
    metadata.uid() != rustix::process::geteuid().as_raw() && metadata.uid() != 0
}

/// Whether opening failed because the name is a symbolic link.
pub(crate) fn is_link_refused(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Whether locking failed because the file system offers no locks (a network file system without its lock service).
pub(crate) fn is_lock_table_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOLCK.raw_os_error())
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_at(file: &File, mut offset: u64, mut into: &mut [u8]) -> io::Result<usize> {
    let wanted = into.len();
    while !into.is_empty() {
        match file.read_at(into, offset) {
            Ok(0) => break,
            Ok(read) => {
                into = &mut into[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(wanted - into.len())
}

#[cfg(target_os = "linux")]
pub(crate) fn write_at(
    file: &File,
    mut offset: u64,
    mut slices: &mut [IoSlice<'_>],
) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while slices.len() > 1 {
        match rustix::io::pwritev(file, &slices[..slices.len().min(MAX_SLICES)], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                IoSlice::advance_slices(&mut slices, written);
                offset += written as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    slices
        .first()
        .map_or(Ok(()), |last| file.write_all_at(last, offset))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn write_at(file: &File, mut offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    for slice in slices {
        file.write_all_at(slice, offset)?;
        offset += slice.len() as u64;
    }
    Ok(())
}

/// Renames, and fails with `AlreadyExists` when the new name is taken.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            // The kernel or the file system does not know the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    super::link_new(from, to)
}

pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match File::open(path) {
        Ok(directory) => directory,
        // A directory may be writable and not readable; then nothing can be done, and the rename itself is still atomic.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(error),
    };
    match directory.sync_all() {
        // Not every file system can sync a directory; those that cannot say so with EINVAL or ENOTSUP.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

#[cfg(target_os = "linux")]
const MAX_SLICES: usize = 1024;
