//! One upload by the draft: careful creation, appends, and who may say that it is complete.

mod answers;

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul_integrity::Digest;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use url::Url;

use super::fields::Limits;
use crate::tus::progress::Progress;
use crate::tus::wire::{is_discarded, kept, refused};
use crate::tus::{DOUBTFUL, UNTOUCHED};
use crate::{
    Acknowledged, Answer, Available, Completed, Exchange, ExchangeId, Fault, Ids, Left, Lost, Next,
    Payload, ProtocolError, ProtocolErrorKind, Saved, SessionId, Stage, Step, UploadSession,
};

/// What a session is made of.
pub(super) struct Settings {
    pub creation: Url,
    /// An upload that exists already, and that the caller wants to go on with.
    pub upload: Option<Url>,
    /// What the object is.
    pub about: HeaderMap,
    pub digest: Option<Digest>,
    pub len: Option<u64>,
    pub part_size: u64,
}

pub(super) struct Session {
    creation: Url,
    about: HeaderMap,
    digest: Option<Digest>,
    /// `None` while the source is a stream that has not ended.
    len: Option<u64>,
    part_size: u64,
    limits: Limits,
    ids: Ids,
    url: Option<Url>,
    /// Whether this upload created the resource or wrote to it.
    touched: bool,
    progress: Progress,
    restarts: u32,
    /// Whether a request that completes the upload may have done so though no answer said it.
    maybe_complete: bool,
    /// Whether the server has refused an append because the upload is complete.
    said_complete: bool,
    /// What a success carried that did not say that the upload is complete by it.
    carried: Completed,
    expires: Option<SystemTime>,
    state: State,
    in_flight: Option<(ExchangeId, Job)>,
}

#[derive(Clone, PartialEq, Eq)]
enum State {
    Create,
    Check,
    Send,
    /// To delete what cannot be gone on with, and then to begin anew.
    Discard(Url),
    /// The server says that it is complete with so many bytes; the source has to end there.
    Claimed(u64),
    Done,
    Abort(Option<Url>),
    Aborted,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Job {
    Create,
    Check,
    Append { range: Range<u64>, completes: bool },
    Discard,
    Abort,
}

impl Session {
    pub(super) fn new(settings: Settings, left: Option<Left>) -> Self {
        let mut session = Self {
            creation: settings.creation,
            about: settings.about,
            digest: settings.digest,
            len: settings.len,
            part_size: settings.part_size,
            limits: Limits::default(),
            ids: Ids::default(),
            url: None,
            touched: false,
            progress: Progress::default(),
            restarts: 0,
            maybe_complete: false,
            said_complete: false,
            carried: Completed::default(),
            expires: None,
            state: State::Create,
            in_flight: None,
        };
        let begun = left.filter(|left| left.saved.session.is_some());
        match begun {
            Some(left) => session.take(left),
            None if settings.upload.is_some() => {
                session.url = settings.upload;
                session.progress = Progress::resumed(&[], true);
                session.state = State::Check;
            }
            None => (),
        }
        session
    }

    fn take(&mut self, left: Left) {
        let saved = left.saved;
        let is_complete = saved.stage == Stage::Complete;
        let url = saved.session.as_ref().and_then(|id| kept(id.as_str()));
        // Whether it is still there is for the server to say.
        if is_complete && url.is_none() {
            self.carried.location = saved.session.map(|id| id.as_str().to_owned());
            self.state = State::Done;
            return;
        }
        if url.is_none() || saved.stage == Stage::Aborted {
            return;
        }
        self.url = url;
        self.touched = !saved.extra.contains_key(UNTOUCHED);
        let unchanged = left.unchanged && !saved.extra.contains_key(DOUBTFUL);
        self.progress = Progress::resumed(&saved.parts, unchanged);
        self.maybe_complete = is_complete || saved.extra.contains_key(COMPLETING);
        self.state = State::Check;
    }

    fn request(&self, id: ExchangeId, step: Step, method: Method, url: Url) -> Exchange {
        let mut headers = HeaderMap::new();
        headers.insert(
            "upload-draft-interop-version",
            HeaderValue::from_static("8"),
        );
        Exchange::new(id, step, method, url).headers(headers)
    }

    fn create(&mut self) -> Next {
        let id = self.ids.fresh();
        let mut url = self.creation.clone();
        url.set_fragment(None);
        let mut exchange = self.request(id, Step::Begin, Method::POST, url);
        exchange.headers.extend(self.about.clone());
        exchange
            .headers
            .insert("upload-complete", HeaderValue::from_static("?0"));
        if let Some(len) = self.len {
            exchange.headers.insert(UPLOAD_LENGTH, len.into());
        }
        self.in_flight = Some((id, Job::Create));
        Next::Send(Box::new(exchange.payload(Payload::bytes(Bytes::new()))))
    }

    fn append(&mut self, available: Available, url: Url) -> Result<Next, ProtocolError> {
        self.check_limits()?;
        let Some(range) = self.chunk(available)? else {
            return Ok(Next::Wait);
        };
        let completes = self.len == Some(range.end);
        let id = self.ids.fresh();
        let step = match range.is_empty() {
            true => Step::Commit,
            false => Step::Part {
                number: u32::try_from(range.start / self.part_size.max(1)).unwrap_or(u32::MAX),
                range: range.clone(),
            },
        };
        let mut exchange = self.request(id, step, Method::PATCH, url);
        let headers = &mut exchange.headers;
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/partial-upload"),
        );
        headers.insert("upload-offset", range.start.into());
        let flag = if completes { "?1" } else { "?0" };
        headers.insert("upload-complete", HeaderValue::from_static(flag));
        self.touched = true;
        self.progress.sending(range.end);
        let payload = match range.is_empty() {
            true => Payload::bytes(Bytes::new()),
            false => Payload::source(range.clone()),
        };
        self.in_flight = Some((id, Job::Append { range, completes }));
        Ok(Next::Send(Box::new(exchange.payload(payload))))
    }

    /// The bytes that go next; `None` while they are not all there. Empty where nothing but completing is left.
    fn chunk(&self, available: Available) -> Result<Option<Range<u64>>, ProtocolError> {
        let start = self.progress.offset();
        let end = start.saturating_add(self.append_size());
        let end = self.len.map_or(end, |len| end.min(len));
        if end <= available.until {
            return Ok(Some(start.min(end)..end));
        }
        if available.ended {
            let what = format!("the source ends at {} and not later", available.until);
            return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
        }
        Ok(None)
    }

    fn append_size(&self) -> u64 {
        let most = self.limits.max_append.unwrap_or(u64::MAX);
        let least = self.limits.min_append.unwrap_or(1).max(1);
        self.part_size.min(most).max(least)
    }

    fn check_limits(&self) -> Result<(), ProtocolError> {
        let Limits {
            max_size,
            min_size,
            max_append,
            min_append,
            ..
        } = self.limits;
        let len = self.len.unwrap_or(self.progress.offset());
        if max_size.is_some_and(|most| len > most) {
            let reason = "it has more bytes than the server takes";
            return Err(ProtocolError::parameter("source", reason));
        }
        if let (Some(least), Some(len)) = (min_size, self.len)
            && len < least
        {
            let reason =
                format_args!("its {len} bytes are less than the {least} that the server takes");
            return Err(ProtocolError::parameter("source", reason));
        }
        let most = max_append.unwrap_or(u64::MAX);
        if most < min_append.unwrap_or(1).max(1) && self.len != Some(0) {
            let what = "the server allows appends of no size";
            return Err(ProtocolError::new(ProtocolErrorKind::Parse, what));
        }
        Ok(())
    }

    fn begin_anew(&mut self) {
        self.url = None;
        self.progress = Progress::default();
        self.limits = Limits::default();
        self.expires = None;
        self.state = State::Create;
    }

    fn note_limits(&mut self, answer: &Answer<'_>, now: SystemTime) {
        let Some(limits) = Limits::of(answer.headers) else {
            return;
        };
        self.limits = limits.or(self.limits);
        if let Some(age) = limits.max_age {
            self.expires = now.checked_add(Duration::from_secs(age));
        }
    }

    /// Whether the next append will complete the upload, as far as is known by now.
    fn is_completing(&self) -> bool {
        let rest = self
            .len
            .map(|len| len.saturating_sub(self.progress.offset()));
        self.maybe_complete
            || (self.url.is_some() && rest.is_some_and(|rest| rest <= self.append_size()))
    }
}

impl UploadSession for Session {
    fn next(&mut self, available: Available, _now: SystemTime) -> Result<Next, ProtocolError> {
        if self.len.is_none() && available.ended {
            self.len = Some(available.until);
        }
        if self.in_flight.is_some() {
            return Ok(Next::Wait);
        }
        if let State::Claimed(offset) = self.state {
            match self.len {
                Some(len) if len == offset => self.state = State::Done,
                Some(len) => {
                    let what =
                        format!("the server completed the upload at {offset} of {len} bytes");
                    return Err(ProtocolError::new(ProtocolErrorKind::Checksum, what));
                }
                None => return Ok(Next::Wait),
            }
        }
        let url = self.url.clone();
        let (step, method, url, job) = match (&self.state, url) {
            (State::Done, _) => return Ok(Next::Done(self.carried.clone())),
            (State::Aborted | State::Abort(None), _) => {
                self.state = State::Aborted;
                return Ok(Next::Aborted);
            }
            (State::Send, Some(url)) => return self.append(available, url),
            (State::Check, Some(url)) => (Step::Check, Method::HEAD, url, Job::Check),
            (State::Discard(url), _) => (Step::Check, Method::DELETE, url.clone(), Job::Discard),
            (State::Abort(Some(url)), _) => (Step::Abort, Method::DELETE, url.clone(), Job::Abort),
            (State::Create | State::Check | State::Send | State::Claimed(_), _) => {
                return Ok(self.create());
            }
        };
        let id = self.ids.fresh();
        self.in_flight = Some((id, job));
        Ok(Next::Send(Box::new(self.request(id, step, method, url))))
    }

    fn answered(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        now: SystemTime,
    ) -> Result<(), Fault> {
        let Some((_, job)) = self.in_flight.clone().filter(|(ours, _)| *ours == id) else {
            return Ok(());
        };
        match job {
            Job::Create => {
                self.note_limits(answer, now);
                self.created(answer)?;
            }
            Job::Check => {
                self.note_limits(answer, now);
                self.checked(answer)?;
            }
            Job::Append { range, completes } => {
                self.note_limits(answer, now);
                self.appended(&range, completes, answer)?;
            }
            // Whatever the server makes of it: nothing depends on it.
            Job::Discard => self.state = State::Create,
            Job::Abort if is_discarded(answer.status) => self.state = State::Aborted,
            Job::Abort => return Err(refused(answer.status)),
        }
        self.in_flight = None;
        Ok(())
    }

    fn lost(&mut self, id: ExchangeId, how: Lost) {
        let Some((_, job)) = self.in_flight.take_if(|(ours, _)| *ours == id) else {
            return;
        };
        match (job, how) {
            (Job::Append { completes, .. }, Lost::Unknown) => {
                self.maybe_complete |= completes;
                self.state = State::Check;
            }
            (Job::Discard, _) => self.state = State::Create,
            (Job::Create | Job::Check | Job::Append { .. } | Job::Abort, _) => (),
        }
    }

    fn abort(&mut self) {
        if !matches!(self.state, State::Done | State::Claimed(_) | State::Aborted) {
            let staged = self.url.clone().filter(|_| self.touched);
            self.state = State::Abort(staged);
            self.in_flight = None;
        }
    }

    fn saved(&self) -> Saved {
        let mut saved = Saved {
            part_size: self.part_size,
            parts: self.progress.cursor().receipts().to_vec(),
            ..Saved::default()
        };
        let url = self.url.as_ref().map(Url::to_string);
        saved.stage = match &self.state {
            State::Done => Stage::Complete,
            State::Claimed(_) => Stage::Committing,
            State::Aborted => Stage::Aborted,
            // The last bytes and the commit are one request, before which this has to be kept.
            _ if self.is_completing() => Stage::Committing,
            _ if url.is_some() => Stage::Sending,
            _ => Stage::Beginning,
        };
        saved.session = match saved.stage {
            Stage::Complete => self.carried.location.clone().or(url),
            _ => url,
        }
        .map(SessionId::new);
        if self.is_completing() {
            saved.extra.insert(COMPLETING.into(), "1".into());
        }
        if self.progress.is_doubtful() {
            saved.extra.insert(DOUBTFUL.into(), "1".into());
        }
        if self.url.is_some() && !self.touched {
            saved.extra.insert(UNTOUCHED.into(), "1".into());
        }
        let since = self
            .expires
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        if let Some(since) = since {
            saved
                .extra
                .insert(EXPIRES.into(), since.as_secs().to_string());
        }
        saved
    }

    fn part_size(&self) -> u64 {
        self.append_size()
    }

    fn acknowledged(&self) -> Acknowledged {
        self.progress.cursor().acknowledged()
    }
}

const UPLOAD_OFFSET: &str = "upload-offset";
const UPLOAD_LENGTH: &str = "upload-length";
const UPLOAD_COMPLETE: &str = "upload-complete";

/// Says that a request that completes the upload has been or is about to be sent.
const COMPLETING: &str = "completing";

/// When the server will drop the upload, in seconds since 1970.
const EXPIRES: &str = "expires";
