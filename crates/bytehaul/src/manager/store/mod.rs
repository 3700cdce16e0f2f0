//! A queue that outlives its process, in a file of SQLite that several processes may use at the same time.

mod error;
mod proof;
mod recipe;
mod rows;
mod run;
mod runner;
mod slots;
mod task;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

pub use self::error::StoreError;
pub use self::recipe::{DownloadRecipe, Recipe, UploadRecipe};
pub use self::run::{Ran, RunUntil};
pub use self::task::{StoredId, StoredTask, Wish};

/// Tasks in a file: added, looked at and changed by any process, run by those that call [`run`](Self::run).
///
/// Every change is on the disk when the call returns, and a process that is killed loses nothing of it; what it ran is
/// taken up by the next one that runs. A download that was killed between giving its file the name and writing that down is
/// complete in the next run where a checksum and an output path prove it; else its target exists (125). A task is run by one
/// process at a time. Credentials, headers and network settings are not stored: whoever runs a task adds them. The file is made for its owner alone, as URLs in it may be signed.
///
/// ```no_run
/// use bytehaul::{DownloadRecipe, NewTask, Recipe, RunUntil, TransferError, TransferManager, TransferStore};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = TransferStore::open("queue.db")?;
/// store.add(NewTask::new(DownloadRecipe::new("https://example.com/big.iso")))?;
/// let transfers = TransferManager::builder().build()?;
/// let make = |task: &bytehaul::StoredTask| match &task.recipe {
///     Recipe::Download(recipe) => Ok(recipe.spec()?.header("x-token", "…").into()),
///     _ => Err(TransferError::parameter("task", "only downloads are stored here")),
/// };
/// let stop = std::future::pending();
/// let ran = store.run(transfers, make, RunUntil::Idle, stop).await?;
/// println!("{} complete, {} failed", ran.completed, ran.failed);
/// # Ok(())
/// # }
/// ```
///
/// Calls block for as long as the disk takes, and up to 10 s while another process writes; in async code, use
/// `spawn_blocking`. The file has to be on a local disk. Cheap to clone.
#[derive(Clone)]
pub struct TransferStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// A task to be added. Everything but the recipe has a default.
#[derive(Clone, Debug)]
#[must_use]
pub struct NewTask {
    recipe: Recipe,
    label: Option<String>,
    priority: i32,
    paused: bool,
}

impl NewTask {
    /// To do this.
    pub fn new(recipe: impl Into<Recipe>) -> Self {
        Self {
            recipe: recipe.into(),
            label: None,
            priority: 0,
            paused: false,
        }
    }

    /// What the application calls it. Default: nothing.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// How much it is wished for: the highest starts first. Default 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// It does nothing until it is resumed.
    pub fn paused(mut self) -> Self {
        self.paused = true;
        self
    }
}

impl TransferStore {
    /// Opens the store in this file, which is made where it is missing, for its owner alone; the directory has to be there.
    ///
    /// # Errors
    /// [`StoreError::Database`] and [`StoreError::File`] when it cannot be used; [`StoreError::Version`] when a later version
    /// has made it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        create_private(&path)?;
        let connection = prepare(&path)?;
        Ok(Self {
            inner: Arc::new(Inner {
                path,
                connection: Mutex::new(connection),
            }),
        })
    }

    /// Adds a task.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the same has not ended yet; [`StoreError::Transfer`] when a download cannot be
    /// one; [`StoreError::Text`] for a path that is no UTF-8.
    pub fn add(&self, task: NewTask) -> Result<StoredId, StoreError> {
        let key = task.recipe.key()?;
        let recipe = serde_json::to_string(&task.recipe);
        let recipe = recipe.map_err(|error| StoreError::Text(error.into()))?;
        self.write(|transaction| rows::insert(transaction, &key, &recipe, &task))
    }

    /// All tasks, those that have ended as well, in the order in which they were added.
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::Damaged`] for a row that cannot be understood.
    pub fn list(&self) -> Result<Vec<StoredTask>, StoreError> {
        self.write(rows::all)?
            .into_iter()
            .map(task::Raw::task)
            .collect()
    }

    /// One task.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and as [`list`](Self::list).
    pub fn get(&self, id: StoredId) -> Result<StoredTask, StoreError> {
        let raw = self.write(|transaction| rows::one(transaction, id))?;
        raw.ok_or(StoreError::NotFound(id))?.task()
    }

    /// Says what is wanted of a task. What no process runs has the new state when this returns, except that an upload which
    /// may have staged something is canceled by the next process that runs the queue, which discards that; what
    /// a process runs follows within a fraction of a second.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::InvalidState`] when it has ended, or is as wished already;
    /// [`StoreError::Canceling`].
    pub fn wish(&self, id: StoredId, wish: Wish) -> Result<(), StoreError> {
        self.write(|transaction| rows::wish(transaction, id, wish))?
    }

    /// Changes how much a task is wished for. One that was started is not interrupted.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn set_priority(&self, id: StoredId, priority: i32) -> Result<(), StoreError> {
        let found = self.write(|transaction| rows::set_priority(transaction, id, priority))?;
        found.then_some(()).ok_or(StoreError::NotFound(id))
    }

    /// Removes the tasks that have ended: how many there were.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn forget_ended(&self) -> Result<usize, StoreError> {
        self.write(rows::forget_ended)
    }

    /// In one transaction, after what dead processes had claimed is free again.
    fn write<T>(
        &self,
        change: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, rows::Refused>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection();
        let failed = |error| self.failed(error);
        let behavior = TransactionBehavior::Immediate;
        let transaction = connection.transaction_with_behavior(behavior);
        let transaction = transaction.map_err(failed)?;
        for owner in rows::owners(&transaction).map_err(failed)? {
            // Held until its rows are free, so that nobody takes the place meanwhile.
            if let Some(dead) = slots::try_take(&self.inner.path, owner)? {
                rows::release(&transaction, dead.number).map_err(failed)?;
            }
        }
        let changed = match change(&transaction) {
            Ok(changed) => changed,
            Err(rows::Refused::Because(error)) => return Err(error),
            Err(rows::Refused::Sqlite(error)) => return Err(self.failed(error)),
        };
        transaction.commit().map_err(failed)?;
        Ok(changed)
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        database(&self.inner.path, source)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        let connection = self.inner.connection.lock();
        connection.unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for TransferStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransferStore")
            .field("path", &self.inner.path)
            .finish()
    }
}

/// SQLite gives its other files the permissions of this one.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = options.open(path);
    made.map(drop).map_err(|source| StoreError::File {
        path: path.to_owned(),
        source: Arc::new(source),
    })
}

fn prepare(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error| database(path, error);
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    // Readers and a writer at the same time; a commit is on the disk when it returns.
    let wal = connection.pragma_update(None, "journal_mode", "wal");
    wal.map_err(failed)?;
    let full = connection.pragma_update(None, "synchronous", "full");
    full.map_err(failed)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let transaction = transaction.map_err(failed)?;
    let version = transaction.query_row("PRAGMA user_version", [], |row| row.get(0));
    match version.map_err(failed)? {
        0 => rows::create(&transaction).map_err(failed)?,
        rows::VERSION => (),
        version => {
            return Err(StoreError::Version {
                path: path.to_owned(),
                version,
            });
        }
    }
    transaction.commit().map_err(failed)?;
    Ok(connection)
}

fn database(path: &Path, source: rusqlite::Error) -> StoreError {
    StoreError::Database {
        path: path.to_owned(),
        source: Arc::new(source),
    }
}

/// How long a call waits for other processes.
const PATIENCE: Duration = Duration::from_secs(10);
