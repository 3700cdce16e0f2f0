//! The contract: what a protocol is, and how a driver and a session talk.

use std::fmt;
use std::ops::Range;
use std::time::SystemTime;

use bytehaul_integrity::{Algorithm, Digest};
use bytes::Bytes;
use url::Url;

use crate::{
    Answer, Call, Exchange, ExchangeId, Fault, Left, Lost, ProtocolError, Returned, Saved, Stage,
};

/// A way to upload, and where to: makes one session for each upload.
///
/// A protocol holds settings alone, no state of an upload, so that one value can serve many uploads at once.
pub trait UploadProtocol: fmt::Debug + Send + Sync {
    /// Its name, such as `tus`; kept with the session, so that another protocol does not take it up.
    fn name(&self) -> &str;

    /// Where to, as a URL or a similar text that is the same for each try at the same upload. It may hold a signature: who
    /// shows or keeps it has to redact it.
    fn target(&self) -> String;

    /// The URL whose origin the task's own headers and credentials are meant for. `None`: they are not sent at all.
    fn endpoint(&self) -> Option<Url>;

    /// Checks the settings without sending anything.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    fn validate(&self) -> Result<(), ProtocolError>;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Begins a session, or takes up the one that an earlier run left. Nothing is sent.
    ///
    /// # Errors
    /// The object cannot be uploaded by this protocol, such as one of unknown length.
    fn open(
        &self,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Box<dyn UploadSession>, ProtocolError>;
}

/// What a protocol can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether parts may be sent at the same time and in any order.
    pub parallel: bool,
    /// Whether it takes a source whose length is not known at the start.
    pub unknown_length: bool,
    /// Whether an upload that broke off can go on where it was.
    pub resumable: bool,
    /// Whether the session at the server comes with the protocol, and no other can be opened: what an earlier run has sent
    /// to it is overwritten then, if it is of no use, and not discarded with the session.
    pub given_session: bool,
}

impl Capabilities {
    /// None of them.
    pub const fn new() -> Self {
        Self {
            parallel: false,
            unknown_length: false,
            resumable: false,
            given_session: false,
        }
    }

    /// Sets [`parallel`](Self#structfield.parallel).
    #[must_use]
    pub const fn parallel(mut self, parallel: bool) -> Self {
        self.parallel = parallel;
        self
    }

    /// Sets [`unknown_length`](Self#structfield.unknown_length).
    #[must_use]
    pub const fn unknown_length(mut self, unknown_length: bool) -> Self {
        self.unknown_length = unknown_length;
        self
    }

    /// Sets [`resumable`](Self#structfield.resumable).
    #[must_use]
    pub const fn resumable(mut self, resumable: bool) -> Self {
        self.resumable = resumable;
        self
    }

    /// Sets [`given_session`](Self#structfield.given_session).
    #[must_use]
    pub const fn given_session(mut self, given: bool) -> Self {
        self.given_session = given;
        self
    }
}

/// What is uploaded, as a protocol may need to know it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Object {
    /// File name without directories.
    pub name: String,
    /// Length in bytes; `None` for a stream.
    pub len: Option<u64>,
    /// Media type, where the caller gave one.
    pub content_type: Option<String>,
    /// The caller's own names and values, for protocols that carry them.
    pub metadata: Vec<(String, String)>,
    /// Bytes of one part that the caller wants; `None`: the protocol chooses.
    pub part_size: Option<u64>,
    /// Parts that will be in flight at once, at most; at least 1.
    pub parallel: usize,
    /// Digest of the whole, where the caller knows it.
    pub digest: Option<Digest>,
}

impl Object {
    /// An object of this name and length.
    pub fn new(name: impl Into<String>, len: Option<u64>) -> Self {
        Self {
            name: name.into(),
            len,
            parallel: 1,
            ..Self::default()
        }
    }
}

/// One upload in progress, as a machine: it says what to do next and is told what came of it.
///
/// The driver calls [`next`](Self::next) until it gives [`Next::Wait`], carries out what it got, in parallel if it likes,
/// and reports each by its id with exactly one of [`answered`](Self::answered), [`returned`](Self::returned),
/// [`digested`](Self::digested) and [`lost`](Self::lost). After a [`Fault`] that is not final it waits and then reports
/// the same id with `lost`, and only then is it the session's turn to ask again. What a driver drops without a word (pause,
/// crash) needs no report, because the session ends there.
pub trait UploadSession: Send {
    /// What to do next. `available` is what of the source can be read by now.
    ///
    /// # Errors
    /// The upload cannot go on.
    fn next(&mut self, available: Available, now: SystemTime) -> Result<Next, ProtocolError>;

    /// Takes the answer to a request.
    ///
    /// # Errors
    /// What it means where it is no progress.
    fn answered(
        &mut self,
        id: ExchangeId,
        answer: &Answer<'_>,
        now: SystemTime,
    ) -> Result<(), Fault>;

    /// Takes what a [`Call`] gave. Sessions that make none need not implement it.
    ///
    /// # Errors
    /// As for [`answered`](Self::answered).
    fn returned(&mut self, id: ExchangeId, value: Returned, now: SystemTime) -> Result<(), Fault> {
        let _ = (id, value, now);
        Ok(())
    }

    /// Takes a digest that was asked for. Sessions that ask for none need not implement it.
    fn digested(&mut self, id: ExchangeId, digest: Digest) {
        let _ = (id, digest);
    }

    /// A request or call came to nothing, and it is time to try again.
    fn lost(&mut self, id: ExchangeId, how: Lost);

    /// From now on discards what this session has staged: [`next`](Self::next) gives the requests for that, and then
    /// [`Next::Aborted`]. Nothing else at the server is touched. Nothing of this session is in flight when it is called.
    fn abort(&mut self);

    /// What to keep, so that another process can go on from here.
    fn saved(&self) -> Saved;

    /// Whether the request that it has just given goes beyond what `kept`, the last that was saved, tells of, so that another
    /// run could not know it again: what is [`saved`](Self::saved) now is then kept before the request is sent. Sessions whose
    /// server tells one upload from another need not implement it.
    fn outruns(&self, kept: &Saved) -> bool {
        let _ = kept;
        false
    }

    /// How far it is: that of [`saved`](Self::saved), which a session of many parts can tell without making all of it.
    fn stage(&self) -> Stage {
        self.saved().stage
    }

    /// Bytes of one part, as in [`saved`](Self::saved): of a stream, so much has to be held for each part in flight.
    fn part_size(&self) -> u64 {
        self.saved().part_size
    }

    /// What the server has confirmed so far. It may shrink when the server turns out to have lost something.
    fn acknowledged(&self) -> Acknowledged;
}

/// What of the source can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Available {
    /// Bytes from the start that can be read, or could be and have been sent.
    pub until: u64,
    /// Whether that is all of it: the length is `until`.
    pub ended: bool,
}

/// What a session wants.
#[derive(Debug)]
#[non_exhaustive]
pub enum Next {
    /// Send this request.
    Send(Box<Exchange>),
    /// Run this call.
    Call(Box<Call>),
    /// Compute this digest of the source, beside whatever else runs.
    Digest(DigestJob),
    /// Nothing, until something in flight is reported or more of the source is there.
    Wait,
    /// The object is there: the server has said so.
    Done(Completed),
    /// What was staged is discarded, or there was nothing.
    Aborted,
}

/// A digest that a session needs of a range of the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DigestJob {
    /// Its name in what the driver tells.
    pub id: ExchangeId,
    /// Which bytes.
    pub range: Range<u64>,
    /// Which digest.
    pub algorithm: Algorithm,
}

/// What the server said of the finished object.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Completed {
    /// Where it is or what it is called, if the server said so.
    pub location: Option<String>,
    /// Its entity tag, if the server said so.
    pub etag: Option<String>,
    /// What the server's last answer carried for the application, such as an id.
    pub payload: Option<Bytes>,
    /// A digest of the whole that the server named and that is that of the bytes that were sent.
    pub verified: Option<Digest>,
}

impl fmt::Debug for Completed {
    /// Shows no payload and no location: both may be for the application alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completed")
            .field("etag", &self.etag)
            .field("payload", &self.payload.as_ref().map(Bytes::len))
            .field("verified", &self.verified)
            .finish_non_exhaustive()
    }
}

/// What the server has confirmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Acknowledged {
    /// Bytes from the start without a gap.
    pub prefix: u64,
    /// All bytes.
    pub bytes: u64,
}
