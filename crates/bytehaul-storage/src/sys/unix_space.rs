//! The calls of Unix about a file system: its room, whether it lives in memory, and whether it keeps its numbers.

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

/// Whether a file keeps its inode's number for as long as it exists.
///
/// FAT has no such numbers and Linux makes them up anew, as do many file systems in user space.
#[cfg(target_os = "linux")]
pub(crate) fn has_lasting_ids(file: &File) -> bool {
    const FAT: u32 = 0x4d44;
    const EXFAT: u32 = 0x2011_bab0;
    const FUSE: u32 = 0x6573_5546;
    rustix::fs::fstatfs(file).is_ok_and(|stat| !matches!(stat.f_type as u32, FAT | EXFAT | FUSE))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn has_lasting_ids(_file: &File) -> bool {
    true
}

/// Reserves disk for the first `len` bytes and makes the file that long.
#[cfg(target_os = "linux")]
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    loop {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len) {
            Err(rustix::io::Errno::INTR) => {}
            Err(
                rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL,
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
