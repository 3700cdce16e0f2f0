//! One request and its response on one stream of an HTTP/2 connection, and what each way to fail means.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ::h2::client::{ResponseFuture, SendRequest};
use ::h2::{Reason, RecvStream};
use bytes::{Buf, BufMut, Bytes};
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Method, Request, StatusCode, response};
use tokio::time::Instant;

use super::Seat;
use crate::body::Source;
use crate::error::{BoxError, Error, ErrorKind};
use crate::exchange::{Answer, Failure, Stage};
use crate::framing::{Framing, Reuse};
use crate::stall::Stall;
use crate::tls;

/// Sends the request and waits for the head, at most for the limit. Dropping the future resets the stream alone.
pub(crate) async fn exchange(
    seat: Seat,
    request: Request<()>,
    limit: Duration,
) -> Result<Answer, Failure> {
    let method = request.method().clone();
    let started = Instant::now();
    let mut asking = pin!(ask(seat.link.sender.clone(), request));
    let mut stall = Stall::new(limit);
    let outcome = poll_fn(|cx| {
        if let Poll::Ready(outcome) = asking.as_mut().poll(cx) {
            return Poll::Ready(outcome);
        }
        stall.poll_expired(cx).map(|()| {
            let what = format!("no response within {limit:?}");
            Err(Failure::underway(Error::new(ErrorKind::TimeoutHead, what)))
        })
    })
    .await;
    match outcome {
        Ok(response) => {
            let (head, stream) = response.into_parts();
            let framing = framing(&method, &head, &stream).map_err(Failure::underway)?;
            Ok(Answer {
                framing,
                latency: started.elapsed(),
                reuse: Reuse::Never,
                source: Source::Streamed(Box::new(Streamed::new(stream, seat, framing))),
                head,
            })
        }
        Err(failure) => {
            // The stream may be at fault or the connection: only a new one is sure not to share the fault.
            seat.retire();
            Err(failure)
        }
    }
}

async fn ask(
    sender: SendRequest<Bytes>,
    request: Request<()>,
) -> Result<http::Response<RecvStream>, Failure> {
    let mut sender = sender.ready().await.map_err(head_failure)?;
    let (mut response, _body) = sender.send_request(request, true).map_err(head_failure)?;
    let mut interim = 0;
    let response = poll_fn(|cx| poll_head(&mut response, &mut interim, cx)).await?;
    let size: usize = response
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD)
        .sum();
    if size > MAX_HEAD as usize {
        let error = Error::new(ErrorKind::HeadersTooLarge, "response head is too large");
        return Err(Failure::underway(error));
    }
    Ok(response)
}

fn poll_head(
    response: &mut ResponseFuture,
    interim: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<Result<http::Response<RecvStream>, Failure>> {
    while let Poll::Ready(Some(Ok(_informational))) = response.poll_informational(cx) {
        *interim += 1;
        if *interim > crate::exchange::MAX_INTERIM {
            return Poll::Ready(Err(Failure::underway(Error::new(
                ErrorKind::Protocol,
                "informational responses without end",
            ))));
        }
    }
    pin!(response).poll(cx).map_err(head_failure)
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
    stream: RecvStream,
    frame: Bytes,
    /// Bytes given out for which the peer has not been told that it may send more.
    owed: usize,
    remaining: Option<u64>,
    seat: Seat,
}

impl Streamed {
    fn new(stream: RecvStream, seat: Seat, framing: Framing) -> Self {
        let remaining = match framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        Self {
            stream,
            frame: Bytes::new(),
            owed: 0,
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
        let mut read = 0;
        while buf.has_remaining_mut() {
            if !self.frame.has_remaining() {
                match self.stream.poll_data(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        self.frame = frame;
                        continue;
                    }
                    Poll::Ready(Some(Err(_)) | None) | Poll::Pending if read > 0 => break,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.error(error))),
                    Poll::Ready(None) => return Poll::Ready(self.end()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let piece = buf.remaining_mut().min(self.frame.remaining());
            buf.put((&mut self.frame).take(piece));
            read += piece;
        }
        self.took(read);
        Poll::Ready(Ok(read))
    }

    /// Gives up the place on the connection after the last byte. The stream is to be kept for as long as the body is.
    pub(crate) fn finish(mut self) -> RecvStream {
        self.release();
        self.stream
    }

    fn took(&mut self, read: usize) {
        if let Some(remaining) = &mut self.remaining {
            // h2 lets no more through than the length.
            *remaining = remaining.saturating_sub(read as u64);
        }
        self.owed += read;
        if self.owed >= RELEASE {
            self.release();
        }
    }

    fn release(&mut self) {
        // Fails only for more than was received.
        let _ = self.stream.flow_control().release_capacity(self.owed);
        self.owed = 0;
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
fn head_failure(error: ::h2::Error) -> Failure {
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

/// Bytes that are read before the peer is told of the room. Each time costs a lock that all streams share.
const RELEASE: usize = 256 * 1024;
