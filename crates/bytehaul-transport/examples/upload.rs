//! What one upload costs with nothing around the client: `upload FILE|mem:MiB URL [frame KiB] [1|2] [CA.pem]`.
//!
//! A file is read at positions by blocking threads, one frame ahead of what is sent, in buffers that are used again. `mem:`
//! sends the same frame of memory over and over. The number is the version of HTTP; without TLS, 2 is by prior knowledge.

use std::collections::VecDeque;
use std::error::Error;
use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytehaul_transport::http::Method;
use bytehaul_transport::{Client, HttpVersion, Request, RequestBody, Tls, Url};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::task::{JoinHandle, spawn_blocking};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, url, rest @ ..] = arguments.as_slice() else {
        return Err("usage: upload FILE|mem:MiB URL [frame KiB] [1|2] [CA.pem]".into());
    };
    let frame = rest.first().map_or(Ok(256), |text| text.parse::<usize>())? * 1024;
    let version = match rest.get(1).map(String::as_str) {
        Some("2") => HttpVersion::Http2,
        _ => HttpVersion::Http1,
    };
    let mut tls = Tls::new();
    if let Some(path) = rest.get(2) {
        tls = tls.add_roots_pem(std::fs::read(path)?);
    }
    let client = Client::builder().tls(tls).http_version(version).build()?;
    let body = match from.strip_prefix("mem:") {
        Some(size) => memory(size.parse::<u64>()? << 20, frame),
        None => stored(File::open(from)?, frame)?,
    };
    let length = body.length().unwrap_or_default();
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(async {
        let request = Request::new(Method::PUT, Url::parse(url)?).body(body);
        let mut response = client.send(request).await?;
        response.body_mut().text(1 << 20).await?;
        Result::Ok(response.status())
    })?;
    let took = started.elapsed().as_secs_f64();
    eprintln!("{status}: {length} bytes in {took:.3} s");
    Ok(())
}

fn stored(file: File, size: usize) -> Result<RequestBody> {
    let length = file.metadata()?.len();
    let file = Arc::new(file);
    Ok(RequestBody::reopened(Some(length), move || Stored {
        file: Arc::clone(&file),
        at: 0,
        length,
        size,
        next: None,
        given: VecDeque::new(),
    }))
}

/// A file that is read one frame ahead.
struct Stored {
    file: Arc<File>,
    /// Where the next read begins.
    at: u64,
    length: u64,
    size: usize,
    next: Option<JoinHandle<io::Result<Bytes>>>,
    /// Frames that may have been sent by now, so that their memory can be used again.
    given: VecDeque<Bytes>,
}

impl Stored {
    fn read_ahead(&mut self) {
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        let step = left.min(self.size);
        if step == 0 {
            return;
        }
        let spare = self.given.pop_front().map(Bytes::try_into_mut);
        let mut buffer = match spare {
            Some(Ok(buffer)) => buffer,
            Some(Err(in_use)) => {
                self.given.push_front(in_use);
                BytesMut::new()
            }
            None => BytesMut::new(),
        };
        buffer.resize(step, 0);
        let (file, at) = (Arc::clone(&self.file), self.at);
        self.at += step as u64;
        self.next = Some(spawn_blocking(move || {
            read_exact_at(&file, &mut buffer, at)?;
            Ok(buffer.freeze())
        }));
    }
}

impl Body for Stored {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.next.is_none() {
            self.read_ahead();
        }
        let Some(next) = &mut self.next else {
            return Poll::Ready(None);
        };
        let read = ready!(Pin::new(next).poll(cx)).map_err(io::Error::other);
        self.next = None;
        let frame = read.flatten()?;
        self.given.push_back(frame.clone());
        self.read_ahead();
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.length && self.next.is_none()
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, buffer, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[read..];
        at += read as u64;
    }
    Ok(())
}

fn memory(length: u64, size: usize) -> RequestBody {
    let frame = Bytes::from(vec![7; size]);
    RequestBody::reopened(Some(length), move || Memory {
        frame: frame.clone(),
        left: length,
    })
}

/// The same bytes until there are enough.
struct Memory {
    frame: Bytes,
    left: u64,
}

impl Body for Memory {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let step = usize::try_from(self.left).unwrap_or(usize::MAX);
        let frame = self.frame.slice(..step.min(self.frame.len()));
        self.left -= frame.len() as u64;
        Poll::Ready((!frame.is_empty()).then(|| Ok(Frame::data(frame))))
    }
}
