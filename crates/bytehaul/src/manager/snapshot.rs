//! What the manager has in hand at one moment.

use std::collections::HashMap;

use bytehaul_schedule::transfers::{Line, Priority, TaskId, TaskState, Transfers};
use serde::Serialize;

use crate::manager::books::Task;
use crate::manager::form;
use crate::manager::progress::TransferProgress;

/// Every task that has not ended.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct TransferSnapshot {
    /// From servers to this machine.
    pub downloads: TransferLine,
    /// From this machine to servers.
    pub uploads: TransferLine,
}

/// The tasks of one direction.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct TransferLine {
    /// How many may run at a time. More may be active after the limit was lowered.
    pub limit: usize,
    /// Pending tasks in the order in which they will start.
    pub queued: Vec<TransferView>,
    /// Tasks that have a slot, in the order in which they were enqueued.
    pub active: Vec<TransferView>,
    /// Paused tasks, in the order in which they were enqueued.
    pub paused: Vec<TransferView>,
}

/// One task.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct TransferView {
    /// The task.
    #[serde(with = "form::TaskId")]
    pub id: TaskId,
    /// What the application calls it.
    pub label: Option<String>,
    /// Where the bytes come from: a redacted URL; a path, or the name of what is uploaded.
    pub source: String,
    /// Where the bytes go: a path, or the directory of an automatic name; a redacted URL.
    pub target: String,
    /// How much it is wished for.
    #[serde(with = "form::Priority")]
    pub priority: Priority,
    /// Its state.
    #[serde(with = "form::TaskState")]
    pub state: TaskState,
    /// How far it is; all zero before its first run in this process.
    pub progress: TransferProgress,
}

impl TransferSnapshot {
    pub(super) fn new(transfers: &Transfers<String>, tasks: &HashMap<TaskId, Task>) -> Self {
        let view = |&id: &TaskId| {
            let task = tasks.get(&id)?;
            Some(TransferView {
                id,
                label: task.label.clone(),
                source: task.source.clone(),
                target: task.target.clone(),
                priority: transfers.priority(id)?,
                state: transfers.state(id)?,
                progress: task.progress.clone(),
            })
        };
        let views = |ids: &[TaskId]| ids.iter().filter_map(view).collect();
        let line = |line: &Line| TransferLine {
            limit: line.limit.tasks(),
            queued: views(&line.queued),
            active: views(&line.active),
            paused: views(&line.paused),
        };
        let snapshot = transfers.snapshot();
        Self {
            downloads: line(&snapshot.downloads),
            uploads: line(&snapshot.uploads),
        }
    }
}
