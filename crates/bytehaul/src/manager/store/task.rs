//! A row of the store as a value.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytehaul_schedule::transfers::TaskState;
use rusqlite::Row;
use serde::de::DeserializeOwned;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::recipe::Recipe;
use crate::manager::error::Failure;
use crate::manager::form;
use crate::manager::outcome::Completion;
use crate::manager::progress::TransferProgress;
use crate::upload::Checkpoint;

/// A task of a store, for all processes and for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct StoredId(pub(super) i64);

impl fmt::Display for StoredId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StoredId {
    type Err = std::num::ParseIntError;

    /// The number as it was printed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What somebody wants of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// Save the progress and wait.
    Pause,
    /// Go on.
    Resume,
    /// Give up, and discard what was staged at a server.
    Cancel,
}

impl Wish {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }
}

/// A task of a store.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct StoredTask {
    /// Its number.
    pub id: StoredId,
    /// What it is to do.
    pub recipe: Recipe,
    /// What the application calls it.
    pub label: Option<String>,
    /// How much it is wished for.
    pub priority: i32,
    /// Its state, as far as it was told.
    #[serde(with = "form::TaskState")]
    pub state: TaskState,
    /// What is wanted of it and has not been done yet.
    pub wish: Option<Wish>,
    /// Whether a process has it.
    pub claimed: bool,
    /// How far it is.
    pub progress: TransferProgress,
    /// What another run of an upload needs to go on.
    pub checkpoint: Option<Checkpoint>,
    /// What it was when it was complete.
    pub completion: Option<Completion>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// When it was added, in seconds since 1970.
    pub added_at: i64,
    /// When it was last written, in seconds since 1970.
    pub updated_at: i64,
}

/// What [`StoredTask::read`] needs, in this order.
pub(super) const COLUMNS: &str = "id, recipe, label, priority, state, wish, owner, progress, checkpoint, completion, failure, \
                                  added_at, updated_at";

/// A row whose values are not understood yet.
pub(super) struct Raw {
    id: i64,
    recipe: String,
    label: Option<String>,
    priority: i32,
    state: String,
    wish: Option<String>,
    owner: Option<i64>,
    progress: Option<String>,
    checkpoint: Option<String>,
    completion: Option<String>,
    failure: Option<String>,
    added_at: i64,
    updated_at: i64,
}

impl Raw {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            recipe: row.get(1)?,
            label: row.get(2)?,
            priority: row.get(3)?,
            state: row.get(4)?,
            wish: row.get(5)?,
            owner: row.get(6)?,
            progress: row.get(7)?,
            checkpoint: row.get(8)?,
            completion: row.get(9)?,
            failure: row.get(10)?,
            added_at: row.get(11)?,
            updated_at: row.get(12)?,
        })
    }

    pub(super) fn id(&self) -> StoredId {
        StoredId(self.id)
    }

    /// Whether it has been in transmission before.
    pub(super) fn has_begun(&self) -> bool {
        self.progress.is_some()
    }

    /// The first to be started comes first.
    pub(super) fn place(&self) -> (std::cmp::Reverse<i32>, i64) {
        (std::cmp::Reverse(self.priority), self.id)
    }

    pub(super) fn task(self) -> Result<StoredTask, StoreError> {
        let id = StoredId(self.id);
        Ok(StoredTask {
            id,
            recipe: json(id, &self.recipe)?,
            label: self.label,
            priority: self.priority,
            state: state(id, &self.state)?,
            wish: self.wish.map(|text| wish(id, &text)).transpose()?,
            claimed: self.owner.is_some(),
            progress: optional(id, self.progress.as_deref())?.unwrap_or_default(),
            checkpoint: optional(id, self.checkpoint.as_deref())?,
            completion: optional(id, self.completion.as_deref())?,
            failure: optional(id, self.failure.as_deref())?,
            added_at: self.added_at,
            updated_at: self.updated_at,
        })
    }
}

fn json<T: DeserializeOwned>(id: StoredId, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Damaged {
        id,
        source: source.into(),
    })
}

fn optional<T: DeserializeOwned>(
    id: StoredId,
    text: Option<&str>,
) -> Result<Option<T>, StoreError> {
    text.map(|text| json(id, text)).transpose()
}

/// A state as it is stored.
pub(super) fn state(id: StoredId, text: &str) -> Result<TaskState, StoreError> {
    form::TaskState::deserialize(StrDeserializer::<Error>::new(text)).map_err(damaged(id))
}

/// A wish as it is stored.
pub(super) fn wish(id: StoredId, text: &str) -> Result<Wish, StoreError> {
    Wish::deserialize(StrDeserializer::<Error>::new(text)).map_err(damaged(id))
}

fn damaged(id: StoredId) -> impl FnOnce(Error) -> StoreError {
    move |error| StoreError::Damaged {
        id,
        source: Arc::new(serde::de::Error::custom(error)),
    }
}
