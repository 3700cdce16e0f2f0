//! The line of one direction: who is next, and how many run.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use super::{Priority, TaskId};

/// How many tasks of one direction may run at a time: 1 to 64. Default 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit(u8);

impl Limit {
    /// The lowest.
    pub const MIN: Self = Self(1);
    /// The highest.
    pub const MAX: Self = Self(64);

    /// So many at a time; `None` for none at all and for more than 64.
    #[must_use]
    pub const fn new(tasks: usize) -> Option<Self> {
        match tasks {
            1..=64 => Some(Self(tasks as u8)),
            _ => None,
        }
    }

    /// The number of tasks.
    #[must_use]
    pub const fn tasks(self) -> usize {
        self.0 as usize
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(2)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in the line: the highest priority first, among equals whoever came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(Reverse<Priority>, u64);

impl Place {
    /// `since` is a number that grows with each task that begins to wait.
    pub(super) const fn new(priority: Priority, since: u64) -> Self {
        Self(Reverse(priority), since)
    }
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) limit: Limit,
    /// Tasks that have a slot.
    pub(super) active: usize,
    /// All that are pending, also those which may not start yet.
    pub(super) pending: usize,
    /// Pending tasks that may start.
    ready: BTreeMap<Place, TaskId>,
}

impl Lane {
    /// The task may start when it is its turn.
    pub(super) fn admit(&mut self, place: Place, id: TaskId) {
        self.ready.insert(place, id);
    }

    /// The task may no longer start. Whether it might have.
    pub(super) fn withdraw(&mut self, place: Place) -> bool {
        self.ready.remove(&place).is_some()
    }

    /// Whoever is next, when there is a slot for it.
    pub(super) fn next(&mut self) -> Option<TaskId> {
        if self.active >= self.limit.tasks() {
            return None;
        }
        self.ready.pop_first().map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_1_to_64() {
        let valid = (0..1000).filter_map(Limit::new).map(Limit::tasks);
        assert!(valid.eq(1..=64));
        assert_eq!(Limit::new(usize::MAX), None);
        assert_eq!(
            (Limit::new(1), Limit::new(64)),
            (Some(Limit::MIN), Some(Limit::MAX))
        );
    }
}
