//! What the answers to the draft's requests mean for an upload.

use std::ops::Range;

use bytehaul_integrity::headers::{Response, representation_digests};
use http::StatusCode;

use super::{Session, State, UPLOAD_COMPLETE, UPLOAD_LENGTH, UPLOAD_OFFSET};
use crate::tus::MOST_RESTARTS;
use crate::tus::draft::fields::{Problem, boolean, integer};
use crate::tus::progress::Standing;
use crate::tus::wire::{is_gone, location, only, refused};
use crate::{Answer, Completed, Fault, ProtocolError, ProtocolErrorKind};

impl Session {
    pub(super) fn created(&mut self, answer: &Answer<'_>) -> Result<(), Fault> {
        if !answer.status.is_success() {
            return Err(refused(answer.status));
        }
        self.url = Some(location(answer)?);
        self.touched = true;
        self.state = match integer(answer.headers, UPLOAD_OFFSET) {
            Some(0) | None => State::Send,
            Some(_) => State::Check,
        };
        Ok(())
    }

    pub(super) fn checked(&mut self, answer: &Answer<'_>) -> Result<(), Fault> {
        if is_gone(answer.status) {
            if self.maybe_complete && self.said_complete {
                self.state = State::Done;
                return Ok(());
            }
            return Err(self.gone());
        }
        if !answer.status.is_success() {
            return Err(refused(answer.status));
        }
        let offset = integer(answer.headers, UPLOAD_OFFSET).ok_or_else(|| {
            let what = "the server does not say how much of the upload it has";
            ProtocolError::new(ProtocolErrorKind::Parse, what)
        })?;
        let complete = boolean(answer.headers, UPLOAD_COMPLETE);
        let declared = integer(answer.headers, UPLOAD_LENGTH);
        let standing = match self.progress.fits(declared, self.len)? {
            Standing::Ours => self.progress.at(offset, self.len)?,
            Standing::Stale => Standing::Stale,
        };
        if complete == Some(true) {
            if standing == Standing::Stale {
                let what = "the server has completed the upload with bytes of an earlier source";
                return Err(ProtocolError::new(ProtocolErrorKind::Changed, what).into());
            }
            self.state = State::Claimed(offset);
            return Ok(());
        }
        if complete == Some(false) {
            self.maybe_complete = false;
            self.said_complete = false;
            self.carried = Completed::default();
        }
        match standing {
            Standing::Ours => self.state = State::Send,
            Standing::Stale => {
                let url = self.url.take();
                self.begin_anew();
                if let (Some(url), true) = (url, self.touched) {
                    self.state = State::Discard(url);
                }
            }
        }
        Ok(())
    }

    pub(super) fn appended(
        &mut self,
        range: &Range<u64>,
        completes: bool,
        answer: &Answer<'_>,
    ) -> Result<(), Fault> {
        let status = answer.status;
        let complete = boolean(answer.headers, UPLOAD_COMPLETE);
        if complete == Some(true) {
            return Ok(self.completed(range, completes, answer)?);
        }
        if status.is_success() {
            let offset = match (integer(answer.headers, UPLOAD_OFFSET), complete) {
                (Some(offset), _) => Some(offset),
                // The draft's own word for "all of it was appended".
                (None, Some(false)) => Some(range.end),
                (None, _) => None,
            };
            match offset {
                Some(offset) if !completes => self.progress.took(range, offset, answer)?,
                Some(_) | None => {
                    self.progress.unsaid()?;
                    if completes {
                        self.maybe_complete = true;
                        self.carried = self.carried_by(answer);
                    }
                    self.state = State::Check;
                }
            }
            return Ok(());
        }
        // It may have kept some of it all the same.
        self.state = State::Check;
        if completes && status.is_server_error() {
            self.maybe_complete = true;
        }
        match Problem::of(answer.body) {
            Some(Problem::MismatchingOffset) => return Err(elsewhere()),
            Some(Problem::Completed) => {
                self.said_complete = true;
                return Err(Fault::Now(
                    "the server says that the upload is complete".into(),
                ));
            }
            Some(Problem::InconsistentLength) => {
                let what = "the server says that the lengths it was told do not fit together";
                return Err(Fault::Now(what.into()));
            }
            None => (),
        }
        Err(match status {
            StatusCode::CONFLICT => elsewhere(),
            status if is_gone(status) => self.gone(),
            StatusCode::PAYLOAD_TOO_LARGE => self.shrink(range),
            status => refused(status),
        })
    }

    /// The server says that the upload is complete by this append: the answer is that of whatever takes the object.
    fn completed(
        &mut self,
        range: &Range<u64>,
        completes: bool,
        answer: &Answer<'_>,
    ) -> Result<(), ProtocolError> {
        if !completes {
            let what = format!(
                "the server completed the upload at {}, before its end",
                range.end
            );
            return Err(ProtocolError::new(ProtocolErrorKind::Checksum, what));
        }
        if answer.status.is_client_error() || answer.status.is_server_error() {
            let what = format!(
                "the server has all bytes and refuses the object with {}",
                answer.status
            );
            let kind = ProtocolErrorKind::Status(answer.status);
            return Err(ProtocolError::new(kind, what));
        }
        self.progress.took(range, range.end, answer)?;
        self.carried = self.carried_by(answer);
        self.state = State::Done;
        Ok(())
    }

    fn carried_by(&self, answer: &Answer<'_>) -> Completed {
        let mut completed = Completed::default();
        let place = only(answer.headers, "location").ok().flatten();
        completed.location = place.and_then(|place| Some(answer.url.join(place).ok()?.into()));
        completed.etag = answer.header("etag").map(str::to_owned);
        completed.payload = Some(answer.body.clone()).filter(|body| !body.is_empty());
        let fields = answer.headers.iter();
        let fields = fields.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let named = representation_digests(fields, Response::Head);
        completed.verified = self.digest.filter(|digest| named.contains(digest));
        completed
    }

    /// There is no such upload at the server: another one is made, unless the first may have become the object, or unless
    /// that has happened too often.
    fn gone(&mut self) -> Fault {
        if self.maybe_complete {
            let what =
                "the upload may have been completed, and the server does not know it any more";
            return ProtocolError::new(ProtocolErrorKind::Indeterminate, what).into();
        }
        if self.restarts >= MOST_RESTARTS {
            return Fault::Status;
        }
        self.restarts += 1;
        self.begin_anew();
        Fault::Now("the upload is gone at the server".into())
    }

    /// Something on the way takes no request of this size: half of it, if the limits allow that.
    fn shrink(&mut self, range: &Range<u64>) -> Fault {
        let half = (range.end - range.start) / 2;
        if half < LEAST_APPEND.max(self.limits.min_append.unwrap_or(0)) {
            return Fault::Status;
        }
        self.part_size = half;
        Fault::Now("the server takes no part of this size".into())
    }
}

fn elsewhere() -> Fault {
    Fault::Now("the server is at another offset".into())
}

/// Bytes below which an append is not made smaller.
const LEAST_APPEND: u64 = 64 << 10;
