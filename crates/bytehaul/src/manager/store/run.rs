//! Running a queue in this process: the call, how long it goes on, and what it gives.

use super::TransferStore;
use super::error::StoreError;
use super::rows;
use super::runner::Runner;
use super::slots;
use super::task::StoredTask;
use crate::manager::transfer::Transfer;
use crate::manager::{TransferError, TransferManager};
use crate::session::blocking;

/// How long a queue is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum RunUntil {
    /// Until nothing waits and nothing runs, in any process.
    #[default]
    Idle,
    /// Until it is told to stop.
    Stopped,
}

/// What has ended while a queue was run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Ran {
    /// Tasks that are complete.
    pub completed: u64,
    /// Tasks that have failed.
    pub failed: u64,
    /// Tasks that were canceled.
    pub canceled: u64,
}

impl TransferStore {
    /// Runs the queue in this process: as many tasks at a time as `transfers` runs, beside other processes that do the same.
    ///
    /// `make` makes the transfer of a stored task, with the credentials, headers and network settings that are not stored; what it
    /// fails with is the failure of the task. An upload gets the checkpoint that is stored, unless it has one or a place for it. What
    /// other processes [wish](Self::wish) is done within a fraction of a second. `stop` ends it, as does the manager's end. Then
    /// the manager is closed, and what ran and waited here is free for whoever runs the queue next.
    ///
    /// The manager is for this alone. Its events may be listened to; a task's label is the stored one.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be used; what ran is paused then, and taken up by whoever runs the queue next.
    ///
    /// # Cancel safety
    /// Dropping the future pauses what runs without waiting for it.
    pub async fn run(
        &self,
        transfers: TransferManager,
        make: impl Fn(&StoredTask) -> Result<Transfer, TransferError> + Send + Sync,
        until: RunUntil,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Ran, StoreError> {
        let path = self.inner.path.clone();
        let slot = blocking(move || slots::take(&path)).await?;
        let mut runner = Runner::new(self.clone(), slot.number, transfers);
        // A process that was here before and is gone may have left claims.
        let ran = match runner.release().await {
            Ok(()) => runner.run(&make, until, stop).await,
            Err(error) => Err(error),
        };
        let finished = runner.finish(slot).await;
        ran.and(finished).map(|()| runner.ran)
    }

    /// The same change away from the runtime's threads.
    pub(super) async fn write_beside<T: Send + 'static>(
        &self,
        change: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, rows::Refused> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        blocking(move || store.write(change)).await
    }

    /// Changes when anybody has written.
    pub(super) async fn stamp(&self) -> Result<(i64, u64), StoreError> {
        let store = self.clone();
        blocking(move || {
            let connection = store.connection();
            let others = connection.query_row("PRAGMA data_version", [], |row| row.get(0));
            let others = others.map_err(|error| store.failed(error))?;
            Ok((others, connection.total_changes()))
        })
        .await
    }
}
