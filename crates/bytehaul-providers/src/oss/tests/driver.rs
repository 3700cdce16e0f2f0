//! A driver that keeps several things on their way, and brings requests to a store in any order.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul_integrity::{Hasher, crc32c};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};

use super::store::{Store, error, hasty};
use crate::oss::{Existing, Oss, OssConfig, OssCredentials};
use crate::{
    Answer, Available, Completed, CredentialSource, DigestJob, Exchange, ExchangeId, Fault, Left,
    Lost, Next, Object, ProtocolError, Saved, UploadProtocol, UploadSession,
};

/// What befalls a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Answered,
    /// The request does not arrive.
    Unsent,
    /// The answer does not.
    Lost,
    /// Done, and a gateway says that it is not.
    Gateway,
    Busy,
    /// Of bytes of the source nothing is sent before a success, which is of nothing.
    Hasty,
    /// Before it, the keys are replaced.
    Expired,
    /// Before it, the store forgets a part.
    Forgotten,
    /// Before it, this process dies and another goes on.
    Killed,
    /// Before it, somebody else discards all uploads.
    Discarded,
    /// Of a part, other bytes arrive than were sent.
    Damaged,
}

/// Something that is on its way.
enum Flying {
    Request(Box<Exchange>),
    Digest(DigestJob),
}

/// An upload by a driver that keeps several things on their way.
pub(super) struct Driver {
    pub(super) store: Arc<Mutex<Store>>,
    pub(super) source: Vec<u8>,
    pub(super) part: u64,
    pub(super) renews: bool,
    pub(super) existing: Existing,
    pub(super) parallel: usize,
    pub(super) is_stream: bool,
    now: SystemTime,
}

impl Driver {
    pub(super) fn new(len: usize, part: u64) -> Self {
        Self {
            store: Arc::default(),
            source: (0..len).map(|at| (at * 7 % 251) as u8).collect(),
            part,
            renews: false,
            existing: Existing::Replace,
            parallel: 1,
            is_stream: false,
            now: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        }
    }

    fn open(&self, left: Option<Saved>) -> Box<dyn UploadSession> {
        let store = Arc::clone(&self.store);
        let key =
            move || OssCredentials::new(format!("K{}", store.lock().unwrap().valid), "s3cret");
        let source = match self.renews {
            true => CredentialSource::provider(move || std::future::ready(Ok(key()))),
            false => CredentialSource::fixed(key()),
        };
        let config = OssConfig::new(source)
            .region("cn-hangzhou")
            .least_part(1)
            .part_size(self.part)
            .existing(self.existing);
        let protocol = Oss::new("oss://bucket/a key", config).unwrap();
        let len = (!self.is_stream).then_some(self.source.len() as u64);
        let mut object = Object::new("f", len);
        object.parallel = self.parallel;
        let left = left.map(|saved| {
            // As the driver keeps it.
            let text = serde_json::to_string(&saved).unwrap();
            Left::new(serde_json::from_str(&text).unwrap(), true)
        });
        protocol.open(&object, left).unwrap()
    }

    /// Drives an upload to its end; `picks` says which of the things on their way comes to its end next.
    pub(super) fn drive(
        &mut self,
        left: Option<Saved>,
        fates: &[Fate],
        picks: &[u8],
    ) -> Result<Completed, ProtocolError> {
        let mut session = self.open(left);
        let mut flying: Vec<Flying> = Vec::new();
        let (mut fates, mut picks) = (fates.iter(), picks.iter().cycle());
        let mut saved = session.saved();
        let all = self.source.len() as u64;
        let mut available = Available {
            until: if self.is_stream { 0 } else { all },
            ended: !self.is_stream,
        };
        let mut released = 0;
        for _ in 0..20_000 {
            self.now += Duration::from_secs(1);
            let is_request = |one: &&Flying| matches!(one, Flying::Request(_));
            if flying.iter().filter(is_request).count() < self.parallel {
                match session.next(available, self.now)? {
                    Next::Send(exchange) => {
                        let range = exchange.payload.source_range();
                        let is_there = |start| !self.is_stream || start >= released;
                        assert!(range.is_none_or(|range| is_there(range.start)));
                        let shown = format!("{exchange:?}");
                        assert!(!shown.contains("s3cret"), "{shown}");
                        // Drivers save before something is sent that a server may keep.
                        if session.stage() != saved.stage {
                            saved = session.saved();
                        }
                        flying.push(Flying::Request(exchange));
                        continue;
                    }
                    Next::Digest(job) => {
                        assert!(!self.is_stream || job.range.start >= released);
                        flying.push(Flying::Digest(job));
                        continue;
                    }
                    Next::Call(call) => {
                        let id = call.id;
                        let mut running = (call.run)(Bytes::new());
                        let mut context = Context::from_waker(Waker::noop());
                        let Poll::Ready(Ok(given)) = running.as_mut().poll(&mut context) else {
                            panic!("this provider always answers")
                        };
                        let returned = session.returned(id, given, self.now);
                        end(returned, id, 200, &mut *session)?;
                        continue;
                    }
                    Next::Done(completed) => return Ok(completed),
                    Next::Wait if flying.is_empty() && !available.ended => {
                        available.until = (available.until + 3).min(all);
                        available.ended = available.until == all;
                        continue;
                    }
                    Next::Wait => (),
                    other => panic!("{other:?}"),
                }
            }
            assert!(!flying.is_empty(), "waits for nothing");
            let pick = usize::from(*picks.next().expect("there are picks"));
            let exchange = match flying.swap_remove(pick % flying.len()) {
                Flying::Request(exchange) => exchange,
                Flying::Digest(job) => {
                    let range = job.range.start as usize..job.range.end as usize;
                    let digest = Hasher::digest(job.algorithm, &self.source[range]);
                    session.digested(job.id, digest);
                    continue;
                }
            };
            let fate = fates.next().copied().unwrap_or(Fate::Answered);
            let mut store = self.store.lock().unwrap();
            match fate {
                Fate::Expired => store.valid += 1,
                Fate::Forgotten => {
                    if let Some(parts) = store.uploads.values_mut().last() {
                        parts.pop_first();
                    }
                }
                Fate::Discarded => store.uploads.clear(),
                Fate::Killed => {
                    if pick % 2 == 0 {
                        // It has arrived before.
                        store.serve(&exchange, &self.source);
                    }
                    drop(store);
                    if self.is_stream {
                        let reason = "a stream ends with its reader";
                        return Err(ProtocolError::parameter("test", reason));
                    }
                    flying.clear();
                    session = self.open(Some(saved.clone()));
                    continue;
                }
                _ => (),
            }
            drop(store);
            self.bring(&exchange, fate, &mut *session)?;
            saved = session.saved();
            assert_eq!(saved.stage, session.stage());
            let known = session.acknowledged();
            released = released.max(known.prefix);
            assert!(known.prefix <= known.bytes && known.bytes <= all);
        }
        let store = self.store.lock().unwrap();
        panic!(
            "no end: {:?}",
            store.log.iter().rev().take(9).collect::<Vec<_>>()
        );
    }

    /// Brings a request to the store and its answer back, as far as its fate allows.
    fn bring(
        &self,
        exchange: &Exchange,
        fate: Fate,
        session: &mut dyn UploadSession,
    ) -> Result<(), ProtocolError> {
        let id = exchange.id;
        let mut damaged = self.source.clone();
        let range = exchange.payload.source_range();
        let is_hasty = fate == Fate::Hasty && range.as_ref().is_some_and(|range| !range.is_empty());
        let answer = {
            let mut store = self.store.lock().unwrap();
            match fate {
                Fate::Unsent => {
                    session.lost(id, Lost::Unsent);
                    return Ok(());
                }
                Fate::Busy => error(503, "ServiceUnavailable"),
                Fate::Hasty if is_hasty => hasty(),
                Fate::Damaged => {
                    let range = exchange.payload.source_range();
                    let start = range.map(|range| range.start as usize);
                    if let Some(byte) = start.and_then(|start| damaged.get_mut(start)) {
                        *byte ^= 1;
                    }
                    store.serve(exchange, &damaged)
                }
                _ => store.serve(exchange, &self.source),
            }
        };
        let status = match fate {
            Fate::Lost => {
                session.lost(id, Lost::Unknown);
                return Ok(());
            }
            Fate::Gateway => 504,
            _ => answer.status,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &answer.fields {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let body = Bytes::from(answer.body);
        let code = StatusCode::from_u16(status).unwrap();
        let mut told = Answer::new(code, &headers, &body, &exchange.url);
        if let Some(range) = range.filter(|_| !is_hasty) {
            let bytes = &self.source[range.start as usize..range.end as usize];
            told = told.sent(bytes.len() as u64, Some(crc32c(bytes)));
        }
        // An answer to something that was never asked must change nothing.
        let before = session.saved();
        let _ = session.answered(ExchangeId(u64::MAX), &told, self.now);
        assert_eq!(session.saved(), before);
        end(session.answered(id, &told, self.now), id, status, session)
    }
}

/// What a driver makes of a fault.
fn end(
    ended: Result<(), Fault>,
    id: ExchangeId,
    status: u16,
    session: &mut dyn UploadSession,
) -> Result<(), ProtocolError> {
    match ended {
        Ok(()) => Ok(()),
        Err(Fault::Fatal(error)) => Err(error),
        Err(_) => {
            session.lost(id, Lost::Refused(StatusCode::from_u16(status).unwrap()));
            Ok(())
        }
    }
}
