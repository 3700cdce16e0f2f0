//! What the server saw and sent, kept for tests to ask about afterwards.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::request::{Request, RequestedRange, find};

/// One request as it arrived, with what became of it up to the moment of asking.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordedRequest {
    /// Number of the connection, from zero in the order of accepting.
    pub connection: u64,
    /// The method, as sent.
    pub method: String,
    /// The request target: path and query.
    pub target: String,
    /// Headers in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// When the head had arrived, since the server's start.
    pub at: Duration,
    /// Status of the answer; 0 while there is none, or when the answer was not HTTP.
    pub status: u16,
    /// Body bytes handed to the kernel so far (a client that went away may have received fewer).
    pub sent: u64,
    /// Whether the whole answer was handed to the kernel.
    pub finished: bool,
}

impl RecordedRequest {
    /// The target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(self.target.as_str(), |(path, _)| path)
    }

    /// Value of the first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The range asked for, if there was one that can be understood.
    #[must_use]
    pub fn range(&self) -> Option<RequestedRange> {
        self.header("range").and_then(RequestedRange::parse)
    }
}

#[derive(Debug, Default)]
pub(super) struct Log {
    entries: Mutex<Vec<Arc<Entry>>>,
}

impl Log {
    pub(super) fn open(&self, connection: u64, at: Duration, request: &Request) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            head: request.clone(),
            connection,
            at,
            status: AtomicU16::new(0),
            sent: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        });
        self.lock().push(Arc::clone(&entry));
        entry
    }

    pub(super) fn all(&self) -> Vec<RecordedRequest> {
        self.lock().iter().map(|entry| entry.snapshot()).collect()
    }

    pub(super) fn bytes_sent(&self) -> u64 {
        self.lock()
            .iter()
            .map(|entry| entry.sent.load(Ordering::Relaxed))
            .sum()
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    head: Request,
    connection: u64,
    at: Duration,
    status: AtomicU16,
    sent: AtomicU64,
    finished: AtomicBool,
}

impl Entry {
    pub(super) fn status(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// Counted before the write, so that a client that has the last byte finds it in the log.
    pub(super) fn sending(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::SeqCst);
    }

    pub(super) fn not_sent(&self, bytes: u64) {
        self.sent.fetch_sub(bytes, Ordering::SeqCst);
    }

    pub(super) fn finished(&self) {
        self.finished.store(true, Ordering::SeqCst);
    }

    fn snapshot(&self) -> RecordedRequest {
        RecordedRequest {
            connection: self.connection,
            method: self.head.method.clone(),
            target: self.head.target.clone(),
            headers: self.head.headers.clone(),
            at: self.at,
            status: self.status.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::SeqCst),
            finished: self.finished.load(Ordering::SeqCst),
        }
    }
}
