//! A download as a stream: bytes in order, without a file, over many connections beneath.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytehaul_integrity::{Expected, Hasher};
use bytes::{Buf, Bytes};
use futures_core::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

use crate::error::DownloadError;
use crate::handle::DownloadHandle;
use crate::outcome::Outcome;

/// The bytes of a remote file, in order: an [`AsyncRead`], and a [`Stream`] of chunks.
///
/// Several connections fetch beneath it, within the spec's memory budget; a slow reader slows them down. A
/// chunk counts against the budget until it is dropped, so a reader that keeps them all stops the download.
/// Every error ends the stream: one of the transfer, and a checksum that does not match, yours or that of the object's provider,
/// which is only known after the last byte. Bytes that were read cannot be taken back, so a remote file that changes under the
/// stream is always an error. Dropping the stream stops the download.
///
/// ```no_run
/// use bytehaul::{DownloadSpec, Downloader};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let downloader = Downloader::builder().build()?;
/// let mut body = downloader.stream(DownloadSpec::new("https://example.com/dump.zst"));
/// tokio::io::copy(&mut body, &mut tokio::io::stdout()).await?;
/// # Ok(())
/// # }
/// ```
pub struct DownloadStream {
    chunks: mpsc::UnboundedReceiver<Bytes>,
    current: Bytes,
    handle: DownloadHandle,
    expected: Arc<OnceLock<Declared>>,
    /// Of the chunks so far, once there is something to compare with.
    hasher: Option<Hasher>,
    state: State,
}

/// What all chunks have to hash to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared {
    pub(crate) expected: Expected,
    /// Whether the provider says so, rather than the caller.
    pub(crate) by_provider: bool,
}

enum State {
    Flowing,
    /// All chunks are out; how the download ended is being awaited.
    Ending(Pin<Box<dyn Future<Output = Result<Outcome, DownloadError>> + Send>>),
    Ended,
}

impl DownloadStream {
    pub(crate) fn new(
        chunks: mpsc::UnboundedReceiver<Bytes>,
        handle: DownloadHandle,
        expected: Arc<OnceLock<Declared>>,
    ) -> Self {
        Self {
            chunks,
            current: Bytes::new(),
            handle,
            expected,
            hasher: None,
            state: State::Flowing,
        }
    }

    /// The handle of the download beneath, to watch or stop it.
    pub fn handle(&self) -> &DownloadHandle {
        &self.handle
    }

    /// The next bytes, or `None` at the end of the file. Cancel-safe.
    ///
    /// # Errors
    /// Any [`DownloadError`], once; after it there is nothing more.
    pub async fn next(&mut self) -> Option<Result<Bytes, DownloadError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, DownloadError>>> {
        loop {
            match &mut self.state {
                State::Flowing => match ready!(self.chunks.poll_recv(cx)) {
                    Some(chunk) => {
                        if let Some(declared) = self.expected.get() {
                            let start = || declared.expected.hashing().hasher();
                            self.hasher.get_or_insert_with(start).update(&chunk);
                        }
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    None => {
                        let handle = self.handle.clone();
                        self.state = State::Ending(Box::pin(async move { handle.wait().await }));
                    }
                },
                State::Ending(ended) => {
                    let ended = ready!(ended.as_mut().poll(cx));
                    self.state = State::Ended;
                    let verified = ended.and_then(|outcome| self.verify(&outcome));
                    return Poll::Ready(verified.err().map(Err));
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }

    fn verify(&mut self, outcome: &Outcome) -> Result<(), DownloadError> {
        let Some(Declared {
            expected,
            by_provider,
        }) = self.expected.get()
        else {
            return Ok(());
        };
        let hasher = self.hasher.take();
        let hasher = hasher.unwrap_or_else(|| expected.hashing().hasher());
        let actual = hasher.finish();
        if actual == expected.digest {
            return Ok(());
        }
        Err(DownloadError::ChecksumMismatch {
            url: outcome.url.clone(),
            expected: Box::new(expected.digest),
            actual: Box::new(actual),
            piece: None,
            declared: *by_provider,
        })
    }
}

impl Drop for DownloadStream {
    fn drop(&mut self) {
        // Nobody reads any more, whoever else may hold the handle.
        drop(self.handle.cancel());
    }
}

impl Stream for DownloadStream {
    type Item = Result<Bytes, DownloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let left = std::mem::take(&mut self.current);
        if !left.is_empty() {
            return Poll::Ready(Some(Ok(left)));
        }
        self.poll_chunk(cx)
    }
}

impl AsyncRead for DownloadStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.current.is_empty() {
            match ready!(self.poll_chunk(cx)) {
                Some(Ok(chunk)) => self.current = chunk,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.current.len().min(buf.remaining());
        buf.put_slice(&self.current[..count]);
        self.current.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl std::fmt::Debug for DownloadStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DownloadStream")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
