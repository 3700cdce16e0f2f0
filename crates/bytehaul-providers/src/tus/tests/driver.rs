//! Drives a session to its end against a server in memory, through the mishaps that a script of bytes makes.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul_integrity::{Hasher, crc32c};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::script::is_retried;
use crate::{
    Answer, Available, Completed, DigestJob, Exchange, Fault, Left, Lost, Next, Object,
    ProtocolErrorKind, Saved, Step, UploadProtocol, UploadSession,
};

/// A request as it arrives.
pub(super) struct Request<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

impl Request<'_> {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        Some(self.header(name)?.parse().unwrap())
    }
}

/// What is answered.
#[derive(Clone, Default)]
pub(super) struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: &'static str,
}

impl Reply {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// A server in memory.
pub(super) trait Server {
    /// Answers. If the body was `cut` off, it keeps what came, and nobody hears the answer.
    fn handle(&mut self, request: &Request<'_>, cut: bool) -> Reply;

    /// Loses something that it had: some bytes, or an upload.
    fn lose(&mut self, choice: u8);

    /// The bytes of the object of this name, if it is complete.
    fn object(&self, location: &str) -> Option<Vec<u8>>;
}

/// What can go wrong, and how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Harm {
    /// Answers get lost, requests are refused and cut off, the process is killed.
    Network,
    /// The server loses bytes and uploads as well.
    Server,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum End {
    Done(Completed),
    Failed(ProtocolErrorKind),
}

/// The mishaps to come: one byte for each decision; when they are used up, all goes well.
pub(super) struct Script<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

impl<'a> Script<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes: bytes.iter(),
        }
    }

    fn next(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(FINE)
    }
}

/// Uploads `data`. When the script kills the process and `other` is there, that is the source from then on.
pub(super) fn run(
    protocol: &dyn UploadProtocol,
    object: &Object,
    data: &[u8],
    other: Option<&[u8]>,
    server: &mut dyn Server,
    harm: Harm,
    script: &[u8],
) -> End {
    let mut run = Run {
        data: data.to_vec(),
        stream: object.len.is_none(),
        until: if object.len.is_none() {
            0
        } else {
            data.len() as u64
        },
        in_flight: Vec::new(),
        script: Script::new(script),
        server,
        harm,
        steps: 0,
    };
    let mut other = other;
    let mut object = object.clone();
    let mut left = None;
    loop {
        let mut session = match protocol.open(&object, left.take()) {
            Ok(session) => session,
            Err(error) => return End::Failed(error.kind()),
        };
        match run.play(&mut *session, object.parallel) {
            Some(end) => return end,
            None => {
                let saved = serde_json::to_string(&session.saved()).unwrap();
                let saved: Saved = serde_json::from_str(&saved).unwrap();
                let changed = other.take();
                if let Some(changed) = changed {
                    run.data = changed.to_vec();
                    run.until = run.data.len() as u64;
                    object.len = object.len.map(|_| run.until);
                }
                left = Some(compare(saved, &run.data, changed.is_none()));
                run.in_flight.clear();
            }
        }
    }
}

/// What a driver makes of a checkpoint before it hands it to the protocol.
fn compare(mut saved: Saved, data: &[u8], unchanged: bool) -> Left {
    if !unchanged {
        saved.parts.retain(|part| {
            let range = part.offset as usize..part.end() as usize;
            let bytes = data.get(range);
            bytes.is_some_and(|bytes| part.crc32c == Some(crc32c(bytes)))
        });
    }
    Left::new(saved, unchanged)
}

enum Asked {
    Request(Box<Exchange>),
    Digest(DigestJob),
}

struct Run<'a> {
    data: Vec<u8>,
    stream: bool,
    until: u64,
    in_flight: Vec<Asked>,
    script: Script<'a>,
    server: &'a mut dyn Server,
    harm: Harm,
    steps: u32,
}

impl Run<'_> {
    /// Until the end, or `None` when the process is killed.
    fn play(&mut self, session: &mut dyn UploadSession, parallel: usize) -> Option<End> {
        loop {
            self.steps += 1;
            assert!(self.steps < 20_000, "it goes on for ever");
            let all = self.data.len() as u64;
            let available = Available {
                until: self.until,
                ended: self.until == all,
            };
            let room = self.in_flight.len() < parallel.max(1);
            let next = match room {
                true => session.next(available, now()),
                false => Ok(Next::Wait),
            };
            let acknowledged = session.acknowledged();
            assert!(acknowledged.prefix <= acknowledged.bytes);
            match next {
                Ok(Next::Send(exchange)) => self.in_flight.push(Asked::Request(exchange)),
                Ok(Next::Digest(job)) => self.in_flight.push(Asked::Digest(job)),
                Ok(Next::Done(done)) => return Some(End::Done(done)),
                Ok(Next::Wait) if !self.in_flight.is_empty() => {
                    if let Some(end) = self.one(session) {
                        return end;
                    }
                }
                Ok(Next::Wait) if self.stream && self.until < all => {
                    self.until = (self.until + 1 + u64::from(self.script.next())).min(all);
                }
                Ok(other) => panic!("{other:?} with nothing to wait for"),
                Err(error) => return Some(End::Failed(error.kind())),
            }
        }
    }

    /// Ends one of those in flight. `Some(None)`: the process is killed.
    fn one(&mut self, session: &mut dyn UploadSession) -> Option<Option<End>> {
        let choice = usize::from(self.script.next()) % self.in_flight.len();
        let exchange = match self.in_flight.swap_remove(choice) {
            Asked::Request(exchange) => exchange,
            Asked::Digest(job) => {
                if self.script.next().is_multiple_of(8) {
                    session.lost(job.id, Lost::Unsent);
                } else {
                    let mut hasher = Hasher::new(job.algorithm);
                    hasher.update(&self.data[usize_range(&job.range)]);
                    session.digested(job.id, hasher.finish());
                }
                return None;
            }
        };
        let id = exchange.id;
        let range = exchange.payload.source_range().unwrap_or_default();
        let mut body = self.data[usize_range(&range)].to_vec();
        assert_eq!(
            exchange.payload.segments.len() as u64 > 0,
            exchange.method != Method::HEAD
                && exchange.method != Method::OPTIONS
                && exchange.method != Method::DELETE,
            "{exchange:?}"
        );
        match self.script.next() % 16 {
            0 => {
                session.lost(id, Lost::Unsent);
                return None;
            }
            1 => {
                self.serve(&exchange, &body, false);
                session.lost(id, Lost::Unknown);
                return None;
            }
            2 => {
                let keep = usize::from(self.script.next()) % (body.len() + 1);
                self.serve(&exchange, &body[..keep], keep < body.len());
                session.lost(id, Lost::Unknown);
                return None;
            }
            3 => {
                let refused = [503, 500, 429, 423][usize::from(self.script.next()) % 4];
                return self.answer(session, &exchange, &Reply::new(refused), &body, &range);
            }
            4 => {
                self.serve(&exchange, &body, false);
                return Some(None);
            }
            5 => return Some(None),
            6 if self.harm == Harm::Server => self.server.lose(self.script.next()),
            // Damaged on the way, which a server finds only if it was told the digest.
            7 if exchange.headers.contains_key("upload-checksum") && !body.is_empty() => {
                body[0] ^= 1;
            }
            _ => (),
        }
        let reply = self.serve(&exchange, &body, false);
        self.answer(session, &exchange, &reply, &body, &range)
    }

    fn serve(&mut self, exchange: &Exchange, body: &[u8], cut: bool) -> Reply {
        assert_eq!(exchange.url.host_str(), Some("h"));
        let request = Request {
            method: &exchange.method,
            path: exchange.url.path(),
            headers: &exchange.headers,
            body,
        };
        self.server.handle(&request, cut)
    }

    fn answer(
        &self,
        session: &mut dyn UploadSession,
        exchange: &Exchange,
        reply: &Reply,
        body: &[u8],
        range: &Range<u64>,
    ) -> Option<Option<End>> {
        let status = StatusCode::from_u16(reply.status).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in &reply.headers {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::try_from(value).unwrap(),
            );
        }
        let payload = match exchange.method {
            Method::HEAD => Bytes::new(),
            _ => Bytes::from_static(reply.body.as_bytes()),
        };
        let sent = range.end - range.start;
        assert_eq!(
            sent > 0,
            matches!(exchange.step, Step::Part { .. }) && !body.is_empty()
        );
        let crc = crc32c(&self.data[usize_range(range)]);
        let answer = Answer::new(status, &headers, &payload, &exchange.url).sent(sent, Some(crc));
        let end = match session.answered(exchange.id, &answer, now()) {
            Ok(()) => return None,
            Err(Fault::Fatal(error)) => End::Failed(error.kind()),
            Err(Fault::Status) if !is_retried(status) => {
                End::Failed(ProtocolErrorKind::Status(status))
            }
            Err(Fault::Status | Fault::Again(_) | Fault::Now(_)) => {
                session.lost(exchange.id, Lost::Refused(status));
                return None;
            }
        };
        Some(Some(end))
    }
}

fn usize_range(range: &Range<u64>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000)
}

/// A decision for nothing special.
const FINE: u8 = 15;
