//! The text that a fuzzer's input is: what is uploaded, and what a server says to each request.
//!
//! ```text
//! len=100 part=40 at=2 stream checksum
//!
//! 201
//! location: /uploads/1
//!
//! lost
//!
//! 200
//! upload-offset: 40
//! |a body
//! ```

use bytehaul_providers::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;

/// The first paragraph.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup<'a> {
    pub(super) len: u64,
    pub(super) part: u64,
    pub(super) at_once: usize,
    words: &'a str,
}

impl Setup<'_> {
    /// Whether this word stands there.
    pub(super) fn says(&self, word: &str) -> bool {
        self.words.split_ascii_whitespace().any(|one| one == word)
    }
}

/// Every other paragraph: what becomes of a request.
#[derive(Debug)]
pub(super) enum Event {
    Answer {
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
        /// It came before the request was sent whole.
        early: bool,
    },
    Lost,
    Unsent,
    /// An answer to what was never asked.
    Stray,
    /// The user gives up.
    Abort,
}

/// Reads all of it; what makes no sense is left out.
pub(super) fn read(text: &[u8]) -> (Setup<'_>, Vec<Event>) {
    let mut lines = text.split(|byte| *byte == b'\n');
    let words = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let words = words.unwrap_or_default();
    let number = |name: &str| {
        let mut values = words
            .split_ascii_whitespace()
            .filter_map(|word| word.strip_prefix(name));
        values.next()?.parse::<u64>().ok()
    };
    let setup = Setup {
        len: number("len=").unwrap_or(10) % super::honest::LONGEST,
        part: number("part=").unwrap_or(4),
        at_once: usize::try_from(number("at=").unwrap_or(1) % 8).expect("below eight"),
        words,
    };
    let lines: Vec<&[u8]> = lines.collect();
    let paragraphs = lines.split(|line| line.is_empty());
    let events = paragraphs.filter_map(event).take(MOST_EVENTS);
    (setup, events.collect())
}

fn event(lines: &[&[u8]]) -> Option<Event> {
    let (first, rest) = lines.split_first()?;
    let mut words = first.split(u8::is_ascii_whitespace);
    let status = match words.next()? {
        b"lost" => return Some(Event::Lost),
        b"unsent" => return Some(Event::Unsent),
        b"stray" => return Some(Event::Stray),
        b"abort" => return Some(Event::Abort),
        // Interim answers never reach a session.
        number => StatusCode::from_bytes(number)
            .ok()
            .filter(|status| status.as_u16() >= 200)?,
    };
    let mut headers = HeaderMap::new();
    let mut body: Vec<&[u8]> = Vec::new();
    for line in rest {
        if let Some(text) = line.strip_prefix(b"|") {
            body.push(text);
            continue;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let value = line[colon + 1..].trim_ascii();
        let field = HeaderName::from_bytes(&line[..colon])
            .ok()
            .zip(HeaderValue::from_bytes(value).ok());
        if let Some((name, value)) = field {
            headers.append(name, value);
        }
    }
    Some(Event::Answer {
        status,
        headers,
        body: body.join(&b'\n').into(),
        early: words.next() == Some(b"early"),
    })
}

const MOST_EVENTS: usize = 100;
