//! One stream of an HTTP/2 connection as the reader of its body sees it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::h2::{RecvStream, SendStream};
use bytes::{Buf, BufMut, Bytes};
use tokio::io::AsyncWrite;

use super::shared::{Got, Lead, Life, Shared};

/// One stream of the connection as its reader sees it.
pub(crate) struct Lane {
    shared: Arc<Shared>,
    id: u32,
    stream: Option<RecvStream>,
    /// A request's body that was not sent to its end. It is given up with the response.
    unsent: Option<SendStream<Bytes>>,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, id: u32) -> Self {
        Self {
            shared,
            id,
            stream: None,
            unsent: None,
        }
    }

    /// From now on the stream belongs to its lane: it is reset when the lane is dropped before the end.
    pub(super) fn keep(&mut self, stream: RecvStream) {
        self.stream = Some(stream);
    }

    /// Nothing more of the request is sent, but its response is read.
    pub(super) fn keep_unsent(&mut self, body: SendStream<Bytes>) {
        self.unsent = Some(body);
    }

    /// What has come for the stream, into a buffer with room; `limit` is what the body can still have. When that is nothing
    /// yet, the task is woken as soon as that changes.
    pub(super) fn read<B: BufMut>(
        &self,
        cx: &mut Context<'_>,
        buf: &mut B,
        limit: Option<u64>,
    ) -> Got {
        let bell = &self.shared.bell;
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        // Before anything is received: the socket may be ready again at once.
        bell.wait(self.id, cx.waker());
        state.turns = state.turns.wrapping_add(1);
        let led = state.lead == Lead::Reader(self.id);
        if !led && bell.is_for_one() {
            state.lead = Lead::Reader(self.id);
        }
        let (got, work) = state.receive(self.id, bell, buf, limit);
        if !matches!(got, Got::Nothing) {
            bell.lock().readers.remove(&self.id);
        }
        let task = bell.lock().task.clone();
        if let Some(task) = &task
            && state.frames.updates.has_remaining()
        {
            // The task goes on with what does not go out at once, and finds out about failures.
            let mut cx = Context::from_waker(task);
            if matches!(state.poll_updates(&mut cx), Poll::Ready(Ok(()))) {
                let _ = Pin::new(&mut state.frames.io).poll_flush(&mut cx);
            }
        }
        drop(guard);
        if (work || !led)
            && let Some(task) = task
        {
            task.wake();
        }
        got
    }

    /// Asks h2 about the stream: an error, `None` at its end, and never any data.
    pub(super) fn poll_fate(&mut self, cx: &mut Context<'_>) -> Poll<Option<::h2::Error>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        loop {
            match ready!(stream.poll_data(cx)) {
                Some(Ok(stray)) => {
                    // Fails only for more than was received.
                    let _ = stream.flow_control().release_capacity(stray.len());
                }
                Some(Err(error)) => return Poll::Ready(Some(error)),
                None => return Poll::Ready(None),
            }
        }
    }

    /// The reader has what it wanted. The task receives what ends the stream.
    pub(super) fn leave(&self) {
        let mut state = self.shared.lock();
        state.lead = Lead::Nobody;
        drop(state);
        self.shared.bell.rouse();
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let stream = self.stream.take();
        let mut state = self.shared.lock();
        self.shared.bell.lock().readers.remove(&self.id);
        let ended = state.frames.close(self.id);
        if state.lead == Lead::Reader(self.id) {
            state.lead = Lead::Nobody;
        }
        let open = !matches!(state.life, Life::Left);
        let now = match stream {
            Some(stream) if ended && open => {
                state.parked.push(stream);
                None
            }
            other => other,
        };
        drop(state);
        // Not under the lock.
        drop((now, self.unsent.take()));
        self.shared.bell.rouse();
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
