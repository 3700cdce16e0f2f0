//! A server that does, byte for byte, what a test tells it to.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytehaul_transport::{Body, Client, Error, Request, Response, Url};
use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What to do after a request head has been read.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    Close,
    Reset,
    Hang,
}

/// A request that has arrived: how many came before it on its connection, and its bytes.
pub(crate) struct Seen {
    pub(crate) request: usize,
    pub(crate) head: String,
}

impl Seen {
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }
}

/// Dropping it stops it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (log, count, script) = (
            Arc::clone(&heads),
            Arc::clone(&connections),
            Arc::new(script),
        );
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
            heads,
            connections,
            _tasks: tasks,
        }
    }

    /// Answers every request with the same bytes.
    pub(crate) async fn always(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::start(move |_| vec![Step::Send(response.clone())]).await
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    /// The request heads so far, as they came.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<String>>,
    script: &(dyn Fn(&Seen) -> Vec<Step> + Send + Sync),
) -> io::Result<()> {
    for request in 0.. {
        let head = read_head(&mut stream).await?;
        log.lock().unwrap().push(head.clone());
        let steps = script(&Seen { request, head });
        for step in steps {
            match step {
                Step::Send(bytes) => stream.write_all(&bytes).await?,
                Step::Pause(time) => tokio::time::sleep(time).await,
                Step::Close => return stream.shutdown().await,
                Step::Reset => return stream.set_zero_linger(),
                Step::Hang => std::future::pending().await,
            }
        }
    }
    Ok(())
}

pub(crate) async fn read_head<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}

pub(crate) fn client() -> Client {
    Client::builder().build().unwrap()
}

/// A client that loses patience soon.
pub(crate) fn hasty() -> Client {
    client().with_timeouts(Duration::from_millis(300), Duration::from_millis(300))
}

pub(crate) async fn get(client: &Client, url: Url) -> Result<Response, Error> {
    client.send(Request::get(url)).await
}

pub(crate) async fn read_all(body: &mut Body, step: usize) -> Result<Vec<u8>, Error> {
    let mut all = BytesMut::new();
    loop {
        all.reserve(step);
        if body.read(&mut (&mut all).limit(step)).await? == 0 {
            return Ok(all.to_vec());
        }
    }
}

/// A response of this length, with a body in which every place is told from its neighbours.
pub(crate) fn sized(length: usize) -> (Vec<u8>, Vec<u8>) {
    let body = pattern(length);
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    response.extend_from_slice(&body);
    (response, body)
}

pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index % 251) as u8 ^ (index / 251 % 256) as u8)
        .collect()
}
