//! What belongs to each task, and what follows from a change of the queue: which runs begin and end, what is discarded,
//! what is told.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytehaul_schedule::transfers::{Action, Stop, TaskId, TaskState, Transfers};
use tokio::sync::watch;

use crate::manager::error::TransferError;
use crate::manager::event::{EventKind, TransferEvent};
use crate::manager::hub::Hub;
use crate::manager::listener::Attending;
use crate::manager::outcome::TransferOutcome;
use crate::manager::progress::TransferProgress;
use crate::manager::run::{Discard, Remains, Run};
use crate::manager::transfer::Transfer;
use crate::upload::{Checkpoint, CheckpointPlace};

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

/// What a manager knows, all of it under one lock.
pub(super) struct State {
    pub(super) transfers: Transfers<String>,
    pub(super) tasks: HashMap<TaskId, Task>,
    /// The last ones that have ended, the latest at the back.
    pub(super) ended: VecDeque<(TaskId, watch::Receiver<Status>)>,
    pub(super) hub: Hub,
    /// Cloned by each listener, until the manager is closed.
    pub(super) attending: Option<Attending>,
    pub(super) drained: watch::Sender<bool>,
    /// Tasks whose staging is being discarded, and a word whenever one is done.
    pub(super) discarding: HashSet<TaskId>,
    pub(super) discarded: watch::Sender<()>,
}

/// What belongs to a task that has not ended.
pub(super) struct Task {
    pub(super) transfer: Transfer,
    pub(super) label: Option<String>,
    pub(super) source: String,
    pub(super) target: String,
    pub(super) progress: TransferProgress,
    /// The latest of an upload, of whichever run.
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) status: watch::Sender<Status>,
    /// While it runs.
    pub(super) wish: Option<watch::Sender<Option<Stop>>>,
    /// How its run has ended, until that is told.
    pub(super) result: Option<Ended>,
    pub(super) remains: Remains,
}

/// What is to be done when the lock is released.
#[derive(Default)]
pub(super) struct Todo {
    pub(super) runs: Vec<Run>,
    pub(super) discards: Vec<Discard>,
    /// Dropped outside, because the application's own values are in it.
    pub(super) over: Vec<Task>,
}

impl State {
    /// Does what follows from the last change.
    pub(super) fn settle(&mut self) -> Todo {
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
                Action::Discard(id) => {
                    let discard = self.discard(id);
                    self.discarding.extend(discard.as_ref().map(|it| it.id));
                    todo.discards.extend(discard);
                }
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

    pub(super) fn tell(&mut self, id: TaskId, kind: EventKind) {
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
