//! A multipart store in memory whose URLs expire, driven to the end through any faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul_integrity::{Algorithm, Hasher};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use proptest::prelude::*;

use super::run;
use crate::presigned::{PlanRequest, Presigned, UploadPlan, s3};
use crate::{
    Answer, Available, Exchange, ExchangeId, Fault, Left, Lost, Next, Object, ProtocolError,
    ProtocolErrorKind, Saved, Segment, UploadProtocol, UploadSession,
};

/// What one upload id has staged, and what stands at the key.
#[derive(Default)]
struct Store {
    /// Which signatures are taken.
    valid: u64,
    parts: BTreeMap<u32, Vec<u8>>,
    is_gone: bool,
    object: Option<(Vec<u8>, String)>,
    /// Whether it is made of what this upload sent.
    is_ours: bool,
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", Hasher::digest(Algorithm::Md5, bytes).hex())
}

impl Store {
    /// Status, ETag, length and body of the answer.
    fn serve(
        &mut self,
        exchange: &Exchange,
        source: &[u8],
    ) -> (u16, Option<String>, Option<u64>, String) {
        let query: BTreeMap<_, _> = exchange.url.query_pairs().into_owned().collect();
        let code = |status, code: &str| {
            let body = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code></Error>");
            (status, None, None, body)
        };
        if query["sig"] != self.valid.to_string() {
            return code(403, "AccessDenied");
        }
        let body = bytes_of(exchange, source);
        match exchange.method.as_str() {
            "HEAD" => match &self.object {
                Some((bytes, etag)) => (
                    200,
                    Some(etag.clone()),
                    Some(bytes.len() as u64),
                    String::new(),
                ),
                None => (404, None, None, String::new()),
            },
            _ if self.is_gone => code(404, "NoSuchUpload"),
            "PUT" => {
                let tag = etag(&body);
                self.parts.insert(query["part"].parse().unwrap(), body);
                (200, Some(tag), None, String::new())
            }
            "DELETE" => {
                (self.is_gone, self.parts) = (true, BTreeMap::new());
                (204, None, None, String::new())
            }
            _ => {
                let body = String::from_utf8(body).unwrap();
                let mut whole = Vec::new();
                for listed in body.split("<Part>").skip(1) {
                    let number = listed.split(['>', '<']).nth(2).unwrap();
                    let Some(part) = self.parts.get(&number.parse().unwrap()) else {
                        return code(200, "InvalidPart");
                    };
                    assert!(listed.contains(etag(part).trim_matches('"')));
                    whole.extend_from_slice(part);
                }
                let tags: Vec<_> = self.parts.values().map(|part| etag(part)).collect();
                let tag = s3::composite_etag(tags.iter().map(|tag| Some(tag.as_str()))).unwrap();
                let tag = format!("\"{tag}\"");
                self.object = Some((whole, tag.clone()));
                (self.is_ours, self.is_gone) = (true, true);
                (
                    200,
                    Some(tag),
                    None,
                    "<CompleteMultipartUploadResult/>".into(),
                )
            }
        }
    }

    fn plan(&self, len: u64, chunk: u64, head: bool) -> UploadPlan {
        let url = |query: &str| format!("https://h/k?sig={}{query}", self.valid);
        let urls = (1..=len.div_ceil(chunk).max(1)).map(|n| url(&format!("&part={n}")));
        let mut plan = UploadPlan::s3("u", len, chunk, urls, url(""), Some(url("")));
        plan.head_request = head.then(|| PlanRequest::new(url("")));
        plan
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
            Segment::Rest(_) => panic!("the length is known"),
        }
    }
    body
}

/// What befalls a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    /// The request does not arrive.
    Unsent,
    /// The answer does not.
    Lost,
    /// Done, and a gateway says that it is not.
    Gateway,
    Busy,
    /// Before it, all signatures expire.
    Expired,
    /// Before it, the store forgets a part.
    Forgotten,
    /// Before it, this process dies and another goes on.
    Killed,
    /// Before it, somebody else discards the upload.
    Discarded,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Answered),
        1 => Just(Fate::Unsent),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Gateway),
        1 => Just(Fate::Busy),
        1 => Just(Fate::Expired),
        1 => Just(Fate::Killed),
    ]
}

struct Driver {
    store: Arc<Mutex<Store>>,
    source: Vec<u8>,
    chunk: u64,
    head: bool,
    renews: bool,
    parallel: usize,
    now: SystemTime,
}

impl Driver {
    fn open(&self, left: Option<Saved>) -> Box<dyn UploadSession> {
        let (len, chunk, head) = (self.source.len() as u64, self.chunk, self.head);
        // Whoever resumes has a new plan.
        let plan = self.store.lock().unwrap().plan(len, chunk, head);
        let mut protocol = Presigned::new(plan);
        if self.renews {
            let store = Arc::clone(&self.store);
            protocol = protocol.refresher(move || {
                let plan = store.lock().unwrap().plan(len, chunk, head);
                std::future::ready(Ok(plan))
            });
        }
        let object = Object::new("f", Some(len));
        let left = left.map(|saved| {
            // As the driver keeps it.
            let text = serde_json::to_string(&saved).unwrap();
            Left::new(serde_json::from_str(&text).unwrap(), true)
        });
        protocol.open(&object, left).unwrap()
    }

    /// Drives an upload to its end; `picks` says which of the requests on their way is served next.
    fn drive(&mut self, fates: &[Fate], picks: &[u8]) -> Result<(), ProtocolError> {
        let mut session = self.open(None);
        let mut flying: Vec<Box<Exchange>> = Vec::new();
        let (mut fates, mut picks) = (fates.iter(), picks.iter().cycle());
        let mut saved = session.saved();
        let available = Available {
            until: self.source.len() as u64,
            ended: true,
        };
        for _ in 0..10_000 {
            self.now += Duration::from_secs(1);
            if flying.len() < self.parallel {
                match session.next(available, self.now)? {
                    Next::Send(exchange) => {
                        flying.push(exchange);
                        continue;
                    }
                    Next::Call(call) => {
                        let id = call.id;
                        let value = run(*call).expect("this refresher always answers");
                        ended(
                            session.returned(id, value, self.now),
                            id,
                            StatusCode::OK,
                            &mut *session,
                        )?;
                        continue;
                    }
                    Next::Done(_) => return Ok(()),
                    Next::Wait => (),
                    other => panic!("{other:?}"),
                }
            }
            let pick = usize::from(*picks.next().expect("there are picks"));
            assert!(!flying.is_empty(), "waits for nothing");
            let fate = fates.next().copied().unwrap_or(Fate::Answered);
            match fate {
                Fate::Expired => self.store.lock().unwrap().valid += 1,
                Fate::Forgotten => drop(self.store.lock().unwrap().parts.pop_last()),
                Fate::Discarded => self.store.lock().unwrap().is_gone = true,
                Fate::Killed => {
                    if pick % 2 == 0 {
                        // It has arrived before.
                        let exchange = &flying[pick / 2 % flying.len()];
                        let _ = self.store.lock().unwrap().serve(exchange, &self.source);
                    }
                    flying.clear();
                    session = self.open(Some(saved.clone()));
                    continue;
                }
                _ => (),
            }
            let exchange = flying.swap_remove(pick % flying.len());
            self.serve(&exchange, fate, &mut *session)?;
            saved = session.saved();
            let known = session.acknowledged();
            assert!(known.prefix <= known.bytes && known.bytes <= available.until);
        }
        panic!("no end");
    }

    fn serve(
        &self,
        exchange: &Exchange,
        fate: Fate,
        session: &mut dyn UploadSession,
    ) -> Result<(), ProtocolError> {
        let id = exchange.id;
        let mut store = self.store.lock().unwrap();
        let (status, etag, len, body) = match fate {
            Fate::Unsent => {
                session.lost(id, Lost::Unsent);
                return Ok(());
            }
            Fate::Busy => (
                503,
                None,
                None,
                "<Error><Code>SlowDown</Code></Error>".into(),
            ),
            _ => store.serve(exchange, &self.source),
        };
        drop(store);
        let status = match fate {
            Fate::Lost => {
                session.lost(id, Lost::Unknown);
                return Ok(());
            }
            Fate::Gateway => 504,
            _ => status,
        };
        let status = StatusCode::from_u16(status).unwrap();
        let mut headers = HeaderMap::new();
        if let Some(etag) = etag {
            headers.insert("etag", etag.parse().unwrap());
        }
        if let Some(len) = len {
            headers.insert("content-length", len.into());
        }
        let body = Bytes::from(body);
        let sent = exchange.payload.source_range();
        let sent = sent.map_or(0, |range| range.end - range.start);
        let answer = Answer::new(status, &headers, &body, &exchange.url).sent(sent, None);
        ended(session.answered(id, &answer, self.now), id, status, session)
    }
}

/// What a driver makes of a fault.
fn ended(
    ended: Result<(), Fault>,
    id: ExchangeId,
    status: StatusCode,
    session: &mut dyn UploadSession,
) -> Result<(), ProtocolError> {
    match ended {
        Ok(()) => Ok(()),
        Err(Fault::Fatal(error)) => Err(error),
        Err(_) => {
            session.lost(id, Lost::Refused(status));
            Ok(())
        }
    }
}

fn driver(len: usize, chunk: u64, head: bool, renews: bool, parallel: usize) -> Driver {
    Driver {
        store: Arc::default(),
        source: (0..len).map(|at| (at * 7 % 251) as u8).collect(),
        chunk,
        head,
        renews,
        parallel,
        now: UNIX_EPOCH,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Complete means that the object is there, byte by byte; failed, that it is not; else the error says that it is unknown.
    #[test]
    fn the_end_is_true(
        len in prop_oneof![Just(0_usize), 1..40_usize],
        chunk in 1..9_u64,
        (head, renews, parallel) in (any::<bool>(), any::<bool>(), 1..4_usize),
        before in any::<bool>(),
        mut fates in prop::collection::vec(fate(), 0..40),
        damage in prop::option::weighted(0.3, (0..40_usize, any::<bool>())),
        picks in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        if let Some((at, forgets)) = damage {
            let fate = if forgets { Fate::Forgotten } else { Fate::Discarded };
            fates.insert(at.min(fates.len()), fate);
        }
        let mut driver = driver(len, chunk, head, renews, parallel);
        if before {
            // Another object of the same length, made of parts too.
            let bytes = vec![0xff; len];
            let tag = format!("\"{}-{}\"", "0".repeat(32), 1);
            driver.store.lock().unwrap().object = Some((bytes, tag));
        }
        let ended = driver.drive(&fates, &picks);
        let store = driver.store.lock().unwrap();
        match ended {
            Ok(()) => {
                prop_assert!(store.is_ours);
                prop_assert_eq!(&store.object.as_ref().unwrap().0, &driver.source);
            }
            Err(error) if error.kind() == ProtocolErrorKind::Indeterminate => (),
            Err(error) => prop_assert!(!store.is_ours, "{error} although the object is there"),
        }
    }

    /// With a refresher and a head request, nothing but damage to the store ends an upload.
    #[test]
    fn faults_that_pass_are_passed(
        len in 0..40_usize,
        chunk in 1..9_u64,
        parallel in 1..4_usize,
        fates in prop::collection::vec(fate().prop_filter("two in a row may be final", |fate| !matches!(fate, Fate::Expired)), 0..30),
        expired in prop::option::of(0..30_usize),
        picks in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        let mut fates = fates;
        if let Some(at) = expired {
            fates.insert(at.min(fates.len()), Fate::Expired);
        }
        let mut driver = driver(len, chunk, true, true, parallel);
        let ended = driver.drive(&fates, &picks);
        prop_assert!(ended.is_ok(), "{ended:?}");
    }
}

#[test]
fn a_part_that_the_store_lost_is_no_part_of_an_object() {
    let mut driver = driver(6, 4, false, false, 1);
    let fates = [Fate::Answered, Fate::Answered, Fate::Forgotten];
    let error = driver.drive(&fates, &[0]).unwrap_err();
    assert_eq!(error.to_string(), "completion: status 200, InvalidPart");
}
