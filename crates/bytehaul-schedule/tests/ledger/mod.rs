//! The queue of transfers in the simplest possible way: a list of all tasks that ever were, searched from the start.

mod witness;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::num::NonZeroUsize;

use bytehaul_schedule::transfers::{
    Action, Direction, End, Limit, Line, Priority, Refused, Stop, TaskId, TaskState,
};

use self::witness::Witness;

/// What makes two tasks the same.
pub(crate) type Key = (Direction, u8);

/// The model, and what it expects to hear next.
pub(crate) struct Ledger {
    pub(crate) tasks: Vec<Entry>,
    pub(crate) closed: bool,
    capacity: NonZeroUsize,
    limits: [Limit; 2],
    waits: usize,
    due: VecDeque<Action>,
    witness: Witness,
}

pub(crate) struct Entry {
    pub(crate) id: TaskId,
    pub(crate) key: Key,
    pub(crate) state: TaskState,
    /// The driver was told to discard what it has staged, and has not answered.
    pub(crate) discarding: bool,
    /// It was canceled, and its remains are not yet gone.
    remains: bool,
    priority: Priority,
    since: usize,
    /// What was wanted of it since it started.
    wishes: Vec<Wish>,
    /// The driver was told to run it, and has not said that it has ended.
    pub(crate) running: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Wish {
    Pause,
    Resume,
    Cancel,
}

impl Ledger {
    pub(crate) fn new(capacity: NonZeroUsize) -> Self {
        Self {
            tasks: Vec::new(),
            closed: false,
            capacity,
            limits: [Limit::default(); 2],
            waits: 0,
            due: VecDeque::new(),
            witness: Witness::default(),
        }
    }

    pub(crate) fn enqueue(
        &mut self,
        key: Key,
        priority: Priority,
        state: TaskState,
    ) -> Result<TaskId, Refused> {
        self.open()?;
        if let Some(twin) = self
            .tasks
            .iter()
            .find(|task| task.key == key && !task.state.is_terminal())
        {
            return Err(Refused::Duplicate { existing: twin.id });
        }
        if self.of(key.0, TaskState::Pending).count() >= self.capacity.get() {
            return Err(Refused::Full {
                capacity: self.capacity,
            });
        }
        let id = TaskId::from(self.tasks.len() as u64 + 1);
        self.tasks.push(Entry {
            id,
            key,
            state: TaskState::Paused,
            discarding: false,
            remains: false,
            priority,
            since: 0,
            wishes: Vec::new(),
            running: false,
        });
        self.enter(id, state);
        Ok(id)
    }

    pub(crate) fn pause(&mut self, id: TaskId) -> Result<(), Refused> {
        self.open()?;
        let task = self.live(id)?;
        match task.state {
            TaskState::Transmission if task.wants(Wish::Cancel) => {
                return Err(Refused::Canceling(id));
            }
            TaskState::Transmission => self.ask_to_pause(id),
            TaskState::Pending => self.enter(id, TaskState::Paused),
            state => return Err(Refused::InvalidState { id, state }),
        }
        Ok(())
    }

    pub(crate) fn resume(&mut self, id: TaskId) -> Result<(), Refused> {
        self.open()?;
        let task = self.live(id)?;
        match task.state {
            TaskState::Transmission if task.wants(Wish::Cancel) => {
                return Err(Refused::Canceling(id));
            }
            TaskState::Transmission if task.wishes.last() == Some(&Wish::Pause) => {
                task.wishes.push(Wish::Resume);
            }
            TaskState::Paused => self.enter(id, TaskState::Pending),
            state => return Err(Refused::InvalidState { id, state }),
        }
        Ok(())
    }

    pub(crate) fn cancel(&mut self, id: TaskId) -> Result<(), Refused> {
        self.open()?;
        let task = self.live(id)?;
        if task.state != TaskState::Transmission {
            self.enter(id, TaskState::Canceled);
        } else if !task.wants(Wish::Cancel) {
            task.wishes.push(Wish::Cancel);
            self.due.push_back(Action::Stop(id, Stop::Cancel));
        }
        Ok(())
    }

    pub(crate) fn set_priority(&mut self, id: TaskId, priority: Priority) -> Result<(), Refused> {
        self.open()?;
        self.live(id)?.priority = priority;
        Ok(())
    }

    pub(crate) fn set_limit(&mut self, direction: Direction, limit: Limit) -> Result<(), Refused> {
        self.open()?;
        self.limits[direction as usize] = limit;
        Ok(())
    }

    pub(crate) fn close(&mut self) -> Result<(), Refused> {
        self.open()?;
        self.closed = true;
        for id in self.tasks.iter().map(|task| task.id).collect::<Vec<_>>() {
            match self
                .live(id)
                .map(|task| (task.state, task.wants(Wish::Cancel)))
            {
                Ok((TaskState::Pending, _)) => self.enter(id, TaskState::Paused),
                Ok((TaskState::Transmission, false)) => self.ask_to_pause(id),
                _ => (),
            }
        }
        Ok(())
    }

    pub(crate) fn ended(&mut self, id: TaskId, end: End) -> Result<(), Refused> {
        let task = self.live(id)?;
        if task.state != TaskState::Transmission {
            return Err(Refused::InvalidState {
                id,
                state: task.state,
            });
        }
        task.running = false;
        let canceled = task.wants(Wish::Cancel);
        let resumed = task.wishes.last() == Some(&Wish::Resume);
        task.wishes.clear();
        self.witness.ended(id);
        match end {
            End::Completed => self.enter(id, TaskState::Complete),
            _ if canceled => self.enter(id, TaskState::Canceled),
            End::Canceled => self.enter(id, TaskState::Canceled),
            End::Failed => self.enter(id, TaskState::Failed),
            End::Paused => {
                self.enter(id, TaskState::Paused);
                if resumed {
                    self.enter(id, TaskState::Pending);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn discarded(&mut self, id: TaskId) -> Result<(), Refused> {
        let task = self
            .tasks
            .iter_mut()
            .find(|task| task.id == id && task.remains);
        let task = task.ok_or(Refused::NotFound(id))?;
        (task.remains, task.discarding) = (false, false);
        Ok(())
    }

    /// Holds what was said against what had to be said.
    pub(crate) fn hear(&mut self, action: Action) {
        let key_of = |id| self.tasks.iter().find(|task| task.id == id).unwrap().key;
        self.witness.hear(action, key_of);
        let expected = self.due.pop_front().or_else(|| self.next_start());
        assert_eq!(Some(action), expected);
        match action {
            Action::Start(id) => self.live(id).unwrap().running = true,
            Action::Discard(id) => {
                let task = self.tasks.iter_mut().find(|task| task.id == id);
                task.unwrap().discarding = true;
            }
            _ => (),
        }
    }

    /// Nothing is left to say: then nothing may be left to do.
    pub(crate) fn hear_nothing(&mut self) {
        assert_eq!(self.due, []);
        assert_eq!(
            self.next_start(),
            None,
            "a task waits though there is a slot"
        );
        for task in &self.tasks {
            self.witness.last_heard(task.id, task.state);
        }
    }

    pub(crate) fn is_drained(&self) -> bool {
        let busy = |task: &Entry| task.state == TaskState::Transmission || task.remains;
        self.closed && self.due.is_empty() && !self.tasks.iter().any(busy)
    }

    pub(crate) fn line(&self, direction: Direction) -> Line {
        let ids = |state| self.of(direction, state).map(|task| task.id).collect();
        let mut queued: Vec<_> = self.of(direction, TaskState::Pending).collect();
        queued.sort_by_key(|task| (Reverse(task.priority), task.since));
        let mut line = Line::default();
        line.limit = self.limits[direction as usize];
        line.queued = queued.iter().map(|task| task.id).collect();
        line.active = ids(TaskState::Transmission);
        line.paused = ids(TaskState::Paused);
        line
    }

    /// Whoever has to start now: downloads before uploads, which is of no matter.
    fn next_start(&mut self) -> Option<Action> {
        let id = [Direction::Download, Direction::Upload]
            .into_iter()
            .find_map(|direction| {
                let limit = self.limits[direction as usize].tasks();
                let free = self.of(direction, TaskState::Transmission).count() < limit;
                let clear = |task: &&Entry| {
                    !self
                        .tasks
                        .iter()
                        .any(|old| old.key == task.key && old.remains)
                };
                let ready = self.of(direction, TaskState::Pending).filter(clear);
                let first = ready.min_by_key(|task| (Reverse(task.priority), task.since))?;
                (free && !self.closed).then_some(first.id)
            })?;
        self.enter(id, TaskState::Transmission);
        self.due.push_back(Action::Start(id));
        self.due.pop_front()
    }

    fn enter(&mut self, id: TaskId, state: TaskState) {
        self.waits += 1;
        let since = self.waits;
        let task = self.live(id).unwrap();
        (task.state, task.since) = (state, since);
        if state == TaskState::Canceled {
            task.remains = true;
            self.due.push_back(Action::Discard(id));
        }
        self.due.push_back(Action::Notify(id, state));
    }

    fn ask_to_pause(&mut self, id: TaskId) {
        let task = self.live(id).unwrap();
        let asked = task.wants(Wish::Pause);
        task.wishes.push(Wish::Pause);
        if !asked {
            self.due.push_back(Action::Stop(id, Stop::Pause));
        }
    }

    fn of(&self, direction: Direction, state: TaskState) -> impl Iterator<Item = &Entry> {
        self.tasks
            .iter()
            .filter(move |task| task.key.0 == direction && task.state == state)
    }

    fn open(&self) -> Result<(), Refused> {
        if self.closed {
            Err(Refused::Closed)
        } else {
            Ok(())
        }
    }

    fn live(&mut self, id: TaskId) -> Result<&mut Entry, Refused> {
        let live = self
            .tasks
            .iter_mut()
            .find(|task| task.id == id && !task.state.is_terminal());
        live.ok_or(Refused::NotFound(id))
    }
}

impl Entry {
    fn wants(&self, wish: Wish) -> bool {
        self.wishes.contains(&wish)
    }
}
