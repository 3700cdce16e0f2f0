//! The handle by which a transfer hands over its bytes, waits for them, and publishes the file.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytehaul_integrity::{Digest, Expected, Hashing};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinError;

use crate::control::Identity;
use crate::{Buffer, Error, FinishError, Layout, lock};

mod drain;
mod follow;
mod publish;
mod save;
mod shared;

pub(crate) use self::shared::Seed;
use self::shared::{Job, Shared};

/// Writes a claimed part file, keeps its control file, and publishes the result.
///
/// A handle: clones speak of the same file. The work runs on the blocking threads of the runtime, one at a time for
/// writing; an idle file holds none. When the last handle is dropped, what was submitted is written still, and then the
/// lock goes; [`Writer::close`] waits for that.
#[derive(Clone)]
pub struct Writer {
    shared: Arc<Shared>,
}

/// How far a file is. Counts never go down, but for [`Writer::invalidate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Status {
    /// Bytes that were handed to the system; a crash of this program loses none of them.
    pub written: u64,
    /// Bytes of which the control file on disk tells; a power cut loses none of them.
    pub durable: u64,
    /// Bytes at the start of the file without a hole.
    pub prefix: u64,
    /// Whether writing has failed; [`Writer::failed`] has the error.
    pub failed: bool,
}

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finished {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// The digest that ran beside the transfer, or that was expected and found right.
    pub digest: Option<Digest>,
}

impl Writer {
    pub(crate) fn start(seed: Seed) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(seed)?);
        shared.begin()?;
        Ok(Self { shared })
    }

    /// Hands over the bytes that belong at `offset`. Never waits; the memory is bounded by the [`Budget`](crate::Budget)
    /// that the buffer came from.
    ///
    /// Bytes that are written already stay as they are: the first write wins. After a failure, and after closing, the
    /// buffer is just dropped.
    pub fn submit(&self, offset: u64, buffer: Buffer) {
        if !buffer.is_empty() {
            self.shared.push(Job::Write {
                offset,
                data: buffer,
            });
        }
    }

    /// How far the file is, from now on. Changes once for each write, so at most about once for each MiB when buffers are
    /// large.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }

    /// Waits until writing has failed, and says why; never ends while it has not. Cancel safe.
    pub async fn failed(&self) -> Error {
        let mut status = self.shared.status.subscribe();
        // The sender lives in `self`, so waiting cannot end for another reason.
        let _ = status.wait_for(|status| status.failed).await;
        self.shared.failure().unwrap_or(Error::Closed)
    }

    /// Waits until everything that was submitted so far is written. Cancel safe.
    ///
    /// # Errors
    ///
    /// The first failure of any write or save; [`Error::Closed`] after closing.
    pub async fn settled(&self) -> Result<(), Error> {
        let (done, written) = oneshot::channel();
        self.shared.push(Job::Mark(done));
        match written.await {
            Ok(()) => Ok(()),
            Err(_dropped) => Err(self.shared.failure().unwrap_or(Error::Closed)),
        }
    }

    /// Waits until everything that was submitted so far survives a power cut. Cancel safe: a save that has begun goes on.
    ///
    /// # Errors
    ///
    /// The first failure of any write or save. After a failed write (a full disk, say) what was written before it is made
    /// durable all the same.
    pub async fn save(&self) -> Result<(), Error> {
        let settled = self.settled().await;
        let saved = self.blocking(|shared| shared.save()).await;
        settled.and(saved)
    }

    /// Saves, and gives the file up: on return another claim of the target succeeds, even while other handles exist. What
    /// is submitted later is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`Writer::save`]; the file is given up also then.
    pub async fn close(&self) -> Result<(), Error> {
        // What somebody has stopped waiting for is done first.
        drop(self.shared.invalidating.lock().await);
        let saved = self.save().await;
        self.blocking(Shared::close).await;
        saved
    }

    /// The ranges that were handed to the system; in order, disjoint, not touching.
    pub fn written(&self) -> Vec<Range<u64>> {
        lock(&self.shared.progress).written.to_vec()
    }

    /// The ranges of which the control file on disk tells.
    pub fn durable(&self) -> Vec<Range<u64>> {
        lock(&self.shared.progress).durable.to_vec()
    }

    /// Bytes for which one checksum is kept now.
    pub fn piece_size(&self) -> u64 {
        lock(&self.shared.progress).segments.piece_size()
    }

    /// Takes `range` for not written, because its bytes have been proven wrong. On return no crash brings them back, and
    /// the right ones may be submitted.
    ///
    /// # Errors
    ///
    /// The first failure of any write or save.
    pub async fn invalidate(&self, range: Range<u64>) -> Result<(), Error> {
        self.invalidate_all(vec![range]).await
    }

    /// The same as [`Writer::invalidate`] for many ranges, at the cost of one. Dropping the future does not stop it, and
    /// [`Writer::close`] waits for it.
    ///
    /// # Errors
    ///
    /// The first failure of any write or save.
    pub async fn invalidate_all(&self, ranges: Vec<Range<u64>>) -> Result<(), Error> {
        let writer = self.clone();
        let turn = Arc::clone(&self.shared.invalidating).lock_owned().await;
        // A caller who is stopped meanwhile must not leave behind what he knows to be wrong.
        let invalidates = self.shared.runtime.spawn(async move {
            let _turn = turn;
            writer.settled().await?;
            writer
                .blocking(move |shared| shared.invalidate(&ranges))
                .await
        });
        joined(invalidates.await).await
    }

    /// The digest of the first `len` bytes, without publishing them: for a caller who can do something about a wrong one.
    /// It costs nothing more later, when the digest that runs beside the transfer is computed like this.
    ///
    /// # Errors
    ///
    /// [`FinishError::Incomplete`] when bytes are missing, and what the file system says when reading fails.
    pub async fn digest(&self, hashing: Hashing, len: u64) -> Result<Digest, FinishError> {
        self.settled().await?;
        self.blocking(move |shared| shared.digest_of(hashing, len))
            .await
    }

    /// Changes by what a later run recognises the object. On return it is on disk.
    ///
    /// # Errors
    ///
    /// The first failure of any write or save.
    pub async fn update_identity(&self, identity: Identity) -> Result<(), Error> {
        lock(&self.shared.progress).identity = identity;
        self.blocking(|shared| shared.save()).await
    }

    /// Says how long the object is, when that was not known at the start. The next save tells it to the disk.
    ///
    /// # Errors
    ///
    /// [`Error::BeyondEnd`] when more than that has been written already.
    pub fn set_len(&self, len: u64) -> Result<(), Error> {
        self.shared.set_len(len)
    }

    /// Publishes the file: waits until all is written, compares the digest, syncs, and gives the part the target's name.
    ///
    /// The digest that ran beside the transfer is used when it is computed as the expected one; else the file is read once
    /// more. Dropping the future does not stop publishing once that has begun.
    ///
    /// # Errors
    ///
    /// [`FinishError::Mismatch`] after removing the bytes. [`FinishError::Incomplete`] and [`FinishError::Storage`]
    /// change nothing: the target may have been taken ([`Error::TargetExists`]) or the part removed ([`Error::Removed`]);
    /// but after [`Error::NotDurable`] the file is published and given up.
    pub async fn finish(
        &self,
        expected: Option<Expected>,
        len: u64,
    ) -> Result<Finished, FinishError> {
        self.blocking(move |shared| shared.finish(expected.as_ref(), len))
            .await
    }

    /// Removes the part and the control file, and gives the file up.
    ///
    /// # Errors
    ///
    /// What the file system says when removing fails.
    pub async fn discard(self) -> Result<(), Error> {
        // A failed write is no reason to keep the file.
        let _ = self.settled().await;
        self.blocking(Shared::discard).await
    }

    /// The names of the files.
    pub fn layout(&self) -> &Layout {
        &self.shared.disk.layout
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Shared>) -> T + Send + 'static,
    ) -> T {
        let shared = Arc::clone(&self.shared);
        let task = self.shared.runtime.spawn_blocking(move || work(&shared));
        joined(task.await).await
    }
}

async fn joined<T>(ended: Result<T, JoinError>) -> T {
    match ended {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => std::future::pending().await, // The runtime is going down, and this future with it.
        },
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("part", &self.shared.disk.layout.part)
            .field("status", &*self.shared.status.borrow())
            .finish()
    }
}
