//! How one upload replaces its checkpoint, so that a crash leaves the old content or the new one.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::frame::{self, MAX_FILE};
use super::lock::{self, Held, Missing};
use super::place::Place;
use crate::witness::{Change, Name, Witness, watched};
use crate::{Durability, Error, sys};

/// The checkpoint of one upload, which no other one can claim until this is dropped. All calls block.
///
/// Dropping it leaves what was saved. If nothing ever was, the file goes.
pub struct CheckpointFile {
    place: Place,
    key: String,
    durability: Durability,
    state: State,
    warning: OnceLock<String>,
    witness: Option<Arc<dyn Witness>>,
    /// What has the name, locked.
    file: File,
    _held: Held,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    Saved,
    Removed,
}

impl CheckpointFile {
    pub(crate) fn claim(
        place: Place,
        key: String,
        missing: Missing,
        witness: Option<Arc<dyn Witness>>,
    ) -> Result<Self, Error> {
        let held = Held::take(&place)?;
        let file = lock::claim(&place, missing, witness.as_deref())?;
        let state = if lock::metadata(&place, &file)?.len() == 0 {
            State::Empty
        } else {
            State::Saved
        };
        Ok(Self {
            place,
            key,
            durability: Durability::default(),
            state,
            warning: OnceLock::new(),
            witness,
            file,
            _held: held,
        })
    }

    /// Which crash the saved bytes survive. Default [`Durability::PowerCut`].
    pub fn set_durability(&mut self, durability: Durability) {
        self.durability = durability;
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// The key it was claimed with; empty beside a source.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// For a file that was claimed by its name: it keeps the key that it has.
    pub(super) fn take_stored_key(&mut self) -> Result<(), Error> {
        if let Read::Saved { key, .. } = read(&self.place.path, &self.file)? {
            self.key = key;
        }
        Ok(())
    }

    /// What was saved last, by this run or an earlier one. `None` if nothing was, or if it cannot be used; then
    /// [`warning`](Self::warning) says why.
    ///
    /// # Errors
    ///
    /// What the file system says when the file cannot be read.
    pub fn load(&self) -> Result<Option<Vec<u8>>, Error> {
        let read = read(&self.place.path, &self.file)?;
        let why = match read {
            Read::Nothing => return Ok(None),
            Read::Saved { key, content } if self.key.is_empty() || key == self.key => {
                return Ok(Some(content));
            }
            Read::Saved { .. } => "it is the checkpoint of another upload".to_owned(),
            Read::Unusable(why) => why,
        };
        let path = self.place.path.display();
        bytehaul_log::warn!(%path, "{why}");
        let _ = self.warning.set(format!("{path} is not used: {why}"));
        Ok(None)
    }

    /// Why what an earlier run left cannot be used, for a person to read; once [`load`](Self::load) has found so.
    pub fn warning(&self) -> Option<&str> {
        self.warning.get().map(String::as_str)
    }

    /// Replaces the content, in one step: after a crash at any time the file has this content or the one before.
    ///
    /// When it returns, the content survives what [`set_durability`](Self::set_durability) says. That takes two syncs.
    ///
    /// # Errors
    ///
    /// [`Error::Removed`] when somebody else has taken the file away; [`Error::Io`] of the kind
    /// [`FileTooLarge`](io::ErrorKind::FileTooLarge) when key and content together take more than 16 MiB;
    /// [`Error::DiskFull`], [`Error::Permission`] or [`Error::Io`]. The content before is still there, but when it is the
    /// sync of the directory that fails: then it may be either.
    pub fn save(&mut self, content: &[u8]) -> Result<(), Error> {
        let path = &self.place.path;
        let bytes = frame::encode(&self.key, content)
            .ok_or_else(|| Error::of("write", path, io::ErrorKind::FileTooLarge.into()))?;
        if !lock::has_name(&self.place, &self.file)? {
            return Err(Error::Removed { path: path.clone() });
        }
        let replaced = self.write_new(&bytes).and_then(|new| {
            let change = Change::Rename {
                from: Name::ControlNew,
                to: Name::Control,
            };
            self.make(change, || std::fs::rename(&self.place.new, path))
                .map_err(|error| Error::of("replace", path, error))?;
            Ok(new)
        });
        let new = match replaced {
            Ok(new) => new,
            Err(error) => {
                // Best effort: the next save removes it too.
                let _ = self.remove_new();
                return Err(error);
            }
        };
        self.state = State::Saved;
        let old = std::mem::replace(&mut self.file, new);
        // Before it is closed: a child that is being started may have the file open still.
        let _ = old.unlock();
        self.sync_directory()
    }

    /// Removes the file for good, if it still is ours.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn remove(mut self) -> Result<(), Error> {
        self.take_away()?;
        self.sync_directory()
    }

    fn take_away(&mut self) -> Result<(), Error> {
        if lock::has_name(&self.place, &self.file)? {
            self.remove_new()?;
            self.make(Change::Remove(Name::Control), || {
                sys::remove(&self.place.path)
            })
            .map_err(|error| Error::of("remove", &self.place.path, error))?;
        }
        self.state = State::Removed;
        Ok(())
    }

    /// The next file, written, locked and synced.
    fn write_new(&self, bytes: &[u8]) -> Result<File, Error> {
        let path = &self.place.new;
        self.remove_new()?;
        let file = self
            .make(Change::Create(Name::ControlNew), || {
                sys::create_new_private(path)
            })
            .map_err(|error| Error::of("create", path, error))?;
        // Before it has the name, so that nobody finds it free.
        lock::take(&self.place, &file)?;
        let change = Change::Write {
            name: Name::ControlNew,
            offset: 0,
            data: &[IoSlice::new(bytes)],
        };
        let mut slices = [IoSlice::new(bytes)];
        self.make(change, || sys::write_at(&file, 0, &mut slices))
            .map_err(|error| Error::of("write", path, error))?;
        if self.durability == Durability::PowerCut {
            self.make(Change::Sync(Name::ControlNew), || file.sync_data())
                .map_err(|error| Error::of("sync", path, error))?;
        }
        Ok(file)
    }

    fn remove_new(&self) -> Result<(), Error> {
        self.make(Change::Remove(Name::ControlNew), || {
            sys::remove(&self.place.new)
        })
        .map(drop)
        .map_err(|error| Error::of("remove", &self.place.new, error))
    }

    fn sync_directory(&self) -> Result<(), Error> {
        if self.durability == Durability::Kill {
            return Ok(());
        }
        let directory = &self.place.directory;
        self.make(Change::SyncDirectory, || sys::sync_directory(directory))
            .map_err(|error| Error::of("sync", directory, error))
    }

    fn make<T>(&self, change: Change<'_>, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        watched(self.witness.as_deref(), change, call)
    }
}

impl Drop for CheckpointFile {
    fn drop(&mut self) {
        if self.state == State::Empty {
            let _ = self.take_away();
        }
        let _ = self.file.unlock();
    }
}

impl fmt::Debug for CheckpointFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointFile")
            .field("path", &self.place.path)
            .field("durability", &self.durability)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// What a checkpoint file has in it.
pub(super) enum Read {
    Nothing,
    Saved { key: String, content: Vec<u8> },
    Unusable(String),
}

/// Reads an open checkpoint file, of which nothing is believed before it is checked.
pub(super) fn read(path: &Path, file: &File) -> Result<Read, Error> {
    let metadata = file
        .metadata()
        .map_err(|error| Error::of("look at", path, error))?;
    if sys::is_foreign(&metadata) {
        return Ok(Read::Unusable("it is the file of another user".into()));
    }
    let len = metadata.len();
    if len > MAX_FILE {
        return Ok(Read::Unusable(format!(
            "it has {len} bytes, which is too many"
        )));
    }
    let mut bytes = vec![0; usize::try_from(len).expect("at most 16 MiB")];
    let read =
        sys::read_at(file, 0, &mut bytes).map_err(|error| Error::at("read", path, 0, error))?;
    bytes.truncate(read);
    if bytes.is_empty() {
        return Ok(Read::Nothing);
    }
    Ok(match frame::decode(&bytes) {
        Ok((key, content)) => Read::Saved {
            key: key.to_owned(),
            content: content.to_vec(),
        },
        Err(malformed) => Read::Unusable(malformed.to_string()),
    })
}
