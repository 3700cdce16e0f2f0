//! The queue of a transfer manager: which task may run, what a command does to it, and what is said of it.

mod action;
mod clearing;
mod lane;
mod moves;
mod refused;
mod snapshot;
mod state;
mod view;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::num::NonZeroUsize;

use self::clearing::Clearings;
use self::lane::{Lane, Place};

pub use self::action::{Action, End, Stop};
pub use self::lane::Limit;
pub use self::refused::Refused;
pub use self::snapshot::{Line, Snapshot};
pub use self::state::{Direction, Priority, TaskId, TaskState};

/// Tasks in two queues, one for each direction. Commands change the state at once; what follows from them comes out of
/// [`poll_action`](Self::poll_action), which is to be called until it is empty after each command and each report. The
/// driver answers every [`Action::Start`] by [`ended`](Self::ended) and every [`Action::Discard`] by
/// [`discarded`](Self::discarded).
///
/// `K` is what makes two tasks the same: direction, source and target, as the caller understands them. Keys of tasks
/// that have not ended are unique. A task that has ended is forgotten at once, so the memory is that of the tasks that
/// have not, and of the actions that were not polled.
///
/// ```
/// use bytehaul_schedule::transfers::*;
///
/// let mut transfers = Transfers::new();
/// let id = transfers.enqueue("a.iso", Direction::Download, Priority::default())?;
/// let again = transfers.enqueue("a.iso", Direction::Download, Priority(7));
/// assert_eq!(again, Err(Refused::Duplicate { existing: id }));
///
/// let actions = |transfers: &mut Transfers<_>| std::iter::from_fn(|| transfers.poll_action()).collect::<Vec<_>>();
/// assert_eq!(actions(&mut transfers), [
///     Action::Notify(id, TaskState::Pending),
///     Action::Notify(id, TaskState::Transmission),
///     Action::Start(id),
/// ]);
///
/// transfers.pause(id)?;
/// assert_eq!(actions(&mut transfers), [Action::Stop(id, Stop::Pause)]);
/// // The slot is free, and the task paused, when the driver has saved it.
/// transfers.ended(id, End::Paused)?;
/// assert_eq!(actions(&mut transfers), [Action::Notify(id, TaskState::Paused)]);
/// # Ok::<_, Refused>(())
/// ```
pub struct Transfers<K> {
    capacity: NonZeroUsize,
    tasks: BTreeMap<TaskId, Task<K>>,
    keys: HashMap<K, TaskId>,
    downloads: Lane,
    uploads: Lane,
    clearings: Clearings<K>,
    outbox: VecDeque<Action>,
    ids: u64,
    waits: u64,
    closed: bool,
}

struct Task<K> {
    key: K,
    direction: Direction,
    priority: Priority,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// With the number of its wait: who waits longer has the lower one.
    Pending(u64),
    Transmission(Wish),
    Paused,
}

/// What is wanted of a running task.
#[derive(Clone, Copy)]
enum Wish {
    Run,
    Pause,
    /// Paused, and resumed before it had ended.
    Restart,
    Cancel,
}

impl<K: Eq + Hash + Clone> Default for Transfers<K> {
    fn default() -> Self {
        Self {
            capacity: CAPACITY,
            tasks: BTreeMap::new(),
            keys: HashMap::new(),
            downloads: Lane::default(),
            uploads: Lane::default(),
            clearings: Clearings::default(),
            outbox: VecDeque::new(),
            ids: 0,
            waits: 0,
            closed: false,
        }
    }
}

impl<K: Eq + Hash + Clone> Transfers<K> {
    /// No tasks, and the default limits and capacity.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many tasks of each direction may wait for a slot before new ones are refused. Default 128. Tasks that are
    /// paused or run do not count, and what was accepted once is never refused a resumption for it.
    #[must_use]
    pub fn capacity(mut self, capacity: NonZeroUsize) -> Self {
        self.capacity = capacity;
        self
    }

    /// A new task that waits for its slot. Its id grows with each task, from 1.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], [`Refused::Duplicate`], [`Refused::Full`], looked at in this order.
    pub fn enqueue(
        &mut self,
        key: K,
        direction: Direction,
        priority: Priority,
    ) -> Result<TaskId, Refused> {
        let id = self.insert(key, direction, priority)?;
        self.queue(id);
        Ok(id)
    }

    /// A new task that does nothing until it is resumed. Thousands of them fill no queue, as they do not wait for a slot.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue): it is refused, too, while the queue is full of tasks that wait.
    pub fn enqueue_paused(
        &mut self,
        key: K,
        direction: Direction,
        priority: Priority,
    ) -> Result<TaskId, Refused> {
        let id = self.insert(key, direction, priority)?;
        self.notify(id, TaskState::Paused);
        Ok(id)
    }

    /// A waiting task is paused at once; a running one when the driver has saved it. Changes nothing when it is being
    /// paused already.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`]; [`Refused::NotFound`]; [`Refused::InvalidState`] when it is paused;
    /// [`Refused::Canceling`].
    pub fn pause(&mut self, id: TaskId) -> Result<(), Refused> {
        self.open()?;
        let task = self.task(id)?;
        match task.stage {
            Stage::Pending(_) => self.unqueue(id),
            Stage::Transmission(Wish::Cancel) => return Err(Refused::Canceling(id)),
            Stage::Transmission(_) => self.stop(id, Stop::Pause),
            Stage::Paused => return Err(task.invalid(id)),
        }
        Ok(())
    }

    /// A paused task waits for a slot again, behind those of its priority that wait already. One that is still being
    /// paused does so when it has ended.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`]; [`Refused::NotFound`]; [`Refused::InvalidState`] when it waits or runs and nobody has paused
    /// it; [`Refused::Canceling`].
    pub fn resume(&mut self, id: TaskId) -> Result<(), Refused> {
        self.open()?;
        let task = self.task(id)?;
        match task.stage {
            Stage::Paused => self.queue(id),
            Stage::Transmission(Wish::Pause) => task.stage = Stage::Transmission(Wish::Restart),
            Stage::Transmission(Wish::Cancel) => return Err(Refused::Canceling(id)),
            Stage::Pending(_) | Stage::Transmission(Wish::Run | Wish::Restart) => {
                return Err(task.invalid(id));
            }
        }
        Ok(())
    }

    /// A task that does not run is canceled at once; a running one when it has ended, whatever else was wanted of it.
    /// What it has staged is discarded afterwards. Changes nothing when it is being canceled already.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`]; [`Refused::NotFound`].
    pub fn cancel(&mut self, id: TaskId) -> Result<(), Refused> {
        self.open()?;
        match self.task(id)?.stage {
            Stage::Pending(_) => {
                self.withdraw(id);
                self.finish(id, TaskState::Canceled);
            }
            Stage::Transmission(_) => self.stop(id, Stop::Cancel),
            Stage::Paused => self.finish(id, TaskState::Canceled),
        }
        Ok(())
    }

    /// Takes effect at once for a task that waits, which keeps its age among its new equals; for all others when they
    /// wait the next time.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`]; [`Refused::NotFound`].
    pub fn set_priority(&mut self, id: TaskId, priority: Priority) -> Result<(), Refused> {
        self.open()?;
        let task = self.task(id)?;
        let old = std::mem::replace(&mut task.priority, priority);
        let direction = task.direction;
        if let Stage::Pending(since) = task.stage {
            let lane = self.lane(direction);
            if lane.withdraw(Place::new(old, since)) {
                lane.admit(Place::new(priority, since), id);
            }
        }
        Ok(())
    }

    /// How many tasks of a direction may run at a time. A lower limit interrupts nothing: no more are started until
    /// enough have ended.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`].
    pub fn set_limit(&mut self, direction: Direction, limit: Limit) -> Result<(), Refused> {
        self.open()?;
        self.lane(direction).limit = limit;
        Ok(())
    }

    /// The driver says how a started task has ended, which frees its slot. It counts what has happened: a task that was
    /// to be stopped and has completed is complete, and one that has failed while it was being paused has failed. One
    /// that was to be canceled and has not completed is canceled, however it ended.
    ///
    /// # Errors
    ///
    /// [`Refused::NotFound`] and [`Refused::InvalidState`] when it does not run: the driver has said so before.
    pub fn ended(&mut self, id: TaskId, end: End) -> Result<(), Refused> {
        let task = self.task(id)?;
        let Stage::Transmission(wish) = task.stage else {
            return Err(task.invalid(id));
        };
        let direction = task.direction;
        self.lane(direction).active -= 1;
        match (end, wish) {
            (End::Completed, _) => self.finish(id, TaskState::Complete),
            (End::Canceled, _) | (End::Failed | End::Paused, Wish::Cancel) => {
                self.finish(id, TaskState::Canceled);
            }
            (End::Failed, Wish::Run | Wish::Pause | Wish::Restart) => {
                self.finish(id, TaskState::Failed);
            }
            (End::Paused, Wish::Run | Wish::Pause) => self.rest(id),
            (End::Paused, Wish::Restart) => {
                self.rest(id);
                self.queue(id);
            }
        }
        Ok(())
    }

    /// The driver says that it is done with an [`Action::Discard`]. A new task with the same key may start from now on.
    ///
    /// # Errors
    ///
    /// [`Refused::NotFound`] when nothing of this task was being discarded.
    pub fn discarded(&mut self, id: TaskId) -> Result<(), Refused> {
        let waiting = self.clearings.end(id).ok_or(Refused::NotFound(id))?;
        if let Some((next, place, direction)) = waiting.and_then(|next| self.place(next)) {
            self.lane(direction).admit(place, next);
        }
        Ok(())
    }

    /// Nothing starts any more and every command is refused. What waits is paused at once, what runs when the driver has
    /// saved it, unless it is being canceled.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`] when it is already.
    pub fn close(&mut self) -> Result<(), Refused> {
        self.open()?;
        self.closed = true;
        let live: Vec<_> = self
            .tasks
            .iter()
            .map(|(&id, task)| (id, task.stage))
            .collect();
        for (id, stage) in live {
            match stage {
                Stage::Pending(_) => self.unqueue(id),
                Stage::Transmission(_) => self.stop(id, Stop::Pause),
                Stage::Paused => (),
            }
        }
        Ok(())
    }

    /// What to do next; `None` when there is nothing to do until the next command or report.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.outbox.is_empty() {
            let next = self.downloads.next().or_else(|| self.uploads.next());
            self.start(next?);
        }
        self.outbox.pop_front()
    }
}

/// The most that wait in one direction, unless another number is chosen.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(128).unwrap();
