//! The convenience trait for users' own protocols, which make their own requests.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use url::Url;

use crate::{
    Acknowledged, Answer, Available, BoxFuture, Call, CallError, Capabilities, Completed, Cursor,
    ExchangeId, Fault, Ids, Left, Lost, Next, Object, PartReceipt, PartState, Parts, ProtocolError,
    ProtocolErrorKind, Returned, Saved, SessionId, Stage, Step, UploadProtocol, UploadSession,
};

/// A protocol of one's own, in four async calls: any HTTP client, or none at all.
///
/// bytehaul cuts the source into parts, reads them, retries, keeps the checkpoint, counts, pauses and cancels; the calls
/// carry the bytes. Each may be called again after an error that is [`CallError::transient`]. A call that is dropped in
/// the middle (pause, cancel) may or may not have reached the server.
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
    /// Not used with parallel parts.
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
}

impl Custom {
    /// The protocol that makes these calls.
    pub fn new(calls: impl CustomUpload + 'static) -> Self {
        Self {
            calls: Arc::new(calls),
        }
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
        Ok(Box::new(Session::new(self.calls.clone(), object, left)))
    }
}

struct Session {
    calls: Arc<dyn CustomUpload>,
    context: UploadContext,
    ids: Ids,
    part_size: u64,
    state: State,
    sent: Sent,
    payload: Option<Bytes>,
}

/// Where the bytes stand.
enum Sent {
    Serial {
        cursor: Cursor,
        tags: Vec<PartReceipt>,
    },
    Parallel(Parts),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Begin,
    Beginning(ExchangeId),
    Sending,
    /// One part of a serial protocol is on its way.
    Part(ExchangeId),
    Commit,
    Committing(ExchangeId),
    Done,
    Abort,
    Aborting(ExchangeId),
    Aborted,
}

impl Session {
    fn new(calls: Arc<dyn CustomUpload>, object: &Object, left: Option<Left>) -> Self {
        let parallel = calls.parallel();
        let saved = left.map(|left| left.saved).unwrap_or_default();
        let part_size = match saved.part_size {
            0 => object.part_size.unwrap_or(PART_SIZE).max(1),
            kept => kept,
        };
        let sent = if parallel {
            let mut parts = match object.len {
                Some(len) => Parts::even(len, part_size, 1),
                None => Parts::default(),
            };
            for receipt in saved.parts {
                parts.restore(receipt);
            }
            Sent::Parallel(parts)
        } else {
            let cursor = Cursor::restored(&saved.parts);
            let mut tags = saved.parts;
            tags.retain(|receipt| receipt.end() <= cursor.offset());
            Sent::Serial { cursor, tags }
        };
        Self {
            calls,
            context: UploadContext {
                name: object.name.clone(),
                total: object.len,
                content_type: object.content_type.clone(),
                metadata: object.metadata.clone(),
                session: saved.session,
            },
            ids: Ids::default(),
            part_size,
            state: State::Begin,
            sent,
            payload: None,
        }
    }

    fn begin(&mut self) -> Next {
        let id = self.ids.fresh();
        self.state = State::Beginning(id);
        let (calls, context) = (self.calls.clone(), self.context.clone());
        call(id, Step::Begin, move |_| {
            Box::pin(async move { boxed(calls.begin(context).await?) })
        })
    }

    fn part(&mut self, available: Available) -> Next {
        if available.ended {
            self.context.total = Some(available.until);
        }
        let Some((index, number, range)) = self.pick(available) else {
            return match self.all_sent(available) {
                true => {
                    self.state = State::Commit;
                    self.commit()
                }
                false => Next::Wait,
            };
        };
        let id = self.ids.fresh();
        match &mut self.sent {
            Sent::Serial { .. } => self.state = State::Part(id),
            Sent::Parallel(parts) => parts.set(index, PartState::InFlight(id)),
        }
        let (calls, context) = (self.calls.clone(), self.context.clone());
        let offset = range.start;
        let step = Step::Part {
            number,
            range: range.clone(),
        };
        let run = move |data: Bytes| -> BoxFuture<'static, Result<Returned, CallError>> {
            Box::pin(async move {
                let size = data.len() as u64;
                let crc = bytehaul_integrity::crc32c(&data);
                let part = PartData {
                    number,
                    offset,
                    data,
                };
                let taken = calls.part(context, part).await?;
                boxed(Delivered { taken, size, crc })
            })
        };
        Next::Call(Box::new(Call::new(id, step, run).source(range)))
    }

    /// The next part whose bytes are there.
    fn pick(&mut self, available: Available) -> Option<(usize, u32, std::ops::Range<u64>)> {
        match &mut self.sent {
            Sent::Serial { cursor, tags } => {
                let start = cursor.offset();
                let end = start.saturating_add(self.part_size).min(available.until);
                let whole = end - start == self.part_size || available.ended;
                let number = u32::try_from(tags.len() + 1).unwrap_or(u32::MAX);
                (whole && start < end).then_some((0, number, start..end))
            }
            Sent::Parallel(parts) => {
                while self.context.total.is_none_or(|total| parts.end() < total)
                    || (parts.is_empty() && self.context.total == Some(0))
                {
                    let start = parts.end();
                    let end = start.saturating_add(self.part_size).min(available.until);
                    if !(end - start == self.part_size || available.ended) {
                        break;
                    }
                    let number = u32::try_from(parts.len() + 1).unwrap_or(u32::MAX);
                    parts.push(number, start..end);
                    if start == end {
                        break;
                    }
                }
                let index = parts.missing()?;
                let part = parts.get(index)?;
                (part.range.end <= available.until)
                    .then(|| (index, part.number, part.range.clone()))
            }
        }
    }

    fn all_sent(&self, available: Available) -> bool {
        available.ended
            && match &self.sent {
                Sent::Serial { cursor, .. } => cursor.offset() >= available.until,
                Sent::Parallel(parts) => parts.all_done() && parts.end() >= available.until,
            }
    }

    fn commit(&mut self) -> Next {
        let id = self.ids.fresh();
        self.state = State::Committing(id);
        let (calls, context) = (self.calls.clone(), self.context.clone());
        let parts = self.receipts();
        call(id, Step::Commit, move |_| {
            Box::pin(async move { boxed(calls.commit(context, parts).await?) })
        })
    }

    fn receipts(&self) -> Vec<PartReceipt> {
        match &self.sent {
            Sent::Serial { tags, .. } => tags.clone(),
            Sent::Parallel(parts) => parts.receipts(),
        }
    }

    fn begun(&mut self, begun: Begun) -> Result<(), Fault> {
        if begun.session.is_some() {
            self.context.session = begun.session;
        }
        if let Some(payload) = begun.done {
            self.payload = Some(payload);
            self.state = State::Done;
            return Ok(());
        }
        if let (Some(next), Sent::Serial { cursor, tags }) = (begun.next_byte, &mut self.sent) {
            if self.context.total.is_some_and(|total| next > total) {
                let what = format!("the server wants to go on at {next}, beyond the end");
                return Err(ProtocolError::new(ProtocolErrorKind::Range, what).into());
            }
            cursor.set(next);
            tags.retain(|receipt| receipt.end() <= next);
        }
        self.state = State::Sending;
        Ok(())
    }

    fn delivered(&mut self, id: ExchangeId, part: Delivered) -> Result<(), Fault> {
        let Delivered { taken, size, crc } = part;
        match &mut self.sent {
            Sent::Serial { cursor, tags } => {
                let start = cursor.offset();
                let next = taken.next_byte.unwrap_or(start + size);
                if next <= start || next > start + size {
                    let what = format!(
                        "the server wants to go on at {next} after {start}-{}",
                        start + size
                    );
                    return Err(ProtocolError::new(ProtocolErrorKind::Range, what).into());
                }
                let crc = (next == start + size).then_some(crc);
                cursor.add(next - start, crc);
                let number = u32::try_from(tags.len() + 1).unwrap_or(u32::MAX);
                let receipt = PartReceipt::new(number, start, next - start);
                tags.push(receipt.tag(taken.tag).crc32c(crc));
                self.state = State::Sending;
            }
            Sent::Parallel(parts) => {
                let Some(index) = parts.carried_by(id) else {
                    return Ok(());
                };
                let part = parts.get(index).expect("carried parts are in the table");
                let receipt = PartReceipt::new(part.number, part.range.start, size)
                    .tag(taken.tag)
                    .crc32c(crc);
                parts.set(index, PartState::Done(receipt));
            }
        }
        Ok(())
    }
}

/// A part that the server has answered for.
struct Delivered {
    taken: PartTaken,
    size: u64,
    crc: u32,
}

fn boxed<T: Send + 'static>(value: T) -> Result<Returned, CallError> {
    Ok(Box::new(value))
}

fn call<F>(id: ExchangeId, step: Step, run: F) -> Next
where
    F: FnOnce(Bytes) -> BoxFuture<'static, Result<Returned, CallError>> + Send + 'static,
{
    Next::Call(Box::new(Call::new(id, step, run)))
}

impl UploadSession for Session {
    fn next(&mut self, available: Available, _now: SystemTime) -> Result<Next, ProtocolError> {
        Ok(match self.state {
            State::Begin => self.begin(),
            State::Sending => self.part(available),
            State::Commit => self.commit(),
            State::Done => {
                let payload = self.payload.clone();
                Next::Done(Completed {
                    payload,
                    ..Completed::default()
                })
            }
            State::Abort => {
                let id = self.ids.fresh();
                self.state = State::Aborting(id);
                let (calls, context) = (self.calls.clone(), self.context.clone());
                call(id, Step::Abort, move |_| {
                    Box::pin(async move { boxed(calls.abort(context).await?) })
                })
            }
            State::Aborted => Next::Aborted,
            State::Beginning(_) | State::Part(_) | State::Committing(_) | State::Aborting(_) => {
                Next::Wait
            }
        })
    }

    fn answered(&mut self, _: ExchangeId, _: &Answer<'_>, _: SystemTime) -> Result<(), Fault> {
        Ok(())
    }

    fn returned(&mut self, id: ExchangeId, value: Returned, _: SystemTime) -> Result<(), Fault> {
        let value = match value.downcast::<Delivered>() {
            Ok(part) => return self.delivered(id, *part),
            Err(other) => other,
        };
        match (self.state, value.downcast::<Begun>()) {
            (State::Beginning(ours), Ok(begun)) if ours == id => self.begun(*begun),
            (State::Committing(ours), Err(payload)) if ours == id => {
                self.payload = payload
                    .downcast::<Option<Bytes>>()
                    .map_or(None, |payload| *payload);
                self.state = State::Done;
                Ok(())
            }
            (State::Aborting(ours), _) if ours == id => {
                self.state = State::Aborted;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn lost(&mut self, id: ExchangeId, _how: Lost) {
        self.state = match self.state {
            State::Beginning(ours) if ours == id => State::Begin,
            State::Part(ours) if ours == id => State::Sending,
            State::Committing(ours) if ours == id => State::Commit,
            State::Aborting(ours) if ours == id => State::Abort,
            other => other,
        };
        if let Sent::Parallel(parts) = &mut self.sent
            && let Some(index) = parts.carried_by(id)
        {
            parts.set(index, PartState::Missing);
        }
    }

    fn abort(&mut self) {
        if self.state != State::Done {
            self.state = State::Abort;
        }
    }

    fn saved(&self) -> Saved {
        Saved {
            session: self.context.session.clone(),
            stage: self.stage(),
            part_size: self.part_size,
            parts: self.receipts(),
            ..Saved::default()
        }
    }

    fn stage(&self) -> Stage {
        match self.state {
            State::Begin | State::Beginning(_) => Stage::Beginning,
            State::Sending | State::Part(_) => Stage::Sending,
            State::Commit | State::Committing(_) => Stage::Committing,
            State::Done => Stage::Complete,
            State::Abort | State::Aborting(_) => Stage::Sending,
            State::Aborted => Stage::Aborted,
        }
    }

    fn part_size(&self) -> u64 {
        self.part_size
    }

    fn acknowledged(&self) -> Acknowledged {
        match &self.sent {
            Sent::Serial { cursor, .. } => cursor.acknowledged(),
            Sent::Parallel(parts) => parts.acknowledged(),
        }
    }
}

/// Bytes of one part where the caller does not say.
const PART_SIZE: u64 = 8 << 20;
