//! The calls of Windows, as far as `std` reaches them.

use std::fs::DirBuilder;
use std::os::windows::fs::{FileExt, MetadataExt, OpenOptionsExt};

use super::{File, IoSlice, Metadata, OpenOptions, Path, io};
use crate::control::Fingerprint;

/// What a name stands for, as far as stable calls tell: when the file was made. (Its index needs an unstable one.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId(u64);

pub(crate) fn read_cached(_: &File, _: u64, _: &mut [u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

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

pub(super) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// The directory's access list decides here.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

pub(super) fn private_directory() -> DirBuilder {
    DirBuilder::new()
}

/// Whether the file is of another user: no stable call tells.
pub(crate) fn is_foreign(_metadata: &Metadata) -> bool {
    false
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

pub(crate) fn write_at(file: &File, mut offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
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

/// The room on a disk, of which no stable call tells.
#[expect(clippy::unnecessary_wraps, reason = "the other systems can fail here")]
pub(super) mod space {
    use super::super::{File, Metadata, io};

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

    /// Whether a file keeps its number for as long as it exists.
    pub(crate) fn has_lasting_ids(_file: &File) -> bool {
        true
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
