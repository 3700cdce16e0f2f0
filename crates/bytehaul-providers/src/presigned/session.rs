//! One upload by a plan: parts in any order, then the completion, always; and what to do about answers that never came.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use http::header::CONTENT_TYPE;

use crate::presigned::answers::{self, Said, Verdict};
use crate::presigned::checked::{Checked, Signed};
use crate::presigned::completion::{self, BodyBuilder};
use crate::presigned::found::{self, indeterminate};
use crate::presigned::renewal::{Gate, Landed, Renewal, Renewed, What};
use crate::{
    Acknowledged, Answer, Available, Completed, Exchange, ExchangeId, Fault, Ids, Left, Lost, Next,
    PartReceipt, PartState, Parts, Payload, ProtocolError, ProtocolErrorKind, Returned, Saved,
    SessionId, Stage, Step, UploadSession,
};

pub(super) struct Session {
    plan: Checked,
    builder: Option<BodyBuilder>,
    fingerprint: String,
    ids: Ids,
    /// In the order of the plan's.
    parts: Parts,
    renewal: Renewal,
    /// What is on its way, and with the URLs of which generation.
    flights: HashMap<ExchangeId, (What, u64)>,
    state: State,
    /// Whether a completion may have been carried out without a word that reached us.
    maybe_committed: bool,
}

#[derive(Clone, Debug)]
enum State {
    Sending,
    Commit,
    /// The completion came back with this, after one whose answer was lost.
    Check(Said),
    /// An earlier run was told that the object is there.
    Confirm,
    Done(Completed),
    Abort,
    Aborted,
}

impl Session {
    pub(super) fn new(
        plan: Checked,
        builder: Option<BodyBuilder>,
        renewal: Renewal,
        resumed: &Arc<[PartReceipt]>,
        left: Option<Left>,
    ) -> Self {
        let fingerprint = plan.fingerprint();
        let mut parts = Parts::default();
        for part in &plan.parts {
            parts.push(part.number, part.range.clone());
        }
        let mut session = Self {
            plan,
            builder,
            fingerprint,
            ids: Ids::default(),
            parts,
            renewal,
            flights: HashMap::new(),
            state: State::Sending,
            maybe_committed: false,
        };
        // Receipts of another session, or of one that was discarded, speak of parts that are not there.
        let left = left.filter(|left| {
            left.saved.extra.get(PLAN) == Some(&session.fingerprint)
                && left.saved.stage != Stage::Aborted
        });
        let committing = left
            .as_ref()
            .is_some_and(|left| left.saved.stage == Stage::Committing);
        match left {
            Some(left) if left.saved.stage == Stage::Complete && left.unchanged => {
                session.restore(&left.saved.parts);
                // Whether it still is, is for the server to say, where it can be asked.
                let confirmed = session.plan.head.is_some();
                session.state = if confirmed {
                    State::Confirm
                } else {
                    State::Done(Completed {
                        etag: left.saved.extra.get(ETAG).cloned(),
                        ..Completed::default()
                    })
                };
            }
            Some(left) => session.restore(&left.saved.parts),
            None => session.restore(resumed),
        }
        // The run that has sent the last part may have sent the completion too.
        session.maybe_committed =
            committing || (!session.parts.is_empty() && session.parts.all_done());
        session
    }

    fn restore(&mut self, receipts: &[PartReceipt]) {
        let indices = self.parts.iter().enumerate();
        let by_number: HashMap<_, _> = indices.map(|(at, part)| (part.number, at)).collect();
        for receipt in receipts {
            let Some(&index) = by_number.get(&receipt.number) else {
                continue;
            };
            let fits = |part: &crate::Part| part.range == (receipt.offset..receipt.end());
            if self.parts.get(index).is_some_and(fits) {
                self.parts.set(index, PartState::Done(receipt.clone()));
            }
        }
    }

    /// What is to be sent next, if anything is.
    fn pick(&mut self, available: Available) -> Option<What> {
        match self.state {
            State::Sending => {
                let index = self.parts.missing()?;
                let part = self.parts.get(index)?;
                (part.range.end <= available.until).then_some(What::Part(index))
            }
            State::Commit => Some(What::Commit),
            State::Check(_) | State::Confirm => Some(What::Check),
            State::Abort => Some(What::Abort),
            State::Done(_) | State::Aborted => None,
        }
    }

    fn signed(&self, what: What) -> Option<&Signed> {
        match what {
            What::Part(index) => self.plan.parts.get(index).map(|part| &part.request),
            What::Commit => self
                .plan
                .complete
                .as_ref()
                .map(|complete| &complete.request),
            What::Check => self.plan.head.as_ref(),
            What::Abort => self.plan.abort.as_ref(),
        }
    }

    fn exchange(&mut self, what: What) -> Result<Option<Exchange>, ProtocolError> {
        let id = self.ids.fresh();
        let Some(signed) = self.signed(what) else {
            return Ok(None);
        };
        let exchange = match what {
            What::Part(index) => {
                let part = &self.plan.parts[index];
                let step = Step::Part {
                    number: part.number,
                    range: part.range.clone(),
                };
                signed.exchange(id, step, Payload::source(part.range.clone()))
            }
            What::Commit => self.completion(id, signed)?,
            What::Check => signed.exchange(id, Step::Check, Payload::default()),
            What::Abort => signed.exchange(id, Step::Abort, Payload::default()),
        };
        if let What::Part(index) = what {
            self.parts.set(index, PartState::InFlight(id));
        }
        let generation = self.renewal.generation();
        self.flights.insert(id, (what, generation));
        Ok(Some(exchange))
    }

    fn completion(&self, id: ExchangeId, signed: &Signed) -> Result<Exchange, ProtocolError> {
        let Some(completion) = &self.plan.complete else {
            return Ok(signed.exchange(id, Step::Commit, Payload::default()));
        };
        let receipts = self.parts.receipts();
        let body = completion::body(&self.plan, completion, self.builder.as_ref(), &receipts)?;
        let Some(body) = body else {
            return Ok(signed.exchange(id, Step::Commit, Payload::default()));
        };
        let mut exchange = signed.exchange(id, Step::Commit, Payload::bytes(body.bytes));
        if let Some(media) = body.content_type {
            let headers = &mut exchange.headers;
            let media = HeaderValue::from_static(media);
            headers.entry(CONTENT_TYPE).or_insert(media);
        }
        Ok(exchange)
    }

    fn taken(&mut self, id: ExchangeId, what: What, answer: &Answer<'_>) -> Result<(), Fault> {
        match what {
            What::Part(index) => {
                let Some(part) = self.parts.get(index) else {
                    return Ok(());
                };
                let size = part.range.end - part.range.start;
                if answer.sent != size {
                    let what = "the server answered before it had the whole part";
                    return Err(Fault::Again(what.into()));
                }
                self.flights.remove(&id);
                let receipt = PartReceipt::new(part.number, part.range.start, size)
                    .tag(answer.header("etag").map(str::to_owned))
                    .crc32c(answer.crc32c);
                self.parts.set(index, PartState::Done(receipt));
            }
            What::Commit => {
                self.flights.remove(&id);
                self.state = State::Done(answers::completed(answer));
            }
            What::Check => {
                self.flights.remove(&id);
                let completed = found::found(&self.plan, &self.parts.receipts(), answer)?;
                self.state = State::Done(completed);
            }
            What::Abort => {
                self.flights.remove(&id);
                self.state = State::Aborted;
            }
        }
        Ok(())
    }

    /// A request has not been taken, and no other URL would help.
    fn not_taken(&mut self, id: ExchangeId, what: What, said: Said) -> Result<(), Fault> {
        match what {
            What::Part(index) => {
                let number = self.plan.parts.get(index).map_or(0, |part| part.number);
                Err(said.fault(&format!("part {number}")))
            }
            What::Commit => match said.fault("completion") {
                Fault::Fatal(_) if self.maybe_committed => {
                    if self.plan.head.is_none() {
                        return Err(indeterminate(&format!(
                            "the answer to the completion was lost, and the next one was {said}"
                        ))
                        .into());
                    }
                    self.flights.remove(&id);
                    self.state = State::Check(said);
                    Ok(())
                }
                fault => Err(fault),
            },
            What::Check => self.not_found(said),
            What::Abort if matches!(said.status.as_u16(), 404 | 410) => {
                self.flights.remove(&id);
                self.state = State::Aborted;
                Ok(())
            }
            What::Abort => Err(said.fault("abort")),
        }
    }

    fn not_found(&self, said: Said) -> Result<(), Fault> {
        let State::Check(before) = &self.state else {
            return Err(gone(&said));
        };
        match said.fault("asking for the object") {
            Fault::Fatal(_) if matches!(said.status.as_u16(), 404 | 410) => {
                let what = format!("completion: {before}, and the object is not there");
                let kind = ProtocolErrorKind::Status(before.status);
                Err(ProtocolError::new(kind, what).into())
            }
            Fault::Fatal(_) => Err(indeterminate(&format!(
                "completion: {before}, and asking for the object: {said}"
            ))
            .into()),
            fault => Err(fault),
        }
    }

    /// Puts what an exchange was for back among what is to be sent.
    fn put_back(&mut self, id: ExchangeId) {
        if let Some((What::Part(index), _)) = self.flights.remove(&id) {
            self.parts.set(index, PartState::Missing);
        }
    }

    /// Whether something is on its way that goes alone.
    fn is_waiting(&self) -> bool {
        let alone = |(what, _): &(What, u64)| !matches!(what, What::Part(_));
        !matches!(self.state, State::Sending) && self.flights.values().any(alone)
    }
}

/// What an earlier run has completed is not found.
fn gone(said: &Said) -> Fault {
    match said.fault("asking for the object") {
        Fault::Fatal(_) if matches!(said.status.as_u16(), 404 | 410) => {
            let what = "an earlier run had completed it, and it is not there any more: it takes a new plan";
            ProtocolError::new(ProtocolErrorKind::Status(said.status), what).into()
        }
        Fault::Fatal(_) => indeterminate(&format!("asking for the object: {said}")).into(),
        fault => fault,
    }
}

impl UploadSession for Session {
    fn next(&mut self, available: Available, now: SystemTime) -> Result<Next, ProtocolError> {
        // To discard what was staged, no source is needed.
        let reads = matches!(self.state, State::Sending);
        if reads && available.ended && available.until != self.plan.total {
            let what = format!(
                "the source has {} bytes and the plan {}",
                available.until, self.plan.total
            );
            return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
        }
        if matches!(self.state, State::Sending) && self.parts.all_done() {
            self.state = match &self.plan.complete {
                Some(_) => State::Commit,
                None => State::Done(alone(&self.parts)),
            };
        }
        if matches!(self.state, State::Abort) && self.plan.abort.is_none() {
            self.state = State::Aborted;
        }
        match &self.state {
            State::Done(completed) => return Ok(Next::Done(completed.clone())),
            State::Aborted => return Ok(Next::Aborted),
            _ if self.is_waiting() => return Ok(Next::Wait),
            State::Sending | State::Commit | State::Check(_) | State::Confirm | State::Abort => (),
        }
        let Some(what) = self.pick(available) else {
            return Ok(Next::Wait);
        };
        let expires_at = self.signed(what).and_then(|signed| signed.expires_at);
        let gate = self.renewal.gate(expires_at, self.plan.refresh_before, now);
        if gate == Gate::Renew {
            let id = self.ids.fresh();
            if let Some(call) = self.renewal.take_off(id) {
                return Ok(Next::Call(Box::new(call)));
            }
        }
        if gate == Gate::Wait {
            return Ok(Next::Wait);
        }
        Ok(match self.exchange(what)? {
            Some(exchange) => Next::Send(Box::new(exchange)),
            None => Next::Wait,
        })
    }

    fn answered(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        _: SystemTime,
    ) -> Result<(), Fault> {
        let Some(&(what, generation)) = self.flights.get(&id) else {
            return Ok(());
        };
        let verdict = answers::verdict(answer);
        match verdict {
            Verdict::Taken => {
                self.renewal.accepted(what);
                self.taken(id, what, answer)
            }
            Verdict::Refused(said) => match self.renewal.refused(what, generation) {
                true => {
                    self.put_back(id);
                    Ok(())
                }
                false => self.not_taken(id, what, said),
            },
            Verdict::Passing(said) | Verdict::Final(said) => {
                self.renewal.answered(what, generation);
                self.not_taken(id, what, said)
            }
        }
    }

    fn returned(&mut self, id: ExchangeId, value: Returned, now: SystemTime) -> Result<(), Fault> {
        let Ok(given) = value.downcast::<Renewed>() else {
            return Ok(());
        };
        let Some(landed) = self.renewal.landed(id) else {
            return Ok(());
        };
        match (given.0, landed) {
            (Ok(newer), _) => {
                self.plan = self.plan.renewed(&newer)?;
                self.renewal.renewed(now);
            }
            (Err(_), Landed::Ahead) => self.renewal.not_yet(),
            (Err(error), Landed::Needed) => {
                let what = "new URLs could not be had";
                let error = ProtocolError::new(ProtocolErrorKind::Refresh, what).with_source(error);
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn lost(&mut self, id: ExchangeId, how: Lost) {
        match self.renewal.landed(id) {
            Some(Landed::Ahead) => return self.renewal.not_yet(),
            Some(Landed::Needed) => return self.renewal.again(),
            None => (),
        }
        let commits = matches!(self.flights.get(&id), Some((What::Commit, _)));
        self.maybe_committed |= commits
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
        let flying: Vec<_> = self.flights.keys().copied().collect();
        for id in flying {
            self.put_back(id);
        }
        self.renewal.forget_flight();
        self.state = State::Abort;
    }

    fn saved(&self) -> Saved {
        let mut saved = Saved {
            session: self.plan.upload_id.clone().map(SessionId::new),
            part_size: self.plan.chunk,
            parts: self.parts.receipts(),
            ..Saved::default()
        };
        saved.extra.insert(PLAN.into(), self.fingerprint.clone());
        saved.stage = self.stage();
        if let State::Done(completed) = &self.state {
            let etag = completed.etag.clone();
            saved.extra.extend(etag.map(|etag| (ETAG.into(), etag)));
        }
        saved
    }

    fn stage(&self) -> Stage {
        match self.state {
            State::Sending if self.parts.all_done() => Stage::Committing,
            State::Sending | State::Abort => Stage::Sending,
            State::Commit | State::Check(_) => Stage::Committing,
            State::Done(_) | State::Confirm => Stage::Complete,
            State::Aborted => Stage::Aborted,
        }
    }

    fn part_size(&self) -> u64 {
        self.plan.chunk
    }

    fn acknowledged(&self) -> Acknowledged {
        self.parts.acknowledged()
    }
}

/// What is known of an object that needs no completion: of one part, it is that part.
fn alone(parts: &Parts) -> Completed {
    let etag = match &parts.receipts()[..] {
        [receipt] => receipt.tag.clone(),
        _ => None,
    };
    Completed {
        etag,
        ..Completed::default()
    }
}

/// Names in [`Saved::extra`]: what the receipts belong to, and the ETag of the finished object.
const PLAN: &str = "plan";
const ETAG: &str = "etag";
