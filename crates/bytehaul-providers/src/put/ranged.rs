//! The body in ranges, one after the other, and where to go on by the length that the server has.

use std::ops::Range;
use std::time::SystemTime;

use bytehaul_integrity::Digest;
use bytes::Bytes;
use http::header::{CONTENT_RANGE, ETAG, IF_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use super::Put;
use super::proof::{self, Digests, Said};
use super::whole::{HASTY, again, may_have_arrived, shorter, unknown};
use crate::{
    Acknowledged, Answer, Available, Completed, Cursor, Exchange, ExchangeId, Fault, Ids, Left,
    Lost, Next, Object, Payload, ProtocolError, ProtocolErrorKind, Saved, Stage, Step,
    UploadSession,
};

#[derive(Debug)]
pub(super) struct Ranged {
    put: Put,
    url: Url,
    headers: HeaderMap,
    total: u64,
    part_size: u64,
    /// The digest that the whole must have, where the caller knows it.
    whole: Option<Digest>,
    /// The digests of the part that is next.
    digests: Digests,
    cursor: Cursor,
    /// The entity tag of the object as long as it ends at the cursor, where the server named it.
    tag: Option<String>,
    /// Where what may have been sent ends: a longer object is not of this upload.
    reach: u64,
    /// Whether the source is the one that was read when the receipts were made.
    unchanged: bool,
    expect: bool,
    restarts: u32,
    last: LastWords,
    ids: Ids,
    state: State,
}

/// What the answer to the last part carried for the application.
#[derive(Debug, Default)]
struct LastWords {
    location: Option<String>,
    payload: Option<Bytes>,
}

#[derive(Clone, Debug)]
enum State {
    Part,
    Sending(ExchangeId, Range<u64>),
    Ask(Why),
    Asking(ExchangeId, Why),
    Done(Completed),
    /// Holds the entity tag of what is to be deleted.
    Delete(Option<HeaderValue>),
    Deleting(ExchangeId, Option<HeaderValue>),
    Aborted,
}

/// Why the server is asked for the length of the object.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Why {
    /// An earlier run left it.
    Resume,
    /// This part may have arrived, or some of it.
    Lost(Range<u64>),
    /// All parts are there.
    Confirm,
    /// It is to be deleted if it is ours.
    Abort,
}

impl Ranged {
    pub(super) fn new(
        put: &Put,
        url: Url,
        headers: HeaderMap,
        object: &Object,
        total: u64,
        part_size: u64,
        left: Option<Left>,
    ) -> Self {
        let (mut saved, unchanged) = match left {
            Some(left) => (left.saved, left.unchanged),
            None => (Saved::default(), true),
        };
        let cursor = Cursor::restored(&saved.parts);
        // Where nobody says, one part was on its way.
        let reach = reach(&saved).unwrap_or(cursor.offset().saturating_add(part_size));
        Self {
            put: put.clone(),
            url,
            headers,
            total,
            part_size,
            whole: object.digest,
            digests: Digests::new(Vec::new(), 0..0, None),
            tag: saved.extra.remove(TAG),
            reach: reach.min(total),
            unchanged,
            expect: true,
            restarts: 0,
            last: LastWords::default(),
            ids: Ids::default(),
            state: match cursor.offset() {
                0 => State::Part,
                _ => State::Ask(Why::Resume),
            },
            cursor,
        }
    }

    fn part(&mut self, available: Available) -> Result<Next, ProtocolError> {
        if available.ended && available.until != self.total {
            return Err(shorter(available, Some(self.total)));
        }
        let start = self.cursor.offset();
        let end = start.saturating_add(self.part_size).min(self.total);
        if end > available.until {
            return Ok(Next::Wait);
        }
        let range = start..end;
        if *self.digests.range() != range {
            self.digests = Digests::new(self.put.algorithms(), range.clone(), None);
        }
        if let Some(job) = self.digests.ask(&mut self.ids) {
            return Ok(Next::Digest(job));
        }
        if !self.digests.are_known() {
            return Ok(Next::Wait);
        }
        let id = self.ids.fresh();
        self.state = State::Sending(id, range.clone());
        self.reach = end;
        let mut headers = self.headers.clone();
        self.digests.fields(&mut headers);
        // The first part replaces whatever is there.
        if start > 0 {
            let value = format!("bytes {start}-{}/{}", end - 1, self.total);
            let value = HeaderValue::from_str(&value).expect("numbers are fit for a field");
            headers.insert(CONTENT_RANGE, value);
        }
        let step = Step::Part {
            number: u32::try_from(start / self.part_size + 1).unwrap_or(u32::MAX),
            range: range.clone(),
        };
        let mut exchange = Exchange::new(id, step, Method::PUT, self.url.clone())
            .headers(headers)
            .payload(Payload::source(range));
        exchange.expect_continue = self.expect && self.put.expects(Some(end - start));
        Ok(Next::Send(Box::new(exchange)))
    }

    fn taken(&mut self, answer: &Answer<'_>, range: Range<u64>) -> Result<(), Fault> {
        if answer.status == StatusCode::EXPECTATION_FAILED && self.expect {
            self.expect = false;
            return Err(Fault::Now("the server gives no leave in advance".into()));
        }
        if answer.status == StatusCode::NOT_IMPLEMENTED {
            let what = "the server does not take ranges of a body";
            return Err(ProtocolError::new(ProtocolErrorKind::Status(answer.status), what).into());
        }
        if !answer.status.is_success() {
            return Err(Fault::Status);
        }
        if answer.sent != range.end - range.start {
            return Err(Fault::Again(HASTY.into()));
        }
        self.cursor.add(range.end - range.start, answer.crc32c);
        self.reach = range.end;
        self.tag = answer.header(ETAG.as_str()).map(str::to_owned);
        self.state = State::Part;
        if self.cursor.offset() == self.total {
            let completed = proof::completed(answer, None);
            self.last = LastWords {
                location: completed.location,
                payload: completed.payload,
            };
            self.state = State::Ask(Why::Confirm);
        }
        Ok(())
    }

    fn ask(&mut self, why: Why) -> Exchange {
        let id = self.ids.fresh();
        let step = match why {
            Why::Resume | Why::Lost(_) => Step::Check,
            Why::Confirm => Step::Commit,
            Why::Abort => Step::Abort,
        };
        self.state = State::Asking(id, why);
        Exchange::new(id, step, Method::HEAD, self.url.clone())
    }

    fn told(&mut self, answer: &Answer<'_>, why: Why) -> Result<(), Fault> {
        let gone = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE);
        match (&why, gone, answer.status.is_success()) {
            (Why::Confirm, false, false) if !again(answer.status) => return Err(unknown().into()),
            (_, false, false) => return Err(Fault::Status),
            (Why::Confirm, true, _) => {
                let what = "the object was removed while it was uploaded";
                return Err(ProtocolError::new(ProtocolErrorKind::Changed, what).into());
            }
            (Why::Abort, true, _) => {
                self.state = State::Aborted;
                return Ok(());
            }
            (Why::Resume | Why::Lost(_), true, _) => return self.start_over(),
            (_, false, true) => (),
        }
        let length = proof::length(answer);
        match why {
            Why::Resume => self.resume(length, answer),
            Why::Lost(range) => self.after_loss(length, &range),
            Why::Confirm => self.confirm(length, answer),
            Why::Abort => {
                let ours = length.is_some_and(|length| self.can_be_ours(length, answer));
                self.state = match ours {
                    true => State::Delete(strong(answer)),
                    false => State::Aborted,
                };
                Ok(())
            }
        }
    }

    fn resume(&mut self, length: Option<u64>, answer: &Answer<'_>) -> Result<(), Fault> {
        // What lies beyond the receipts is of the source as it was then.
        let trusted = |length: &u64| {
            (self.unchanged || *length == self.cursor.offset()) && self.can_be_ours(*length, answer)
        };
        match length.filter(trusted) {
            Some(length) => self.stands_at(length),
            None => self.start_over(),
        }
    }

    /// Whether the object can be what this upload made. It may have more than the receipts say: those of the last parts were
    /// perhaps not saved any more. Nothing but the length tells such an object from somebody else's, so it may have no more
    /// than this upload can have sent.
    fn can_be_ours(&self, length: u64, answer: &Answer<'_>) -> bool {
        let start = self.cursor.offset();
        let same = |ours: &String| {
            let theirs = answer.header(ETAG.as_str());
            theirs.is_none_or(|theirs| opaque(theirs) == opaque(ours))
        };
        (start..=self.reach).contains(&length)
            && (length != start || self.tag.as_ref().is_none_or(same))
    }

    fn after_loss(&mut self, length: Option<u64>, range: &Range<u64>) -> Result<(), Fault> {
        let Some(length) = length else {
            let what = "the server does not name the length of the object";
            return Err(ProtocolError::new(ProtocolErrorKind::Length, what).into());
        };
        if length > range.end {
            let what = format!(
                "the object has {length} bytes, though {} were sent: somebody else writes it",
                range.end
            );
            return Err(ProtocolError::new(ProtocolErrorKind::Changed, what).into());
        }
        match length < range.start {
            true => self.start_over(),
            false => self.stands_at(length),
        }
    }

    fn confirm(&mut self, length: Option<u64>, answer: &Answer<'_>) -> Result<(), Fault> {
        let wrong =
            |what: String| Err(ProtocolError::new(ProtocolErrorKind::Checksum, what).into());
        let Some(length) = length else {
            return Err(unknown().into());
        };
        if length != self.total {
            return wrong(format!(
                "the server made an object of {length} bytes of the {} that were sent",
                self.total
            ));
        }
        let known = self.whole.as_slice();
        let verified = match proof::said(answer, &Method::HEAD, known) {
            Said::Nothing => None,
            Said::Same(digest) => Some(digest),
            Said::Other(algorithm) => {
                return wrong(format!(
                    "the server made an object of another {algorithm} digest"
                ));
            }
        };
        let last = std::mem::take(&mut self.last);
        self.state = State::Done(Completed {
            location: last.location,
            payload: last.payload,
            ..proof::completed(answer, verified)
        });
        Ok(())
    }

    /// The server has this much of what was sent.
    fn stands_at(&mut self, length: u64) -> Result<(), Fault> {
        if length != self.cursor.offset() {
            self.cursor.set(length);
            self.tag = None;
        }
        self.reach = length;
        self.state = match length == self.total {
            true => State::Ask(Why::Confirm),
            false => State::Part,
        };
        Ok(())
    }

    fn start_over(&mut self) -> Result<(), Fault> {
        if self.restarts == MAX_RESTARTS {
            let what = "the object is not what was sent, however often it is sent";
            return Err(ProtocolError::new(ProtocolErrorKind::Changed, what).into());
        }
        self.restarts += 1;
        self.cursor.set(0);
        self.tag = None;
        self.reach = 0;
        self.state = State::Part;
        Ok(())
    }

    /// How far this run goes before it is saved again, or how far an earlier one may have gone.
    fn leased(&self) -> u64 {
        let lease = self.part_size.saturating_mul(LEASE);
        let lease = self.cursor.offset().saturating_add(lease).min(self.total);
        match &self.state {
            State::Ask(Why::Resume | Why::Abort) | State::Asking(_, Why::Resume | Why::Abort) => {
                self.reach
            }
            State::Part
            | State::Sending(..)
            | State::Ask(Why::Lost(_) | Why::Confirm)
            | State::Asking(_, Why::Lost(_) | Why::Confirm)
            | State::Delete(_)
            | State::Deleting(..)
            | State::Done(_)
            | State::Aborted => self.reach.max(lease),
        }
    }

    fn delete(&mut self, tag: Option<HeaderValue>) -> Exchange {
        let id = self.ids.fresh();
        let mut headers = HeaderMap::new();
        headers.extend(tag.clone().map(|tag| (IF_MATCH, tag)));
        self.state = State::Deleting(id, tag);
        Exchange::new(id, Step::Abort, Method::DELETE, self.url.clone()).headers(headers)
    }

    fn deleted(&mut self, status: StatusCode) -> Result<(), Fault> {
        let gone = matches!(status.as_u16(), 404 | 410);
        let another = status == StatusCode::PRECONDITION_FAILED;
        if !(status.is_success() || gone || another) {
            return Err(Fault::Status);
        }
        self.state = State::Aborted;
        Ok(())
    }
}

impl UploadSession for Ranged {
    fn next(&mut self, available: Available, _now: SystemTime) -> Result<Next, ProtocolError> {
        let exchange = match self.state.clone() {
            State::Part => return self.part(available),
            State::Ask(why) => self.ask(why),
            State::Delete(tag) => self.delete(tag),
            State::Done(completed) => return Ok(Next::Done(completed)),
            State::Aborted => return Ok(Next::Aborted),
            State::Sending(..) | State::Asking(..) | State::Deleting(..) => return Ok(Next::Wait),
        };
        Ok(Next::Send(Box::new(exchange)))
    }

    fn answered(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        _now: SystemTime,
    ) -> Result<(), Fault> {
        match self.state.clone() {
            State::Sending(ours, range) if ours == id => self.taken(answer, range),
            State::Asking(ours, why) if ours == id => self.told(answer, why),
            State::Deleting(ours, _) if ours == id => self.deleted(answer.status),
            _ => Ok(()),
        }
    }

    fn digested(&mut self, id: ExchangeId, digest: Digest) {
        self.digests.digested(id, digest);
    }

    fn lost(&mut self, id: ExchangeId, how: Lost) {
        self.digests.forget(id);
        self.state = match self.state.clone() {
            // Until the first part is taken, the length may be that of an older object.
            State::Sending(ours, range) if ours == id => {
                match range.start > 0 && may_have_arrived(how) {
                    true => State::Ask(Why::Lost(range)),
                    false => State::Part,
                }
            }
            State::Asking(ours, why) if ours == id => State::Ask(why),
            State::Deleting(ours, tag) if ours == id => State::Delete(tag),
            other => other,
        };
    }

    fn abort(&mut self) {
        self.state = match &self.state {
            State::Done(completed) => State::Done(completed.clone()),
            _ if self.cursor.offset() > 0 => State::Ask(Why::Abort),
            _ => State::Aborted,
        };
    }

    fn saved(&self) -> Saved {
        let stage = match &self.state {
            State::Part if self.cursor.offset() == 0 => Stage::Beginning,
            State::Ask(Why::Confirm) | State::Asking(_, Why::Confirm) => Stage::Committing,
            State::Part | State::Sending(..) | State::Ask(_) | State::Asking(..) => Stage::Sending,
            State::Delete(_) | State::Deleting(..) => Stage::Sending,
            State::Done(_) => Stage::Complete,
            State::Aborted => Stage::Aborted,
        };
        let tag = self.tag.clone().map(|tag| (TAG.to_owned(), tag));
        let reach = (REACH.to_owned(), self.leased().to_string());
        Saved {
            stage,
            part_size: self.part_size,
            parts: self.cursor.receipts().to_vec(),
            extra: tag.into_iter().chain([reach]).collect(),
            ..Saved::default()
        }
    }

    fn outruns(&self, kept: &Saved) -> bool {
        reach(kept).is_none_or(|kept| self.reach > kept)
    }

    fn acknowledged(&self) -> Acknowledged {
        self.cursor.acknowledged()
    }
}

/// How far the run that left this may have sent.
fn reach(saved: &Saved) -> Option<u64> {
    saved.extra.get(REACH)?.parse().ok()
}

/// Servers name a tag weak right after a write, and strong later.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// The entity tag that a condition of `If-Match` can be made of.
fn strong(answer: &Answer<'_>) -> Option<HeaderValue> {
    let tag = answer.headers.get(ETAG)?;
    let strong = tag.as_bytes().starts_with(b"\"") && tag.len() >= 2;
    strong.then(|| tag.clone())
}

/// The name under which the entity tag is saved.
const TAG: &str = "etag";

/// The name under which it is saved how far a run may have sent.
const REACH: &str = "reach";

/// Parts beyond the receipts that may be sent before those are saved again: few, for an object of somebody else may end
/// there; and some, for each save takes its time.
const LEASE: u64 = 4;

/// How often an upload starts over before it is given up: somebody else may be writing the same object.
const MAX_RESTARTS: u32 = 3;
