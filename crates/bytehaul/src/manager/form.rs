//! How ids, states, directions and priorities are written, which belong to a crate that knows no serde.

use bytehaul_schedule::transfers;
use serde::{Deserialize, Serialize};

/// A direction in small letters.
#[derive(Serialize, Deserialize)]
#[serde(remote = "transfers::Direction", rename_all = "lowercase")]
pub(super) enum Direction {
    Download,
    Upload,
}

/// A state in small letters.
#[derive(Serialize, Deserialize)]
#[serde(remote = "transfers::TaskState", rename_all = "lowercase")]
pub(super) enum TaskState {
    Pending,
    Transmission,
    Paused,
    Complete,
    Failed,
    Canceled,
}

/// A priority as its number.
#[derive(Serialize, Deserialize)]
#[serde(remote = "transfers::Priority")]
pub(super) struct Priority(i32);

/// An id as its number.
#[derive(Serialize, Deserialize)]
#[serde(remote = "transfers::TaskId")]
pub(super) struct TaskId(#[serde(getter = "number")] u64);

impl From<TaskId> for transfers::TaskId {
    fn from(id: TaskId) -> Self {
        id.0.into()
    }
}

fn number(id: &transfers::TaskId) -> u64 {
    u64::from(*id)
}
