//! The transfer manager: two queues of transfers, their commands, and what is told of them.

mod books;
mod builder;
mod desk;
mod error;
mod event;
mod form;
mod handle;
mod hub;
mod listener;
mod mailbox;
mod outcome;
mod progress;
mod run;
mod snapshot;
#[cfg(feature = "store")]
mod store;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use bytehaul_schedule::transfers::{Direction, Priority, TaskId, TaskState};
use bytehaul_transport::Client;
use tokio::sync::{Mutex, mpsc};

use crate::downloader::Downloader;
use crate::manager::desk::Desk;
use crate::network::Network;
use crate::upload::Uploader;

pub use self::builder::TransferManagerBuilder;
pub use self::error::{Failure, TransferError};
pub use self::event::{EventKind, TransferEvent};
pub use self::handle::TaskHandle;
pub use self::hub::ListenerId;
pub use self::listener::ListenerGuard;
pub use self::mailbox::EventStream;
pub use self::outcome::{Completion, TransferOutcome};
pub use self::progress::TransferProgress;
pub use self::snapshot::{TransferLine, TransferSnapshot, TransferView};
#[cfg(feature = "store")]
pub use self::store::{
    DownloadRecipe, NewTask, Ran, Recipe, RunUntil, StoreError, StoredId, StoredTask,
    TransferStore, UploadRecipe, Wish,
};
pub use self::transfer::{TaskOptions, Transfer};

/// Queues of downloads and uploads: so many run at a time, the rest waits its turn; each can be paused, resumed and
/// canceled, and one stream of events tells of all.
///
/// ```no_run
/// use bytehaul::{DownloadSpec, TransferManager};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let transfers = TransferManager::builder().max_downloads(2).max_uploads(2).build()?;
/// let _guard = transfers.on_event(|event| println!("{event:?}"));
/// let id = transfers.enqueue(DownloadSpec::new("https://example.com/big.iso"))?;
/// let later = transfers.enqueue_paused(DownloadSpec::new("https://example.com/other.iso"))?;
/// transfers.pause(id).await?; // saved when it returns
/// transfers.resume(id).await?;
/// transfers.cancel(later).await?;
/// println!("{:?}", transfers.wait(id).await?);
/// transfers.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// Cheap to clone; every clone is the same manager. A command is decided before it returns, under a lock in which nothing
/// waits: it takes effect or is refused at once, and no reply to it can be lost. Transfers run on the tokio runtime on
/// which the manager was built; commands may come from any thread.
///
/// Dropping the last clone does what [`close`](Self::close) does, without waiting for it.
///
/// # Restarts
/// The manager writes nothing of its queue. An application that wants it back after a restart keeps what it needs to make
/// its specs again, under a [`label`](TaskOptions::label), and the last [`Checkpoint`](crate::Checkpoint) of each
/// upload; then it enqueues them, all of them [paused](Self::enqueue_paused) if people are to choose. Downloads go on from what is beside
/// their target.
#[derive(Clone)]
pub struct TransferManager {
    inner: Arc<Inner>,
}

struct Inner {
    desk: Arc<Desk>,
    /// Says nothing, and closes when the last listener has been called.
    attended: Mutex<mpsc::Receiver<()>>,
}

impl TransferManager {
    /// Settings for a new manager.
    pub fn builder() -> TransferManagerBuilder {
        TransferManagerBuilder::default()
    }

    /// Takes up a download or an upload, which begins when it is its turn. Everything of it that can be checked without
    /// network and files is checked now.
    ///
    /// Two tasks are the same when they have the same direction, source and target (of URLs, signatures and credentials do
    /// not count).
    ///
    /// # Errors
    /// The first field that cannot be used (102); then [`TransferError::Closed`] (107),
    /// [`TransferError::Duplicate`] (103) with the task that is there already, [`TransferError::QueueFull`] (111).
    /// Whatever the error, no task has changed.
    pub fn enqueue(&self, transfer: impl Into<Transfer>) -> Result<TaskId, TransferError> {
        self.enqueue_with(transfer, TaskOptions::new())
    }

    /// The same for a task that does nothing until it is [resumed](Self::resume): no network, no look at a file, one event
    /// that it is paused. Any number of them can be imported; they fill no queue.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub fn enqueue_paused(&self, transfer: impl Into<Transfer>) -> Result<TaskId, TransferError> {
        self.enqueue_with(transfer, TaskOptions::new().paused())
    }

    /// The same with a priority, a label or listeners.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub fn enqueue_with(
        &self,
        transfer: impl Into<Transfer>,
        options: TaskOptions,
    ) -> Result<TaskId, TransferError> {
        self.inner.desk.enqueue(transfer.into(), options)
    }

    /// Pauses a task that waits or runs. When it returns, nothing of it is in flight and its progress is saved; its slot is
    /// free.
    ///
    /// The wish stands when this is first polled; dropping the future only stops waiting. A task that is resumed meanwhile is
    /// paused first.
    ///
    /// # Errors
    /// [`TransferError::NotFound`] (108); [`TransferError::InvalidState`] (117) when it is paused, or when it has ended
    /// before it could be paused, with the state that it ended in; [`TransferError::Canceling`] (117);
    /// [`TransferError::Closed`] (107).
    pub async fn pause(&self, id: TaskId) -> Result<(), TransferError> {
        let mut before = 0;
        let status = self.inner.desk.command(id, |transfers, status| {
            before = status.rests;
            transfers.pause(id)
        })?;
        match handle::rested(status, before).await {
            TaskState::Paused => Ok(()),
            state => Err(TransferError::InvalidState { id, state }),
        }
    }

    /// Lets a paused task wait for a slot again, from which it goes on where it was. One that is still being paused does so
    /// when it is.
    ///
    /// # Errors
    /// [`TransferError::NotFound`] (108); [`TransferError::InvalidState`] (117) when it waits or runs;
    /// [`TransferError::Canceling`] (117); [`TransferError::Closed`] (107).
    pub async fn resume(&self, id: TaskId) -> Result<(), TransferError> {
        let desk = &self.inner.desk;
        desk.command(id, |transfers, _| transfers.resume(id))
            .map(drop)
    }

    /// Gives a task up, in whatever state it is. When it returns, nothing of it is in flight, and its terminal event is told.
    ///
    /// What an upload has staged at the server is discarded beside the transfers, with an end after half a minute; a
    /// new task of the same key begins after that. What a download has got stays beside its target, for another
    /// download of the same. The wish stands when this is first polled; dropping the future only stops waiting.
    ///
    /// # Errors
    /// [`TransferError::NotFound`] (108); [`TransferError::InvalidState`] (117) when it was complete before it could be
    /// canceled; [`TransferError::Closed`] (107).
    pub async fn cancel(&self, id: TaskId) -> Result<(), TransferError> {
        let desk = &self.inner.desk;
        let status = desk.command(id, |transfers, _| transfers.cancel(id))?;
        match handle::ended(status).await {
            Err(TransferError::Canceled) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(TransferError::InvalidState {
                id,
                state: TaskState::Complete,
            }),
        }
    }

    /// Changes how much a task is wished for; the highest starts first. One that runs is not interrupted.
    ///
    /// # Errors
    /// [`TransferError::NotFound`] (108); [`TransferError::Closed`] (107).
    pub fn set_priority(&self, id: TaskId, priority: i32) -> Result<(), TransferError> {
        let priority = Priority(priority);
        let desk = &self.inner.desk;
        desk.command(id, |transfers, _| transfers.set_priority(id, priority))
            .map(drop)
    }

    /// Changes how many downloads run at a time, 1 to 64. A lower number interrupts none.
    ///
    /// # Errors
    /// [`TransferError::InvalidParameter`] (102); [`TransferError::Closed`] (107).
    pub fn set_max_downloads(&self, tasks: usize) -> Result<(), TransferError> {
        self.set_limit(Direction::Download, "max_downloads", tasks)
    }

    /// Changes how many uploads run at a time, 1 to 64. A lower number interrupts none.
    ///
    /// # Errors
    /// [`TransferError::InvalidParameter`] (102); [`TransferError::Closed`] (107).
    pub fn set_max_uploads(&self, tasks: usize) -> Result<(), TransferError> {
        self.set_limit(Direction::Upload, "max_uploads", tasks)
    }

    fn set_limit(
        &self,
        direction: Direction,
        name: &'static str,
        tasks: usize,
    ) -> Result<(), TransferError> {
        let limit = builder::limit(name, tasks)?;
        let desk = &self.inner.desk;
        desk.change(|state| Ok(state.transfers.set_limit(direction, limit)?))
    }

    /// The task, to look at and to wait for; `None` when it never was, or is not among the last 1,024 that have ended.
    pub fn handle(&self, id: TaskId) -> Option<TaskHandle> {
        let status = self.inner.desk.status(id);
        status.map(|status| TaskHandle::new(id, status))
    }

    /// Waits for the end of a task, see [`TaskHandle::wait`]. Cancel-safe.
    ///
    /// # Errors
    /// As [`TaskHandle::wait`]; [`TransferError::NotFound`] (108) as for [`handle`](Self::handle).
    pub async fn wait(&self, id: TaskId) -> Result<TransferOutcome, TransferError> {
        let handle = self.handle(id).ok_or(TransferError::NotFound(id))?;
        handle.wait().await
    }

    /// Every task that has not ended. The cost grows with their number.
    pub fn snapshot(&self) -> TransferSnapshot {
        let state = self.inner.desk.lock();
        TransferSnapshot::new(&state.transfers, &state.tasks)
    }

    /// Everything that happens from now on, see [`EventStream`].
    pub fn events(&self) -> EventStream {
        EventStream::new(self.inner.desk.lock().hub.subscribe())
    }

    /// Calls `listener` with everything that happens from now on, until the guard is dropped.
    ///
    /// Calls come one after another, in the order of the events, on a thread where blocking is allowed. A listener that is
    /// slow misses what a slow [`EventStream`] misses, and slows down neither transfers nor other listeners. One that
    /// panics is called again with the next event; the panic is logged. It may give commands to the manager.
    pub fn on_event(
        &self,
        listener: impl Fn(&TransferEvent) + Send + Sync + 'static,
    ) -> ListenerGuard {
        let (_, guard) = self.attend(listener);
        guard
    }

    /// The same for one task, from now on. To miss nothing of it, use [`TaskOptions::on_event`].
    ///
    /// # Errors
    /// [`TransferError::NotFound`] (108) when it has ended, or never was.
    pub fn on_task_event(
        &self,
        id: TaskId,
        listener: impl Fn(&TransferEvent) + Send + Sync + 'static,
    ) -> Result<ListenerGuard, TransferError> {
        let desk = &self.inner.desk;
        let (mailbox, attending) = {
            let mut state = desk.lock();
            if !state.tasks.contains_key(&id) {
                return Err(TransferError::NotFound(id));
            }
            (state.hub.subscribe_to(id), state.attending.clone())
        };
        desk.attend(Arc::clone(&mailbox), Arc::new(listener), attending);
        Ok(ListenerGuard::new(mailbox))
    }

    /// Calls `listener` as [`on_event`](Self::on_event) does, until it is unregistered by its id.
    pub fn register_listener(
        &self,
        listener: impl Fn(&TransferEvent) + Send + Sync + 'static,
    ) -> ListenerId {
        let (id, guard) = self.attend(listener);
        guard.keep();
        id
    }

    /// Removes a listener, as dropping its guard does: no further call begins. Whether it was there.
    pub fn unregister_listener(&self, id: ListenerId) -> bool {
        self.inner.desk.lock().hub.unregister(id)
    }

    /// Removes all listeners that [`on_event`](Self::on_event) and [`register_listener`](Self::register_listener) have
    /// registered. Those of single tasks and streams stay.
    pub fn clear_listeners(&self) {
        self.inner.desk.lock().hub.clear();
    }

    fn attend(
        &self,
        listener: impl Fn(&TransferEvent) + Send + Sync + 'static,
    ) -> (ListenerId, ListenerGuard) {
        let desk = &self.inner.desk;
        let ((id, mailbox), attending) = {
            let mut state = desk.lock();
            (state.hub.register(), state.attending.clone())
        };
        desk.attend(Arc::clone(&mailbox), Arc::new(listener), attending);
        (id, ListenerGuard::new(mailbox))
    }

    /// Refuses every command from now on and pauses what waits and runs. When it returns, nothing is in flight, progress
    /// is saved, what canceled tasks had staged is discarded or given up, listeners have been called with everything
    /// (as far as they took it within 5 s), and streams end after what still waits in them.
    ///
    /// The wish stands when this is first polled; dropping the future only stops waiting.
    ///
    /// # Errors
    /// [`TransferError::Closed`] (107) when it was closed before; [`TransferError::Lost`] (112) when a transfer did not come
    /// to rest within a minute.
    pub async fn close(&self) -> Result<(), TransferError> {
        let (mut drained, attending) = self.inner.desk.close()?;
        drop(attending);
        let drained = drained.wait_for(|drained| *drained);
        if tokio::time::timeout(CLOSE_WITHIN, drained).await.is_err() {
            return Err(TransferError::Lost("it did not come to rest in time"));
        }
        let mut attended = self.inner.attended.lock().await;
        // A listener that is still not done goes on by itself.
        let _ = tokio::time::timeout(LISTENERS_WITHIN, attended.recv()).await;
        Ok(())
    }

    /// Whether [`close`](Self::close) was called, or the runtime of the transfers went down.
    pub fn is_closed(&self) -> bool {
        self.inner.desk.lock().transfers.is_closed()
    }

    /// What downloads run on: its rate limit can be changed, and further downloads started beside the queue.
    pub fn downloader(&self) -> &Downloader {
        &self.inner.desk.downloader
    }

    /// What uploads run on.
    pub fn uploader(&self) -> &Uploader {
        &self.inner.desk.uploader
    }

    /// The HTTP client of the downloads, for an application's own protocols that want the same settings and connections.
    ///
    /// # Errors
    /// [`TransferError::Download`] when it cannot be set up.
    pub fn client(&self) -> Result<Client, TransferError> {
        let access = self.downloader().shared().clients.of(&Network::default())?;
        Ok(access.client)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Closed already, or else nobody is there to wait for it.
        drop(self.desk.close());
    }
}

/// Shows no sources and targets, which a snapshot does.
impl std::fmt::Debug for TransferManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.inner.desk.lock();
        f.debug_struct("TransferManager")
            .field("transfers", &state.transfers)
            .finish_non_exhaustive()
    }
}

/// Longer than any sound disk or server takes.
const CLOSE_WITHIN: Duration = Duration::from_secs(60);

/// The most that a slow listener holds up closing.
const LISTENERS_WITHIN: Duration = Duration::from_secs(5);
