//! A driver that keeps the contract, before a server that says whatever the fuzzer likes.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::time::SystemTime;

use bytehaul_integrity::{Hasher, crc32c};
use bytehaul_providers::http::{HeaderMap, Method, StatusCode};
use bytehaul_providers::{
    Answer, Available, Exchange, ExchangeId, Fault, Left, Lost, Next, Object, ProtocolErrorKind,
    Saved, Stage, Step, UploadProtocol, UploadSession,
};
use bytes::Bytes;

use super::honest::{self, Honest, number, source};
use super::script::{Event, Setup};
use super::{SECRET, takes_streams};

pub(super) struct Liar {
    session: Box<dyn UploadSession>,
    honest: Honest,
    len: u64,
    /// Bytes of the source that can be read by now.
    until: u64,
    at_once: usize,
    in_flight: BTreeMap<ExchangeId, Exchange>,
    seen: HashSet<ExchangeId>,
    /// The largest append that the draft's server has allowed, where it said so beyond doubt.
    most: Option<u64>,
    over: Option<Over>,
    aborted: bool,
    successes: usize,
    understood: Option<bool>,
    /// Whether the token is the name of a host, which may be shown.
    in_host: bool,
    now: SystemTime,
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Over {
    Done,
    Aborted,
    Failed,
}

impl Liar {
    pub(super) fn new(protocol: &dyn UploadProtocol, honest: Honest, setup: &Setup<'_>) -> Self {
        let stream = setup.says("stream") && takes_streams(protocol);
        let mut object = Object::new("source.bin", (!stream).then_some(setup.len));
        object.part_size = Some(setup.part);
        object.parallel = setup.at_once.max(1);
        let session = protocol.open(&object, None);
        let mut liar = Self {
            session: session.expect("the protocol takes this object"),
            honest,
            len: setup.len,
            until: if stream { 0 } else { setup.len },
            at_once: setup.at_once.max(1),
            in_flight: BTreeMap::new(),
            seen: HashSet::new(),
            most: None,
            over: None,
            aborted: false,
            successes: 0,
            understood: None,
            in_host: false,
            now: SystemTime::UNIX_EPOCH,
        };
        liar.launch();
        liar
    }

    /// Whether nothing follows.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Whether the last answer was understood, as far as that is known.
    pub(super) fn understood(&self) -> Option<bool> {
        self.understood
    }

    /// Lets the server do this to the oldest request.
    pub(super) fn suffer(&mut self, event: &Event) {
        self.understood = None;
        if self.over.is_some() {
            return;
        }
        let oldest = self.in_flight.keys().next().copied();
        match event {
            Event::Abort => {
                self.in_flight.clear();
                self.session.abort();
                self.aborted = true;
            }
            Event::Stray => self.stray(),
            Event::Lost | Event::Unsent | Event::Answer { .. } => {
                let oldest = oldest.expect("something is on its way");
                let exchange = self.in_flight.remove(&oldest).expect("it is on its way");
                match event {
                    Event::Answer {
                        status,
                        headers,
                        body,
                        early,
                    } => {
                        self.answer(&exchange, *status, headers, body, *early);
                    }
                    Event::Unsent => self.session.lost(oldest, Lost::Unsent),
                    _ => self.session.lost(oldest, Lost::Unknown),
                }
            }
        }
        self.check();
        self.launch();
        self.check();
    }

    /// Nothing that was not asked for changes anything.
    fn stray(&mut self) {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        let url = super::CREATION.parse().expect("a URL");
        let before = self.session.saved();
        let stranger = ExchangeId(u64::MAX);
        let answer = Answer::new(StatusCode::OK, &headers, &body, &url);
        let taken = self.session.answered(stranger, &answer, self.now);
        assert!(taken.is_ok(), "{taken:?}");
        self.session.lost(stranger, Lost::Unknown);
        assert_eq!(self.session.saved(), before);
    }

    fn answer(
        &mut self,
        exchange: &Exchange,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
        early: bool,
    ) {
        let range = exchange.payload.source_range().unwrap_or(0..0);
        let size = range.end - range.start;
        let sent = if early { size / 2 } else { size };
        let crc = crc32c(&source(range.start..range.start + sent));
        let answer = Answer::new(status, headers, body, &exchange.url);
        let answer = answer.sent(sent, (sent > 0).then_some(crc));
        self.note_limit(exchange, headers);
        self.successes += usize::from(status.is_success());
        let how = Lost::Refused(status);
        let taken = self.session.answered(exchange.id, &answer, self.now);
        if let Err(fault) = &taken {
            self.hides(&format!("{fault:?}"));
        }
        self.understood = match &taken {
            Ok(()) => Some(true),
            Err(Fault::Fatal(error)) if error.kind() == ProtocolErrorKind::Parse => Some(false),
            // Understood, and found impossible.
            Err(Fault::Fatal(error)) if error.kind() == ProtocolErrorKind::Range => Some(true),
            Err(_) => None,
        };
        match taken {
            Ok(()) => (),
            Err(Fault::Fatal(_)) => self.over = Some(Over::Failed),
            Err(Fault::Status) if !is_tried_again(status) => self.over = Some(Over::Failed),
            Err(_) => self.session.lost(exchange.id, how),
        }
    }

    /// Takes what the session wants, until it waits.
    fn launch(&mut self) {
        for _ in 0..MOST_WANTS {
            if self.over.is_some() || self.in_flight.len() >= self.at_once {
                return;
            }
            let available = Available {
                until: self.until,
                ended: self.until == self.len,
            };
            match self.session.next(available, self.now) {
                Ok(Next::Send(exchange)) => self.send(*exchange),
                Ok(Next::Digest(job)) => {
                    assert!(self.seen.insert(job.id), "{:?} is used twice", job.id);
                    let bytes = source(job.range);
                    self.session
                        .digested(job.id, Hasher::digest(job.algorithm, &bytes));
                }
                Ok(Next::Done(completed)) => {
                    self.hides(&format!("{completed:?}"));
                    assert!(self.successes > 0, "complete, and nobody said so");
                    let acknowledged = self.session.acknowledged();
                    assert_eq!(
                        (acknowledged.prefix, acknowledged.bytes),
                        (self.len, self.len)
                    );
                    self.over = Some(Over::Done);
                }
                Ok(Next::Aborted) => {
                    assert!(self.aborted, "nobody wanted to discard it");
                    self.over = Some(Over::Aborted);
                }
                Ok(Next::Wait) if self.until < self.len => {
                    self.until = self.len.min(self.until + GROWTH);
                }
                Ok(Next::Wait) => {
                    assert!(
                        !self.in_flight.is_empty(),
                        "it waits, and nothing is on its way"
                    );
                    return;
                }
                Ok(next) => panic!("{next:?}"),
                Err(error) => {
                    self.hides(&format!("{error} {error:?}"));
                    self.over = Some(Over::Failed);
                }
            }
        }
        panic!("it wants {MOST_WANTS} things at once");
    }

    fn send(&mut self, exchange: Exchange) {
        assert!(
            self.seen.insert(exchange.id),
            "{:?} is used twice",
            exchange.id
        );
        let shown = format!("{exchange:?}");
        // The server may give its secrets away.
        let host = exchange.url.host_str().unwrap_or_default();
        self.in_host |= host.contains(SECRET);
        self.hides(&shown);
        if self.aborted {
            assert_eq!(exchange.step, Step::Abort, "{shown}");
        }
        if let Some(range) = exchange.payload.source_range() {
            let Range { start, end } = range;
            assert!(
                start < end && end <= self.until,
                "{start}..{end} of {}",
                self.until
            );
            let Step::Part { range: told, .. } = &exchange.step else {
                panic!("{shown} carries bytes");
            };
            assert_eq!(*told, start..end);
            let appends = exchange.method == Method::PATCH && self.session.saved().extra.is_empty();
            if appends {
                assert_eq!(number(&exchange, "upload-offset"), Some(start), "{shown}");
            }
            if let (Honest::Draft, Some(most)) = (self.honest, self.most) {
                assert!(end - start <= most, "{} of at most {most}", end - start);
            }
        }
        self.in_flight.insert(exchange.id, exchange);
    }

    fn hides(&self, shown: &str) {
        assert!(self.in_host || !shown.contains(SECRET), "{shown}");
    }

    /// Limits in the plainest form alone: what else there is may or may not be one.
    fn note_limit(&mut self, exchange: &Exchange, headers: &HeaderMap) {
        if exchange.method == Method::POST {
            self.most = None;
        }
        let mut lines = headers.get_all("upload-limit").iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            self.most = None;
            return;
        };
        let digits = line
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix("max-append-size="));
        let plain = digits
            .filter(|digits| digits.len() < 15 && digits.bytes().all(|byte| byte.is_ascii_digit()));
        self.most = plain.and_then(|digits| digits.parse().ok());
    }

    /// What holds at any time.
    fn check(&self) {
        let acknowledged = self.session.acknowledged();
        assert!(
            acknowledged.prefix <= acknowledged.bytes && acknowledged.bytes <= self.len,
            "{acknowledged:?} of {}",
            self.len
        );
        let saved = self.session.saved();
        assert_eq!(saved.stage, self.session.stage());
        let json = serde_json::to_vec(&saved).expect("what is saved is plain");
        let again: Saved = serde_json::from_slice(&json).expect("what is saved can be read");
        assert_eq!(again, saved);
        let mut end = 0;
        for part in &saved.parts {
            assert!(
                part.offset >= end && part.end() <= self.len,
                "{part:?} after {end}"
            );
            end = part.end();
            if let Some(crc) = part.crc32c {
                assert_eq!(crc, crc32c(&source(part.offset..part.end())), "{part:?}");
            }
        }
        if saved.stage == Stage::Complete {
            assert_eq!(acknowledged.bytes, self.len);
        }
    }

    /// What was saved goes to an honest server, which has nothing of it.
    pub(super) fn go_home(self, protocol: &dyn UploadProtocol) {
        let saved = self.session.saved();
        let stage = saved.stage;
        for unchanged in [true, false] {
            let object = Object::new("source.bin", Some(self.len));
            let left = Left::new(saved.clone(), unchanged);
            let session = protocol.open(&object, Some(left));
            let session = session.expect("what it saved can be taken up");
            honest::rest(session, self.len, stage, self.honest);
        }
        let object = Object::new("source.bin", Some(self.len));
        let session = protocol.open(&object, Some(Left::new(saved, true)));
        let mut session = session.expect("what it saved can be taken up");
        session.abort();
        honest::discard(session, self.len, self.honest);
    }
}

/// What a driver makes of a status of which the session knows nothing special; 401 and 403 come after new credentials.
fn is_tried_again(status: StatusCode) -> bool {
    honest::is_passing(status) || matches!(status.as_u16(), 401 | 403)
}

const GROWTH: u64 = 7;
const MOST_WANTS: usize = 5000;
