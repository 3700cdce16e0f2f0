//! Every change that a running download makes to its files, by name of what is done to which file.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::claim::{Conflict, Durability};
use crate::part::Part;
use crate::witness::{Change, Name, Witness, watched};
use crate::{Error, Layout, control, sys};

/// The files of one download.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) layout: Layout,
    pub(crate) durability: Durability,
    part: Part,
    witness: Option<Arc<dyn Witness>>,
}

/// An open control file: what is written to it goes behind what is there.
#[derive(Debug)]
pub(crate) struct ControlFile {
    file: File,
    len: u64,
}

impl Disk {
    pub(crate) fn new(layout: Layout, part: Part, witness: Option<Arc<dyn Witness>>) -> Self {
        Self {
            layout,
            durability: Durability::default(),
            part,
            witness,
        }
    }

    pub(crate) fn write_part(&self, offset: u64, slices: &mut [IoSlice<'_>]) -> Result<(), Error> {
        // Advancing a slice list consumes it, so the witness is shown a copy of the list.
        let seen: Vec<IoSlice<'_>> = if self.witness.is_some() {
            slices.to_vec()
        } else {
            Vec::new()
        };
        let change = Change::Write {
            name: Name::Part,
            offset,
            data: &seen,
        };
        self.make(change, || sys::write_at(&self.part.file, offset, slices))
            .map_err(|error| Error::at("write", &self.layout.part, offset, error))
    }

    /// Reads until the buffer is full or the part ends.
    pub(crate) fn read_part(&self, offset: u64, into: &mut [u8]) -> Result<usize, Error> {
        sys::read_at(&self.part.file, offset, into)
            .map_err(|error| Error::at("read", &self.layout.part, offset, error))
    }

    pub(crate) fn part_len(&self) -> Result<u64, Error> {
        Ok(self.part_metadata()?.len())
    }

    pub(crate) fn set_part_len(&self, len: u64) -> Result<(), Error> {
        self.make(
            Change::SetLen {
                name: Name::Part,
                len,
            },
            || self.part.file.set_len(len),
        )
        .map_err(|error| Error::of("resize", &self.layout.part, error))
    }

    /// Makes the written bytes of the part, and its length, survive a power cut.
    pub(crate) fn sync_part(&self) -> Result<(), Error> {
        if self.durability == Durability::Kill {
            return Ok(());
        }
        self.make(Change::Sync(Name::Part), || self.part.file.sync_data())
            .map_err(|error| Error::of("sync", &self.layout.part, error))
    }

    /// By what the next run sees that it need not read the part.
    pub(crate) fn fingerprint(&self) -> Result<Option<control::Fingerprint>, Error> {
        Ok(sys::fingerprint(&self.part_metadata()?))
    }

    /// Reserves the disk for `len` bytes, or makes the file that long where reserving is not real.
    pub(crate) fn reserve(&self, len: u64) -> Result<(), Error> {
        let before = self.part_metadata()?;
        let missing = len.saturating_sub(sys::allocated(&before));
        let file = &self.part.file;
        self.require(missing, sys::free_bytes_of_all(file))?;
        if !sys::is_in_memory(file) {
            match self.make(
                Change::SetLen {
                    name: Name::Part,
                    len,
                },
                || sys::allocate(file, len),
            ) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(error) => {
                    // What was reserved before it failed goes back.
                    let _ = self.set_part_len(before.len());
                    return Err(Error::of("reserve space for", &self.layout.part, error));
                }
            }
        }
        self.require(missing, sys::free_bytes(file))?;
        if before.len() < len {
            self.set_part_len(len)
        } else {
            Ok(())
        }
    }

    /// Makes the next control file, beside the present one.
    pub(crate) fn create_control(&self, bytes: &[u8]) -> Result<ControlFile, Error> {
        let failed = |error| Error::of("create", &self.layout.control_new, error);
        self.make(Change::Remove(Name::ControlNew), || {
            sys::remove(&self.layout.control_new)
        })
        .map_err(failed)?;
        let create = || sys::create_new(&self.layout.control_new);
        let file = self
            .make(Change::Create(Name::ControlNew), create)
            .map_err(failed)?;
        let mut made = ControlFile { file, len: 0 };
        self.append_control(&mut made, Name::ControlNew, bytes)?;
        Ok(made)
    }

    pub(crate) fn append_control(
        &self,
        to: &mut ControlFile,
        name: Name,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let change = Change::Write {
            name,
            offset: to.len,
            data: &[IoSlice::new(bytes)],
        };
        let mut slices = [IoSlice::new(bytes)];
        self.make(change, || sys::write_at(&to.file, to.len, &mut slices))
            .map_err(|error| Error::of("write", &self.layout.control, error))?;
        to.len += bytes.len() as u64;
        Ok(())
    }

    /// Cuts off what was appended behind the first `len` bytes.
    pub(crate) fn cut_control(&self, file: &mut ControlFile, len: u64) -> Result<(), Error> {
        self.make(
            Change::SetLen {
                name: Name::Control,
                len,
            },
            || file.file.set_len(len),
        )
        .map_err(|error| Error::of("resize", &self.layout.control, error))?;
        file.len = len;
        Ok(())
    }

    pub(crate) fn sync_new_control(&self, file: &ControlFile) -> Result<(), Error> {
        if self.durability == Durability::Kill {
            return Ok(());
        }
        self.make(Change::Sync(Name::ControlNew), || file.file.sync_data())
            .map_err(|error| Error::of("sync", &self.layout.control_new, error))
    }

    /// Puts the next control file in the place of the present one.
    pub(crate) fn swap_control(&self) -> Result<(), Error> {
        let change = Change::Rename {
            from: Name::ControlNew,
            to: Name::Control,
        };
        self.make(change, || {
            std::fs::rename(&self.layout.control_new, &self.layout.control)
        })
        .map_err(|error| Error::of("replace", &self.layout.control, error))
    }

    /// Removes the control files; says whether there was one.
    pub(crate) fn remove_control(&self) -> Result<bool, Error> {
        let failed = |error| Error::of("remove", &self.layout.control, error);
        self.make(Change::Remove(Name::ControlNew), || {
            sys::remove(&self.layout.control_new)
        })
        .map_err(failed)?;
        self.make(Change::Remove(Name::Control), || {
            sys::remove(&self.layout.control)
        })
        .map_err(failed)
    }

    /// Removes the part, if its name still stands for our file.
    pub(crate) fn remove_part(&self) -> Result<(), Error> {
        if self.still_ours().is_err() {
            return Ok(());
        }
        self.make(Change::Remove(Name::Part), || {
            sys::remove(&self.layout.part)
        })
        .map(drop)
        .map_err(|error| Error::of("remove", &self.layout.part, error))
    }

    pub(crate) fn sync_directory(&self) -> Result<(), Error> {
        if self.durability == Durability::Kill {
            return Ok(());
        }
        self.sync_directory_always()
    }

    /// Makes the target's new name survive a power cut.
    pub(crate) fn sync_published(&self) -> Result<(), Error> {
        if self.durability == Durability::Kill {
            return Ok(());
        }
        self.make(Change::SyncDirectory, || {
            sys::sync_directory(&self.layout.directory)
        })
        .map_err(|error| Error::NotDurable {
            path: self.layout.target.clone(),
            source: Arc::new(error),
        })
    }

    /// Also where nothing else is synced: bytes that are kept may be overwritten only when the claims on them are gone.
    pub(crate) fn sync_directory_always(&self) -> Result<(), Error> {
        self.make(Change::SyncDirectory, || {
            sys::sync_directory(&self.layout.directory)
        })
        .map_err(|error| Error::of("sync", &self.layout.directory, error))
    }

    /// Fails when somebody else took the part's name away from our file.
    pub(crate) fn still_ours(&self) -> Result<(), Error> {
        let path = &self.layout.part;
        match self.part.has_name(path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Removed { path: path.clone() }),
            Err(error) => Err(Error::of("look at", path, error)),
        }
    }

    /// Gives the part the target's name in one step.
    pub(crate) fn publish(&self, conflict: Conflict) -> Result<(), Error> {
        let (from, to) = (&self.layout.part, &self.layout.target);
        crate::part::check_target(&self.layout, conflict)?;
        let change = Change::Rename {
            from: Name::Part,
            to: Name::Target,
        };
        let renamed = self.make(change, || match conflict {
            Conflict::Refuse => sys::rename_new(from, to),
            Conflict::Overwrite => std::fs::rename(from, to),
        });
        renamed.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::TargetExists { path: to.clone() },
            io::ErrorKind::IsADirectory => Error::TargetIsDirectory { path: to.clone() },
            _ => Error::of("publish", to, error),
        })
    }

    /// The part file stays from now on, whatever becomes of the download.
    pub(crate) fn keep_part(&self) {
        self.part.keep();
    }

    /// Lets another download claim the target.
    pub(crate) fn release(&self) {
        self.part.release();
    }

    fn part_metadata(&self) -> Result<std::fs::Metadata, Error> {
        self.part
            .file
            .metadata()
            .map_err(|error| Error::of("look at", &self.layout.part, error))
    }

    fn require(&self, missing: u64, free: io::Result<Option<u64>>) -> Result<(), Error> {
        let path = &self.layout.part;
        match free.map_err(|error| Error::of("look at the file system of", path, error))? {
            Some(free) if free < missing => Err(Error::DiskFull {
                path: path.clone(),
                needed: Some(missing - free),
                source: None,
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn make<T>(&self, change: Change<'_>, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        watched(self.witness.as_deref(), change, call)
    }
}

impl ControlFile {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}
