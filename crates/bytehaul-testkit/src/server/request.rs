//! How a request head is read from the wire: line, headers, and the one byte range that it may ask for.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A request head as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Request {
    /// Reads one head from `stream`, leaving what follows it in `buffer`. `None` when the peer closed between two requests.
    pub(super) async fn read(
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut Vec<u8>,
    ) -> io::Result<Option<Self>> {
        loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = Self::parse(&buffer[..end]);
                buffer.drain(..end + 4);
                return head.map(Some);
            }
            if buffer.len() > MAX_HEAD {
                return Err(invalid("request head too long"));
            }
            if stream.read_buf(buffer).await? == 0 {
                return if buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    fn parse(head: &[u8]) -> io::Result<Self> {
        let head = String::from_utf8_lossy(head);
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().splitn(3, ' ');
        let (Some(method), Some(target), Some(version)) =
            (words.next(), words.next(), words.next())
        else {
            return Err(invalid("request line"));
        };
        if !version.starts_with("HTTP/1.") {
            return Err(invalid("protocol version"));
        }
        let headers = lines
            .map(|line| line.split_once(':').ok_or_else(|| invalid("header line")))
            .map(|line| line.map(|(name, value)| (name.to_owned(), value.trim().to_owned())))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
        })
    }

    pub(super) fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(self.target.as_str(), |(path, _)| path)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub(super) fn range(&self) -> Option<RequestedRange> {
        self.header("range").and_then(RequestedRange::parse)
    }

    pub(super) fn body_len(&self) -> u64 {
        self.header("content-length")
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    }

    pub(super) fn wants_close(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// The single byte range of a `Range` header (RFC 9110, section 14.1.2). Several ranges are not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedRange {
    /// From this byte to the end.
    From(u64),
    /// From the first to the last byte, both included.
    Span(u64, u64),
    /// The last so many bytes.
    Last(u64),
}

impl RequestedRange {
    /// Reads `bytes=a-b`, `bytes=a-` or `bytes=-n`; anything else is `None`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
        match (first, last) {
            ("", suffix) => suffix.parse().ok().map(Self::Last),
            (first, "") => first.parse().ok().map(Self::From),
            (first, last) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                (first <= last).then_some(Self::Span(first, last))
            }
        }
    }

    /// First and one-past-last byte within an object of `len` bytes; `None` when nothing of it is there.
    #[must_use]
    pub fn within(self, len: u64) -> Option<std::ops::Range<u64>> {
        let range = match self {
            Self::From(first) => first..len,
            Self::Span(first, last) => first..last.saturating_add(1).min(len),
            Self::Last(count) => len.saturating_sub(count)..len,
        };
        (range.start < range.end).then_some(range)
    }

    pub(super) fn start(self) -> Option<u64> {
        match self {
            Self::From(first) | Self::Span(first, _) => Some(first),
            Self::Last(_) => None,
        }
    }
}

pub(super) fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const MAX_HEAD: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |text: &str, len: u64, expected: Option<(u64, u64)>| {
            let range = RequestedRange::parse(text).and_then(|range| range.within(len));
            assert_eq!(
                range.map(|range| (range.start, range.end)),
                expected,
                "{text} of {len}"
            );
        };
        check("bytes=0-0", 10, Some((0, 1)));
        check("bytes=3-", 10, Some((3, 10)));
        check("bytes=3-99", 10, Some((3, 10)));
        check("bytes=-4", 10, Some((6, 10)));
        check("bytes=-40", 10, Some((0, 10)));
        check("bytes=10-", 10, None);
        check("bytes=0-", 0, None);
        check("bytes=5-4", 10, None);
        check("bytes=0-1,4-5", 10, None);
        check("lines=0-1", 10, None);
        check("bytes=0-18446744073709551615", 10, Some((0, 10)));
    }

    #[tokio::test]
    async fn two_heads_in_one_segment() {
        let mut wire: &[u8] =
            b"GET /a?q=1 HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2\r\n\r\nHEAD /b HTTP/1.1\r\n\r\n";
        let mut buffer = Vec::new();
        let first = Request::read(&mut wire, &mut buffer)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (first.method.as_str(), first.path(), first.header("HOST")),
            ("GET", "/a", Some("x"))
        );
        assert_eq!(first.range(), Some(RequestedRange::Span(1, 2)));
        let second = Request::read(&mut wire, &mut buffer)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (second.method.as_str(), second.target.as_str()),
            ("HEAD", "/b")
        );
        assert!(
            Request::read(&mut wire, &mut buffer)
                .await
                .unwrap()
                .is_none()
        );
        let mut torn: &[u8] = b"GET /a HT";
        Request::read(&mut torn, &mut buffer).await.unwrap_err();
    }
}
