//! A server that takes as much of each request as a test tells it to, and bodies to send to it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytehaul_transport::http::Method;
use bytehaul_transport::{Request, RequestBody, Url};
use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

use crate::server::read_head;

/// What to do after a request head has been read.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    /// Read the body to its end, by its own framing.
    TakeAll,
    /// Read so many bytes.
    Take(usize),
    Send(&'static str),
    Pause(u64),
    Close,
    Reset,
    Hang,
}

/// What has arrived of one request. `whole`: to the end that its head or its last chunk told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) whole: bool,
}

impl Message {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Dropping it stops it.
pub(crate) struct Taker {
    address: SocketAddr,
    messages: Arc<Mutex<Vec<Message>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Taker {
    /// The script is told of how many requests came before on all connections, and the head.
    pub(crate) async fn start(
        script: impl Fn(usize, &str) -> Vec<Do> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (log, count, script) = (messages.clone(), connections.clone(), Arc::new(script));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                sessions.spawn(async move {
                    let _ = serve(stream, &log, script.as_ref()).await;
                });
            }
        });
        Self {
            address,
            messages,
            connections,
            _tasks: tasks,
        }
    }

    pub(crate) async fn always(what: &[Do]) -> Self {
        let what = what.to_vec();
        Self::start(move |_, _| what.clone()).await
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    pub(crate) fn put(&self, body: RequestBody) -> Request {
        Request::new(Method::PUT, self.url("/")).body(body)
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    /// The requests, once there are so many and the last is as the test wants it.
    pub(crate) async fn wait_for(&self, count: usize, last: impl Fn(&Message) -> bool) {
        for _ in 0..500 {
            let messages = self.messages();
            if messages.len() == count && messages.last().is_some_and(&last) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.messages());
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Message>>,
    script: &(dyn Fn(usize, &str) -> Vec<Do> + Send + Sync),
) -> io::Result<()> {
    loop {
        let head = read_head(&mut stream).await?;
        let number = {
            let mut log = log.lock().unwrap();
            log.push(Message {
                head: head.clone(),
                ..Message::default()
            });
            log.len() - 1
        };
        let keep = |bytes: &[u8]| log.lock().unwrap()[number].body.extend_from_slice(bytes);
        for what in script(number, &head) {
            match what {
                Do::TakeAll => {
                    take_all(&mut stream, &head, keep).await?;
                    log.lock().unwrap()[number].whole = true;
                }
                Do::Take(bytes) => take(&mut stream, bytes as u64, keep).await?,
                Do::Send(text) => stream.write_all(text.as_bytes()).await?,
                Do::Pause(millis) => sleep(Duration::from_millis(millis)).await,
                Do::Close => return stream.shutdown().await,
                Do::Reset => return stream.set_zero_linger(),
                Do::Hang => std::future::pending().await,
            }
        }
    }
}

async fn take(stream: &mut TcpStream, mut bytes: u64, keep: impl Fn(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while bytes > 0 {
        let step = bytes.min(buffer.len() as u64) as usize;
        let read = stream.read(&mut buffer[..step]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        keep(&buffer[..read]);
        bytes -= read as u64;
    }
    Ok(())
}

async fn take_all(stream: &mut TcpStream, head: &str, keep: impl Fn(&[u8])) -> io::Result<()> {
    let head = head.to_ascii_lowercase();
    if let Some((_, rest)) = head.split_once("content-length: ") {
        let length = rest.lines().next().unwrap().parse().unwrap();
        return take(stream, length, keep).await;
    }
    if !head.contains("transfer-encoding: chunked") {
        return Ok(());
    }
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await?);
        }
        let size = std::str::from_utf8(&line).unwrap().trim();
        let size = u64::from_str_radix(size, 16).unwrap();
        take(stream, size, &keep).await?;
        assert_eq!(stream.read_u16().await?, u16::from_be_bytes(*b"\r\n"));
        if size == 0 {
            return Ok(());
        }
    }
}

/// A part of a body that a test sends.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    Wait(u64),
    Fail,
}

/// A body of such parts, which says that it ends only when it is asked.
pub(crate) struct Pieces {
    pieces: VecDeque<Piece>,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Pieces {
    pub(crate) fn new(pieces: &[Piece]) -> Self {
        Self {
            pieces: pieces.to_vec().into(),
            wait: None,
        }
    }

    /// The data in frames of this size.
    pub(crate) fn of(data: &[u8], size: usize) -> Self {
        let pieces = data.chunks(size).map(Bytes::copy_from_slice);
        Self {
            pieces: pieces.map(Piece::Data).collect(),
            wait: None,
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(cx));
                self.wait = None;
            }
            return Poll::Ready(match self.pieces.pop_front() {
                Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
                Some(Piece::Wait(millis)) => {
                    self.wait = Some(Box::pin(sleep(Duration::from_millis(millis))));
                    continue;
                }
                Some(Piece::Fail) => Some(Err(io::Error::other("the disk is on fire"))),
                None => None,
            });
        }
    }
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
