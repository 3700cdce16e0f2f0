//! What a gate writes down about a request, while it passes and afterwards.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::wire::Head;

/// One request that came to a gate, with what became of it up to the moment of asking.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Passed {
    /// Number of the client's connection, from zero in the order of accepting.
    pub connection: u64,
    /// When the head had arrived, since the gate was opened.
    pub at: Duration,
    /// The method, as sent.
    pub method: String,
    /// The request target: path and query.
    pub target: String,
    /// Headers in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body that came from the client so far, without the framing of chunks.
    pub received: u64,
    /// Status of the server's answer, or of the one given in its place; 0 while there is none.
    pub status: u16,
    /// Whether an answer went to the client, or is on its way.
    pub answered: bool,
    /// What was done to it on purpose: `refused`, `replaced`, `cut`, `dropped`, `lost`, `hung`.
    pub fault: Option<&'static str>,
}

impl Passed {
    /// The target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        let end = self.target.find('?').unwrap_or(self.target.len());
        &self.target[..end]
    }

    /// Value of the first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(found)
            .map(|(_, value)| value.as_str())
    }

    /// A header that is a number, such as `Upload-Offset`.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.parse().ok()
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.path(), self.status)?;
        match self.fault {
            Some(fault) => write!(f, " ({fault})"),
            None => Ok(()),
        }
    }
}

/// All requests of a gate.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<Vec<Entry>>);

impl Log {
    pub(super) fn open(&self, connection: u64, at: Duration, head: &Head) -> Entry {
        let entry = Entry(Arc::new(Mutex::new(Passed {
            connection,
            at,
            method: head.method.clone(),
            target: head.target.clone(),
            headers: head.headers.clone(),
            received: 0,
            status: 0,
            answered: false,
            fault: None,
        })));
        self.lock().push(entry.clone());
        entry
    }

    pub(super) fn all(&self) -> Vec<Passed> {
        self.lock()
            .iter()
            .map(|entry| entry.lock().clone())
            .collect()
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request of the log, shared with the threads that pass it on.
#[derive(Clone, Debug)]
pub(super) struct Entry(Arc<Mutex<Passed>>);

impl Entry {
    pub(super) fn change(&self, change: impl FnOnce(&mut Passed)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Passed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
