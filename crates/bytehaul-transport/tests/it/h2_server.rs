//! An HTTP/2 server that does with each request what a test tells it to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytehaul_transport::http::{Response, request};
use bytehaul_transport::{Client, HttpVersion, Url};
use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What to do with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Status, fields and the whole body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// A head that announces so many bytes, these bytes, and then the end.
    Announce(u64, Vec<u8>, Then),
    /// A reset in place of a head.
    Reset(Reason),
    /// The end of the whole connection.
    Drop,
    /// Nothing. Other streams go on.
    Silence,
    /// Informational responses, as many as can be sent, and no other.
    Interim,
    /// Some of the body, and what comes between.
    Upload(Vec<Up>),
}

/// What to do with the body of a request.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    TakeAll,
    /// So many bytes, or a few more.
    Take(usize),
    Continue,
    Pause(u64),
    /// Status and body, and the end of the response.
    Answer(u16, &'static str),
    /// Status, the length of a body, and its beginning.
    Begin(u16, usize, &'static str),
    /// The rest of a body.
    Finish(&'static str),
    Reset(Reason),
    Hang,
}

/// The body of a request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upload {
    pub(crate) body: Vec<u8>,
    /// To the end of its stream.
    pub(crate) whole: bool,
    /// How the client has ended it before.
    pub(crate) reset: Option<Reason>,
}

/// What comes after the bytes of a body.
#[derive(Clone, Debug)]
pub(crate) enum Then {
    End,
    Reset(Reason),
    /// Nothing, until the client resets the stream.
    Wait,
}

/// A request that has arrived: the number of its connection, and how many came before it on all.
pub(crate) struct Asked {
    pub(crate) connection: usize,
    pub(crate) number: usize,
    pub(crate) head: request::Parts,
}

/// Dropping it stops it.
pub(crate) struct H2Server {
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
pub(crate) struct Log {
    asked: Mutex<Vec<Arc<Asked>>>,
    resets: Mutex<Vec<Reason>>,
    uploads: Mutex<Vec<Upload>>,
    connections: AtomicUsize,
}

pub(crate) type Script = dyn Fn(&Asked) -> Act + Send + Sync;

impl H2Server {
    /// Without TLS.
    pub(crate) async fn start(script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        Self::start_limited(1000, script).await
    }

    /// One that lets each connection have as many requests at a time.
    pub(crate) async fn start_limited(
        streams: u32,
        script: impl Fn(&Asked) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let script: Arc<Script> = Arc::new(script);
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&log);
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                sessions.spawn(session(
                    stream,
                    streams,
                    Arc::clone(&script),
                    Arc::clone(&shared),
                ));
            }
        });
        Self {
            address,
            log,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Arc<Asked>> {
        self.log.asked.lock().unwrap().clone()
    }

    /// How often the client has reset a stream, and why.
    pub(crate) fn resets(&self) -> Vec<Reason> {
        self.log.resets.lock().unwrap().clone()
    }

    /// What was done by [`Act::Upload`], in the order in which it began.
    pub(crate) fn uploads(&self) -> Vec<Upload> {
        self.log.uploads.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }
}

/// Serves one connection.
pub(crate) async fn session(
    io: impl AsyncRead + AsyncWrite + Unpin,
    streams: u32,
    script: Arc<Script>,
    log: Arc<Log>,
) {
    let number = log.connections.fetch_add(1, Ordering::SeqCst);
    let mut builder = Builder::new();
    let Ok(mut connection) = builder.max_concurrent_streams(streams).handshake(io).await else {
        return;
    };
    let mut acts = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (head, body) = request.into_parts();
        let asked = {
            let mut all = log.asked.lock().unwrap();
            let asked = Arc::new(Asked {
                connection: number,
                number: all.len(),
                head,
            });
            all.push(Arc::clone(&asked));
            asked
        };
        let act = script(&asked);
        if matches!(act, Act::Drop) {
            return;
        }
        match act {
            Act::Upload(steps) => acts.spawn(upload(steps, body, respond, Arc::clone(&log))),
            act => acts.spawn(perform(act, respond, Arc::clone(&log))),
        };
    }
}

async fn perform(act: Act, mut respond: SendResponse<Bytes>, log: Arc<Log>) {
    match act {
        Act::Answer(status, fields, body) => {
            let mut head = Response::builder().status(status);
            for (name, value) in fields {
                head = head.header(name, value);
            }
            let head = head.body(()).unwrap();
            // The client may have gone.
            if let Ok(mut stream) = respond.send_response(head, body.is_empty())
                && !body.is_empty()
            {
                let _ = stream.send_data(body.into(), true);
            }
        }
        Act::Announce(length, body, then) => {
            let head = Response::builder().header("content-length", length);
            let Ok(mut stream) = respond.send_response(head.body(()).unwrap(), false) else {
                return;
            };
            let end = matches!(then, Then::End);
            let _ = stream.send_data(body.into(), end);
            match then {
                Then::End => {}
                Then::Reset(reason) => {
                    // A reset overtakes what waits in the buffer.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    stream.send_reset(reason);
                }
                Then::Wait => {
                    if let Ok(reason) = std::future::poll_fn(|cx| stream.poll_reset(cx)).await {
                        log.resets.lock().unwrap().push(reason);
                    }
                }
            }
        }
        Act::Reset(reason) => respond.send_reset(reason),
        Act::Upload(_) => unreachable!("has the body"),
        Act::Drop => {}
        Act::Silence => std::future::pending().await,
        Act::Interim => loop {
            let head = Response::builder().status(103).body(()).unwrap();
            if respond.send_informational(head).is_err() {
                return;
            }
            tokio::task::yield_now().await;
        },
    }
}

async fn upload(
    steps: Vec<Up>,
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    log: Arc<Log>,
) {
    let number = {
        let mut uploads = log.uploads.lock().unwrap();
        uploads.push(Upload::default());
        uploads.len() - 1
    };
    let mut answer = None;
    for step in steps {
        match step {
            Up::TakeAll => take(&mut body, usize::MAX, number, &log).await,
            Up::Take(bytes) => take(&mut body, bytes, number, &log).await,
            Up::Continue => {
                let head = Response::builder().status(100).body(()).unwrap();
                let _ = respond.send_informational(head);
            }
            Up::Pause(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Up::Answer(status, text) => {
                let head = Response::builder()
                    .status(status)
                    .header("content-length", text.len());
                let sent = respond.send_response(head.body(()).unwrap(), text.is_empty());
                if let Ok(mut stream) = sent {
                    if !text.is_empty() {
                        let _ = stream.send_data(text.into(), true);
                    }
                    answer = Some(stream);
                }
            }
            Up::Begin(status, length, text) => {
                let head = Response::builder()
                    .status(status)
                    .header("content-length", length);
                if let Ok(mut stream) = respond.send_response(head.body(()).unwrap(), false) {
                    let _ = stream.send_data(text.into(), false);
                    answer = Some(stream);
                }
            }
            Up::Finish(text) => {
                let _ = answer.as_mut().unwrap().send_data(text.into(), true);
            }
            Up::Reset(reason) => {
                // A reset overtakes what waits in the buffer.
                tokio::time::sleep(Duration::from_millis(50)).await;
                respond.send_reset(reason);
            }
            Up::Hang => {
                if let Ok(reason) = std::future::poll_fn(|cx| respond.poll_reset(cx)).await {
                    log.uploads.lock().unwrap()[number].reset = Some(reason);
                }
            }
        }
    }
}

async fn take(body: &mut RecvStream, bytes: usize, number: usize, log: &Log) {
    let mut taken = 0;
    while taken < bytes {
        let data = body.data().await;
        let upload = &mut log.uploads.lock().unwrap()[number];
        match data {
            Some(Ok(data)) => {
                taken += data.len();
                upload.body.extend_from_slice(&data);
                let _ = body.flow_control().release_capacity(data.len());
            }
            Some(Err(error)) => {
                upload.reset = error.reason();
                return;
            }
            None => {
                upload.whole = true;
                return;
            }
        }
    }
}

/// Speaks HTTP/2 without asking first.
pub(crate) fn h2_client() -> Client {
    Client::builder()
        .http_version(HttpVersion::Http2)
        .build()
        .unwrap()
}

/// The same with no patience.
pub(crate) fn hasty_h2_client() -> Client {
    h2_client().with_timeouts(Duration::from_secs(2), Duration::from_millis(300))
}

/// 200 with a length.
pub(crate) fn ok(body: &str) -> Act {
    let fields = vec![("content-length", body.len().to_string())];
    Act::Answer(200, fields, body.as_bytes().to_vec())
}
