//! Looking at the queue without changing it.

use std::fmt;
use std::hash::Hash;

use super::lane::{Lane, Place};
use super::{
    Direction, Line, Priority, Refused, Snapshot, Stage, Task, TaskId, TaskState, Transfers,
};

impl<K: Eq + Hash + Clone> Transfers<K> {
    /// The state of a task; `None` when it has ended, or never was.
    #[must_use]
    pub fn state(&self, id: TaskId) -> Option<TaskState> {
        self.tasks.get(&id).map(Task::state)
    }

    /// The priority of a task; `None` when it has ended, or never was.
    #[must_use]
    pub fn priority(&self, id: TaskId) -> Option<Priority> {
        self.tasks.get(&id).map(|task| task.priority)
    }

    /// The task with this key that has not ended.
    #[must_use]
    pub fn find(&self, key: &K) -> Option<TaskId> {
        self.keys.get(key).copied()
    }

    /// Every task that has not ended. The cost grows with their number.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            downloads: self.line(Direction::Download, &self.downloads),
            uploads: self.line(Direction::Upload, &self.uploads),
        }
    }

    fn line(&self, direction: Direction, lane: &Lane) -> Line {
        let mut line = Line {
            limit: lane.limit,
            ..Line::default()
        };
        let mut queued = Vec::with_capacity(lane.pending);
        let tasks = self
            .tasks
            .iter()
            .filter(|(_, task)| task.direction == direction);
        for (&id, task) in tasks {
            match task.stage {
                Stage::Pending(since) => queued.push((Place::new(task.priority, since), id)),
                Stage::Transmission(_) => line.active.push(id),
                Stage::Paused => line.paused.push(id),
            }
        }
        queued.sort_unstable();
        line.queued = queued.into_iter().map(|(_, id)| id).collect();
        line
    }
}

impl<K> Transfers<K> {
    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether it is closed, everything that ran has ended, everything that was to be discarded is, and every action was
    /// polled. Nothing follows any more.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let idle = self.downloads.active == 0 && self.uploads.active == 0;
        self.closed && idle && self.clearings.len() == 0 && self.outbox.is_empty()
    }
}

impl<K> Task<K> {
    pub(super) const fn state(&self) -> TaskState {
        match self.stage {
            Stage::Pending(_) => TaskState::Pending,
            Stage::Transmission(_) => TaskState::Transmission,
            Stage::Paused => TaskState::Paused,
        }
    }

    pub(super) const fn invalid(&self, id: TaskId) -> Refused {
        Refused::InvalidState {
            id,
            state: self.state(),
        }
    }
}

/// Numbers only: keys may hold URLs with secrets.
impl<K> fmt::Debug for Transfers<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfers")
            .field("capacity", &self.capacity)
            .field("tasks", &self.tasks.len())
            .field("downloads", &self.downloads)
            .field("uploads", &self.uploads)
            .field("discards", &self.clearings.len())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
