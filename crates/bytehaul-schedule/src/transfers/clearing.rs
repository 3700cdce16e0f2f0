//! Which keys are still being cleared of what canceled tasks had staged, and who waits for that.

use std::collections::HashMap;
use std::hash::Hash;

use super::TaskId;

/// A new task of the same key must not begin while the remains of the old one are being discarded beside it: they may
/// be the same files, or the same upload.
pub(super) struct Clearings<K> {
    discards: HashMap<TaskId, K>,
    keys: HashMap<K, Clearing>,
}

#[derive(Default)]
struct Clearing {
    discards: usize,
    waiting: Option<TaskId>,
}

impl<K> Default for Clearings<K> {
    fn default() -> Self {
        Self {
            discards: HashMap::new(),
            keys: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash + Clone> Clearings<K> {
    /// The remains of a task are being discarded.
    pub(super) fn begin(&mut self, id: TaskId, key: K) {
        self.keys.entry(key.clone()).or_default().discards += 1;
        self.discards.insert(id, key);
    }

    /// They are gone. `None` when nobody knew of them; else the task that waited for just this, if there is one. It may
    /// have been paused or canceled since.
    pub(super) fn end(&mut self, id: TaskId) -> Option<Option<TaskId>> {
        let key = self.discards.remove(&id)?;
        let clearing = self.keys.get_mut(&key)?;
        clearing.discards -= 1;
        if clearing.discards > 0 {
            return Some(None);
        }
        Some(self.keys.remove(&key)?.waiting)
    }

    /// The task wants to start. Whether it has to wait until its key is clear.
    pub(super) fn wait(&mut self, key: &K, id: TaskId) -> bool {
        let clearing = self.keys.get_mut(key);
        clearing
            .map(|clearing| clearing.waiting = Some(id))
            .is_some()
    }
}

impl<K> Clearings<K> {
    /// How many tasks have remains that are being discarded.
    pub(super) fn len(&self) -> usize {
        self.discards.len()
    }
}
