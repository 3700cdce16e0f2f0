//! Just enough HTTP/1.1 to ask a well-behaved server for a file, or to give it one.

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

/// The status of an answer to an upload, and where it says that something is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Taken {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
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
        self.send_bytes(request.as_bytes())
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn read_head(&mut self) -> io::Result<Head> {
        parse_head(&self.head()?)
    }

    /// The answer to an upload; its body is thrown away.
    pub(crate) fn answer(&mut self) -> io::Result<Taken> {
        let head = self.head()?;
        let (taken, length) = parse_taken(&head)?;
        let mut left = vec![0; length];
        while !left.is_empty() {
            let size = self.read(&mut left)?;
            left.truncate(left.len() - size);
        }
        Ok(taken)
    }

    /// The bytes of a head, without the blank line at its end.
    fn head(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                let mut head: Vec<u8> = self.ahead.drain(..end + 4).collect();
                head.truncate(end);
                return Ok(head);
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

/// The answer, and the length of its body.
fn parse_taken(head: &[u8]) -> io::Result<(Taken, usize)> {
    let text = String::from_utf8_lossy(head);
    let field = |name: &str| {
        let mut lines = text.split("\r\n").filter_map(|line| line.split_once(':'));
        let line = lines.find(|(other, _)| other.eq_ignore_ascii_case(name));
        line.map(|(_, value)| value.trim().to_owned())
    };
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    let length = field("content-length").map_or(Ok(0), |length| length.parse());
    let taken = Taken {
        status: status.ok_or_else(|| invalid("status line"))?,
        location: field("location"),
    };
    Ok((taken, length.map_err(|_| invalid("content-length"))?))
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

    #[test]
    fn answers_to_uploads() {
        let check = |head: &str, status: u16, location: Option<&str>, length: usize| {
            let location = location.map(str::to_owned);
            let taken = parse_taken(head.as_bytes()).unwrap();
            assert_eq!(taken, (Taken { status, location }, length), "{head}");
        };
        check("HTTP/1.1 204 No Content", 204, None, 0);
        check(
            "HTTP/1.1 201 Created\r\nLOCATION: http://h/Files/A\r\ncontent-length: 7",
            201,
            Some("http://h/Files/A"),
            7,
        );
        parse_taken(b"HTTP/1.1 200 OK\r\nContent-Length: x").unwrap_err();
    }
}
