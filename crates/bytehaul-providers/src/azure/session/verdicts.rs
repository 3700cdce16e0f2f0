//! What answers mean for an upload: what is taken, what is there, what is sent again, and what is an end.

use std::collections::HashSet;

use super::{Md5, Reason, Session, State, What};
use crate::azure::Existing;
use crate::azure::answers::Said;
use crate::azure::listing::Blocks;
use crate::{
    Algorithm, Answer, Completed, Digest, ExchangeId, Fault, PartReceipt, PartState, ProtocolError,
    ProtocolErrorKind,
};

impl Session {
    pub(super) fn taken(&mut self, what: What, answer: &Answer<'_>) -> Result<(), Fault> {
        let completed = || Completed {
            etag: answer.header("etag").map(str::to_owned),
            ..Completed::default()
        };
        match what {
            What::Part(index) => {
                self.part_taken(index, answer)?;
                if self.is_whole {
                    self.state = State::Done(completed());
                }
            }
            What::Commit => self.state = State::Done(completed()),
            What::List => {
                let blocks = Blocks::parse(answer.body)?;
                self.listed(&blocks, completed())?;
            }
            What::Properties => self.found(answer, completed())?,
        }
        Ok(())
    }

    /// A success before the service had all of a body is of whatever it had by then.
    pub(super) fn is_whole_body(&self, what: What, answer: &Answer<'_>) -> Result<(), Fault> {
        let What::Part(index) = what else {
            return Ok(());
        };
        match self.parts.get(index) {
            Some(part) if answer.sent != part.range.end - part.range.start => {
                let number = part.number;
                let what = format!("the service took part {number} before it had all of it");
                Err(Fault::Again(what))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn part_taken(&mut self, index: usize, answer: &Answer<'_>) -> Result<(), ProtocolError> {
        let Some(part) = self.parts.get(index) else {
            return Ok(());
        };
        let ours = self.digests.of(index);
        let ours = ours.filter(|digest| digest.algorithm() == Algorithm::Md5);
        let theirs = answer.header("content-md5");
        let theirs = theirs.and_then(|text| Digest::parse_base64(Algorithm::Md5, text).ok());
        if ours.is_some() && theirs.is_some() && ours != theirs {
            let what = format!(
                "the service has other bytes of part {} than were sent",
                part.number
            );
            return Err(ProtocolError::new(ProtocolErrorKind::Checksum, what));
        }
        let size = part.range.end - part.range.start;
        let mut receipt =
            PartReceipt::new(part.number, part.range.start, size).crc32c(answer.crc32c);
        if !self.is_whole {
            receipt = receipt.tag(self.block_id(index));
        }
        self.set(index, PartState::Done(receipt));
        self.digests.forget(index);
        Ok(())
    }

    /// The blocks that the service has: whether they are the blob already, and which have to be sent.
    fn listed(&mut self, blocks: &Blocks, completed: Completed) -> Result<(), Fault> {
        let State::List(reason) = &self.state else {
            return Ok(());
        };
        let reason = reason.clone();
        if self.is_made_of(&blocks.committed) {
            self.accept_all();
            self.state = State::Done(completed);
            return Ok(());
        }
        match reason {
            Reason::Doubt(said) => return Err(said.fault("commit")),
            Reason::Resume if self.must_not_replace(blocks) => return Err(is_there().into()),
            Reason::Lacking(said) => self.another_round(&said)?,
            Reason::Resume => (),
        }
        let there = blocks.committed.iter().chain(&blocks.uncommitted);
        let there: HashSet<(&str, u64)> = there.map(|(id, size)| (&**id, *size)).collect();
        for index in 0..self.parts.len() {
            let Some(part) = self.parts.get(index) else {
                continue;
            };
            let (size, id) = (part.range.end - part.range.start, self.expected(index));
            let is_there = id.as_deref().is_some_and(|id| there.contains(&(id, size)));
            match (&part.state, is_there) {
                (PartState::Done(_), false) => self.set(index, PartState::Missing),
                (PartState::Missing, true) => self.accept(index),
                (PartState::Done(_) | PartState::Missing | PartState::InFlight(_), _) => (),
            }
        }
        self.state = State::Sending;
        Ok(())
    }

    /// Whether a blob of these blocks is the one that this upload makes.
    fn is_made_of(&self, committed: &[(String, u64)]) -> bool {
        let mut parts = self.parts.iter().enumerate();
        !committed.is_empty()
            && committed.len() == self.parts.len()
            && committed.iter().all(|(id, size)| {
                parts.next().is_some_and(|(index, part)| {
                    let range = &part.range;
                    self.expected(index).as_ref() == Some(id) && range.end - range.start == *size
                })
            })
    }

    fn must_not_replace(&self, blocks: &Blocks) -> bool {
        self.setup.config.existing == Existing::Refuse && !blocks.committed.is_empty()
    }

    /// The name of a part's block. What goes by it is of this source, as the names of another one are others.
    fn expected(&self, index: usize) -> Option<String> {
        match &self.parts.get(index)?.state {
            PartState::Done(receipt) => receipt.tag.clone(),
            PartState::Missing | PartState::InFlight(_) => Some(self.block_id(index)),
        }
    }

    /// Takes a block for done whose answer was lost.
    fn accept(&mut self, index: usize) {
        if let Some(part) = self.parts.get(index) {
            let size = part.range.end - part.range.start;
            let receipt = PartReceipt::new(part.number, part.range.start, size);
            self.set(index, PartState::Done(receipt.tag(self.block_id(index))));
        }
    }

    fn accept_all(&mut self) {
        for index in 0..self.parts.len() {
            let state = self.parts.get(index).map(|part| &part.state);
            if state.is_some_and(|state| !matches!(state, PartState::Done(_))) {
                self.accept(index);
            }
        }
    }

    /// A blob is there.
    fn found(&mut self, answer: &Answer<'_>, completed: Completed) -> Result<(), Fault> {
        let len = answer.header("content-length");
        let len: Option<u64> = len.and_then(|text| text.trim().parse().ok());
        match &self.state {
            State::Vacant => return Err(is_there().into()),
            State::Still(before) => {
                let is_same = before.etag.is_some() && before.etag == completed.etag;
                if is_same && len == self.blob.len {
                    self.accept_all();
                    self.state = State::Done(completed);
                } else {
                    self.afresh();
                }
            }
            State::Found(said) => {
                let theirs = answer.header("content-md5");
                let theirs =
                    theirs.and_then(|text| Digest::parse_base64(Algorithm::Md5, text).ok());
                let ours = match self.md5 {
                    Md5::Known(digest) => Some(digest),
                    Md5::Unknown | Md5::Asked(_) => None,
                };
                let has_len = len == Some(self.parts.end());
                match (theirs, has_len) {
                    (Some(_), true) if theirs == ours => {
                        self.accept_all();
                        self.state = State::Done(completed);
                    }
                    (None, true) => {
                        let what =
                            format!("put: {said}, and the blob does not say of which bytes it is");
                        return Err(indeterminate(&what).into());
                    }
                    (Some(_) | None, _) => return Err(said.fault("put")),
                }
            }
            State::List(_) | State::Sending | State::Commit | State::Done(_) | State::Aborted => (),
        }
        Ok(())
    }

    /// A request was not taken, and no other credentials would help.
    pub(super) fn not_taken(
        &mut self,
        id: ExchangeId,
        what: What,
        said: Said,
    ) -> Result<(), Fault> {
        if let What::Part(index) = what
            && said.are_other_bytes()
        {
            // If it was read wrongly, it is read again.
            self.digests.forget(index);
        }
        let next = match (what, &self.state) {
            (What::Properties, State::Vacant) if said.is_absent() => State::Sending,
            (What::Properties, State::Still(_)) if said.is_absent() => {
                self.flights.remove(&id);
                self.afresh();
                return Ok(());
            }
            (What::Properties, State::Found(before)) if said.is_absent() => {
                let before = before.clone();
                self.another_round(&before)?;
                State::Sending
            }
            (What::List, State::List(_)) if said.is_absent() => {
                self.flights.remove(&id);
                return self.listed(&Blocks::default(), Completed::default());
            }
            (What::Commit, _) if said.lacks_blocks() => State::List(Reason::Lacking(said)),
            (What::Part(index), _) if !self.is_whole => {
                return Err(said.fault(&format!("part {}", index + 1)));
            }
            (What::Commit | What::Part(_), _) => match said.fault("commit") {
                Fault::Fatal(_) if self.maybe_made => self.doubt(said),
                fault => {
                    self.is_refused = matches!(fault, Fault::Fatal(_));
                    return Err(fault);
                }
            },
            (What::List | What::Properties, _) => return Err(said.fault("asking for the blob")),
        };
        self.put_back(id);
        self.state = next;
        Ok(())
    }

    /// Nobody who may do this is asking. What needs the right to read is done without, where that is possible.
    pub(super) fn denied(&mut self, id: ExchangeId, what: What, said: &Said) -> Result<(), Fault> {
        match (what, &self.state) {
            (What::Properties, State::Vacant) | (What::List, State::List(Reason::Resume)) => {
                self.state = State::Sending;
            }
            // Whether it is still there nobody says, and sending it again comes to the same.
            (What::Properties, State::Still(_)) => self.afresh(),
            (What::Properties, State::Found(before))
            | (What::List, State::List(Reason::Doubt(before))) => {
                let what = format!("{before}, and asking for the blob: {said}");
                return Err(indeterminate(&what).into());
            }
            (What::List, State::List(Reason::Lacking(before))) => {
                let before = before.clone();
                self.another_round(&before)?;
                self.all_missing();
                self.state = State::Sending;
            }
            (What::Commit | What::Part(_), _) if self.maybe_made && self.makes_it(what) => {
                self.put_back(id);
                self.state = self.doubt(said.clone());
            }
            (What::Part(_) | What::Commit | What::List | What::Properties, _) => {
                self.is_refused = self.makes_it(what);
                return Err(said.fault("access"));
            }
        }
        self.flights.remove(&id);
        Ok(())
    }

    /// Whether the blob is there once this is done.
    pub(super) fn makes_it(&self, what: What) -> bool {
        match what {
            What::Commit => true,
            What::Part(_) => self.is_whole,
            What::List | What::Properties => false,
        }
    }

    /// What would have made the blob is refused for good, but an earlier one may have been carried out.
    fn doubt(&self, said: Said) -> State {
        match self.is_whole {
            true => State::Found(said),
            false => State::List(Reason::Doubt(said)),
        }
    }

    /// Once more, but not for ever.
    fn another_round(&mut self, said: &Said) -> Result<(), Fault> {
        self.rounds += 1;
        if self.rounds > MOST_ROUNDS {
            return Err(said.fault("the service keeps losing what it has taken"));
        }
        Ok(())
    }
}

fn is_there() -> ProtocolError {
    let what = "the blob is there already, and must not be replaced";
    ProtocolError::new(ProtocolErrorKind::Changed, what)
}

fn indeterminate(what: &str) -> ProtocolError {
    let what = format!("it cannot be known whether the blob was made: {what}");
    ProtocolError::new(ProtocolErrorKind::Indeterminate, what)
}

/// Times that parts are sent again which the service had taken.
const MOST_ROUNDS: u32 = 3;
