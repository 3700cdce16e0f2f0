//! Bytes on their way between a socket and a TLS session: those that came and make no record yet, and those that wait.

use std::io;

use rustls::unbuffered::{EncodeError, EncryptError};
use tokio::io::ReadBuf;

/// The receive buffer. It grows to its full size only for those who receive much.
pub(super) struct Incoming {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; FIRST_RECEIVE],
            start: 0,
            end: 0,
        }
    }

    pub(super) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    pub(super) fn discard(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// The first bytes that came, for as long as no more room was asked for.
    pub(super) fn first(&self) -> &[u8] {
        &self.buffer[..self.buffer.len().min(FIRST_BYTES)]
    }

    /// Where the next bytes go, after those that make no whole record yet.
    pub(super) fn room(&mut self) -> io::Result<&mut [u8]> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            if self.buffer.len() >= LARGE_RECEIVE {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "tls record without end",
                ));
            }
            self.buffer.resize(LARGE_RECEIVE, 0);
        }
        Ok(&mut self.buffer[self.end..])
    }

    pub(super) fn received(&mut self, bytes: usize) {
        self.end += bytes;
        if self.end == self.buffer.len() && self.buffer.len() < LARGE_RECEIVE {
            self.buffer.resize(LARGE_RECEIVE, 0);
        }
    }
}

/// Bytes that wait for their turn.
#[derive(Default)]
pub(super) struct Queue {
    /// Of which those between `done` and `end` wait. The rest is room that was cleared before.
    bytes: Vec<u8>,
    done: usize,
    end: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.done..self.end]
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.done += bytes;
        if self.done == self.end {
            (self.done, self.end) = (0, 0);
        }
    }

    /// Lets the session write to the end, with as much room as it says that it needs.
    pub(super) fn append<E: Required>(
        &mut self,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let written = match write(&mut []) {
            Ok(written) => Ok(written),
            Err(error) => match error.required() {
                Some(room) => write(self.room(room)),
                None => Err(error),
            },
        };
        self.end += *written.as_ref().unwrap_or(&0);
        written.map(drop)
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// So much room at the end.
    fn room(&mut self, room: usize) -> &mut [u8] {
        let end = self.end + room;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.end..end]
    }
}

/// How much room an operation of rustls says that it lacks.
pub(super) trait Required {
    fn required(&self) -> Option<usize>;
}

impl Required for EncodeError {
    fn required(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(error) => Some(error.required_size),
            Self::AlreadyEncoded => None,
        }
    }
}

impl Required for EncryptError {
    fn required(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(error) => Some(error.required_size),
            Self::EncryptExhausted => None,
        }
    }
}

/// Copies plaintext to the reader, and what it has no room for into the queue.
pub(super) fn give(mut payload: &[u8], reader: Option<&mut ReadBuf<'_>>, rest: &mut Queue) {
    if let Some(reader) = reader
        && rest.is_empty()
    {
        let (fits, more) = payload.split_at(payload.len().min(reader.remaining()));
        reader.put_slice(fits);
        payload = more;
    }
    rest.extend(payload);
}

/// Bytes of a connection's first receives: the handshake and a small answer.
const FIRST_RECEIVE: usize = 32 * 1024;

/// Bytes of a receive where the first one was not enough. Larger ones no longer pay: they leave the processor's cache.
const LARGE_RECEIVE: usize = 256 * 1024;

/// Bytes by which another protocol is recognised.
const FIRST_BYTES: usize = 8;
