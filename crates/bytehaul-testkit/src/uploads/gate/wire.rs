//! Heads and bodies of HTTP/1.1, read just far enough to know where a message ends.

use std::io::{self, BufRead, Read};

/// The head of a request or an answer, with its bytes as they came.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    /// Of a request; the version of an answer.
    pub(super) method: String,
    /// Of a request; the status of an answer.
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Head {
    /// Reads up to the empty line. `None` when the peer closed before the first byte.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let line = line(from, MAX_HEAD - bytes.len().min(MAX_HEAD))?;
            if line.is_empty() && bytes.is_empty() {
                return Ok(None);
            }
            if line.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend(line);
        }
        Self::parse(&bytes).map(Some)
    }

    pub(super) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().splitn(3, ' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(invalid("first line"));
        };
        let headers = lines
            .take_while(|line| !line.is_empty())
            .map(|line| line.split_once(':').ok_or_else(|| invalid("header line")))
            .map(|line| line.map(|(name, value)| (name.to_owned(), value.trim().to_owned())))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            bytes: bytes.to_owned(),
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
        })
    }

    pub(super) fn status(&self) -> io::Result<u16> {
        self.target.parse().map_err(|_| invalid("status"))
    }

    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.header(name)
            .is_some_and(|it| it.eq_ignore_ascii_case(value))
    }

    /// `Content-Length` as it is told; 0 where it is not.
    pub(super) fn length(&self) -> u64 {
        let told = self.header("content-length");
        told.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// How long the body of a request is.
    pub(super) fn request_body(&self) -> io::Result<Framing> {
        Ok(self.framing()?.unwrap_or(Framing::Length(0)))
    }

    /// How long the body of an answer to `method` is (RFC 9112, section 6.3).
    pub(super) fn answer_body(&self, method: &str) -> io::Result<Framing> {
        let none = method == "HEAD" || matches!(self.status()?, 100..200 | 204 | 304);
        if none {
            return Ok(Framing::Length(0));
        }
        Ok(self.framing()?.unwrap_or(Framing::UntilClosed))
    }

    fn framing(&self) -> io::Result<Option<Framing>> {
        if self.has("transfer-encoding", "chunked") {
            return Ok(Some(Framing::Chunked));
        }
        let length = self.header("content-length").map(str::parse);
        let length = length.transpose().map_err(|_| invalid("Content-Length"))?;
        Ok(length.map(Framing::Length))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(found)
            .map(|(_, value)| value.as_str())
    }
}

/// What says where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClosed,
}

/// A stretch of a body on its way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'a> {
    /// Bytes of the content.
    Content(&'a [u8]),
    /// Sizes of chunks, trailers and line ends.
    Framing(&'a [u8]),
}

/// Reads a whole body and hands it on as it comes.
pub(super) fn body(
    from: &mut impl BufRead,
    framing: Framing,
    mut each: impl FnMut(Piece<'_>) -> io::Result<()>,
) -> io::Result<()> {
    match framing {
        Framing::Length(length) => content(from, length, &mut each),
        Framing::UntilClosed => match content(from, u64::MAX, &mut each) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            outcome => outcome,
        },
        Framing::Chunked => loop {
            let size = line(from, MAX_LINE)?;
            each(Piece::Framing(&size))?;
            let text = String::from_utf8_lossy(&size);
            let digits = text.split(';').next().unwrap_or_default().trim();
            let length = u64::from_str_radix(digits, 16).map_err(|_| invalid("chunk size"))?;
            content(from, length, &mut each)?;
            loop {
                // After a chunk this is its line end; after the last one trailers come before it.
                let line = line(from, MAX_LINE)?;
                each(Piece::Framing(&line))?;
                if line.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if line == b"\r\n" {
                    break;
                }
            }
            if length == 0 {
                return Ok(());
            }
        },
    }
}

fn content(
    from: &mut impl BufRead,
    mut left: u64,
    each: &mut impl FnMut(Piece<'_>) -> io::Result<()>,
) -> io::Result<()> {
    while left > 0 {
        let there = from.fill_buf()?;
        if there.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(there.len());
        each(Piece::Content(&there[..taken]))?;
        from.consume(taken);
        left -= taken as u64;
    }
    Ok(())
}

/// One line with its end; empty when the peer closed.
fn line(from: &mut impl BufRead, most: usize) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.take(most as u64).read_until(b'\n', &mut line)?;
    if line.len() == most {
        return Err(invalid("line too long"));
    }
    Ok(line)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const MAX_HEAD: usize = 256 << 10;
const MAX_LINE: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_body_ends() {
        let check = |framing, wire: &str, expected: Option<&str>| {
            let mut from = wire.as_bytes();
            let mut content = Vec::new();
            let outcome = body(&mut from, framing, |piece| {
                if let Piece::Content(bytes) = piece {
                    content.extend_from_slice(bytes);
                }
                Ok(())
            });
            let read = outcome.is_ok().then(|| {
                let rest = String::from_utf8_lossy(from);
                format!("{}|{rest}", String::from_utf8_lossy(&content))
            });
            assert_eq!(read.as_deref(), expected, "{wire:?}");
        };
        check(Framing::Length(3), "abcdef", Some("abc|def"));
        check(Framing::Length(0), "abc", Some("|abc"));
        check(Framing::Length(4), "abc", None);
        check(Framing::UntilClosed, "abc", Some("abc|"));
        let chunks = "3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nnext";
        check(Framing::Chunked, chunks, Some("abc0123456789|next"));
        check(Framing::Chunked, "0\r\nA: b\r\n\r\nnext", Some("|next"));
        check(Framing::Chunked, "3\r\nabc\r\n", None);
        check(Framing::Chunked, "zz\r\n", None);
    }

    #[test]
    fn which_framing() {
        let check = |method: &str, head: &str, expected| {
            let head = Head::parse(head.as_bytes()).unwrap();
            assert_eq!(head.answer_body(method).unwrap(), expected, "{head:?}");
        };
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        check("GET", ok, Framing::Length(5));
        check("HEAD", ok, Framing::Length(0));
        check("GET", "HTTP/1.1 204 No\r\n\r\n", Framing::Length(0));
        check("PATCH", "HTTP/1.1 104 Go\r\n\r\n", Framing::Length(0));
        check("GET", "HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClosed);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check("GET", chunked, Framing::Chunked);
    }
}
