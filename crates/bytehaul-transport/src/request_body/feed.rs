//! A body on its way out: held back until it may go, counted against its length, and cut into pieces that fit.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::outlet::Gate;
use super::{Frames, Outlet, RequestBody, Wait};
use crate::error::{Error, ErrorKind};

/// The body of one try of a request, or none. It is opened when its first byte is wanted.
pub(crate) struct Feed {
    content: Option<Content>,
}

struct Content {
    body: RequestBody,
    outlet: Arc<Outlet>,
    /// Behind a lock that is never contended, so that whoever holds a connection may be shared between threads.
    frames: Mutex<Option<Frames>>,
    /// Bytes that are still to be given, where that is known.
    left: Option<u64>,
    /// What has come and was not given yet.
    frame: Bytes,
    ended: bool,
    patience: Option<Pin<Box<Sleep>>>,
}

impl Feed {
    /// `wait` has no meaning without a body.
    pub(crate) fn new(body: Option<RequestBody>, wait: Wait) -> Self {
        Self {
            content: body.map(|body| Content {
                outlet: Arc::new(Outlet::new(wait)),
                frames: Mutex::new(None),
                left: body.length(),
                frame: Bytes::new(),
                ended: false,
                patience: None,
                body,
            }),
        }
    }

    /// `None`: there is nothing to send.
    pub(crate) fn outlet(&self) -> Option<Arc<Outlet>> {
        let content = self.content.as_ref().filter(|content| !content.is_over());
        content.map(|content| Arc::clone(&content.outlet))
    }

    /// Checks that a body that said it is empty is so. Nobody asks it for frames later.
    pub(crate) async fn settle(&mut self) -> Result<(), Error> {
        let Some(content) = &mut self.content else {
            return Ok(());
        };
        if content.left != Some(0) {
            return Ok(());
        }
        std::future::poll_fn(|cx| content.poll_piece(cx))
            .await
            .map(drop)
    }
}

impl Body for Feed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(content) = &mut self.content else {
            return Poll::Ready(None);
        };
        ready!(content.poll_gate(cx));
        let polled = content.poll_piece(cx);
        let outlet = &content.outlet;
        outlet.set_idle(polled.is_pending());
        if matches!(polled, Poll::Ready(Ok(_))) && content.is_over() {
            outlet.given();
        }
        Poll::Ready(match ready!(polled) {
            Ok(piece) => piece.map(|piece| Ok(Frame::data(piece))),
            Err(error) => {
                outlet.fail(error);
                Some(Err(io::Error::other("request body failed")))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.content.as_ref().is_none_or(Content::is_over)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            None => SizeHint::with_exact(0),
            Some(content) => content.left.map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}

impl Content {
    /// Nothing is left to give.
    fn is_over(&self) -> bool {
        self.left == Some(0) || (self.ended && self.frame.is_empty())
    }

    /// Pending for as long as the body may not go; for ever when it may not any more.
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.outlet.gate(cx.waker()) {
            Gate::Open => Poll::Ready(()),
            Gate::Stopped => {
                *held(&mut self.frames) = None;
                self.frame.clear();
                Poll::Pending
            }
            Gate::Closed => {
                let patience = self
                    .patience
                    .get_or_insert_with(|| Box::pin(sleep(CONTINUE_WAIT)));
                ready!(patience.as_mut().poll(cx));
                self.outlet.open();
                Poll::Ready(())
            }
        }
    }

    /// The next bytes, `None` at the end. The last ones are kept until the body has said that it ends there: what came after
    /// them would be cut off without a word by the length in the head.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        if !self.ended && held(&mut self.frames).is_none() {
            let Some(frames) = self.body.open() else {
                let what = "request body was sent before, and can be sent once";
                return Poll::Ready(Err(Error::new(ErrorKind::RequestBody, what)));
            };
            *held(&mut self.frames) = Some(frames);
        }
        loop {
            let have = self.frame.len() as u64;
            let last = self.left == Some(have) && self.frame.len() <= PIECE;
            if have > 0 && (self.ended || !last) {
                let piece = self.frame.split_to(self.frame.len().min(PIECE));
                self.left = self.left.map(|left| left - piece.len() as u64);
                return Poll::Ready(Ok(Some(piece)));
            }
            let Some(frames) = held(&mut self.frames).as_mut().filter(|_| !self.ended) else {
                return Poll::Ready(Ok(None));
            };
            match ready!(Pin::new(&mut *frames).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    let room = self.left.map(|left| left - have);
                    if room.is_some_and(|room| data.len() as u64 > room) {
                        return Poll::Ready(Err(self.mistaken("gives more")));
                    }
                    self.ended = frames.is_end_stream();
                    if !data.is_empty() {
                        self.frame = data;
                    }
                }
                Some(Err(cause)) => {
                    let error = Error::new(ErrorKind::RequestBody, "request body failed");
                    return Poll::Ready(Err(error.with_source(cause)));
                }
                None => self.ended = true,
            }
            if self.ended && self.left.is_some_and(|left| left > self.frame.len() as u64) {
                return Poll::Ready(Err(self.mistaken("gives fewer")));
            }
        }
    }

    fn mistaken(&self, what: &str) -> Error {
        let length = self.body.length().unwrap_or_default();
        let what = format!("request body {what} than the {length} bytes it said");
        Error::new(ErrorKind::RequestBody, what)
    }
}

/// Bytes that are given at a time. Where they are encrypted, as many are copied.
const PIECE: usize = 256 * 1024;

/// How long a body waits for a go-ahead. Many servers never give one, and RFC 9110 section 10.1.1 asks for not too long.
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

fn held(frames: &mut Mutex<Option<Frames>>) -> &mut Option<Frames> {
    frames.get_mut().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body_util::StreamBody;

    use super::*;

    /// Frames that are there at once.
    struct Given(std::vec::IntoIter<io::Result<Frame<Bytes>>>);

    impl futures_core::Stream for Given {
        type Item = io::Result<Frame<Bytes>>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.next())
        }
    }

    fn feed(frames: &[usize], length: Option<u64>) -> Feed {
        let frames: Vec<_> = frames
            .iter()
            .map(|&length| Ok(Frame::data(Bytes::from(vec![7; length]))))
            .collect();
        let body = StreamBody::new(Given(frames.into_iter()));
        Feed::new(Some(RequestBody::once(length, body)), Wait::Nothing)
    }

    /// The sizes of what it gives, and whether it ends well.
    fn give(mut feed: Feed) -> (Vec<usize>, bool) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut pieces = Vec::new();
        while !feed.is_end_stream() {
            match Pin::new(&mut feed).poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => pieces.push(frame.into_data().unwrap().len()),
                Poll::Ready(Some(Err(_))) => return (pieces, false),
                Poll::Ready(None) => break,
                Poll::Pending => panic!("nothing is waited for"),
            }
        }
        (pieces, true)
    }

    proptest::proptest! {
        #[test]
        fn what_is_given_is_what_was_said_or_less(
            frames in proptest::collection::vec(0usize..600_000, 0..6),
            said in proptest::option::of(-2i64..3),
        ) {
            let sum: usize = frames.iter().sum();
            let length = said.map(|off| (sum as u64).saturating_add_signed(off));
            // That nothing is said of nothing is settled before.
            proptest::prop_assume!(length != Some(0) || sum == 0);
            let (pieces, well) = give(feed(&frames, length));
            let given: usize = pieces.iter().sum();
            let right = length.is_none_or(|length| length == sum as u64);
            assert_eq!(well, right);
            assert!(pieces.iter().all(|&piece| piece > 0 && piece <= PIECE));
            if right {
                assert_eq!(given, sum);
            } else {
                assert!((given as u64) < length.unwrap(), "the message is not whole");
            }
        }
    }
}
