//! One HTTP/1.1 connection on one route: the bytes that came over it, and whether it is still good.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::route::Route;
use crate::stream::Stream;

/// A connected stream that knows its route and counts what it has received in the present exchange.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    route: Route,
    received: u64,
}

impl Wire {
    pub(crate) fn new(stream: Stream, route: Route) -> Self {
        Self {
            stream,
            route,
            received: 0,
        }
    }

    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    /// Starts an exchange: nothing received yet.
    pub(crate) fn begin(&mut self) {
        self.received = 0;
    }

    /// Bytes received since [`begin`](Self::begin).
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Whether an idle connection is still open and silent. What arrives without being asked for makes it useless.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.stream.is_quiet()
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
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
