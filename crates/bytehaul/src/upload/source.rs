//! The bytes of an upload while it runs: a file, memory, or a stream whose parts are held until the server has them.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytehaul_integrity::{Algorithm, Digest, Hasher};
use bytehaul_providers::Available;
use bytehaul_storage::source::{FileSource, Fingerprint};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use crate::session::blocking;
use crate::upload::error::UploadError;
use crate::upload::spec::{BoxedReader, UploadSource};

/// An opened source. Clones are cheap and read the same bytes.
#[derive(Clone)]
pub(crate) enum Source {
    File(FileSource),
    Bytes(Bytes),
    Stream(Stream),
}

impl Source {
    pub(crate) async fn open(source: &UploadSource) -> Result<Self, UploadError> {
        match source {
            UploadSource::File(path) => {
                let path = path.clone();
                Ok(Self::File(blocking(move || FileSource::open(&path)).await?))
            }
            UploadSource::Bytes(bytes) => Ok(Self::Bytes(bytes.clone())),
            UploadSource::Reader(reader) => match reader.take() {
                Some(reader) => Ok(Self::Stream(Stream::new(reader))),
                None => {
                    let reason = "this reader has been used by another upload";
                    Err(UploadError::parameter("source", reason))
                }
            },
        }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::File(file) => file.fingerprint().clone(),
            Self::Bytes(bytes) => Fingerprint::of_bytes(bytes.len() as u64),
            Self::Stream(_) => Fingerprint::of_bytes(0),
        }
    }

    /// Its length; `None` for a stream, whose length is never known before it has ended.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::File(file) => Some(file.fingerprint().size()),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Stream(_) => None,
        }
    }

    pub(crate) fn available(&self) -> Available {
        match self {
            Self::File(_) | Self::Bytes(_) => Available {
                until: self.len().unwrap_or(0),
                ended: true,
            },
            Self::Stream(stream) => stream.available(),
        }
    }

    /// Fails when the file is no longer the one that was opened. Blocking.
    pub(crate) fn check(&self) -> Result<(), bytehaul_storage::Error> {
        match self {
            Self::File(file) => file.check(),
            Self::Bytes(_) | Self::Stream(_) => Ok(()),
        }
    }

    /// Some bytes of the range, from its start, at most `most`; none only where there are none. Blocking for a file.
    pub(crate) fn read(
        &self,
        range: Range<u64>,
        most: usize,
        buffers: &Buffers,
    ) -> Result<Bytes, bytehaul_storage::Error> {
        let wanted = usize::try_from(range.end - range.start)
            .unwrap_or(usize::MAX)
            .min(most);
        match self {
            Self::File(file) => {
                let mut buffer = buffers.take(wanted);
                let read = file.read_at(range.start, &mut buffer[..wanted])?;
                Ok(buffers.lend(buffer, read))
            }
            Self::Bytes(bytes) => {
                let start = usize::try_from(range.start)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                Ok(bytes.slice(start..(start + wanted).min(bytes.len())))
            }
            Self::Stream(stream) => Ok(stream.slice(range.start, wanted)),
        }
    }

    /// Some bytes of a file that need not be waited for.
    pub(crate) fn read_cached(&self, range: Range<u64>, buffers: &Buffers) -> Option<Bytes> {
        let Self::File(file) = self else {
            return None;
        };
        let most = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let wanted = most.min(CACHED_READ);
        let mut buffer = buffers.take(wanted);
        match file.read_cached(range.start, &mut buffer[..wanted]) {
            Some(read) => Some(buffers.lend(buffer, read)),
            None => {
                buffers.give(buffer);
                None
            }
        }
    }

    /// The whole range in memory, or as much of it as is held of a stream; of a file that has not changed by then.
    pub(crate) async fn load(&self, range: Range<u64>) -> Result<Bytes, UploadError> {
        let source = self.clone();
        let loaded = blocking(move || {
            let buffers = Buffers::default();
            let mut whole = BytesMut::new();
            let mut at = range.start;
            while at < range.end {
                let bytes = source.read(at..range.end, READ, &buffers)?;
                if bytes.is_empty() {
                    break;
                }
                at += bytes.len() as u64;
                if at == range.end && whole.is_empty() {
                    source.check()?;
                    return Ok(bytes);
                }
                whole.extend_from_slice(&bytes);
            }
            source.check()?;
            Ok(whole.freeze())
        });
        loaded
            .await
            .map_err(|error: bytehaul_storage::Error| error.into())
    }

    /// The digest of the range, computed on a blocking thread; ends early when nobody waits for it any more.
    pub(crate) async fn digest(
        &self,
        range: Range<u64>,
        algorithm: Algorithm,
    ) -> Result<Digest, UploadError> {
        let source = self.clone();
        let alive = Arc::new(());
        let watched = Arc::downgrade(&alive);
        let digest = blocking(move || {
            let buffers = Buffers::default();
            let mut hasher = Hasher::new(algorithm);
            let mut at = range.start;
            while at < range.end && watched.strong_count() > 0 {
                let bytes = source.read(at..range.end, READ, &buffers)?;
                if bytes.is_empty() {
                    break;
                }
                hasher.update(&bytes);
                at += bytes.len() as u64;
            }
            Ok(hasher.finish())
        })
        .await;
        drop(alive);
        digest.map_err(|error: bytehaul_storage::Error| error.into())
    }
}

/// A stream, and those of its bytes that may still be needed.
#[derive(Clone)]
pub(crate) struct Stream(Arc<Mutex<Held>>);

struct Held {
    reader: Option<BoxedReader>,
    /// Whether somebody has taken the reader to read on, and will give it back.
    out: bool,
    /// Where the first held byte is in the stream.
    start: u64,
    chunks: VecDeque<Bytes>,
    until: u64,
    ended: bool,
    /// A body that takes the rest waits until the reader comes back; then nobody else may have it.
    waiting: Option<Waker>,
}

impl Stream {
    fn new(reader: BoxedReader) -> Self {
        Self(Arc::new(Mutex::new(Held {
            reader: Some(reader),
            start: 0,
            chunks: VecDeque::new(),
            until: 0,
            ended: false,
            out: false,
            waiting: None,
        })))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn available(&self) -> Available {
        let held = self.held();
        Available {
            until: held.until,
            ended: held.ended,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.held().ended
    }

    /// Bytes in memory.
    pub(crate) fn in_memory(&self) -> u64 {
        let held = self.held();
        held.until - held.start
    }

    /// Takes the reader for [`grow`]; whoever has it gives it back with [`add`](Self::add).
    pub(crate) fn take_reader(&self) -> Option<BoxedReader> {
        let mut held = self.held();
        if held.ended || held.waiting.is_some() {
            return None;
        }
        let reader = held.reader.take()?;
        held.out = true;
        Some(reader)
    }

    /// Adds what was read; nothing is the end.
    pub(crate) fn add(&self, reader: BoxedReader, bytes: Bytes) {
        let mut held = self.held();
        held.out = false;
        if bytes.is_empty() {
            held.ended = true;
        } else {
            held.until += bytes.len() as u64;
            held.chunks.push_back(bytes);
            held.reader = Some(reader);
        }
        if let Some(waiting) = &held.waiting {
            waiting.wake_by_ref();
        }
    }

    /// Everything that was not sent yet, and the reader of what follows, for a body that takes the stream to its end. `None`:
    /// an earlier body has them. Waits for a reader that is out.
    pub(crate) fn poll_drain(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Vec<Bytes>, BoxedReader)>> {
        let mut held = self.held();
        if held.out {
            held.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        held.waiting = None;
        let reader = match held.reader.take() {
            Some(reader) => reader,
            None if held.ended => Box::new(tokio::io::empty()),
            None => return Poll::Ready(None),
        };
        let chunks: Vec<Bytes> = held.chunks.drain(..).collect();
        held.start = held.until;
        Poll::Ready(Some((chunks, reader)))
    }

    /// What [`poll_drain`](Self::poll_drain) took has been sent to its end.
    pub(crate) fn finished_at(&self, until: u64) {
        let mut held = self.held();
        held.start = until;
        held.until = until;
        held.ended = true;
    }

    /// Forgets bytes that the server has.
    pub(crate) fn release(&self, before: u64) {
        let mut held = self.held();
        while let Some(first) = held.chunks.front() {
            let end = held.start + first.len() as u64;
            if end > before {
                break;
            }
            held.start = end;
            held.chunks.pop_front();
        }
    }

    /// Bytes from this offset, from one chunk; none when they are not held.
    fn slice(&self, from: u64, most: usize) -> Bytes {
        let held = self.held();
        let mut start = held.start;
        for chunk in &held.chunks {
            let end = start + chunk.len() as u64;
            if (start..end).contains(&from) {
                let at = usize::try_from(from - start).unwrap_or(usize::MAX);
                return chunk.slice(at..chunk.len().min(at.saturating_add(most)));
            }
            start = end;
        }
        Bytes::new()
    }
}

/// Reads on: until so many bytes are there, or the stream ends, and adds them to the hash. What has been read is lost when
/// the future is dropped, so it runs in a task of its own until the upload itself ends.
pub(crate) async fn grow(
    mut reader: BoxedReader,
    most: usize,
    hasher: Option<Box<Hasher>>,
) -> io::Result<Grown> {
    let mut buffer = BytesMut::with_capacity(most);
    while buffer.len() < most {
        let n = std::future::poll_fn(|cx| {
            let mut block = [std::mem::MaybeUninit::uninit(); BLOCK];
            let room = (most - buffer.len()).min(BLOCK);
            let mut read = ReadBuf::uninit(&mut block[..room]);
            std::task::ready!(std::pin::Pin::new(&mut reader).poll_read(cx, &mut read))?;
            buffer.extend_from_slice(read.filled());
            Poll::Ready(io::Result::Ok(read.filled().len()))
        })
        .await?;
        if n == 0 {
            break;
        }
    }
    let bytes = buffer.freeze();
    let hasher = match hasher {
        Some(mut hasher) => {
            let hashed = bytes.clone();
            let added = move || {
                hasher.update(&hashed);
                hasher
            };
            Some(blocking(added).await)
        }
        None => None,
    };
    Ok(Grown {
        reader,
        bytes,
        hasher,
    })
}

/// What was read of a stream.
pub(crate) struct Grown {
    pub(crate) reader: BoxedReader,
    pub(crate) bytes: Bytes,
    pub(crate) hasher: Option<Box<Hasher>>,
}

/// Buffers that come back when the bytes that were read into them are no longer needed: fresh memory costs more than a read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    fn take(&self, len: usize) -> Vec<u8> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = spare.unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        buffer
    }

    fn give(&self, buffer: Vec<u8>) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MOST_SPARE {
            spare.push(buffer);
        }
    }

    fn lend(&self, buffer: Vec<u8>, len: usize) -> Bytes {
        Bytes::from_owner(Lent {
            buffer,
            len,
            home: self.clone(),
        })
    }
}

struct Lent {
    buffer: Vec<u8>,
    len: usize,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.buffer));
    }
}

/// Bytes of one read of what is in memory already: small enough to be still in the cache of this core when it is sent, which
/// is worth more than fewer calls.
const CACHED_READ: usize = 64 * 1024;

/// Bytes of one read.
pub(crate) const READ: usize = 256 * 1024;

/// Bytes of one read of a stream.
const BLOCK: usize = 16 * 1024;

/// Spare buffers of one body.
const MOST_SPARE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_waits_for_the_reader_that_is_out() {
        let stream = Stream::new(Box::new(&b"abcdef"[..]));
        let mut body = Box::pin(std::future::poll_fn(|cx| stream.poll_drain(cx)));
        let reader = stream.take_reader().unwrap();
        let early = std::future::poll_fn(|cx| Poll::Ready(body.as_mut().poll(cx).is_ready()));
        assert!(!early.await, "the reader is out");
        let Grown { reader, bytes, .. } = grow(reader, 4, None).await.unwrap();
        stream.add(reader, bytes);
        assert!(stream.take_reader().is_none(), "the body comes first");
        let (chunks, mut reader) = body.await.unwrap();
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut rest)
            .await
            .unwrap();
        assert_eq!([&chunks.concat()[..], &rest].concat(), b"abcdef");
        let again = std::future::poll_fn(|cx| stream.poll_drain(cx)).await;
        assert!(again.is_none(), "there is nothing left to send");
    }
}
