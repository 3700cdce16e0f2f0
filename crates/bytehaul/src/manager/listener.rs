//! Callbacks over the event stream: each in a task of its own, where it can slow down and break nobody else.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::manager::event::TransferEvent;
use crate::manager::mailbox::Mailbox;
use crate::manager::transfer::Listener;

/// Keeps a listener registered. Dropping it removes the listener: no further call begins, and one that is under way runs to
/// its end; what was waiting for the listener is dropped.
#[must_use = "dropping it removes the listener"]
pub struct ListenerGuard {
    mailbox: Option<Arc<Mailbox>>,
}

impl ListenerGuard {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            mailbox: Some(mailbox),
        }
    }

    /// Leaves the listener registered until the manager is closed, or its task has ended.
    pub fn keep(mut self) {
        self.mailbox = None;
    }
}

impl Drop for ListenerGuard {
    fn drop(&mut self) {
        if let Some(mailbox) = &self.mailbox {
            mailbox.abandon();
        }
    }
}

impl std::fmt::Debug for ListenerGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ListenerGuard")
    }
}

/// Whoever closes the manager waits until all of these are dropped.
pub(super) type Attending = mpsc::Sender<()>;

/// Calls the listener with everything that comes, until nothing comes any more. The calls are made on a thread where
/// blocking is allowed, one after another.
pub(super) async fn attend(
    mailbox: Arc<Mailbox>,
    listener: Listener,
    _attending: Option<Attending>,
) {
    loop {
        let batch = mailbox.batch().await;
        if batch.is_empty() {
            return;
        }
        let (mailbox, listener) = (Arc::clone(&mailbox), Arc::clone(&listener));
        let calls = tokio::task::spawn_blocking(move || call(&mailbox, &*listener, batch));
        if calls.await.is_err() {
            // The runtime is shutting down.
            return;
        }
    }
}

fn call(
    mailbox: &Mailbox,
    listener: &(dyn Fn(&TransferEvent) + Send + Sync),
    batch: Vec<Arc<TransferEvent>>,
) {
    for event in batch {
        if mailbox.is_abandoned() {
            return;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| listener(&event))) {
            let what = panic_text(&*panic);
            bytehaul_log::warn!(task = %event.id, what, "a listener panicked");
        }
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".into())
}
