//! What answers do to a session.

use std::time::SystemTime;

use bytehaul_integrity::Crc;

use super::{MOST_ROUNDS, Reason, Session, State, What};
use crate::oss::answers::{self, Said, Verdict, verdict};
use crate::oss::listing::{Listed, MOST_OF_A_TAG, More};
use crate::{
    Answer, Completed, ExchangeId, Fault, PartReceipt, PartState, ProtocolError, ProtocolErrorKind,
    xml,
};

impl Session {
    pub(super) fn report(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        now: SystemTime,
    ) -> Result<(), Fault> {
        let Some(&flight) = self.flights.get(&id) else {
            return Ok(());
        };
        let what = flight.what;
        match verdict(answer, now) {
            Verdict::Taken => {
                self.keys.accepted(&what);
                self.taken(id, what, answer)
            }
            Verdict::Refused(_) if self.keys.refused(what, flight.generation) => {
                self.put_back(id);
                Ok(())
            }
            Verdict::Refused(said) => self.denied(id, what, said),
            Verdict::Elsewhere(endpoint, said) => {
                self.elsewhere(id, flight.moves, &endpoint, &said)
            }
            Verdict::Gone(said) => {
                self.keys.accepted(&what);
                self.gone(id, what, said)
            }
            Verdict::Final(said) if said.is_absent() => {
                self.keys.accepted(&what);
                self.not_taken(id, what, said)
            }
            Verdict::Passing(said) | Verdict::Final(said) => self.not_taken(id, what, said),
        }
    }

    fn taken(&mut self, id: ExchangeId, what: What, answer: &Answer<'_>) -> Result<(), Fault> {
        match what {
            What::Begin => {
                let upload = xml::at(answer.body, &["InitiateMultipartUploadResult", "UploadId"]);
                let Some(upload) = upload.filter(|id| id.len() <= MOST_OF_A_TAG) else {
                    let what = "the answer to the creation has no upload id";
                    return Err(ProtocolError::new(ProtocolErrorKind::Parse, what).into());
                };
                self.upload = Some(upload);
            }
            What::Part(index) => self.part_taken(index, answer)?,
            What::List => self.page(answer)?,
            What::Commit => self.committed(answer)?,
            What::Head => self.found(answer)?,
            What::Abort => self.state = State::Aborted,
        }
        self.flights.remove(&id);
        Ok(())
    }

    fn part_taken(&mut self, index: usize, answer: &Answer<'_>) -> Result<(), Fault> {
        let Some(part) = self.parts.get(index) else {
            return Ok(());
        };
        let (number, range) = (part.number, part.range.clone());
        if answer.sent != range.end - range.start {
            let what = format!("the server took part {number} before it had all of it");
            return Err(Fault::Again(what));
        }
        let theirs = answers::crc64(answer);
        if theirs.is_some() && theirs != self.sums.get(index) {
            // If it was read wrongly, it is read again.
            self.sums.forget(index);
            let times = self.damaged.entry(index).or_default();
            *times += 1;
            let what = format!("the server has other bytes of part {number} than were sent");
            return Err(match *times > MOST_ROUNDS {
                true => ProtocolError::new(ProtocolErrorKind::Checksum, what).into(),
                false => Fault::Again(what),
            });
        }
        let tag = answer.header("etag").map(str::to_owned);
        // What is in one request has no use for the tag.
        if tag.is_none() && !(self.is_whole && theirs.is_some()) {
            let what = format!("the answer to part {number} does not say what the server calls it");
            return Err(ProtocolError::new(ProtocolErrorKind::Parse, what).into());
        }
        let receipt = PartReceipt::new(number, range.start, range.end - range.start)
            .tag(tag)
            .crc32c(answer.crc32c);
        self.set(index, PartState::Done(receipt));
        if self.is_whole {
            self.state = State::Done(self.completed(answer));
        }
        Ok(())
    }

    /// What the answer to what made the object says of it.
    fn completed(&self, answer: &Answer<'_>) -> Completed {
        let of_body = |name| xml::at(answer.body, &["CompleteMultipartUploadResult", name]);
        let etag = answer.header("etag").map(str::to_owned);
        let (theirs, ours) = (answers::crc64(answer), self.sums.joined(&self.parts));
        let same = theirs.filter(|_| theirs == ours);
        Completed {
            etag: etag.or_else(|| of_body("ETag")),
            location: of_body("Location"),
            verified: same.map(|crc| Crc::Crc64.digest(crc)),
            ..Completed::default()
        }
    }

    fn committed(&mut self, answer: &Answer<'_>) -> Result<(), Fault> {
        let completed = self.completed(answer);
        let theirs = answers::crc64(answer);
        if theirs.is_some() && completed.verified.is_none() {
            let what = "the server has made an object of other bytes than were sent";
            return Err(ProtocolError::new(ProtocolErrorKind::Checksum, what).into());
        }
        if theirs.is_none() && completed.etag.is_none() {
            // Whoever has said this speaks of no object; the next one may.
            self.maybe_made = true;
            return Err(Fault::Again(
                "the answer to the completion says nothing of the object".into(),
            ));
        }
        self.state = State::Done(completed);
        Ok(())
    }

    fn page(&mut self, answer: &Answer<'_>) -> Result<(), Fault> {
        let State::List(list, reason) = &mut self.state else {
            return Ok(());
        };
        if list.take(answer.body)? == More::Yes {
            return Ok(());
        }
        let (list, reason) = (std::mem::take(list), reason.clone());
        if let Reason::Lacking(said) = &reason {
            self.another_round(said)?;
        }
        self.state = State::Sending;
        for index in 0..self.parts.len() {
            let Some(part) = self.parts.get(index) else {
                continue;
            };
            let (number, size) = (part.number, part.range.end - part.range.start);
            let listed = list.get(number).filter(|listed| {
                listed.etag.is_some() && listed.size.is_none_or(|theirs| theirs == size)
            });
            let tag = match &part.state {
                PartState::Done(receipt) => receipt.tag.clone(),
                PartState::Missing | PartState::InFlight(_) => None,
            };
            match listed {
                Some(listed) if tag.is_some() && self.is_same(index, &tag, listed) => (),
                Some(listed) => {
                    self.set(index, PartState::Missing);
                    self.claim(index, listed.clone());
                }
                None => self.set(index, PartState::Missing),
            }
        }
        Ok(())
    }

    /// Whether a part that the server has is the one that a receipt tells of.
    fn is_same(&self, index: usize, tag: &Option<String>, listed: &Listed) -> bool {
        let plain =
            |tag: &Option<String>| tag.as_deref().map(|tag| tag.trim_matches('"').to_owned());
        let (ours, theirs) = (self.sums.get(index), listed.crc64);
        plain(tag) == plain(&listed.etag) && (ours.is_none() || theirs.is_none() || ours == theirs)
    }

    /// The server has a part of which no receipt tells: it counts if its CRC-64 is that of the source.
    fn claim(&mut self, index: usize, listed: Listed) {
        match (listed.crc64, self.sums.get(index)) {
            (Some(theirs), Some(ours)) if theirs == ours => self.accept(index, listed.etag),
            (Some(_), None) => {
                self.claims.insert(index, listed);
            }
            (Some(_), Some(_)) | (None, _) => (),
        }
    }

    /// An object is there.
    fn found(&mut self, answer: &Answer<'_>) -> Result<(), Fault> {
        let len = answer.header("content-length");
        let len: Option<u64> = len.and_then(|text| text.trim().parse().ok());
        let has_len = len == Some(self.parts.end());
        let theirs = answers::crc64(answer);
        let completed = self.completed(answer);
        match self.state.clone() {
            State::Still(before) => {
                let is_same = before.etag.is_some() && before.etag == completed.etag;
                let is_other = theirs.is_some()
                    && self.sums.joined(&self.parts).is_some()
                    && completed.verified.is_none();
                match is_same && has_len && !is_other {
                    true => self.is_there(completed),
                    false => self.afresh(),
                }
                Ok(())
            }
            State::Found(_) if has_len && completed.verified.is_some() => {
                self.is_there(completed);
                Ok(())
            }
            State::Found(said) if has_len && theirs.is_none() => {
                let what = format!("{said}, and the object does not say of which bytes it is");
                Err(indeterminate(&what).into())
            }
            State::Found(said) => self.not_found(&said),
            _ => Ok(()),
        }
    }

    fn is_there(&mut self, completed: Completed) {
        for index in 0..self.parts.len() {
            let part = self.parts.get(index);
            if part.is_some_and(|part| !matches!(part.state, PartState::Done(_))) {
                self.accept(index, None);
            }
        }
        self.state = State::Done(completed);
    }

    /// No object is there, or one of other bytes, after a request that would have made it was answered like this.
    fn not_found(&mut self, said: &Said) -> Result<(), Fault> {
        if said.is("NoSuchUpload") {
            return Ok(self.restart(said)?);
        }
        Err(said.fault("completion"))
    }

    /// There is no such upload, or there is one no longer.
    fn gone(&mut self, id: ExchangeId, what: What, said: Said) -> Result<(), Fault> {
        self.flights.remove(&id);
        match what {
            What::Abort => self.state = State::Aborted,
            What::List | What::Commit if self.maybe_made => self.state = State::Found(said),
            What::List | What::Commit | What::Part(_) => self.restart(&said)?,
            What::Begin | What::Head => return Err(said.fault("upload")),
        }
        Ok(())
    }

    /// A request was not taken, and neither other credentials nor another endpoint would help.
    fn not_taken(&mut self, id: ExchangeId, what: What, said: Said) -> Result<(), Fault> {
        let place = match what {
            What::Begin => "creation of the upload".to_owned(),
            What::Part(index) => format!("part {}", index + 1),
            What::List => "list of parts".to_owned(),
            What::Commit => "completion".to_owned(),
            What::Head => "asking for the object".to_owned(),
            What::Abort => "abort".to_owned(),
        };
        let fault = said.fault(&place);
        if !matches!(fault, Fault::Fatal(_)) {
            return Err(fault);
        }
        let makes_it = what == What::Commit || (self.is_whole && matches!(what, What::Part(_)));
        match (what, self.state.clone()) {
            (What::Abort, _) if said.is_absent() => self.state = State::Aborted,
            (What::Head, State::Still(_)) if said.is_absent() => {
                self.flights.remove(&id);
                self.afresh();
            }
            (What::Head, State::Found(before)) if said.is_absent() => {
                self.flights.remove(&id);
                return self.not_found(&before);
            }
            (What::Head, State::Found(before)) => {
                let what = format!("{before}, and asking for the object: {said}");
                return Err(indeterminate(&what).into());
            }
            // What a stream has sent cannot be had again.
            (What::Commit, _) if said.is("InvalidPart") && self.geometry.len.is_some() => {
                self.state = State::List(Default::default(), Reason::Lacking(said));
            }
            _ if makes_it && self.maybe_made => self.state = State::Found(said),
            _ => {
                self.is_refused = makes_it;
                return Err(fault);
            }
        }
        self.put_back(id);
        Ok(())
    }

    /// Nobody who may do this is asking. What needs the right to look is done without, where that is possible.
    fn denied(&mut self, id: ExchangeId, what: What, said: Said) -> Result<(), Fault> {
        match (what, self.state.clone()) {
            // The receipts have to do.
            (What::List, State::List(_, Reason::Resume)) => self.state = State::Sending,
            (What::List, State::List(_, Reason::Lacking(before)))
                if self.geometry.len.is_some() =>
            {
                self.another_round(&before)?;
                for index in 0..self.parts.len() {
                    self.set(index, PartState::Missing);
                }
                self.state = State::Sending;
            }
            // Whether it is still there nobody says, and sending it again comes to the same.
            (What::Head, State::Still(_)) => self.afresh(),
            _ => return self.not_taken(id, what, said),
        }
        self.flights.remove(&id);
        Ok(())
    }

    /// The bucket is behind another endpoint, which is followed once.
    fn elsewhere(
        &mut self,
        id: ExchangeId,
        moves: u32,
        endpoint: &str,
        said: &Said,
    ) -> Result<(), Fault> {
        if moves == self.moves {
            let moved = self.wire.location.at_endpoint(endpoint);
            let Some(location) = moved.filter(|_| self.moves == 0) else {
                return Err(said.fault("the bucket has another endpoint"));
            };
            self.wire.location = location;
            self.moves += 1;
        }
        self.put_back(id);
        Ok(())
    }
}

fn indeterminate(what: &str) -> ProtocolError {
    let what = format!("it cannot be known whether the object was made: {what}");
    ProtocolError::new(ProtocolErrorKind::Indeterminate, what)
}
