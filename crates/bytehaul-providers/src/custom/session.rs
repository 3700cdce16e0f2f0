//! The session of a user's own protocol: which call comes next, and what its answer means.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::custom::{Begun, CustomUpload, PartData, PartTaken, UploadContext};
use crate::{
    Acknowledged, Answer, Available, BoxFuture, Call, CallError, Completed, Cursor, ExchangeId,
    Fault, Ids, Left, Lost, Next, Object, PartReceipt, PartState, Parts, ProtocolError,
    ProtocolErrorKind, Returned, Saved, Stage, Step, UploadSession,
};

/// One upload by a user's own calls.
pub(super) struct Session {
    calls: Arc<dyn CustomUpload>,
    call_timeout: Option<Duration>,
    context: UploadContext,
    ids: Ids,
    part_size: u64,
    state: State,
    sent: Sent,
    /// The source has changed since an earlier run: what the server has beyond these bytes is of the old one.
    proved: Option<u64>,
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
    /// What the server has is of another source: it is discarded, and then there is a new session.
    Discard,
    Discarding(ExchangeId),
    Abort,
    Aborting(ExchangeId),
    Aborted,
}

impl Session {
    pub(super) fn new(
        calls: Arc<dyn CustomUpload>,
        call_timeout: Option<Duration>,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Self, ProtocolError> {
        let parallel = calls.parallel();
        let unchanged = left.as_ref().is_none_or(|left| left.unchanged);
        let saved = left.map(|left| left.saved).unwrap_or_default();
        let doubted = !unchanged || saved.extra.contains_key(DOUBTED);
        let part_size = part_size(object, saved.part_size)?;
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
        let proved = match &sent {
            Sent::Serial { cursor, .. } if doubted => Some(cursor.offset()),
            Sent::Serial { .. } | Sent::Parallel(_) => None,
        };
        Ok(Self {
            calls,
            call_timeout,
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
            proved,
            payload: None,
        })
    }

    fn call<F>(&self, id: ExchangeId, step: Step, run: F) -> Next
    where
        F: FnOnce(Bytes) -> BoxFuture<'static, Result<Returned, CallError>> + Send + 'static,
    {
        Next::Call(Box::new(Call::new(id, step, run).limit(self.call_timeout)))
    }

    fn begin(&mut self) -> Next {
        let id = self.ids.fresh();
        self.state = State::Beginning(id);
        let (calls, context) = (self.calls.clone(), self.context.clone());
        self.call(id, Step::Begin, move |_| {
            Box::pin(async move { boxed(calls.begin(context).await?) })
        })
    }

    fn part(&mut self, available: Available) -> Result<Next, ProtocolError> {
        if available.ended {
            self.context.total = Some(available.until);
            if self.acknowledged().bytes > available.until {
                let until = available.until;
                let what = format!("the server has more than the {until} bytes of the source");
                return Err(ProtocolError::new(ProtocolErrorKind::Range, what));
            }
        }
        let Some((index, number, range)) = self.pick(available) else {
            return Ok(match self.all_sent(available) {
                true => {
                    self.state = State::Commit;
                    self.commit()
                }
                false => Next::Wait,
            });
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
        let call = Call::new(id, step, run).source(range);
        Ok(Next::Call(Box::new(call.limit(self.call_timeout))))
    }

    /// The next part whose bytes are there.
    fn pick(&mut self, available: Available) -> Option<(usize, u32, std::ops::Range<u64>)> {
        match &mut self.sent {
            Sent::Serial { cursor, tags } => {
                let start = cursor.offset();
                let end = start.saturating_add(self.part_size).min(available.until);
                let whole = end.saturating_sub(start) == self.part_size || available.ended;
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
        self.call(id, Step::Commit, move |_| {
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
        let is_new = self.context.session.is_none();
        let proved = self.proved.take().filter(|_| !is_new);
        if begun.session.is_some() {
            self.context.session = begun.session;
        }
        if let Some(proved) = proved {
            if begun.done.is_some() {
                // An object of the old source: it is complete, and nothing of this upload.
                self.begin_anew();
                return Ok(());
            }
            if begun.next_byte.is_some_and(|next| next > proved) {
                self.proved = Some(proved);
                self.state = State::Discard;
                return Ok(());
            }
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
            let known = tags.last().map_or(0, PartReceipt::end);
            if next > known {
                // It has bytes of which no run has heard, such as those of a part whose answer was lost.
                let number = u32::try_from(tags.len() + 1).unwrap_or(u32::MAX);
                tags.push(PartReceipt::new(number, known, next - known));
            }
        }
        self.state = State::Sending;
        Ok(())
    }

    fn begin_anew(&mut self) {
        self.context.session = None;
        self.proved = None;
        self.sent = Sent::Serial {
            cursor: Cursor::default(),
            tags: Vec::new(),
        };
        self.state = State::Begin;
    }

    fn discard(&mut self) -> (ExchangeId, Next) {
        let id = self.ids.fresh();
        let (calls, context) = (self.calls.clone(), self.context.clone());
        let next = self.call(id, Step::Abort, move |_| {
            Box::pin(async move { boxed(calls.abort(context).await?) })
        });
        (id, next)
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

/// Bytes of one part: those of an earlier run, as far as they can have been meant. Each part in flight is in memory, and so is
/// the list of all of them.
fn part_size(object: &Object, kept: u64) -> Result<u64, ProtocolError> {
    let wanted = object.part_size.unwrap_or(PART_SIZE).max(1);
    let are_few = |size: u64| object.len.unwrap_or(0).div_ceil(size) <= MOST_PARTS;
    let most = wanted.max(MOST_KEPT);
    if (1..=most).contains(&kept) && are_few(kept) {
        return Ok(kept);
    }
    if !are_few(wanted) {
        let what = format!("{wanted} bytes: there would be more than {MOST_PARTS} parts");
        return Err(ProtocolError::parameter("part size", what));
    }
    Ok(wanted)
}

impl UploadSession for Session {
    fn next(&mut self, available: Available, _now: SystemTime) -> Result<Next, ProtocolError> {
        Ok(match self.state {
            State::Begin => self.begin(),
            State::Sending => return self.part(available),
            State::Commit => self.commit(),
            State::Done => {
                let payload = self.payload.clone();
                Next::Done(Completed {
                    payload,
                    ..Completed::default()
                })
            }
            State::Discard => {
                let (id, next) = self.discard();
                self.state = State::Discarding(id);
                next
            }
            State::Abort => {
                let (id, next) = self.discard();
                self.state = State::Aborting(id);
                next
            }
            State::Aborted => Next::Aborted,
            State::Beginning(_)
            | State::Part(_)
            | State::Committing(_)
            | State::Discarding(_)
            | State::Aborting(_) => Next::Wait,
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
            (State::Discarding(ours), _) if ours == id => {
                self.begin_anew();
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
            State::Discarding(ours) if ours == id => State::Discard,
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
        let mut saved = Saved {
            session: self.context.session.clone(),
            stage: self.stage(),
            part_size: self.part_size,
            parts: self.receipts(),
            ..Saved::default()
        };
        if self.proved.is_some() {
            // The next run finds a source that has not changed since this one.
            saved.extra.insert(DOUBTED.to_owned(), String::new());
        }
        saved
    }

    fn stage(&self) -> Stage {
        match self.state {
            State::Begin | State::Beginning(_) => Stage::Beginning,
            State::Sending | State::Part(_) => Stage::Sending,
            State::Commit | State::Committing(_) => Stage::Committing,
            State::Done => Stage::Complete,
            State::Discard | State::Discarding(_) | State::Abort | State::Aborting(_) => {
                Stage::Sending
            }
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

/// Says in a checkpoint that the server may have bytes of an earlier source.
const DOUBTED: &str = "doubted";

/// More are no sensible way to send anything; 8 TiB with the usual size.
const MOST_PARTS: u64 = 1 << 20;

/// Bytes of a part of an earlier run that are believed: a checkpoint that the application keeps may be damaged.
const MOST_KEPT: u64 = 1 << 30;

/// Bytes of one part where the caller does not say.
const PART_SIZE: u64 = 8 << 20;
