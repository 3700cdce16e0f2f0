//! One HTTP/1.1 connection on one route: the bytes that came over it, and whether it is still good.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::request_body::Outlet;
use crate::route::Route;
use crate::stream::Stream;

/// A connected stream that knows its route, counts what it has received in the present exchange, and tells of what it has sent
/// where there is a body.
pub(crate) struct Wire {
    stream: Stream,
    route: Route,
    received: u64,
    outlet: Option<Arc<Outlet>>,
}

impl Wire {
    pub(crate) fn new(stream: Stream, route: Route) -> Self {
        Self {
            stream,
            route,
            received: 0,
            outlet: None,
        }
    }

    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    /// Starts an exchange: nothing received yet. `outlet` is that of the request's body.
    pub(crate) fn begin(&mut self, outlet: Option<Arc<Outlet>>) {
        self.received = 0;
        self.outlet = outlet;
    }

    /// Bytes received since [`begin`](Self::begin).
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Whether an idle connection is still open and silent. What arrives without being asked for makes it useless.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.stream.is_quiet()
    }

    fn wrote(&self, written: &io::Result<usize>) {
        if let (Some(outlet), Ok(written)) = (&self.outlet, written) {
            outlet.wrote(*written as u64);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.received += (buf.filled().len() - before) as u64;
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        self.wrote(&written);
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs));
        self.wrote(&written);
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has written all that it was given.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if let Some(outlet) = &self.outlet {
            outlet.flushed();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("stream", &self.stream)
            .field("route", &self.route)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}
