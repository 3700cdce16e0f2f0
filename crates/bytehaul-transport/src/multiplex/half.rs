//! An HTTP/2 connection as h2 sees it: without the bodies, and with a receiver that stands aside for a lone reader.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::frames::Front;
use super::shared::{Lead, Life, MAX_CONTROL, Shared, State};

/// The connection as h2 sees it.
pub(super) struct Half {
    shared: Arc<Shared>,
    lull: Option<Pin<Box<Sleep>>>,
    turns: u64,
}

impl Half {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            lull: None,
            turns: 0,
        }
    }

    /// Whether the only reader is to receive. Wakes the task when it has not for a moment.
    fn leaves_it(&mut self, cx: &mut Context<'_>, state: &mut State) -> bool {
        if !self.shared.bell.is_for_one() {
            state.lead = Lead::Nobody;
        }
        if !matches!(state.lead, Lead::Reader(_)) {
            self.lull = None;
            return false;
        }
        let lull = match &mut self.lull {
            Some(lull) => lull,
            None => {
                self.turns = state.turns;
                self.lull.insert(Box::pin(sleep(LULL)))
            }
        };
        while lull.as_mut().poll(cx).is_ready() {
            if self.turns == state.turns {
                state.lead = Lead::Task;
                self.lull = None;
                return false;
            }
            self.turns = state.turns;
            lull.as_mut().reset(Instant::now() + LULL);
        }
        true
    }
}

impl AsyncRead for Half {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let half = &mut *self;
        let shared = Arc::clone(&half.shared);
        shared.bell.lock().task = Some(cx.waker().clone());
        let waker = Waker::from(Arc::clone(&shared.bell));
        let mut socket = Context::from_waker(&waker);
        let mut guard = shared.lock();
        if guard.frames.control.is_empty() && !guard.parked.is_empty() {
            // h2 has taken everything in, so that letting these go resets nothing.
            let parked = std::mem::take(&mut guard.parked);
            drop(guard);
            drop(parked);
            guard = shared.lock();
        }
        let state = &mut *guard;
        loop {
            if state.frames.control.has_remaining() {
                if state.frames.control.len() >= MAX_CONTROL {
                    shared.bell.ring();
                }
                let step = buf.remaining().min(state.frames.control.len());
                buf.put_slice(&state.frames.control.split_to(step));
                return Poll::Ready(Ok(()));
            }
            match &mut state.life {
                Life::Open => {}
                Life::Ended | Life::Left => return Poll::Ready(Ok(())),
                Life::Failed(error) => {
                    let error = error.take();
                    return Poll::Ready(error.map_or(Ok(()), Err));
                }
            }
            if half.leaves_it(cx, state) {
                return Poll::Pending;
            }
            match ready!(state.frames.poll_front(&mut socket)) {
                Ok(Front::Control) => {}
                Ok(Front::Data { id, .. })
                    if state.lead == Lead::Nobody
                        && shared.bell.is_for_one()
                        && state.frames.inbox(id).is_some() =>
                {
                    state.lead = Lead::Reader(id);
                    shared.bell.call(id);
                }
                Ok(Front::Data { id, .. }) => match ready!(state.frames.poll_spill(&mut socket)) {
                    Ok(()) => shared.bell.call(id),
                    Err(error) => state.life = Life::Failed(Some(error)),
                },
                Ok(Front::End) => state.life = Life::Ended,
                Err(error) => state.life = Life::Failed(Some(error)),
            }
        }
    }
}

impl AsyncWrite for Half {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.shared.lock();
        ready!(state.poll_updates(cx))?;
        let sent = ready!(Pin::new(&mut state.frames.io).poll_write(cx, buf))?;
        let State {
            outgoing, frames, ..
        } = &mut *state;
        outgoing.sent(&buf[..sent], |data| frames.sent(data));
        Poll::Ready(Ok(sent))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.shared.lock();
        ready!(state.poll_updates(cx))?;
        let sent = ready!(Pin::new(&mut state.frames.io).poll_write_vectored(cx, bufs))?;
        let State {
            outgoing, frames, ..
        } = &mut *state;
        let mut left = sent;
        for buf in bufs {
            let step = left.min(buf.len());
            outgoing.sent(&buf[..step], |data| frames.sent(data));
            left -= step;
        }
        Poll::Ready(Ok(sent))
    }

    /// A frame's header and its payload go out together.
    fn is_write_vectored(&self) -> bool {
        self.shared.lock().frames.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.lock();
        ready!(state.poll_updates(cx))?;
        Pin::new(&mut state.frames.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.lock();
        Pin::new(&mut state.frames.io).poll_shutdown(cx)
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.shared.lock().life = Life::Left;
        self.shared.bell.ring();
    }
}

/// How long the task waits for the reader of a body before it receives by itself.
const LULL: Duration = Duration::from_millis(200);
