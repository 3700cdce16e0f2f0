//! How a file ends: the order of sync, rename and clean-up when it is right, and what goes when it is not.

use std::sync::Arc;

use bytehaul_integrity::Digest;

use super::Finished;
use super::shared::Shared;
use crate::{Error, FinishError, lock};

impl Shared {
    /// Verifies and publishes. Everything is written already.
    pub(super) fn finish(&self, expected: Option<&Digest>, len: u64) -> Result<Finished, FinishError> {
        let turn = lock(&self.saving);
        if lock(&self.queue).closed {
            return Err(Error::Closed.into());
        }
        self.check_complete(len)?;
        let digest = self.final_digest(expected, len)?;
        if let (Some(expected), Some(got)) = (expected, &digest)
            && expected != got
        {
            self.remove_all()?;
            return Err(FinishError::Mismatch { expected: expected.clone(), got: got.clone() });
        }
        if let Err(error) = self.publish(len) {
            // Still resumable: what has been written since the last snapshot is worth one more.
            drop(turn);
            let _ = self.snapshot();
            return Err(error.into());
        }
        self.give_up();
        Ok(Finished { path: self.disk.layout.target.clone(), len, digest })
    }

    /// Removes the part and the control file.
    pub(super) fn discard(&self) -> Result<(), Error> {
        let _turn = lock(&self.saving);
        if lock(&self.queue).closed {
            return Err(Error::Closed);
        }
        self.remove_all()
    }

    /// Gives the file up as it is.
    pub(super) fn close(&self) {
        let _turn = lock(&self.saving);
        self.give_up();
    }

    fn check_complete(&self, len: u64) -> Result<(), FinishError> {
        let progress = lock(&self.progress);
        let end = progress.written.end();
        if end > len {
            return Err(Error::BeyondEnd { path: self.disk.layout.part.clone(), offset: len, len }.into());
        }
        let missing = progress.written.gaps(0..len);
        if missing.is_empty() { Ok(()) } else { Err(FinishError::Incomplete { missing }) }
    }

    fn final_digest(&self, expected: Option<&Digest>, len: u64) -> Result<Option<Digest>, Error> {
        let wanted = expected.map(Digest::algorithm);
        match (&self.follower, wanted) {
            (Some(follower), None) => self.digest(follower, len).map(Some),
            (Some(follower), Some(wanted)) if follower.algorithm() == wanted => self.digest(follower, len).map(Some),
            (_, Some(wanted)) => self.digest_anew(wanted, len).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn publish(&self, len: u64) -> Result<(), Error> {
        if self.disk.part_len()? != len {
            self.disk.set_part_len(len)?;
        }
        self.disk.still_ours()?;
        self.disk.sync_part()?;
        self.disk.publish(self.conflict)?;
        // From here on the file is there; only after its name is durable may the control file go.
        self.disk.sync_directory()?;
        self.disk.remove_control()?;
        Ok(())
    }

    /// The claims go first, so that a crash in between leaves bytes without claims and not claims without bytes.
    fn remove_all(&self) -> Result<(), Error> {
        let removed = self.disk.remove_control().and_then(|_| self.disk.remove_part());
        self.give_up();
        removed
    }

    fn give_up(&self) {
        let waiting = {
            let mut queue = lock(&self.queue);
            queue.closed = true;
            std::mem::take(&mut queue.jobs)
        };
        drop(waiting);
        lock(&self.progress).journal = None;
        self.disk.release();
    }
}
