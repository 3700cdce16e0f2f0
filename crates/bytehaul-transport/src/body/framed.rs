//! A body whose end hyper has to find: chunked, or up to the end of the connection.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::error::{Error, ErrorKind};
use crate::exchange::{Link, Sender, body_error};
use crate::wire::Wire;

/// hyper's body and the connection behind it, which is polled by whoever reads.
pub(crate) struct Framed {
    incoming: Incoming,
    link: Link,
    /// hyper closes the connection when nobody can send a further request.
    _sender: Sender,
    ended: bool,
    frame: Bytes,
}

impl Framed {
    pub(crate) fn new(incoming: Incoming, link: Link, sender: Sender, ended: bool) -> Self {
        Self {
            incoming,
            link,
            _sender: sender,
            ended,
            frame: Bytes::new(),
        }
    }

    /// The buffer has room. `Ok(0)` is the end.
    pub(crate) fn poll_read<B: BufMut>(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut B,
    ) -> Poll<Result<usize, Error>> {
        loop {
            if self.frame.has_remaining() {
                let read = buf.remaining_mut().min(self.frame.remaining());
                buf.put((&mut self.frame).take(read));
                return Poll::Ready(Ok(read));
            }
            if !self.ended {
                self.ended = self.link.poll_without_shutdown(cx).is_ready();
            }
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.frame = data;
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(body_error(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(0)),
                Poll::Pending if self.ended => {
                    return Poll::Ready(Err(Error::new(
                        ErrorKind::Protocol,
                        "connection ended without an end of the body",
                    )));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The connection, where hyper has left it open and has read nothing past the body.
    pub(crate) fn finish(self: Box<Self>) -> Option<Wire> {
        if self.ended {
            return None;
        }
        let parts = self.link.into_parts();
        parts.read_buf.is_empty().then(|| parts.io.into_inner())
    }
}

impl fmt::Debug for Framed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
