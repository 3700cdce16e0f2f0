//! Why the queue does not do what it is asked, with the stable numbers of these refusals.

use std::fmt;
use std::num::NonZeroUsize;

use super::{TaskId, TaskState};

/// A command that was refused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// A task with the same key is pending, in transmission or paused.
    Duplicate {
        /// That task, which goes on as if nothing had happened.
        existing: TaskId,
    },
    /// The queue was closed.
    Closed,
    /// No task has this id, or the one that had it has ended.
    NotFound(TaskId),
    /// As many tasks as the queue takes wait for a slot. It is worth another try when one of them has started.
    Full {
        /// The most that may wait.
        capacity: NonZeroUsize,
    },
    /// This cannot be done with a task in this state.
    InvalidState {
        /// The task.
        id: TaskId,
        /// Its state.
        state: TaskState,
    },
    /// The task is in transmission, but it was canceled already and only has to end.
    Canceling(TaskId),
}

impl Refused {
    /// A number that never changes: 103 duplicate task · 107 closed · 108 task not found · 111 queue full ·
    /// 117 invalid task state.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Duplicate { .. } => 103,
            Self::Closed => 107,
            Self::NotFound(_) => 108,
            Self::Full { .. } => 111,
            Self::InvalidState { .. } | Self::Canceling(_) => 117,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { existing } => write!(f, "already queued as task {existing}"),
            Self::Closed => f.write_str("the queue is closed"),
            Self::NotFound(id) => write!(f, "no task {id}"),
            Self::Full { capacity } => write!(f, "{capacity} tasks are waiting already"),
            Self::InvalidState { id, state } => write!(f, "task {id} is {state}"),
            Self::Canceling(id) => write!(f, "task {id} is being canceled"),
        }
    }
}

impl std::error::Error for Refused {}
