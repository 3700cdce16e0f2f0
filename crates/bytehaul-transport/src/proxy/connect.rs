//! The `CONNECT` request and the head that answers it (RFC 9110 section 9.3.6).

use http::StatusCode;
use http::header::HeaderValue;

use super::refusal::{Refusal, printable};
use super::tunnel::Step;
use crate::{ErrorKind, Origin};

/// The talk with an HTTP proxy.
#[derive(Debug)]
pub(super) struct Connect {
    request: Option<Vec<u8>>,
    head: Vec<u8>,
    /// Bytes of interim responses (1xx) before this head.
    before: usize,
}

impl Connect {
    pub(super) fn new(origin: &Origin, authorization: Option<&HeaderValue>) -> Self {
        let target = format!("{}:{}", origin.host(), origin.port());
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(value) = authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        Self {
            request: Some(request),
            head: Vec::new(),
            before: 0,
        }
    }

    /// Takes no byte beyond the end of the head: what follows is the host's.
    pub(super) fn step(&mut self, received: &[u8]) -> Result<Step, Refusal> {
        if let Some(request) = self.request.take() {
            return Ok(Step::Send(request));
        }
        self.head.extend_from_slice(received);
        let known = self.head.len().min(PREFIX.len());
        if self.head[..known] != PREFIX[..known] {
            let said = format!("it answered `{}`", printable(&self.head));
            return Err(Refusal::new(ErrorKind::ProxyProtocol, said));
        }
        if !self.head.ends_with(b"\n\n") && !self.head.ends_with(b"\n\r\n") {
            return self.more();
        }
        let (status, reason) = status_line(&self.head)?;
        if status.is_success() {
            return Ok(Step::Open);
        }
        if !status.is_informational() {
            return Err(Refusal::status(status, reason));
        }
        self.before += self.head.len();
        self.head.clear();
        self.more()
    }

    /// The least that the head can still be long.
    fn more(&self) -> Result<Step, Refusal> {
        if self.before + self.head.len() >= MAX_HEAD {
            let said = format!("its answer is longer than {} KiB", MAX_HEAD >> 10);
            return Err(Refusal::new(ErrorKind::ProxyProtocol, said));
        }
        let needed = match &self.head[..] {
            [] => PREFIX.len(),
            [.., b'\n'] | [.., b'\n', b'\r'] => 1,
            _ => 2,
        };
        Ok(Step::Receive(needed))
    }
}

/// Reads `HTTP/1.1 200 reason` (RFC 9112 section 4); the fields that follow have no say in a `CONNECT`.
fn status_line(head: &[u8]) -> Result<(StatusCode, &[u8]), Refusal> {
    let end = head
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(head.len());
    let line = head[..end].strip_suffix(b"\r").unwrap_or(&head[..end]);
    let status = match line {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'0'..=b'9',
            b' ',
            code @ ..,
        ] => code,
        _ => &[],
    };
    let (code, reason) = match status.split_at_checked(3) {
        Some((code, [])) => (code, &[][..]),
        Some((code, [b' ', reason @ ..])) => (code, reason),
        Some(_) | None => (&[][..], &[][..]),
    };
    match StatusCode::from_bytes(code) {
        Ok(status) => Ok((status, reason)),
        Err(_) => {
            let said = format!("it answered `{}`", printable(line));
            Err(Refusal::new(ErrorKind::ProxyProtocol, said))
        }
    }
}

const PREFIX: &[u8] = b"HTTP/";
const MAX_HEAD: usize = 64 << 10;
