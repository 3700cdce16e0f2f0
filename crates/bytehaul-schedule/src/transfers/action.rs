//! What the queue and its driver say to each other.

use super::{TaskId, TaskState};

/// What the driver has to do next. Actions are to be carried out in the order in which they are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Run the task, from wherever its progress is. Each start is answered by exactly one
    /// [`ended`](super::Transfers::ended), also when it could not even begin.
    Start(TaskId),
    /// Ask the running task to end. A stop may arrive when it has ended by itself: then there is nothing to do.
    Stop(TaskId, Stop),
    /// Discard what the task has staged, if anything, beside the transfers: it occupies no slot. To be answered by
    /// [`discarded`](super::Transfers::discarded), whether it worked or not. Nothing of this task is running.
    Discard(TaskId),
    /// The task is in this state now: tell those who listen. A terminal state is the last that is ever said of a task.
    Notify(TaskId, TaskState),
}

/// How a running task is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// Save the progress, so that it can be resumed.
    Pause,
    /// Give up. May follow a pause that is under way.
    Cancel,
}

/// How a running task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// All bytes are where they should be.
    Completed,
    /// No further try was worth while.
    Failed,
    /// It was stopped, and its progress is saved.
    Paused,
    /// It was stopped, and nobody wants to resume it.
    Canceled,
}
