//! What an upload reads, and how a file that changes under it, or between two runs, is told from the one it began with.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, sys};

/// A file that is being uploaded: open, at any position readable, and known by its fingerprint.
///
/// Clones share the open file. All calls but [`read_cached`](Self::read_cached) block; they are not for an async task.
#[derive(Debug, Clone)]
pub struct FileSource(Arc<Open>);

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    fingerprint: Fingerprint,
}

impl FileSource {
    /// Opens the regular file at `path`, or the one that a symbolic link there leads to.
    ///
    /// The path is made absolute, so a later change of the working directory does not matter.
    ///
    /// # Errors
    ///
    /// [`Error::SourceMissing`] when nothing is there, [`Error::NotAFile`] for a directory, device, pipe or socket (which is
    /// not opened), [`Error::BadName`], [`Error::Permission`], or [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(|_| Error::BadName {
            path: path.to_path_buf(),
        })?;
        // Opening alone may rewind a tape or wake a reader.
        regular(&path, path.metadata())?;
        let file = sys::open_source(&path).map_err(|error| missing_or("open", &path, error))?;
        let metadata = regular(&path, file.metadata())?;
        let fingerprint = Fingerprint::of_file(&file, &metadata);
        Ok(Self(Arc::new(Open {
            file,
            path,
            fingerprint,
        })))
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What the file was when it was opened.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.0.fingerprint
    }

    /// Reads from `offset` on until the buffer is full, or the size that the file had when it was opened is reached; says how
    /// many bytes came. What was appended since is not read.
    ///
    /// # Errors
    ///
    /// [`Error::SourceChanged`] when the file ends before that size; [`Error::Io`] when reading fails.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Error> {
        let Open {
            file,
            path,
            fingerprint,
        } = &*self.0;
        let left = fingerprint.size.saturating_sub(offset);
        let wanted = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        let read = sys::read_at(file, offset, &mut into[..wanted])
            .map_err(|error| Error::at("read", path, offset, error))?;
        if read < wanted {
            return Err(self.changed(SHORTER));
        }
        Ok(read)
    }

    /// Reads what the system has of it in memory, as [`read_at`](Self::read_at) does but without waiting for a disk, so that
    /// an async task may call it; it may be less than would fit. `None`: it is not in memory, or the system (any but Linux)
    /// does not tell; then it takes [`read_at`](Self::read_at).
    pub fn read_cached(&self, offset: u64, into: &mut [u8]) -> Option<usize> {
        let left = self.0.fingerprint.size.saturating_sub(offset);
        let wanted = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        let read = sys::read_cached(&self.0.file, offset, &mut into[..wanted]);
        // What is wrong with the file is for the other call to say.
        read.ok().filter(|read| *read > 0)
    }

    /// Looks whether the open file, and the file that has its name now, are what was opened.
    ///
    /// A rewrite in place that keeps the size and falls into the same tick of the file system's clock as the last look (some
    /// milliseconds on Linux), or that sets the old time again, is not seen; the digests of parts show those.
    ///
    /// # Errors
    ///
    /// [`Error::SourceChanged`] when the size or the time of modification is another, when another file has the name or
    /// none has; [`Error::Permission`] or [`Error::Io`] when that cannot be found out.
    pub fn check(&self) -> Result<(), Error> {
        let Open {
            file,
            path,
            fingerprint,
        } = &*self.0;
        let ours = file
            .metadata()
            .map_err(|error| Error::of("look at", path, error))?;
        if let Some(what) = fingerprint.difference(&Fingerprint::of_file(file, &ours)) {
            return Err(self.changed(what));
        }
        match path.metadata() {
            Ok(named) if sys::id(&named) == sys::id(&ours) => Ok(()),
            Ok(_) => Err(self.changed(REPLACED)),
            Err(error) if is_missing(&error) => Err(self.changed(GONE)),
            Err(error) => Err(Error::of("look at", path, error)),
        }
    }

    fn changed(&self, what: &'static str) -> Error {
        Error::SourceChanged {
            path: self.0.path.clone(),
            what,
        }
    }
}

/// What tells a source from a changed or replaced one, also in a later run: its size, its time of modification to the
/// nanosecond, and the number of its inode (on Windows its time of creation).
///
/// Not in it: the number of the device, which differs from one start of the system to the next; the time of the last change of
/// the inode, which a new name or other permissions change too; and inodes where the file system makes up their numbers
/// (FAT, FUSE). What is not known, also in what an older version stored, is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    size: u64,
    /// Seconds and nanoseconds since 1970 on Unix; on Windows its own count, and 0.
    #[serde(default)]
    modified: Option<(i64, u32)>,
    #[serde(default)]
    inode: Option<u64>,
}

impl Fingerprint {
    /// Of a source in memory, of which only the length in bytes can be compared.
    pub fn of_bytes(len: u64) -> Self {
        Self {
            size: len,
            modified: None,
            inode: None,
        }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Why the two are not of the same content, in words that follow "changed:"; `None` if nothing says so.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        if differ(self.inode, other.inode) {
            Some(REPLACED)
        } else if self.size != other.size {
            Some(RESIZED)
        } else if differ(self.modified, other.modified) {
            Some(MODIFIED)
        } else {
            None
        }
    }

    fn of_file(file: &File, metadata: &Metadata) -> Self {
        let seen = sys::fingerprint(metadata);
        let lasting = seen.filter(|_| sys::has_lasting_ids(file));
        Self {
            size: metadata.len(),
            modified: seen.map(|seen| seen.modified),
            inode: lasting.map(|seen| seen.inode),
        }
    }
}

fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.is_some() && other.is_some() && one != other
}

fn regular(path: &Path, found: io::Result<Metadata>) -> Result<Metadata, Error> {
    let metadata = found.map_err(|error| missing_or("look at", path, error))?;
    if metadata.is_file() {
        Ok(metadata)
    } else {
        Err(Error::NotAFile {
            path: path.to_path_buf(),
        })
    }
}

fn missing_or(action: &'static str, path: &Path, error: io::Error) -> Error {
    if is_missing(&error) {
        return Error::SourceMissing {
            path: path.to_path_buf(),
        };
    }
    Error::of(action, path, error)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

const REPLACED: &str = "another file has its name";
const RESIZED: &str = "its size is another";
const MODIFIED: &str = "it was modified";
const SHORTER: &str = "it got shorter";
const GONE: &str = "it was removed";
