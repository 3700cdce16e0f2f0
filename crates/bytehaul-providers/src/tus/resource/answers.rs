//! What the answers to an upload resource's requests mean for it.

use std::ops::Range;

use bytehaul_integrity::Digest;
use http::StatusCode;

use super::{Job, Manner, Resource, State};
use crate::tus::MOST_RESTARTS;
use crate::tus::progress::{Progress, Standing};
use crate::tus::wire::{is_gone, location, number, only, refused};
use crate::{Answer, ExchangeId, Fault, Lost, ProtocolError, ProtocolErrorKind};

impl Resource {
    /// Takes an answer, if it is to a request of this resource.
    pub(in crate::tus) fn answered(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        manner: &Manner,
    ) -> Result<(), Fault> {
        let Some((_, job)) = self.in_flight.clone().filter(|(ours, _)| *ours == id) else {
            return Ok(());
        };
        self.note_expiry(answer);
        match job {
            Job::Create(range) => self.created(&range, answer)?,
            Job::Check => self.checked(answer, manner)?,
            Job::Patch(range, declares) => self.patched(range, declares, answer, manner)?,
            // Whatever the server makes of it: nothing depends on it.
            Job::Discard => self.state = State::Create,
            Job::Digest(_) => return Ok(()),
        }
        self.in_flight = None;
        Ok(())
    }

    /// Takes a digest that was asked for.
    pub(in crate::tus) fn digested(&mut self, id: ExchangeId, digest: Digest) {
        if let Some((ours, Job::Digest(range))) = &self.in_flight
            && *ours == id
        {
            self.digest = Some((range.clone(), digest));
            self.in_flight = None;
        }
    }

    /// A request came to nothing; what is to be done instead is settled by then, unless there was no answer at all.
    pub(in crate::tus) fn lost(&mut self, id: ExchangeId, how: Lost) {
        let Some((_, job)) = self.in_flight.take_if(|(ours, _)| *ours == id) else {
            return;
        };
        match (job, how) {
            (Job::Patch(..), Lost::Unknown) => self.state = State::Check,
            (Job::Discard, _) => self.state = State::Create,
            (Job::Create(_) | Job::Check | Job::Digest(_) | Job::Patch(..), _) => (),
        }
    }

    fn created(&mut self, range: &Range<u64>, answer: &Answer<'_>) -> Result<(), Fault> {
        if !answer.status.is_success() {
            return Err(self.refused(answer.status));
        }
        let url = location(answer)?;
        let offset = number(answer.headers, "upload-offset")?;
        self.url = Some(url);
        self.touched = true;
        self.declared = self.len;
        self.state = State::Send;
        let sent = range.start - self.base..range.end - self.base;
        self.progress.sending(sent.end);
        match offset {
            Some(0) | None if sent.is_empty() && self.len != Some(0) => (),
            Some(0) if !sent.is_empty() => (),
            Some(offset) if !sent.is_empty() => {
                self.progress.took(&sent, offset, answer)?;
                self.settle()?;
                self.keep_payload(answer);
            }
            // Nothing says yet that the server considers it complete, or that it has kept what came along.
            Some(_) | None => self.state = State::Check,
        }
        Ok(())
    }

    fn checked(&mut self, answer: &Answer<'_>, manner: &Manner) -> Result<(), Fault> {
        if is_gone(answer.status) {
            return Err(self.gone(manner));
        }
        if !answer.status.is_success() {
            return Err(self.refused(answer.status));
        }
        let offset = number(answer.headers, "upload-offset")?.ok_or_else(|| {
            let what = "the server does not say how much of the upload it has";
            ProtocolError::new(ProtocolErrorKind::Parse, what)
        })?;
        if let Some(len) = number(answer.headers, "upload-length")? {
            self.declared = Some(len);
        } else if answer.headers.contains_key("upload-defer-length") {
            self.declared = None;
        }
        let fits = self.progress.fits(self.declared, self.len)?;
        let standing = match fits {
            Standing::Ours => self.progress.at(offset, self.len.or(self.declared))?,
            Standing::Stale => fits,
        };
        match standing {
            Standing::Ours => {
                self.state = State::Send;
                self.settle()?;
            }
            Standing::Stale => self.replace(),
        }
        Ok(())
    }

    fn patched(
        &mut self,
        range: Range<u64>,
        declares: Option<u64>,
        answer: &Answer<'_>,
        manner: &Manner,
    ) -> Result<(), Fault> {
        if !answer.status.is_success() {
            // It may have kept some of it all the same.
            self.state = State::Check;
            return Err(match answer.status {
                status if is_gone(status) => self.gone(manner),
                StatusCode::CONFLICT => Fault::Now("the server is at another offset".into()),
                status => self.refused(status),
            });
        }
        let offset = number(answer.headers, "upload-offset")?;
        self.declared = declares.or(self.declared);
        let Some(offset) = offset else {
            self.progress.unsaid()?;
            self.state = State::Check;
            return Ok(());
        };
        let sent = range.start - self.base..range.end - self.base;
        self.progress.took(&sent, offset, answer)?;
        self.settle()?;
        self.keep_payload(answer);
        Ok(())
    }

    /// Complete if the server has all bytes and knows that these are all.
    pub(super) fn settle(&mut self) -> Result<(), ProtocolError> {
        if self.progress.fits(self.declared, self.len)? == Standing::Stale {
            self.replace();
        } else if self.declared.is_some() && self.len == Some(self.offset()) {
            self.state = State::Complete;
        }
        Ok(())
    }

    /// There is no such upload at the server: another one is made, unless that has happened too often.
    fn gone(&mut self, manner: &Manner) -> Fault {
        if self.restarts >= MOST_RESTARTS || manner.creation.is_none() {
            return Fault::Status;
        }
        self.restarts += 1;
        self.begin_anew();
        Fault::Now("the upload is gone at the server".into())
    }

    /// Begins anew, after what cannot be gone on with is deleted, if it is this upload's to delete.
    fn replace(&mut self) {
        let url = self.url.take().filter(|_| self.touched);
        self.begin_anew();
        if let Some(url) = url {
            self.state = State::Discard(url);
        }
    }

    fn begin_anew(&mut self) {
        self.url = None;
        self.declared = None;
        self.expires = None;
        self.progress = Progress::default();
        self.state = State::Create;
    }

    /// A status of which no request makes something of its own.
    fn refused(&mut self, status: StatusCode) -> Fault {
        match status.as_u16() {
            // rustus says 417 where tus has 460.
            460 | 417 if self.digest.take().is_some() => {
                Fault::Again("the part arrived damaged".into())
            }
            _ => refused(status),
        }
    }

    fn note_expiry(&mut self, answer: &Answer<'_>) {
        let text = only(answer.headers, "upload-expires").ok().flatten();
        if let Some(text) = text.filter(|text| text.len() <= LONGEST_DATE) {
            self.expires = Some(text.to_owned());
        }
    }

    fn keep_payload(&mut self, answer: &Answer<'_>) {
        if self.is_complete() && !answer.body.is_empty() {
            self.payload = Some(answer.body.clone());
        }
    }
}

/// Bytes of a date that is kept.
const LONGEST_DATE: usize = 64;
