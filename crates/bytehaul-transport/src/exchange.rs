//! One request and its response head on one HTTP/1.1 connection, with hyper polled in the caller's task.
//!
//! hyper writes the request and parses the head; then, where the length is known, it is taken apart again and the body
//! is read from the socket itself. What hyper had read past the head comes back in two places, in this order: the frame
//! that it had put into the body channel, and its read buffer. The README says why.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, response};
use http_body::{Body as _, Frame};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::body::{Direct, Framed, Source};
use crate::error::{Error, ErrorKind};
use crate::framing::{Framing, Reuse, foreign_coding};
use crate::stall::Stall;
use crate::tls;
use crate::wire::Wire;

/// A response head, and where its body comes from.
pub(crate) struct Answer {
    pub(crate) head: response::Parts,
    pub(crate) latency: Duration,
    pub(crate) framing: Framing,
    pub(crate) reuse: Reuse,
    pub(crate) source: Source,
}

/// A failed exchange.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) stage: Stage,
}

/// How far an exchange had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The connection was closed or lost before a byte of a response, or before the request was sent at all.
    Unanswered,
    /// The server says that it did nothing with the request (RFC 9113 section 8.7).
    Unprocessed,
    /// The server wants the request in HTTP/1.1.
    WrongVersion,
    /// There was an answer of some sort, or none within the time.
    Underway,
}

impl Failure {
    pub(crate) fn underway(error: Error) -> Self {
        Self {
            error,
            stage: Stage::Underway,
        }
    }
}

pub(crate) type Outgoing = Empty<Bytes>;
pub(crate) type Link = Connection<TokioIo<Wire>, Outgoing>;
pub(crate) type Sender = SendRequest<Outgoing>;

/// Writes the request and waits for the head, at most for the limit.
pub(crate) async fn exchange(
    mut wire: Wire,
    mut request: Request<Outgoing>,
    limit: Duration,
) -> Result<Answer, Failure> {
    wire.begin();
    let interim = count_interim(&mut request);
    let handshake = http1::Builder::new()
        .max_header_size(MAX_HEAD)
        .handshake(TokioIo::new(wire))
        .await;
    let (mut sender, mut link) = handshake.map_err(|error| Failure::underway(head_error(error)))?;
    let started = Instant::now();
    let (outcome, ended) = wait_for_head(&mut sender, &mut link, request, limit, &interim).await;
    match outcome {
        Ok(response) => answer(response, started.elapsed(), sender, link, ended),
        Err(error) => {
            let received = link.into_parts().io.into_inner().received();
            let unanswered =
                error.kind() == ErrorKind::Reset && (received == 0 || was_never_sent(&error));
            let stage = if unanswered {
                Stage::Unanswered
            } else {
                Stage::Underway
            };
            Err(Failure { error, stage })
        }
    }
}

/// Drives the connection until the response is there; also tells whether the connection has come to its end by then.
async fn wait_for_head(
    sender: &mut Sender,
    link: &mut Link,
    request: Request<Outgoing>,
    limit: Duration,
    interim: &AtomicUsize,
) -> (Result<http::Response<Incoming>, Error>, bool) {
    let mut response = pin!(sender.send_request(request));
    let mut stall = Stall::new(limit);
    let mut ended = false;
    let outcome = std::future::poll_fn(|cx| {
        if !ended {
            ended = link.poll_without_shutdown(cx).is_ready();
        }
        if let Poll::Ready(response) = response.as_mut().poll(cx) {
            return Poll::Ready(response.map_err(head_error));
        }
        if ended {
            return Poll::Ready(Err(Error::new(
                ErrorKind::Reset,
                "connection ended before a response",
            )));
        }
        if interim.load(Ordering::Relaxed) > MAX_INTERIM {
            return Poll::Ready(Err(Error::new(
                ErrorKind::Protocol,
                "informational responses without end",
            )));
        }
        stall.poll_expired(cx).map(|()| {
            let what = format!("no response within {limit:?}");
            Err(Error::new(ErrorKind::TimeoutHead, what))
        })
    })
    .await;
    (outcome, ended)
}

/// Counts the informational responses (1xx) that hyper passes over.
fn count_interim(request: &mut Request<Outgoing>) -> Arc<AtomicUsize> {
    let counter = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&counter);
    hyper::ext::on_informational(request, move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    counter
}

fn answer(
    response: http::Response<Incoming>,
    latency: Duration,
    sender: Sender,
    link: Link,
    ended: bool,
) -> Result<Answer, Failure> {
    let (head, incoming) = response.into_parts();
    let framing = Framing::of(&head, incoming.size_hint().exact());
    if !matches!(framing, Framing::Length(_))
        && let Some(coding) = foreign_coding(&head.headers)
    {
        let coding: String = coding.chars().take(MAX_CODING).collect();
        let what = format!("body is in a transfer coding that was not asked for, `{coding}`");
        return Err(Failure::underway(Error::new(ErrorKind::Protocol, what)));
    }
    let reuse = Reuse::of(&head, framing);
    let source = match framing {
        Framing::Length(length) => Source::Direct(take_apart(incoming, link, length)),
        Framing::Chunked | Framing::UntilClose => {
            Source::Framed(Box::new(Framed::new(incoming, link, sender, ended)))
        }
    };
    Ok(Answer {
        head,
        latency,
        framing,
        reuse,
        source,
    })
}

/// Takes the connection back from hyper, with all that it had read of a body of known length.
fn take_apart(mut incoming: Incoming, link: Link, length: u64) -> Direct {
    // The connection is not polled here, so the channel can only give what is in it already.
    let mut cx = Context::from_waker(Waker::noop());
    let mut frames = BytesMut::new();
    let mut failed = None;
    while let Poll::Ready(Some(frame)) = Pin::new(&mut incoming).poll_frame(&mut cx) {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) if frames.is_empty() => frames = BytesMut::from(data),
            Ok(Ok(data)) => frames.extend_from_slice(&data),
            Ok(Err(_trailers)) => {}
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let parts = link.into_parts();
    Direct::new(
        parts.io.into_inner(),
        frames.freeze(),
        parts.read_buf,
        length,
        failed,
    )
}

/// hyper gives a request back that it had not begun to write when it found the connection closed.
fn was_never_sent(error: &Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<hyper::Error>());
    cause.is_some_and(hyper::Error::is_canceled)
}

/// What an error before the head means.
fn head_error(error: hyper::Error) -> Error {
    let (kind, what) = if error.is_parse() && error.to_string() == TOO_LARGE {
        (ErrorKind::HeadersTooLarge, "response head is too large")
    } else if error.is_parse() {
        (ErrorKind::Protocol, "response is not http/1.1")
    } else if error.is_incomplete_message() {
        (
            ErrorKind::Reset,
            "connection closed before the response head was complete",
        )
    } else if error.is_canceled() || error.is_closed() {
        (ErrorKind::Reset, "connection closed before a response")
    } else {
        match find_io(&error) {
            Some(error) if tls::is_refusal(error) => {
                (ErrorKind::Tls, "server ended the tls connection")
            }
            Some(_) => (ErrorKind::Reset, "connection lost before a response"),
            None => (ErrorKind::Protocol, "unexpected message from the server"),
        }
    };
    Error::new(kind, what).with_source(error)
}

/// What an error within the body means.
pub(crate) fn body_error(error: hyper::Error) -> Error {
    let kind = match find_io(&error) {
        Some(io) => io_kind(io),
        None if error.is_incomplete_message() => ErrorKind::Truncated,
        None => ErrorKind::Protocol,
    };
    Error::new(kind, body_text(kind)).with_source(error)
}

/// What an I/O error within the body means.
pub(crate) fn body_io_error(error: io::Error) -> Error {
    let kind = io_kind(&error);
    Error::new(kind, body_text(kind)).with_source(error)
}

fn body_text(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Truncated => "body ended before its end",
        ErrorKind::Reset => "connection lost within the body",
        _ => "body is malformed",
    }
}

fn io_kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ErrorKind::Truncated,
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => ErrorKind::Protocol,
        _ => ErrorKind::Reset,
    }
}

fn find_io(error: &hyper::Error) -> Option<&io::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        if let Some(io) = found.downcast_ref() {
            return Some(io);
        }
        cause = found.source();
    }
    None
}

/// Informational responses before the head. A server has no use for more than a few, and each costs nothing to send.
pub(crate) const MAX_INTERIM: usize = 100;

/// Characters of a coding's name that are shown.
const MAX_CODING: usize = 32;

/// hyper tells a client of this by its text alone.
const TOO_LARGE: &str = "message head is too large";

/// Bytes of a response head. Room for a `Location` of 64 KiB, which some hosts send, and as much again.
const MAX_HEAD: usize = 128 * 1024;
