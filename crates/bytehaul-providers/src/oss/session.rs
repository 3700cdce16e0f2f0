//! One upload to OSS: in one request, or in parts that the completion makes one object; and what follows on answers that never
//! came.

mod begin;
mod reports;

use std::collections::HashMap;
use std::time::SystemTime;

use super::answers::Said;
use super::geometry::Geometry;
use super::listing::{Listed, MOST, PartList};
use super::sums::Sums;
use super::wire::{Signer, Wire};
use crate::credentials::{Access, Keys};
use crate::oss::OssCredentials;
use crate::{
    Acknowledged, Answer, Available, Completed, Digest, DigestJob, Exchange, ExchangeId, Fault,
    Ids, Lost, Next, PartReceipt, PartState, Parts, ProtocolError, ProtocolErrorKind, Returned,
    Saved, SessionId, Stage, UploadSession,
};

pub(super) struct Session {
    wire: Wire,
    keys: Keys<OssCredentials, What>,
    ids: Ids,
    geometry: Geometry,
    /// Requests that will be in flight at once.
    parallel: usize,
    /// All of them, once the length is known.
    parts: Parts,
    /// Parts that are not taken yet.
    missing: usize,
    /// Whether all of it is put at once.
    is_whole: bool,
    sums: Sums,
    /// Parts that the server says it has and of which no receipt tells, by index.
    claims: HashMap<usize, Listed>,
    upload: Option<String>,
    flights: HashMap<ExchangeId, Flight>,
    state: State,
    /// Whether the object may have been made without a word that reached us.
    maybe_made: bool,
    /// Whether all that would have made it at once was refused, so that nobody has to look for it.
    is_refused: bool,
    /// How many times the bucket turned out to be elsewhere.
    moves: u32,
    /// How many times the server has lost what it had taken.
    rounds: u32,
    /// How many times it has taken other bytes of a part than were sent, by index.
    damaged: HashMap<usize, u32>,
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum What {
    Begin,
    /// The part of this index, or all of it.
    Part(usize),
    List,
    Commit,
    Head,
    Abort,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    what: What,
    /// Of the credentials.
    generation: u64,
    /// How often the endpoint had changed by then.
    moves: u32,
}

#[derive(Clone, Debug)]
enum State {
    /// Parts are missing; without an upload to put them into, that comes first.
    Sending,
    /// Asks which parts there are.
    List(PartList, Reason),
    Commit,
    /// Asks whether an object that is there is the one whose answer was lost.
    Found(Said),
    /// Asks whether the object that an earlier run has made is still there.
    Still(Completed),
    Done(Completed),
    Abort,
    Aborted,
}

#[derive(Clone, Debug)]
enum Reason {
    Resume,
    /// The completion was refused: some parts are not there.
    Lacking(Said),
}

/// What comes next.
enum Pick {
    Send(What),
    Digest(DigestJob),
    Nothing,
}

impl Session {
    fn set(&mut self, index: usize, state: PartState) {
        let is_done = |state: &PartState| matches!(state, PartState::Done(_));
        let before = self.parts.get(index).map(|part| is_done(&part.state));
        match (before.unwrap_or(false), is_done(&state)) {
            (false, true) => self.missing = self.missing.saturating_sub(1),
            (true, false) => self.missing += 1,
            (true, true) | (false, false) => (),
        }
        self.parts.set(index, state);
    }

    /// Makes the parts of a stream as it comes, and notices a source of another length.
    fn measure(&mut self, available: Available) -> Result<(), ProtocolError> {
        match self.geometry.len {
            Some(len) if available.ended && available.until != len => {
                let what = format!("the source has {} bytes instead of {len}", available.until);
                Err(ProtocolError::new(ProtocolErrorKind::Length, what))
            }
            Some(_) => Ok(()),
            None => self.grow(available),
        }
    }

    fn grow(&mut self, available: Available) -> Result<(), ProtocolError> {
        if self.is_whole {
            return Ok(());
        }
        loop {
            let start = self.parts.end();
            let size = self.geometry.size_after(self.parts.len());
            let until = start.saturating_add(size).min(available.until);
            let is_first = self.parts.is_empty() && self.upload.is_none();
            self.is_whole = available.ended && is_first && available.until <= size;
            let is_part = until.saturating_sub(start) == size
                || (available.ended && (until > start || self.parts.is_empty()));
            if !is_part {
                return Ok(());
            }
            let number = u32::try_from(self.parts.len() + 1).unwrap_or(u32::MAX);
            if number > MOST {
                let what = "a stream of more than 10,000 parts";
                return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
            }
            self.parts.push(number, start..until);
            self.missing += 1;
            if self.is_whole {
                return Ok(());
            }
        }
    }

    fn pick(&mut self, available: Available) -> Pick {
        match self.state {
            State::Sending if self.is_whole || self.upload.is_some() => self.pick_part(available),
            // A stream may still turn out to be short.
            State::Sending if self.parts.is_empty() => Pick::Nothing,
            State::Sending => Pick::Send(What::Begin),
            State::List(..) => Pick::Send(What::List),
            State::Commit => self.when_summed(What::Commit),
            State::Found(_) => self.when_summed(What::Head),
            State::Still(_) => Pick::Send(What::Head),
            State::Abort => Pick::Send(What::Abort),
            State::Done(_) | State::Aborted => Pick::Nothing,
        }
    }

    /// The CRCs of the parts to come first, as many as can be in flight, and then a part whose CRC is there.
    fn pick_part(&mut self, available: Available) -> Pick {
        let Some(mut index) = self.parts.missing() else {
            return Pick::Nothing;
        };
        let (mut ready, mut ahead) = (None, self.sums.asked());
        while let Some(part) = self.parts.get(index)
            && part.range.end <= available.until
            && ahead <= self.parallel
        {
            if part.state == PartState::Missing {
                match (self.sums.get(index), self.sums.is_asked(index)) {
                    (Some(_), _) => {
                        ready = ready.or(Some(index));
                        ahead += 1;
                    }
                    (None, true) => (),
                    (None, false) => {
                        let range = part.range.clone();
                        return Pick::Digest(self.sums.ask(index, range, &mut self.ids));
                    }
                }
            }
            index += 1;
        }
        ready.map_or(Pick::Nothing, |index| Pick::Send(What::Part(index)))
    }

    /// The CRCs first that are not known of parts that an earlier run has sent.
    fn when_summed(&mut self, what: What) -> Pick {
        for (index, part) in self.parts.iter().enumerate() {
            if self.sums.get(index).is_some() || self.sums.is_asked(index) {
                continue;
            }
            if self.sums.asked() >= self.parallel {
                return Pick::Nothing;
            }
            let range = part.range.clone();
            return Pick::Digest(self.sums.ask(index, range, &mut self.ids));
        }
        match self.sums.asked() {
            0 => Pick::Send(what),
            _ => Pick::Nothing,
        }
    }

    fn exchange(&mut self, what: What, by: Signer<'_>) -> Result<Exchange, ProtocolError> {
        let id = self.ids.fresh();
        let upload = self.upload.as_deref().unwrap_or_default();
        let wire = &self.wire;
        match (what, &self.state) {
            (What::Begin, _) => wire.begin(id, by),
            (What::Part(index), _) => {
                let part = self.parts.get(index);
                let (number, range) =
                    part.map_or((0, 0..0), |part| (part.number, part.range.clone()));
                match self.is_whole {
                    true => wire.put(id, range, by),
                    false => wire.part(id, upload, number, range, by),
                }
            }
            (What::List, State::List(list, _)) => wire.list(id, upload, list.marker(), by),
            (What::List, _) => wire.list(id, upload, 0, by),
            (What::Commit, _) => wire.complete(id, upload, &self.parts.receipts(), by),
            (What::Head, _) => wire.head(id, by),
            (What::Abort, _) => wire.abort(id, upload, by),
        }
    }

    /// Puts what a request was for back among what is to be sent.
    fn put_back(&mut self, id: ExchangeId) {
        let flight = self.flights.remove(&id);
        if let Some(What::Part(index)) = flight.map(|flight| flight.what) {
            self.set(index, PartState::Missing);
        }
    }

    fn put_all_back(&mut self) {
        let flying: Vec<_> = self.flights.keys().copied().collect();
        for id in flying {
            self.put_back(id);
        }
    }

    /// Takes a part for done that the server has, by a receipt of its own.
    fn accept(&mut self, index: usize, tag: Option<String>) {
        if let Some(part) = self.parts.get(index) {
            let size = part.range.end - part.range.start;
            let receipt = PartReceipt::new(part.number, part.range.start, size).tag(tag);
            self.set(index, PartState::Done(receipt));
        }
    }

    fn is_alone(&self) -> bool {
        let alone = |flight: &Flight| !matches!(flight.what, What::Part(_));
        self.flights.values().any(alone)
    }
}

impl UploadSession for Session {
    fn next(&mut self, available: Available, now: SystemTime) -> Result<Next, ProtocolError> {
        match &self.state {
            State::Done(completed) => return Ok(Next::Done(completed.clone())),
            State::Aborted => return Ok(Next::Aborted),
            State::Abort => (),
            _ => self.measure(available)?,
        }
        let is_all = available.ended && self.missing == 0 && !self.parts.is_empty();
        if is_all && matches!(self.state, State::Sending) {
            self.state = State::Commit;
        }
        let is_sending = matches!(self.state, State::Sending);
        if self.is_alone() || (!is_sending && !self.flights.is_empty()) {
            return Ok(Next::Wait);
        }
        let what = match self.pick(available) {
            Pick::Send(what) => what,
            Pick::Digest(job) => return Ok(Next::Digest(job)),
            Pick::Nothing => return Ok(Next::Wait),
        };
        let (credentials, generation) = match self.keys.access(&mut self.ids, now) {
            Access::Ready(credentials, generation) => (credentials, generation),
            Access::Call(call) => return Ok(Next::Call(call)),
            Access::Wait => return Ok(Next::Wait),
        };
        let by = Signer {
            credentials: &credentials,
            now,
        };
        let exchange = self.exchange(what, by)?;
        if let What::Part(index) = what {
            self.set(index, PartState::InFlight(exchange.id));
        }
        let flight = Flight {
            what,
            generation,
            moves: self.moves,
        };
        self.flights.insert(exchange.id, flight);
        Ok(Next::Send(Box::new(exchange)))
    }

    fn answered(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        now: SystemTime,
    ) -> Result<(), Fault> {
        self.report(id, answer, now)
    }

    fn returned(&mut self, id: ExchangeId, value: Returned, now: SystemTime) -> Result<(), Fault> {
        match self.keys.returned(id, value, now) {
            Some(given) => Ok(given?),
            None => Ok(()),
        }
    }

    fn digested(&mut self, id: ExchangeId, digest: Digest) {
        let Some(index) = self.sums.answered(id, &digest) else {
            return;
        };
        // What the server has of it is either this or of no use.
        if let Some(listed) = self.claims.remove(&index)
            && listed.crc64 == self.sums.get(index)
            && self
                .parts
                .get(index)
                .is_some_and(|part| part.state == PartState::Missing)
        {
            self.accept(index, listed.etag);
        }
    }

    fn lost(&mut self, id: ExchangeId, how: Lost) {
        if self.keys.lost(id) {
            return;
        }
        self.sums.lost(id);
        let makes_it = match self.flights.get(&id).map(|flight| flight.what) {
            Some(What::Commit) => true,
            Some(What::Part(_)) => self.is_whole,
            Some(What::Begin | What::List | What::Head | What::Abort) | None => false,
        };
        self.maybe_made |= makes_it
            && match how {
                Lost::Unsent => false,
                // An error after the work may have been done: in a gateway, or in the body of a 200.
                Lost::Refused(status) => status.is_server_error() || status.is_success(),
                Lost::Unknown => true,
            };
        self.put_back(id);
    }

    fn abort(&mut self) {
        if matches!(self.state, State::Done(_)) {
            return;
        }
        self.put_all_back();
        self.keys.forget_flight();
        self.state = match self.upload {
            Some(_) => State::Abort,
            None => State::Aborted,
        };
    }

    fn saved(&self) -> Saved {
        let mut saved = Saved {
            session: self.upload.clone().map(SessionId::new),
            stage: self.stage(),
            part_size: self.geometry.size,
            parts: self.parts.receipts(),
            ..Saved::default()
        };
        let is_done = |index: usize| {
            let part = self.parts.get(index);
            part.is_some_and(|part| matches!(part.state, PartState::Done(_)))
        };
        let sums = self.sums.kept(is_done);
        if !sums.is_empty() {
            saved.extra.insert(SUMS.into(), sums);
        }
        if let State::Done(completed) | State::Still(completed) = &self.state {
            let etag = completed.etag.clone();
            saved.extra.extend(etag.map(|etag| (ETAG.into(), etag)));
        }
        saved
    }

    fn stage(&self) -> Stage {
        match self.state {
            State::Done(_) | State::Still(_) => Stage::Complete,
            State::Aborted => Stage::Aborted,
            State::Commit | State::Found(_) | State::List(_, Reason::Lacking(_)) => {
                Stage::Committing
            }
            State::List(_, Reason::Resume) if self.maybe_made => Stage::Committing,
            // The one request of a small object is its commit.
            State::Sending if self.is_whole && !self.is_refused => Stage::Committing,
            State::Sending if self.upload.is_none() => Stage::Beginning,
            State::Sending | State::List(_, Reason::Resume) | State::Abort => Stage::Sending,
        }
    }

    fn part_size(&self) -> u64 {
        self.geometry.size_after(self.parts.len())
    }

    fn acknowledged(&self) -> Acknowledged {
        self.parts.acknowledged()
    }
}

/// Names in [`Saved::extra`]: the CRC-64 of the parts that are done, and the ETag of the finished object.
const SUMS: &str = "crc64";
const ETAG: &str = "etag";

/// Times that parts are sent again which the server had taken, or of which it has taken other bytes.
const MOST_ROUNDS: u32 = 3;
