//! One request and its response on one stream of an HTTP/2 connection, and what each way to fail means.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::h2::{Reason, RecvStream};
use bytes::BufMut;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Method, Request, StatusCode, response};
use tokio::time::Instant;

use super::asked::Asked;
use super::lane::Lane;
use super::shared::Got;
use super::{Link, Seat};
use crate::body::Source;
use crate::error::{BoxError, Error, ErrorKind};
use crate::exchange::{Answer, Failure, Stage};
use crate::framing::{Framing, Reuse};
use crate::request_body::Feed;
use crate::stall::Stall;
use crate::tls;

/// Sends the request and waits for the head. The limit is for each wait in which nothing moves. Dropping the future resets the
/// stream alone.
pub(crate) async fn exchange(
    seat: Seat,
    request: Request<()>,
    feed: Feed,
    limit: Duration,
) -> Result<Answer, Failure> {
    let method = request.method().clone();
    let started = Instant::now();
    match ask(Arc::clone(&seat.link), request, feed, limit).await {
        Ok((response, mut lane)) => {
            let (head, stream) = response.into_parts();
            let framing = framing(&method, &head, &stream).map_err(Failure::underway)?;
            lane.keep(stream);
            Ok(Answer {
                framing,
                latency: started.elapsed(),
                reuse: Reuse::Never,
                source: Source::Streamed(Box::new(Streamed::new(lane, seat, framing))),
                head,
            })
        }
        Err(failure) => {
            // The stream may be at fault or the connection: only a new one is sure not to share the fault. A body that fails is
            // neither's.
            if failure.error.kind() != ErrorKind::RequestBody {
                seat.retire();
            }
            Err(failure)
        }
    }
}

async fn ask(
    link: Arc<Link>,
    request: Request<()>,
    feed: Feed,
    limit: Duration,
) -> Result<(http::Response<RecvStream>, Lane), Failure> {
    let mut stall = Stall::new(limit);
    let mut ready = pin!(link.sender.clone().ready());
    let mut sender = poll_fn(|cx| match ready.as_mut().poll(cx) {
        Poll::Ready(sender) => Poll::Ready(sender.map_err(unsent)),
        Poll::Pending => stall.poll_expired(cx).map(|()| Err(timeout(limit))),
    })
    .await?;
    stall.progress();
    let sent = link.send(&mut sender, request, feed.outlet());
    let (response, stream, mut lane) = sent.map_err(unsent)?;
    let mut asked = Asked::new(response, feed, stream);
    let mut written = 0;
    let response = poll_fn(|cx| {
        if let Poll::Ready(outcome) = asked.poll(cx) {
            return Poll::Ready(outcome);
        }
        if asked.is_idle() || asked.written() != written {
            written = asked.written();
            stall.progress();
        }
        // What was written since is seen only now: nobody is woken for it.
        match stall.poll_expired(cx) {
            Poll::Ready(()) if asked.written() != written => {
                written = asked.written();
                stall.progress();
                stall.poll_expired(cx).map(|()| Err(timeout(limit)))
            }
            polled => polled.map(|()| Err(timeout(limit))),
        }
    })
    .await?;
    if let Some(body) = asked.into_unsent() {
        lane.keep_unsent(body);
    }
    let size: usize = response
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD)
        .sum();
    if size > MAX_HEAD as usize {
        let error = Error::new(ErrorKind::HeadersTooLarge, "response head is too large");
        return Err(Failure::underway(error));
    }
    Ok((response, lane))
}

fn timeout(limit: Duration) -> Failure {
    let what = format!("no response within {limit:?}");
    Failure::underway(Error::new(ErrorKind::TimeoutHead, what))
}

/// How the end of the body is told: by its length, or by the end of its stream.
fn framing(method: &Method, head: &response::Parts, stream: &RecvStream) -> Result<Framing, Error> {
    let bodiless = matches!(
        head.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    if bodiless || *method == Method::HEAD {
        return Ok(Framing::Length(0));
    }
    match length(&head.headers) {
        Some(Ok(length)) => Ok(Framing::Length(length)),
        Some(Err(error)) => Err(error),
        None if stream.is_end_stream() => Ok(Framing::Length(0)),
        None => Ok(Framing::Chunked),
    }
}

/// h2 has checked that all of them are equal.
fn length(headers: &HeaderMap) -> Option<Result<u64, Error>> {
    let text = headers.get(CONTENT_LENGTH)?.to_str().ok();
    let length = text.and_then(|text| text.parse().ok());
    Some(length.ok_or_else(|| Error::new(ErrorKind::Protocol, "content-length is no number")))
}

/// A response body on a stream of its own. Dropping it before its end resets the stream, and nothing else.
pub(crate) struct Streamed {
    lane: Lane,
    remaining: Option<u64>,
    seat: Seat,
}

impl Streamed {
    fn new(lane: Lane, seat: Seat, framing: Framing) -> Self {
        let remaining = match framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        Self {
            lane,
            remaining,
            seat,
        }
    }

    /// Bytes that are still to come, where that is known.
    pub(crate) fn remaining(&self) -> Option<u64> {
        self.remaining
    }

    /// Nothing has come for too long: no further request is to be trusted to this connection.
    pub(crate) fn retire(&self) {
        self.seat.retire();
    }

    /// The buffer has room. `Ok(0)` is the end. Gives out as much as has arrived and fits.
    pub(crate) fn poll_read<B: BufMut>(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut B,
    ) -> Poll<Result<usize, Error>> {
        let mut got = self.lane.read(cx, buf, self.remaining);
        let mut fate = None;
        if matches!(got, Got::Nothing) {
            fate = ready!(self.lane.poll_fate(cx));
            // What came before it may have come since.
            got = self.lane.read(cx, buf, self.remaining);
        }
        Poll::Ready(match (got, fate) {
            (Got::Bytes(read), _) => {
                if let Some(remaining) = &mut self.remaining {
                    *remaining -= read as u64;
                }
                Ok(read)
            }
            (Got::Excess, _) => Err(Error::new(
                ErrorKind::Truncated,
                "body is longer than announced",
            )),
            (Got::Nothing, Some(error)) => Err(self.error(error)),
            (Got::End | Got::Nothing, _) => self.end(),
        })
    }

    /// Gives up the place on the connection after the last byte. The lane is to be kept for as long as the body is.
    pub(crate) fn finish(self) -> Lane {
        drop(self.seat);
        self.lane.leave();
        self.lane
    }

    fn end(&self) -> Result<usize, Error> {
        match self.remaining {
            None | Some(0) => Ok(0),
            Some(left) => Err(truncated(left)),
        }
    }

    /// A body that is shorter than its length when it ends is a malformed message to h2 (RFC 9113 section 8.1.1).
    fn error(&self, error: ::h2::Error) -> Error {
        let malformed = error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR);
        let given_up = error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
        match self.remaining {
            Some(left) if left > 0 && error.is_reset() && (malformed || given_up) => {
                truncated(left).with_source(error)
            }
            _ => classify(error, "within the body"),
        }
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed")
            .field("remaining", &self.remaining)
            .field("seat", &self.seat)
            .finish_non_exhaustive()
    }
}

fn truncated(left: u64) -> Error {
    Error::new(
        ErrorKind::Truncated,
        format!("body ended {left} bytes before its end"),
    )
}

/// What an error before the head means, and whether the peer can have done anything with the request by then.
pub(super) fn head_failure(error: ::h2::Error) -> Failure {
    let reason = error.reason().filter(|_| error.is_remote());
    let stage = match reason {
        Some(Reason::REFUSED_STREAM) => Stage::Unprocessed,
        Some(Reason::HTTP_1_1_REQUIRED) => Stage::WrongVersion,
        Some(Reason::ENHANCE_YOUR_CALM) => Stage::Underway,
        // Those that it had taken up are answered, or reset one by one (RFC 9113 section 6.8).
        Some(_) if error.is_go_away() => Stage::Unprocessed,
        Some(_) => Stage::Underway,
        None if error.get_io().is_some_and(|io| !tls::is_refusal(io)) => Stage::Unanswered,
        None => Stage::Underway,
    };
    Failure {
        error: classify(error, "before a response"),
        stage,
    }
}

/// The same for an error before any of the request was sent.
fn unsent(error: ::h2::Error) -> Failure {
    let failure = head_failure(error);
    match failure.stage {
        Stage::Unanswered => Failure {
            stage: Stage::Unsent,
            ..failure
        },
        Stage::Unsent | Stage::Unprocessed | Stage::WrongVersion | Stage::Underway => failure,
    }
}

/// What an error of the connection as a whole means.
pub(super) fn connection_error(error: ::h2::Error) -> Error {
    classify(error, "before a request")
}

fn classify(error: ::h2::Error, when: &str) -> Error {
    let (kind, what) = match error.reason() {
        Some(Reason::REFUSED_STREAM | Reason::ENHANCE_YOUR_CALM) if error.is_remote() => {
            (ErrorKind::Refused, "server refused the request")
        }
        Some(Reason::HTTP_1_1_REQUIRED) if error.is_remote() => {
            (ErrorKind::Protocol, "server wants http/1.1")
        }
        Some(_) if error.is_remote() && error.is_go_away() => {
            (ErrorKind::Reset, "server closed the connection")
        }
        Some(_) if error.is_remote() => (ErrorKind::Reset, "server reset the stream"),
        Some(_) => (ErrorKind::Protocol, "response is not http/2"),
        None if error.get_io().is_some_and(tls::is_refusal) => {
            (ErrorKind::Tls, "server ended the tls connection")
        }
        None if error.is_io() => (ErrorKind::Reset, "connection lost"),
        None => (ErrorKind::Reset, "connection ended"),
    };
    Error::new(kind, format!("{what} {when}")).with_source(cause(error))
}

/// The error without the words that a server may add to the end of a connection: they may be long, and say again what it was
/// asked.
pub(super) fn cause(error: ::h2::Error) -> BoxError {
    match error.reason() {
        Some(reason) if error.is_remote() && error.is_go_away() => {
            format!("connection error received: {reason}").into()
        }
        _ => error.into(),
    }
}

/// Bytes of a response head, as the fields are counted (RFC 9113 section 10.5.1). The same as for HTTP/1.1.
pub(super) const MAX_HEAD: u32 = 128 * 1024;

const FIELD_OVERHEAD: usize = 32;
