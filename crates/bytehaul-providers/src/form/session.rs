//! One form upload as a machine: digest, prepare, chunks at the server's cursor.

use std::ops::Range;
use std::time::SystemTime;

use bytehaul_integrity::{Algorithm, Digest};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use super::reply::{self, Reply};
use super::{Form, body};
use crate::{
    Acknowledged, Answer, Available, Completed, Cursor, DigestJob, Exchange, ExchangeId, Fault,
    Ids, Left, Lost, Next, Object, ProtocolError, ProtocolErrorKind, Saved, Stage, Step,
    UploadSession,
};

#[derive(Debug)]
pub(super) struct Session {
    form: Form,
    url: Url,
    name: String,
    total: u64,
    part_size: u64,
    /// The digest that the caller gave.
    given: Option<Digest>,
    /// The digest to send; known from [`State::Prepare`] on.
    md5: Option<Digest>,
    ids: Ids,
    cursor: Cursor,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Digest,
    Digesting(ExchangeId),
    /// What the given digest is of is not what would be sent.
    Mismatch,
    Prepare(Step),
    Preparing(ExchangeId, Step),
    Chunk,
    Sending(ExchangeId, Range<u64>),
    Done(Option<Bytes>),
    Aborted,
}

impl Session {
    pub(super) fn new(
        form: &Form,
        url: Url,
        object: &Object,
        total: u64,
        given: Option<Digest>,
        left: Option<Left>,
    ) -> Self {
        let (saved, unchanged) = match left {
            Some(left) => (left.saved, left.unchanged),
            None => (Saved::default(), true),
        };
        let kept = saved
            .extra
            .get(MD5)
            .and_then(|hex| Digest::parse(Algorithm::Md5, hex).ok());
        let md5 = given.or(kept).filter(|_| unchanged);
        Self {
            form: form.clone(),
            url,
            name: object.name.clone(),
            total,
            part_size: object.part_size.unwrap_or(form.part_size).max(1),
            given,
            md5,
            ids: Ids::default(),
            cursor: Cursor::restored(&saved.parts),
            state: match md5 {
                Some(_) => State::Prepare(Step::Begin),
                None => State::Digest,
            },
        }
    }

    fn prepare(&mut self, step: Step, now: SystemTime) -> Exchange {
        let id = self.ids.fresh();
        self.state = State::Preparing(id, step.clone());
        self.request(id, step, None, now)
    }

    fn chunk(&mut self, available: Available, now: SystemTime) -> Result<Next, ProtocolError> {
        if available.ended && available.until != self.total {
            let what = format!(
                "the source has {} bytes, not {} as announced",
                available.until, self.total
            );
            return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
        }
        let start = self.cursor.offset();
        let end = start.saturating_add(self.part_size).min(self.total);
        if end > available.until {
            return Ok(Next::Wait);
        }
        let id = self.ids.fresh();
        self.state = State::Sending(id, start..end);
        let step = Step::Part {
            number: u32::try_from(start / self.part_size + 1).unwrap_or(u32::MAX),
            range: start..end,
        };
        let exchange = self.request(id, step, Some(start..end), now);
        Ok(Next::Send(Box::new(exchange)))
    }

    /// The request for a chunk, or for none: prepare.
    fn request(
        &self,
        id: ExchangeId,
        step: Step,
        range: Option<Range<u64>>,
        now: SystemTime,
    ) -> Exchange {
        let md5 = self.md5.expect("the digest comes before requests").hex();
        let total = self.total.to_string();
        let boundary = body::boundary(&[&md5, &self.name, &self.form.category, &total], now);
        let mut form = body::Form::new(boundary);
        if let Some(range) = &range {
            form.file("file", &self.form.content_type, range.clone());
        }
        form.text("fileMd5", &md5);
        form.text("fileName", &self.name);
        form.text("category", &self.form.category);
        if let Some(range) = &range {
            form.text("offset", &range.start.to_string());
            form.text("partSize", &(range.end - range.start).to_string());
        }
        form.text("totalSize", &total);
        let content_type = HeaderValue::from_str(&form.content_type())
            .expect("a boundary is made of letters and digits");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
        Exchange::new(id, step, self.form.method.clone(), self.url.clone())
            .headers(headers)
            .payload(form.finish())
    }

    fn prepared(&mut self, reply: Reply) -> Result<(), Fault> {
        // What is below zero is no place in the source: the server has nothing.
        let next = u64::try_from(reply.next_byte.unwrap_or(0)).unwrap_or(0);
        if next > self.total {
            let what = format!("the server wants to go on at {next} of {}", self.total);
            return Err(ProtocolError::new(ProtocolErrorKind::Range, what).into());
        }
        self.cursor.set(next);
        self.go_on();
        Ok(())
    }

    fn taken(&mut self, reply: Reply, range: Range<u64>, crc: Option<u32>) -> Result<(), Fault> {
        let next = match reply.next_byte {
            None => Some(range.end),
            Some(next) => u64::try_from(next)
                .ok()
                .filter(|next| range.start < *next && *next <= range.end),
        };
        let Some(next) = next else {
            let what = format!(
                "the server wants to go on at {} after bytes {}-{}",
                reply.next_byte.unwrap_or_default(),
                range.start,
                range.end
            );
            return Err(ProtocolError::new(ProtocolErrorKind::Range, what).into());
        };
        // The checksum is that of the whole chunk, so it says nothing of a piece of it.
        let crc = crc.filter(|_| next == range.end);
        self.cursor.add(next - range.start, crc);
        self.go_on();
        Ok(())
    }

    fn go_on(&mut self) {
        self.state = match self.cursor.offset() == self.total {
            true => State::Done(None),
            false => State::Chunk,
        };
    }
}

impl UploadSession for Session {
    fn next(&mut self, available: Available, now: SystemTime) -> Result<Next, ProtocolError> {
        Ok(match self.state.clone() {
            State::Digest => {
                let id = self.ids.fresh();
                self.state = State::Digesting(id);
                Next::Digest(DigestJob {
                    id,
                    range: 0..self.total,
                    algorithm: Algorithm::Md5,
                })
            }
            State::Mismatch => {
                let what = "the source does not have the MD5 that was given for it";
                return Err(ProtocolError::new(ProtocolErrorKind::Checksum, what));
            }
            State::Prepare(step) => Next::Send(Box::new(self.prepare(step, now))),
            State::Chunk => return self.chunk(available, now),
            State::Done(payload) => Next::Done(Completed {
                payload,
                ..Completed::default()
            }),
            State::Aborted => Next::Aborted,
            State::Digesting(_) | State::Preparing(..) | State::Sending(..) => Next::Wait,
        })
    }

    fn answered(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        _now: SystemTime,
    ) -> Result<(), Fault> {
        let range = match &self.state {
            State::Preparing(ours, _) if *ours == id => None,
            State::Sending(ours, range) if *ours == id => Some(range.clone()),
            _ => return Ok(()),
        };
        if !answer.status.is_success() {
            return Err(Fault::Status);
        }
        let reply = reply::parse(answer.body)?;
        if let Some(file_id) = reply.file_id {
            self.cursor.set(self.total);
            self.state = State::Done(Some(Bytes::from(file_id)));
            return Ok(());
        }
        match range {
            None => self.prepared(reply),
            Some(range) if answer.sent != range.end - range.start => Err(Fault::Again(
                "the server answered before it had the whole chunk".into(),
            )),
            Some(range) => self.taken(reply, range, answer.crc32c),
        }
    }

    fn digested(&mut self, id: ExchangeId, digest: Digest) {
        if !matches!(self.state, State::Digesting(ours) if ours == id) {
            return;
        }
        let fits =
            digest.algorithm() == Algorithm::Md5 && self.given.is_none_or(|given| given == digest);
        self.md5 = fits.then_some(digest);
        self.state = match fits {
            true => State::Prepare(Step::Begin),
            false => State::Mismatch,
        };
    }

    fn lost(&mut self, id: ExchangeId, how: Lost) {
        self.state = match self.state.clone() {
            State::Digesting(ours) if ours == id => State::Digest,
            State::Preparing(ours, step) if ours == id => State::Prepare(step),
            State::Sending(ours, _) if ours == id => match surely_not_taken(how) {
                true => State::Chunk,
                false => State::Prepare(Step::Check),
            },
            other => other,
        };
    }

    fn abort(&mut self) {
        if !matches!(self.state, State::Done(_)) {
            self.state = State::Aborted;
        }
    }

    fn saved(&self) -> Saved {
        let stage = match &self.state {
            State::Digest | State::Digesting(_) | State::Mismatch => Stage::Beginning,
            State::Prepare(Step::Begin) | State::Preparing(_, Step::Begin) => Stage::Beginning,
            State::Prepare(_) | State::Preparing(..) => Stage::Sending,
            State::Chunk | State::Sending(..) => Stage::Sending,
            State::Done(_) => Stage::Complete,
            State::Aborted => Stage::Aborted,
        };
        let md5 = self.md5.map(|md5| (MD5.to_owned(), md5.hex()));
        let file_id = match &self.state {
            State::Done(Some(id)) => String::from_utf8(id.to_vec()).ok(),
            _ => None,
        };
        let file_id = file_id.map(|id| (FILE_ID.to_owned(), id));
        Saved {
            stage,
            part_size: self.part_size,
            parts: self.cursor.receipts().to_vec(),
            extra: md5.into_iter().chain(file_id).collect(),
            ..Saved::default()
        }
    }

    fn acknowledged(&self) -> Acknowledged {
        self.cursor.acknowledged()
    }
}

/// Whether the server has nothing of a chunk: it never left, or was turned away for a reason that comes before its bytes.
fn surely_not_taken(how: Lost) -> bool {
    match how {
        Lost::Unsent => true,
        Lost::Unknown => false,
        Lost::Refused(status) => {
            status == StatusCode::UNAUTHORIZED
                || status == StatusCode::FORBIDDEN
                || status == StatusCode::TOO_EARLY
                || status == StatusCode::TOO_MANY_REQUESTS
        }
    }
}

/// The name under which the digest is saved.
const MD5: &str = "file-md5";

/// The name under which the server's name of the object is saved.
const FILE_ID: &str = "file-id";
