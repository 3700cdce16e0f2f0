//! The queue as it stands at one moment.

use super::{Limit, TaskId};

/// Every task that has not ended, by direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// From servers to this machine.
    pub downloads: Line,
    /// From this machine to servers.
    pub uploads: Line,
}

/// The tasks of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// How many may run at a time. More may be active after the limit was lowered.
    pub limit: Limit,
    /// Pending tasks in the order in which they will start.
    pub queued: Vec<TaskId>,
    /// Tasks that have a slot, in the order in which they were enqueued.
    pub active: Vec<TaskId>,
    /// Paused tasks, in the order in which they were enqueued.
    pub paused: Vec<TaskId>,
}
