//! What a caller may send as a body: its length, and whether it can be opened again.

mod feed;
mod outlet;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

pub(crate) use self::feed::Feed;
pub(crate) use self::outlet::{Outlet, Wait};

/// The body of a request. `Debug` shows its length only.
///
/// A body of known length is sent with an exact `Content-Length`; one that gives more or fewer bytes than it said fails with
/// [`RequestBody`](crate::ErrorKind::RequestBody), and the message that was begun is cut off, so that the server can tell. Without
/// a length it is sent in chunks (HTTP/1.1), or up to the end of its stream (HTTP/2).
///
/// The body is asked for its next frame when at most a few hundred KiB of the former ones wait to be sent. Its frames go to
/// the socket without being copied, except for encryption. Frames of 64 to 256 KiB are good: larger ones leave the processor's
/// cache between their reading and their sending. Trailers are not sent.
///
/// Clones are the same body: of one that can be sent [`once`](Self::once) only one is sent, and the others fail.
#[derive(Clone)]
pub struct RequestBody {
    length: Option<u64>,
    source: Arc<Source>,
}

/// Frames of a body that has been opened.
pub(crate) type Frames = UnsyncBoxBody<Bytes, io::Error>;

enum Source {
    Bytes(Bytes),
    Reopened(Box<dyn Fn() -> Frames + Send + Sync>),
    Once(Mutex<Option<Frames>>),
}

impl RequestBody {
    /// These bytes, as often as it takes.
    pub fn bytes(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        Self {
            length: Some(data.len() as u64),
            source: Arc::new(Source::Bytes(data)),
        }
    }

    /// A body that can be opened again, for a redirect (307, 308) or in place of a connection that was found closed: `open` is
    /// called for each try, no earlier than its first byte is wanted, and must give the same bytes each time.
    ///
    /// `open` must not block. `length` is in bytes; `None`: it is known at the end.
    pub fn reopened<B>(length: Option<u64>, open: impl Fn() -> B + Send + Sync + 'static) -> Self
    where
        B: Body<Data = Bytes, Error = io::Error> + Send + 'static,
    {
        Self {
            length,
            source: Arc::new(Source::Reopened(Box::new(move || open().boxed_unsync()))),
        }
    }

    /// A body that can be sent once: after its first byte was asked for, the request is not tried again and no redirect followed.
    ///
    /// `length` is in bytes; `None`: it is known at the end.
    pub fn once<B>(length: Option<u64>, body: B) -> Self
    where
        B: Body<Data = Bytes, Error = io::Error> + Send + 'static,
    {
        Self {
            length,
            source: Arc::new(Source::Once(Mutex::new(Some(body.boxed_unsync())))),
        }
    }

    /// Its bytes. `None`: they are counted when it ends.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether it can be sent, be it for the first time or again.
    pub(crate) fn can_open(&self) -> bool {
        match &*self.source {
            Source::Bytes(_) | Source::Reopened(_) => true,
            Source::Once(body) => body
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some(),
        }
    }

    /// From its first byte. `None`: it has been sent.
    fn open(&self) -> Option<Frames> {
        match &*self.source {
            Source::Bytes(data) => Some(
                Full::new(data.clone())
                    .map_err(|never| match never {})
                    .boxed_unsync(),
            ),
            Source::Reopened(open) => Some(open()),
            Source::Once(body) => body.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
