//! A driver for tests: plays a session against a server that is a function, with the retries that drivers make.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul_integrity::{Hasher, crc32c};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::{
    Acknowledged, Answer, Available, Completed, Exchange, Fault, Left, Lost, Next, Object,
    ProtocolError, ProtocolErrorKind, Saved, Segment, Step, UploadProtocol, UploadSession,
};

/// A request as a server sees it.
pub(crate) struct Seen {
    pub(crate) step: Step,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Which bytes of the source are in the body.
    pub(crate) source: Option<Range<u64>>,
    pub(crate) expect: bool,
    pub(crate) chunked: bool,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What a server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Play {
    Answer(u16, Vec<(String, String)>, Bytes),
    Lost(Lost),
    /// This status before anything of the body was sent.
    Early(u16),
    /// The client dies before it hears anything, and a new one takes up what was saved at the last report.
    Crash,
}

impl Play {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), Bytes::new())
    }

    pub(crate) fn body(status: u16, body: impl Into<Bytes>) -> Self {
        Self::Answer(status, Vec::new(), body.into())
    }

    /// `lost`, `unsent`, `crash`, `early STATUS`, or a status, fields as `[name: value]`, and a body.
    pub(crate) fn parse(text: &str) -> Self {
        let (first, mut rest) = text.split_once(' ').unwrap_or((text, ""));
        match first {
            "lost" => return Self::Lost(Lost::Unknown),
            "unsent" => return Self::Lost(Lost::Unsent),
            "crash" => return Self::Crash,
            "early" => return Self::Early(rest.parse().unwrap()),
            _ => (),
        }
        let mut headers = Vec::new();
        while let Some((field, behind)) = rest
            .strip_prefix('[')
            .and_then(|field| field.split_once(']'))
        {
            let Some((name, value)) = field.split_once(": ") else {
                break;
            };
            headers.push((name.to_owned(), value.to_owned()));
            rest = behind.trim_start();
        }
        Self::Answer(first.parse().unwrap(), headers, rest.to_owned().into())
    }
}

/// Status, fields and body of an answer, and which bytes of the source were sent for it.
type Reported<'a> = (
    StatusCode,
    &'a [(String, String)],
    &'a Bytes,
    Option<Range<u64>>,
);

/// How it ended.
#[derive(Debug)]
pub(crate) enum End {
    Done(Completed),
    Failed(ProtocolError),
    /// No try is left.
    GaveUp,
    Aborted,
}

impl End {
    /// `done PAYLOAD`, `failed KIND`, `gave up` or `aborted`.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Done(completed) => match &completed.payload {
                Some(payload) => format!("done {:?}", String::from_utf8_lossy(payload)),
                None => "done".to_owned(),
            },
            Self::Failed(error) => match error.kind() {
                ProtocolErrorKind::Status(status) => format!("failed {}", status.as_u16()),
                kind => format!("failed {kind:?}"),
            },
            Self::GaveUp => "gave up".to_owned(),
            Self::Aborted => "aborted".to_owned(),
        }
    }
}

/// One upload, driven to its end.
pub(crate) struct Driven<'a> {
    pub(crate) protocol: &'a dyn UploadProtocol,
    pub(crate) object: Object,
    pub(crate) source: &'a [u8],
    pub(crate) left: Option<Left>,
    /// Tries of one step, at least 1.
    pub(crate) tries: u32,
    /// The session is told to discard what it staged before the request of this number, counted from 0.
    pub(crate) abort_before: Option<usize>,
}

impl<'a> Driven<'a> {
    pub(crate) fn new(protocol: &'a dyn UploadProtocol, source: &'a [u8]) -> Self {
        Self {
            protocol,
            object: Object::new("file.bin", Some(source.len() as u64)),
            source,
            left: None,
            tries: 4,
            abort_before: None,
        }
    }

    /// Runs it; gives what was acknowledged and saved last as well.
    pub(crate) fn run(
        mut self,
        mut server: impl FnMut(&Seen) -> Play,
    ) -> (End, Acknowledged, Saved) {
        let mut tries: HashMap<Step, u32> = HashMap::new();
        let mut session = self.protocol.open(&self.object, self.left.take()).unwrap();
        let mut kept = session.saved();
        let mut requests = 0;
        let mut stalled = 0;
        let mut available = match self.object.len {
            Some(len) => until(len, true),
            None => until(0, false),
        };
        let end = loop {
            let now = self.now(requests);
            if self.abort_before.take_if(|at| *at == requests).is_some() {
                session.abort();
            }
            let exchange = match session.next(available, now) {
                Err(error) => break End::Failed(error),
                Ok(Next::Done(completed)) => break End::Done(completed),
                Ok(Next::Aborted) => break End::Aborted,
                Ok(Next::Call(call)) => panic!("no calls here: {call:?}"),
                Ok(Next::Wait) => {
                    // Nothing is in flight, so only more of the source can help.
                    stalled += 1;
                    assert!(stalled < 2, "waits for nothing");
                    available = until(self.source.len() as u64, true);
                    continue;
                }
                Ok(Next::Digest(job)) => {
                    let bytes = &self.source[job.range.start as usize..job.range.end as usize];
                    session.digested(job.id, Hasher::digest(job.algorithm, bytes));
                    continue;
                }
                Ok(Next::Send(exchange)) => *exchange,
            };
            requests += 1;
            assert!(requests < 2000, "goes round in circles");
            let seen = self.seen(&exchange);
            available.until = available
                .until
                .max(seen.source.as_ref().map_or(0, |range| range.end));
            // Drivers save before something is sent that a server may keep.
            if session.saved().stage != kept.stage {
                kept = session.saved();
            }
            let mut sent = seen.source.clone();
            let play = match server(&seen) {
                Play::Early(status) => {
                    sent = sent.map(|range| range.start..range.start);
                    Play::status(status)
                }
                other => other,
            };
            let lost = match play {
                Play::Crash => {
                    let text = serde_json::to_string(&kept).unwrap();
                    let left = Left::new(self.proved(serde_json::from_str(&text).unwrap()), true);
                    session = self.protocol.open(&self.object, Some(left)).unwrap();
                    continue;
                }
                Play::Lost(how) => how,
                Play::Early(_) => unreachable!("made an answer above"),
                Play::Answer(status, fields, body) => {
                    let status = StatusCode::from_u16(status).unwrap();
                    available.ended |= seen.chunked && sent == seen.source;
                    let reported = (status, &*fields, &body, sent);
                    match self.report(&mut *session, &exchange, reported, now) {
                        Ok(()) => {
                            self.check(&*session);
                            kept = session.saved();
                            continue;
                        }
                        Err(Fault::Fatal(error)) => break End::Failed(error),
                        Err(Fault::Status) if !retried(status) => {
                            let kind = ProtocolErrorKind::Status(status);
                            break End::Failed(ProtocolError::new(kind, "refused"));
                        }
                        Err(Fault::Status | Fault::Again(_) | Fault::Now(_)) => {
                            Lost::Refused(status)
                        }
                    }
                }
            };
            let count = tries.entry(exchange.step.clone()).or_default();
            *count += 1;
            if *count >= self.tries {
                break End::GaveUp;
            }
            session.lost(exchange.id, lost);
            self.check(&*session);
            kept = session.saved();
        };
        (end, session.acknowledged(), session.saved())
    }

    /// The driver's share of a resume: parts whose bytes are others by now are not handed on.
    pub(crate) fn proved(&self, mut saved: Saved) -> Saved {
        saved.parts.retain(|part| {
            let bytes = self.source.get(part.offset as usize..part.end() as usize);
            bytes.is_some_and(|bytes| part.crc32c.is_none_or(|crc| crc == crc32c(bytes)))
        });
        saved
    }

    fn now(&self, requests: usize) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000 + requests as u64)
    }

    fn seen(&self, exchange: &Exchange) -> Seen {
        let mut body = Vec::new();
        let mut source = None;
        for segment in &exchange.payload.segments {
            let range = match segment {
                Segment::Bytes(bytes) => {
                    body.extend_from_slice(bytes);
                    continue;
                }
                Segment::Source(range) => range.clone(),
                Segment::Rest(from) => *from..self.source.len() as u64,
            };
            body.extend_from_slice(&self.source[range.start as usize..range.end as usize]);
            assert!(source.replace(range).is_none(), "two ranges in one body");
        }
        let shown = format!("{exchange:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        Seen {
            step: exchange.step.clone(),
            method: exchange.method.clone(),
            headers: exchange.headers.clone(),
            body,
            source,
            expect: exchange.expect_continue,
            chunked: exchange.payload.len().is_none(),
        }
    }

    fn report(
        &self,
        session: &mut dyn UploadSession,
        exchange: &Exchange,
        (status, fields, body, sent): Reported<'_>,
        now: SystemTime,
    ) -> Result<(), Fault> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut answer = Answer::new(status, &headers, body, &exchange.url);
        if let Some(range) = sent {
            let bytes = &self.source[range.start as usize..range.end as usize];
            answer = answer.sent(bytes.len() as u64, Some(crc32c(bytes)));
        }
        // An answer to something that was never asked must change nothing.
        let before = session.saved();
        let _ = session.answered(crate::ExchangeId(u64::MAX), &answer, now);
        assert_eq!(session.saved(), before);
        session.answered(exchange.id, &answer, now)
    }

    /// What holds of a session at any time.
    fn check(&self, session: &dyn UploadSession) {
        let len = self.source.len() as u64;
        let Acknowledged { prefix, bytes } = session.acknowledged();
        assert!(prefix <= bytes && bytes <= len, "{prefix} {bytes} {len}");
        let saved = session.saved();
        assert_eq!(
            self.proved(saved.clone()),
            saved,
            "a receipt is of other bytes"
        );
    }
}

fn until(until: u64, ended: bool) -> Available {
    Available { until, ended }
}

fn retried(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 401 | 403 | 408 | 425 | 429)
}
