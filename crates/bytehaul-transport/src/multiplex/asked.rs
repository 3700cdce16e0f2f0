//! A request on a stream whose head was sent: its body going out, its answer coming in, and which of the two decides.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::h2::client::ResponseFuture;
use ::h2::{Reason, RecvStream, SendStream};
use bytes::Bytes;
use http::StatusCode;

use super::exchange::head_failure;
use super::pump::{Pump, Pumped};
use crate::error::{Error, ErrorKind};
use crate::exchange::Failure;
use crate::request_body::{Feed, Outlet};

/// A request whose head was sent.
pub(super) struct Asked {
    response: ResponseFuture,
    /// An answer that came before it may be told.
    early: Option<http::Response<RecvStream>>,
    interim: usize,
    /// The body, as long as it is not in h2's hands.
    pump: Option<Pump>,
    /// The peer has ended the stream before the body, for this reason where it gave one.
    unwanted: Option<Option<Reason>>,
    outlet: Option<Arc<Outlet>>,
}

impl Asked {
    pub(super) fn new(response: ResponseFuture, feed: Feed, stream: SendStream<Bytes>) -> Self {
        let outlet = feed.outlet();
        Self {
            response,
            early: None,
            interim: 0,
            pump: outlet.is_some().then(|| Pump::new(feed, stream)),
            unwanted: None,
            outlet,
        }
    }

    /// Goes on with both ways, until the head is there and may be told.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<http::Response<RecvStream>, Failure>> {
        if self.early.is_none()
            && let Poll::Ready(response) = self.poll_head(cx)
        {
            self.early = Some(response.map_err(|failure| self.blame(failure))?);
        }
        if let Some(response) = self
            .early
            .take_if(|head| may_be_told(head, &self.outlet, cx))
        {
            return Poll::Ready(Ok(response));
        }
        if let Some(reason) = self.unwanted
            && let Some(response) = self.early.take()
        {
            return Poll::Ready(match reason {
                // The server has all that it needs (RFC 9113 section 8.1).
                Some(Reason::NO_ERROR) => Ok(response),
                _ => {
                    let what = "stream ended before the request body, after an early answer";
                    Err(Failure::underway(Error::new(ErrorKind::Reset, what)))
                }
            });
        }
        let Some(pump) = &mut self.pump else {
            return Poll::Pending;
        };
        let pumped = ready!(pump.poll(cx));
        match pumped {
            Pumped::Whole => self.pump = None,
            Pumped::Failed => {
                let error = self.outlet.as_deref().and_then(Outlet::take_failure);
                let error = error
                    .unwrap_or_else(|| Error::new(ErrorKind::RequestBody, "request body failed"));
                return Poll::Ready(Err(Failure::underway(error)));
            }
            Pumped::Unwanted(reason) => {
                self.pump = None;
                self.unwanted = Some(reason);
                return self.poll(cx);
            }
        }
        Poll::Pending
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<http::Response<RecvStream>, Failure>> {
        while let Poll::Ready(Some(Ok(informational))) = self.response.poll_informational(cx) {
            self.interim += 1;
            if self.interim > crate::exchange::MAX_INTERIM {
                return Poll::Ready(Err(Failure::underway(Error::new(
                    ErrorKind::Protocol,
                    "informational responses without end",
                ))));
            }
            if informational.status() == StatusCode::CONTINUE
                && let Some(outlet) = &self.outlet
            {
                outlet.open();
            }
        }
        pin!(&mut self.response).poll(cx).map_err(head_failure)
    }

    /// Whether it is the caller's body that is waited for, not the peer.
    pub(super) fn is_idle(&self) -> bool {
        self.outlet.as_ref().is_some_and(|outlet| outlet.is_idle())
    }

    /// Bytes of the body that went out.
    pub(super) fn written(&self) -> u64 {
        self.outlet.as_ref().map_or(0, |outlet| outlet.written())
    }

    /// The way of a body that was not sent to its end.
    pub(super) fn into_unsent(self) -> Option<SendStream<Bytes>> {
        self.pump.map(Pump::into_stream)
    }

    /// The body's own failure, where there is one.
    fn blame(&self, failure: Failure) -> Failure {
        match self.outlet.as_deref().and_then(Outlet::take_failure) {
            Some(error) => Failure::underway(error),
            None => failure,
        }
    }
}

/// As for HTTP/1.1: a success is told when the body is out, or was not wanted.
fn may_be_told(
    head: &http::Response<RecvStream>,
    outlet: &Option<Arc<Outlet>>,
    cx: &Context<'_>,
) -> bool {
    let Some(outlet) = outlet else {
        return true;
    };
    !head.status().is_success() || outlet.is_held() || outlet.is_out_or_wakes(cx.waker())
}
