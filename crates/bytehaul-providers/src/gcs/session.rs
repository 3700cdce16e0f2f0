//! One resumable upload: opened, asked where it is, sent chunk by chunk, and compared when it is complete.

mod earlier;

use std::ops::Range;
use std::time::SystemTime;

use bytehaul_integrity::Crc;
use http::header::{AUTHORIZATION, CONTENT_RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use super::answers::{self, Finished};
use super::{GRID, GcsToken};
use crate::credentials::{Access, Keys};
use crate::{
    Acknowledged, Algorithm, Answer, Available, Completed, CredentialSource, Cursor, Digest,
    DigestJob, Exchange, ExchangeId, Fault, Ids, Left, Lost, Next, Object, Payload, ProtocolError,
    ProtocolErrorKind, Returned, Saved, SessionId, Stage, Step, UploadSession,
};

/// How a session is opened, and how it sends.
pub(super) struct Settings {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Bytes, a multiple of the grid.
    pub(super) chunk: u64,
    /// Where the object's description is; `None` with a signed URL, which opens a session and nothing else.
    pub(super) object: Option<Url>,
}

pub(super) struct Session {
    settings: Settings,
    /// For the opening and the object's description alone; `None` with a signed URL.
    keys: Option<Keys<GcsToken, ()>>,
    ids: Ids,
    len: Option<u64>,
    is_stream: bool,
    /// Where the session is.
    url: Option<Url>,
    cursor: Cursor,
    /// Bytes at the server up to here can be ours: they are proven, or this run has sent them.
    trusted: u64,
    /// Whether this run has sent a chunk.
    has_sent: bool,
    flight: Option<Flight>,
    state: State,
    /// Whether the last chunk may have made the object though no answer said so.
    is_in_doubt: bool,
    /// Whether that was so of a session that is gone.
    was_in_doubt: bool,
    /// How many times all was begun anew.
    restarts: u32,
}

/// The one request that is on its way.
#[derive(Clone)]
struct Flight {
    id: ExchangeId,
    what: What,
}

#[derive(Clone, PartialEq, Eq)]
enum What {
    /// With credentials of this generation.
    Open(u64),
    /// The same.
    Look(u64),
    Ask,
    Chunk(Range<u64>),
    Abort,
}

#[derive(Clone)]
enum State {
    Open,
    /// To look whether the object of an earlier run is still there, by its entity tag.
    Look(String),
    /// To ask how much is there.
    Ask,
    Send,
    /// The object is there, and its bytes are to be compared.
    Verify(Finished, Option<ExchangeId>),
    Wrong,
    Done(Completed),
    Abort,
    Aborted,
}

impl Session {
    pub(super) fn new(
        settings: Settings,
        token: Option<CredentialSource<GcsToken>>,
        object: &Object,
        left: Option<Left>,
    ) -> Self {
        let mut session = Self {
            settings,
            keys: token.as_ref().map(Keys::new),
            ids: Ids::default(),
            len: object.len,
            is_stream: object.len.is_none(),
            url: None,
            cursor: Cursor::default(),
            trusted: 0,
            has_sent: false,
            flight: None,
            state: State::Open,
            is_in_doubt: false,
            was_in_doubt: false,
            restarts: 0,
        };
        if let Some(left) = left {
            session.take_up(&left);
        }
        session
    }

    /// The next chunk, if enough of the source is there.
    fn chunk(&self, available: Available) -> Option<Range<u64>> {
        let start = self.cursor.offset();
        // On the grid again, where the server has stopped off it.
        let end = start.saturating_add(self.settings.chunk);
        let end = end - end % GRID;
        match self.len {
            Some(len) => Some(start..end.min(len)),
            None => (end <= available.until).then_some(start..end),
        }
    }

    fn request(&mut self, what: What, token: Option<&GcsToken>) -> Result<Exchange, ProtocolError> {
        let id = self.ids.fresh();
        let url = match &what {
            What::Open(_) => Some(&self.settings.url),
            What::Look(_) => self.settings.object.as_ref(),
            What::Ask | What::Chunk(_) | What::Abort => self.url.as_ref(),
        };
        let Some(url) = url.cloned() else {
            let what = "there is no session";
            return Err(ProtocolError::new(ProtocolErrorKind::Indeterminate, what));
        };
        let total = self.len.map_or("*".to_owned(), |len| len.to_string());
        let mut headers = match &what {
            What::Open(_) => self.settings.headers.clone(),
            What::Look(_) | What::Ask | What::Chunk(_) | What::Abort => HeaderMap::new(),
        };
        if let Some(token) = token {
            let text = format!("Bearer {}", token.token.expose());
            let unfit = |_| ProtocolError::parameter("token", "not fit for a header field");
            let mut value = HeaderValue::from_str(&text).map_err(unfit)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let exchange = match &what {
            What::Open(_) => {
                let body = Payload::bytes(self.settings.body.clone());
                Exchange::new(id, Step::Begin, Method::POST, url).payload(body)
            }
            What::Look(_) => Exchange::new(id, Step::Check, Method::GET, url),
            What::Ask => {
                headers.insert(CONTENT_RANGE, text(&format!("bytes */{total}")));
                Exchange::new(id, Step::Check, Method::PUT, url).payload(Payload::bytes(Vec::new()))
            }
            What::Chunk(range) => {
                let span = match range.is_empty() {
                    // All of it is there, or there is nothing: it is only to be said that this is all.
                    true => "*".to_owned(),
                    false => format!("{}-{}", range.start, range.end - 1),
                };
                headers.insert(CONTENT_RANGE, text(&format!("bytes {span}/{total}")));
                self.has_sent = true;
                // By its place, so that one that fails again and again is the same part.
                let number = u32::try_from(range.start / GRID + 1).unwrap_or(u32::MAX);
                let step = Step::Part {
                    number,
                    range: range.clone(),
                };
                self.trusted = self.trusted.max(range.end);
                Exchange::new(id, step, Method::PUT, url).payload(Payload::source(range.clone()))
            }
            What::Abort => Exchange::new(id, Step::Abort, Method::DELETE, url)
                .payload(Payload::bytes(Vec::new())),
        };
        self.flight = Some(Flight { id, what });
        Ok(exchange.headers(headers))
    }

    fn taken(&mut self, what: What, answer: &Answer<'_>) -> Result<(), Fault> {
        match what {
            What::Open(_) => {
                self.url = Some(answers::location(answer)?);
                self.state = State::Send;
                Ok(())
            }
            What::Look(_) => {
                self.looked(answer);
                Ok(())
            }
            What::Ask | What::Chunk(_) => self.finished(&what, answer),
            What::Abort => {
                self.state = State::Aborted;
                Ok(())
            }
        }
    }

    /// The server says that the object is there.
    fn finished(&mut self, what: &What, answer: &Answer<'_>) -> Result<(), Fault> {
        self.is_in_doubt = false;
        let finished = answers::finished(answer);
        let Some(len) = self.len else {
            let what = "the server calls a stream complete that has not ended";
            return Err(ProtocolError::new(ProtocolErrorKind::Range, what).into());
        };
        if finished.size.is_some_and(|size| size != len) {
            let what = format!(
                "the object has {} bytes instead of {len}",
                finished.size.unwrap_or(0)
            );
            return Err(ProtocolError::new(ProtocolErrorKind::Checksum, what).into());
        }
        if let What::Chunk(range) = what {
            if answer.sent != range.end - range.start || range.end != len {
                return Err(Fault::Again(
                    "the server took a chunk before it had all of it".into(),
                ));
            }
            self.cursor.add(answer.sent, answer.crc32c);
        }
        let ours = match self.cursor.receipts() {
            [] if len == 0 => Some(0),
            [all] if all.end() == len => all.crc32c,
            _ => None,
        };
        let ours = ours.map(|crc| Crc::Crc32c.digest(crc.into()));
        self.cursor.set(len);
        match (ours, finished.crc32c) {
            (Some(ours), Some(_)) => self.verify(finished, ours)?,
            (None, Some(_)) if !self.is_stream => self.state = State::Verify(finished, None),
            _ => self.state = State::Done(finished.completed),
        }
        Ok(())
    }

    fn verify(&mut self, finished: Finished, ours: Digest) -> Result<(), ProtocolError> {
        let is_other = finished.crc32c.is_some_and(|theirs| theirs != ours);
        // Of the bytes that the source had when an earlier run sent them.
        if is_other && !self.has_sent && self.restart(StatusCode::OK).is_ok() {
            return Ok(());
        }
        if is_other {
            self.state = State::Wrong;
            return Err(wrong());
        }
        self.state = State::Done(Completed {
            verified: Some(ours),
            ..finished.completed
        });
        Ok(())
    }

    /// The server has kept so much.
    fn kept(&mut self, what: &What, answer: &Answer<'_>) -> Result<(), Fault> {
        self.is_in_doubt = false;
        let kept = answers::kept(answer)?;
        let before = self.cursor.offset();
        if self.len.is_some_and(|len| kept > len) {
            let what = "the server has more than there is";
            return Err(ProtocolError::new(ProtocolErrorKind::Range, what).into());
        }
        if kept > self.trusted {
            // Of a source that has changed since, and a session cannot go back.
            return Ok(self.restart(answer.status)?);
        }
        if self.is_stream && kept < before {
            let what = "the server has lost what it had of a stream";
            return Err(ProtocolError::new(ProtocolErrorKind::Range, what).into());
        }
        match what {
            What::Chunk(range) if kept == range.end && answer.sent == kept - range.start => {
                self.cursor.add(answer.sent, answer.crc32c);
            }
            _ => self.cursor.set(kept),
        }
        self.state = State::Send;
        match what {
            What::Chunk(_) if kept <= before => Err(Fault::Again(
                "the server has kept nothing of a chunk".into(),
            )),
            _ => Ok(()),
        }
    }

    /// Begins anew, because the session is gone.
    fn restart(&mut self, status: StatusCode) -> Result<(), ProtocolError> {
        let is_gone = self.is_stream && self.cursor.offset() > 0;
        if is_gone || self.restarts == MOST_RESTARTS {
            let what = match is_gone {
                true => "the session is gone, with what it had of a stream",
                false => "the session is gone again",
            };
            return Err(match self.is_in_doubt || self.was_in_doubt {
                true => unknown(what),
                false => ProtocolError::new(ProtocolErrorKind::Status(status), what),
            });
        }
        self.restarts += 1;
        self.was_in_doubt |= self.is_in_doubt;
        self.is_in_doubt = false;
        self.url = None;
        self.cursor = Cursor::default();
        self.trusted = 0;
        self.state = State::Open;
        Ok(())
    }

    fn not_taken(&mut self, what: &What, status: StatusCode) -> Result<(), Fault> {
        let is_gone = matches!(status.as_u16(), 404 | 410);
        match (what, &self.state) {
            // It is not there, or whoever may write may not look, or nobody may.
            (What::Look(_), _) if !is_passing(status) || status == StatusCode::NOT_IMPLEMENTED => {
                self.state = State::Open;
                Ok(())
            }
            // 499 is how a session says that it has been cancelled.
            (What::Abort, _) if is_gone || status.as_u16() == 499 => {
                self.state = State::Aborted;
                Ok(())
            }
            (What::Ask | What::Chunk(_), _) if is_gone => Ok(self.restart(status)?),
            // An object that is in the way may be ours.
            (What::Open(_) | What::Ask | What::Chunk(_), _)
                if (self.is_in_doubt || self.was_in_doubt) && !is_passing(status) =>
            {
                Err(unknown(&format!("the next one was status {}", status.as_u16())).into())
            }
            _ if status == StatusCode::PRECONDITION_FAILED => {
                let what = "an object is there already: status 412";
                Err(ProtocolError::new(ProtocolErrorKind::Changed, what).into())
            }
            _ => Err(Fault::Status),
        }
    }
}

impl UploadSession for Session {
    fn next(&mut self, available: Available, now: SystemTime) -> Result<Next, ProtocolError> {
        match &self.state {
            State::Done(completed) => return Ok(Next::Done(completed.clone())),
            State::Aborted => return Ok(Next::Aborted),
            State::Wrong => return Err(wrong()),
            State::Abort if self.url.is_none() => return Ok(Next::Aborted),
            _ if self.flight.is_some() => return Ok(Next::Wait),
            State::Verify(_, Some(_)) => return Ok(Next::Wait),
            _ => (),
        }
        let is_aborting = matches!(self.state, State::Abort);
        if available.ended && !is_aborting {
            let len = *self.len.get_or_insert(available.until);
            if len != available.until {
                let what = format!("the source has {} bytes instead of {len}", available.until);
                return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
            }
        }
        if let State::Verify(_, asked @ None) = &mut self.state {
            let id = self.ids.fresh();
            *asked = Some(id);
            return Ok(Next::Digest(DigestJob {
                id,
                range: 0..self.len.unwrap_or(0),
                algorithm: Algorithm::Crc32c,
            }));
        }
        let exchange = match &self.state {
            State::Open | State::Look(_) => match self
                .keys
                .as_mut()
                .map(|keys| keys.access(&mut self.ids, now))
            {
                None => self.request(What::Open(0), None)?,
                Some(Access::Ready(token, generation)) => {
                    let what = match &self.state {
                        State::Look(_) => What::Look(generation),
                        _ => What::Open(generation),
                    };
                    self.request(what, Some(&token))?
                }
                Some(Access::Call(call)) => return Ok(Next::Call(call)),
                Some(Access::Wait) => return Ok(Next::Wait),
            },
            State::Ask => self.request(What::Ask, None)?,
            State::Abort => self.request(What::Abort, None)?,
            _ => match self.chunk(available) {
                Some(range) if range.end <= available.until => {
                    self.request(What::Chunk(range), None)?
                }
                _ => return Ok(Next::Wait),
            },
        };
        Ok(Next::Send(Box::new(exchange)))
    }

    fn answered(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        _: SystemTime,
    ) -> Result<(), Fault> {
        let Some(flight) = self.flight.clone().filter(|flight| flight.id == id) else {
            return Ok(());
        };
        let status = answer.status;
        let what = &flight.what;
        let ended = match what {
            What::Ask | What::Chunk(_) if status == StatusCode::PERMANENT_REDIRECT => {
                self.kept(what, answer)
            }
            _ if status.is_success() => {
                if let (What::Open(_) | What::Look(_), Some(keys)) = (what, &mut self.keys) {
                    keys.accepted(&());
                }
                self.taken(what.clone(), answer)
            }
            What::Open(generation) | What::Look(generation)
                if matches!(status.as_u16(), 401 | 403) =>
            {
                let keys = self.keys.as_mut();
                match keys.is_some_and(|keys| keys.refused((), *generation)) {
                    true => Ok(()),
                    false if self.was_in_doubt || matches!(what, What::Look(_)) => {
                        self.not_taken(what, status)
                    }
                    false => {
                        let what = format!("opening the session: status {}", status.as_u16());
                        Err(ProtocolError::new(ProtocolErrorKind::Status(status), what).into())
                    }
                }
            }
            _ => self.not_taken(what, status),
        };
        if ended.is_ok() {
            self.flight = None;
        }
        ended
    }

    fn returned(&mut self, id: ExchangeId, value: Returned, now: SystemTime) -> Result<(), Fault> {
        let keys = self.keys.as_mut();
        match keys.and_then(|keys| keys.returned(id, value, now)) {
            Some(Err(error)) => Err(error.into()),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn digested(&mut self, id: ExchangeId, digest: Digest) {
        if let State::Verify(finished, Some(asked)) = &self.state
            && *asked == id
        {
            let finished = finished.clone();
            // Where it is wrong, `next` says so.
            let _ = self.verify(finished, digest);
        }
    }

    fn lost(&mut self, id: ExchangeId, how: Lost) {
        if self.keys.as_mut().is_some_and(|keys| keys.lost(id)) {
            return;
        }
        if let State::Verify(_, asked) = &mut self.state
            && *asked == Some(id)
        {
            *asked = None;
        }
        let Some(flight) = self.flight.take_if(|flight| flight.id == id) else {
            return;
        };
        // Some of it may be there by now.
        if let What::Chunk(range) = &flight.what
            && how != Lost::Unsent
        {
            self.is_in_doubt |= Some(range.end) == self.len;
            self.state = State::Ask;
        }
    }

    fn abort(&mut self) {
        if matches!(self.state, State::Done(_)) {
            return;
        }
        self.flight = None;
        if let Some(keys) = &mut self.keys {
            keys.forget_flight();
        }
        self.state = State::Abort;
    }

    fn saved(&self) -> Saved {
        let mut saved = Saved {
            session: self.url.clone().map(SessionId::new),
            stage: self.stage(),
            parts: self.cursor.receipts().to_vec(),
            ..Saved::default()
        };
        let extra = &mut saved.extra;
        extra.extend(self.len.map(|len| (LEN.into(), len.to_string())));
        let etag = match &self.state {
            State::Done(completed) => completed.etag.as_ref(),
            State::Look(etag) => Some(etag),
            _ => None,
        };
        extra.extend(etag.map(|etag| (ETAG.into(), etag.clone())));
        saved
    }

    fn stage(&self) -> Stage {
        let is_last = |flight: &Flight| match &flight.what {
            What::Chunk(range) => Some(range.end) == self.len,
            What::Open(_) | What::Look(_) | What::Ask | What::Abort => false,
        };
        match &self.state {
            State::Open => Stage::Beginning,
            State::Done(_) | State::Look(_) => Stage::Complete,
            State::Verify(..) | State::Wrong => Stage::Committing,
            State::Aborted => Stage::Aborted,
            State::Send if self.flight.as_ref().is_some_and(is_last) => Stage::Committing,
            State::Ask if self.is_in_doubt => Stage::Committing,
            State::Ask | State::Send | State::Abort => Stage::Sending,
        }
    }

    fn part_size(&self) -> u64 {
        self.settings.chunk
    }

    fn acknowledged(&self) -> Acknowledged {
        self.cursor.acknowledged()
    }
}

/// Statuses that the driver tries again.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error()
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("numbers are fit for a field")
}

fn unknown(what: &str) -> ProtocolError {
    let what =
        format!("it cannot be known whether the object was made: an answer was lost, and {what}");
    ProtocolError::new(ProtocolErrorKind::Indeterminate, what)
}

fn wrong() -> ProtocolError {
    let what = "the server made an object of another crc32c";
    ProtocolError::new(ProtocolErrorKind::Checksum, what)
}

/// Names in [`Saved::extra`].
const LEN: &str = "len";
const ETAG: &str = "etag";

/// Times that everything is begun anew because the session is gone.
const MOST_RESTARTS: u32 = 2;
