//! How a file ends: the order of sync, rename and clean-up when it is right, and what goes when it is not.

use std::sync::Arc;

use bytehaul_integrity::{Digest, Expected, Hashing};

use super::Finished;
use super::shared::Shared;
use crate::{Error, FinishError, lock};

impl Shared {
    /// Writes what is queued, verifies and publishes.
    pub(super) fn finish(
        self: &Arc<Self>,
        expected: Option<&Expected>,
        len: u64,
    ) -> Result<Finished, FinishError> {
        let turn = lock(&self.saving);
        if lock(&self.queue).closed {
            return Err(Error::Closed.into());
        }
        // Nothing may be written any more to a file that gets the target's name.
        self.write_the_last();
        let finished = self.finish_in_turn(expected, len);
        match &finished {
            // The part is gone in all of these, so there is nothing that a control file could speak of.
            Ok(_)
            | Err(FinishError::Mismatch { .. } | FinishError::Storage(Error::NotDurable { .. })) => {
                self.give_up();
            }
            Err(FinishError::Incomplete { .. } | FinishError::Storage(_)) => {
                // Resumable still: what has been written since the last snapshot is worth one more.
                lock(&self.queue).closed = false;
                drop(turn);
                let _ = self.snapshot();
            }
        }
        finished
    }

    fn finish_in_turn(
        &self,
        expected: Option<&Expected>,
        len: u64,
    ) -> Result<Finished, FinishError> {
        if let Some(error) = self.failure() {
            return Err(error.into());
        }
        self.check_complete(len)?;
        let digest = self.digest_and_sync(expected, len)?;
        if let (Some(expected), Some(got)) = (expected, &digest)
            && expected.digest != *got
        {
            // The target is right in any case, and the mismatch is what matters: a failure to clean up does not hide it.
            if let Err(error) = self.remove_all() {
                bytehaul_log::warn!(%error, "cannot remove what did not match");
            }
            return Err(FinishError::Mismatch {
                expected: Box::new(expected.digest),
                got: Box::new(*got),
            });
        }
        self.publish(len)?;
        Ok(Finished {
            path: self.disk.layout.target.clone(),
            len,
            digest,
        })
    }

    /// Removes the part and the control file.
    pub(super) fn discard(self: &Arc<Self>) -> Result<(), Error> {
        let _turn = lock(&self.saving);
        if lock(&self.queue).closed {
            return Err(Error::Closed);
        }
        self.stop_taking();
        let removed = self.remove_all();
        self.give_up();
        removed
    }

    /// Gives the file up as it is.
    pub(super) fn close(self: &Arc<Self>) {
        let _turn = lock(&self.saving);
        if !lock(&self.queue).closed {
            self.give_up();
        }
    }

    fn check_complete(&self, len: u64) -> Result<(), FinishError> {
        let progress = lock(&self.progress);
        let end = progress.written.end();
        if end > len {
            return Err(Error::BeyondEnd {
                path: self.disk.layout.part.clone(),
                offset: len,
                len,
            }
            .into());
        }
        let missing = progress.written.gaps(0..len);
        if missing.is_empty() {
            Ok(())
        } else {
            Err(FinishError::Incomplete { missing })
        }
    }

    /// The disk takes in the last bytes while they are hashed.
    fn digest_and_sync(
        &self,
        expected: Option<&Expected>,
        len: u64,
    ) -> Result<Option<Digest>, Error> {
        if len < WORTH_A_THREAD || (expected.is_none() && self.follower.is_none()) {
            return self.final_digest(expected, len);
        }
        std::thread::scope(|scope| {
            let syncing = scope.spawn(|| self.sync_part());
            let digest = self.final_digest(expected, len);
            syncing
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            digest
        })
    }

    fn final_digest(&self, expected: Option<&Expected>, len: u64) -> Result<Option<Digest>, Error> {
        let wanted = expected.map(Expected::hashing);
        match (&self.follower, wanted) {
            (Some(follower), None) => self.digest(follower, len).map(Some),
            (Some(follower), Some(wanted)) if follower.hashing() == wanted => {
                self.digest(follower, len).map(Some)
            }
            (_, Some(wanted)) => self.digest_anew(wanted, len).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The digest of the first `len` bytes, all of which have to be there.
    pub(super) fn digest_of(&self, hashing: Hashing, len: u64) -> Result<Digest, FinishError> {
        self.check_complete(len)?;
        Ok(match &self.follower {
            Some(follower) if follower.hashing() == hashing => self.digest(follower, len)?,
            Some(_) | None => self.digest_anew(hashing, len)?,
        })
    }

    fn publish(&self, len: u64) -> Result<(), Error> {
        if self.disk.part_len()? != len {
            self.disk.set_part_len(len)?;
        }
        self.disk.still_ours()?;
        self.sync_part()?;
        self.disk.publish(self.conflict)?;
        // From here on the file is there; only after its name is durable may the control file go.
        self.disk.sync_published()?;
        let has_control = lock(&self.progress).journal.is_some();
        if has_control && let Err(error) = self.disk.remove_control() {
            // The file is right and there for good; the next claim sweeps the rest away.
            bytehaul_log::warn!(%error, "cannot remove the control file of a published file");
        }
        Ok(())
    }

    /// The claims go first, so that a crash in between leaves bytes without claims and not claims without bytes.
    fn remove_all(&self) -> Result<(), Error> {
        self.disk.remove_control()?;
        self.disk.remove_part()
    }

    fn give_up(self: &Arc<Self>) {
        self.stop_taking();
        lock(&self.progress).journal = None;
        self.disk.release();
    }
}

const WORTH_A_THREAD: u64 = 8 << 20;
