//! The one place where tasks are: the queue, what belongs to each task, and who is told. Everything in here is decided
//! under one lock, in which nothing waits and no code of the application runs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytehaul_schedule::transfers::{End, Refused, TaskId, TaskState, Transfers};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::downloader::Downloader;
use crate::manager::books::{Ended, State, Status, Task};
use crate::manager::error::TransferError;
use crate::manager::event::EventKind;
use crate::manager::hub::Hub;
use crate::manager::listener::{self, Attending};
use crate::manager::mailbox::Mailbox;
use crate::manager::progress::TransferProgress;
use crate::manager::run::{self, Remains};
use crate::manager::transfer::{Beginning, Listener, TaskOptions, Transfer};
use crate::upload::{Checkpoint, Uploader};

/// What is shared by the manager's clones and the tasks that run.
pub(super) struct Desk {
    pub(super) downloader: Downloader,
    pub(super) uploader: Uploader,
    pub(super) runtime: Handle,
    state: Mutex<State>,
}

/// How a run has ended.
pub(super) struct Report {
    pub(super) ended: Ended,
    pub(super) remains: Remains,
}

impl Desk {
    pub(super) fn new(
        downloader: Downloader,
        uploader: Uploader,
        runtime: Handle,
        transfers: Transfers<String>,
        hub: Hub,
        attending: Attending,
    ) -> Self {
        Self {
            downloader,
            uploader,
            runtime,
            state: Mutex::new(State {
                transfers,
                tasks: HashMap::new(),
                ended: VecDeque::new(),
                hub,
                attending: Some(attending),
                drained: watch::Sender::new(false),
                discarding: HashSet::new(),
                discarded: watch::Sender::new(()),
            }),
        }
    }

    /// A new task. What it does first is told before this returns.
    pub(super) fn enqueue(
        self: &Arc<Self>,
        transfer: Transfer,
        options: TaskOptions,
    ) -> Result<TaskId, TransferError> {
        transfer.validate()?;
        let (key, direction) = (transfer.key(), transfer.direction());
        let (source, target) = transfer.shown();
        let checkpoint = match &transfer {
            Transfer::Upload(spec) => spec.checkpoint.clone(),
            Transfer::Download(_) => None,
        };
        let TaskOptions {
            priority,
            beginning,
            label,
            mut listeners,
        } = options;
        // Whatever is refused is dropped outside of the lock.
        let mut new = Some((transfer, label));
        let enqueued = self.change(|state| {
            let transfers = &mut state.transfers;
            let id = match beginning {
                Beginning::Queued => transfers.enqueue(key, direction, priority),
                Beginning::Paused => transfers.enqueue_paused(key, direction, priority),
            }?;
            let (transfer, label) = new.take().expect("taken once");
            let status = Status {
                state: TaskState::Pending,
                rests: 0,
                ended: None,
            };
            let task = Task {
                transfer,
                label,
                source,
                target,
                progress: TransferProgress::default(),
                checkpoint,
                status: watch::Sender::new(status),
                wish: None,
                result: None,
                remains: Remains::default(),
            };
            state.tasks.insert(id, task);
            let attended = listeners.drain(..);
            let attended = attended.map(|listener| (state.hub.subscribe_to(id), listener));
            Ok((id, attended.collect::<Vec<_>>(), state.attending.clone()))
        });
        let (id, attended, attending) = enqueued?;
        for (mailbox, listener) in attended {
            self.attend(mailbox, listener, attending.clone());
        }
        Ok(id)
    }

    /// Calls the listener with what comes to the mailbox.
    pub(super) fn attend(
        &self,
        mailbox: Arc<Mailbox>,
        listener: Listener,
        attending: Option<Attending>,
    ) {
        let attend = listener::attend(mailbox, listener, attending);
        self.runtime.spawn(attend);
    }

    /// Changes the queue, carries out what follows, and tells of it.
    pub(super) fn change<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut State) -> Result<T, TransferError>,
    ) -> Result<T, TransferError> {
        let mut state = self.lock();
        let changed = change(&mut state);
        let todo = state.settle();
        drop(state);
        for run in todo.runs {
            run::start(self, run);
        }
        for discard in todo.discards {
            run::discard(self, discard);
        }
        changed
    }

    /// A command to one task, which sees how it stands before. Gives what those who wait for it look at.
    pub(super) fn command(
        self: &Arc<Self>,
        id: TaskId,
        command: impl FnOnce(&mut Transfers<String>, &Status) -> Result<(), Refused>,
    ) -> Result<watch::Receiver<Status>, TransferError> {
        self.change(|state| {
            let State {
                tasks, transfers, ..
            } = state;
            let Some(task) = tasks.get(&id) else {
                // Whether it is closed comes first.
                let refused = transfers.is_closed().then_some(Refused::Closed);
                return Err(refused.unwrap_or(Refused::NotFound(id)).into());
            };
            command(transfers, &task.status.borrow())?;
            Ok(task.status.subscribe())
        })
    }

    /// What those who wait for a task look at, also when it has ended not long ago.
    pub(super) fn status(&self, id: TaskId) -> Option<watch::Receiver<Status>> {
        let state = self.lock();
        let running = state.tasks.get(&id).map(|task| task.status.subscribe());
        let ended = || state.ended.iter().rev().find(|(ended, _)| *ended == id);
        running.or_else(|| ended().map(|(_, status)| status.clone()))
    }

    /// How far a running task is.
    pub(super) fn progressed(&self, id: TaskId, progress: TransferProgress) {
        let mut state = self.lock();
        let Some(task) = state.tasks.get_mut(&id) else {
            return;
        };
        if task.progress != progress {
            task.progress = progress.clone();
            state.tell(id, EventKind::Progress(progress));
        }
    }

    /// Where another run of an upload would go on.
    pub(super) fn checkpointed(&self, id: TaskId, checkpoint: Checkpoint) {
        let mut state = self.lock();
        let Some(task) = state.tasks.get_mut(&id) else {
            return;
        };
        if task.checkpoint.as_ref() == Some(&checkpoint) {
            return;
        }
        task.checkpoint = Some(checkpoint.clone());
        state.tell(id, EventKind::Checkpoint(Box::new(checkpoint)));
    }

    /// A run has ended: exactly once for each start.
    pub(super) fn ended(self: &Arc<Self>, id: TaskId, report: Report) {
        let end = match &report.ended {
            Ok(_) => End::Completed,
            Err(error) if error.is_pause() => End::Paused,
            Err(error) if error.is_cancel() => End::Canceled,
            Err(_) => End::Failed,
        };
        let told = self.change(|state| {
            if let Some(task) = state.tasks.get_mut(&id) {
                task.progress = std::mem::take(&mut task.progress).at_rest();
                task.wish = None;
                task.result = Some(report.ended);
                task.remains = report.remains;
            }
            Ok(state.transfers.ended(id, end)?)
        });
        debug_assert!(told.is_ok(), "each start ends once");
    }

    /// What a canceled task had staged is gone, or nobody waits for that any more: exactly once for each discard.
    pub(super) fn discarded(self: &Arc<Self>, id: TaskId) {
        let told = self.change(|state| {
            state.discarding.remove(&id);
            state.discarded.send_replace(());
            Ok(state.transfers.discarded(id)?)
        });
        debug_assert!(told.is_ok(), "each discard ends once");
    }

    /// Waits until nothing is being discarded any more of a task that was canceled. Cancel-safe.
    #[cfg(feature = "store")]
    pub(super) async fn is_discarded(&self, id: TaskId) {
        let mut discarded = self.lock().discarded.subscribe();
        while self.lock().discarding.contains(&id) {
            if discarded.changed().await.is_err() {
                return;
            }
        }
    }

    /// The runtime went down and took a run with it: nothing can be started any more.
    pub(super) fn lost(self: &Arc<Self>, id: TaskId) {
        drop(self.close());
        let ended = Err(TransferError::Lost("its runtime was shut down"));
        let remains = Remains::default();
        self.ended(id, Report { ended, remains });
    }

    /// Starts nothing any more, and pauses what there is. What is given back says when that is done, and that nobody
    /// else waits for the listeners.
    pub(super) fn close(
        self: &Arc<Self>,
    ) -> Result<(watch::Receiver<bool>, Option<Attending>), TransferError> {
        self.change(|state| {
            state.transfers.close()?;
            for task in state.tasks.values() {
                task.status.send_if_modified(|status| {
                    let rests = status.state == TaskState::Paused;
                    if rests {
                        status.ended = Some(Err(TransferError::Closed));
                    }
                    rests
                });
            }
            Ok((state.drained.subscribe(), state.attending.take()))
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
