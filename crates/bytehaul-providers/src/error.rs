//! What a protocol can find wrong, in kinds that a caller answers differently.

use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;

/// Any error of foreign code.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a protocol cannot go on. No text in it holds a URL's query, a token or a signature.
#[derive(Debug)]
pub struct ProtocolError {
    kind: ProtocolErrorKind,
    what: String,
    source: Option<BoxError>,
}

/// What kind of problem it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProtocolErrorKind {
    /// A setting of the protocol or of the plan cannot be used; nothing was tried. Code 102.
    Parameter,
    /// The server answered with a status that is no success. Code 109.
    Status(StatusCode),
    /// The answer lacks a length, or the source needs one that is not known. Code 110.
    Length,
    /// The answer cannot be understood. Code 113.
    Parse,
    /// The server's cursor cannot be right. Code 114.
    Range,
    /// The server received other bytes than were sent, or made an object of other bytes. Code 116.
    Checksum,
    /// The object at the server is not the one that this upload began, or exists though it must not. Code 123.
    Changed,
    /// Access has expired and could not be renewed. Code 129.
    Refresh,
    /// The server may or may not have made the object, and cannot be asked. Code 130.
    Indeterminate,
    /// The user's own code failed. Code 106.
    Custom,
}

impl ProtocolError {
    /// An error of this kind; `what` says what is wrong in lower case, without secrets.
    pub fn new(kind: ProtocolErrorKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            source: None,
        }
    }

    /// A setting that cannot be used.
    pub fn parameter(name: &str, reason: impl fmt::Display) -> Self {
        Self::new(
            ProtocolErrorKind::Parameter,
            format!("invalid {name}: {reason}"),
        )
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of problem it is.
    pub fn kind(&self) -> ProtocolErrorKind {
        self.kind
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for ProtocolError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// What a session makes of an answer that is no progress.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// A status of which this protocol knows nothing special: 408, 425, 429 and 5xx are tried again, 401 and 403 once
    /// after a renewal, all others are final.
    Status,
    /// Worth another try, after the usual wait; counted against the retries of its step.
    Again(String),
    /// To go on with another request at once; counted against the retries of its step.
    Now(String),
    /// Final.
    Fatal(ProtocolError),
}

impl From<ProtocolError> for Fault {
    fn from(error: ProtocolError) -> Self {
        Self::Fatal(error)
    }
}
