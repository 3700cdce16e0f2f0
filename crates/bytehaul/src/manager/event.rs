//! What is told of tasks, as values that an application can keep.

use bytehaul_schedule::transfers::{Direction, TaskId, TaskState};
use serde::{Deserialize, Serialize};

use crate::manager::error::Failure;
use crate::manager::form;
use crate::manager::outcome::Completion;
use crate::manager::progress::TransferProgress;
use crate::upload::Checkpoint;

/// Something that has happened to a task.
///
/// Serialize it in any self-describing format, such as JSON. It holds no credentials, and its URLs are redacted; what an
/// application needs to make the same task again it keeps itself, under its own [`label`](Self::label).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TransferEvent {
    /// Grows with each event of the manager, from 1. A reader misses numbers where progress was left out.
    pub seq: u64,
    /// The task. Ids are per manager, and begin at 1 again in the next one.
    #[serde(with = "form::TaskId")]
    pub id: TaskId,
    /// Which way the bytes go.
    #[serde(with = "form::Direction")]
    pub direction: Direction,
    /// What the application calls the task, see [`TaskOptions::label`](crate::TaskOptions::label).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Where the bytes come from: a redacted URL; a path, or the name of what is uploaded.
    pub source: String,
    /// Where the bytes go: a path, or the directory of an automatic name; a redacted URL.
    pub target: String,
    /// What has happened.
    pub kind: EventKind,
}

/// What has happened to a task.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// It is pending, in transmission or paused now. The states that are an end have events of their own.
    State(#[serde(with = "form::TaskState")] TaskState),
    /// How far it is: about ten times a second while it runs.
    Progress(TransferProgress),
    /// What another run of the upload needs to go on from here, in this process or another one: at most five times a second,
    /// and always the last one before the run ends. Give it back as
    /// [`UploadSpec::checkpoint`](crate::UploadSpec#structfield.checkpoint).
    Checkpoint(Box<Checkpoint>),
    /// All bytes are where they should be. Terminal.
    Completed(Completion),
    /// It ended without success. Terminal.
    Failed(Failure),
    /// It was given up. Terminal.
    Canceled,
}

impl EventKind {
    /// The state that the task is in from now on; `None` for what does not change it.
    pub fn state(&self) -> Option<TaskState> {
        match self {
            Self::State(state) => Some(*state),
            Self::Progress(_) | Self::Checkpoint(_) => None,
            Self::Completed(_) => Some(TaskState::Complete),
            Self::Failed(_) => Some(TaskState::Failed),
            Self::Canceled => Some(TaskState::Canceled),
        }
    }

    /// Whether it is the last event of its task.
    pub fn is_terminal(&self) -> bool {
        self.state().is_some_and(TaskState::is_terminal)
    }
}
