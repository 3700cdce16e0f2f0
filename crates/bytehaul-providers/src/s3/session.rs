//! One upload to S3: in one request, or in parts that are made one object by the completion; and what follows on answers that
//! never came.

mod begin;
mod reports;
mod resume;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use http::Method;

use super::answers::Said;
use super::digests::Digests;
use super::geometry::Geometry;
use super::listing::PartList;
use super::wire::{Draft, Signer, Wire};
use crate::credentials::{Access, Keys};
use crate::s3::S3Credentials;
use crate::{
    Acknowledged, Algorithm, Answer, Available, Completed, Digest, DigestJob, Exchange, ExchangeId,
    Fault, Ids, Lost, Next, PartState, Parts, Payload, ProtocolError, ProtocolErrorKind, Returned,
    Saved, SessionId, Stage, Step, UploadSession,
};

pub(super) struct Session {
    wire: Wire,
    keys: Keys<S3Credentials, What>,
    ids: Ids,
    geometry: Geometry,
    /// Requests that will be in flight at once.
    parallel: usize,
    /// All of them, once the length is known.
    parts: Parts,
    /// Of parts that are not done, by index.
    digests: HashMap<usize, Digests>,
    /// The checksum of each part that is done, as far as the completion needs it.
    sums: HashMap<usize, Digest>,
    upload: Option<String>,
    /// What is on its way, and with credentials of which generation.
    flights: HashMap<ExchangeId, (What, u64)>,
    state: State,
    /// Whether the object may have been made without a word that reached us.
    maybe_made: bool,
    /// Whether all that would have made it at once was refused, so that nobody has to look for it.
    is_refused: bool,
    /// Whether an earlier run may have made it, which nothing here has told yet.
    is_in_doubt: bool,
    has_moved: bool,
    /// Whether the source gives its bytes once.
    is_stream: bool,
    /// How many times all was begun anew.
    restarts: u32,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing is open.
    Begin,
    /// All of it in one request.
    Put,
    Sending,
    List(PartList, Listing),
    Commit,
    Look(Looking),
    Done(Completed),
    Abort,
    Aborted,
}

/// Why the parts are listed.
#[derive(Clone, Debug)]
enum Listing {
    /// An earlier run has begun; whether it was at the completion.
    Earlier { committing: bool },
    /// The completion was refused because of a part.
    Refused(Said),
}

/// Why it is looked at what stands under the key.
#[derive(Clone, Debug)]
enum Looking {
    /// An answer was lost, and the next one was this.
    Lost(Said),
    /// There is an object, which must not be, or is ours.
    Exists(Said),
    /// An earlier run was at the completion, and its upload is gone.
    Earlier,
    /// An earlier run was told that the object is there, with this ETag.
    Complete(Option<String>),
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum What {
    Begin,
    Put,
    /// The part of this index.
    Part(usize),
    List,
    Commit,
    Look,
    Abort,
}

/// What comes next.
enum Pick {
    Send(What),
    Digest(DigestJob),
    Nothing,
}

impl Session {
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
        loop {
            let start = self.parts.end();
            let end = start.saturating_add(self.geometry.size_after(self.parts.len()));
            let end = match end <= available.until {
                true => end,
                false if available.ended && (start < available.until || self.parts.is_empty()) => {
                    available.until
                }
                false => break,
            };
            let number = u32::try_from(self.parts.len() + 1).unwrap_or(u32::MAX);
            if number > super::listing::MOST {
                let what = "a stream of more than 10,000 parts";
                return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
            }
            self.parts.push(number, start..end);
        }
        if available.ended {
            self.geometry.len = Some(available.until);
        }
        Ok(())
    }

    fn turn(&mut self) {
        match self.state {
            State::Begin
                if self
                    .geometry
                    .len
                    .is_some_and(|len| self.geometry.is_single(len)) =>
            {
                self.state = State::Put;
            }
            State::Sending if self.geometry.len.is_some() && self.parts.all_done() => {
                self.state = State::Commit;
            }
            State::Abort if self.upload.is_none() => self.state = State::Aborted,
            _ => (),
        }
    }

    fn pick(&mut self, available: Available) -> Pick {
        match &self.state {
            // A stream may still turn out to be short.
            State::Begin if self.geometry.len.is_none() && self.parts.is_empty() => Pick::Nothing,
            State::Begin => Pick::Send(What::Begin),
            State::Put => {
                let wanted = self.wire.algorithms();
                self.when_known(0, &wanted, What::Put)
            }
            State::Sending => self.pick_part(available),
            State::List(..) => Pick::Send(What::List),
            State::Commit => self.pick_commit(),
            // Only the MD5 of what went in one request may be told from an ETag.
            State::Look(Looking::Complete(_)) => Pick::Send(What::Look),
            State::Look(_) if self.upload.is_none() && self.parts.len() == 1 => {
                self.when_known(0, &[Algorithm::Md5], What::Look)
            }
            State::Look(_) => Pick::Send(What::Look),
            State::Abort => Pick::Send(What::Abort),
            State::Done(_) | State::Aborted => Pick::Nothing,
        }
    }

    /// The digests of the parts to come first, and then a part whose digests are there.
    fn pick_part(&mut self, available: Available) -> Pick {
        let Some(first) = self.parts.missing() else {
            return Pick::Nothing;
        };
        let wanted = self.wire.algorithms();
        let mut ready = None;
        let all = self.parts.iter().enumerate().skip(first);
        let missing = all.filter(|(_, part)| part.state == PartState::Missing);
        for (index, part) in missing.take(self.parallel + 1) {
            if part.range.end > available.until {
                break;
            }
            let digests = self.digests.entry(index).or_default();
            let claimed = digests.wanted_by_claim();
            let wanted = claimed.as_deref().unwrap_or(&wanted);
            if let Some(job) = digests.ask(wanted, &part.range, &mut self.ids) {
                return Pick::Digest(job);
            }
            if claimed.is_none() && digests.has_all(wanted) {
                ready = ready.or(Some(index));
            }
        }
        ready.map_or(Pick::Nothing, |index| Pick::Send(What::Part(index)))
    }

    /// The checksums of parts that an earlier run has sent first.
    fn pick_commit(&mut self) -> Pick {
        let Some(algorithm) = self.summed() else {
            return Pick::Send(What::Commit);
        };
        let mut waiting = 0;
        for (index, part) in self.parts.iter().enumerate() {
            if self.sums.contains_key(&index) {
                continue;
            }
            let digests = self.digests.entry(index).or_default();
            if let Some(job) = digests.ask(&[algorithm], &part.range, &mut self.ids) {
                return Pick::Digest(job);
            }
            waiting += 1;
            if waiting > self.parallel {
                break;
            }
        }
        match waiting {
            0 => Pick::Send(What::Commit),
            _ => Pick::Nothing,
        }
    }

    /// The checksum of each part that the completion needs.
    fn summed(&self) -> Option<Algorithm> {
        let checksum = self.wire.checksum;
        checksum.name().and(checksum.algorithm())
    }

    fn when_known(&mut self, index: usize, wanted: &[Algorithm], what: What) -> Pick {
        let Some(range) = self.parts.get(index).map(|part| part.range.clone()) else {
            return Pick::Send(what);
        };
        let digests = self.digests.entry(index).or_default();
        match digests.ask(wanted, &range, &mut self.ids) {
            Some(job) => Pick::Digest(job),
            None if digests.has_all(wanted) => Pick::Send(what),
            None => Pick::Nothing,
        }
    }

    fn exchange(
        &mut self,
        what: What,
        credentials: &S3Credentials,
        now: SystemTime,
    ) -> Result<Exchange, ProtocolError> {
        let by = Signer { credentials, now };
        let id = self.ids.fresh();
        let upload = self.upload.clone().unwrap_or_default();
        let in_upload = [("uploadId", upload.as_str())];
        match what {
            What::Begin => self.wire.create(id, by),
            What::Put => {
                let digests = self.digests.get(&0).map(Digests::known).unwrap_or_default();
                let draft = self.body(id, 0, Method::PUT);
                self.wire.put(draft, digests, by)
            }
            What::Part(index) => {
                let digests = self.digests.get(&index).map(Digests::known);
                let digests = digests.unwrap_or_default();
                let mut draft = self.body(id, index, Method::PUT);
                self.wire.checksum_field(digests, &mut draft.headers);
                draft.hash = self.wire.hash(digests);
                let number = (index + 1).to_string();
                let query = [("partNumber", number.as_str()), in_upload[0]];
                self.wire.sign(draft.query(&query), by)
            }
            What::List => {
                let marker = match &self.state {
                    State::List(list, _) => list.marker().to_string(),
                    _ => "0".to_owned(),
                };
                let query = [in_upload[0], ("part-number-marker", marker.as_str())];
                // The first page is asked for without a marker, which not every store expects to be 0.
                let query = match marker.as_str() {
                    "0" => &query[..1],
                    _ => &query,
                };
                let draft = Draft::new(id, Step::Check, Method::GET).query(query);
                let mut exchange = self.wire.sign(draft, by)?;
                exchange.answer_limit = 4 << 20;
                Ok(exchange)
            }
            What::Commit => {
                let sums: Vec<_> = (0..self.parts.len())
                    .map(|index| self.sums.get(&index).copied())
                    .collect();
                self.wire
                    .complete(id, &upload, &self.parts.receipts(), &sums, by)
            }
            What::Look => {
                let mut draft = Draft::new(id, Step::Check, Method::HEAD);
                if self.wire.checksum.name().is_some() {
                    let enabled = http::HeaderValue::from_static("ENABLED");
                    draft.headers.insert("x-amz-checksum-mode", enabled);
                }
                self.wire.sign(draft, by)
            }
            What::Abort => {
                let draft = Draft::new(id, Step::Abort, Method::DELETE).query(&in_upload);
                self.wire.sign(draft, by)
            }
        }
    }

    /// A request whose body is a part.
    fn body(&self, id: ExchangeId, index: usize, method: Method) -> Draft<'static> {
        let range = self
            .parts
            .get(index)
            .map_or(0..0, |part| part.range.clone());
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let step = Step::Part {
            number,
            range: range.clone(),
        };
        let mut draft = Draft::new(id, step, method);
        draft.payload = Payload::source(range);
        draft
    }

    /// Puts what an exchange was for back among what is to be sent.
    fn put_back(&mut self, id: ExchangeId) {
        if let Some((What::Part(index), _)) = self.flights.remove(&id) {
            self.parts.set(index, PartState::Missing);
        }
    }

    fn put_all_back(&mut self) {
        let flying: Vec<_> = self.flights.keys().copied().collect();
        for id in flying {
            self.put_back(id);
        }
    }

    /// Whether something is on its way that goes alone.
    fn is_waiting(&self) -> bool {
        let alone = |(what, _): &(What, u64)| !matches!(what, What::Part(_));
        self.flights.values().any(alone)
    }
}

impl UploadSession for Session {
    fn next(&mut self, available: Available, now: SystemTime) -> Result<Next, ProtocolError> {
        if !matches!(self.state, State::Abort | State::Aborted | State::Done(_)) {
            self.measure(available)?;
        }
        self.turn();
        match &self.state {
            State::Done(completed) => return Ok(Next::Done(completed.clone())),
            State::Aborted => return Ok(Next::Aborted),
            _ if self.is_waiting() => return Ok(Next::Wait),
            _ => (),
        }
        let what = match self.pick(available) {
            Pick::Send(what) => what,
            Pick::Digest(job) => return Ok(Next::Digest(job)),
            Pick::Nothing => return Ok(Next::Wait),
        };
        let (credentials, generation): (Arc<S3Credentials>, u64) =
            match self.keys.access(&mut self.ids, now) {
                Access::Ready(credentials, generation) => (credentials, generation),
                Access::Call(call) => return Ok(Next::Call(call)),
                Access::Wait => return Ok(Next::Wait),
            };
        let exchange = self.exchange(what, &credentials, now)?;
        if let What::Part(index) = what {
            self.parts.set(index, PartState::InFlight(exchange.id));
        }
        self.flights.insert(exchange.id, (what, generation));
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
            Some(Err(error)) => Err(error.into()),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn digested(&mut self, id: ExchangeId, digest: Digest) {
        self.know(id, digest);
    }

    fn lost(&mut self, id: ExchangeId, how: Lost) {
        if self.keys.lost(id) {
            return;
        }
        let makes = matches!(self.flights.get(&id), Some((What::Commit | What::Put, _)));
        self.maybe_made |= makes
            && match how {
                Lost::Unsent => false,
                // An error after the work may have been done: in a gateway, or in the body of a 200.
                Lost::Refused(status) => status.is_server_error() || status.is_success(),
                Lost::Unknown => true,
            };
        self.put_back(id);
        for digests in self.digests.values_mut() {
            digests.forget(id);
        }
    }

    fn abort(&mut self) {
        if matches!(self.state, State::Done(_)) {
            return;
        }
        self.put_all_back();
        self.keys.forget_flight();
        self.state = State::Abort;
    }

    fn saved(&self) -> Saved {
        let mut saved = Saved {
            session: self.upload.clone().map(SessionId::new),
            stage: self.stage(),
            part_size: self.geometry.size,
            parts: self.parts.receipts(),
            ..Saved::default()
        };
        let extra = &mut saved.extra;
        extra.insert(CHECKSUM.into(), self.wire.checksum.kept().into());
        extra.extend(self.geometry.len.map(|len| (LEN.into(), len.to_string())));
        let etag = match &self.state {
            State::Done(completed) => completed.etag.clone(),
            State::Look(Looking::Complete(etag)) => etag.clone(),
            _ => None,
        };
        extra.extend(etag.map(|etag| (ETAG.into(), etag)));
        saved
    }

    fn stage(&self) -> Stage {
        match &self.state {
            State::Begin => Stage::Beginning,
            State::Put if self.is_refused => Stage::Beginning,
            State::Sending if self.geometry.len.is_some() && self.parts.all_done() => {
                Stage::Committing
            }
            State::List(_, Listing::Earlier { committing: false }) => Stage::Sending,
            State::Sending | State::Abort => Stage::Sending,
            State::Done(_) | State::Look(Looking::Complete(_)) => Stage::Complete,
            // The one request of a small object is its commit.
            State::Put | State::List(..) | State::Commit | State::Look(_) => Stage::Committing,
            State::Aborted => Stage::Aborted,
        }
    }

    fn part_size(&self) -> u64 {
        self.geometry.size_after(self.parts.len())
    }

    fn acknowledged(&self) -> Acknowledged {
        self.parts.acknowledged()
    }
}

/// Names in [`Saved::extra`]: the checksum of the parts, the length, and the ETag of the finished object.
const CHECKSUM: &str = "checksum";
const LEN: &str = "len";
const ETAG: &str = "etag";

/// Times that everything is begun anew because the server has lost it.
const MOST_RESTARTS: u32 = 2;
