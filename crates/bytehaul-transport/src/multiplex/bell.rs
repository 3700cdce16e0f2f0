//! Whom an HTTP/2 connection's socket wakes.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use super::Load;

/// What the socket wakes: whoever waits for it.
pub(super) struct Bell {
    waiting: Mutex<Waiting>,
    load: Arc<Load>,
}

#[derive(Default)]
pub(super) struct Waiting {
    pub(super) task: Option<Waker>,
    pub(super) readers: HashMap<u32, Waker>,
}

impl Bell {
    pub(super) fn new(load: &Arc<Load>) -> Self {
        Self {
            waiting: Mutex::default(),
            load: Arc::clone(load),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code under the lock can leave the wakers half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_for_one(&self) -> bool {
        self.load.streams.load(Ordering::Relaxed) == 1
    }

    pub(super) fn wait(&self, id: u32, waker: &Waker) {
        let mut waiting = self.lock();
        let kept = waiting.readers.entry(id).or_insert_with(|| waker.clone());
        kept.clone_from(waker);
    }

    /// Wakes one reader.
    pub(super) fn call(&self, id: u32) {
        let reader = self.lock().readers.remove(&id);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Wakes the task.
    pub(super) fn rouse(&self) {
        let task = self.lock().task.clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    pub(super) fn ring(&self) {
        let mut waiting = self.lock();
        let readers: Vec<Waker> = waiting.readers.drain().map(|(_, reader)| reader).collect();
        drop(waiting);
        let alone = readers.len() == 1 && self.is_for_one();
        readers.into_iter().for_each(Waker::wake);
        if !alone {
            self.rouse();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
