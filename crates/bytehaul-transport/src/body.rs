//! Reading a response body: to its end as its framing says, or an error; never a short one by mistake.

mod direct;
mod framed;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};

pub(crate) use self::direct::Direct;
pub(crate) use self::framed::Framed;
use crate::framing::Reuse;
use crate::multiplex::{Lane, Streamed};
use crate::pool::Pool;
use crate::stall::Stall;
use crate::wire::Wire;
use crate::{Error, ErrorKind, Framing, SafeUrl};

/// The body of a response, read from the connection as the caller asks for it. Nothing is read ahead beyond the first few
/// KiB that came with the head, so a caller that does not read stops the server.
///
/// When the end is reached and the connection allows it, it goes back to the client's pool by itself. Dropping a body
/// before its end closes the connection; of an HTTP/2 connection only its stream.
pub struct Body {
    state: State,
    framing: Framing,
    reuse: Reuse,
    stall: Stall,
    url: SafeUrl,
    pool: Arc<Pool>,
}

/// Where the bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The socket, for a body of known length.
    Direct(Direct),
    /// hyper, which finds the end.
    Framed(Box<Framed>),
    /// A stream of an HTTP/2 connection.
    Streamed(Box<Streamed>),
}

#[derive(Debug)]
enum State {
    Reading(Source),
    /// An HTTP/2 stream is kept after its last byte: dropping it before the frame that ends it would reset it, and servers
    /// count resets.
    Complete(#[expect(dead_code, reason = "held for its end, never read")] Option<Lane>),
    Failed(ErrorKind),
}

impl Body {
    pub(crate) fn new(
        source: Source,
        framing: Framing,
        reuse: Reuse,
        read_timeout: Duration,
        url: SafeUrl,
        pool: Arc<Pool>,
    ) -> Self {
        let stall = Stall::new(read_timeout);
        let mut body = Self {
            state: State::Reading(source),
            framing,
            reuse,
            stall,
            url,
            pool,
        };
        if framing == Framing::Length(0) {
            body.complete();
        }
        body
    }

    /// How the end of this body is told, and its whole length where that is known.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the end has been reached: every byte that the framing promised has been read.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete(_))
    }

    /// Reads some bytes into the buffer, at most its `remaining_mut()`, and tells how many. `Ok(0)` is the complete end,
    /// as the framing tells it, and nothing else.
    ///
    /// One call is at most one receive from the socket, straight into the buffer for a body of known length; to collect
    /// more before writing it somewhere, call it again with what is left of the buffer. The buffer must not be one that
    /// grows by itself (such as `Vec`), but its [`limit`](BufMut::limit): that says how much may be read.
    ///
    /// # Errors
    ///
    /// [`TimeoutBody`](ErrorKind::TimeoutBody) when a wait has lasted for the read timeout, [`Truncated`](ErrorKind::Truncated),
    /// [`Reset`](ErrorKind::Reset), [`Protocol`](ErrorKind::Protocol); [`Configuration`](ErrorKind::Configuration) for a
    /// buffer without room. The connection is gone after an error, and reading again gives the same kind of error.
    ///
    /// # Cancel safety
    ///
    /// No byte is lost when the future is dropped, and the time waited so far still counts.
    pub async fn read<B: BufMut>(&mut self, buf: &mut B) -> Result<usize, Error> {
        std::future::poll_fn(|cx| self.poll_read(cx, buf)).await
    }

    /// As [`read`](Self::read), for use in a hand-written future.
    pub fn poll_read<B: BufMut>(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut B,
    ) -> Poll<Result<usize, Error>> {
        let source = match &mut self.state {
            State::Reading(source) => source,
            State::Complete(_) => return Poll::Ready(Ok(0)),
            State::Failed(kind) => {
                let error = Error::new(*kind, "body has failed before");
                return Poll::Ready(Err(error.with_url(&self.url)));
            }
        };
        if !buf.has_remaining_mut() {
            let error = Error::new(ErrorKind::Configuration, "buffer without room");
            return Poll::Ready(Err(error.with_url(&self.url)));
        }
        let polled = match source {
            Source::Direct(direct) => direct.poll_read(cx, buf),
            Source::Framed(framed) => framed.poll_read(cx, buf),
            Source::Streamed(streamed) => streamed.poll_read(cx, buf),
        };
        match polled {
            Poll::Ready(Ok(n)) => {
                self.stall.progress();
                let ended = match source {
                    Source::Direct(direct) => direct.remaining() == 0,
                    Source::Framed(_) => n == 0,
                    Source::Streamed(streamed) => n == 0 || streamed.remaining() == Some(0),
                };
                if ended {
                    self.complete();
                }
                Poll::Ready(Ok(n))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.fail(error))),
            Poll::Pending => {
                let limit = self.stall.limit();
                self.stall.poll_expired(cx).map(|()| {
                    if let State::Reading(Source::Streamed(streamed)) = &self.state {
                        streamed.retire();
                    }
                    Err(self.fail(Error::new(
                        ErrorKind::TimeoutBody,
                        format!("no byte of the body for {limit:?}"),
                    )))
                })
            }
        }
    }

    /// The whole body as text, for small answers. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`BodyTooLarge`](ErrorKind::BodyTooLarge) when there are more bytes than the limit, of which
    /// no more than that are ever held.
    pub async fn text(&mut self, limit: usize) -> Result<String, Error> {
        let bytes = self.bytes(limit).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The whole body as bytes, for small answers. Errors as for [`text`](Self::text).
    pub async fn bytes(&mut self, limit: usize) -> Result<BytesMut, Error> {
        let mut bytes = BytesMut::new();
        if let Framing::Length(length) = self.framing
            && length > limit as u64
        {
            return Err(self.too_large(limit));
        }
        loop {
            // One byte of room past the limit tells a body that ends at it from one that goes on.
            let room = (limit - bytes.len()).saturating_add(1).min(TEXT_STEP);
            bytes.reserve(room);
            if self.read(&mut (&mut bytes).limit(room)).await? == 0 {
                return Ok(bytes);
            }
            if bytes.len() > limit {
                return Err(self.too_large(limit));
            }
        }
    }

    fn too_large(&mut self, limit: usize) -> Error {
        self.fail(Error::new(
            ErrorKind::BodyTooLarge,
            format!("body is larger than {limit} bytes"),
        ))
    }

    fn complete(&mut self) {
        let State::Reading(source) = std::mem::replace(&mut self.state, State::Complete(None))
        else {
            return;
        };
        let wire: Option<Wire> = match source {
            Source::Direct(direct) => direct.finish(),
            Source::Framed(framed) => framed.finish(),
            Source::Streamed(streamed) => {
                self.state = State::Complete(Some(streamed.finish()));
                return;
            }
        };
        let Reuse::After(hint) = self.reuse else {
            return;
        };
        if let Some(wire) = wire {
            self.pool.put(wire, hint, Instant::now());
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.state = State::Failed(error.kind());
        error.with_url(&self.url)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("framing", &self.framing)
            .field("complete", &self.is_complete())
            .finish_non_exhaustive()
    }
}

/// Bytes that a small body's buffer grows by.
const TEXT_STEP: usize = 16 * 1024;
