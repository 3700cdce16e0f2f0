//! Just enough HTTP/1.1 to ask a well-behaved server for a file.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// An `http://host:port/path` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) authority: String,
    pub(crate) path: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> io::Result<Self> {
        let rest = text
            .strip_prefix("http://")
            .ok_or_else(|| invalid("not an http:// URL"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let authority = if authority.contains(':') {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        Ok(Self {
            authority,
            path: format!("/{path}"),
        })
    }

    /// A request for it; `range` is first and one-past-last byte.
    pub(crate) fn request(&self, method: &str, range: Option<(u64, u64)>) -> String {
        let range = range.map(|(start, end)| format!("Range: bytes={start}-{}\r\n", end - 1));
        format!(
            "{method} {} HTTP/1.1\r\nHost: {}\r\n{}\r\n",
            self.path,
            self.authority,
            range.unwrap_or_default()
        )
    }
}

/// A connection and the bytes that came behind the last head.
pub(crate) struct Connection {
    stream: TcpStream,
    ahead: Vec<u8>,
}

/// The status and length of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) length: u64,
}

impl Connection {
    pub(crate) fn open(url: &Url) -> io::Result<Self> {
        let stream = TcpStream::connect(&url.authority)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            ahead: Vec::with_capacity(HEAD_BUFFER),
        })
    }

    pub(crate) fn send(&mut self, request: &str) -> io::Result<()> {
        self.stream.write_all(request.as_bytes())
    }

    pub(crate) fn read_head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = parse_head(&self.ahead[..end]);
                self.ahead.drain(..end + 4);
                return head;
            }
            let mut block = [0; HEAD_BUFFER];
            let size = self.stream.read(&mut block)?;
            if size == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.ahead.extend_from_slice(&block[..size]);
        }
    }

    /// Body bytes: what came with the head first, then one `recv`.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.ahead.is_empty() {
            let size = self.ahead.len().min(out.len());
            out[..size].copy_from_slice(&self.ahead[..size]);
            self.ahead.drain(..size);
            return Ok(size);
        }
        match self.stream.read(out)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            size => Ok(size),
        }
    }
}

pub(crate) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn parse_head(head: &[u8]) -> io::Result<Head> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let status = head
        .get(9..12)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| invalid("status line"))?;
    let length = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| invalid("no content-length"))?;
    Ok(Head { status, length })
}

const HEAD_BUFFER: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_requests() {
        let url = Url::parse("http://h:81/a/b?c").unwrap();
        assert_eq!(
            url,
            Url {
                authority: "h:81".to_owned(),
                path: "/a/b?c".to_owned()
            }
        );
        assert_eq!(
            url.request("GET", Some((5, 10))),
            "GET /a/b?c HTTP/1.1\r\nHost: h:81\r\nRange: bytes=5-9\r\n\r\n"
        );
        assert_eq!(Url::parse("http://h").unwrap().authority, "h:80");
        Url::parse("https://h/").unwrap_err();
    }

    #[test]
    fn heads() {
        let head =
            parse_head(b"HTTP/1.1 206 Partial Content\r\nServer: x\r\nContent-Length: 12").unwrap();
        assert_eq!((head.status, head.length), (206, 12));
        parse_head(b"HTTP/1.1 200 OK\r\nServer: x").unwrap_err();
    }
}
