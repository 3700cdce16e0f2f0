//! Small files with the state of uploads: claimed by one upload each, replaced in one step, listed for whoever takes over.
//!
//! What is in them is opaque here; it may give access to the object (an upload URL), so no other user may read it. The order of
//! a save is: write the new file beside the old one, sync it, rename it over the old one, sync the directory. The new file is
//! locked before it has the name, so the name is never free in between.

mod file;
mod frame;
mod lock;
mod place;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use self::file::CheckpointFile;
use self::file::Read;
pub(crate) use self::lock::Missing;
pub(crate) use self::place::Place;
pub use self::place::state_dir;
use crate::{Durability, Error, sys};

/// A directory of checkpoint files.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    directory: PathBuf,
    durability: Durability,
}

/// A checkpoint file as [`Checkpoints::list`] found it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckpointEntry {
    /// Its name in the directory, for [`Checkpoints::claim_named`] and [`Checkpoints::remove`].
    pub name: OsString,
    /// Where it is.
    pub path: PathBuf,
    /// When it was saved last, where the file system says.
    pub modified: Option<SystemTime>,
    /// Whether an upload has claimed it, in this process or in another one.
    pub in_use: bool,
    /// What is in it.
    pub content: EntryContent,
}

/// What a listed checkpoint file has in it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryContent {
    /// A checkpoint, as it was saved.
    Saved {
        /// The key that it was claimed with; empty beside a source.
        key: String,
        /// The bytes. They may be a secret, and are left out of the debug output.
        bytes: Vec<u8>,
    },
    /// Nothing: it was claimed, and nothing has been saved yet.
    Nothing,
    /// It is damaged, of a later version, of another user, or cannot be read; why, for a person to read.
    Unusable(String),
}

impl Checkpoints {
    /// Those in a directory, which is made when the first is claimed: readable by this user only (mode 0700).
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            durability: Durability::default(),
        }
    }

    /// Which crash the files survive that are claimed from now on. Default [`Durability::PowerCut`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Claims the checkpoint of the upload that has this key, which may be any text. Its beginning shows in the name of
    /// the file and all of it is stored in it, so it should be without secrets.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] when a running upload has it, [`Error::NotAFile`] when a link, directory or the like has its name,
    /// [`Error::Permission`], [`Error::DiskFull`], or [`Error::Io`].
    pub fn claim(&self, key: &str) -> Result<CheckpointFile, Error> {
        let place = Place::of_key(&self.directory, key)?;
        self.make_directory(&place.directory)?;
        self.open(place, key.to_owned(), Missing::Make)
    }

    /// Claims a file by its name in [`list`](Self::list), whatever is in it.
    ///
    /// # Errors
    ///
    /// Those of [`claim`](Self::claim); [`Error::BadName`] for a name that is none of a checkpoint; [`Error::Removed`] or
    /// [`Error::ParentMissing`] when there is no such file.
    pub fn claim_named(&self, name: impl AsRef<OsStr>) -> Result<CheckpointFile, Error> {
        let place = Place::named(&self.directory, name.as_ref())?;
        let mut file = self.open(place, String::new(), Missing::Refuse)?;
        file.take_stored_key()?;
        Ok(file)
    }

    /// Removes a file by its name in [`list`](Self::list), also a damaged one.
    ///
    /// # Errors
    ///
    /// Those of [`claim_named`](Self::claim_named): one in use is not removed.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> Result<(), Error> {
        let place = Place::named(&self.directory, name.as_ref())?;
        self.open(place, String::new(), Missing::Refuse)?.remove()
    }

    /// All checkpoint files in the directory, by name; also those that are of no use. None if there is no directory.
    ///
    /// Everything is read into memory: usually some kilobytes each, at most 16 MiB.
    ///
    /// # Errors
    ///
    /// [`Error::Permission`] or [`Error::Io`] when the directory cannot be read. What is wrong with a file is said in its entry.
    pub fn list(&self) -> Result<Vec<CheckpointEntry>, Error> {
        let failed = |error| Error::of("list", &self.directory, error);
        let found = match std::fs::read_dir(&self.directory) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut entries = Vec::new();
        for entry in found {
            let name = entry.map_err(failed)?.file_name();
            if place::is_checkpoint(&name) {
                entries.extend(look(self.directory.join(&name), name));
            }
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    fn open(&self, place: Place, key: String, missing: Missing) -> Result<CheckpointFile, Error> {
        let mut file = CheckpointFile::claim(place, key, missing, None)?;
        file.set_durability(self.durability);
        Ok(file)
    }

    fn make_directory(&self, directory: &Path) -> Result<(), Error> {
        let made: Vec<&Path> = directory
            .ancestors()
            .take_while(|path| matches!(sys::entry(path), Ok(None)))
            .collect();
        sys::make_private_directory(directory)
            .map_err(|error| Error::of("create", directory, error))?;
        if self.durability == Durability::Kill {
            return Ok(());
        }
        for above in made.iter().filter_map(|path| path.parent()) {
            sys::sync_directory(above).map_err(|error| Error::of("sync", above, error))?;
        }
        Ok(())
    }
}

/// Claims the checkpoint beside a source: `NAME.bytehaul-upload` in its directory, a long name cut as those of part files are.
///
/// It has no key, so it stays of use when both are moved. The source itself is not looked at.
///
/// # Errors
///
/// Those of [`Checkpoints::claim`], where [`Error::Locked`] names the source; [`Error::BadName`] when the path ends in no
/// file name; [`Error::ParentMissing`].
pub fn beside(source: &Path) -> Result<CheckpointFile, Error> {
    CheckpointFile::claim(Place::beside(source)?, String::new(), Missing::Make, None)
}

/// Key and content of a checkpoint file, given its bytes: for the fuzz targets, not for users.
#[doc(hidden)]
pub fn framed(bytes: &[u8]) -> Option<(&str, &[u8])> {
    frame::decode(bytes).ok()
}

impl CheckpointEntry {
    /// The key that it was claimed with, where it can be read.
    pub fn key(&self) -> Option<&str> {
        match &self.content {
            EntryContent::Saved { key, .. } => Some(key),
            EntryContent::Nothing | EntryContent::Unusable(_) => None,
        }
    }

    /// What was saved, where it can be read.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.content {
            EntryContent::Saved { bytes, .. } => Some(bytes),
            EntryContent::Nothing | EntryContent::Unusable(_) => None,
        }
    }
}

impl fmt::Debug for EntryContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Saved { key, bytes } => f
                .debug_struct("Saved")
                .field("key", key)
                .field("len", &bytes.len())
                .finish(),
            Self::Nothing => f.write_str("Nothing"),
            Self::Unusable(why) => f.debug_tuple("Unusable").field(why).finish(),
        }
    }
}

/// `None` for a file that has gone meanwhile.
fn look(path: PathBuf, name: OsString) -> Option<CheckpointEntry> {
    let unusable = |why: String| EntryContent::Unusable(why);
    let (file, in_use) = match open_named(&path) {
        Ok(found) => found?,
        Err(why) => {
            let modified = sys::entry(&path).ok()??.modified().ok();
            let content = unusable(why);
            return Some(CheckpointEntry {
                name,
                path,
                modified,
                in_use: false,
                content,
            });
        }
    };
    let content = match file::read(&path, &file) {
        Ok(Read::Saved { key, content }) => EntryContent::Saved {
            key,
            bytes: content,
        },
        Ok(Read::Nothing) => EntryContent::Nothing,
        Ok(Read::Unusable(why)) => unusable(why),
        Err(error) => unusable(
            error
                .io()
                .map_or_else(|| error.to_string(), ToString::to_string),
        ),
    };
    let modified = file.metadata().and_then(|found| found.modified()).ok();
    Some(CheckpointEntry {
        name,
        path,
        modified,
        in_use,
        content,
    })
}

/// The file that has the name, and whether somebody has its lock; or why it cannot be opened.
fn open_named(path: &Path) -> Result<Option<(File, bool)>, String> {
    for _ in 0..ATTEMPTS {
        match sys::entry(path) {
            Ok(Some(entry)) if entry.is_file() => {}
            Ok(Some(_)) => return Err("it is not a regular file".into()),
            Ok(None) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        }
        let file = match sys::open_to_read(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.to_string()),
        };
        if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return Ok(Some((file, true)));
        }
        let _ = file.unlock();
        // The lock of a file that has just been replaced says nothing about its successor.
        let ours = file.metadata().map_err(|error| error.to_string())?;
        if sys::entry(path)
            .is_ok_and(|entry| entry.is_some_and(|entry| sys::id(&entry) == sys::id(&ours)))
        {
            return Ok(Some((file, false)));
        }
    }
    Err("it is being replaced all the time".into())
}

const ATTEMPTS: usize = 16;
