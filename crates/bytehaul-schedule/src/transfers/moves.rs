//! The moves of one task: what changes in the books, and what is said, when it goes from state to state.

use std::hash::Hash;

use super::lane::{Lane, Place};
use super::{
    Action, Direction, Priority, Refused, Stage, Stop, Task, TaskId, TaskState, Transfers, Wish,
};

impl<K: Eq + Hash + Clone> Transfers<K> {
    /// Into the books, at rest, without a word.
    pub(super) fn insert(
        &mut self,
        key: K,
        direction: Direction,
        priority: Priority,
    ) -> Result<TaskId, Refused> {
        self.open()?;
        if let Some(&existing) = self.keys.get(&key) {
            return Err(Refused::Duplicate { existing });
        }
        if self.lane(direction).pending >= self.capacity.get() {
            return Err(Refused::Full {
                capacity: self.capacity,
            });
        }
        self.ids += 1;
        let id = TaskId::from(self.ids);
        self.keys.insert(key.clone(), id);
        let stage = Stage::Paused;
        self.tasks.insert(
            id,
            Task {
                key,
                direction,
                priority,
                stage,
            },
        );
        Ok(id)
    }

    /// To the end of the line of its priority.
    pub(super) fn queue(&mut self, id: TaskId) {
        self.waits += 1;
        let since = self.waits;
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        task.stage = Stage::Pending(since);
        let (place, direction) = (Place::new(task.priority, since), task.direction);
        let waits = self.clearings.wait(&task.key, id);
        let lane = self.lane(direction);
        lane.pending += 1;
        if !waits {
            lane.admit(place, id);
        }
        self.notify(id, TaskState::Pending);
    }

    /// Out of the line.
    pub(super) fn withdraw(&mut self, id: TaskId) {
        let Some((_, place, direction)) = self.place(id) else {
            return;
        };
        let lane = self.lane(direction);
        lane.pending -= 1;
        lane.withdraw(place);
    }

    /// Out of the line, to rest.
    pub(super) fn unqueue(&mut self, id: TaskId) {
        self.withdraw(id);
        self.rest(id);
    }

    /// The first of its line gets a slot.
    pub(super) fn start(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        task.stage = Stage::Transmission(Wish::Run);
        let direction = task.direction;
        let lane = self.lane(direction);
        lane.pending -= 1;
        lane.active += 1;
        self.notify(id, TaskState::Transmission);
        self.outbox.push_back(Action::Start(id));
    }

    /// A running task is asked to end; not asked again for what it was asked before, nor for less.
    pub(super) fn stop(&mut self, id: TaskId, stop: Stop) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let (wish, new) = match (task.stage, stop) {
            (Stage::Transmission(Wish::Run), Stop::Pause) => (Wish::Pause, true),
            (Stage::Transmission(Wish::Pause | Wish::Restart), Stop::Pause) => (Wish::Pause, false),
            (Stage::Transmission(Wish::Run | Wish::Pause | Wish::Restart), Stop::Cancel) => {
                (Wish::Cancel, true)
            }
            (Stage::Transmission(Wish::Cancel) | Stage::Pending(_) | Stage::Paused, _) => return,
        };
        task.stage = Stage::Transmission(wish);
        if new {
            self.outbox.push_back(Action::Stop(id, stop));
        }
    }

    /// It holds nothing any more.
    pub(super) fn rest(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        task.stage = Stage::Paused;
        self.notify(id, TaskState::Paused);
    }

    /// Out of the books, with its last word. Its slot or its place in the line was given back before.
    pub(super) fn finish(&mut self, id: TaskId, state: TaskState) {
        let Some(task) = self.tasks.remove(&id) else {
            return;
        };
        self.keys.remove(&task.key);
        if state == TaskState::Canceled {
            self.clearings.begin(id, task.key);
            self.outbox.push_back(Action::Discard(id));
        }
        self.notify(id, state);
    }

    /// Where a waiting task stands.
    pub(super) fn place(&self, id: TaskId) -> Option<(TaskId, Place, Direction)> {
        let task = self.tasks.get(&id)?;
        match task.stage {
            Stage::Pending(since) => Some((id, Place::new(task.priority, since), task.direction)),
            Stage::Transmission(_) | Stage::Paused => None,
        }
    }

    pub(super) fn notify(&mut self, id: TaskId, state: TaskState) {
        self.outbox.push_back(Action::Notify(id, state));
    }

    pub(super) fn open(&self) -> Result<(), Refused> {
        if self.closed {
            Err(Refused::Closed)
        } else {
            Ok(())
        }
    }

    pub(super) fn task(&mut self, id: TaskId) -> Result<&mut Task<K>, Refused> {
        self.tasks.get_mut(&id).ok_or(Refused::NotFound(id))
    }

    pub(super) fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::Download => &mut self.downloads,
            Direction::Upload => &mut self.uploads,
        }
    }
}
