//! Which processes run the queue: each has a file locked, which the system lets go when the process is gone, however it went.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::StoreError;

/// A place among those who run the queue, for as long as it is held.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: i64,
    _file: File,
}

/// Takes the first free place.
pub(super) fn take(database: &Path) -> Result<Slot, StoreError> {
    for number in 0..MOST {
        if let Some(slot) = try_take(database, number)? {
            return Ok(slot);
        }
    }
    Err(StoreError::TooManyRunners(MOST as usize))
}

/// Takes this place if nobody holds it.
pub(super) fn try_take(database: &Path, number: i64) -> Result<Option<Slot>, StoreError> {
    let path = path(database, number);
    let failed = |source| StoreError::File {
        path: path.clone(),
        source: Arc::new(source),
    };
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    let file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Slot {
            number,
            _file: file,
        })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn path(database: &Path, number: i64) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(format!("-run{number}"));
    path.into()
}

/// More processes on one queue would only be a mistake.
const MOST: i64 = 64;
