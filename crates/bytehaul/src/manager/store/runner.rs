//! One process that runs the queue: claims what is next, gives it to a manager, writes back what becomes of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;
use std::time::{Duration, Instant};

use bytehaul_schedule::transfers::{Direction, TaskId, TaskState};
use tokio::task::{JoinError, JoinSet};

use super::TransferStore;
use super::error::StoreError;
use super::proof::Expected;
use super::rows::{self, Change};
use super::run::{Ran, RunUntil};
use super::slots::Slot;
use super::task::{Raw, StoredId, StoredTask, Wish};
use crate::manager::error::Failure;
use crate::manager::event::{EventKind, TransferEvent};
use crate::manager::mailbox::EventStream;
use crate::manager::outcome::Completion;
use crate::manager::progress::TransferProgress;
use crate::manager::transfer::{TaskOptions, Transfer};
use crate::manager::{TransferError, TransferLine, TransferManager};
use crate::upload::CheckpointPlace;

/// Whoever holds a place among those who run the queue.
pub(super) struct Runner {
    store: TransferStore,
    owner: i64,
    transfers: TransferManager,
    events: EventStream,
    tasks: HashMap<StoredId, TaskId>,
    rows: HashMap<TaskId, StoredId>,
    /// Wishes that were passed on to the manager and are not done yet.
    issued: HashMap<StoredId, Wish>,
    /// Canceled uploads, until what they have staged is discarded.
    discarding: JoinSet<StoredId>,
    /// What those were to make that had begun in an earlier process, and those which had not.
    expected: HashMap<StoredId, Expected>,
    fresh: HashSet<StoredId>,
    /// Looks whether what is at a target is that.
    proving: JoinSet<(StoredId, Option<Completion>, Failure)>,
    /// How often a task was found to be in somebody else's hands.
    waited: HashMap<StoredId, u32>,
    /// What is to be written.
    changes: BTreeMap<StoredId, Change>,
    progress: HashMap<StoredId, TransferProgress>,
    progress_at: Instant,
    /// The stamp of the store when it was last looked at.
    seen: Option<(i64, u64)>,
    turned: Option<Instant>,
    pub(super) ran: Ran,
}

/// Whether there is more to do.
#[derive(PartialEq, Eq)]
enum Turn {
    Busy,
    Idle,
}

impl Runner {
    pub(super) fn new(store: TransferStore, owner: i64, transfers: TransferManager) -> Self {
        Self {
            store,
            owner,
            events: transfers.events(),
            transfers,
            tasks: HashMap::new(),
            rows: HashMap::new(),
            issued: HashMap::new(),
            discarding: JoinSet::new(),
            expected: HashMap::new(),
            fresh: HashSet::new(),
            proving: JoinSet::new(),
            waited: HashMap::new(),
            changes: BTreeMap::new(),
            progress: HashMap::new(),
            progress_at: Instant::now(),
            seen: None,
            turned: None,
            ran: Ran::default(),
        }
    }

    /// Until it is over.
    pub(super) async fn run(
        &mut self,
        make: &(impl Fn(&StoredTask) -> Result<Transfer, TransferError> + Sync),
        until: RunUntil,
        stop: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        let mut stop = pin!(stop);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                event = self.events.next() => match event {
                    Some(event) => self.take(&event, Closing::No).await?,
                    None => return Ok(()),
                },
                Some(discarded) = self.discarding.join_next() => {
                    self.canceled(discarded);
                    self.flush().await?;
                }
                Some(proven) = self.proving.join_next() => {
                    self.proven(proven)?;
                    self.flush().await?;
                }
                _ = ticks.tick() => {
                    self.flush().await?;
                    let idle = self.turn(make).await? == Turn::Idle;
                    if idle && until == RunUntil::Idle {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Takes an event and what has come with it, and writes what must not be lost.
    async fn take(&mut self, event: &TransferEvent, closing: Closing) -> Result<(), StoreError> {
        self.note(event, closing)?;
        while let Some(event) = ready(&mut self.events).await {
            self.note(&event, closing)?;
        }
        if self.changes.is_empty() {
            return Ok(());
        }
        self.flush().await
    }

    fn note(&mut self, event: &TransferEvent, closing: Closing) -> Result<(), StoreError> {
        let Some(&row) = self.rows.get(&event.id) else {
            return Ok(());
        };
        let change = || Change {
            state: event.kind.state(),
            ..Change::default()
        };
        let change = match &event.kind {
            // What is paused in order to close goes on in the next process.
            EventKind::State(_) if closing == Closing::Yes => return Ok(()),
            EventKind::State(state) => {
                match (self.issued.get(&row), state) {
                    (Some(Wish::Pause), TaskState::Paused)
                    | (Some(Wish::Resume), TaskState::Pending | TaskState::Transmission) => {
                        self.issued.remove(&row);
                    }
                    _ => (),
                }
                if *state == TaskState::Transmission && self.fresh.remove(&row) {
                    // Its row says from now on that it has begun.
                    self.progress.entry(row).or_default();
                    self.put_progress(row)?;
                }
                change()
            }
            EventKind::Progress(progress) => {
                self.progress.insert(row, progress.clone());
                return Ok(());
            }
            EventKind::Checkpoint(checkpoint) => Change {
                checkpoint: Some(text(&**checkpoint)?),
                ..change()
            },
            EventKind::Completed(completion) => {
                self.ran.completed += 1;
                Change {
                    completion: Some(text(completion)?),
                    ..change()
                }
            }
            EventKind::Failed(failure) if failure.code == LOCKED && self.may_wait(row) => Change {
                state: Some(TaskState::Pending),
                give_back: true,
                ..Change::default()
            },
            EventKind::Failed(failure)
                if failure.code == EXISTS && self.expected.contains_key(&row) =>
            {
                let expected = self.expected.remove(&row).expect("it is there");
                let failure = failure.clone();
                self.proving
                    .spawn_blocking(move || (row, expected.find(), failure));
                Change::default()
            }
            EventKind::Failed(failure) => {
                self.ran.failed += 1;
                Change {
                    failure: Some(text(failure)?),
                    ..change()
                }
            }
            // A process that dies before leaves it to the next one.
            EventKind::Canceled if event.direction == Direction::Upload => {
                let (transfers, id) = (self.transfers.clone(), event.id);
                self.discarding.spawn(async move {
                    transfers.inner.desk.is_discarded(id).await;
                    row
                });
                Change {
                    discarding: true,
                    ..Change::default()
                }
            }
            EventKind::Canceled => {
                self.ran.canceled += 1;
                change()
            }
        };
        let terminal = event.kind.is_terminal();
        self.put(row, change);
        if terminal {
            self.put_progress(row)?;
            self.rows.remove(&event.id);
            self.tasks.remove(&row);
            self.issued.remove(&row);
            // There is room for another.
            self.seen = None;
        }
        Ok(())
    }

    /// The target of a download that had begun before exists: by its own doing, or by somebody else's.
    fn proven(
        &mut self,
        proven: Result<(StoredId, Option<Completion>, Failure), JoinError>,
    ) -> Result<(), StoreError> {
        let Ok((row, completion, failure)) = proven else {
            return Ok(());
        };
        let change = match completion {
            Some(completion) => {
                self.ran.completed += 1;
                Change {
                    state: Some(TaskState::Complete),
                    completion: Some(text(&completion)?),
                    ..Change::default()
                }
            }
            None => {
                self.ran.failed += 1;
                Change {
                    state: Some(TaskState::Failed),
                    failure: Some(text(&failure)?),
                    ..Change::default()
                }
            }
        };
        self.put(row, change);
        self.seen = None;
        Ok(())
    }

    /// What a canceled upload had staged is gone, as far as that was possible.
    fn canceled(&mut self, row: Result<StoredId, JoinError>) {
        let Ok(row) = row else {
            return;
        };
        self.ran.canceled += 1;
        let state = Some(TaskState::Canceled);
        self.put(
            row,
            Change {
                state,
                ..Change::default()
            },
        );
        self.seen = None;
    }

    /// The process that had it last may not be gone entirely.
    fn may_wait(&mut self, row: StoredId) -> bool {
        let waited = self.waited.entry(row).or_default();
        *waited += 1;
        *waited <= MOST_WAITS
    }

    fn put(&mut self, row: StoredId, change: Change) {
        let old = self.changes.entry(row).or_default();
        old.give_back |= change.give_back;
        old.discarding |= change.discarding;
        old.state = change.state.or(old.state);
        for (old, new) in [
            (&mut old.progress, change.progress),
            (&mut old.checkpoint, change.checkpoint),
            (&mut old.completion, change.completion),
            (&mut old.failure, change.failure),
        ] {
            if new.is_some() {
                *old = new;
            }
        }
    }

    fn put_progress(&mut self, row: StoredId) -> Result<(), StoreError> {
        if let Some(progress) = self.progress.remove(&row) {
            let progress = Some(text(&progress)?);
            let change = Change {
                progress,
                ..Change::default()
            };
            self.put(row, change);
        }
        Ok(())
    }

    /// Writes what is to be written; progress not so often.
    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.progress_at.elapsed() >= PROGRESS_EVERY {
            self.progress_at = Instant::now();
            let rows: Vec<_> = self.progress.keys().copied().collect();
            for row in rows {
                self.put_progress(row)?;
            }
        }
        if self.changes.is_empty() {
            return Ok(());
        }
        let (owner, changes) = (self.owner, std::mem::take(&mut self.changes));
        let write = self.store.write_beside(move |transaction| {
            for (row, change) in &changes {
                rows::update(transaction, owner, *row, change)?;
            }
            Ok(())
        });
        write.await
    }

    /// Does what was wished, and takes up what there is room for.
    async fn turn(
        &mut self,
        make: &(impl Fn(&StoredTask) -> Result<Transfer, TransferError> + Sync),
    ) -> Result<Turn, StoreError> {
        let stamp = Some(self.store.stamp().await?);
        let rested = self.turned.is_some_and(|at| at.elapsed() < TURN_EVERY);
        if rested && self.seen == stamp {
            return Ok(Turn::Busy);
        }
        self.seen = stamp;
        self.turned = Some(Instant::now());
        let snapshot = self.transfers.snapshot();
        let (downloads, uploads) = (room(&snapshot.downloads), room(&snapshot.uploads));
        let owner = self.owner;
        let looked = self.store.write_beside(move |transaction| {
            let wishes = rows::wishes(transaction, owner)?;
            let canceled = rows::claim_canceled(transaction, owner)?;
            let mut next = rows::claim(transaction, owner, Direction::Download, downloads)?;
            next.extend(rows::claim(transaction, owner, Direction::Upload, uploads)?);
            let idle = rows::is_idle(transaction)?;
            Ok((wishes, canceled, next, idle))
        });
        let (wishes, canceled, next, idle) = looked.await?;
        for (row, wish) in wishes {
            self.issue(row, wish);
        }
        for raw in canceled {
            let row = raw.id();
            self.enqueue(raw, make, TaskOptions::new().paused()).await?;
            self.issue(row, Wish::Cancel);
        }
        for raw in next {
            self.enqueue(raw, make, TaskOptions::new()).await?;
        }
        Ok(match idle {
            true => Turn::Idle,
            false => Turn::Busy,
        })
    }

    /// Passes a wish on, once.
    fn issue(&mut self, row: StoredId, wish: Wish) {
        let Some(&task) = self.tasks.get(&row) else {
            return;
        };
        if self.issued.insert(row, wish) == Some(wish) {
            return;
        }
        let transfers = self.transfers.clone();
        tokio::spawn(async move {
            let done = match wish {
                Wish::Pause => transfers.pause(task).await,
                Wish::Resume => transfers.resume(task).await,
                Wish::Cancel => transfers.cancel(task).await,
            };
            if let Err(error) = done {
                bytehaul_log::debug!(%task, %error, "a wish came too late");
            }
        });
    }

    async fn enqueue(
        &mut self,
        raw: Raw,
        make: &(impl Fn(&StoredTask) -> Result<Transfer, TransferError> + Sync),
        options: TaskOptions,
    ) -> Result<(), StoreError> {
        let row = raw.id();
        let has_begun = raw.has_begun();
        let made = raw.task().map_err(|error| {
            bytehaul_log::warn!(%error, "a task of the store cannot be run");
            TransferError::parameter("task", "the store holds it in a form that is not known")
        });
        let enqueued = made.and_then(|task| {
            let mut transfer = make(&task)?;
            match has_begun {
                true => self
                    .expected
                    .extend(Expected::of(&task.recipe).map(|it| (row, it))),
                false => drop(self.fresh.insert(row)),
            }
            if let Transfer::Upload(spec) = &mut transfer
                && spec.checkpoints == CheckpointPlace::Nowhere
                && spec.checkpoint.is_none()
            {
                spec.checkpoint = task.checkpoint;
            }
            let options = options.priority(task.priority);
            let options = task.label.into_iter().fold(options, TaskOptions::label);
            self.transfers.enqueue_with(transfer, options)
        });
        match enqueued {
            Ok(task) => {
                self.tasks.insert(row, task);
                self.rows.insert(task, row);
                Ok(())
            }
            Err(TransferError::QueueFull { .. } | TransferError::Closed) => {
                let owner = self.owner;
                let give_back = move |transaction: &rusqlite::Transaction<'_>| {
                    rows::unclaim(transaction, owner, row)
                };
                self.store.write_beside(give_back).await
            }
            Err(error) => {
                self.ran.failed += 1;
                let change = Change {
                    state: Some(TaskState::Failed),
                    failure: Some(text(&error.failure())?),
                    ..Change::default()
                };
                self.put(row, change);
                self.flush().await
            }
        }
    }

    /// Pauses what runs, writes the last word on it, and frees it.
    pub(super) async fn finish(&mut self, slot: Slot) -> Result<(), StoreError> {
        if let Err(error) = self.transfers.close().await
            && !matches!(error, TransferError::Closed)
        {
            bytehaul_log::warn!(%error, "a transfer did not come to rest");
        }
        let mut written = Ok(());
        while let Some(event) = self.events.next().await {
            let taken = self.take(&event, Closing::Yes).await;
            written = written.and(taken);
        }
        // Closing has waited for them.
        while let Some(discarded) = self.discarding.join_next().await {
            self.canceled(discarded);
        }
        self.progress_at -= PROGRESS_EVERY;
        let flushed = self.flush().await;
        let released = self.release().await;
        drop(slot);
        written.and(flushed).and(released)
    }

    /// What this place has claimed is free.
    pub(super) async fn release(&self) -> Result<(), StoreError> {
        let owner = self.owner;
        let release = move |transaction: &rusqlite::Transaction<'_>| {
            rows::release(transaction, owner)?;
            Ok(())
        };
        self.store.write_beside(release).await
    }
}

/// Whether the manager is being closed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    Yes,
}

/// The next event if it is there.
async fn ready(events: &mut EventStream) -> Option<std::sync::Arc<TransferEvent>> {
    tokio::select! {
        biased;
        event = events.next() => event,
        () = std::future::ready(()) => None,
    }
}

fn room(line: &TransferLine) -> usize {
    let taken = line.active.len() + line.queued.len();
    line.limit.saturating_sub(taken)
}

fn text<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Text(error.into()))
}

/// How soon a wish of another process is heard.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often the store is gone through though nobody has written: a process may have died.
const TURN_EVERY: Duration = Duration::from_secs(3);

/// The code of a target or an upload that another transfer has locked.
const LOCKED: u16 = 126;

/// The code of a target that exists.
const EXISTS: u16 = 125;

/// Looks, each at a turn of its own, before a task in somebody else's hands has failed.
const MOST_WAITS: u32 = 25;

/// How often progress is written.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
