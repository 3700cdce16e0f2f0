//! The state behind all handles of a file, and what each lock in it guards.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::Status;
use super::drain::drain;
use super::follow::Follower;
use crate::claim::{Conflict, StartOptions};
use crate::control::{Identity, MAX_LEN, Record};
use crate::disk::{ControlFile, Disk};
use crate::ranges::Ranges;
use crate::segments::Segments;
use crate::{Buffer, Error, lock};

/// With what a writer begins.
pub(crate) struct Seed {
    pub(crate) disk: Disk,
    pub(crate) conflict: Conflict,
    pub(crate) len: Option<u64>,
    pub(crate) segments: Segments,
    pub(crate) runtime: Handle,
    pub(crate) options: StartOptions,
}

/// Locks are taken in the order of the fields.
pub(crate) struct Shared {
    pub(crate) disk: Disk,
    pub(super) conflict: Conflict,
    pub(super) runtime: Handle,
    pub(super) save_every: Duration,
    /// Held for a whole snapshot, and for publishing: one of them at a time.
    pub(super) saving: Mutex<()>,
    /// Held while bytes are taken back.
    pub(super) invalidating: Arc<tokio::sync::Mutex<()>>,
    pub(super) queue: Mutex<Queue>,
    pub(super) follower: Option<Follower>,
    /// Taken once for each batch.
    pub(super) progress: Mutex<Progress>,
    pub(super) prefix: AtomicU64,
    pub(super) status: watch::Sender<Status>,
    /// Told when the writing thread ends.
    pub(super) drained: Condvar,
    pub(super) sync_failed: AtomicBool,
    failure: OnceLock<Error>,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) jobs: VecDeque<Job>,
    pub(super) draining: Draining,
    /// Nothing is taken any more.
    pub(super) closed: bool,
}

/// Who works on the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Draining {
    /// Nobody, and nobody has been asked to.
    #[default]
    Idle,
    /// A task that has not begun, and never will if whoever waits for it holds the last thread.
    Queued,
    /// A thread.
    Running,
}

pub(super) enum Job {
    Write {
        offset: u64,
        data: Buffer,
    },
    /// Answered when everything before it is written.
    Mark(oneshot::Sender<()>),
}

/// What is known about the bytes.
pub(super) struct Progress {
    pub(super) identity: Identity,
    pub(super) len: Option<u64>,
    pub(super) segments: Segments,
    pub(super) written: Ranges,
    /// What the control file on disk claims.
    pub(super) durable: Ranges,
    pub(super) journal: Option<Journal>,
    /// Records since a snapshot began, which have to be carried over into its file.
    pub(super) carried: Option<Vec<Record>>,
    /// Bytes that were written since the last snapshot began.
    pub(super) unsaved: u64,
    /// Whether a timer for the next snapshot runs.
    pub(super) timed: bool,
    /// Whether a snapshot has been asked for ahead of the timer.
    pub(super) flushing: bool,
}

/// The present control file, open for records.
pub(super) struct Journal {
    pub(super) file: ControlFile,
    pub(super) seed: u32,
    pub(super) snapshot_len: u64,
}

impl Shared {
    pub(super) fn new(seed: Seed) -> Result<Self, Error> {
        let Seed {
            disk,
            conflict,
            len,
            segments,
            runtime,
            options,
        } = seed;
        if let Some(len) = len.filter(|&len| len > MAX_LEN) {
            return Err(Error::BeyondEnd {
                path: disk.layout.part.clone(),
                offset: MAX_LEN,
                len,
            });
        }
        let written: Ranges = segments.iter().map(|segment| segment.range()).collect();
        let status = Status {
            written: written.bytes(),
            prefix: written.prefix(),
            ..Status::default()
        };
        let progress = Progress {
            identity: options.identity,
            len,
            segments,
            durable: Ranges::default(),
            journal: None,
            carried: None,
            unsaved: 0,
            timed: false,
            flushing: false,
            written,
        };
        Ok(Self {
            disk,
            conflict,
            runtime,
            save_every: options.save_every.max(Duration::from_millis(10)),
            saving: Mutex::new(()),
            invalidating: Arc::default(),
            queue: Mutex::default(),
            follower: options.digest.map(Follower::new),
            progress: Mutex::new(progress),
            prefix: AtomicU64::new(status.prefix),
            status: watch::Sender::new(status),
            drained: Condvar::new(),
            sync_failed: AtomicBool::new(false),
            failure: OnceLock::new(),
        })
    }

    /// Tells the disk what was kept of an earlier run. When that is nothing, there is time until the first bytes.
    pub(super) fn begin(self: &Arc<Self>) -> Result<(), Error> {
        if lock(&self.progress).written.bytes() > 0 {
            self.snapshot()?;
        }
        self.disk.keep_part();
        self.follow();
        Ok(())
    }

    /// The failure that came first; it stays.
    pub(super) fn failure(&self) -> Option<Error> {
        self.failure.get().cloned()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Notes a failure and tells everybody. Queued buffers give their memory back.
    pub(super) fn fail(&self, error: Error) {
        if self.failure.set(error).is_ok() {
            bytehaul_log::debug!(part = %self.disk.layout.part.display(), error = ?self.failure.get(), "writing failed");
        }
        let waiting = std::mem::take(&mut lock(&self.queue).jobs);
        self.status.send_modify(|status| status.failed = true);
        drop(waiting);
    }

    pub(super) fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut progress = lock(&self.progress);
        let end = progress.written.end();
        if len < end || len > MAX_LEN {
            return Err(Error::BeyondEnd {
                path: self.disk.layout.part.clone(),
                offset: len.min(end),
                len,
            });
        }
        progress.len = Some(len);
        Ok(())
    }

    /// Tells watchers what the progress is now.
    pub(super) fn announce(&self) {
        // Told under the lock, so that a later state is never followed by an earlier one.
        let progress = lock(&self.progress);
        let (written, durable, prefix) = (
            progress.written.bytes(),
            progress.durable.bytes(),
            progress.written.prefix(),
        );
        self.prefix.store(prefix, Ordering::Release);
        self.status.send_modify(|status| {
            status.written = written;
            status.durable = durable;
            status.prefix = prefix;
        });
    }

    /// Makes the written bytes of the part durable; a failure is for good.
    pub(super) fn sync_part(&self) -> Result<(), Error> {
        self.disk.sync_part().inspect_err(|error| {
            // After a failed sync the system may show bytes that it will never write, and the next sync may succeed. So
            // nothing is claimed any more, and the records of such bytes go: the next run could only read them and believe.
            self.sync_failed.store(true, Ordering::Release);
            self.fail(error.clone());
            if let Some(journal) = &mut lock(&self.progress).journal {
                let _ = self
                    .disk
                    .cut_control(&mut journal.file, journal.snapshot_len);
            }
        })
    }

    /// Stops taking bytes, drops those that wait, and waits until the writing thread is done.
    pub(super) fn stop_taking(self: &Arc<Self>) {
        let waiting = {
            let mut queue = lock(&self.queue);
            queue.closed = true;
            std::mem::take(&mut queue.jobs)
        };
        drop(waiting);
        self.write_the_last();
    }

    /// Stops taking bytes, and waits until those that wait are written; writes them itself where no thread has begun to.
    pub(super) fn write_the_last(self: &Arc<Self>) {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        loop {
            match queue.draining {
                Draining::Idle => return,
                Draining::Queued => {
                    drop(queue);
                    // A panic is noted as this file's failure, as it is on a thread of its own.
                    let _ = catch_unwind(AssertUnwindSafe(|| drain(self)));
                    queue = lock(&self.queue);
                }
                Draining::Running => {
                    queue = self
                        .drained
                        .wait(queue)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}
