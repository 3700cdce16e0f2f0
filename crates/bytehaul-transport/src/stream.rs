//! The layers that a connection can be made of, told apart once for all who read and write.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::tls::TlsStream;

/// A connected stream.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    /// TLS with the host, or plain text within TLS with a proxy.
    Tls(Box<TlsStream<TcpStream>>),
    /// TLS with the host within TLS with a proxy.
    TlsInTls(Box<TlsStream<TlsStream<TcpStream>>>),
}

impl Stream {
    /// Whether an idle connection is still open and silent. What arrives without being asked for makes it useless.
    pub(crate) fn is_quiet(&mut self) -> bool {
        match self {
            Self::Plain(tcp) => {
                let peeked = SockRef::from(&*tcp).peek(&mut [MaybeUninit::uninit()]);
                peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Tls(tls) => is_open(tls.get_ref()) && has_no_plaintext(tls),
            Self::TlsInTls(tls) => is_open(tls.get_ref().get_ref()) && has_no_plaintext(tls),
        }
    }
}

/// Session tickets may arrive on an idle TLS connection: only plaintext or an end speak against it.
fn is_open(tcp: &TcpStream) -> bool {
    match SockRef::from(tcp).peek(&mut [MaybeUninit::uninit()]) {
        Ok(n) => n > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

fn has_no_plaintext(tls: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0u8; 1];
    let mut buf = ReadBuf::new(&mut byte);
    let mut cx = Context::from_waker(Waker::noop());
    Pin::new(tls).poll_read(&mut cx, &mut buf).is_pending()
}

/// Does the same with whichever stream it is.
macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Plain($inner) => $call,
            Stream::Tls($inner) => $call,
            Stream::TlsInTls($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(&mut *self, io => Pin::new(io).poll_read(cx, buf))
    }
}

/// A peer that no longer listens may have said why: what it sent before is still to be read, and after that comes the end or
/// the reset, which is the same news. So a write that finds nobody there is one that goes on for ever.
fn unless_gone<T>(polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    match &polled {
        Poll::Ready(Err(error)) if is_gone(error.kind()) => Poll::Pending,
        _ => polled,
    }
}

fn is_gone(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(
        kind,
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected
    )
}

/// A write to a peer that is gone stays pending: whoever writes reads too, and learns it there.
impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        unless_gone(each!(&mut *self, io => Pin::new(io).poll_write(cx, buf)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        unless_gone(each!(&mut *self, io => Pin::new(io).poll_write_vectored(cx, bufs)))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, io => io.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        unless_gone(each!(&mut *self, io => Pin::new(io).poll_flush(cx)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, io => Pin::new(io).poll_shutdown(cx))
    }
}
