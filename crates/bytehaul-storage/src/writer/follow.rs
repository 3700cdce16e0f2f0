//! How the digest runs beside the transfer: it reads the finished start of the file back while it is hot in the page cache.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytehaul_integrity::{Digest, Hasher, Hashing};

use super::shared::Shared;
use crate::{Error, lock};

/// The digest of the bytes so far.
pub(super) struct Follower {
    hashing: Hashing,
    state: Mutex<State>,
    idle: Condvar,
}

struct State {
    /// Taken out by the thread that is at work.
    hasher: Option<Hasher>,
    position: u64,
    /// Whether a task that catches up is queued or at work. While it is only queued it holds nothing: it may never start.
    scheduled: bool,
}

impl Follower {
    pub(super) fn new(hashing: Hashing) -> Self {
        let state = State {
            hasher: Some(hashing.hasher()),
            position: 0,
            scheduled: false,
        };
        Self {
            hashing,
            state: Mutex::new(state),
            idle: Condvar::new(),
        }
    }

    pub(super) fn hashing(&self) -> Hashing {
        self.hashing
    }

    /// Starts over when bytes at or behind `start` will change and were hashed already.
    pub(super) fn restart_if_beyond(&self, start: u64) {
        let (hasher, position) = self.take();
        let (hasher, position) = if start < position {
            (self.hashing.hasher(), 0)
        } else {
            (hasher, position)
        };
        self.put(hasher, position);
    }

    /// Waits for the thread that is at work, and takes the hasher.
    fn take(&self) -> (Hasher, u64) {
        let mut state = lock(&self.state);
        loop {
            if let Some(hasher) = state.hasher.take() {
                return (hasher, state.position);
            }
            state = self
                .idle
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether a task has to be queued for the bytes up to `end`; if so, it counts as queued.
    fn schedule(&self, end: u64) -> bool {
        let mut state = lock(&self.state);
        let due = !state.scheduled && state.hasher.is_some() && is_behind(&state, end);
        state.scheduled |= due;
        due
    }

    /// Takes the hasher for the task that was queued; or, if it is taken or not behind, ends the task.
    fn take_to_catch_up(&self, end: u64) -> Option<(Hasher, u64)> {
        let mut state = lock(&self.state);
        let hasher = if is_behind(&state, end) {
            state.hasher.take()
        } else {
            None
        };
        state.scheduled = hasher.is_some();
        Some((hasher?, state.position))
    }

    /// Gives the hasher back and ends the task.
    fn end(&self, hasher: Hasher, position: u64) {
        lock(&self.state).scheduled = false;
        self.put(hasher, position);
    }

    fn put(&self, hasher: Hasher, position: u64) {
        let mut state = lock(&self.state);
        state.hasher = Some(hasher);
        state.position = position;
        self.idle.notify_all();
    }
}

impl Shared {
    /// Sets a thread to work if the digest is behind.
    pub(super) fn follow(self: &Arc<Self>) {
        let Some(follower) = &self.follower else {
            return;
        };
        if follower.schedule(self.prefix.load(Ordering::Acquire)) {
            let shared = Arc::clone(self);
            // Not joined: whoever takes the hasher waits for it once it runs, and goes ahead of it until then.
            self.runtime.spawn_blocking(move || catch_up(&shared));
        }
    }

    /// The digest of the first `len` bytes, all of which are written. Waits for what runs beside, and does the rest.
    pub(super) fn digest(&self, follower: &Follower, len: u64) -> Result<Digest, Error> {
        let (mut hasher, position) = follower.take();
        if position > len {
            follower.put(hasher, position);
            return self.digest_anew(follower.hashing, len);
        }
        let hashed = self.hash(&mut hasher, position, len, &mut Vec::new());
        // Kept, in case publishing fails and is tried again.
        let digest = hasher.clone();
        match hashed {
            Ok(()) => follower.put(hasher, len),
            Err(_) => follower.put(follower.hashing.hasher(), 0),
        }
        hashed.map(|()| digest.finish())
    }

    /// The digest of the first `len` bytes, read from the start.
    pub(super) fn digest_anew(&self, hashing: Hashing, len: u64) -> Result<Digest, Error> {
        let mut hasher = hashing.hasher();
        self.hash(&mut hasher, 0, len, &mut Vec::new())?;
        Ok(hasher.finish())
    }

    fn hash(
        &self,
        hasher: &mut Hasher,
        mut at: u64,
        end: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        buffer.resize(CHUNK, 0);
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            let chunk = &mut buffer[..wanted];
            if self.disk.read_part(at, chunk)? < wanted {
                // Somebody cut it.
                return Err(Error::Removed {
                    path: self.disk.layout.part.clone(),
                });
            }
            hasher.update(chunk);
            at += wanted as u64;
        }
        Ok(())
    }
}

/// Hashes as long as there is enough to hash.
fn catch_up(shared: &Arc<Shared>) {
    let Some(follower) = &shared.follower else {
        return;
    };
    let mut buffer = Vec::new();
    // Given back in between, so that one who waits for it gets its turn.
    while let Some((mut hasher, position)) =
        follower.take_to_catch_up(shared.prefix.load(Ordering::Acquire))
    {
        let end = shared.prefix.load(Ordering::Acquire).min(position + STEP);
        if lock(&shared.queue).closed || shared.has_failed() {
            return follower.end(hasher, position);
        }
        match shared.hash(&mut hasher, position, end, &mut buffer) {
            Ok(()) => follower.put(hasher, end.max(position)),
            Err(error) => {
                follower.end(follower.hashing.hasher(), 0);
                return shared.fail(error);
            }
        }
    }
}

/// Whether it is worth a task to hash up to `end`.
fn is_behind(state: &State, end: u64) -> bool {
    end >= state.position.saturating_add(STEP)
}

const STEP: u64 = 1 << 20;
const CHUNK: usize = 256 << 10;
