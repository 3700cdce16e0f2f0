//! What is in the file: one table, and each statement that touches it.

use bytehaul_schedule::transfers::{Direction, TaskState};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::NewTask;
use super::error::StoreError;
use super::task::{self, COLUMNS, Raw, StoredId, Wish};

/// Version of the form of the file.
pub(super) const VERSION: i64 = 1;

/// Why a change was not made.
pub(super) enum Refused {
    Because(StoreError),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Because(error)
    }
}

pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE tasks (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL,
            direction TEXT NOT NULL,
            recipe TEXT NOT NULL,
            label TEXT,
            priority INTEGER NOT NULL,
            state TEXT NOT NULL,
            wish TEXT,
            owner INTEGER,
            progress TEXT,
            checkpoint TEXT,
            completion TEXT,
            failure TEXT,
            added_at INTEGER NOT NULL DEFAULT (unixepoch()),
            updated_at INTEGER NOT NULL DEFAULT (unixepoch())
        );
        CREATE UNIQUE INDEX tasks_by_key ON tasks (key)
            WHERE state NOT IN ('complete', 'failed', 'canceled');
        CREATE INDEX tasks_by_state ON tasks (state, priority DESC, id);
        CREATE INDEX tasks_by_owner ON tasks (owner) WHERE owner IS NOT NULL;
        PRAGMA user_version = 1;",
    )
}

pub(super) fn insert(
    transaction: &Transaction<'_>,
    key: &str,
    recipe: &str,
    task: &NewTask,
) -> Result<StoredId, Refused> {
    let existing =
        "SELECT id FROM tasks WHERE key = ?1 AND state NOT IN ('complete', 'failed', 'canceled')";
    let existing = transaction
        .query_row(existing, [key], |row| row.get(0))
        .optional()?;
    if let Some(existing) = existing.map(StoredId) {
        return Err(StoreError::Duplicate { existing }.into());
    }
    let state = match task.paused {
        true => TaskState::Paused,
        false => TaskState::Pending,
    };
    transaction.execute(
        // The same upload may have failed before: it goes on from there.
        "INSERT INTO tasks (key, direction, recipe, label, priority, state, checkpoint)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6,
            (SELECT checkpoint FROM tasks WHERE key = ?1 AND state = 'failed' ORDER BY id DESC LIMIT 1))",
        params![
            key,
            direction(task.recipe.direction()),
            recipe,
            task.label,
            task.priority,
            state.to_string()
        ],
    )?;
    Ok(StoredId(transaction.last_insert_rowid()))
}

pub(super) fn all(transaction: &Transaction<'_>) -> Result<Vec<Raw>, Refused> {
    let mut statement = transaction.prepare(&format!("SELECT {COLUMNS} FROM tasks ORDER BY id"))?;
    let rows = statement.query_map([], Raw::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn one(transaction: &Transaction<'_>, id: StoredId) -> Result<Option<Raw>, Refused> {
    let query = format!("SELECT {COLUMNS} FROM tasks WHERE id = ?1");
    Ok(transaction
        .query_row(&query, [id.0], Raw::read)
        .optional()?)
}

/// The inner result is what the wish was refused with.
pub(super) fn wish(
    transaction: &Transaction<'_>,
    id: StoredId,
    wish: Wish,
) -> Result<Result<(), StoreError>, Refused> {
    let query = "SELECT state, wish, owner, checkpoint IS NOT NULL FROM tasks WHERE id = ?1";
    let row = transaction
        .query_row(query, [id.0], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, Option<String>>(1)?,
                row.get::<_, Option<i64>>(2)?,
                row.get::<_, bool>(3)?,
            ))
        })
        .optional()?;
    let Some((state, wished, owner, staged)) = row else {
        return Err(StoreError::NotFound(id).into());
    };
    let state = task::state(id, &state)?;
    let wished = wished.map(|text| task::wish(id, &text)).transpose()?;
    // Where it will be when what was wished before is done.
    let going_to = match (wished, state) {
        (Some(Wish::Cancel), _) if wish == Wish::Cancel => return Ok(Ok(())),
        (Some(Wish::Cancel), _) => return Err(StoreError::Canceling(id).into()),
        (Some(Wish::Pause), TaskState::Pending | TaskState::Transmission) => TaskState::Paused,
        (Some(Wish::Resume), TaskState::Paused) => TaskState::Pending,
        (Some(Wish::Pause | Wish::Resume) | None, state) => state,
    };
    let paused = going_to == TaskState::Paused;
    let senseless = match wish {
        Wish::Pause => paused,
        Wish::Resume => !paused,
        Wish::Cancel => false,
    };
    if going_to.is_terminal() || senseless {
        let state = going_to;
        return Err(StoreError::InvalidState { id, state }.into());
    }
    let next = match (owner, wish) {
        (None, Wish::Pause) => Some(TaskState::Paused),
        (None, Wish::Resume) => Some(TaskState::Pending),
        (None, Wish::Cancel) if !staged => Some(TaskState::Canceled),
        (Some(_), _) | (None, Wish::Cancel) => None,
    };
    match next {
        Some(state) => transaction.execute(
            "UPDATE tasks SET state = ?2, wish = NULL, updated_at = unixepoch() WHERE id = ?1",
            params![id.0, state.to_string()],
        )?,
        None => transaction.execute(
            "UPDATE tasks SET wish = ?2, updated_at = unixepoch() WHERE id = ?1",
            params![id.0, wish.as_str()],
        )?,
    };
    Ok(Ok(()))
}

pub(super) fn set_priority(
    transaction: &Transaction<'_>,
    id: StoredId,
    priority: i32,
) -> Result<bool, Refused> {
    let set = "UPDATE tasks SET priority = ?2, updated_at = unixepoch() WHERE id = ?1";
    Ok(transaction.execute(set, params![id.0, priority])? > 0)
}

pub(super) fn forget_ended(transaction: &Transaction<'_>) -> Result<usize, Refused> {
    let ended = "DELETE FROM tasks WHERE state IN ('complete', 'failed', 'canceled')";
    Ok(transaction.execute(ended, [])?)
}

/// Who has claimed something.
pub(super) fn owners(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut statement =
        connection.prepare("SELECT DISTINCT owner FROM tasks WHERE owner IS NOT NULL")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}

/// What somebody had claimed who is gone is free: what ran waits again, and what was wished is done.
pub(super) fn release(connection: &Connection, owner: i64) -> rusqlite::Result<()> {
    connection
        .execute(
            "UPDATE tasks SET owner = NULL, updated_at = unixepoch(),
                state = CASE
                    WHEN wish = 'pause' THEN 'paused'
                    WHEN wish = 'resume' THEN 'pending'
                    WHEN state = 'transmission' THEN 'pending'
                    ELSE state END,
                wish = CASE wish WHEN 'cancel' THEN wish END
            WHERE owner = ?1",
            [owner],
        )
        .map(drop)
}

/// Claims what is next for somebody who has room for so many more.
pub(super) fn claim(
    transaction: &Transaction<'_>,
    owner: i64,
    way: Direction,
    room: usize,
) -> Result<Vec<Raw>, Refused> {
    let room = i64::try_from(room).unwrap_or(i64::MAX);
    let update = format!(
        "UPDATE tasks SET owner = ?1, updated_at = unixepoch() WHERE id IN (
            SELECT id FROM tasks
            WHERE owner IS NULL AND direction = ?2 AND state = 'pending' AND wish IS NULL
            ORDER BY priority DESC, id LIMIT ?3)
        RETURNING {COLUMNS}"
    );
    let mut statement = transaction.prepare(&update)?;
    let rows = statement.query_map(params![owner, direction(way), room], Raw::read)?;
    let mut claimed: Vec<_> = rows.collect::<Result<_, _>>()?;
    claimed.sort_by_key(Raw::place);
    Ok(claimed)
}

/// Claims what is to be canceled and may have staged something.
pub(super) fn claim_canceled(
    transaction: &Transaction<'_>,
    owner: i64,
) -> Result<Vec<Raw>, Refused> {
    let update = format!(
        "UPDATE tasks SET owner = ?1, updated_at = unixepoch()
        WHERE owner IS NULL AND wish = 'cancel' AND state IN ('pending', 'paused')
        RETURNING {COLUMNS}"
    );
    let mut statement = transaction.prepare(&update)?;
    let rows = statement.query_map([owner], Raw::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Gives back what was claimed and cannot be run here.
pub(super) fn unclaim(
    transaction: &Transaction<'_>,
    owner: i64,
    id: StoredId,
) -> Result<(), Refused> {
    let free = "UPDATE tasks SET owner = NULL WHERE id = ?1 AND owner = ?2";
    transaction.execute(free, [id.0, owner])?;
    Ok(())
}

/// The wishes for what somebody has claimed. They stay until they are done, so that whoever comes after a crash does them.
pub(super) fn wishes(
    transaction: &Transaction<'_>,
    owner: i64,
) -> Result<Vec<(StoredId, Wish)>, Refused> {
    let query = "SELECT id, wish FROM tasks WHERE owner = ?1 AND wish IS NOT NULL";
    let mut statement = transaction.prepare(query)?;
    let rows = statement.query_map([owner], |row| {
        Ok((StoredId(row.get(0)?), row.get::<_, String>(1)?))
    })?;
    let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    let wish = |(id, wish): (_, String)| Ok((id, task::wish(id, &wish)?));
    rows.into_iter().map(wish).collect()
}

/// What a row says from now on; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Change {
    pub(super) state: Option<TaskState>,
    pub(super) progress: Option<String>,
    pub(super) checkpoint: Option<String>,
    pub(super) completion: Option<String>,
    pub(super) failure: Option<String>,
    /// Whoever comes next may take it up.
    pub(super) give_back: bool,
    /// It is canceled as soon as what it has staged is discarded, by whoever comes next if not by this process.
    pub(super) discarding: bool,
}

/// Writes what has become of a task that this owner has claimed; of one that it no longer has, nothing. One that has ended
/// is nobody's any more.
pub(super) fn update(
    transaction: &Transaction<'_>,
    owner: i64,
    id: StoredId,
    change: &Change,
) -> Result<(), Refused> {
    let ended = change.state.is_some_and(TaskState::is_terminal);
    let state = change.state.map(|state| state.to_string());
    let mut statement = transaction.prepare(
        "UPDATE tasks SET updated_at = unixepoch(),
            state = coalesce(?3, state),
            progress = coalesce(?4, progress),
            checkpoint = CASE WHEN ?3 IN ('complete', 'canceled') THEN NULL ELSE coalesce(?5, checkpoint) END,
            completion = coalesce(?6, completion),
            failure = coalesce(?7, failure),
            owner = CASE WHEN ?8 OR ?9 THEN NULL ELSE owner END,
            wish = CASE
                WHEN ?8 THEN NULL
                WHEN ?10 THEN 'cancel'
                WHEN wish = 'pause' AND ?3 = 'paused' THEN NULL
                WHEN wish = 'resume' AND ?3 IN ('pending', 'transmission') THEN NULL
                ELSE wish END
        WHERE id = ?1 AND owner = ?2",
    )?;
    statement.execute(params![
        id.0,
        owner,
        state,
        change.progress,
        change.checkpoint,
        change.completion,
        change.failure,
        ended,
        change.give_back,
        change.discarding
    ])?;
    Ok(())
}

/// Whether there is anything left for anybody to run.
pub(super) fn is_idle(transaction: &Transaction<'_>) -> Result<bool, Refused> {
    let query = "SELECT NOT EXISTS (SELECT 1 FROM tasks
        WHERE state IN ('pending', 'transmission') OR wish IN ('resume', 'cancel'))";
    Ok(transaction.query_row(query, [], |row| row.get(0))?)
}

const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Download => "download",
        Direction::Upload => "upload",
    }
}
