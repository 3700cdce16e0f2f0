//! The calls to the system that `std` has no portable form of.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IoSlice};
use std::path::Path;

pub(crate) use self::imp::{
    FileId, fingerprint, id, is_link_refused, is_lock_table_missing, links, read_at, rename_new,
    sync_directory, write_at,
};
pub(crate) use self::space::{allocate, allocated, free_bytes, free_bytes_of_all, is_in_memory};

/// Opens a file for reading and writing, without following a link in its last component or waiting for a pipe.
pub(crate) fn open_existing(path: &Path) -> io::Result<File> {
    imp::without_following(OpenOptions::new().read(true).write(true)).open(path)
}

/// Makes a file that must not be there yet.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    imp::without_following(OpenOptions::new().read(true).write(true).create_new(true)).open(path)
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

#[cfg(unix)]
mod imp {
    use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

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

    pub(super) fn without_following(options: &mut OpenOptions) -> &mut OpenOptions {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        options.custom_flags(flags.bits().cast_signed())
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
    pub(crate) fn write_at(
        file: &File,
        mut offset: u64,
        slices: &mut [IoSlice<'_>],
    ) -> io::Result<()> {
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
}

#[cfg(windows)]
mod imp {
    use std::os::windows::fs::{FileExt, MetadataExt, OpenOptionsExt};

    use super::{File, IoSlice, Metadata, OpenOptions, Path, io};
    use crate::control::Fingerprint;

    /// What a name stands for, as far as stable calls tell: when the file was made. (Its index needs an unstable one.)
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub(crate) struct FileId(u64);

    pub(crate) fn id(metadata: &Metadata) -> FileId {
        FileId(metadata.creation_time())
    }

    pub(crate) fn links(_metadata: &Metadata) -> u64 {
        1
    }

    pub(crate) fn fingerprint(metadata: &Metadata) -> Option<Fingerprint> {
        let modified = (metadata.last_write_time().cast_signed(), 0);
        Some(Fingerprint {
            size: metadata.len(),
            modified,
            inode: metadata.creation_time(),
        })
    }

    pub(super) fn without_following(options: &mut OpenOptions) -> &mut OpenOptions {
        options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
    }

    /// Whether opening failed because the name is a link: here the link itself is opened, and is no regular file.
    pub(crate) fn is_link_refused(_error: &io::Error) -> bool {
        false
    }

    /// Whether locking failed because the file system offers no locks.
    pub(crate) fn is_lock_table_missing(_error: &io::Error) -> bool {
        false
    }

    /// Reads until the buffer is full or the file ends.
    pub(crate) fn read_at(file: &File, mut offset: u64, mut into: &mut [u8]) -> io::Result<usize> {
        let wanted = into.len();
        while !into.is_empty() {
            match file.seek_read(into, offset) {
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

    pub(crate) fn write_at(
        file: &File,
        mut offset: u64,
        slices: &mut [IoSlice<'_>],
    ) -> io::Result<()> {
        for slice in slices {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                match file.seek_write(rest, offset) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        rest = &rest[written..];
                        offset += written as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Renames, and fails with `AlreadyExists` when the new name is taken.
    pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
        super::link_new(from, to)
    }

    /// The file system keeps its own log of names, and has no call for this.
    #[expect(clippy::unnecessary_wraps, reason = "the other systems can fail here")]
    pub(crate) fn sync_directory(_path: &Path) -> io::Result<()> {
        Ok(())
    }

    const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
}

#[cfg(unix)]
mod space {
    use std::os::unix::fs::MetadataExt;

    use super::{File, Metadata, io};

    /// Bytes that ordinary users may still fill. `None` where the file system does not say.
    pub(crate) fn free_bytes(file: &File) -> io::Result<Option<u64>> {
        let stat = rustix::fs::fstatvfs(file)?;
        Ok((stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    /// Bytes that are free, with those that are kept for the superuser. `None` where the file system does not say.
    pub(crate) fn free_bytes_of_all(file: &File) -> io::Result<Option<u64>> {
        let stat = rustix::fs::fstatvfs(file)?;
        Ok((stat.f_blocks > 0).then(|| stat.f_bfree.saturating_mul(stat.f_frsize)))
    }

    /// Bytes of disk that the file takes already.
    pub(crate) fn allocated(metadata: &Metadata) -> u64 {
        metadata.blocks().saturating_mul(512)
    }

    /// Whether the file lives in memory, where reserving space means to zero it.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_in_memory(file: &File) -> bool {
        const TMPFS: u32 = 0x0102_1994;
        const RAMFS: u32 = 0x8584_58f6;
        // The type of the field differs by architecture; all magic numbers fit in 32 bits.
        rustix::fs::fstatfs(file).is_ok_and(|stat| matches!(stat.f_type as u32, TMPFS | RAMFS))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn is_in_memory(_file: &File) -> bool {
        false
    }

    /// Reserves disk for the first `len` bytes and makes the file that long.
    #[cfg(target_os = "linux")]
    pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len) {
                Err(rustix::io::Errno::INTR) => {}
                Err(
                    rustix::io::Errno::OPNOTSUPP
                    | rustix::io::Errno::NOSYS
                    | rustix::io::Errno::INVAL,
                ) => {
                    return Err(io::ErrorKind::Unsupported.into());
                }
                other => return other.map_err(io::Error::from),
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn allocate(_file: &File, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(windows)]
#[expect(clippy::unnecessary_wraps, reason = "the other systems can fail here")]
mod space {
    use super::{File, Metadata, io};

    /// Bytes that ordinary users may still fill: no stable call tells.
    pub(crate) fn free_bytes(_file: &File) -> io::Result<Option<u64>> {
        Ok(None)
    }

    /// Bytes that are free: no stable call tells.
    pub(crate) fn free_bytes_of_all(_file: &File) -> io::Result<Option<u64>> {
        Ok(None)
    }

    /// Bytes of disk that the file takes already.
    pub(crate) fn allocated(metadata: &Metadata) -> u64 {
        metadata.len()
    }

    /// Whether the file lives in memory.
    pub(crate) fn is_in_memory(_file: &File) -> bool {
        false
    }

    /// Making the file longer reserves the disk here; the caller does that.
    pub(crate) fn allocate(_file: &File, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
