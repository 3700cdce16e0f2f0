//! What of an upload is there, after a time of which nothing is known: the server's list of parts against what is known here,
//! and the object against what it must be.

use super::reports::{md5_of, stated};
use super::{Listing, Looking, Session, State};
use crate::s3::answers::Said;
use crate::s3::digests::{Claim, Digests};
use crate::s3::listing::{Listed, More, PartList};
use crate::{
    Algorithm, Answer, Completed, Digest, ExchangeId, Fault, PartReceipt, PartState, ProtocolError,
    ProtocolErrorKind, said,
};

impl Session {
    pub(super) fn listed(&mut self, answer: &Answer<'_>) -> Result<(), Fault> {
        let checksum = self.wire.checksum;
        let State::List(list, why) = &mut self.state else {
            return Ok(());
        };
        if list.take(answer.body, checksum)? == More::Yes {
            return Ok(());
        }
        let (list, why) = (std::mem::take(list), why.clone());
        let mut lost = 0;
        for index in 0..self.parts.len() {
            lost += usize::from(self.compare(index, &list));
        }
        self.state = State::Sending;
        match why {
            Listing::Earlier { .. } => Ok(()),
            Listing::Refused(said) if lost == 0 || self.is_stream => {
                let what =
                    format!("completion: {said}, though all parts are listed as they were sent");
                Err(ProtocolError::new(ProtocolErrorKind::Status(said.status), what).into())
            }
            Listing::Refused(_) => {
                self.restarts += 1;
                Ok(())
            }
        }
    }

    /// Compares a part with what the server has of it; tells whether it was counted as done and is not.
    fn compare(&mut self, index: usize, list: &PartList) -> bool {
        let Some(part) = self.parts.get(index) else {
            return false;
        };
        let size = part.range.end - part.range.start;
        let listed = list
            .get(part.number)
            .filter(|listed| listed.size == Some(size));
        match (&part.state, listed) {
            (PartState::Done(receipt), Some(listed)) if is_same(receipt, listed) => {
                // The server compared it with what it got.
                if let Some(sum) = listed.checksum {
                    self.sums.entry(index).or_insert(sum);
                }
                false
            }
            (PartState::Done(_), listed) => {
                let claim = listed.and_then(claim);
                self.lose(index, claim);
                true
            }
            (PartState::Missing, Some(listed)) => {
                let claim = claim(listed);
                self.lose(index, claim);
                false
            }
            (PartState::Missing | PartState::InFlight(_), _) => false,
        }
    }

    /// The part is to be sent, unless what the server has turns out to be the same.
    fn lose(&mut self, index: usize, claim: Option<Claim>) {
        self.parts.set(index, PartState::Missing);
        self.sums.remove(&index);
        self.digests.remove(&index);
        self.digests
            .extend(claim.map(|claim| (index, Digests::of_claim(claim))));
    }

    /// There is no list to be had: what was acknowledged is taken to be there, unless the completion was refused for it.
    pub(super) fn trust(&mut self) -> Result<(), ProtocolError> {
        let State::List(_, Listing::Refused(said)) = &self.state else {
            self.state = State::Sending;
            return Ok(());
        };
        let what = format!("completion: {said}, and there is no list of what is there");
        Err(ProtocolError::new(
            ProtocolErrorKind::Status(said.status),
            what,
        ))
    }

    pub(super) fn know(&mut self, id: ExchangeId, digest: Digest) {
        let mut digests = self.digests.iter_mut();
        let taken = |(_, digests): &mut (&usize, &mut Digests)| digests.take(id, digest);
        let Some((&index, digests)) = digests.find_map(|mut one| taken(&mut one).then_some(one))
        else {
            return;
        };
        let settled = digests.settle();
        let crc = digests.get(Algorithm::Crc32c).and_then(|crc| crc.crc());
        let summed = self.summed();
        let Some(part) = self.parts.get(index) else {
            return;
        };
        match (&part.state, settled) {
            (PartState::Missing, Some(Ok(tag))) => {
                let size = part.range.end - part.range.start;
                let receipt = PartReceipt::new(part.number, part.range.start, size)
                    .tag(tag)
                    .crc32c(crc.and_then(|crc| u32::try_from(crc).ok()));
                self.parts.set(index, PartState::Done(receipt));
                let digests = self.digests.remove(&index);
                let sum = summed.and_then(|one| digests?.get(one));
                self.sums.extend(sum.map(|sum| (index, sum)));
            }
            // For the completion alone.
            (PartState::Done(_), _) => {
                if summed == Some(digest.algorithm()) {
                    self.sums.insert(index, digest);
                    self.digests.remove(&index);
                }
            }
            (PartState::Missing | PartState::InFlight(_), _) => (),
        }
    }

    /// An object is there. Whether it is ours, and what follows.
    pub(super) fn looked(&mut self, answer: &Answer<'_>) -> Result<(), Fault> {
        let State::Look(why) = &self.state else {
            return Ok(());
        };
        let why = why.clone();
        let etag = answer.header("etag").map(str::to_owned);
        let is_ours = match &why {
            Looking::Complete(told) => {
                let same = told.is_some() && told.as_deref().map(bare) == etag.as_deref().map(bare);
                Ours::of(same && self.has_len(answer) != Some(false))
            }
            _ => self.is_ours(answer),
        };
        match (is_ours, why) {
            (Ours::Yes, _) => {
                let joined = self.joined();
                let verified = stated(answer).find(|named| joined == Some(*named));
                self.state = State::Done(Completed {
                    etag,
                    verified,
                    ..Completed::default()
                });
                Ok(())
            }
            (_, Looking::Complete(_) | Looking::Earlier) => {
                self.anew();
                Ok(())
            }
            (Ours::No, Looking::Exists(said)) => {
                let what = format!("an object is there already, of other bytes: {said}");
                Err(ProtocolError::new(ProtocolErrorKind::Changed, what).into())
            }
            (Ours::No, Looking::Lost(said)) => Err(unknown(&format!(
                "an answer was lost, the next one was {said}, and another object is there"
            ))),
            (Ours::Unknown, Looking::Lost(said) | Looking::Exists(said)) => Err(unknown(&format!(
                "an answer was lost, the next one was {said}, and the object that is there cannot be told from others"
            ))),
        }
    }

    /// The object is not there, or it cannot be looked at.
    pub(super) fn not_found(&mut self, said: Said) -> Result<(), Fault> {
        let State::Look(why) = &self.state else {
            return Ok(());
        };
        let is_absent = matches!(said.status.as_u16(), 404 | 410);
        match why.clone() {
            // Whoever may not look is told 403 of a key that is not there too (without `s3:ListBucket`, "HeadObject",
            // Amazon S3 API Reference), so the word of an earlier run is no proof; sending it again comes to the same.
            Looking::Earlier | Looking::Complete(_) => {
                self.anew();
                Ok(())
            }
            Looking::Lost(before)
                if is_absent && !before.is("NoSuchUpload") && self.upload.is_some() =>
            {
                let what = format!("completion: {before}, and the object is not there");
                Err(ProtocolError::new(ProtocolErrorKind::Status(before.status), what).into())
            }
            Looking::Lost(before) if is_absent && self.upload.is_none() => {
                let what = format!("upload: {before}, and the object is not there");
                Err(ProtocolError::new(ProtocolErrorKind::Status(before.status), what).into())
            }
            Looking::Lost(before) | Looking::Exists(before) if is_absent => {
                Ok(self.restart(&before)?)
            }
            Looking::Lost(before) | Looking::Exists(before) => Err(unknown(&format!(
                "an answer was lost, the next one was {before}, and asking for the object: {said}"
            ))),
        }
    }

    /// What an earlier run has made or staged is gone or another's, so all is sent again.
    fn anew(&mut self) {
        self.upload = None;
        self.digests.clear();
        self.sums.clear();
        for index in 0..self.parts.len() {
            self.parts.set(index, PartState::Missing);
        }
        self.state = State::Begin;
    }

    fn has_len(&self, answer: &Answer<'_>) -> Option<bool> {
        let mut values = answer.headers.get_all("content-length").iter();
        let text = values.next()?.to_str().ok()?;
        let theirs: u64 = text.trim().parse().ok()?;
        values
            .next()
            .is_none()
            .then_some(Some(theirs) == self.geometry.len)
    }

    fn is_ours(&self, answer: &Answer<'_>) -> Ours {
        if self.has_len(answer) == Some(false) {
            return Ours::No;
        }
        let mut known = self
            .digests
            .get(&0)
            .map(Digests::known)
            .unwrap_or_default()
            .to_vec();
        if self.upload.is_some() {
            known = self.joined().into_iter().collect();
        }
        for named in stated(answer) {
            if let Some(ours) = known
                .iter()
                .find(|ours| ours.algorithm() == named.algorithm())
            {
                return Ours::of(*ours == named);
            }
        }
        let Some(etag) = answer.header("etag").map(bare) else {
            return Ours::Unknown;
        };
        if self.upload.is_none() {
            let ours = known.iter().find(|one| one.algorithm() == Algorithm::Md5);
            // Of an object that is encrypted with a key of the service, it has the form of an MD5 too, and is none.
            return match (md5_of(etag), ours) {
                (Some(theirs), Some(ours)) if theirs == *ours => Ours::Yes,
                (None, Some(_)) if is_composite(etag) => Ours::No,
                _ => Ours::Unknown,
            };
        }
        let receipts = self.parts.receipts();
        let ours = said::composite_etag(receipts.iter().map(|receipt| receipt.tag.as_deref()));
        match ours {
            Some(ours) if ours.eq_ignore_ascii_case(etag) => Ours::Yes,
            Some(_) if is_composite(etag) => Ours::No,
            _ => Ours::Unknown,
        }
    }
}

/// Whether the object that is there is the one that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ours {
    Yes,
    No,
    Unknown,
}

impl Ours {
    fn of(is_ours: bool) -> Self {
        match is_ours {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

/// Whether a listed part of the right size is the one of this receipt. Some stores list no ETag.
fn is_same(receipt: &PartReceipt, listed: &Listed) -> bool {
    match (&listed.etag, &receipt.tag) {
        (Some(theirs), Some(ours)) => bare(theirs) == bare(ours),
        (None, _) => true,
        (Some(_), None) => false,
    }
}

/// By what a part that the server has could be known.
fn claim(listed: &Listed) -> Option<Claim> {
    let tag = listed.etag.clone()?;
    let digest = listed.checksum.or_else(|| md5_of(&tag))?;
    Some(Claim { tag, digest })
}

fn bare(tag: &str) -> &str {
    tag.trim().trim_matches('"')
}

/// The form that S3 gives to the tags of objects of parts.
fn is_composite(tag: &str) -> bool {
    let Some((hash, count)) = bare(tag).split_once('-') else {
        return false;
    };
    md5_of(hash).is_some() && count.parse::<u32>().is_ok()
}

pub(super) fn unknown(what: &str) -> Fault {
    let what = format!("it cannot be known whether the object was made: {what}");
    ProtocolError::new(ProtocolErrorKind::Indeterminate, what).into()
}
