//! What a session asks its driver to do: a request with ranges of the source in its body, or a call of the user's own code.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::BoxError;

/// Names one thing that a session has asked for, until the driver has told what came of it. Never used twice in a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExchangeId(pub u64);

/// Which stage of the upload an exchange belongs to. Retries are counted for each of them apart.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Step {
    /// Opens the session at the server.
    Begin,
    /// Asks the server what it has.
    Check,
    /// Sends bytes of the source.
    Part {
        /// Number of the part, as the protocol counts.
        number: u32,
        /// Which bytes of the source.
        range: Range<u64>,
    },
    /// Makes the object of what was sent.
    Commit,
    /// Discards what was staged.
    Abort,
    /// Gets new URLs or credentials.
    Refresh,
}

/// One request to send.
#[derive(Clone)]
#[non_exhaustive]
pub struct Exchange {
    /// Its name in what the driver tells.
    pub id: ExchangeId,
    /// What it is for.
    pub step: Step,
    /// The method.
    pub method: Method,
    /// The URL. It may hold a signature.
    pub url: Url,
    /// The protocol's own fields. `Content-Length` is not among them: it follows from the payload.
    pub headers: HeaderMap,
    /// The body.
    pub payload: Payload,
    /// Bytes of the answer's body that are wanted, at most; a larger one is an error. Default 1 MiB.
    pub answer_limit: usize,
    /// Whether to ask for leave before sending the body (`Expect: 100-continue`, RFC 9110 section 10.1.1). Default false.
    pub expect_continue: bool,
}

impl Exchange {
    /// A request without a body.
    pub fn new(id: ExchangeId, step: Step, method: Method, url: Url) -> Self {
        Self {
            id,
            step,
            method,
            url,
            headers: HeaderMap::new(),
            payload: Payload::default(),
            answer_limit: 1 << 20,
            expect_continue: false,
        }
    }

    /// Sets the fields.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }
}

impl fmt::Debug for Exchange {
    /// Shows neither the query of the URL nor the values of fields.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("id", &self.id.0)
            .field("step", &self.step)
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

/// A body: its segments one after the other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Payload {
    /// In this order. At most one of them is of the source.
    pub segments: Vec<Segment>,
}

/// A stretch of a body.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Segment {
    /// These bytes.
    Bytes(Bytes),
    /// These bytes of the source, read as they are sent.
    Source(Range<u64>),
    /// Everything from this offset to the source's end, which is not known yet; sent in a chunked body.
    Rest(u64),
}

impl Payload {
    /// These bytes alone.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self {
            segments: vec![Segment::Bytes(bytes.into())],
        }
    }

    /// This range of the source alone.
    pub fn source(range: Range<u64>) -> Self {
        Self {
            segments: vec![Segment::Source(range)],
        }
    }

    /// Its length in bytes; `None` where it ends with the source.
    pub fn len(&self) -> Option<u64> {
        self.segments
            .iter()
            .try_fold(0, |sum: u64, segment| match segment {
                Segment::Bytes(bytes) => sum.checked_add(bytes.len() as u64),
                Segment::Source(range) => sum.checked_add(range.end.saturating_sub(range.start)),
                Segment::Rest(_) => None,
            })
    }

    /// Whether there is no body at all: a request without segments, not one with a body of no bytes.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Which bytes of the source are in it.
    pub fn source_range(&self) -> Option<Range<u64>> {
        self.segments.iter().find_map(|segment| match segment {
            Segment::Source(range) => Some(range.clone()),
            Segment::Bytes(_) | Segment::Rest(_) => None,
        })
    }
}

impl fmt::Debug for Segment {
    /// Shows lengths, no bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Source(range) => write!(f, "Source({}..{})", range.start, range.end),
            Self::Rest(from) => write!(f, "Rest({from}..)"),
        }
    }
}

/// What came back: a complete response of any status.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer<'a> {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a Bytes,
    /// The URL that answered, after redirects.
    pub url: &'a Url,
    /// CRC-32C of the bytes of the source that were sent, where the driver has computed it.
    pub crc32c: Option<u32>,
    /// Bytes of the source that were sent; differs from what was asked for with [`Segment::Rest`] alone.
    pub sent: u64,
}

impl<'a> Answer<'a> {
    /// A response without a body, to a request that sent nothing of the source.
    pub fn new(status: StatusCode, headers: &'a HeaderMap, body: &'a Bytes, url: &'a Url) -> Self {
        Self {
            status,
            headers,
            body,
            url,
            crc32c: None,
            sent: 0,
        }
    }

    /// Says what of the source was sent, and its CRC-32C.
    #[must_use]
    pub fn sent(mut self, bytes: u64, crc32c: Option<u32>) -> Self {
        self.sent = bytes;
        self.crc32c = crc32c;
        self
    }

    /// A field's value as text, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there is no answer that the session could take; the driver has waited by then, and the session may try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Lost {
    /// The request never reached the server.
    Unsent,
    /// The server may or may not have done what it was asked.
    Unknown,
    /// The server answered with this status, which says that it has not.
    Refused(StatusCode),
}

/// A call of code that makes its own requests: a custom protocol's, or a refresher's.
#[non_exhaustive]
pub struct Call {
    /// Its name in what the driver tells.
    pub id: ExchangeId,
    /// What it is for.
    pub step: Step,
    /// Bytes of the source that it needs, which the driver reads into memory first.
    pub source: Option<Range<u64>>,
    /// How long it may take. What takes longer is dropped, and counts as a [transient](CallError::transient) failure.
    pub limit: Option<Duration>,
    /// Runs it. The argument is empty where no bytes are needed.
    pub run: Box<dyn FnOnce(Bytes) -> BoxFuture<'static, Result<Returned, CallError>> + Send>,
}

impl Call {
    /// A call that needs nothing of the source.
    pub fn new<F>(id: ExchangeId, step: Step, run: F) -> Self
    where
        F: FnOnce(Bytes) -> BoxFuture<'static, Result<Returned, CallError>> + Send + 'static,
    {
        Self {
            id,
            step,
            source: None,
            limit: None,
            run: Box::new(run),
        }
    }

    /// Sets the bytes of the source that it needs.
    #[must_use]
    pub fn source(mut self, range: Range<u64>) -> Self {
        self.source = Some(range);
        self
    }

    /// Sets [`limit`](Self#structfield.limit).
    #[must_use]
    pub fn limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.limit = limit.into();
        self
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("id", &self.id.0)
            .field("step", &self.step)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// What a call gave; only the session that made the call knows its type.
pub type Returned = Box<dyn Any + Send>;

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a call failed, and whether it is worth another try.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
#[non_exhaustive]
pub struct CallError {
    /// What the code said.
    #[source]
    pub source: BoxError,
    /// Whether to try again.
    pub retry: bool,
    /// How long to wait at least before that.
    pub retry_after: Option<Duration>,
    /// The server's answer, where that was what failed.
    pub status: Option<StatusCode>,
}

impl CallError {
    /// A failure that another try may not meet: a lost connection, a busy server.
    pub fn transient(source: impl Into<BoxError>) -> Self {
        Self {
            source: source.into(),
            retry: true,
            retry_after: None,
            status: None,
        }
    }

    /// A failure that every try would meet.
    pub fn fatal(source: impl Into<BoxError>) -> Self {
        Self {
            retry: false,
            ..Self::transient(source)
        }
    }

    /// Adds the status of the server's answer.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds how long the server asked to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}
