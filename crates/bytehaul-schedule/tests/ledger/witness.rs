//! What must hold of everything that the queue says, whatever it was told.

use std::collections::{BTreeMap, BTreeSet};

use bytehaul_schedule::transfers::{Action, TaskId, TaskState};

use super::Key;

#[derive(Default)]
pub(super) struct Witness {
    last: BTreeMap<TaskId, TaskState>,
    /// Tasks that were started and have not ended.
    running: BTreeSet<TaskId>,
    discards: BTreeSet<TaskId>,
}

impl Witness {
    pub(super) fn hear(&mut self, action: Action, key_of: impl Fn(TaskId) -> Key) {
        match action {
            Action::Start(id) => {
                assert_eq!(self.last[&id], TaskState::Transmission);
                assert!(
                    self.running
                        .iter()
                        .all(|&other| key_of(other) != key_of(id)),
                    "one key runs twice"
                );
                self.running.insert(id);
            }
            Action::Stop(id, _) => assert!(
                !self.last[&id].is_terminal(),
                "{id} is stopped behind its end"
            ),
            Action::Discard(id) => {
                assert!(
                    !self.running.contains(&id),
                    "{id} is discarded while it runs"
                );
                assert!(self.discards.insert(id), "{id} is discarded twice");
            }
            Action::Notify(id, state) => {
                let legal = match self.last.insert(id, state) {
                    None => state.is_initial(),
                    Some(last) => last.may_become(state),
                };
                assert!(legal, "{id} becomes {state}");
                assert_eq!(
                    self.discards.contains(&id),
                    state == TaskState::Canceled,
                    "{id} {state}"
                );
            }
            action => panic!("{action:?}"),
        }
    }

    pub(super) fn ended(&mut self, id: TaskId) {
        self.running.remove(&id);
    }

    pub(super) fn last_heard(&self, id: TaskId, state: TaskState) {
        assert_eq!(self.last.get(&id), Some(&state), "of {id}");
    }
}
