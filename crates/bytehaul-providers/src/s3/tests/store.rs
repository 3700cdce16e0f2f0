//! A store in memory with the answers of S3, and a driver that brings requests to it in any order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul_integrity::{Hasher, crc32c};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};

use crate::s3::{Checksum, S3, S3Config, S3Credentials};
use crate::{
    Algorithm, Answer, Available, Completed, CredentialSource, Digest, DigestJob, Exchange,
    ExchangeId, Fault, Left, Lost, Next, Object, ProtocolError, Saved, Segment, UploadProtocol,
    UploadSession, said, xml,
};

/// What stands at the key, and what is staged.
pub(super) struct Store {
    /// Which access key opens it.
    pub(super) valid: u64,
    pub(super) uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    begun: u32,
    /// Bytes and ETag.
    pub(super) object: Option<(Vec<u8>, String)>,
    /// Whether it is made of what this upload sent.
    pub(super) is_ours: bool,
    pub(super) region: &'static str,
    /// How it is with lists of parts.
    pub(super) lists: Lists,
    /// Parts on one page.
    pub(super) page: usize,
    /// Requests in words, such as `PUT partNumber=1`.
    pub(super) log: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lists {
    Whole,
    /// A part that was sent twice is listed twice, and the older one last.
    Twice,
    WithoutEtags,
    Never,
}

/// Status, fields and body of an answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: String,
}

fn reply(status: u16) -> Reply {
    Reply {
        status,
        fields: Vec::new(),
        body: String::new(),
    }
}

fn error(status: u16, code: &str) -> Reply {
    Reply {
        body: format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code></Error>"),
        ..reply(status)
    }
}

pub(super) fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", Hasher::digest(Algorithm::Md5, bytes).hex())
}

impl Default for Store {
    fn default() -> Self {
        Self {
            valid: 0,
            uploads: BTreeMap::new(),
            begun: 0,
            object: None,
            is_ours: false,
            region: "us-east-1",
            lists: Lists::Whole,
            page: 2,
            log: Vec::new(),
        }
    }
}

impl Store {
    pub(super) fn serve(&mut self, exchange: &Exchange, source: &[u8]) -> Reply {
        let query: BTreeMap<String, String> = exchange.url.query_pairs().into_owned().collect();
        let field = |name: &str| {
            let value = exchange.headers.get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let body = bytes_of(exchange, source);
        let number = query.get("partNumber");
        let shown = number.map_or(String::new(), |number| format!(" {number}"));
        self.log.push(format!("{}{shown}", exchange.method));
        let authorization = field("authorization").expect("every request is signed");
        if !authorization.contains(&format!("Credential=K{}/", self.valid)) {
            return error(400, "ExpiredToken");
        }
        if !authorization.contains(&format!("/{}/s3/aws4_request", self.region)) {
            let mut reply = error(400, "AuthorizationHeaderMalformed");
            reply
                .fields
                .push(("x-amz-bucket-region", self.region.to_owned()));
            return reply;
        }
        let hash = field("x-amz-content-sha256").unwrap();
        let actual = Hasher::digest(Algorithm::Sha256, &body).hex();
        assert!(
            hash == "UNSIGNED-PAYLOAD" || hash == actual,
            "signed another body"
        );
        let md5 = field("content-md5");
        if md5.is_some_and(|md5| md5 != Hasher::digest(Algorithm::Md5, &body).base64()) {
            return error(400, "BadDigest");
        }
        let is_kept = field("if-none-match").is_some() && self.object.is_some();
        let upload = query.get("uploadId");
        match (exchange.method.as_str(), upload) {
            ("HEAD", None) => self.head(),
            ("POST", None) => {
                assert!(query.contains_key("uploads"));
                self.begun += 1;
                let id = format!("upload {}&<", self.begun);
                self.uploads.insert(id.clone(), BTreeMap::new());
                let mut escaped = String::new();
                said::escape(&id, &mut escaped);
                Reply {
                    body: format!(
                        "<InitiateMultipartUploadResult><UploadId>{escaped}</UploadId></InitiateMultipartUploadResult>"
                    ),
                    ..reply(200)
                }
            }
            ("PUT", None) if is_kept => error(412, "PreconditionFailed"),
            ("PUT", None) => {
                if !checksum_is_right(exchange, &body) {
                    return error(400, "BadDigest");
                }
                let tag = etag(&body);
                self.object = Some((body, tag.clone()));
                self.is_ours = true;
                Reply {
                    fields: vec![("etag", tag)],
                    ..reply(200)
                }
            }
            (_, Some(id)) if !self.uploads.contains_key(id) => error(404, "NoSuchUpload"),
            ("PUT", Some(id)) => {
                if !checksum_is_right(exchange, &body) {
                    return error(400, "BadDigest");
                }
                let tag = etag(&body);
                let parts = self.uploads.get_mut(id).unwrap();
                parts.insert(number.unwrap().parse().unwrap(), body);
                Reply {
                    fields: vec![("etag", tag)],
                    ..reply(200)
                }
            }
            ("GET", Some(id)) => self.list(&id.clone(), query.get("part-number-marker")),
            ("DELETE", Some(id)) => {
                self.uploads.remove(id);
                reply(204)
            }
            ("POST", Some(_)) if is_kept => error(412, "PreconditionFailed"),
            ("POST", Some(id)) => {
                let whole = field("x-amz-checksum-crc64nvme");
                self.complete(&id.clone(), &body, whole)
            }
            other => panic!("{other:?}"),
        }
    }

    fn head(&self) -> Reply {
        let Some((bytes, tag)) = &self.object else {
            return reply(404);
        };
        Reply {
            fields: vec![
                ("etag", tag.clone()),
                ("content-length", bytes.len().to_string()),
            ],
            ..reply(200)
        }
    }

    fn list(&self, id: &str, marker: Option<&String>) -> Reply {
        if self.lists == Lists::Never {
            return error(405, "MethodNotAllowed");
        }
        let marker: u32 = marker.map_or(0, |marker| marker.parse().unwrap());
        let parts = &self.uploads[id];
        let mut body = String::from("<ListPartsResult>");
        let after: Vec<_> = parts.range(marker + 1..).collect();
        for (number, bytes) in after.iter().take(self.page) {
            let tag = match self.lists {
                Lists::WithoutEtags => String::new(),
                _ => format!("<ETag>{}</ETag>", etag(bytes).replace('"', "&quot;")),
            };
            let one = |tag: &str, time: &str| {
                format!(
                    "<Part><PartNumber>{number}</PartNumber>{tag}<Size>{}</Size>\
                     <LastModified>{time}</LastModified></Part>",
                    bytes.len()
                )
            };
            body.push_str(&one(&tag, "2026-01-02T00:00:00Z"));
            if self.lists == Lists::Twice {
                body.push_str(&one("<ETag>\"old\"</ETag>", "2026-01-01T00:00:00Z"));
            }
        }
        if after.len() > self.page {
            let last = after[self.page - 1].0;
            body.push_str(&format!(
                "<IsTruncated>true</IsTruncated><NextPartNumberMarker>{last}</NextPartNumberMarker>"
            ));
        }
        body.push_str("</ListPartsResult>");
        Reply { body, ..reply(200) }
    }

    fn complete(&mut self, id: &str, body: &[u8], whole: Option<String>) -> Reply {
        let parts = &self.uploads[id];
        let mut named: Vec<(u32, String)> = Vec::new();
        let mut number = 0;
        xml::walk(body, |path, text| match path.last().unwrap().as_str() {
            "PartNumber" => number = text.parse().unwrap(),
            "ETag" => named.push((number, text.to_owned())),
            _ => (),
        })
        .unwrap();
        assert!(
            named.windows(2).all(|two| two[0].0 < two[1].0),
            "in their order"
        );
        let mut bytes = Vec::new();
        for (number, tag) in &named {
            match parts.get(number) {
                Some(part) if etag(part) == *tag => bytes.extend_from_slice(part),
                _ => return error(400, "InvalidPart"),
            }
        }
        let ours = Hasher::digest(Algorithm::Crc64Nvme, &bytes).base64();
        if whole.is_some_and(|whole| whole != ours) {
            return error(400, "BadDigest");
        }
        let tags: Vec<String> = named.iter().map(|(_, tag)| tag.clone()).collect();
        let tag = said::composite_etag(tags.iter().map(|tag| Some(tag.as_str()))).unwrap();
        let tag = format!("\"{tag}\"");
        self.uploads.remove(id);
        self.object = Some((bytes, tag.clone()));
        self.is_ours = true;
        let body = format!(
            "<CompleteMultipartUploadResult><ETag>{}</ETag><ChecksumCRC64NVME>{ours}</ChecksumCRC64NVME>\
             <ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>",
            tag.replace('"', "&quot;")
        );
        Reply { body, ..reply(200) }
    }
}

fn checksum_is_right(exchange: &Exchange, body: &[u8]) -> bool {
    let all = [
        ("x-amz-checksum-crc32c", Algorithm::Crc32c),
        ("x-amz-checksum-crc64nvme", Algorithm::Crc64Nvme),
        ("x-amz-checksum-sha256", Algorithm::Sha256),
    ];
    all.iter().all(|(name, algorithm)| {
        let value = exchange.headers.get(*name);
        value.is_none_or(|value| {
            value.as_bytes() == Hasher::digest(*algorithm, body).base64().as_bytes()
        })
    })
}

fn bytes_of(exchange: &Exchange, source: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for segment in &exchange.payload.segments {
        match segment {
            Segment::Bytes(bytes) => body.extend_from_slice(bytes),
            Segment::Source(range) => {
                body.extend_from_slice(&source[range.start as usize..range.end as usize]);
            }
            Segment::Rest(_) => panic!("no body is sent that has no length"),
        }
    }
    body
}

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
    pub(super) checksum: Checksum,
    pub(super) renews: bool,
    pub(super) keeps: bool,
    pub(super) parallel: usize,
    pub(super) is_stream: bool,
    /// The endpoint is one's own, over plain HTTP.
    pub(super) is_own: bool,
    now: SystemTime,
}

impl Driver {
    pub(super) fn new(len: usize, part: u64) -> Self {
        Self {
            store: Arc::default(),
            source: (0..len).map(|at| (at * 7 % 251) as u8).collect(),
            part,
            checksum: Checksum::Crc64Nvme,
            renews: false,
            keeps: false,
            parallel: 1,
            is_stream: false,
            is_own: false,
            now: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        }
    }

    pub(super) fn open(&self, left: Option<Saved>) -> Box<dyn UploadSession> {
        let store = Arc::clone(&self.store);
        let key = move || S3Credentials::new(format!("K{}", store.lock().unwrap().valid), "s3cret");
        let source = match self.renews {
            true => CredentialSource::provider(move || std::future::ready(Ok(key()))),
            false => CredentialSource::fixed(key()),
        };
        let mut config = S3Config::new(source)
            .least_part(1)
            .part_size(self.part)
            .checksum(self.checksum)
            .if_none_match_any(self.keeps);
        if self.is_own {
            config = config.endpoint("http://127.0.0.1:9000".parse().unwrap());
        }
        let protocol = S3::new("s3://bucket/a key", config).unwrap();
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
            let requests = flying
                .iter()
                .filter(|one| matches!(one, Flying::Request(_)));
            if requests.count() < self.parallel {
                match session.next(available, self.now)? {
                    Next::Send(exchange) => {
                        let range = exchange.payload.source_range();
                        assert!(
                            range.is_none_or(|range| !self.is_stream || range.start >= released)
                        );
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
                        end(
                            session.returned(id, given, self.now),
                            id,
                            200,
                            &mut *session,
                        )?;
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
                    let digest: Digest = Hasher::digest(job.algorithm, &self.source[range]);
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
                        return Err(ProtocolError::parameter(
                            "test",
                            "a stream ends with its reader",
                        ));
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
        panic!(
            "no end: {:?}",
            self.store
                .lock()
                .unwrap()
                .log
                .iter()
                .rev()
                .take(9)
                .collect::<Vec<_>>()
        );
    }

    /// Brings a request to the store and its answer back, as far as its fate allows.
    pub(super) fn bring(
        &self,
        exchange: &Exchange,
        fate: Fate,
        session: &mut dyn UploadSession,
    ) -> Result<(), ProtocolError> {
        let id = exchange.id;
        let mut damaged = self.source.clone();
        let answer = {
            let mut store = self.store.lock().unwrap();
            match fate {
                Fate::Unsent => {
                    session.lost(id, Lost::Unsent);
                    return Ok(());
                }
                Fate::Busy => error(503, "SlowDown"),
                Fate::Damaged => {
                    let range = exchange.payload.source_range();
                    if let Some(byte) =
                        range.and_then(|range| damaged.get_mut(range.start as usize))
                    {
                        *byte ^= 1;
                    }
                    // Its signature does not allow for other bytes.
                    match exchange.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD" {
                        true => store.serve(exchange, &damaged),
                        false => store.serve(exchange, &self.source),
                    }
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
        if let Some(range) = exchange.payload.source_range() {
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
