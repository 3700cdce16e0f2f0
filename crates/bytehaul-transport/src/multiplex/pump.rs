//! A request body on its way into an HTTP/2 stream, no faster than the peer gives room for (RFC 9113 section 5.2).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::h2::{Reason, SendStream};
use bytes::Bytes;
use http_body::Body as _;

use crate::request_body::Feed;

/// A body and the stream that it goes into. Dropping it before its end gives the stream up, unless a response is still read.
pub(super) struct Pump {
    feed: Feed,
    stream: SendStream<Bytes>,
    /// What waits for room.
    piece: Bytes,
}

/// How the sending of a body has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pumped {
    /// h2 has all of it.
    Whole,
    /// The peer takes no more, and says so or has gone. It may have answered; the response knows.
    Unwanted(Option<Reason>),
    /// The body itself has failed, and its stream was reset.
    Failed,
}

impl Pump {
    pub(super) fn new(feed: Feed, stream: SendStream<Bytes>) -> Self {
        Self {
            feed,
            stream,
            piece: Bytes::new(),
        }
    }

    /// Goes on as far as there is something to send and room for it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Pumped> {
        if self.feed.is_end_stream() && self.piece.is_empty() {
            return Poll::Ready(Pumped::Whole);
        }
        loop {
            if self.piece.is_empty() {
                match self.poll_piece(cx) {
                    Poll::Ready(Some(Ok(piece))) => {
                        self.stream.reserve_capacity(piece.len());
                        self.piece = piece;
                        continue;
                    }
                    Poll::Ready(Some(Err(_told_by_the_outlet))) => {
                        self.stream.send_reset(Reason::CANCEL);
                        return Poll::Ready(Pumped::Failed);
                    }
                    Poll::Ready(None) => {
                        return Poll::Ready(match self.stream.send_data(Bytes::new(), true) {
                            Ok(()) => Pumped::Whole,
                            Err(_) => self.unwanted(cx),
                        });
                    }
                    // Nothing is waited for that the peer could refuse, but it may refuse all the same.
                    Poll::Pending => {
                        return self
                            .stream
                            .poll_reset(cx)
                            .map(|reason| Pumped::Unwanted(reason.ok()));
                    }
                }
            }
            let room = self.stream.capacity().min(self.piece.len());
            if room == 0 {
                match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_room)) => continue,
                    Some(Err(_)) | None => return Poll::Ready(self.unwanted(cx)),
                }
            }
            let part = self.piece.split_to(room);
            let last = self.is_whole();
            if self.stream.send_data(part, last).is_err() {
                return Poll::Ready(self.unwanted(cx));
            }
            if last {
                return Poll::Ready(Pumped::Whole);
            }
        }
    }

    /// Gives the stream back, of which nothing more is sent.
    pub(super) fn into_stream(self) -> SendStream<Bytes> {
        self.stream
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let frame = ready!(Pin::new(&mut self.feed).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let data = frame?.into_data();
            Ok(data.unwrap_or_default())
        }))
    }

    fn is_whole(&self) -> bool {
        self.piece.is_empty() && self.feed.is_end_stream()
    }

    fn unwanted(&mut self, cx: &mut Context<'_>) -> Pumped {
        Pumped::Unwanted(match self.stream.poll_reset(cx) {
            Poll::Ready(reason) => reason.ok(),
            Poll::Pending => None,
        })
    }
}
