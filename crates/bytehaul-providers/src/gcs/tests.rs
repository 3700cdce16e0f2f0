//! A session in memory that keeps less than it is sent, loses answers and vanishes, driven to the end.

mod objects;

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul_integrity::{Hasher, crc32c};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use proptest::prelude::*;

use super::{GRID, Gcs, GcsToken};
use crate::{
    Algorithm, Answer, Available, Completed, CredentialSource, Exchange, ExchangeId, Fault, Left,
    Lost, Next, Object, ProtocolError, ProtocolErrorKind, Saved, Segment, Stage, UploadProtocol,
    UploadSession,
};

#[derive(Default)]
struct Store {
    /// Which token is taken.
    valid: u64,
    opened: u32,
    /// The number of the session that is open, and its bytes.
    session: Option<(u32, Vec<u8>)>,
    /// The session that has made the object.
    made_by: u32,
    object: Option<Vec<u8>>,
    /// A chunk is kept up to here alone, on the grid.
    keeps: Option<u64>,
    is_barred: bool,
    /// How a look at the object is refused.
    refuses: Option<u16>,
    log: Vec<String>,
}

type Reply = (u16, Vec<(&'static str, String)>, String);

fn status(status: u16) -> Reply {
    (status, Vec::new(), String::new())
}

impl Store {
    fn serve(&mut self, exchange: &Exchange, source: &[u8]) -> Reply {
        let field = |name: &str| Some(exchange.headers.get(name)?.to_str().unwrap().to_owned());
        let query: Vec<_> = exchange.url.query_pairs().into_owned().collect();
        let id = query.iter().find(|(name, _)| name == "upload_id");
        let id = id.map(|(_, id)| id.parse::<u32>().unwrap());
        let range = field("content-range").unwrap_or_default();
        self.log
            .push(format!("{} {range}", exchange.method).trim_end().to_owned());
        if self.is_barred {
            return status(403);
        }
        let Some(id) = id else {
            if field("authorization") != Some(format!("Bearer t{}", self.valid)) {
                return status(401);
            }
            if exchange.method == "GET" {
                assert_eq!(exchange.url.path(), "/storage/v1/b/bucket/o/a%20name");
                return match (self.refuses, &self.object) {
                    (Some(refused), _) => status(refused),
                    (None, None) => status(404),
                    (None, Some(_)) => self.description(),
                };
            }
            assert_eq!(exchange.url.path(), "/upload/storage/v1/b/bucket/o");
            self.opened += 1;
            self.session = Some((self.opened, Vec::new()));
            let url = format!("https://storage.googleapis.com/s?upload_id={}", self.opened);
            return (200, vec![("location", url)], String::new());
        };
        assert_eq!(field("authorization"), None, "the session's url is enough");
        if self.object.is_some() && self.made_by == id && exchange.method == "PUT" {
            return self.description();
        }
        let Some((_, bytes)) = self.session.as_mut().filter(|(open, _)| *open == id) else {
            return status(410);
        };
        if exchange.method == "DELETE" {
            self.session = None;
            return status(499);
        }
        let (span, total) = range
            .strip_prefix("bytes ")
            .unwrap()
            .split_once('/')
            .unwrap();
        let total: Option<usize> = total.parse().ok();
        let body = bytes_of(exchange, source);
        if let Some((first, last)) = span.split_once('-') {
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            assert_eq!(body.len(), last - first + 1);
            assert_eq!(first, bytes.len(), "it goes on where the server is");
            let is_last = total == Some(last + 1);
            assert!(
                is_last || (body.len() as u64).is_multiple_of(GRID),
                "off the grid"
            );
            let keeps = self.keeps.take().map_or(body.len(), |keeps| keeps as usize);
            bytes.extend_from_slice(&body[..keeps.min(body.len())]);
        }
        if total == Some(bytes.len()) {
            self.object = Some(bytes.clone());
            self.made_by = id;
            return self.description();
        }
        match bytes.len() {
            0 => status(308),
            kept => (
                308,
                vec![("range", format!("bytes=0-{}", kept - 1))],
                String::new(),
            ),
        }
    }

    fn description(&self) -> Reply {
        let object = self.object.as_ref().unwrap();
        let crc = Hasher::digest(Algorithm::Crc32c, object).base64();
        let body = format!(
            r#"{{"size": "{}", "crc32c": "{crc}", "etag": "E"}}"#,
            object.len()
        );
        (200, Vec::new(), body)
    }
}

fn bytes_of(exchange: &Exchange, source: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for segment in &exchange.payload.segments {
        match segment {
            Segment::Bytes(bytes) => body.extend_from_slice(bytes),
            Segment::Source(range) => {
                body.extend_from_slice(&source[range.start as usize..range.end as usize]);
            }
            Segment::Rest(_) => panic!("chunks have a length"),
        }
    }
    body
}

/// What befalls a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    Unsent,
    Lost,
    Busy,
    /// Whoever asks is turned away from now on.
    Barred,
    /// Of a chunk, so much is kept alone.
    Partly(u64),
    /// Before it, tokens are replaced.
    Expired,
    /// Before it, the session vanishes.
    Vanished,
    /// This process dies, and another goes on with the same source, or with one that has changed.
    Killed {
        unchanged: bool,
    },
}

struct Driver {
    store: Arc<Mutex<Store>>,
    source: Vec<u8>,
    is_stream: bool,
    now: SystemTime,
}

impl Driver {
    fn new(len: usize) -> Self {
        Self {
            store: Arc::default(),
            source: (0..len).map(|at| (at * 7 % 251) as u8).collect(),
            is_stream: false,
            now: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        }
    }

    fn open(&self, left: Option<Left>) -> Box<dyn UploadSession> {
        let store = Arc::clone(&self.store);
        let provider = move || {
            let valid = store.lock().unwrap().valid;
            std::future::ready(Ok(GcsToken::new(format!("t{valid}"))))
        };
        let source = CredentialSource::provider(provider);
        let protocol = Gcs::new("gs://bucket/a name", source)
            .unwrap()
            .chunk_size(GRID + 1);
        let len = (!self.is_stream).then_some(self.source.len() as u64);
        protocol.open(&Object::new("f", len), left).unwrap()
    }

    fn drive(&mut self, fates: &[Fate]) -> Result<Completed, ProtocolError> {
        self.go_on(self.open(None), fates)
    }

    fn go_on(
        &mut self,
        mut session: Box<dyn UploadSession>,
        fates: &[Fate],
    ) -> Result<Completed, ProtocolError> {
        let mut saved = session.saved();
        let mut fates = fates.iter();
        let all = self.source.len() as u64;
        let mut available = Available {
            until: if self.is_stream { 0 } else { all },
            ended: !self.is_stream,
        };
        let mut released = 0;
        for _ in 0..2000 {
            self.now += Duration::from_secs(1);
            let exchange = match session.next(available, self.now)? {
                Next::Send(exchange) => exchange,
                Next::Digest(job) => {
                    assert!(!self.is_stream);
                    let range = job.range.start as usize..job.range.end as usize;
                    session.digested(job.id, Hasher::digest(job.algorithm, &self.source[range]));
                    continue;
                }
                Next::Call(call) => {
                    let mut running = (call.run)(Bytes::new());
                    let mut context = Context::from_waker(Waker::noop());
                    let Poll::Ready(Ok(given)) = running.as_mut().poll(&mut context) else {
                        panic!("this provider always answers")
                    };
                    session.returned(call.id, given, self.now).unwrap();
                    continue;
                }
                Next::Done(completed) => return Ok(completed),
                Next::Wait if !available.ended => {
                    available.until = (available.until + GRID / 2).min(all);
                    available.ended = available.until == all;
                    continue;
                }
                other => panic!("{other:?}"),
            };
            if session.stage() != saved.stage {
                saved = session.saved();
            }
            let range = exchange.payload.source_range();
            assert!(range.is_none_or(|range| !self.is_stream || range.start >= released));
            let shown = format!("{exchange:?} {saved:?}");
            assert!(
                !shown.contains("upload_id") && !shown.contains("Bearer"),
                "{shown}"
            );
            self.bring(
                &exchange,
                fates.next().copied().unwrap_or(Fate::Answered),
                &mut session,
                &saved,
            )?;
            saved = session.saved();
            assert_eq!(saved.stage, session.stage());
            let known = session.acknowledged();
            released = released.max(known.prefix);
            assert!(known.prefix == known.bytes && known.bytes <= all);
        }
        panic!("no end: {:?}", self.store.lock().unwrap().log);
    }

    fn bring(
        &mut self,
        exchange: &Exchange,
        fate: Fate,
        session: &mut Box<dyn UploadSession>,
        saved: &Saved,
    ) -> Result<(), ProtocolError> {
        let id = exchange.id;
        let mut store = self.store.lock().unwrap();
        match fate {
            Fate::Unsent => {
                session.lost(id, Lost::Unsent);
                return Ok(());
            }
            Fate::Partly(kept) => store.keeps = Some(kept / GRID * GRID),
            Fate::Expired => store.valid += 1,
            Fate::Vanished => store.session = None,
            Fate::Killed { unchanged } => {
                store.serve(exchange, &self.source);
                drop(store);
                if self.is_stream {
                    return Err(ProtocolError::parameter(
                        "test",
                        "a stream ends with its reader",
                    ));
                }
                let text = serde_json::to_string(saved).unwrap();
                let mut saved: Saved = serde_json::from_str(&text).unwrap();
                if !unchanged {
                    let at = self.source.len() / 2;
                    if let Some(byte) = self.source.get_mut(at) {
                        *byte ^= 1;
                    }
                    // The driver's share: receipts of other bytes are not handed on.
                    saved.parts.retain(|part| {
                        let bytes = &self.source[part.offset as usize..part.end() as usize];
                        part.crc32c == Some(crc32c(bytes))
                    });
                }
                *session = self.open(Some(Left::new(saved, unchanged)));
                return Ok(());
            }
            Fate::Barred => store.is_barred = true,
            Fate::Answered | Fate::Lost | Fate::Busy => (),
        }
        let (code, fields, body) = match fate {
            Fate::Busy => status(503),
            _ => store.serve(exchange, &self.source),
        };
        store.keeps = None;
        drop(store);
        if matches!(fate, Fate::Lost) {
            session.lost(id, Lost::Unknown);
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let body = Bytes::from(body);
        let code = StatusCode::from_u16(code).unwrap();
        let mut told = Answer::new(code, &headers, &body, &exchange.url);
        if let Some(range) = exchange.payload.source_range() {
            let bytes = &self.source[range.start as usize..range.end as usize];
            told = told.sent(bytes.len() as u64, Some(crc32c(bytes)));
        }
        let before = session.saved();
        let _ = session.answered(ExchangeId(u64::MAX), &told, self.now);
        assert_eq!(session.saved(), before);
        match session.answered(id, &told, self.now) {
            Ok(()) => Ok(()),
            Err(Fault::Fatal(error)) => Err(error),
            Err(Fault::Status) if code.is_client_error() => Err(ProtocolError::new(
                ProtocolErrorKind::Status(code),
                "refused",
            )),
            Err(_) => {
                session.lost(id, Lost::Refused(code));
                Ok(())
            }
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Answered),
        1 => Just(Fate::Unsent),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Busy),
        2 => (0..3 * GRID).prop_map(Fate::Partly),
        1 => Just(Fate::Expired),
        1 => Just(Fate::Vanished),
        1 => Just(Fate::Barred),
        1 => any::<bool>().prop_map(|unchanged| Fate::Killed { unchanged }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Complete means that the object is there, byte by byte.
    #[test]
    fn the_end_is_true(
        grids in 0..5_u64,
        more in prop_oneof![Just(0_u64), 1..GRID],
        is_stream in any::<bool>(),
        fates in prop::collection::vec(fate(), 0..14),
    ) {
        let mut driver = Driver::new((grids * GRID + more) as usize);
        driver.is_stream = is_stream;
        let ended = driver.drive(&fates);
        let store = driver.store.lock().unwrap();
        match ended {
            Ok(completed) => {
                prop_assert_eq!(store.object.as_ref(), Some(&driver.source));
                prop_assert_eq!(completed.etag.as_deref(), Some("E"));
            }
            Err(error) if error.kind() == ProtocolErrorKind::Indeterminate => (),
            // A stream that ends with its process, and bytes that have changed since they were sent.
            Err(error)
                if matches!(
                    error.kind(),
                    ProtocolErrorKind::Parameter | ProtocolErrorKind::Checksum
                ) => {}
            Err(error) => {
                // One of the bytes that the source had before is not ours.
                let is_there = store.object.as_ref() == Some(&driver.source);
                prop_assert!(!is_there, "{error} although the object is there");
            }
        }
    }

    /// What passes is passed, and nothing is sent twice that the server has said it has.
    #[test]
    fn faults_that_pass_are_passed(
        grids in 0..5_u64,
        more in prop_oneof![Just(0_u64), 1..GRID],
        is_stream in any::<bool>(),
        fates in prop::collection::vec(
            fate().prop_filter("for good", |fate| !matches!(fate, Fate::Vanished | Fate::Killed { .. } | Fate::Expired | Fate::Barred)),
            0..14,
        ),
    ) {
        let mut driver = Driver::new((grids * GRID + more) as usize);
        driver.is_stream = is_stream;
        let completed = driver.drive(&fates);
        prop_assert!(completed.is_ok(), "{completed:?}");
        let store = driver.store.lock().unwrap();
        prop_assert_eq!(store.object.as_ref(), Some(&driver.source));
    }
}

/// The log of an upload of so many bytes with these fates.
#[track_caller]
fn check(len: u64, fates: &[Fate], expected: &[&str]) -> Completed {
    let mut driver = Driver::new(len as usize);
    let completed = driver.drive(fates).unwrap();
    let store = driver.store.lock().unwrap();
    assert_eq!(store.log, expected);
    assert_eq!(store.object.as_ref(), Some(&driver.source));
    completed
}

#[test]
fn chunks_on_the_grid() {
    let chunks = [
        "POST",
        "PUT bytes 0-524287/524389",
        "PUT bytes 524288-524388/524389",
    ];
    let completed = check(2 * GRID + 101, &[], &chunks);
    assert!(completed.verified.is_some());
    check(2 * GRID, &[], &["POST", "PUT bytes 0-524287/524288"]);
    check(0, &[], &["POST", "PUT bytes */0"]);
}

#[test]
fn the_server_says_where_it_is() {
    let total = 3 * GRID;
    let fates = [Fate::Answered, Fate::Partly(GRID), Fate::Lost];
    let log = [
        "POST",
        "PUT bytes 0-524287/786432",
        "PUT bytes 262144-786431/786432",
        "PUT bytes */786432",
    ];
    // The answer that says that it is complete is lost, and asked for; then its CRC-32C is computed here.
    let completed = check(total, &fates, &log);
    assert!(completed.verified.is_some());
    let fates = [Fate::Answered, Fate::Vanished];
    let log = ["POST", "PUT bytes 0-99/100", "POST", "PUT bytes 0-99/100"];
    check(100, &fates, &log);
    // A token that is refused is renewed.
    check(
        100,
        &[Fate::Expired],
        &["POST", "POST", "PUT bytes 0-99/100"],
    );
}

#[test]
fn aborts_cancel_the_session_alone() {
    let driver = Driver::new(100);
    let available = Available {
        until: 100,
        ended: true,
    };
    let mut session = driver.open(None);
    session.abort();
    assert!(matches!(
        session.next(available, driver.now),
        Ok(Next::Aborted)
    ));
    let mut left = Saved {
        session: Some(crate::SessionId::new(
            "https://storage.googleapis.com/s?upload_id=7",
        )),
        stage: Stage::Sending,
        ..Saved::default()
    };
    left.extra.insert("len".into(), "100".into());
    let check = |code: u16, expected: Stage| {
        let mut session = driver.open(Some(Left::new(left.clone(), true)));
        session.abort();
        let Ok(Next::Send(exchange)) = session.next(available, driver.now) else {
            panic!("no request")
        };
        assert_eq!(exchange.method, "DELETE");
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        let code = StatusCode::from_u16(code).unwrap();
        let answer = Answer::new(code, &headers, &body, &exchange.url);
        let _ = session.answered(exchange.id, &answer, driver.now);
        assert_eq!(session.stage(), expected, "{code}");
    };
    for code in [499, 204, 404, 410] {
        check(code, Stage::Aborted);
    }
    check(500, Stage::Sending);
}

#[test]
fn what_cannot_be() {
    let check = |object: &str, expected: &str| {
        let error = Gcs::new(object, GcsToken::new("s3cret")).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check("b/k", "invalid object: it is written as gs://BUCKET/NAME");
    check(
        "gs://b",
        "invalid object: it is written as gs://BUCKET/NAME",
    );
    check("gs://b/", "invalid name: it has one to 1,024 bytes");
    check(
        "gs://../k",
        "invalid bucket: a bucket's name has letters, digits, dots, hyphens and underscores",
    );
    let signed = Gcs::signed("https://h/b/k?X-Goog-Signature=s3cret".parse().unwrap()).unwrap();
    assert_eq!(signed.target(), "https://h/b/k");
    assert!(!format!("{signed:?}").contains("s3cret"));
    assert!(signed.clone().if_absent(true).validate().is_err());
    assert!(Gcs::signed("ftp://h/".parse().unwrap()).is_err());
    let mut session = signed.open(&Object::new("f", Some(1)), None).unwrap();
    let available = Available {
        until: 1,
        ended: true,
    };
    let Ok(Next::Send(exchange)) = session.next(available, UNIX_EPOCH) else {
        panic!("no request")
    };
    assert_eq!(exchange.headers["x-goog-resumable"], "start");
    assert!(!exchange.headers.contains_key("authorization"));
}
