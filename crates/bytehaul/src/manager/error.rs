//! Why a command was refused or a transfer ended without success: one type for both, with the stable numbers.

use std::num::NonZeroUsize;

use bytehaul_schedule::transfers::{Refused, TaskId, TaskState};
use serde::{Deserialize, Serialize};

use crate::error::{DownloadError, ErrorKind};
use crate::session::trouble::in_a_line;
use crate::upload::UploadError;

/// What [`TransferManager`](crate::TransferManager) refuses a command with, and what waiting for a task gives that was
/// not complete in the end.
///
/// Branch on the variant, on [`kind`](Self::kind) or on the stable [`code`](Self::code), never on the text. URLs in it are
/// redacted. Cloning is cheap.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A task with the same direction, source and target has not ended. It goes on as if nothing had happened.
    #[error("already queued as task {existing}")]
    #[non_exhaustive]
    Duplicate {
        /// That task.
        existing: TaskId,
    },
    /// As many tasks as the queue takes wait for a slot. It is worth another try when one of them has started.
    #[error("{capacity} tasks are waiting already")]
    #[non_exhaustive]
    QueueFull {
        /// The most that may wait in one direction.
        capacity: NonZeroUsize,
    },
    /// The manager was closed. Of a task: it was before the task had ended, whose progress is saved.
    #[error("the transfer manager is closed")]
    Closed,
    /// No task has this id, or it ended so long ago that its result is forgotten.
    #[error("no task {0}")]
    NotFound(TaskId),
    /// This cannot be done with a task in this state.
    #[error("task {id} is {state}")]
    #[non_exhaustive]
    InvalidState {
        /// The task.
        id: TaskId,
        /// Its state.
        state: TaskState,
    },
    /// The task was canceled already and only has to end.
    #[error("task {0} is being canceled")]
    Canceling(TaskId),
    /// A setting cannot be used. Nothing was tried.
    #[error("invalid {name}: {reason}")]
    #[non_exhaustive]
    InvalidParameter {
        /// Which one.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no tokio runtime here that transfers could run on.
    #[error("no tokio runtime to run transfers on")]
    NoRuntime,
    /// What ran the transfer is gone without a word: its runtime was shut down, or it did not end in time.
    #[error("the transfer was lost: {0}")]
    Lost(&'static str),
    /// The task was canceled.
    #[error("canceled")]
    Canceled,
    /// A bug, of this library or of the application's own protocol: it panicked. What was there is kept.
    #[error("internal error: {what}")]
    #[non_exhaustive]
    Internal {
        /// What the panic said.
        what: String,
    },
    /// The download failed.
    #[error(transparent)]
    Download(DownloadError),
    /// The upload failed.
    #[error(transparent)]
    Upload(UploadError),
}

impl TransferError {
    /// Whose fault it is, in a few classes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Duplicate { .. }
            | Self::QueueFull { .. }
            | Self::NotFound(_)
            | Self::InvalidState { .. }
            | Self::Canceling(_)
            | Self::InvalidParameter { .. }
            | Self::NoRuntime => ErrorKind::Parameter,
            Self::Closed | Self::Canceled => ErrorKind::Stopped,
            Self::Lost(_) | Self::Internal { .. } => ErrorKind::Internal,
            Self::Download(error) => error.kind(),
            Self::Upload(error) => error.kind(),
        }
    }

    /// A number that never changes its meaning, for logs and foreign languages.
    ///
    /// 101 no runtime · 102 invalid parameter · 103 duplicate task · 107 closed · 108 task not found · 111 queue full ·
    /// 112 lost · 117 invalid task state · 120 canceled · 127 internal; of a transfer that failed, those of [`DownloadError::code`] and
    /// [`UploadError::code`].
    pub fn code(&self) -> u16 {
        match self {
            Self::NoRuntime => 101,
            Self::InvalidParameter { .. } => 102,
            Self::Duplicate { .. } => 103,
            Self::Closed => 107,
            Self::NotFound(_) => 108,
            Self::QueueFull { .. } => 111,
            Self::Lost(_) => 112,
            Self::InvalidState { .. } | Self::Canceling(_) => 117,
            Self::Canceled => 120,
            Self::Internal { .. } => 127,
            Self::Download(error) => error.code(),
            Self::Upload(error) => error.code(),
        }
    }

    /// The status of the server's answer, when that was what failed.
    pub fn status(&self) -> Option<http::StatusCode> {
        match self {
            Self::Download(error) => error.status(),
            Self::Upload(error) => error.status(),
            _ => None,
        }
    }

    /// The same as a value to keep: what the terminal event of a failed task carries.
    pub fn failure(&self) -> Failure {
        Failure {
            code: self.code(),
            kind: self.kind(),
            status: self.status().map(|status| status.as_u16()),
            message: in_a_line(self),
        }
    }

    /// What cannot be used, for code of the application that makes transfers: see
    /// [`InvalidParameter`](Self::InvalidParameter).
    pub fn parameter(name: &'static str, reason: impl Into<String>) -> Self {
        Self::InvalidParameter {
            name,
            reason: reason.into(),
        }
    }

    /// Whether it was stopped as a pause does.
    pub(super) fn is_pause(&self) -> bool {
        matches!(
            self,
            Self::Download(DownloadError::Paused) | Self::Upload(UploadError::Paused)
        )
    }

    /// Whether it was stopped for good.
    pub(super) fn is_cancel(&self) -> bool {
        matches!(
            self,
            Self::Canceled
                | Self::Download(DownloadError::Cancelled)
                | Self::Upload(UploadError::Cancelled)
        )
    }
}

impl From<Refused> for TransferError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Duplicate { existing } => Self::Duplicate { existing },
            Refused::Closed => Self::Closed,
            Refused::NotFound(id) => Self::NotFound(id),
            Refused::Full { capacity } => Self::QueueFull { capacity },
            Refused::InvalidState { id, state } => Self::InvalidState { id, state },
            Refused::Canceling(id) => Self::Canceling(id),
            other => Self::parameter("command", other.to_string()),
        }
    }
}

impl From<DownloadError> for TransferError {
    fn from(error: DownloadError) -> Self {
        Self::Download(error)
    }
}

impl From<UploadError> for TransferError {
    fn from(error: UploadError) -> Self {
        Self::Upload(error)
    }
}

/// Why a task failed, as a value to keep.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// The stable number, see [`TransferError::code`].
    pub code: u16,
    /// Whose fault it is.
    #[serde(with = "Kind")]
    pub kind: ErrorKind,
    /// The status of the server's answer, when that was what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What failed and why, for people, in one line. URLs in it are redacted.
    pub message: String,
}

/// How a kind is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ErrorKind", rename_all = "snake_case")]
enum Kind {
    Parameter,
    Network,
    Server,
    Integrity,
    Local,
    RemoteChanged,
    Stopped,
    Internal,
}
