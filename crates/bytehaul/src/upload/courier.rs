//! Sends one request of a session and brings back what came of it, sorted by what the driver does next.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytehaul_integrity::Digest;
use bytehaul_providers::{Answer, Exchange, Lost, Payload, Segment, Step};
use bytehaul_ratelimit::Limiter;
use bytehaul_schedule::{Class, Failure};
use bytehaul_transport::headers::retry_after;
use bytehaul_transport::{
    Class as ErrorClass, Client, Error, ErrorKind, Request, RequestBody, SafeUrl,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use url::Url;

use crate::error::is_transient;
use crate::session::given::Given;
use crate::session::renewal::{Current, Renewal, Then};
use crate::upload::body::{Content, Failed, Tally};
use crate::upload::error::UploadError;
use crate::upload::source::Source;
use crate::upload::stats::Stats;

/// What all requests of one upload have in common.
pub(crate) struct Courier {
    pub(crate) client: Client,
    /// The caller's headers and credentials, and the way to newer ones; `None` where they may go nowhere.
    pub(crate) renewal: Option<Renewal>,
    pub(crate) url: SafeUrl,
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) limiter: Limiter,
    pub(crate) stats: Arc<Stats>,
    pub(crate) digest: Option<Digest>,
}

/// What came of a request.
pub(crate) enum Came {
    Answer(Box<Received>),
    /// No answer that could be used; another try may get one.
    Lost {
        how: Lost,
        failure: Failure,
        error: UploadError,
        done: Done,
    },
    Fatal(UploadError),
}

/// Whether a request that came to nothing may have been carried out all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Done {
    No,
    Perhaps,
}

impl Done {
    /// Behind an answer that is not what was asked for.
    pub(crate) fn behind(status: StatusCode) -> Self {
        match status {
            // It says that it has not (RFC 9110, section 15.6.4).
            StatusCode::SERVICE_UNAVAILABLE => Self::No,
            // A gateway that gave up need not know what became of it.
            status if status.is_server_error() => Self::Perhaps,
            // Some begin to answer before they know how it ends.
            status if status.is_success() => Self::Perhaps,
            _ => Self::No,
        }
    }
}

/// A complete response.
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) url: Url,
    /// Bytes of the source that were sent, and their CRC-32C.
    pub(crate) sent: (u64, u32),
    /// With what it was asked.
    pub(crate) by: Option<Current>,
}

impl Received {
    /// As a session takes it.
    pub(crate) fn answer(&self) -> Answer<'_> {
        let (sent, crc) = self.sent;
        let answer = Answer::new(self.status, &self.headers, &self.body, &self.url);
        answer.sent(sent, (sent > 0).then_some(crc))
    }
}

impl Courier {
    pub(crate) async fn send(&self, exchange: &Exchange) -> Came {
        let by = match &self.renewal {
            Some(renewal) => Some(renewal.current().await),
            None => None,
        };
        let tally = Arc::new(Tally::default());
        let request = self.request(exchange, by.as_ref(), &tally);
        let answered = self.client.send(request).await;
        let mut response = match answered {
            Ok(response) => response,
            Err(error) => return self.lost(error, &tally, exchange),
        };
        // An answer to a request whose body could not be read to its end is no answer to what was meant.
        if let Some(failed) = tally.failed() {
            return Came::Fatal(self.failed(failed));
        }
        let (status, url) = (response.status(), response.url().clone());
        let headers = response.headers().clone();
        let body = match response.body_mut().bytes(exchange.answer_limit).await {
            Ok(body) => body.freeze(),
            // The status says it all, and the text was only to explain it.
            Err(_) if !status.is_success() => Bytes::new(),
            Err(error) => return self.lost(error, &tally, exchange),
        };
        if let (Some(renewal), Some(by)) = (&self.renewal, &by)
            && !is_denied(status)
        {
            renewal.accepted(by);
        }
        Came::Answer(Box::new(Received {
            status,
            headers,
            body,
            url,
            sent: tally.sent(),
            by,
        }))
    }

    /// The server denied what it was asked with: whether to ask again with something newer.
    pub(crate) async fn renewed(&self, received: &Received) -> Result<Then, UploadError> {
        match (&self.renewal, &received.by) {
            (Some(renewal), Some(by)) if is_denied(received.status) => {
                Ok(renewal.refused(by, received.status).await?)
            }
            _ => Ok(Then::TakeIt),
        }
    }

    /// What an answer means of which the protocol knows nothing special.
    pub(crate) fn plain(&self, step: &Step, received: &Received) -> Came {
        let Received { status, .. } = *received;
        let error = UploadError::Status {
            url: SafeUrl::from(&received.url),
            status,
            while_doing: doing(step),
            text: beginning(&received.headers, &received.body),
            retries: 0,
        };
        if !is_transient(status) {
            return Came::Fatal(error);
        }
        let throttled = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        let mut failure = Failure::new(match throttled {
            true => Class::Throttled,
            false => Class::Transient,
        });
        failure.retry_after = wait_asked_for(&received.headers);
        Came::Lost {
            how: Lost::Refused(status),
            failure,
            error,
            done: Done::behind(status),
        }
    }

    fn request(&self, exchange: &Exchange, by: Option<&Current>, tally: &Arc<Tally>) -> Request {
        let given = by.map(|by| &*by.given);
        let url = match given {
            Some(given) => with_credentials(given, exchange.url.clone()),
            None => exchange.url.clone(),
        };
        let mut headers = given.map_or_else(HeaderMap::new, |given| given.fields(&url));
        for name in exchange.headers.keys() {
            headers.remove(name);
        }
        headers.extend(exchange.headers.clone());
        let mut request = Request::new(exchange.method.clone(), url).headers(headers);
        if let Some(body) = self.body(&exchange.payload, tally) {
            request = request.body(body);
        }
        if exchange.expect_continue {
            request = request.expect_continue();
        }
        match exchange.step {
            Step::Commit => request.read_timeout(COMMIT_PATIENCE),
            _ => request,
        }
    }

    fn body(&self, payload: &Payload, tally: &Arc<Tally>) -> Option<RequestBody> {
        let of_source = |segment: &Segment| !matches!(segment, Segment::Bytes(_));
        if payload.is_empty() {
            return None;
        }
        if !payload.segments.iter().any(of_source) {
            let bytes = payload.segments.iter().map(|segment| match segment {
                Segment::Bytes(bytes) => bytes.clone(),
                _ => Bytes::new(),
            });
            let all: Vec<Bytes> = bytes.collect();
            return Some(RequestBody::bytes(all.concat()));
        }
        let content = Content {
            payload: payload.clone(),
            source: self.source.clone(),
            limiter: self.limiter.clone(),
            stats: Arc::clone(&self.stats),
            tally: Arc::clone(tally),
            expected: self.digest,
        };
        let length = payload.len();
        Some(match length {
            Some(_) => RequestBody::reopened(length, move || content.open()),
            None => RequestBody::once(length, content.open()),
        })
    }

    fn lost(&self, error: Error, tally: &Tally, exchange: &Exchange) -> Came {
        if let Some(failed) = tally.failed() {
            return Came::Fatal(self.failed(failed));
        }
        let (kind, class) = (error.kind(), error.kind().class());
        let payload = exchange.payload.source_range();
        let is_whole = payload.is_none_or(|range| tally.sent().0 == range.end - range.start);
        let error = UploadError::Network {
            url: error.url().unwrap_or(&self.url).clone(),
            retries: 0,
            source: Arc::new(error),
        };
        let class = match class {
            ErrorClass::Transient => Class::Transient,
            ErrorClass::Refused => Class::Refused,
            ErrorClass::Fatal => return Came::Fatal(error),
        };
        let (how, done) = match (is_before_the_request(kind), is_whole) {
            (true, _) => (Lost::Unsent, Done::No),
            (false, true) => (Lost::Unknown, Done::Perhaps),
            // Part of it may be there, but nothing is complete by it.
            (false, false) => (Lost::Unknown, Done::No),
        };
        Came::Lost {
            how,
            failure: Failure::new(class),
            error,
            done,
        }
    }

    pub(crate) fn failed(&self, failed: Failed) -> UploadError {
        match failed {
            Failed::Storage(error) => error.into(),
            Failed::Read(source) => UploadError::Read {
                name: self.name.clone(),
                source,
            },
            Failed::Checksum { expected, actual } => UploadError::ChecksumMismatch {
                name: self.name.clone(),
                expected,
                actual,
            },
            Failed::UsedUp => UploadError::Read {
                name: self.name.clone(),
                source: Arc::new(std::io::Error::other(failed.to_string())),
            },
        }
    }
}

/// The wait that a server asks for.
pub(crate) fn wait_asked_for(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers, SystemTime::now())
}

fn is_denied(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// User name and password of the URL that was given, at another one of the same origin.
fn with_credentials(given: &Given, mut url: Url) -> Url {
    let own = given.url();
    if url.username().is_empty() && url.password().is_none() && given.is_same_origin(&url) {
        // Both fail only for URLs without a host.
        let _ = url.set_username(own.username());
        let _ = url.set_password(own.password());
    }
    url
}

/// Failures after which the server cannot have seen the request.
fn is_before_the_request(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::HostNotFound
            | ErrorKind::Resolve
            | ErrorKind::Connect
            | ErrorKind::Refused
            | ErrorKind::Tls
            | ErrorKind::TimeoutConnect
            | ErrorKind::ProxyConnect
            | ErrorKind::ProxyAuthentication
            | ErrorKind::ProxyDenied
            | ErrorKind::ProxyFailed
            | ErrorKind::ProxyProtocol
    )
}

fn doing(step: &Step) -> &'static str {
    match step {
        Step::Begin => "to the request that opens the upload",
        Step::Check => "to the question what it has",
        Step::Part { .. } => "to a part",
        Step::Commit => "to the request that completes the upload",
        Step::Abort => "to the request that discards the upload",
        _ => "to a request",
    }
}

/// The beginning of a text that explains a status, on one line.
fn beginning(headers: &HeaderMap, body: &Bytes) -> String {
    let kind = headers.get(http::header::CONTENT_TYPE);
    let kind = kind
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("text/plain");
    let is_text = ["text/plain", "application/json", "application/problem+json"]
        .iter()
        .any(|text| kind.starts_with(text));
    if !is_text {
        return String::new();
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(MOST_SAID * 4)]);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // A server may say again what it was asked, signatures among it.
    let shown = line.split('?').next().unwrap_or_default();
    shown
        .chars()
        .filter(|character| !character.is_control())
        .take(MOST_SAID)
        .collect()
}

/// Merging the parts of a large object takes a server longer than the usual silence.
const COMMIT_PATIENCE: Duration = Duration::from_secs(300);

/// Characters of a server's explanation that are shown.
const MOST_SAID: usize = 160;
