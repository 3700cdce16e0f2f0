//! Where the bytes go: a preallocated file, or nowhere.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

/// The output of a fetch.
#[derive(Debug)]
pub(crate) enum Target {
    File(File),
    Nowhere,
}

impl Target {
    pub(crate) fn create(path: &Path, len: u64) -> io::Result<Self> {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        fallocate(&file, FallocateFlags::empty(), 0, len)?;
        Ok(Self::File(file))
    }

    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all_at(bytes, offset),
            Self::Nowhere => Ok(()),
        }
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync_data(),
            Self::Nowhere => Ok(()),
        }
    }
}
