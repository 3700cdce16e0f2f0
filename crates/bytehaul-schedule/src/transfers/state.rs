//! What a task of the queue is known by, which states it can be in, and which state may follow which.

use std::fmt;

/// Which way the bytes go. Each way has a queue and a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From a server to this machine.
    Download,
    /// From this machine to a server.
    Upload,
}

/// One task. Never used again in the same queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl From<u64> for TaskId {
    /// The id with this number, as it was printed or stored. A number that was never given out names no task.
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<TaskId> for u64 {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How much a task is wished for: the highest starts first, among equals the one that has waited longest. Default 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub i32);

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a task is between its entry and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// It waits for a free slot of its direction.
    Pending,
    /// It has a slot. It stays here while it is being stopped, until the driver says that it has ended.
    Transmission,
    /// It holds nothing and waits to be resumed; its progress is saved.
    Paused,
    /// All bytes are where they should be.
    Complete,
    /// It ended without success. What is there may serve a new task.
    Failed,
    /// It was given up, and what it had staged is to be discarded.
    Canceled,
}

impl TaskState {
    /// All states, in the order in which a task may meet them.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Transmission,
        Self::Paused,
        Self::Complete,
        Self::Failed,
        Self::Canceled,
    ];

    /// Whether nothing follows. Such a task is forgotten, and its key is free.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Canceled)
    }

    /// Whether a task may enter the queue in this state.
    #[must_use]
    pub const fn is_initial(self) -> bool {
        matches!(self, Self::Pending | Self::Paused)
    }

    /// Whether a task in this state may be in `next` right after. No state follows itself.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(next, Self::Transmission | Self::Paused | Self::Canceled),
            Self::Transmission => matches!(
                next,
                Self::Paused | Self::Complete | Self::Failed | Self::Canceled
            ),
            Self::Paused => matches!(next, Self::Pending | Self::Canceled),
            Self::Complete | Self::Failed | Self::Canceled => false,
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Transmission => "transmission",
            Self::Paused => "paused",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row for each state, a column for each that may follow.
    const MOVES: &str = "
                     pending  transmission  paused  complete  failed  canceled
        pending         .          x           x        .        .        x
        transmission    .          .           x        x        x        x
        paused          x          .           .        .        .        x
        complete        .          .           .        .        .        .
        failed          .          .           .        .        .        .
        canceled        .          .           .        .        .        .
    ";

    #[test]
    fn the_table_of_moves() {
        let mut lines = MOVES.trim().lines().map(str::split_whitespace);
        let columns: Vec<_> = lines.next().unwrap().collect();
        assert_eq!(columns, TaskState::ALL.map(|state| state.to_string()));
        let rows: Vec<Vec<_>> = lines.map(Iterator::collect).collect();
        let moves = TaskState::ALL.map(|from| {
            let row = TaskState::ALL.map(|to| if from.may_become(to) { "x" } else { "." });
            std::iter::once(from.to_string())
                .chain(row.map(str::to_owned))
                .collect::<Vec<_>>()
        });
        assert_eq!(rows, moves);
    }

    #[test]
    fn an_end_is_a_state_without_moves() {
        for state in TaskState::ALL {
            let stuck = TaskState::ALL.iter().all(|&next| !state.may_become(next));
            assert_eq!(state.is_terminal(), stuck, "{state}");
            assert!(!(state.is_terminal() && state.is_initial()), "{state}");
        }
    }
}
