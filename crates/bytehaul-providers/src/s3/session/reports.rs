//! What answers do to a session.

use std::time::SystemTime;

use bytehaul_integrity::Crc;
use bytehaul_integrity::headers::{Response, declared};
use http::StatusCode;

use super::resume::unknown;
use super::{Listing, Looking, MOST_RESTARTS, Session, State, What};
use crate::s3::answers::{self, Said, Verdict};
use crate::s3::digests::Digests;
use crate::s3::listing::{MOST_OF_A_TAG, PartList, below_root, xml_root};
use crate::{
    Algorithm, Answer, Completed, Digest, ExchangeId, Fault, PartReceipt, PartState, ProtocolError,
    ProtocolErrorKind,
};

impl Session {
    /// Takes an answer. What is final, while nothing has told whether an earlier run has made the object, is no word about it.
    pub(super) fn report(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        now: SystemTime,
    ) -> Result<(), Fault> {
        match self.judge(id, answer, now) {
            Err(Fault::Fatal(error)) if self.is_in_doubt => Err(unknown(&format!(
                "an earlier run was at the completion, and the server cannot be asked: {error}"
            ))),
            ended => ended,
        }
    }

    fn judge(&mut self, id: ExchangeId, answer: &Answer<'_>, now: SystemTime) -> Result<(), Fault> {
        let Some(&(what, generation)) = self.flights.get(&id) else {
            return Ok(());
        };
        match answers::verdict(answer, now) {
            Verdict::Taken => {
                self.keys.accepted(&what);
                self.taken(what, answer)?;
                self.flights.remove(&id);
                Ok(())
            }
            Verdict::Refused(said) => self.refused(id, what, generation, said),
            Verdict::Elsewhere(region, said) => match self.wire.location.in_region(&region) {
                Some(location) if !self.has_moved => {
                    self.wire.location = location;
                    self.has_moved = true;
                    self.put_back(id);
                    Ok(())
                }
                // It is where it was asked for, so that is not what is wrong.
                None if what == What::Look && said.is_mute() => {
                    self.refused(id, what, generation, said)
                }
                _ => self.not_taken(id, what, said.in_region(&region)),
            },
            Verdict::Final(said) if what == What::Look && said.is_mute() => {
                self.refused(id, what, generation, said)
            }
            Verdict::Gone(said) if what != What::Abort => self.gone(id, what, said),
            Verdict::Corrupt(said) if what == What::Commit => {
                let what = format!("the object is not what was sent: {said}");
                Err(ProtocolError::new(ProtocolErrorKind::Checksum, what).into())
            }
            Verdict::Corrupt(said) => {
                // They are computed again, in case that it was them.
                if let Some(index) = what.part() {
                    self.digests.remove(&index);
                }
                self.not_taken(id, what, said)
            }
            Verdict::Gone(said) | Verdict::Passing(said) | Verdict::Final(said) => {
                self.not_taken(id, what, said)
            }
        }
    }

    /// The credentials are not taken, or it cannot be told from that: others are asked for once.
    fn refused(
        &mut self,
        id: ExchangeId,
        what: What,
        generation: u64,
        said: Said,
    ) -> Result<(), Fault> {
        if self.keys.refused(what, generation) {
            self.put_back(id);
            return Ok(());
        }
        self.not_taken(id, what, said)
    }

    fn taken(&mut self, what: What, answer: &Answer<'_>) -> Result<(), Fault> {
        match what {
            What::Begin => {
                let upload = below_root(answer.body, "UploadId");
                let Some(upload) = upload.filter(|id| id.len() <= MOST_OF_A_TAG) else {
                    let what = "the answer to the creation has no upload id";
                    return Err(ProtocolError::new(ProtocolErrorKind::Parse, what).into());
                };
                self.upload = Some(upload);
                self.state = State::Sending;
                Ok(())
            }
            What::Put => {
                let receipt = self.arrived(0, answer)?;
                let verified = self.verified(answer);
                self.state = State::Done(Completed {
                    etag: receipt.tag.clone(),
                    verified,
                    ..Completed::default()
                });
                self.parts.set(0, PartState::Done(receipt));
                Ok(())
            }
            What::Part(index) => {
                let receipt = self.arrived(index, answer)?;
                if receipt.tag.is_none() {
                    let what = format!("the answer to part {} has no ETag", receipt.number);
                    return Err(ProtocolError::new(ProtocolErrorKind::Parse, what).into());
                }
                let digests = self.digests.remove(&index);
                if let Some(algorithm) = self.summed() {
                    let sum = digests.and_then(|digests| digests.get(algorithm));
                    self.sums.extend(sum.map(|sum| (index, sum)));
                }
                self.parts.set(index, PartState::Done(receipt));
                Ok(())
            }
            What::List => {
                self.listed(answer)?;
                self.is_in_doubt = false;
                Ok(())
            }
            What::Commit => self.completed(answer),
            What::Look => {
                self.is_in_doubt = false;
                self.looked(answer)
            }
            What::Abort => {
                self.state = State::Aborted;
                Ok(())
            }
        }
    }

    /// The receipt of a body that was taken, if it was taken as it was meant.
    fn arrived(&mut self, index: usize, answer: &Answer<'_>) -> Result<PartReceipt, Fault> {
        let Some(part) = self.parts.get(index) else {
            return Err(Fault::Again("a part that is not there was taken".into()));
        };
        let (number, start) = (part.number, part.range.start);
        let size = part.range.end - start;
        if answer.sent != size {
            let what = format!("the server took part {number} before it had all of it");
            return Err(Fault::Again(what));
        }
        let mut known = self
            .digests
            .get(&index)
            .map(Digests::known)
            .unwrap_or_default()
            .to_vec();
        let sent = answer.crc32c.map(|crc| Crc::Crc32c.digest(crc.into()));
        known.extend(sent);
        // The bytes that were sent are not those that the checksum is of.
        let crcs = known
            .iter()
            .filter(|one| one.algorithm() == Algorithm::Crc32c);
        let differ = crcs
            .clone()
            .any(|one| crcs.clone().any(|other| one != other));
        if differ || stated(answer).any(|digest| contradicts(&digest, &known)) {
            self.digests.remove(&index);
            let what = format!("the server took other bytes for part {number} than were meant");
            return Err(Fault::Again(what));
        }
        let tag = answer.header("etag").map(str::to_owned);
        Ok(PartReceipt::new(number, start, size)
            .tag(tag)
            .crc32c(answer.crc32c))
    }

    /// A digest of the whole that the server has named and that is ours, after it was sent in one request.
    fn verified(&self, answer: &Answer<'_>) -> Option<Digest> {
        let known = self.digests.get(&0).map(Digests::known).unwrap_or_default();
        let named = stated(answer).find(|digest| known.contains(digest));
        named.or_else(|| {
            let md5 = known.iter().find(|one| one.algorithm() == Algorithm::Md5)?;
            (md5_of(answer.header("etag")?)? == *md5).then_some(*md5)
        })
    }

    fn completed(&mut self, answer: &Answer<'_>) -> Result<(), Fault> {
        let body = answer.body;
        let is_result =
            || xml_root(body).is_some_and(|root| root.starts_with("CompleteMultipartUpload"));
        if !body.iter().all(u8::is_ascii_whitespace) && !is_result() {
            return Err(Fault::Again(
                "the completion was answered with something else".into(),
            ));
        }
        let of = |name: &str| below_root(body, name);
        let mut verified = None;
        let named = self
            .wire
            .checksum
            .name()
            .map(|name| format!("Checksum{name}"));
        if let Some(ours) = self.joined()
            && let Some(text) = named.and_then(|name| of(&name))
            && of("ChecksumType").is_none_or(|kind| kind == "FULL_OBJECT")
            && let Ok(theirs) = Digest::parse_base64(ours.algorithm(), &text)
        {
            if ours != theirs {
                let what = format!("the server made an object of another {}", ours.algorithm());
                return Err(ProtocolError::new(ProtocolErrorKind::Checksum, what).into());
            }
            verified = Some(ours);
        }
        let etag = of("ETag").or_else(|| answer.header("etag").map(str::to_owned));
        self.state = State::Done(Completed {
            location: of("Location"),
            etag,
            verified,
            ..Completed::default()
        });
        Ok(())
    }

    pub(super) fn joined(&self) -> Option<Digest> {
        let sums: Vec<_> = (0..self.parts.len())
            .map(|index| self.sums.get(&index).copied())
            .collect();
        self.wire.joined(&self.parts.receipts(), &sums)
    }

    /// The upload is not there, or not any more.
    fn gone(&mut self, id: ExchangeId, what: What, said: Said) -> Result<(), Fault> {
        self.flights.remove(&id);
        match &self.state {
            State::List(_, Listing::Earlier { committing: true }) => {
                self.state = State::Look(Looking::Earlier);
                Ok(())
            }
            _ if what == What::Commit && self.maybe_made => {
                self.state = State::Look(Looking::Lost(said));
                Ok(())
            }
            _ => Ok(self.restart(&said)?),
        }
    }

    /// A request has not been taken, and neither other credentials nor another region would help.
    fn not_taken(&mut self, id: ExchangeId, what: What, said: Said) -> Result<(), Fault> {
        let place = what.place();
        let fault = said.fault(&place);
        let Fault::Fatal(error) = fault else {
            return Err(fault);
        };
        match what {
            What::Put | What::Commit if said.status == StatusCode::PRECONDITION_FAILED => {
                if !self.maybe_made {
                    let what = format!("an object is there already: {said}");
                    return Err(ProtocolError::new(ProtocolErrorKind::Changed, what).into());
                }
                self.state = State::Look(Looking::Exists(said));
            }
            What::Put | What::Commit if self.maybe_made => {
                self.state = State::Look(Looking::Lost(said));
            }
            What::Commit
                if self.restarts < MOST_RESTARTS && BROKEN.iter().any(|code| said.is(code)) =>
            {
                self.state = State::List(PartList::default(), Listing::Refused(said));
            }
            What::List if is_no_list(&said) => self.trust()?,
            What::Look => {
                self.flights.remove(&id);
                self.is_in_doubt &= !matches!(said.status.as_u16(), 404 | 410);
                return self.not_found(said);
            }
            What::Abort if matches!(said.status.as_u16(), 404 | 410) => self.state = State::Aborted,
            _ => {
                self.is_refused = what == What::Put;
                return Err(error.into());
            }
        }
        self.flights.remove(&id);
        Ok(())
    }
}

impl What {
    fn part(self) -> Option<usize> {
        match self {
            Self::Put => Some(0),
            Self::Part(index) => Some(index),
            Self::Begin | Self::List | Self::Commit | Self::Look | Self::Abort => None,
        }
    }

    fn place(self) -> String {
        match self {
            Self::Begin => "creation of the upload".to_owned(),
            Self::Put => "upload".to_owned(),
            Self::Part(index) => format!("part {}", index + 1),
            Self::List => "list of parts".to_owned(),
            Self::Commit => "completion".to_owned(),
            Self::Look => "asking for the object".to_owned(),
            Self::Abort => "abort".to_owned(),
        }
    }
}

/// The checksums that the fields of an answer state.
pub(super) fn stated<'a>(answer: &Answer<'a>) -> impl Iterator<Item = Digest> + use<'a> {
    let amazon = answer
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-amz-"));
    let text = amazon.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    declared(text, Response::Head)
        .into_iter()
        .map(|one| one.digest)
}

/// Whether one of these, of the same algorithm, is another.
fn contradicts(digest: &Digest, known: &[Digest]) -> bool {
    known
        .iter()
        .any(|one| one.algorithm() == digest.algorithm() && one != digest)
}

/// An entity tag that has the form of an MD5.
pub(super) fn md5_of(tag: &str) -> Option<Digest> {
    let tag = tag.trim().trim_matches('"');
    let is_hex = tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| Digest::parse(Algorithm::Md5, tag).ok())?
}

/// Whether it says that nobody, or not this one, may list parts here.
fn is_no_list(said: &Said) -> bool {
    let code = said.code.as_deref().unwrap_or_default();
    matches!(said.status.as_u16(), 405 | 501) || ["AccessDenied", "NotImplemented"].contains(&code)
}

/// Codes that say which of the parts of a completion the server does not have as they were named.
const BROKEN: [&str; 2] = ["InvalidPart", "InvalidPartOrder"];
