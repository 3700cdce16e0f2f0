//! One upload resource of tus 1.0.0, from its creation to the last byte: the whole object, or one partial upload of it.

mod answers;

use std::ops::Range;

use bytehaul_integrity::{Algorithm, Digest};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use url::Url;

use crate::tus::progress::Progress;
use crate::{
    Available, DigestJob, Exchange, ExchangeId, Ids, Next, PartReceipt, Payload, ProtocolError,
    ProtocolErrorKind, Step,
};

/// How requests are made, the same for all resources of a session.
pub(super) struct Manner {
    /// Where uploads are created; `None`: they cannot be.
    pub creation: Option<Url>,
    /// `Upload-Metadata`.
    pub metadata: Option<HeaderValue>,
    /// Which digest goes with each part.
    pub checksum: Option<Algorithm>,
    /// Whether the first part goes with the creation.
    pub with_data: bool,
    /// Whether `PATCH` and `DELETE` go as `POST`.
    pub override_method: bool,
    /// Bytes of one request.
    pub part_size: u64,
    /// Whether the resources are partial uploads of one object.
    pub partial: bool,
}

impl Manner {
    /// A request without a body and with the fields that each has.
    pub(super) fn request(&self, id: ExchangeId, step: Step, method: Method, url: Url) -> Exchange {
        let mut headers = HeaderMap::new();
        headers.insert("tus-resumable", HeaderValue::from_static("1.0.0"));
        let method = match method {
            Method::PATCH | Method::DELETE if self.override_method => {
                let meant = HeaderValue::try_from(method.as_str()).expect("a method is a value");
                headers.insert("x-http-method-override", meant);
                Method::POST
            }
            plain => plain,
        };
        let body = match method {
            // Says that there is a body and that it is empty, which some servers want to be told.
            Method::POST => Payload::bytes(Bytes::new()),
            _ => Payload::default(),
        };
        Exchange::new(id, step, method, url)
            .headers(headers)
            .payload(body)
    }
}

/// One upload resource.
pub(super) struct Resource {
    number: u32,
    /// Where its first byte is in the source.
    base: u64,
    /// Its length; `None` while the source is a stream that has not ended.
    len: Option<u64>,
    /// The length that the server knows.
    declared: Option<u64>,
    url: Option<Url>,
    /// Whether this upload created it or wrote to it, so that it is this upload's to discard.
    touched: bool,
    progress: Progress,
    restarts: u32,
    digest: Option<(Range<u64>, Digest)>,
    expires: Option<String>,
    payload: Option<Bytes>,
    state: State,
    in_flight: Option<(ExchangeId, Job)>,
}

/// What is next.
#[derive(Clone, PartialEq, Eq)]
enum State {
    Create,
    Check,
    Send,
    /// To delete what cannot be gone on with, and then to begin anew.
    Discard(Url),
    Complete,
}

/// What is on its way. Ranges are of the source.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Job {
    Create(Range<u64>),
    Check,
    Digest(Range<u64>),
    Patch(Range<u64>, Option<u64>),
    Discard,
}

impl Resource {
    /// One that is to be created.
    pub(super) fn new(number: u32, base: u64, len: Option<u64>) -> Self {
        Self {
            number,
            base,
            len,
            declared: None,
            url: None,
            touched: false,
            progress: Progress::default(),
            restarts: 0,
            digest: None,
            expires: None,
            payload: None,
            state: State::Create,
            in_flight: None,
        }
    }

    /// Goes on with one that exists; `touched` says that this upload made it or wrote to it.
    #[must_use]
    pub(super) fn existing(mut self, url: Url, progress: Progress, touched: bool) -> Self {
        self.url = Some(url);
        // Its length was told at its creation, if it was known then, unless the server says otherwise.
        self.declared = self.len;
        self.progress = progress;
        self.touched = touched;
        self.state = State::Check;
        self
    }

    /// Deletes this one of an earlier run first, and then begins anew.
    #[must_use]
    pub(super) fn instead_of(mut self, url: Url) -> Self {
        self.state = State::Discard(url);
        self
    }

    /// Its number, as parts are counted.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Where it is.
    pub(super) fn url(&self) -> Option<&Url> {
        self.url.as_ref()
    }

    /// Whether it is this upload's to discard.
    pub(super) fn touched(&self) -> bool {
        self.touched
    }

    /// Where its first byte is in the source.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Its length, where it is known.
    pub(super) fn len(&self) -> Option<u64> {
        self.len
    }

    /// Bytes that the server has of it.
    pub(super) fn offset(&self) -> u64 {
        self.progress.offset()
    }

    /// When the server will drop it, as it said.
    pub(super) fn expires(&self) -> Option<&str> {
        self.expires.as_deref()
    }

    /// What the answer that completed it carried.
    pub(super) fn payload(&self) -> Option<Bytes> {
        self.payload.clone()
    }

    /// Whether what the server has of it may be of an earlier source.
    pub(super) fn is_doubtful(&self) -> bool {
        self.progress.is_doubtful()
    }

    /// Whether the server has said that it has all of it.
    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Asks the server again, though it was complete.
    pub(super) fn recheck(&mut self) {
        if self.in_flight.is_none() && self.url.is_some() {
            self.state = State::Check;
        }
    }

    /// What of it may be kept, as receipts of the whole resource's bytes.
    pub(super) fn receipts(&self) -> &[PartReceipt] {
        self.progress.cursor().receipts()
    }

    /// The receipt for it as a part; it is complete.
    pub(super) fn receipt(&self) -> Option<PartReceipt> {
        let (true, Some(url)) = (self.is_complete(), &self.url) else {
            return None;
        };
        let receipt = PartReceipt::new(self.number, self.base, self.offset());
        Some(receipt.tag(url.to_string()).crc32c(self.progress.crc32c()))
    }

    /// The next request, if there is one to send by now.
    pub(super) fn next(
        &mut self,
        manner: &Manner,
        ids: &mut Ids,
        available: Available,
    ) -> Result<Option<Next>, ProtocolError> {
        if self.len.is_none() && available.ended {
            self.len = Some(available.until);
        }
        if self.in_flight.is_some() {
            return Ok(None);
        }
        if self.state == State::Send {
            self.settle()?;
        }
        match (&self.state, &self.url) {
            (State::Complete, _) => Ok(None),
            (State::Discard(url), _) => {
                let (id, url) = (ids.fresh(), url.clone());
                self.in_flight = Some((id, Job::Discard));
                Ok(send(manner.request(id, Step::Check, Method::DELETE, url)))
            }
            (State::Check, Some(url)) => {
                let (id, url) = (ids.fresh(), url.clone());
                self.in_flight = Some((id, Job::Check));
                Ok(send(manner.request(id, Step::Check, Method::HEAD, url)))
            }
            (State::Send, Some(url)) => {
                let url = url.clone();
                self.append(manner, ids, available, url)
            }
            (State::Create | State::Check | State::Send, _) => self.create(manner, ids, available),
        }
    }

    fn create(
        &mut self,
        manner: &Manner,
        ids: &mut Ids,
        available: Available,
    ) -> Result<Option<Next>, ProtocolError> {
        let Some(creation) = &manner.creation else {
            let what = "the upload does not exist and there is no URL to create one at";
            return Err(ProtocolError::new(ProtocolErrorKind::Changed, what));
        };
        let mut url = creation.clone();
        url.set_fragment(None);
        let range = match manner.with_data {
            true => match self.chunk(manner, available)? {
                Some(range) => range,
                None => return Ok(None),
            },
            false => self.base..self.base,
        };
        if let Some(wanted) = self.digest_wanted(manner, ids, &range) {
            return Ok(Some(wanted));
        }
        let id = ids.fresh();
        let step = match range.is_empty() {
            true => Step::Begin,
            false => self.part(manner, &range),
        };
        let mut exchange = manner.request(id, step, Method::POST, url);
        let headers = &mut exchange.headers;
        match self.len {
            Some(len) => headers.insert("upload-length", len.into()),
            None => headers.insert("upload-defer-length", HeaderValue::from_static("1")),
        };
        if let Some(metadata) = &manner.metadata {
            headers.insert("upload-metadata", metadata.clone());
        }
        if manner.partial {
            headers.insert("upload-concat", HeaderValue::from_static("partial"));
        }
        if !range.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(OFFSET_STREAM));
            self.add_checksum(headers, &range);
            exchange = exchange.payload(Payload::source(range.clone()));
        }
        self.in_flight = Some((id, Job::Create(range)));
        Ok(send(exchange))
    }

    fn append(
        &mut self,
        manner: &Manner,
        ids: &mut Ids,
        available: Available,
        url: Url,
    ) -> Result<Option<Next>, ProtocolError> {
        let Some(range) = self.chunk(manner, available)? else {
            return Ok(None);
        };
        if let Some(wanted) = self.digest_wanted(manner, ids, &range) {
            return Ok(Some(wanted));
        }
        let id = ids.fresh();
        let step = self.part(manner, &range);
        let mut exchange = manner.request(id, step, Method::PATCH, url);
        let headers = &mut exchange.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(OFFSET_STREAM));
        headers.insert("upload-offset", self.offset().into());
        let declares = self.len.filter(|_| self.declared.is_none());
        if let Some(len) = declares {
            headers.insert("upload-length", len.into());
        }
        self.add_checksum(headers, &range);
        self.touched = true;
        self.progress.sending(range.end - self.base);
        self.in_flight = Some((id, Job::Patch(range.clone(), declares)));
        Ok(send(exchange.payload(Payload::source(range))))
    }

    /// The bytes of the source that go next; `None` while they are not all there. Empty where nothing but a stream's length
    /// is left to tell.
    fn chunk(
        &self,
        manner: &Manner,
        available: Available,
    ) -> Result<Option<Range<u64>>, ProtocolError> {
        let start = self.base.saturating_add(self.offset());
        let end = start.saturating_add(manner.part_size.max(1));
        let end = match self.len {
            Some(len) => end.min(self.base.saturating_add(len)),
            None => end,
        };
        if end <= available.until {
            return Ok(Some(start.min(end)..end));
        }
        if available.ended {
            let what = format!("the source ends at {} and not later", available.until);
            return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
        }
        Ok(None)
    }

    fn part(&self, manner: &Manner, range: &Range<u64>) -> Step {
        let number = match manner.partial {
            true => self.number,
            false => u32::try_from(range.start / manner.part_size.max(1)).unwrap_or(u32::MAX),
        };
        Step::Part {
            number,
            range: range.clone(),
        }
    }

    fn digest_wanted(
        &mut self,
        manner: &Manner,
        ids: &mut Ids,
        range: &Range<u64>,
    ) -> Option<Next> {
        let algorithm = manner.checksum.filter(|_| !range.is_empty())?;
        if self.digest.as_ref().is_some_and(|(of, _)| of == range) {
            return None;
        }
        let id = ids.fresh();
        self.in_flight = Some((id, Job::Digest(range.clone())));
        Some(Next::Digest(DigestJob {
            id,
            range: range.clone(),
            algorithm,
        }))
    }

    fn add_checksum(&self, headers: &mut HeaderMap, range: &Range<u64>) {
        if let Some((of, digest)) = &self.digest
            && of == range
        {
            let value = format!("{} {}", checksum_name(digest.algorithm()), digest.base64());
            let value = HeaderValue::try_from(value).expect("a name and base64 are ASCII");
            headers.insert("upload-checksum", value);
        }
    }
}

/// What tus calls an algorithm: `sha1`, `md5`, `sha256`.
pub(super) fn checksum_name(algorithm: Algorithm) -> String {
    algorithm.name().replace('-', "")
}

fn send(exchange: Exchange) -> Option<Next> {
    Some(Next::Send(Box::new(exchange)))
}

const OFFSET_STREAM: &str = "application/offset+octet-stream";
