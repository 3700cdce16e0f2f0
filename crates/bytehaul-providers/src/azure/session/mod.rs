//! One upload of a blob: blocks in any order, then their list, always; and what to do about answers that never came.

mod begin;
mod verdicts;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;

use crate::azure::answers::{Said, Verdict, verdict};
use crate::azure::digests::Digests;
use crate::azure::object::Blob;
use crate::azure::requests::Request;
use crate::azure::{AzureCredentials, BlockIds, Setup};
use crate::credentials::{Access, Keys};
use crate::{
    Acknowledged, Algorithm, Answer, Available, Completed, Digest, DigestJob, Exchange, ExchangeId,
    Fault, Ids, Lost, Next, Part, PartState, Parts, ProtocolError, ProtocolErrorKind, Returned,
    Saved, SessionId, Stage, UploadSession,
};

pub(super) use self::begin::fresh_name;

pub(super) struct Session {
    setup: Arc<Setup>,
    blob: Blob,
    keys: Keys<AzureCredentials, What>,
    ids: Ids,
    /// What the names of its blocks are made of.
    name: String,
    block_ids: BlockIds,
    parts: Parts,
    /// Parts that are not taken yet.
    missing: usize,
    /// Whether all of it is put at once.
    is_whole: bool,
    digests: Digests,
    flights: HashMap<ExchangeId, Flight>,
    state: State,
    /// Whether the blob may have been made without a word that reached us.
    maybe_made: bool,
    /// Whether all that would have made it at once was refused, so that nobody has to look for it.
    is_refused: bool,
    /// How many times the service has turned out to lack what it had taken.
    rounds: u32,
    /// For comparing with a blob that is there.
    md5: Md5,
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum What {
    /// The part of this index.
    Part(usize),
    Commit,
    List,
    Properties,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    what: What,
    /// Of the credentials.
    generation: u64,
}

#[derive(Clone, Debug)]
enum State {
    /// Asks whether there is a blob although there must be none.
    Vacant,
    /// Asks whether the blob that an earlier run has made is still there.
    Still(Completed),
    /// Asks which blocks there are.
    List(Reason),
    Sending,
    Commit,
    /// Asks whether a blob that is there is the one whose answer was lost.
    Found(Said),
    Done(Completed),
    Aborted,
}

#[derive(Clone, Debug)]
enum Reason {
    Resume,
    /// The list of blocks was refused: some are not there.
    Lacking(Said),
    /// The list of blocks was refused for good, after one whose answer was lost.
    Doubt(Said),
}

#[derive(Clone, Copy, Debug)]
enum Md5 {
    Unknown,
    Asked(ExchangeId),
    Known(Digest),
}

impl Session {
    fn set(&mut self, index: usize, state: PartState) {
        let is_done = |state: &PartState| matches!(state, PartState::Done(_));
        let before = self
            .parts
            .get(index)
            .is_some_and(|part| is_done(&part.state));
        match (before, is_done(&state)) {
            (false, true) => self.missing = self.missing.saturating_sub(1),
            (true, false) => self.missing += 1,
            (true, true) | (false, false) => (),
        }
        self.parts.set(index, state);
    }

    /// The next part to send, or digest to ask for.
    fn sending(&mut self, available: Available, now: SystemTime) -> Result<Next, ProtocolError> {
        let is_missing =
            |part: &Part| part.state == PartState::Missing && part.range.end <= available.until;
        let is_open = |index: &usize| self.parts.get(*index).is_some_and(is_missing);
        if self.digests.are_none() {
            let index = self.parts.missing();
            return match index.filter(|index| self.parts.get(*index).is_some_and(is_missing)) {
                Some(index) => self.send(What::Part(index), now),
                None => Ok(Next::Wait),
            };
        }
        let ready: Vec<usize> = self.digests.ready().filter(is_open).collect();
        if ready.len() + self.digests.asked() <= self.blob.parallel
            && let Some(job) = self.digest_ahead(is_missing)
        {
            return Ok(Next::Digest(job));
        }
        match ready.first() {
            Some(index) => self.send(What::Part(*index), now),
            None => Ok(Next::Wait),
        }
    }

    fn digest_ahead(&mut self, is_missing: impl Fn(&Part) -> bool) -> Option<DigestJob> {
        let mut index = self.parts.missing()?;
        while self.digests.has(index) || !self.parts.get(index).is_some_and(&is_missing) {
            index += 1;
            self.parts.get(index)?;
        }
        let range = self.parts.get(index)?.range.clone();
        Some(self.digests.ask(index, range, &mut self.ids))
    }

    fn send(&mut self, what: What, now: SystemTime) -> Result<Next, ProtocolError> {
        let (credentials, generation) = match self.keys.access(&mut self.ids, now) {
            Access::Ready(credentials, generation) => (credentials, generation),
            Access::Call(call) => return Ok(Next::Call(call)),
            Access::Wait => return Ok(Next::Wait),
        };
        let Some(request) = self.request(what) else {
            return Ok(Next::Wait);
        };
        let parameters = request.parameters.iter();
        let parameters: Vec<_> = parameters.map(|(name, value)| (*name, &**value)).collect();
        let (url, fields) = credentials.authorize(
            &request.method,
            self.setup.address.url(),
            &parameters,
            request.fields,
            request.payload.len().unwrap_or(0),
            now,
        );
        let id = self.ids.fresh();
        let mut exchange = Exchange::new(id, request.step, request.method, url)
            .headers(fields)
            .payload(request.payload);
        exchange.answer_limit = request.answer_limit;
        if let What::Part(index) = what {
            self.set(index, PartState::InFlight(id));
        }
        self.flights.insert(id, Flight { what, generation });
        Ok(Next::Send(Box::new(exchange)))
    }

    fn request(&self, what: What) -> Option<Request> {
        let config = &self.setup.config;
        Some(match what {
            What::Part(index) => {
                let (part, digest) = (self.parts.get(index)?, self.digests.of(index));
                match self.is_whole {
                    true => Request::whole(part, &self.blob, config, digest),
                    false => Request::block(part, &self.block_id(index), digest),
                }
            }
            What::Commit => Request::commit(&self.blob, config, &self.parts.receipts()),
            What::List => Request::blocks(),
            What::Properties => Request::properties(),
        })
    }

    fn block_id(&self, index: usize) -> String {
        self.block_ids.id(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Puts what a request was for back among what is to be sent.
    fn put_back(&mut self, id: ExchangeId) {
        if let Some(Flight {
            what: What::Part(index),
            ..
        }) = self.flights.remove(&id)
        {
            self.set(index, PartState::Missing);
        }
    }

    /// Asks for the MD5 of all of it, which a blob that is there is compared with.
    fn whole_md5(&mut self) -> Option<Next> {
        match self.md5 {
            Md5::Known(_) => None,
            Md5::Asked(_) => Some(Next::Wait),
            Md5::Unknown => {
                let id = self.ids.fresh();
                self.md5 = Md5::Asked(id);
                Some(Next::Digest(DigestJob {
                    id,
                    range: 0..self.parts.end(),
                    algorithm: Algorithm::Md5,
                }))
            }
        }
    }
}

impl UploadSession for Session {
    fn next(&mut self, available: Available, now: SystemTime) -> Result<Next, ProtocolError> {
        if let Some(len) = self
            .blob
            .len
            .filter(|len| available.ended && *len != available.until)
        {
            let what = format!("the source has {} bytes instead of {len}", available.until);
            return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
        }
        if self.blob.len.is_none() {
            self.grow(available)?;
        }
        let is_all = available.ended && self.missing == 0 && !self.parts.is_empty();
        if is_all && matches!(self.state, State::Sending) {
            self.state = State::Commit;
        }
        let what = match &self.state {
            State::Done(completed) => return Ok(Next::Done(completed.clone())),
            State::Aborted => return Ok(Next::Aborted),
            State::Sending => return self.sending(available, now),
            _ if !self.flights.is_empty() => return Ok(Next::Wait),
            State::Found(_) => match self.whole_md5() {
                Some(next) => return Ok(next),
                None => What::Properties,
            },
            State::Vacant | State::Still(_) => What::Properties,
            State::List(_) => What::List,
            State::Commit => What::Commit,
        };
        self.send(what, now)
    }

    fn answered(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        now: SystemTime,
    ) -> Result<(), Fault> {
        let Some(&Flight { what, generation }) = self.flights.get(&id) else {
            return Ok(());
        };
        match verdict(answer, now) {
            Verdict::Taken => {
                self.keys.accepted(&what);
                self.is_whole_body(what, answer)?;
                self.flights.remove(&id);
                self.taken(what, answer)
            }
            Verdict::Refused(_) if self.keys.refused(what, generation) => {
                self.put_back(id);
                Ok(())
            }
            Verdict::Refused(said) => self.denied(id, what, &said),
            Verdict::Not(said) => {
                if said.status == StatusCode::NOT_FOUND {
                    self.keys.accepted(&what);
                }
                self.not_taken(id, what, said)
            }
        }
    }

    fn returned(&mut self, id: ExchangeId, value: Returned, now: SystemTime) -> Result<(), Fault> {
        match self.keys.returned(id, value, now) {
            Some(given) => Ok(given?),
            None => Ok(()),
        }
    }

    fn digested(&mut self, id: ExchangeId, digest: Digest) {
        match self.md5 {
            Md5::Asked(ours) if ours == id => self.md5 = Md5::Known(digest),
            Md5::Unknown | Md5::Asked(_) | Md5::Known(_) => self.digests.answered(id, digest),
        }
    }

    fn lost(&mut self, id: ExchangeId, how: Lost) {
        if self.keys.lost(id) {
            return;
        }
        let flight = self.flights.get(&id);
        let makes_it = flight.is_some_and(|flight| self.makes_it(flight.what));
        self.maybe_made |= makes_it
            && match how {
                Lost::Unsent => false,
                // An error after the work may have been done.
                Lost::Refused(status) => status.is_server_error(),
                Lost::Unknown => true,
            };
        self.put_back(id);
    }

    /// Nothing is sent: blocks expire by themselves, and what deletes them deletes a blob that may be somebody else's.
    fn abort(&mut self) {
        if matches!(self.state, State::Done(_)) {
            return;
        }
        self.flights.clear();
        self.keys.forget_flight();
        self.state = State::Aborted;
    }

    fn saved(&self) -> Saved {
        let mut saved = Saved {
            session: Some(SessionId::new(&*self.name)),
            stage: self.stage(),
            part_size: self.blob.part_size,
            parts: self.parts.receipts(),
            ..Saved::default()
        };
        if let State::Done(completed) | State::Still(completed) = &self.state {
            let etag = completed.etag.clone();
            saved.extra.extend(etag.map(|etag| (ETAG.to_owned(), etag)));
        }
        saved
    }

    fn stage(&self) -> Stage {
        match self.state {
            State::Done(_) | State::Still(_) => Stage::Complete,
            State::Aborted => Stage::Aborted,
            State::Commit | State::List(Reason::Lacking(_) | Reason::Doubt(_)) => Stage::Committing,
            State::List(Reason::Resume) if self.maybe_made => Stage::Committing,
            State::Sending if self.is_whole && self.is_refused => Stage::Beginning,
            State::Vacant | State::List(_) | State::Sending | State::Found(_) => Stage::Sending,
        }
    }

    fn part_size(&self) -> u64 {
        self.blob.size_of(self.parts.len())
    }

    fn acknowledged(&self) -> Acknowledged {
        self.parts.acknowledged()
    }
}

/// The name in [`Saved::extra`] of the finished blob's entity tag.
const ETAG: &str = "etag";
