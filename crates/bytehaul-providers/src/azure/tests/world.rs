//! A driver with several requests on their way, and what befalls them.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul_integrity::{Hasher, crc32c};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::service::{Made, Service};
use crate::azure::{Azure, AzureConfig, AzureCredentials, BlockCheck, Existing};
use crate::{
    Answer, Available, Call, CallError, Completed, CredentialSource, DigestJob, Exchange,
    ExchangeId, Fault, Left, Lost, Next, Object, ProtocolError, Returned, Saved, UploadProtocol,
    UploadSession,
};

/// What befalls a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Answered,
    /// It does not arrive.
    Unsent,
    /// Its answer does not.
    Lost,
    /// Done, and a gateway says that it is not.
    Gateway,
    Busy,
    /// Of bytes of the source nothing is sent before a success, which is of nothing.
    Hasty,
    /// Its bytes arrive as others.
    Garbled,
    /// Before it, the signature expires.
    Expired,
    /// Before it, the service forgets a block.
    Forgotten,
    /// Before it, somebody else writes the blob.
    Overwritten,
    /// Before it, this process dies and another goes on.
    Killed,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) service: Arc<Mutex<Service>>,
    pub(super) source: Vec<u8>,
    pub(super) part_size: u64,
    pub(super) parallel: usize,
    /// Whether the length is not known and the bytes come little by little.
    pub(super) is_stream: bool,
    pub(super) renews: bool,
    pub(super) existing: Existing,
    pub(super) check: BlockCheck,
    /// The source is another one for whoever resumes.
    pub(super) unchanged: bool,
    pub(super) now: SystemTime,
}

impl World {
    pub(super) fn new(len: usize, part_size: u64) -> Self {
        Self {
            service: Arc::default(),
            source: (0..len).map(|at| (at * 7 % 251) as u8).collect(),
            part_size,
            parallel: 1,
            is_stream: false,
            renews: false,
            existing: Existing::Replace,
            check: BlockCheck::Md5,
            unchanged: true,
            now: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        }
    }

    pub(super) fn azure(&self) -> Azure {
        let service = Arc::clone(&self.service);
        let now = move || {
            let valid = service.lock().unwrap().valid;
            AzureCredentials::sas(format!("sig={valid}")).unwrap()
        };
        let credentials: CredentialSource<AzureCredentials> = match self.renews {
            true => CredentialSource::provider(move || std::future::ready(Ok(now()))),
            false => now().into(),
        };
        let config = AzureConfig::new(credentials)
            .endpoint("http://127.0.0.1:1/dev")
            .existing(self.existing)
            .check(self.check)
            .part_size(self.part_size);
        Azure::new("http://127.0.0.1:1/dev/box/a blob", config).unwrap()
    }

    pub(super) fn open(&self, left: Option<Saved>) -> Box<dyn UploadSession> {
        let mut object = Object::new("f", (!self.is_stream).then_some(self.source.len() as u64));
        object.parallel = self.parallel;
        object.metadata = vec![("k".to_owned(), "v".to_owned())];
        // As a driver keeps it, and proves it.
        let left = left.filter(|_| !self.is_stream).map(|saved| {
            let text = serde_json::to_string(&saved).unwrap();
            let mut saved: Saved = serde_json::from_str(&text).unwrap();
            saved.parts.retain(|part| {
                let bytes = &self.source[part.offset as usize..part.end() as usize];
                part.crc32c
                    .map_or(self.unchanged, |crc| crc == crc32c(bytes))
            });
            Left::new(saved, self.unchanged)
        });
        self.azure().open(&object, left).unwrap()
    }

    /// Drives an upload to its end. `picks` says which of what is on its way comes next.
    pub(super) fn drive(
        &mut self,
        left: Option<Saved>,
        fates: &[Fate],
        picks: &[u8],
    ) -> (Result<Completed, ProtocolError>, Saved) {
        let mut session = self.open(left);
        let mut kept = session.saved();
        let (mut fates, mut picks) = (fates.iter(), picks.iter().cycle());
        let mut flying: Vec<Box<Exchange>> = Vec::new();
        let mut digests: Vec<DigestJob> = Vec::new();
        let mut until = if self.is_stream { 0 } else { self.source.len() };
        let mut has_ended = !self.is_stream;
        for _ in 0..20_000 {
            self.now += Duration::from_secs(1);
            let available = Available {
                until: until as u64,
                ended: has_ended,
            };
            if flying.len() < self.parallel {
                match session.next(available, self.now) {
                    Err(error) => return (Err(error), session.saved()),
                    Ok(Next::Send(exchange)) => {
                        flying.push(exchange);
                        continue;
                    }
                    Ok(Next::Call(call)) => {
                        let id = call.id;
                        let given = run(*call).unwrap_or_else(|error| panic!("{error}"));
                        if let Err(Fault::Fatal(error)) = session.returned(id, given, self.now) {
                            return (Err(error), session.saved());
                        }
                        continue;
                    }
                    Ok(Next::Digest(job)) => {
                        digests.push(job);
                        assert!(digests.len() <= self.parallel + 1, "too far ahead");
                        continue;
                    }
                    Ok(Next::Done(completed)) => return (Ok(completed), session.saved()),
                    Ok(Next::Wait) => (),
                    Ok(Next::Aborted) => panic!("nobody asked for it"),
                }
            }
            let pick = usize::from(*picks.next().unwrap());
            if !digests.is_empty() && (flying.is_empty() || pick % 2 == 0) {
                let job = digests.swap_remove(pick / 2 % digests.len());
                let bytes = &self.source[job.range.start as usize..job.range.end as usize];
                session.digested(job.id, Hasher::digest(job.algorithm, bytes));
                continue;
            }
            if flying.is_empty() {
                assert!(!has_ended, "waits for nothing");
                let before = until;
                until = (until + 1 + pick % 5).min(self.source.len());
                has_ended =
                    before == self.source.len() || (until == self.source.len() && pick % 3 > 0);
                continue;
            }
            let fate = fates.next().copied().unwrap_or(Fate::Answered);
            if fate == Fate::Killed {
                if pick % 2 == 0 {
                    // It has arrived before.
                    let exchange = &flying[pick / 2 % flying.len()];
                    self.service.lock().unwrap().serve(exchange, &self.source);
                }
                flying.clear();
                digests.clear();
                session = self.open(Some(kept.clone()));
                if self.is_stream {
                    (until, has_ended) = (0, false);
                }
                continue;
            }
            let exchange = flying.swap_remove(pick % flying.len());
            match self.answer(&exchange, fate, &mut *session) {
                Err(Fault::Fatal(error)) => return (Err(error), session.saved()),
                Err(_) | Ok(()) => kept = session.saved(),
            }
            let known = session.acknowledged();
            assert!(known.prefix <= known.bytes && known.bytes <= self.source.len() as u64);
            assert_eq!(kept.stage, session.stage());
        }
        panic!("no end: {:?}", self.service.lock().unwrap().log);
    }

    fn answer(
        &self,
        exchange: &Exchange,
        fate: Fate,
        session: &mut dyn UploadSession,
    ) -> Result<(), Fault> {
        let id = exchange.id;
        let mut service = self.service.lock().unwrap();
        match fate {
            Fate::Expired => service.valid += 1,
            Fate::Forgotten => drop(service.staged.pop_last()),
            Fate::Overwritten => {
                service.make(b"theirs".to_vec(), Vec::new(), &HeaderMap::new());
            }
            _ => (),
        }
        let range = exchange.payload.source_range();
        let is_hasty = fate == Fate::Hasty && range.as_ref().is_some_and(|range| !range.is_empty());
        let (status, fields, body) = match fate {
            Fate::Hasty if is_hasty => (201, vec![("etag", "\"0\"".to_owned())], String::new()),
            Fate::Unsent => {
                session.lost(id, Lost::Unsent);
                return Ok(());
            }
            Fate::Busy => super::service::refuse(503, "ServerBusy"),
            Fate::Garbled if exchange.method == "PUT" => super::service::refuse(400, "Md5Mismatch"),
            _ => service.serve(exchange, &self.source),
        };
        drop(service);
        let status = match fate {
            Fate::Lost => {
                session.lost(id, Lost::Unknown);
                return Ok(());
            }
            Fate::Gateway => 504,
            _ => status,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(name, value.parse().unwrap());
        }
        let (status, body) = (StatusCode::from_u16(status).unwrap(), Bytes::from(body));
        let mut answer = Answer::new(status, &headers, &body, &exchange.url);
        if let Some(range) = range.filter(|_| !is_hasty) {
            let bytes = &self.source[range.start as usize..range.end as usize];
            answer = answer.sent(bytes.len() as u64, Some(crc32c(bytes)));
        }
        let before = session.saved();
        let _ = session.answered(ExchangeId(u64::MAX), &answer, self.now);
        assert_eq!(session.saved(), before, "an answer to what was never asked");
        let said = session.answered(id, &answer, self.now);
        if let Err(fault) = &said {
            match fault {
                Fault::Status | Fault::Again(_) | Fault::Now(_) => {
                    session.lost(id, Lost::Refused(status));
                }
                Fault::Fatal(_) => (),
            }
        }
        said
    }

    pub(super) fn put(&self, bytes: &[u8]) {
        let mut service = self.service.lock().unwrap();
        service.make(bytes.to_vec(), Vec::new(), &HeaderMap::new());
    }

    pub(super) fn blob(&self) -> Option<Vec<u8>> {
        let service = self.service.lock().unwrap();
        service.blob.as_ref().map(|blob: &Made| blob.bytes.clone())
    }

    pub(super) fn is_ours(&self) -> bool {
        let service = self.service.lock().unwrap();
        let blob = service.blob.as_ref();
        blob.is_some_and(|blob| blob.fields.get("x-ms-meta-k").is_some_and(|v| v == "v"))
    }

    /// What was asked since it was asked last.
    pub(super) fn log(&self) -> String {
        std::mem::take(&mut self.service.lock().unwrap().log).join(", ")
    }
}

/// Runs a call that has nothing to wait for.
pub(super) fn run(call: Call) -> Result<Returned, CallError> {
    let mut running = pin!((call.run)(Bytes::new()));
    match running
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(given) => given,
        Poll::Pending => panic!("it waits"),
    }
}

impl World {
    /// Answers so many requests, one after the other, and stops there: how many there were, and what is kept.
    pub(super) fn stopped(&self, session: &mut dyn UploadSession, most: usize) -> (usize, Saved) {
        let available = Available {
            until: self.source.len() as u64,
            ended: true,
        };
        let mut count = 0;
        while count < most {
            match session.next(available, self.now) {
                Ok(Next::Send(exchange)) => {
                    count += 1;
                    let answered = self.answer(&exchange, Fate::Answered, session);
                    answered.unwrap_or_else(|fault| panic!("{fault:?}"));
                }
                Ok(Next::Call(call)) => {
                    let id = call.id;
                    let given = run(*call).unwrap_or_else(|error| panic!("{error}"));
                    session.returned(id, given, self.now).unwrap();
                }
                Ok(Next::Digest(job)) => {
                    let bytes = &self.source[job.range.start as usize..job.range.end as usize];
                    session.digested(job.id, Hasher::digest(job.algorithm, bytes));
                }
                Ok(Next::Done(_)) => break,
                other => panic!("{other:?}"),
            }
        }
        (count, session.saved())
    }
}
