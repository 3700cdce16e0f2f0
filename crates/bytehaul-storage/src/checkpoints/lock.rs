//! How one upload comes to own a checkpoint file: opened without following, locked, and still the file of that name.

use std::collections::HashSet;
use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use super::place::Place;
use crate::part::cannot_lock;
use crate::witness::{Change, Name, Witness, watched};
use crate::{Error, lock, sys};

/// What to do where there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Make,
    Refuse,
}

/// Opens or makes the file, and locks it.
pub(super) fn claim(
    place: &Place,
    missing: Missing,
    witness: Option<&dyn Witness>,
) -> Result<File, Error> {
    // Whoever replaces or removes the file takes the name away between our opening and locking; then the next try sees it.
    for _ in 0..ATTEMPTS {
        let Some(file) = open(place, missing, witness)? else {
            continue;
        };
        take(place, &file)?;
        if has_name(place, &file)? {
            return Ok(file);
        }
    }
    Err(locked(place))
}

/// `None` when the name went, or came, between two looks.
fn open(
    place: &Place,
    missing: Missing,
    witness: Option<&dyn Witness>,
) -> Result<Option<File>, Error> {
    let path = &place.path;
    if missing == Missing::Make {
        let made = watched(witness, Change::Create(Name::Control), || {
            sys::create_new_private(path)
        });
        match made {
            Ok(file) => return Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if is_missing(&error) => {
                return Err(Error::ParentMissing {
                    path: place.directory.clone(),
                });
            }
            Err(error) => return Err(Error::of("create", path, error)),
        }
    }
    let not_a_file = || Error::NotAFile { path: path.clone() };
    if matches!(sys::entry(path), Ok(Some(entry)) if !entry.is_file()) {
        return Err(not_a_file());
    }
    let file = match sys::open_existing(path) {
        Ok(file) => file,
        Err(error) if is_missing(&error) && missing == Missing::Make => return Ok(None),
        Err(error) if is_missing(&error) => return Err(Error::Removed { path: path.clone() }),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Err(not_a_file()),
        Err(error) if sys::is_link_refused(&error) => return Err(not_a_file()),
        Err(error) => return Err(Error::of("open", path, error)),
    };
    if metadata(place, &file)?.is_file() {
        Ok(Some(file))
    } else {
        Err(not_a_file())
    }
}

pub(super) fn take(place: &Place, file: &File) -> Result<(), Error> {
    for _ in 0..PATIENCE {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) if cannot_lock(&error) => {
                bytehaul_log::warn!(path = %place.path.display(), "the file system has no locks; other processes are not kept out");
                return Ok(());
            }
            // Somebody who only looks whether it is in use lets go at once.
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(Error::of("lock", &place.path, error)),
        }
    }
    Err(locked(place))
}

pub(super) fn has_name(place: &Place, file: &File) -> Result<bool, Error> {
    let ours = sys::id(&metadata(place, file)?);
    let entry =
        sys::entry(&place.path).map_err(|error| Error::of("look at", &place.path, error))?;
    Ok(entry.is_some_and(|entry| entry.is_file() && sys::id(&entry) == ours))
}

pub(super) fn metadata(place: &Place, file: &File) -> Result<Metadata, Error> {
    file.metadata()
        .map_err(|error| Error::of("look at", &place.path, error))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn locked(place: &Place) -> Error {
    Error::Locked {
        path: place.subject.clone(),
    }
}

/// The right to a name within this process, also where the file system locks for the process or not at all.
#[derive(Debug)]
pub(super) struct Held(PathBuf);

impl Held {
    pub(super) fn take(place: &Place) -> Result<Self, Error> {
        let directory = place.directory.canonicalize().map_err(|error| {
            let path = &place.directory;
            if is_missing(&error) {
                Error::ParentMissing { path: path.clone() }
            } else {
                Error::of("look at", path, error)
            }
        })?;
        let path = directory.join(place.path.file_name().unwrap_or_default());
        if lock(&HELD).insert(path.clone()) {
            Ok(Self(path))
        } else {
            Err(locked(place))
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&HELD).remove(&self.0);
    }
}

static HELD: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);
const ATTEMPTS: usize = 16;
const PATIENCE: usize = 5;
const LOOK: Duration = Duration::from_millis(10);
