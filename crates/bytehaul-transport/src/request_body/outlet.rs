//! What the sender of a body, its connection and the waiter for its answer tell each other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::error::Error;

/// The way out of one body on one connection.
pub(crate) struct Outlet {
    state: Mutex<State>,
    /// Bytes that went to the connection.
    written: AtomicU64,
}

/// Whether a body waits for a go-ahead (RFC 9110 section 10.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// No: it follows its head at once.
    Nothing,
    /// For a 100, or for a while.
    Continue,
}

/// What a body may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    Closed,
    /// Nobody wants the rest.
    Stopped,
}

struct State {
    gate: Gate,
    stage: Stage,
    /// The caller's body has nothing to send now, or must not yet: what takes time is not the peer.
    idle: bool,
    failed: Option<Error>,
    /// The body, while its gate is closed.
    sender: Option<Waker>,
    /// Whoever waits for the last byte to be out.
    waiter: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sending,
    /// The last byte was given to the connection.
    Given,
    /// The connection has let it out.
    Out,
}

impl Outlet {
    pub(super) fn new(wait: Wait) -> Self {
        Self {
            state: Mutex::new(State {
                gate: match wait {
                    Wait::Nothing => Gate::Open,
                    Wait::Continue => Gate::Closed,
                },
                stage: Stage::Sending,
                idle: wait == Wait::Continue,
                failed: None,
                sender: None,
                waiter: None,
            }),
            written: AtomicU64::new(0),
        }
    }

    /// Lets the body go, unless it was stopped.
    pub(crate) fn open(&self) {
        let mut state = self.lock();
        if state.gate == Gate::Closed {
            state.gate = Gate::Open;
        }
        let sender = state.sender.take();
        drop(state);
        sender.into_iter().for_each(Waker::wake);
    }

    /// No further byte is asked of the body.
    pub(crate) fn stop(&self) {
        self.lock().gate = Gate::Stopped;
    }

    /// Whether the body still waits for its go-ahead, so that nothing of it has been sent.
    pub(crate) fn is_held(&self) -> bool {
        self.lock().gate == Gate::Closed
    }

    /// Whether it is not the peer that is waited for.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().idle
    }

    /// Whether the last byte has gone to the connection.
    pub(crate) fn is_out(&self) -> bool {
        self.lock().stage == Stage::Out
    }

    /// The same, and who is woken when that comes true by another task's work.
    pub(crate) fn is_out_or_wakes(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        state.waiter = Some(waker.clone());
        state.stage == Stage::Out
    }

    /// Why the body failed, told once.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.lock().failed.take()
    }

    /// Bytes of the body, or of the whole message, that went to the connection.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(crate) fn wrote(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// All that was given to the connection has left it.
    pub(crate) fn flushed(&self) {
        let mut state = self.lock();
        if state.stage != Stage::Given {
            return;
        }
        state.stage = Stage::Out;
        let waiter = state.waiter.take();
        drop(state);
        waiter.into_iter().for_each(Waker::wake);
    }

    pub(super) fn gate(&self, waker: &Waker) -> Gate {
        let mut state = self.lock();
        if state.gate == Gate::Closed {
            state.sender = Some(waker.clone());
        }
        state.gate
    }

    pub(super) fn set_idle(&self, idle: bool) {
        self.lock().idle = idle;
    }

    /// The last byte is about to be given to the connection.
    pub(super) fn given(&self) {
        let mut state = self.lock();
        state.idle = false;
        state.stage = Stage::Given;
    }

    pub(super) fn fail(&self, error: Error) {
        self.lock().failed = Some(error);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
