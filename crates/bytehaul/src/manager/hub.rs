//! Who reads events, and how one comes to all of them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use bytehaul_schedule::transfers::TaskId;

use crate::manager::event::TransferEvent;
use crate::manager::mailbox::{Mailbox, Reader};

/// A listener that was registered for all tasks. Never used again in the same manager.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ListenerId(u64);

impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All readers, and the number of the last event.
pub(super) struct Hub {
    capacity: usize,
    seq: u64,
    listeners: u64,
    /// Streams of all tasks.
    streams: Vec<Arc<Mailbox>>,
    /// Listeners of all tasks.
    everyone: BTreeMap<ListenerId, Arc<Mailbox>>,
    of_task: HashMap<TaskId, Vec<Arc<Mailbox>>>,
    ended: bool,
}

impl Hub {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            seq: 0,
            listeners: 0,
            streams: Vec::new(),
            everyone: BTreeMap::new(),
            of_task: HashMap::new(),
            ended: false,
        }
    }

    /// The number of the next event.
    pub(super) fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// A stream of everything.
    pub(super) fn subscribe(&mut self) -> Arc<Mailbox> {
        let mailbox = Mailbox::new(self.capacity);
        if self.ended {
            mailbox.end();
        } else {
            self.streams.push(Arc::clone(&mailbox));
        }
        mailbox
    }

    /// A listener to everything.
    pub(super) fn register(&mut self) -> (ListenerId, Arc<Mailbox>) {
        self.listeners += 1;
        let id = ListenerId(self.listeners);
        let mailbox = Mailbox::new(self.capacity);
        if self.ended {
            mailbox.end();
        } else {
            self.everyone.insert(id, Arc::clone(&mailbox));
        }
        (id, mailbox)
    }

    /// A reader of one task, which has not ended.
    pub(super) fn subscribe_to(&mut self, task: TaskId) -> Arc<Mailbox> {
        let mailbox = Mailbox::new(self.capacity);
        if self.ended {
            mailbox.end();
        } else {
            let readers = self.of_task.entry(task).or_default();
            readers.push(Arc::clone(&mailbox));
        }
        mailbox
    }

    /// Nothing more comes to this listener. Whether it was there.
    pub(super) fn unregister(&mut self, id: ListenerId) -> bool {
        let mailbox = self.everyone.remove(&id);
        mailbox.is_some_and(|mailbox| mailbox.abandon())
    }

    /// Nothing more comes to any listener to everything.
    pub(super) fn clear(&mut self) {
        for mailbox in std::mem::take(&mut self.everyone).into_values() {
            mailbox.abandon();
        }
    }

    /// The event comes to everyone whom it concerns, while so many tasks have not ended.
    pub(super) fn emit(&mut self, event: &Arc<TransferEvent>, tasks: usize) {
        let takes = |mailbox: &Arc<Mailbox>| mailbox.push(event, tasks) == Reader::There;
        self.streams.retain(takes);
        self.everyone.retain(|_, mailbox| takes(mailbox));
        if let Some(readers) = self.of_task.get_mut(&event.id) {
            readers.retain(takes);
            if event.kind.is_terminal() {
                let readers = self.of_task.remove(&event.id).unwrap_or_default();
                readers.iter().for_each(|mailbox| mailbox.end());
            }
        }
    }

    /// Nothing will happen any more.
    pub(super) fn end(&mut self) {
        self.ended = true;
        let everyone = std::mem::take(&mut self.everyone).into_values();
        let of_task = std::mem::take(&mut self.of_task).into_values().flatten();
        let readers = self.streams.drain(..).chain(everyone).chain(of_task);
        readers.for_each(|mailbox| mailbox.end());
    }
}
