//! One upload by tus 1.0.0: what the server can do, its upload resources, joining partial ones, discarding them.

mod kept;

use std::time::SystemTime;

use bytehaul_integrity::Digest;
use http::{HeaderValue, Method, StatusCode};
use url::Url;

use crate::tus::discovery::{self, Missing};
use crate::tus::progress::Progress;
use crate::tus::resource::{Manner, Resource};
use crate::tus::wire::{is_discarded, is_gone, location, number, refused};
use crate::{
    Acknowledged, Answer, Available, Completed, Exchange, ExchangeId, Fault, Ids, Left, Lost, Next,
    ProtocolError, ProtocolErrorKind, Saved, Step, UploadSession,
};

/// What a session is made of.
pub(super) struct Settings {
    pub manner: Manner,
    pub len: Option<u64>,
    /// Length of each partial upload; `None`: the object is one upload.
    pub partial_size: Option<u64>,
    /// An upload that exists already, and that the caller wants to go on with.
    pub upload_url: Option<Url>,
    /// Whether to ask for the server's extensions first.
    pub discover: bool,
}

pub(super) struct Session {
    manner: Manner,
    len: Option<u64>,
    partial_size: Option<u64>,
    ids: Ids,
    /// In the order of their bytes; empty until it is known whether there will be one or several.
    resources: Vec<Resource>,
    /// Whether a request to join may have made the object though no answer said so.
    joined_maybe: bool,
    /// How often the partial uploads turned out to be missing when they were to be joined.
    rejoins: u32,
    /// Whether the server has refused to join for lack of rights.
    forbidden: bool,
    state: State,
}

#[derive(Clone, PartialEq, Eq)]
enum State {
    Discover,
    Discovering(ExchangeId),
    Sending,
    Join,
    Joining(ExchangeId),
    Verify(Url),
    Verifying(Url, ExchangeId),
    Done(Completed),
    /// To delete these, the last one first.
    Abort(Vec<Url>),
    Aborting(Vec<Url>, ExchangeId),
    Aborted,
}

impl Session {
    pub(super) fn new(settings: Settings, left: Option<Left>) -> Self {
        let mut session = Self {
            manner: settings.manner,
            len: settings.len,
            partial_size: settings.partial_size,
            ids: Ids::default(),
            resources: Vec::new(),
            joined_maybe: false,
            rejoins: 0,
            forbidden: false,
            state: State::Sending,
        };
        let taken = left.is_some_and(|left| session.take(left));
        if let (false, Some(url)) = (taken, settings.upload_url) {
            session.partial_size = None;
            let progress = Progress::resumed(&[], true);
            let whole = Resource::new(0, 0, session.len);
            session.resources.push(whole.existing(url, progress, false));
        }
        if matches!(session.state, State::Sending) {
            match settings.discover {
                true => session.state = State::Discover,
                false => session.plan(),
            }
        }
        session.manner.partial = session.partial_size.is_some();
        session
    }

    /// Makes the resources, if there are none.
    fn plan(&mut self) {
        if !self.resources.is_empty() {
            return;
        }
        let (Some(size), Some(len)) = (self.partial_size, self.len) else {
            self.partial_size = None;
            self.resources.push(Resource::new(0, 0, self.len));
            return;
        };
        let mut base = 0;
        let mut number = 0;
        while base < len {
            let own = size.max(1).min(len - base);
            self.resources.push(Resource::new(number, base, Some(own)));
            base += own;
            number = number.saturating_add(1);
        }
    }

    fn discovered(&mut self, answer: &Answer<'_>) -> Result<(), ProtocolError> {
        let offer = discovery::read(answer, self.len)?;
        if let Some(algorithm) = self.manner.checksum {
            offer.check_checksum(algorithm)?;
        }
        if self.len.is_none() && offer.lacks(Missing::DeferLength) {
            let what = "the server wants to know the length before it takes a byte";
            return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
        }
        if offer.lacks(Missing::CreationWithUpload) {
            self.manner.with_data = false;
        }
        // What an earlier run began in parts shows that the server can join them.
        if self.resources.is_empty() && offer.lacks(Missing::Concatenation) {
            self.partial_size = None;
        }
        Ok(())
    }

    fn join(&mut self) -> Result<Next, ProtocolError> {
        let Some(creation) = self.manner.creation.clone() else {
            let what = "there is no URL to join the parts at";
            return Err(ProtocolError::new(ProtocolErrorKind::Parameter, what));
        };
        let id = self.ids.fresh();
        let urls: Vec<&str> = self
            .resources
            .iter()
            .filter_map(|part| Some(part.url()?.as_str()))
            .collect();
        let joined = HeaderValue::try_from(format!("final;{}", urls.join(" ")));
        let joined = joined.expect("a parsed URL is ASCII without spaces and controls");
        let mut exchange = self
            .manner
            .request(id, Step::Commit, Method::POST, creation);
        exchange.headers.insert("upload-concat", joined);
        if let Some(metadata) = &self.manner.metadata {
            exchange.headers.insert("upload-metadata", metadata.clone());
        }
        self.state = State::Joining(id);
        Ok(Next::Send(Box::new(exchange)))
    }

    fn joined(&mut self, answer: &Answer<'_>) -> Result<(), Fault> {
        let status = answer.status;
        if status.is_success() {
            self.joined_maybe = true;
            // The status says that the object was made; where is good to know and no more.
            self.state = match location(answer) {
                Ok(url) => State::Verify(url),
                Err(_) => State::Done(Completed::default()),
            };
            return Ok(());
        }
        let denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let again = status.is_server_error()
            || matches!(status.as_u16(), 408 | 423 | 425 | 429)
            || (denied && !self.forbidden);
        self.forbidden |= denied;
        // A proxy may have given up on a server that had not.
        let maybe = self.joined_maybe;
        self.joined_maybe |= status.is_server_error();
        if again {
            return Err(refused(status));
        }
        if maybe {
            let what = "the server may have joined the parts, and does not say so when asked again";
            return Err(ProtocolError::new(ProtocolErrorKind::Indeterminate, what).into());
        }
        if is_gone(status) && self.rejoins < MOST_REJOINS {
            self.rejoins += 1;
            self.resources.iter_mut().for_each(Resource::recheck);
            self.state = State::Sending;
            return Err(Fault::Now("parts are gone at the server".into()));
        }
        Err(Fault::Status)
    }

    fn verified(&mut self, url: &Url, answer: &Answer<'_>) -> Result<(), Fault> {
        // The answer to the request to join was a success. What cannot be looked at any more was taken away since then.
        let moved = is_gone(answer.status) || answer.status == StatusCode::METHOD_NOT_ALLOWED;
        if !moved {
            if !answer.status.is_success() {
                return Err(refused(answer.status));
            }
            let made = number(answer.headers, "upload-length")?;
            if let (Some(made), Some(len)) = (made, self.len)
                && made != len
            {
                let what = format!("the server made an object of {made} bytes out of {len}");
                return Err(ProtocolError::new(ProtocolErrorKind::Checksum, what).into());
            }
            match number(answer.headers, "upload-offset")? {
                Some(offset) if Some(offset) == self.len => (),
                // tus 1.0.0, concatenation: there is an offset as soon as the parts are joined.
                Some(_) | None => return Err(Fault::Again("the server is still joining".into())),
            }
        }
        self.state = State::Done(at(Some(url.clone())));
        Ok(())
    }

    fn finish(&mut self) -> Next {
        let mut completed = Completed::default();
        if let [whole] = self.resources.as_slice() {
            completed = at(whole.url().cloned());
            completed.payload = whole.payload();
        }
        self.state = State::Done(completed.clone());
        Next::Done(completed)
    }

    /// All that this upload has made at the server and has not been told to be the object.
    fn staged(&self) -> Vec<Url> {
        let touched = self.resources.iter().filter(|part| part.touched());
        let mut urls: Vec<Url> = touched.filter_map(|part| part.url().cloned()).collect();
        if let State::Verify(url) | State::Verifying(url, _) = &self.state {
            urls.push(url.clone());
        }
        urls
    }

    fn whole(&self) -> Option<&Resource> {
        let one = self.resources.first()?;
        self.partial_size.is_none().then_some(one)
    }
}

impl UploadSession for Session {
    fn next(&mut self, available: Available, _now: SystemTime) -> Result<Next, ProtocolError> {
        loop {
            match &self.state {
                State::Discover => {
                    let known = self.manner.creation.as_ref();
                    let begun = self.resources.iter().find_map(Resource::url);
                    let Some(url) = known.or(begun).cloned() else {
                        self.plan();
                        self.state = State::Sending;
                        continue;
                    };
                    let id = self.ids.fresh();
                    self.state = State::Discovering(id);
                    let exchange = Exchange::new(id, Step::Check, Method::OPTIONS, url);
                    return Ok(Next::Send(Box::new(exchange)));
                }
                State::Sending => {
                    for resource in &mut self.resources {
                        if let Some(next) = resource.next(&self.manner, &mut self.ids, available)? {
                            return Ok(next);
                        }
                    }
                    if !self.resources.iter().all(Resource::is_complete) {
                        return Ok(Next::Wait);
                    }
                    match self.partial_size {
                        Some(_) => self.state = State::Join,
                        None => return Ok(self.finish()),
                    }
                }
                State::Join => return self.join(),
                State::Verify(url) => {
                    let url = url.clone();
                    let id = self.ids.fresh();
                    self.state = State::Verifying(url.clone(), id);
                    let exchange = self.manner.request(id, Step::Check, Method::HEAD, url);
                    return Ok(Next::Send(Box::new(exchange)));
                }
                State::Done(completed) => return Ok(Next::Done(completed.clone())),
                State::Abort(urls) => {
                    let Some(url) = urls.last().cloned() else {
                        self.state = State::Aborted;
                        return Ok(Next::Aborted);
                    };
                    let id = self.ids.fresh();
                    self.state = State::Aborting(urls.clone(), id);
                    let exchange = self.manner.request(id, Step::Abort, Method::DELETE, url);
                    return Ok(Next::Send(Box::new(exchange)));
                }
                State::Aborted => return Ok(Next::Aborted),
                State::Discovering(_)
                | State::Joining(_)
                | State::Verifying(..)
                | State::Aborting(..) => return Ok(Next::Wait),
            }
        }
    }

    fn answered(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        _now: SystemTime,
    ) -> Result<(), Fault> {
        match self.state.clone() {
            State::Discovering(ours) if ours == id => {
                if discovery::is_worth_another_try(answer.status) {
                    return Err(refused(answer.status));
                }
                self.discovered(answer)?;
                self.plan();
                self.manner.partial = self.partial_size.is_some();
                self.state = State::Sending;
                Ok(())
            }
            State::Joining(ours) if ours == id => self.joined(answer),
            State::Verifying(url, ours) if ours == id => self.verified(&url, answer),
            State::Aborting(mut urls, ours) if ours == id => {
                if !is_discarded(answer.status) {
                    return Err(refused(answer.status));
                }
                urls.pop();
                self.state = State::Abort(urls);
                Ok(())
            }
            State::Sending => {
                for resource in &mut self.resources {
                    resource.answered(id, answer, &self.manner)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn digested(&mut self, id: ExchangeId, digest: Digest) {
        for resource in &mut self.resources {
            resource.digested(id, digest);
        }
    }

    fn lost(&mut self, id: ExchangeId, how: Lost) {
        match self.state.clone() {
            State::Discovering(ours) if ours == id => self.state = State::Discover,
            State::Joining(ours) if ours == id => {
                self.joined_maybe |= how == Lost::Unknown;
                self.state = State::Join;
            }
            State::Verifying(url, ours) if ours == id => self.state = State::Verify(url),
            State::Aborting(urls, ours) if ours == id => self.state = State::Abort(urls),
            _ => {
                for resource in &mut self.resources {
                    resource.lost(id, how);
                }
            }
        }
    }

    fn abort(&mut self) {
        match &self.state {
            State::Done(_) | State::Aborted => (),
            _ => self.state = State::Abort(self.staged()),
        }
    }

    fn saved(&self) -> Saved {
        self.keep()
    }

    fn acknowledged(&self) -> Acknowledged {
        let bytes = self.resources.iter().map(Resource::offset).sum();
        let gap = self.resources.iter().find(|part| !part.is_complete());
        let prefix = gap.map_or(bytes, |part| part.base().saturating_add(part.offset()));
        Acknowledged { prefix, bytes }
    }
}

fn at(url: Option<Url>) -> Completed {
    Completed {
        location: url.map(String::from),
        ..Completed::default()
    }
}

/// How often partial uploads are looked for and sent again when the server does not find them.
const MOST_REJOINS: u32 = 3;
