//! Who receives from an HTTP/2 connection that its task and the readers of its bodies share.
//!
//! The only reader of a connection receives by itself, straight into its buffer, and wakes the connection's task just for what
//! h2 has to know. Among several readers, each receives what comes for it and puts down what comes for others, and the task
//! does so too. A reader that has stopped reading holds nothing up: after a moment without it the task takes its place.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use ::h2::RecvStream;
use bytes::{Buf, BufMut};
use tokio::io::{AsyncWrite, BufReader};

use super::Load;
use super::bell::Bell;
use super::driver::Counted;
use super::frames::{Frames, Front};
use super::lane::Lane;
use super::outgoing::Outgoing;
use crate::request_body::Outlet;
use crate::stream::Stream;

/// The connection. Its lock is never held while h2 is called, which calls here under a lock of its own.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) bell: Arc<Bell>,
}

pub(super) struct State {
    pub(super) frames: Frames<BufReader<Counted>>,
    pub(super) outgoing: Outgoing,
    pub(super) life: Life,
    pub(super) lead: Lead,
    /// Counts the times that a reader received, to tell whether it still does.
    pub(super) turns: u64,
    /// Streams that have ended, but h2 may not have heard of it.
    pub(super) parked: Vec<RecvStream>,
}

pub(super) enum Life {
    Open,
    Ended,
    Failed(Option<io::Error>),
    /// h2 has let go of the connection.
    Left,
}

/// Who receives, where one reader could do it alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lead {
    Nobody,
    /// The reader of this stream.
    Reader(u32),
    /// The task, as the reader does not.
    Task,
}

/// What a reader got.
pub(super) enum Got {
    Bytes(usize),
    /// All of the body was read.
    End,
    /// More has come than the body can have.
    Excess,
    /// Nothing yet, or never: h2 knows.
    Nothing,
}

impl Shared {
    pub(super) fn new(stream: Stream, load: &Arc<Load>) -> Arc<Self> {
        let ahead = match stream {
            Stream::Plain(_) => AHEAD,
            // Those have the next bytes in memory. Every read is as large as this, and so goes around the buffer.
            Stream::Tls(_) | Stream::TlsInTls(_) => 1,
        };
        let stream = Counted::new(stream, Arc::clone(load));
        Arc::new(Self {
            state: Mutex::new(State {
                frames: Frames::new(BufReader::with_capacity(ahead, stream)),
                outgoing: Outgoing::new(),
                life: Life::Open,
                lead: Lead::Nobody,
                turns: 0,
                parked: Vec::new(),
            }),
            bell: Arc::new(Bell::new(load)),
        })
    }

    /// The lane of a stream on which a request was just sent; `outlet` is that of its body.
    pub(super) fn open(self: &Arc<Self>, id: u32, outlet: Option<Arc<Outlet>>) -> Lane {
        self.lock().frames.open(id, outlet);
        Lane::new(Arc::clone(self), id)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while frames are taken apart leaves a connection that nobody can use, but which does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sends the window updates that wait, where no frame of h2 is cut in two by them.
    pub(super) fn poll_updates(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.frames.updates.has_remaining() && self.outgoing.is_between() {
            let Frames { io, updates, .. } = &mut self.frames;
            match ready!(Pin::new(io).poll_write(cx, updates))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => updates.advance(sent),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Receives what is there for the stream. Tells whether the task has something to do.
    pub(super) fn receive<B: BufMut>(
        &mut self,
        id: u32,
        bell: &Arc<Bell>,
        buf: &mut B,
        limit: Option<u64>,
    ) -> (Got, bool) {
        let waker = Waker::from(Arc::clone(bell));
        let mut socket = Context::from_waker(&waker);
        let (mut read, mut work) = (0, false);
        let exceeds =
            |more: usize, read: usize| limit.is_some_and(|limit| (more + read) as u64 > limit);
        let got = loop {
            if !buf.has_remaining_mut() {
                break Got::Nothing;
            }
            let Some(inbox) = self.frames.inbox(id) else {
                break Got::Nothing;
            };
            if inbox.bytes.has_remaining() {
                if exceeds(inbox.bytes.len(), read) {
                    break Got::Excess;
                }
                let step = inbox.bytes.len().min(buf.remaining_mut());
                buf.put((&mut inbox.bytes).take(step));
                self.frames.credit(id, step);
                read += step;
                continue;
            }
            if inbox.ended {
                break Got::End;
            }
            if !matches!(self.life, Life::Open) || self.frames.control.len() >= MAX_CONTROL {
                break Got::Nothing;
            }
            let step = match self.frames.poll_front(&mut socket) {
                Poll::Ready(Ok(Front::Data { id: front, left })) if front == id => {
                    if exceeds(left, read) {
                        break Got::Excess;
                    }
                    let polled = self.frames.poll_payload(&mut socket, buf);
                    polled.map_ok(|more| read += more)
                }
                Poll::Ready(Ok(Front::Data { id, .. })) => {
                    let polled = self.frames.poll_spill(&mut socket);
                    polled.map_ok(|()| bell.call(id))
                }
                Poll::Ready(Ok(Front::Control)) => {
                    work = true;
                    continue;
                }
                Poll::Ready(Ok(Front::End)) => {
                    (self.life, work) = (Life::Ended, true);
                    continue;
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            };
            match step {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => (self.life, work) = (Life::Failed(Some(error)), true),
                Poll::Pending => break Got::Nothing,
            }
        };
        match read {
            0 => (got, work),
            read => (Got::Bytes(read), work),
        }
    }
}

/// Bytes that are put down for h2 before a reader waits for it.
pub(super) const MAX_CONTROL: usize = 64 * 1024;

/// Bytes that are received ahead without TLS.
const AHEAD: usize = 64 * 1024;
