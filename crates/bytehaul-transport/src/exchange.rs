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

use bytes::BytesMut;
use http::{Request, StatusCode, response};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::body::{Direct, Framed, Source};
use crate::error::{Error, ErrorKind};
use crate::framing::{Framing, Reuse, foreign_coding};
use crate::request_body::{Feed, Outlet};
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
    /// The connection was closed or lost before a byte of the request was sent.
    Unsent,
    /// The connection was closed or lost before a byte of a response.
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

pub(crate) type Link = Connection<TokioIo<Wire>, Feed>;
pub(crate) type Sender = SendRequest<Feed>;

/// Writes the request and waits for the head. The limit is for each wait in which nothing moves.
pub(crate) async fn exchange(
    mut wire: Wire,
    mut request: Request<Feed>,
    limit: Duration,
) -> Result<Answer, Failure> {
    let outlet = request.body().outlet();
    wire.begin(outlet.clone());
    let interim = heed_interim(&mut request, outlet.clone());
    let handshake = http1::Builder::new()
        .max_header_size(MAX_HEAD)
        .handshake(TokioIo::new(wire))
        .await;
    let (mut sender, mut link) = handshake.map_err(|error| Failure::underway(head_error(error)))?;
    let started = Instant::now();
    let mut ended = false;
    let waiting = Waiting {
        link: &mut link,
        ended: &mut ended,
        outlet: outlet.as_deref(),
        interim: &interim,
        limit,
    };
    match waiting.for_head(&mut sender, request).await {
        Ok(response) => {
            let latency = started.elapsed();
            let mut answer = answer(response, latency, sender, link, ended)?;
            if let Some(outlet) = outlet.filter(|outlet| !outlet.is_out()) {
                // The server knows no more than we do where in the message the next one would begin.
                outlet.stop();
                answer.reuse = Reuse::Never;
            }
            Ok(answer)
        }
        Err((error, given_back)) => {
            let received = link.into_parts().io.into_inner().received();
            let stage = match error.kind() {
                ErrorKind::Reset if given_back => Stage::Unsent,
                ErrorKind::Reset if received == 0 => Stage::Unanswered,
                _ => Stage::Underway,
            };
            Err(Failure { error, stage })
        }
    }
}

/// An exchange of which no usable head has come.
struct Waiting<'a> {
    link: &'a mut Link,
    /// The connection has come to its end.
    ended: &'a mut bool,
    outlet: Option<&'a Outlet>,
    interim: &'a AtomicUsize,
    limit: Duration,
}

impl Waiting<'_> {
    /// Drives the connection until the response is there and may be told. An error comes with whether hyper gave the request
    /// back, of which it had not begun to write a byte then.
    async fn for_head(
        mut self,
        sender: &mut Sender,
        request: Request<Feed>,
    ) -> Result<http::Response<Incoming>, (Error, bool)> {
        let mut asking = pin!(sender.try_send_request(request));
        let mut stall = Stall::new(self.limit);
        let (mut early, mut written) = (None, 0);
        std::future::poll_fn(|cx| {
            if !*self.ended {
                *self.ended = self.link.poll_without_shutdown(cx).is_ready();
            }
            if early.is_none()
                && let Poll::Ready(response) = asking.as_mut().poll(cx)
            {
                match response {
                    Ok(response) if self.may_be_told(response.status()) => {
                        return Poll::Ready(Ok(response));
                    }
                    Ok(response) => early = Some(response),
                    Err(mut failed) => {
                        let given_back = failed.take_message().is_some();
                        let error = self.failure(|| head_error(failed.into_error()));
                        return Poll::Ready(Err((error, given_back)));
                    }
                }
            }
            if let Some(response) = early.take_if(|response| self.may_be_told(response.status())) {
                return Poll::Ready(Ok(response));
            }
            if let Some(error) = self.trouble(early.is_some()) {
                return Poll::Ready(Err((error, false)));
            }
            if let Some(outlet) = self.outlet
                && (outlet.is_idle() || outlet.written() != written)
            {
                written = outlet.written();
                stall.progress();
            }
            stall
                .poll_expired(cx)
                .map(|()| Err((self.timeout(early.is_some()), false)))
        })
        .await
    }

    /// A success that comes before the end of the body is kept until the body is out. What the server says of a part of it
    /// would be taken for the whole otherwise. A body that waits for its go-ahead is one that the server did not want.
    fn may_be_told(&self, status: StatusCode) -> bool {
        !status.is_success()
            || self
                .outlet
                .is_none_or(|outlet| outlet.is_out() || outlet.is_held())
    }

    /// What has gone wrong by now.
    fn trouble(&mut self, answered: bool) -> Option<Error> {
        if let Some(error) = self.outlet.and_then(Outlet::take_failure) {
            return Some(error);
        }
        if *self.ended {
            let what = match answered {
                true => "connection ended before the request body, after an early answer",
                false => "connection ended before a response",
            };
            return Some(Error::new(ErrorKind::Reset, what));
        }
        (self.interim.load(Ordering::Relaxed) > MAX_INTERIM).then(|| {
            let what = "informational responses without end";
            Error::new(ErrorKind::Protocol, what)
        })
    }

    fn timeout(&self, answered: bool) -> Error {
        let limit = self.limit;
        let out = self.outlet.is_none_or(Outlet::is_out);
        let what = match answered {
            _ if out => format!("no response within {limit:?}"),
            true => {
                format!("server answered early and took nothing more of the body for {limit:?}")
            }
            false => format!("server took nothing of the request body for {limit:?}"),
        };
        Error::new(ErrorKind::TimeoutHead, what)
    }

    /// The body's own failure, where that is what hyper complains about.
    fn failure(&self, or: impl FnOnce() -> Error) -> Error {
        let failed = self.outlet.and_then(Outlet::take_failure);
        failed.unwrap_or_else(or)
    }
}

/// Counts the informational responses (1xx) that hyper passes over, and lets the body go on a 100.
fn heed_interim(request: &mut Request<Feed>, outlet: Option<Arc<Outlet>>) -> Arc<AtomicUsize> {
    let counter = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&counter);
    hyper::ext::on_informational(request, move |response| {
        counted.fetch_add(1, Ordering::Relaxed);
        if response.status() == StatusCode::CONTINUE
            && let Some(outlet) = &outlet
        {
            outlet.open();
        }
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
