//! The whole body in one request, and what is made of a lost answer to it.

use std::time::SystemTime;

use bytehaul_integrity::{Crc, Digest};
use http::header::IF_NONE_MATCH;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use super::Put;
use super::proof::{self, Digests, Said};
use crate::{
    Acknowledged, Answer, Available, Completed, Exchange, ExchangeId, Fault, Ids, Left, Lost, Next,
    Object, Payload, ProtocolError, ProtocolErrorKind, Saved, Segment, Stage, Step, UploadSession,
};

#[derive(Debug)]
pub(super) struct Whole {
    put: Put,
    url: Url,
    headers: HeaderMap,
    len: Option<u64>,
    digests: Digests,
    /// Whether an earlier try may have made the object.
    doubt: bool,
    /// Bytes of a stream that went before an answer which calls it complete.
    streamed: Option<u64>,
    expect: bool,
    ids: Ids,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Send,
    Sending(ExchangeId, Body),
    /// A gateway has answered for the server, after so many bytes of a stream.
    Gateway(ExchangeId, StatusCode, u64),
    Doubtful(StatusCode, u64),
    Check,
    Checking(ExchangeId),
    /// An earlier run was told that the object is there: whether it still is.
    Look(String),
    Looking(ExchangeId, String),
    /// Holds the length of the object.
    Done(Completed, u64),
    /// An answer was lost that cannot be had again.
    Unknown,
    Aborted,
}

/// Whether a body can be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Body {
    Kept,
    /// A stream of which nothing is kept.
    Once,
}

impl Whole {
    pub(super) fn new(
        put: &Put,
        url: Url,
        mut headers: HeaderMap,
        object: &Object,
        left: Option<Left>,
    ) -> Self {
        if put.if_none_match_any {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        let begun = left.as_ref();
        let begun = begun.is_some_and(|left| left.saved.stage != Stage::Beginning);
        let state = match (left, object.len) {
            (Some(left), Some(len)) if left.saved.stage == Stage::Complete && left.unchanged => {
                complete(put, &left, len)
            }
            _ => State::Send,
        };
        Self {
            put: put.clone(),
            url,
            headers,
            len: object.len,
            digests: Digests::new(put.algorithms(), 0..object.len.unwrap_or(0), object.digest),
            doubt: begun,
            streamed: None,
            expect: true,
            ids: Ids::default(),
            state,
        }
    }

    fn send(&mut self, available: Available) -> Result<Next, ProtocolError> {
        if available.ended && self.len.is_some_and(|len| len != available.until) {
            return Err(shorter(available, self.len));
        }
        if let Some(job) = self.digests.ask(&mut self.ids) {
            return Ok(Next::Digest(job));
        }
        if !self.digests.are_known() {
            return Ok(Next::Wait);
        }
        let len = self.len.or(available.ended.then_some(available.until));
        let (segment, end, body) = match len {
            Some(len) => (Segment::Source(0..len), len, Body::Kept),
            None => (Segment::Rest(0), u64::MAX, Body::Once),
        };
        let id = self.ids.fresh();
        self.state = State::Sending(id, body);
        let mut headers = self.headers.clone();
        self.digests.fields(&mut headers);
        let step = Step::Part {
            number: 1,
            range: 0..end,
        };
        let mut exchange = Exchange::new(id, step, self.put.method.clone(), self.url.clone())
            .headers(headers)
            .payload(Payload {
                segments: vec![segment],
            });
        exchange.expect_continue = self.expect && self.put.expects(len);
        Ok(Next::Send(Box::new(exchange)))
    }

    fn sent(&mut self, answer: &Answer<'_>, body: Body) -> Result<(), Fault> {
        let whole = self.len.is_none_or(|len| len == answer.sent);
        let crc = answer.crc32c.filter(|_| whole);
        let crc = crc.map(|crc| Crc::Crc32c.digest(crc.into()));
        match answer.status {
            status if status.is_success() && !whole => Err(self.hasty()),
            status if status.is_success() => self.made(answer, crc, body),
            StatusCode::PRECONDITION_FAILED if self.put.if_none_match_any => {
                if !self.doubt {
                    return Err(exists("an object is there already"));
                }
                if let Some(crc) = crc {
                    self.digests.learn(crc);
                }
                self.state = State::Check;
                Ok(())
            }
            StatusCode::EXPECTATION_FAILED if self.expect => {
                self.expect = false;
                Err(Fault::Now("the server gives no leave in advance".into()))
            }
            status if gave_up(status) && self.once() && self.len.is_some() && whole => {
                Err(unknown().into())
            }
            status if gave_up(status) && body == Body::Once && answer.sent > 0 => {
                if let State::Sending(id, _) = self.state {
                    self.state = State::Gateway(id, status, answer.sent);
                }
                Err(Fault::Status)
            }
            // Nothing is left to send again.
            status if body == Body::Once && answer.sent > 0 => Err(refused(status).into()),
            _ => Err(Fault::Status),
        }
    }

    /// The server calls complete what it was not sent.
    fn hasty(&self) -> Fault {
        match self.once() {
            true => unknown().into(),
            false => Fault::Again(HASTY.into()),
        }
    }

    /// Whether it must not be sent twice.
    fn once(&self) -> bool {
        self.put.method == Method::POST && !self.put.idempotent
    }

    fn made(&mut self, answer: &Answer<'_>, crc: Option<Digest>, body: Body) -> Result<(), Fault> {
        let known: Vec<Digest> = self.digests.known().iter().copied().chain(crc).collect();
        let verified = match proof::said(answer, &self.put.method, &known) {
            Said::Nothing => None,
            Said::Same(digest) => Some(digest),
            Said::Other(algorithm) => {
                let what = format!("the server made an object of another {algorithm} digest");
                return Err(ProtocolError::new(ProtocolErrorKind::Checksum, what).into());
            }
        };
        self.streamed = (body == Body::Once).then_some(answer.sent);
        let len = self.len.unwrap_or(answer.sent);
        self.state = State::Done(proof::completed(answer, verified), len);
        Ok(())
    }

    /// What stands there by now, after an earlier run was told that our object does. Whatever is not surely it is put again.
    fn looked(&mut self, answer: &Answer<'_>, etag: &str) -> Result<(), Fault> {
        if again(answer.status) {
            return Err(Fault::Status);
        }
        let is_ours = answer.status.is_success()
            && answer.header("etag") == Some(etag)
            && proof::length(answer).is_none_or(|theirs| Some(theirs) == self.len);
        self.state = match (is_ours, self.len) {
            (true, Some(len)) => State::Done(proof::completed(answer, None), len),
            _ => State::Send,
        };
        Ok(())
    }

    /// An object is there, of an earlier try or somebody else's.
    fn checked(&mut self, answer: &Answer<'_>) -> Result<(), Fault> {
        if again(answer.status) {
            return Err(Fault::Status);
        }
        // It is not there, so the stream has to be sent again, if the driver can.
        if matches!(answer.status.as_u16(), 404 | 410) && self.len.is_none() {
            self.state = State::Send;
            return Ok(());
        }
        if !answer.status.is_success() {
            return Err(unknown().into());
        }
        let known = self.digests.known();
        let said = proof::said(answer, &Method::HEAD, known);
        let other = match (self.len, proof::length(answer)) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => false,
        };
        match said {
            _ if other => Err(exists("an object of another length is there")),
            Said::Other(_) => Err(exists("an object of another digest is there")),
            Said::Nothing => Err(unknown().into()),
            Said::Same(digest) => {
                let len = self.len.or(proof::length(answer)).unwrap_or(0);
                self.state = State::Done(proof::completed(answer, Some(digest)), len);
                Ok(())
            }
        }
    }
}

impl UploadSession for Whole {
    fn next(&mut self, available: Available, _now: SystemTime) -> Result<Next, ProtocolError> {
        Ok(match &self.state {
            State::Send => return self.send(available),
            // What has not been sent to its end is no object.
            State::Doubtful(status, sent) if !(available.ended && available.until == *sent) => {
                return Err(refused(*status));
            }
            State::Doubtful(..) if self.once() => return Err(unknown()),
            State::Check | State::Doubtful(..) => {
                let id = self.ids.fresh();
                self.state = State::Checking(id);
                let url = self.url.clone();
                Next::Send(Box::new(Exchange::new(id, Step::Check, Method::HEAD, url)))
            }
            State::Look(etag) => {
                let (id, etag) = (self.ids.fresh(), etag.clone());
                self.state = State::Looking(id, etag);
                let url = self.url.clone();
                Next::Send(Box::new(Exchange::new(id, Step::Check, Method::HEAD, url)))
            }
            // A success before the end of a stream, which cannot be sent again, is of whatever the server had by then.
            State::Done(..)
                if self
                    .streamed
                    .is_some_and(|sent| !(available.ended && available.until == sent)) =>
            {
                self.state = State::Unknown;
                return Err(ProtocolError::new(ProtocolErrorKind::Indeterminate, HASTY));
            }
            State::Done(completed, _) => Next::Done(completed.clone()),
            State::Unknown => return Err(unknown()),
            State::Aborted => Next::Aborted,
            State::Sending(..) | State::Gateway(..) | State::Checking(_) | State::Looking(..) => {
                Next::Wait
            }
        })
    }

    fn answered(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        _now: SystemTime,
    ) -> Result<(), Fault> {
        match self.state.clone() {
            State::Sending(ours, body) if ours == id => self.sent(answer, body),
            State::Checking(ours) if ours == id => self.checked(answer),
            State::Looking(ours, etag) if ours == id => self.looked(answer, &etag),
            _ => Ok(()),
        }
    }

    fn digested(&mut self, id: ExchangeId, digest: Digest) {
        self.digests.digested(id, digest);
    }

    fn lost(&mut self, id: ExchangeId, how: Lost) {
        self.digests.forget(id);
        match self.state.clone() {
            State::Looking(ours, etag) if ours == id => self.state = State::Look(etag),
            State::Sending(ours, body) if ours == id => {
                self.doubt |= may_have_arrived(how);
                self.state = match how {
                    Lost::Unknown if self.once() => State::Unknown,
                    Lost::Unknown if body == Body::Once => State::Check,
                    _ => State::Send,
                };
            }
            State::Gateway(ours, status, sent) if ours == id => {
                self.doubt = true;
                self.state = State::Doubtful(status, sent);
            }
            State::Checking(ours) if ours == id => self.state = State::Check,
            _ => (),
        }
    }

    fn abort(&mut self) {
        if !matches!(self.state, State::Done(..)) {
            self.state = State::Aborted;
        }
    }

    fn saved(&self) -> Saved {
        let stage = match self.state {
            State::Send if !self.doubt => Stage::Beginning,
            State::Send | State::Sending(..) => Stage::Sending,
            State::Gateway(..) | State::Doubtful(..) => Stage::Committing,
            State::Check | State::Checking(_) | State::Unknown => Stage::Committing,
            State::Look(_) | State::Looking(..) | State::Done(..) => Stage::Complete,
            State::Aborted => Stage::Aborted,
        };
        let etag = match &self.state {
            State::Look(etag) | State::Looking(_, etag) => Some(etag.clone()),
            State::Done(completed, _) => completed.etag.clone(),
            _ => None,
        };
        Saved {
            stage,
            extra: etag
                .map(|etag| (ETAG.to_owned(), etag))
                .into_iter()
                .collect(),
            ..Saved::default()
        }
    }

    fn acknowledged(&self) -> Acknowledged {
        let len = match self.state {
            State::Done(_, len) => len,
            _ => 0,
        };
        Acknowledged {
            prefix: len,
            bytes: len,
        }
    }
}

/// Where to begin when an earlier run was told that the object is there: a `PUT` can be looked for by its entity tag, and
/// else made again; a `POST` is not made twice.
fn complete(put: &Put, left: &Left, len: u64) -> State {
    match left.saved.extra.get(ETAG) {
        _ if put.method == Method::POST => State::Done(Completed::default(), len),
        Some(etag) => State::Look(etag.clone()),
        None => State::Send,
    }
}

/// Whether the server may have got a request that came to nothing, and done what it says. A gateway that answers with a
/// 5xx need not know, and who answered too early said so himself.
pub(super) fn may_have_arrived(how: Lost) -> bool {
    match how {
        Lost::Unsent => false,
        Lost::Unknown => true,
        Lost::Refused(status) => {
            status.is_server_error() || status.is_success() || status == StatusCode::REQUEST_TIMEOUT
        }
    }
}

/// Whether a gateway answers so that waited for the server in vain, which may have got all of it (RFC 9110, sections 15.6.3
/// and 15.6.5).
fn gave_up(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
    )
}

fn refused(status: StatusCode) -> ProtocolError {
    let what = "the server refused a stream, which cannot be sent again";
    ProtocolError::new(ProtocolErrorKind::Status(status), what)
}

/// Whether a question that was answered so is worth asking again.
pub(super) fn again(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || matches!(status.as_u16(), 401 | 403 | 408 | 425 | 429)
}

/// The source has ended elsewhere than it was to.
pub(super) fn shorter(available: Available, len: Option<u64>) -> ProtocolError {
    let what = format!(
        "the source has {} bytes, not {} as announced",
        available.until,
        len.unwrap_or(0)
    );
    ProtocolError::new(ProtocolErrorKind::Length, what)
}

pub(super) fn unknown() -> ProtocolError {
    let what = "the server's answer was lost, and whether it has made the object cannot be told";
    ProtocolError::new(ProtocolErrorKind::Indeterminate, what)
}

fn exists(what: &str) -> Fault {
    ProtocolError::new(ProtocolErrorKind::Changed, what).into()
}

/// What is wrong with a success before the end of the body.
pub(super) const HASTY: &str = "the server answered before it had the whole body";

/// Name in [`Saved::extra`]: the entity tag of the object that was made.
const ETAG: &str = "etag";
