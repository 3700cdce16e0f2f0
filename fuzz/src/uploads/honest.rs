//! Small servers that keep to their protocols, and an upload driven to its end at one of them.

use std::ops::Range;
use std::time::SystemTime;

use bytehaul_integrity::Hasher;
use bytehaul_providers::http::{HeaderMap, HeaderValue, Method, StatusCode};
use bytehaul_providers::{
    Answer, Available, Exchange, Fault, Lost, Next, Payload, Segment, Stage, UploadSession, Url,
};
use bytes::Bytes;

/// What a server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Honest {
    Form,
    Put,
    /// One signed PUT. There the receipts alone say what the server has.
    Plan,
    Tus,
    Draft,
}

/// Drives a session to its end at a server that has nothing yet: the object is there then, unless the session had been told
/// at this stage that it may be complete already.
pub(crate) fn rest(mut session: Box<dyn UploadSession>, len: u64, stage: Stage, honest: Honest) {
    let mut server = Server::new(honest);
    let finished = run(&mut *session, &mut server, len);
    let may_be_elsewhere = matches!(stage, Stage::Complete | Stage::Committing)
        || (honest == Honest::Plan && session.acknowledged().bytes == len);
    match finished {
        Ok(Finished::Done) => assert!(
            may_be_elsewhere || server.has(len),
            "{honest:?}: complete from {stage:?}, and the server has {:?}",
            server.resources
        ),
        Ok(Finished::Aborted) => panic!("{honest:?}: nobody wanted to discard it"),
        Err(error) => assert!(
            may_be_elsewhere,
            "{honest:?}: an honest server has from {stage:?} {error}"
        ),
    }
}

/// Drives a session that is to discard itself: not a byte of the source is sent any more.
pub(crate) fn discard(mut session: Box<dyn UploadSession>, len: u64, honest: Honest) {
    let mut server = Server::new(honest);
    let _ = run(&mut *session, &mut server, len);
    assert_eq!(
        server.taken, 0,
        "{honest:?}: bytes are sent to be discarded"
    );
}

enum Finished {
    Done,
    Aborted,
}

/// One request after the other; the error is what ended it otherwise.
fn run(session: &mut dyn UploadSession, server: &mut Server, len: u64) -> Result<Finished, String> {
    let now = SystemTime::UNIX_EPOCH;
    let available = Available {
        until: len,
        ended: true,
    };
    for _ in 0..MOST_EXCHANGES {
        let next = session.next(available, now);
        let exchange = match next.map_err(|error| error.to_string())? {
            Next::Send(exchange) => exchange,
            Next::Digest(job) => {
                session.digested(job.id, Hasher::digest(job.algorithm, &source(job.range)));
                continue;
            }
            Next::Done(_) => return Ok(Finished::Done),
            Next::Aborted => return Ok(Finished::Aborted),
            next => panic!("nothing is on its way, and the session wants {next:?}"),
        };
        let (status, headers, body) = server.answer(&exchange);
        let answer = Answer::new(status, &headers, &body, &exchange.url);
        let range = exchange.payload.source_range();
        let sent = range.map_or(0, |range| range.end - range.start);
        let crc = bytehaul_integrity::crc32c(&body_of(&exchange.payload));
        let answer = answer.sent(sent, (sent > 0).then_some(crc));
        match session.answered(exchange.id, &answer, now) {
            Ok(()) => (),
            Err(Fault::Status) if !is_passing(status) => return Err(format!("{status}")),
            Err(Fault::Fatal(error)) => return Err(error.to_string()),
            Err(_) => session.lost(exchange.id, Lost::Refused(status)),
        }
    }
    panic!("{MOST_EXCHANGES} exchanges with an honest server do not finish");
}

/// Whether a driver asks again after this status.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error()
}

/// The bytes of every source.
pub(crate) fn source(range: Range<u64>) -> Vec<u8> {
    assert!(range.end <= LONGEST, "{range:?} is beyond every source");
    range.map(|at| (at * 7 % 251).to_le_bytes()[0]).collect()
}

struct Server {
    honest: Honest,
    resources: Vec<Resource>,
    /// Bytes of the source that it was sent.
    taken: u64,
    created: usize,
}

#[derive(Debug, Default)]
struct Resource {
    path: String,
    len: Option<u64>,
    bytes: Vec<u8>,
    complete: bool,
}

type Said = (StatusCode, Vec<(&'static str, String)>);

impl Server {
    fn new(honest: Honest) -> Self {
        Self {
            honest,
            resources: Vec::new(),
            taken: 0,
            created: 0,
        }
    }

    /// Whether there is a complete object of the source's bytes.
    fn has(&self, len: u64) -> bool {
        let whole = source(0..len);
        let is_it = |one: &Resource| one.complete && one.bytes == whole;
        self.resources.iter().any(is_it)
    }

    fn answer(&mut self, exchange: &Exchange) -> (StatusCode, HeaderMap, Bytes) {
        if let Some(range) = exchange.payload.source_range() {
            self.taken += range.end - range.start;
        }
        let mut body = Bytes::new();
        let (status, fields) = match self.honest {
            Honest::Form => {
                body = self.form(exchange).into();
                (StatusCode::OK, Vec::new())
            }
            Honest::Put | Honest::Plan => self.put(exchange),
            Honest::Tus => self.tus(exchange),
            Honest::Draft => self.draft(exchange),
        };
        let value = |text: String| HeaderValue::try_from(text).expect("a field's value");
        let named = |(name, text)| (http_name(name), value(text));
        (status, fields.into_iter().map(named).collect(), body)
    }

    fn form(&mut self, exchange: &Exchange) -> String {
        if self.resources.is_empty() {
            self.create(None);
        }
        let file = &mut self.resources[0];
        if let Some(range) = exchange.payload.source_range()
            && range.start == file.bytes.len() as u64
        {
            file.bytes.extend(source(range));
        }
        file.complete = true;
        format!("{{\"nextByte\":{}}}", file.bytes.len())
    }

    fn put(&mut self, exchange: &Exchange) -> Said {
        let at = field(exchange, "content-range").and_then(|range| {
            range
                .strip_prefix("bytes ")?
                .split('-')
                .next()?
                .parse()
                .ok()
        });
        match exchange.method {
            Method::PUT => {
                if self.resources.is_empty() || at.is_none() {
                    self.resources.clear();
                    self.create(None);
                }
                let object = &mut self.resources[0];
                if at.is_some_and(|at: usize| at != object.bytes.len()) {
                    return (StatusCode::RANGE_NOT_SATISFIABLE, Vec::new());
                }
                object.bytes.extend(body_of(&exchange.payload));
                object.complete = true;
                (StatusCode::CREATED, Vec::new())
            }
            Method::DELETE if self.resources.pop().is_some() => {
                (StatusCode::NO_CONTENT, Vec::new())
            }
            _ => match self.resources.first() {
                Some(object) => {
                    let len = object.bytes.len().to_string();
                    (StatusCode::OK, vec![("content-length", len)])
                }
                None => (StatusCode::NOT_FOUND, Vec::new()),
            },
        }
    }

    fn tus(&mut self, exchange: &Exchange) -> Said {
        let meant = field(exchange, "x-http-method-override");
        let meant = meant.and_then(|method| Method::try_from(method).ok());
        let method = meant.unwrap_or_else(|| exchange.method.clone());
        match method {
            Method::OPTIONS => {
                let extensions = "creation,creation-with-upload,creation-defer-length,\
                                  checksum,concatenation,termination";
                let fields = vec![
                    ("tus-version", "1.0.0".to_owned()),
                    ("tus-extension", extensions.to_owned()),
                ];
                return (StatusCode::NO_CONTENT, fields);
            }
            Method::POST => return self.tus_create(exchange),
            _ => (),
        }
        let Some(index) = self.find(&exchange.url) else {
            return (StatusCode::NOT_FOUND, Vec::new());
        };
        if method == Method::DELETE {
            self.resources.remove(index);
            return (StatusCode::NO_CONTENT, Vec::new());
        }
        let one = &mut self.resources[index];
        if method == Method::PATCH {
            if number(exchange, "upload-offset") != Some(one.bytes.len() as u64) {
                return (StatusCode::CONFLICT, Vec::new());
            }
            one.bytes.extend(body_of(&exchange.payload));
            one.len = one.len.or(number(exchange, "upload-length"));
        }
        one.complete = one.len == Some(one.bytes.len() as u64);
        let mut fields = vec![("upload-offset", one.bytes.len().to_string())];
        fields.push(match one.len {
            Some(len) => ("upload-length", len.to_string()),
            None => ("upload-defer-length", "1".to_owned()),
        });
        (StatusCode::OK, fields)
    }

    fn tus_create(&mut self, exchange: &Exchange) -> Said {
        let mut bytes = body_of(&exchange.payload);
        let mut len = number(exchange, "upload-length");
        if let Some(parts) =
            field(exchange, "upload-concat").and_then(|value| value.strip_prefix("final;"))
        {
            for part in parts.split(' ') {
                let part = Url::parse(part).ok().and_then(|url| self.find(&url));
                let Some(part) = part.map(|index| &self.resources[index]) else {
                    return (StatusCode::NOT_FOUND, Vec::new());
                };
                bytes.extend(&part.bytes);
            }
            len = Some(bytes.len() as u64);
        }
        let path = self.create(len);
        let offset = bytes.len();
        let made = self.resources.last_mut().expect("it was just created");
        made.complete = len == Some(offset as u64);
        made.bytes = bytes;
        let fields = vec![("location", path), ("upload-offset", offset.to_string())];
        (StatusCode::CREATED, fields)
    }

    fn draft(&mut self, exchange: &Exchange) -> Said {
        if exchange.method == Method::POST {
            let path = self.create(number(exchange, "upload-length"));
            let fields = vec![("location", path), ("upload-complete", "?0".to_owned())];
            return (StatusCode::CREATED, fields);
        }
        let Some(index) = self.find(&exchange.url) else {
            return (StatusCode::NOT_FOUND, Vec::new());
        };
        if exchange.method == Method::DELETE {
            self.resources.remove(index);
            return (StatusCode::NO_CONTENT, Vec::new());
        }
        let one = &mut self.resources[index];
        if exchange.method == Method::PATCH {
            if number(exchange, "upload-offset") != Some(one.bytes.len() as u64) || one.complete {
                return (StatusCode::CONFLICT, Vec::new());
            }
            one.bytes.extend(body_of(&exchange.payload));
            one.complete = field(exchange, "upload-complete") == Some("?1");
        }
        let complete = if one.complete { "?1" } else { "?0" };
        let fields = vec![
            ("upload-offset", one.bytes.len().to_string()),
            ("upload-complete", complete.to_owned()),
        ];
        (StatusCode::NO_CONTENT, fields)
    }

    fn create(&mut self, len: Option<u64>) -> String {
        self.created += 1;
        let path = format!("/honest/{}", self.created);
        self.resources.push(Resource {
            path: path.clone(),
            len,
            ..Resource::default()
        });
        path
    }

    fn find(&self, url: &Url) -> Option<usize> {
        self.resources.iter().position(|one| one.path == url.path())
    }
}

/// A body as it is sent.
fn body_of(payload: &Payload) -> Vec<u8> {
    let bytes = |segment: &Segment| match segment {
        Segment::Bytes(bytes) => bytes.to_vec(),
        Segment::Source(range) => source(range.clone()),
        _ => panic!("the length of the source is known"),
    };
    payload.segments.iter().flat_map(bytes).collect()
}

fn field<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a str> {
    exchange.headers.get(name)?.to_str().ok()
}

/// A field of a request that is a number.
pub(crate) fn number(exchange: &Exchange, name: &str) -> Option<u64> {
    field(exchange, name)?.parse().ok()
}

fn http_name(name: &'static str) -> bytehaul_providers::http::HeaderName {
    bytehaul_providers::http::HeaderName::from_static(name)
}

/// No source here is longer.
pub(crate) const LONGEST: u64 = 512;
const MOST_EXCHANGES: usize = 2000;
