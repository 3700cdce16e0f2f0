//! The caller's end of one task: look at its state, wait for its end.

use bytehaul_schedule::transfers::{TaskId, TaskState};
use tokio::sync::watch;

use crate::manager::books::{Ended, Status};
use crate::manager::error::TransferError;
use crate::manager::outcome::TransferOutcome;

/// One task of a [`TransferManager`](crate::TransferManager), for as long as somebody is interested in how it ends. Cheap to
/// clone. Dropping it has no effect on the task.
#[derive(Clone)]
pub struct TaskHandle {
    id: TaskId,
    status: watch::Receiver<Status>,
}

impl TaskHandle {
    pub(super) fn new(id: TaskId, status: watch::Receiver<Status>) -> Self {
        Self { id, status }
    }

    /// The task.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The state that it is in.
    pub fn state(&self) -> TaskState {
        self.status.borrow().state
    }

    /// Waits for the end, over pauses and resumptions. It says the same as the task's terminal event. Cancel-safe; may
    /// be called any number of times, from any clone.
    ///
    /// # Errors
    /// [`TransferError::Download`] or [`TransferError::Upload`] when it failed; [`TransferError::Canceled`];
    /// [`TransferError::Closed`] when the manager was closed before it had ended, and its progress is saved.
    pub async fn wait(&self) -> Result<TransferOutcome, TransferError> {
        ended(self.status.clone()).await
    }
}

impl std::fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskHandle")
            .field("id", &self.id)
            .field("state", &self.state())
            .finish()
    }
}

/// How the task ends. Cancel-safe.
pub(super) async fn ended(mut status: watch::Receiver<Status>) -> Ended {
    let ended = status.wait_for(|status| status.ended.is_some()).await;
    let ended = ended.ok().and_then(|status| status.ended.clone());
    ended.unwrap_or(Err(TransferError::Closed))
}

/// Waits until the task has come to rest after this moment, or has ended: its state then. Cancel-safe.
pub(super) async fn rested(mut status: watch::Receiver<Status>, before: u64) -> TaskState {
    let rests = |status: &Status| status.rests > before || status.state.is_terminal();
    match status.wait_for(rests).await {
        Ok(status) if status.state.is_terminal() => status.state,
        Ok(_) | Err(_) => TaskState::Paused,
    }
}
