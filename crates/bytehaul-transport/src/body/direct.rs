//! A body of known length, read from the socket into the caller's buffer with nothing in between.

use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::buf::Chain;
use bytes::{Buf, BufMut, Bytes};
use tokio::io::AsyncReadExt;

use crate::error::{Error, ErrorKind};
use crate::exchange::{body_error, body_io_error};
use crate::wire::Wire;

/// The rest of a body: first what hyper had read already, then the socket. Never a byte more than the length is taken
/// from the socket, so that at the end it stands at the next message.
#[derive(Debug)]
pub(crate) struct Direct {
    wire: Wire,
    early: Chain<Bytes, Bytes>,
    /// More had been read already than belongs to this body.
    surplus: bool,
    length: u64,
    remaining: u64,
    failed: Option<hyper::Error>,
}

impl Direct {
    /// `frames` was in hyper's body channel, `read_buf` is what it had read after that; `failed` is how its reading ended.
    pub(crate) fn new(
        wire: Wire,
        frames: Bytes,
        read_buf: Bytes,
        length: u64,
        failed: Option<hyper::Error>,
    ) -> Self {
        let early = frames.chain(read_buf);
        let surplus = early.remaining() as u64 > length;
        Self {
            wire,
            early,
            surplus,
            length,
            remaining: length,
            failed,
        }
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The buffer has room. `Ok(0)` only with nothing remaining.
    pub(crate) fn poll_read<B: BufMut>(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut B,
    ) -> Poll<Result<usize, Error>> {
        let want = usize::try_from(self.remaining)
            .unwrap_or(usize::MAX)
            .min(buf.remaining_mut());
        if want == 0 {
            return Poll::Ready(Ok(0));
        }
        let read = if self.early.has_remaining() {
            let read = want.min(self.early.remaining());
            buf.put((&mut self.early).take(read));
            read
        } else if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(body_error(error)));
        } else {
            let mut room = buf.limit(want);
            ready!(pin!(self.wire.read_buf(&mut room)).poll(cx)).map_err(body_io_error)?
        };
        if read == 0 {
            let what = format!(
                "body ended after {} of {} bytes",
                self.length - self.remaining,
                self.length
            );
            return Poll::Ready(Err(Error::new(ErrorKind::Truncated, what)));
        }
        self.remaining -= read as u64;
        Poll::Ready(Ok(read))
    }

    /// The connection, where it stands at the beginning of the next message.
    pub(crate) fn finish(self) -> Option<Wire> {
        (self.remaining == 0 && !self.surplus && self.failed.is_none()).then_some(self.wire)
    }
}
