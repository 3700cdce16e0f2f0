//! The one place where tasks are: the queue, what belongs to each task, and who is told. Everything in here is decided
//! under one lock, in which nothing waits and no code of the application runs.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytehaul_schedule::transfers::{Action, End, Refused, Stop, TaskId, TaskState, Transfers};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::downloader::Downloader;
use crate::manager::error::TransferError;
use crate::manager::event::{EventKind, TransferEvent};
use crate::manager::hub::Hub;
use crate::manager::listener::{self, Attending};
use crate::manager::mailbox::Mailbox;
use crate::manager::outcome::TransferOutcome;
use crate::manager::progress::TransferProgress;
use crate::manager::run::{self, Discard, Remains, Run};
use crate::manager::transfer::{Beginning, Listener, TaskOptions, Transfer};
use crate::upload::{Checkpoint, CheckpointPlace, Uploader};

/// How a task has ended, for those who wait for it.
pub(super) type Ended = Result<TransferOutcome, TransferError>;

/// What those who wait for a task look at.
#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) state: TaskState,
    /// How often it has come to rest.
    pub(super) rests: u64,
    /// It is over, or it will never run again.
    pub(super) ended: Option<Ended>,
}

/// What is shared by the manager's clones and the tasks that run.
pub(super) struct Desk {
    pub(super) downloader: Downloader,
    pub(super) uploader: Uploader,
    pub(super) runtime: Handle,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) transfers: Transfers<String>,
    pub(super) tasks: HashMap<TaskId, Task>,
    /// The last ones that have ended, the latest at the back.
    ended: VecDeque<(TaskId, watch::Receiver<Status>)>,
    pub(super) hub: Hub,
    /// Cloned by each listener, until the manager is closed.
    pub(super) attending: Option<Attending>,
    drained: watch::Sender<bool>,
}

/// What belongs to a task that has not ended.
pub(super) struct Task {
    transfer: Transfer,
    pub(super) label: Option<String>,
    pub(super) source: String,
    pub(super) target: String,
    pub(super) progress: TransferProgress,
    /// The latest of an upload, of whichever run.
    checkpoint: Option<Checkpoint>,
    status: watch::Sender<Status>,
    /// While it runs.
    wish: Option<watch::Sender<Option<Stop>>>,
    /// How its run has ended, until that is told.
    result: Option<Ended>,
    remains: Remains,
}

/// What is to be done when the lock is released.
#[derive(Default)]
struct Todo {
    runs: Vec<Run>,
    discards: Vec<Discard>,
    /// Dropped outside, because the application's own values are in it.
    over: Vec<Task>,
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
        let told = self.change(|state| Ok(state.transfers.discarded(id)?));
        debug_assert!(told.is_ok(), "each discard ends once");
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

impl State {
    /// Does what follows from the last change.
    fn settle(&mut self) -> Todo {
        let mut todo = Todo::default();
        while let Some(action) = self.transfers.poll_action() {
            match action {
                Action::Notify(id, state) if state.is_terminal() => {
                    todo.over.extend(self.end(id, state));
                }
                Action::Notify(id, state) => self.enter(id, state),
                Action::Start(id) => todo.runs.extend(self.start(id)),
                Action::Stop(id, stop) => {
                    // It may have ended by itself.
                    let wish = self.tasks.get(&id).and_then(|task| task.wish.as_ref());
                    wish.into_iter().for_each(|wish| {
                        wish.send_replace(Some(stop));
                    });
                }
                Action::Discard(id) => todo.discards.extend(self.discard(id)),
                // What a later queue may say without waiting for an answer.
                _ => (),
            }
        }
        if self.transfers.is_drained() {
            self.hub.end();
            self.drained.send_replace(true);
        }
        todo
    }

    fn start(&mut self, id: TaskId) -> Option<Run> {
        let task = self.tasks.get_mut(&id)?;
        let (sender, wish) = watch::channel(None);
        task.wish = Some(sender);
        Some(Run {
            id,
            transfer: task.next_run(),
            wish,
        })
    }

    fn discard(&mut self, id: TaskId) -> Option<Discard> {
        let task = self.tasks.get_mut(&id)?;
        Some(Discard {
            id,
            remains: std::mem::take(&mut task.remains),
            transfer: task.next_run(),
        })
    }

    /// It is in this state now, which is no end.
    fn enter(&mut self, id: TaskId, next: TaskState) {
        let closed = self.transfers.is_closed();
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        task.result = None;
        task.status.send_modify(|status| {
            status.state = next;
            if next == TaskState::Paused {
                status.rests += 1;
                status.ended = closed.then_some(Err(TransferError::Closed));
            }
        });
        self.tell(id, EventKind::State(next));
    }

    /// The last word on a task.
    fn end(&mut self, id: TaskId, state: TaskState) -> Option<Task> {
        let result = self.tasks.get_mut(&id)?.result.take();
        let ended = match (state, result) {
            (TaskState::Canceled, _) => Err(TransferError::Canceled),
            (_, Some(ended)) => ended,
            (_, None) => Err(TransferError::Lost("nobody knows how it ended")),
        };
        self.tell(
            id,
            match &ended {
                Ok(outcome) => EventKind::Completed(outcome.completion()),
                Err(_) if state == TaskState::Canceled => EventKind::Canceled,
                Err(error) => EventKind::Failed(error.failure()),
            },
        );
        let task = self.tasks.remove(&id)?;
        task.status.send_modify(|status| {
            status.state = state;
            status.ended = Some(ended);
        });
        if self.ended.len() == ENDED_KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back((id, task.status.subscribe()));
        Some(task)
    }

    fn tell(&mut self, id: TaskId, kind: EventKind) {
        let tasks = self.tasks.len();
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        let event = TransferEvent {
            seq: self.hub.next(),
            id,
            direction: task.transfer.direction(),
            label: task.label.clone(),
            source: task.source.clone(),
            target: task.target.clone(),
            kind,
        };
        self.hub.emit(&Arc::new(event), tasks);
    }
}

impl Task {
    /// The transfer, going on from where the last run was.
    fn next_run(&self) -> Transfer {
        let mut transfer = self.transfer.clone();
        if let Transfer::Upload(spec) = &mut transfer
            && spec.checkpoints == CheckpointPlace::Nowhere
        {
            spec.checkpoint = self.checkpoint.clone();
        }
        transfer
    }
}

/// Tasks whose end can still be asked for.
const ENDED_KEPT: usize = 1024;
