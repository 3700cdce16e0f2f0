//! The body of one request: its segments one after the other, the source read one step ahead of what is sent.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytehaul_integrity::{Digest, Hasher, crc32c_append};
use bytehaul_providers::{Payload, Segment};
use bytehaul_ratelimit::Limiter;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::JoinHandle;

use crate::upload::source::{Buffers, READ, Source, Stream};
use crate::upload::spec::BoxedReader;
use crate::upload::stats::Stats;

/// What a body is made of; it can be opened as often as the source can be read.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) payload: Payload,
    pub(crate) source: Source,
    pub(crate) limiter: Limiter,
    pub(crate) stats: Arc<Stats>,
    pub(crate) tally: Arc<Tally>,
    /// What a stream that is sent to its end must hash to.
    pub(crate) expected: Option<Digest>,
}

/// What has become of the body that was opened last.
#[derive(Default)]
pub(crate) struct Tally(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    sent: u64,
    crc32c: u32,
    failed: Option<Failed>,
}

/// Why a body broke off.
#[derive(Clone)]
pub(crate) enum Failed {
    Storage(bytehaul_storage::Error),
    Read(Arc<io::Error>),
    Checksum {
        expected: Box<Digest>,
        actual: Box<Digest>,
    },
    /// A stream can be sent once.
    UsedUp,
}

impl Tally {
    /// Bytes of the source that were sent, and their CRC-32C.
    pub(crate) fn sent(&self) -> (u64, u32) {
        let counted = self.counted();
        (counted.sent, counted.crc32c)
    }

    pub(crate) fn failed(&self) -> Option<Failed> {
        self.counted().failed.clone()
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    /// A body from the start.
    pub(crate) fn open(&self) -> Outgoing {
        *self.tally.counted() = Counted::default();
        let mut segments = self.payload.segments.clone();
        segments.reverse();
        Outgoing {
            content: self.clone(),
            segments,
            now: Now::Between,
            ready: Bytes::new(),
            at: 0,
            waiting: None,
            buffers: Buffers::default(),
        }
    }
}

/// A body on its way.
pub(crate) struct Outgoing {
    content: Content,
    /// What is left, the next one last.
    segments: Vec<Segment>,
    now: Now,
    /// Read, and not sent yet.
    ready: Bytes,
    /// Where the first of them is in the source; nowhere for bytes of the protocol.
    at: u64,
    waiting: Option<Waiting>,
    buffers: Buffers,
}

enum Now {
    Between,
    Source {
        next: Range<u64>,
        reading: Option<Reading>,
        pace: Pace,
    },
    Rest(Box<Rest>),
}

/// How a range is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Nothing yet: the first step looks whether the file is still the one that was opened.
    First,
    /// What is in memory, when it is wanted.
    Cached,
    /// From the disk, one step ahead of what is sent.
    Ahead,
}

type Reading = JoinHandle<Result<Bytes, bytehaul_storage::Error>>;

/// Leave of the rate limit for so many bytes.
struct Waiting {
    bytes: usize,
    leave: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// A stream that is sent to its end.
struct Rest {
    stream: Stream,
    chunks: std::vec::IntoIter<Bytes>,
    reader: BoxedReader,
    hasher: Option<Hasher>,
}

impl Outgoing {
    /// Some bytes to send; `None` at the end.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), Failed>>> {
        while self.ready.is_empty() {
            match &mut self.now {
                Now::Between => match self.segments.pop() {
                    None => return Poll::Ready(None),
                    // Not of the source: it goes out at once, and counts nowhere.
                    Some(Segment::Bytes(bytes)) => {
                        self.at = NOWHERE;
                        self.ready = bytes;
                    }
                    Some(Segment::Source(range)) => {
                        self.at = range.start;
                        self.now = Now::Source {
                            next: range,
                            reading: None,
                            pace: Pace::First,
                        };
                    }
                    Some(Segment::Rest(from)) => match self.poll_rest(cx) {
                        Poll::Ready(Ok(rest)) => {
                            self.at = from;
                            self.now = Now::Rest(Box::new(rest));
                        }
                        Poll::Ready(Err(failed)) => return Poll::Ready(Some(Err(failed))),
                        Poll::Pending => {
                            self.segments.push(Segment::Rest(from));
                            return Poll::Pending;
                        }
                    },
                    Some(_) => return Poll::Ready(Some(Err(Failed::UsedUp))),
                },
                Now::Source { .. } => {
                    if let Err(failed) = ready!(self.poll_source(cx)) {
                        return Poll::Ready(Some(Err(failed)));
                    }
                }
                Now::Rest(rest) => match ready!(rest.poll_read(cx)) {
                    Ok(bytes) if bytes.is_empty() => {
                        if let Err(failed) = self.end_rest() {
                            return Poll::Ready(Some(Err(failed)));
                        }
                    }
                    Ok(bytes) => self.ready = bytes,
                    Err(error) => {
                        return Poll::Ready(Some(Err(Failed::Read(Arc::new(error)))));
                    }
                },
            }
        }
        Poll::Ready(Some(Ok(())))
    }

    /// The next bytes of a range; one read is under way while the one before it is sent.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        let Now::Source {
            next,
            reading,
            pace,
        } = &mut self.now
        else {
            return Poll::Ready(Ok(()));
        };
        let Content { source, .. } = &self.content;
        if next.is_empty() && reading.is_none() && *pace != Pace::First {
            self.now = Now::Between;
            return Poll::Ready(Ok(()));
        }
        if !matches!(source, Source::File(_)) {
            *pace = Pace::Cached;
            if next.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let bytes = source.read(next.clone(), READ, &self.buffers);
            let bytes = bytes.map_err(Failed::Storage)?;
            if bytes.is_empty() {
                return Poll::Ready(Err(Failed::UsedUp));
            }
            next.start += bytes.len() as u64;
            self.ready = bytes;
            return Poll::Ready(Ok(()));
        }
        let mut under_way = match reading.take() {
            Some(under_way) => under_way,
            None => {
                // The last step looks at the file once more, which may take time.
                let is_last = next.end - next.start <= READ as u64;
                if *pace == Pace::Cached && !is_last {
                    if let Some(bytes) = source.read_cached(next.clone(), &self.buffers) {
                        next.start += bytes.len() as u64;
                        self.ready = bytes;
                        return Poll::Ready(Ok(()));
                    }
                    *pace = Pace::Ahead;
                }
                read_on(source, &self.buffers, next, *pace)
            }
        };
        match Pin::new(&mut under_way).poll(cx) {
            Poll::Pending => {
                *reading = Some(under_way);
                Poll::Pending
            }
            Poll::Ready(Ok(Ok(bytes))) => {
                match *pace {
                    Pace::First => *pace = Pace::Cached,
                    Pace::Ahead if !next.is_empty() => {
                        *reading = Some(read_on(source, &self.buffers, next, *pace));
                    }
                    Pace::Cached | Pace::Ahead => (),
                }
                self.ready = bytes;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(Err(error))) => Poll::Ready(Err(Failed::Storage(error))),
            // The runtime is going down, or the read panicked: the body cannot go on.
            Poll::Ready(Err(error)) => {
                Poll::Ready(Err(Failed::Read(Arc::new(io::Error::other(error)))))
            }
        }
    }

    fn poll_rest(&self, cx: &mut Context<'_>) -> Poll<Result<Rest, Failed>> {
        let Source::Stream(stream) = &self.content.source else {
            return Poll::Ready(Err(Failed::UsedUp));
        };
        let Some((chunks, reader)) = ready!(stream.poll_drain(cx)) else {
            return Poll::Ready(Err(Failed::UsedUp));
        };
        let expected = self.content.expected.as_ref();
        Poll::Ready(Ok(Rest {
            stream: stream.clone(),
            chunks: chunks.into_iter(),
            reader,
            hasher: expected.map(|digest| Hasher::new(digest.algorithm())),
        }))
    }

    /// A stream has ended: without its last chunk the server takes nothing of it, so it is compared before that.
    fn end_rest(&mut self) -> Result<(), Failed> {
        let Now::Rest(rest) = std::mem::replace(&mut self.now, Now::Between) else {
            return Ok(());
        };
        if let (Some(hasher), Some(expected)) = (rest.hasher, &self.content.expected) {
            let actual = hasher.finish();
            if actual != *expected {
                return Err(Failed::Checksum {
                    expected: Box::new(*expected),
                    actual: Box::new(actual),
                });
            }
        }
        rest.stream.finished_at(self.at);
        self.content.stats.set_total(self.at);
        Ok(())
    }

    /// As much of what is ready as may go out now.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if self.at == NOWHERE {
            return Poll::Ready(self.ready.len());
        }
        let mut waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => {
                let Some(quantum) = self.content.limiter.quantum() else {
                    return Poll::Ready(self.ready.len());
                };
                let bytes = usize::try_from(quantum)
                    .unwrap_or(usize::MAX)
                    .min(self.ready.len());
                let limiter = self.content.limiter.clone();
                Waiting {
                    bytes,
                    leave: Box::pin(async move { limiter.acquire(bytes as u64).await }),
                }
            }
        };
        match waiting.leave.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(waiting.bytes),
            Poll::Pending => {
                self.waiting = Some(waiting);
                Poll::Pending
            }
        }
    }
}

impl Rest {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let bytes = match self.chunks.next() {
            Some(bytes) => bytes,
            None => {
                let mut buffer = BytesMut::zeroed(STREAM_READ);
                let mut read = ReadBuf::new(&mut buffer);
                ready!(Pin::new(&mut self.reader).poll_read(cx, &mut read))?;
                let filled = read.filled().len();
                buffer.truncate(filled);
                buffer.freeze()
            }
        };
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        Poll::Ready(Ok(bytes))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        match ready!(this.poll_ready(cx)) {
            None => return Poll::Ready(None),
            Some(Ok(())) => (),
            Some(Err(failed)) => {
                let error = io::Error::other(failed.to_string());
                this.content.tally.counted().failed = Some(failed);
                return Poll::Ready(Some(Err(error)));
            }
        }
        let bytes = ready!(this.poll_leave(cx));
        let frame = this.ready.split_to(bytes);
        if this.at != NOWHERE {
            let end = this.at + frame.len() as u64;
            let mut counted = this.content.tally.counted();
            counted.sent += frame.len() as u64;
            counted.crc32c = crc32c_append(counted.crc32c, &frame);
            drop(counted);
            this.content.stats.sent(this.at..end);
            this.at = end;
        }
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn size_hint(&self) -> SizeHint {
        // What is left is told by the request's own length.
        SizeHint::default()
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::Checksum { .. } => f.write_str("the source has another checksum"),
            Self::UsedUp => f.write_str("the stream has been sent before and cannot be read again"),
        }
    }
}

/// Reads the next step on a blocking thread; the file has to be the one that was opened when the first step is
/// read, and still when the last one has been.
fn read_on(source: &Source, buffers: &Buffers, next: &mut Range<u64>, pace: Pace) -> Reading {
    let step = next.start..next.end.min(next.start + READ as u64);
    next.start = step.end;
    let is_last = next.is_empty();
    let (source, buffers) = (source.clone(), buffers.clone());
    tokio::task::spawn_blocking(move || {
        if pace == Pace::First && !is_last {
            source.check()?;
        }
        let bytes = match step.is_empty() {
            true => Bytes::new(),
            false => source.read(step, READ, &buffers)?,
        };
        if is_last {
            source.check()?;
        }
        Ok(bytes)
    })
}

/// In the place of an offset, for bytes that are not of the source.
const NOWHERE: u64 = u64::MAX;

/// Bytes of one read of a stream that goes out as it comes.
const STREAM_READ: usize = 64 * 1024;
