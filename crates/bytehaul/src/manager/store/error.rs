//! Why the store refused or failed.

use std::path::PathBuf;
use std::sync::Arc;

use bytehaul_schedule::transfers::TaskState;

use super::task::StoredId;
use crate::error::ErrorKind;
use crate::manager::error::TransferError;

/// What a [`TransferStore`](crate::TransferStore) refuses or fails with. Cloning is cheap.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A task with the same direction, source and target has not ended.
    #[error("already queued as task {existing}")]
    #[non_exhaustive]
    Duplicate {
        /// That task.
        existing: StoredId,
    },
    /// No task has this number.
    #[error("no task {0}")]
    NotFound(StoredId),
    /// This cannot be done with a task in this state.
    #[error("task {id} is {state}")]
    #[non_exhaustive]
    InvalidState {
        /// The task.
        id: StoredId,
        /// Its state.
        state: TaskState,
    },
    /// The task was canceled already and only has to end.
    #[error("task {0} is being canceled")]
    Canceling(StoredId),
    /// What is to be stored, or was, cannot be used.
    #[error(transparent)]
    Transfer(TransferError),
    /// What is to be stored cannot be written as text, such as a path that is no UTF-8.
    #[error("write the task as text")]
    Text(#[source] Arc<serde_json::Error>),
    /// A row of the store cannot be understood.
    #[error("task {id} of the store is damaged")]
    #[non_exhaustive]
    Damaged {
        /// Its number.
        id: StoredId,
        /// What is wrong with it.
        source: Arc<serde_json::Error>,
    },
    /// The file was written by a version that this one does not know.
    #[error("{path} has the form {version}, which is not known")]
    #[non_exhaustive]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: i64,
    },
    /// As many processes as may run the queue do so.
    #[error("{0} processes run this queue already")]
    TooManyRunners(usize),
    /// SQLite failed: no permission, a full disk, a file that is none of its own.
    #[error("use {path}")]
    #[non_exhaustive]
    Database {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: Arc<rusqlite::Error>,
    },
    /// A file beside the database could not be used.
    #[error("use {path}")]
    #[non_exhaustive]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
}

impl StoreError {
    /// Whose fault it is, in a few classes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Duplicate { .. }
            | Self::NotFound(_)
            | Self::InvalidState { .. }
            | Self::Canceling(_)
            | Self::Text(_) => ErrorKind::Parameter,
            Self::Transfer(error) => error.kind(),
            Self::Damaged { .. }
            | Self::Version { .. }
            | Self::TooManyRunners(_)
            | Self::Database { .. }
            | Self::File { .. } => ErrorKind::Local,
        }
    }

    /// A number that never changes its meaning, see [`TransferError::code`]; 105 for whatever this machine fails with, 121 for a full disk.
    pub fn code(&self) -> u16 {
        match self {
            Self::Duplicate { .. } => 103,
            Self::NotFound(_) => 108,
            Self::InvalidState { .. } | Self::Canceling(_) => 117,
            Self::Text(_) => 102,
            Self::Transfer(error) => error.code(),
            Self::Database { source, .. } if is_full(source) => 121,
            Self::Damaged { .. }
            | Self::Version { .. }
            | Self::TooManyRunners(_)
            | Self::Database { .. }
            | Self::File { .. } => 105,
        }
    }
}

impl From<TransferError> for StoreError {
    fn from(error: TransferError) -> Self {
        Self::Transfer(error)
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}
