//! The convenience trait for users' own protocols, which make their own requests.

mod session;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use crate::custom::session::Session;
use crate::{
    BoxFuture, CallError, Capabilities, Left, Object, PartReceipt, ProtocolError, SessionId,
    UploadProtocol, UploadSession,
};

/// A protocol of one's own, in four async calls: any HTTP client, or none at all.
///
/// bytehaul cuts the source into parts, reads them, retries, keeps the checkpoint, counts, pauses and cancels; the calls
/// carry the bytes. Each may be called again after an error that is [`CallError::transient`]. A call that is dropped in
/// the middle (pause, cancel, [`Custom::call_timeout`]) may or may not have reached the server.
///
/// ```
/// use bytehaul_providers::{Begun, BoxFuture, CallError, Custom, CustomUpload, PartData, PartTaken, UploadContext};
///
/// #[derive(Debug)]
/// struct Null;
///
/// impl CustomUpload for Null {
///     fn name(&self) -> &str { "null" }
///     fn target(&self) -> String { "null:".into() }
///     fn begin(&self, _: UploadContext) -> BoxFuture<'_, Result<Begun, CallError>> {
///         Box::pin(async { Ok(Begun::new()) })
///     }
///     fn part(&self, _: UploadContext, part: PartData) -> BoxFuture<'_, Result<PartTaken, CallError>> {
///         Box::pin(async move { let _ = part.data.len(); Ok(PartTaken::new()) })
///     }
/// }
/// let protocol = Custom::new(Null);
/// ```
pub trait CustomUpload: fmt::Debug + Send + Sync {
    /// Its name, kept in the checkpoint.
    fn name(&self) -> &str;

    /// Where to: the same text for each try at the same upload. Whoever shows it redacts it as a URL.
    fn target(&self) -> String;

    /// Whether parts may be sent at the same time and in any order. Default false.
    fn parallel(&self) -> bool {
        false
    }

    /// Opens the session, or asks what the server has of it by now ([`UploadContext::session`]).
    fn begin(&self, context: UploadContext) -> BoxFuture<'_, Result<Begun, CallError>>;

    /// Sends one part.
    fn part(
        &self,
        context: UploadContext,
        part: PartData,
    ) -> BoxFuture<'_, Result<PartTaken, CallError>>;

    /// Makes the object of the parts, in order. What it gives is the outcome's payload. Called exactly when all
    /// parts are there, also when an earlier run sent them; it may be called again when its answer was lost. Default: nothing is needed.
    fn commit(
        &self,
        context: UploadContext,
        parts: Vec<PartReceipt>,
    ) -> BoxFuture<'_, Result<Option<Bytes>, CallError>> {
        let _ = (context, parts);
        Box::pin(async { Ok(None) })
    }

    /// Discards what this session has staged, and nothing else. Default: nothing is needed.
    fn abort(&self, context: UploadContext) -> BoxFuture<'_, Result<(), CallError>> {
        let _ = context;
        Box::pin(async { Ok(()) })
    }
}

/// What a call may need to know of the upload.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct UploadContext {
    /// File name without directories.
    pub name: String,
    /// Length of the whole in bytes; `None` while a stream has not ended.
    pub total: Option<u64>,
    /// Media type, where the caller gave one.
    pub content_type: Option<String>,
    /// The caller's own names and values.
    pub metadata: Vec<(String, String)>,
    /// What [`Begun::session`] was, in this run or an earlier one.
    pub session: Option<SessionId>,
}

/// What [`CustomUpload::begin`] found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Begun {
    /// How the server names the session; kept in the checkpoint.
    pub session: Option<SessionId>,
    /// Bytes that the server has from the start; it is believed in both directions. `None`: what the checkpoint says.
    /// Where the source has changed since an earlier run and they go beyond what is proven, the session is discarded
    /// ([`CustomUpload::abort`]) and another one begun. Not used with parallel parts.
    pub next_byte: Option<u64>,
    /// The object is complete already, with this payload.
    pub done: Option<Bytes>,
}

impl Begun {
    /// A session without a name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`session`](Self#structfield.session).
    #[must_use]
    pub fn session(mut self, id: impl Into<String>) -> Self {
        self.session = Some(SessionId::new(id));
        self
    }

    /// Sets [`next_byte`](Self#structfield.next_byte).
    #[must_use]
    pub fn next_byte(mut self, offset: u64) -> Self {
        self.next_byte = Some(offset);
        self
    }

    /// Sets [`done`](Self#structfield.done).
    #[must_use]
    pub fn done(mut self, payload: impl Into<Bytes>) -> Self {
        self.done = Some(payload.into());
        self
    }
}

/// The part to send.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartData {
    /// Counted from 1.
    pub number: u32,
    /// Where it begins, in bytes of the whole.
    pub offset: u64,
    /// Its bytes.
    pub data: Bytes,
}

impl fmt::Debug for PartData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.offset + self.data.len() as u64;
        write!(f, "PartData({}: {}..{end})", self.number, self.offset)
    }
}

/// What the server said of a part.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct PartTaken {
    /// Where to go on, if that is not the end of the part; within the part. Not used with parallel parts.
    pub next_byte: Option<u64>,
    /// What the server calls the part; given to [`CustomUpload::commit`] and kept in the checkpoint.
    pub tag: Option<String>,
}

impl PartTaken {
    /// The whole part was taken.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`next_byte`](Self#structfield.next_byte).
    #[must_use]
    pub fn next_byte(mut self, offset: u64) -> Self {
        self.next_byte = Some(offset);
        self
    }

    /// Sets [`tag`](Self#structfield.tag).
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }
}

/// Makes a protocol out of a [`CustomUpload`].
#[derive(Clone, Debug)]
pub struct Custom {
    calls: Arc<dyn CustomUpload>,
    call_timeout: Option<Duration>,
}

impl Custom {
    /// The protocol that makes these calls.
    pub fn new(calls: impl CustomUpload + 'static) -> Self {
        Self {
            calls: Arc::new(calls),
            call_timeout: None,
        }
    }

    /// How long one call may take, with all that it sends. One that takes longer is dropped and made again, as after an error
    /// that is [`CallError::transient`]. Default: as long as it likes, as with the clients of most libraries, because how long a
    /// part takes depends on its size and on the line; a client that stops waiting for a silent server is the better place.
    #[must_use]
    pub fn call_timeout(mut self, limit: Duration) -> Self {
        self.call_timeout = Some(limit);
        self
    }
}

impl UploadProtocol for Custom {
    fn name(&self) -> &str {
        self.calls.name()
    }

    fn target(&self) -> String {
        self.calls.target()
    }

    fn endpoint(&self) -> Option<Url> {
        None
    }

    fn validate(&self) -> Result<(), ProtocolError> {
        if self.calls.name().is_empty() {
            return Err(ProtocolError::parameter("protocol", "it has no name"));
        }
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .parallel(self.calls.parallel())
            .unknown_length(true)
            .resumable(true)
    }

    fn open(
        &self,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Box<dyn UploadSession>, ProtocolError> {
        let session = Session::new(self.calls.clone(), self.call_timeout, object, left)?;
        Ok(Box::new(session))
    }
}
