//! One HTTP/2 connection that several requests share: who uses it, how many may, and when it ends.
//!
//! The h2 crate is used without hyper around it: hyper adds a task and two channels for each request, and hides the reason of a
//! reset, which decides whether the request is tried again. Bodies go around h2: read through its
//! buffers they cost twice the CPU time.

mod asked;
mod bell;
mod driver;
mod exchange;
mod frames;
mod half;
mod lane;
mod outgoing;
mod pump;
mod shared;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::h2::SendStream;
use ::h2::client::{Builder, ResponseFuture, SendRequest};
use bytes::Bytes;
use http::Request;
use tokio::task::AbortHandle;

use self::driver::Driver;
pub(crate) use self::exchange::{Streamed, exchange};
use self::half::Half;
pub(crate) use self::lane::Lane;
use self::shared::Shared;
use crate::error::Error;
use crate::request_body::Outlet;
use crate::stream::Stream;

/// An HTTP/2 connection. When the last who holds it lets go, its task is ended and the connection closed.
pub(crate) struct Link {
    sender: SendRequest<Bytes>,
    /// Streams are made known in the order in which h2 numbers them.
    sending: Mutex<()>,
    shared: Arc<Shared>,
    load: Arc<Load>,
    task: AbortHandle,
}

/// What the connection's task and its users tell each other.
#[derive(Debug, Default)]
struct Load {
    streams: AtomicUsize,
    received: AtomicU64,
    /// No further request is to be sent on it.
    retired: AtomicBool,
}

/// The right to one request on a connection, which counts as used until this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    link: Arc<Link>,
}

impl Link {
    /// Sends the preface (RFC 9113 section 3.4) and starts the task that reads and writes frames. Does not wait for the peer.
    ///
    /// `patience` is the longest time for which a peer that does not answer goes unnoticed while there are requests, `idle` how
    /// long the connection is kept without any.
    pub(crate) async fn open(
        stream: Stream,
        patience: Duration,
        idle: Duration,
    ) -> Result<Arc<Self>, Error> {
        let load = Arc::new(Load::default());
        let shared = Shared::new(stream, &load);
        let opened = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(MAX_FRAME)
            .max_header_list_size(MAX_HEADERS)
            .max_send_buffer_size(MAX_UNSENT)
            .enable_push(false)
            .handshake(Half::new(Arc::clone(&shared)))
            .await;
        let (sender, connection) = opened.map_err(exchange::connection_error)?;
        let driver = Driver::new(connection, Arc::clone(&load), patience, idle);
        let task = tokio::spawn(driver.run()).abort_handle();
        Ok(Arc::new(Self {
            sender,
            sending: Mutex::default(),
            shared,
            load,
            task,
        }))
    }

    /// Sends the head of a request, and nothing else where there is no way out for a body. `sender` is ready.
    fn send(
        &self,
        sender: &mut SendRequest<Bytes>,
        request: Request<()>,
        outlet: Option<Arc<Outlet>>,
    ) -> Result<(ResponseFuture, SendStream<Bytes>, Lane), ::h2::Error> {
        let _turn = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let (response, body) = sender.send_request(request, outlet.is_none())?;
        let lane = self.shared.open(response.stream_id().as_u32(), outlet);
        Ok((response, body, lane))
    }

    /// Requests that are under way.
    pub(crate) fn streams(&self) -> usize {
        self.load.streams.load(Ordering::Relaxed)
    }

    /// Whether a further request may be sent, and will not have to wait for another one's end.
    pub(crate) fn has_room(&self) -> bool {
        self.streams() < self.sender.current_max_send_streams()
    }

    /// Whether it is of no further use: it has ended, or somebody has found it wanting.
    pub(crate) fn is_retired(&self) -> bool {
        self.load.retired.load(Ordering::Relaxed) || self.task.is_finished()
    }

    /// Takes up one request. Whoever chooses between connections does so under one lock with this.
    pub(crate) fn seat(self: &Arc<Self>) -> Seat {
        self.load.streams.fetch_add(1, Ordering::Relaxed);
        Seat {
            link: Arc::clone(self),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("load", &self.load)
            .finish_non_exhaustive()
    }
}

impl Seat {
    /// Lets no further request onto this connection. Those under way go on.
    pub(crate) fn retire(&self) {
        self.link.load.retired.store(true, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.link.load.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes that a server may send on one stream before they are read: as much as Linux lets a TCP connection grow to, so that
/// HTTP/2 is not what limits a long fast path.
const STREAM_WINDOW: u32 = 8 << 20;

/// The same for a connection, of which more is never held, whatever its streams do. Two stalled streams fill it.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Bytes of a request body that wait to be sent, for each stream.
const MAX_UNSENT: usize = 512 << 10;

/// Payload of one frame. Those of bodies are read as they come, but others are held whole.
const MAX_FRAME: u32 = 64 << 10;

/// Twice what a response head may have, so that one that is too large can be told from one that is malformed.
const MAX_HEADERS: u32 = 2 * exchange::MAX_HEAD;
