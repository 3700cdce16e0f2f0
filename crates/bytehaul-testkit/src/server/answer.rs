//! From a request, an object and the effects that hit it to everything the connection will send: pure.

use std::ops::Range;
use std::time::Duration;

use super::Object;
use super::behaviour::{Effect, StatusAnswer};
use super::gzip;
use super::headers::Headers;
use super::request::Request;

/// What to do with one request.
#[derive(Debug)]
pub(super) enum Plan {
    /// Never answer.
    Hang,
    /// Send these bytes and close.
    Raw(Vec<u8>),
    /// Send an HTTP answer.
    Answer(Box<Answer>),
}

/// An HTTP answer down to the byte at which it goes wrong.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: Vec<u8>,
    pub(super) latency: Duration,
    pub(super) head_pause: Option<Duration>,
    pub(super) object: Object,
    pub(super) range: Range<u64>,
    pub(super) flips: Vec<u64>,
    pub(super) surplus: u64,
    pub(super) framing: Framing,
    pub(super) end: End,
    pub(super) close: bool,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked(u64),
    UntilClose,
}

/// What happens to the connection, and after how many body bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    Fin(u64),
    Reset(u64),
    Stall(u64),
}

/// Decides the answer. `number` counts the requests for this object, `chance` is a random number of this request.
pub(super) fn plan(
    request: &Request,
    object: &Object,
    effects: &[&Effect],
    number: u64,
    chance: u64,
) -> Plan {
    for effect in effects {
        match effect {
            Effect::Hang => return Plan::Hang,
            Effect::Raw(bytes) => return Plan::Raw(bytes.clone()),
            _ => (),
        }
    }
    let mut sketch = Sketch::new(request, object, effects, number);
    for effect in effects {
        match effect {
            Effect::Status(answer) => sketch.replace_by(answer),
            Effect::Redirect(status, location) => sketch.redirect(*status, location),
            _ => (),
        }
    }
    Plan::Answer(Box::new(sketch.finish(request, effects, chance)))
}

/// An answer before its framing is chosen.
struct Sketch {
    status: u16,
    headers: Headers,
    object: Object,
    range: Range<u64>,
}

impl Sketch {
    fn new(request: &Request, object: &Object, effects: &[&Effect], number: u64) -> Self {
        let mut object = object.clone();
        for effect in effects {
            match effect {
                Effect::Serve(other) => object = Object::clone(other),
                Effect::Etag(etag) => object = object.etag(etag),
                Effect::AlternateEtags(even, odd) => {
                    object = object.etag(if number.is_multiple_of(2) { even } else { odd });
                }
                Effect::NoValidator => object = object.no_validator(),
                _ => (),
            }
        }
        let mut headers = Headers::of(&object);
        if effects.iter().any(|effect| matches!(effect, Effect::Gzip)) {
            object = Object::bytes(gzip::encode(&object.whole()));
            headers.set("Content-Encoding", "gzip");
        }
        let whole = 0..object.len();
        let mut sketch = Self {
            status: 200,
            headers,
            object,
            range: whole,
        };
        if sketch.precondition_fails(request, effects) {
            sketch.replace_by(&Effect::status(412));
            return sketch;
        }
        if !effects
            .iter()
            .any(|effect| matches!(effect, Effect::IgnoreRange | Effect::Gzip))
        {
            sketch.headers.set("Accept-Ranges", "bytes");
            sketch.apply_range(request, effects);
        }
        sketch
    }

    fn precondition_fails(&self, request: &Request, effects: &[&Effect]) -> bool {
        let ignored = effects
            .iter()
            .any(|effect| matches!(effect, Effect::IgnoreConditions));
        let Some(wanted) = request.header("if-match").filter(|_| !ignored) else {
            return false;
        };
        let strong = self
            .object
            .etag
            .as_deref()
            .filter(|etag| !etag.starts_with("W/"));
        wanted != "*" && !wanted.split(',').any(|one| Some(one.trim()) == strong)
    }

    fn if_range_holds(&self, request: &Request, effects: &[&Effect]) -> bool {
        let Some(wanted) = request.header("if-range") else {
            return true;
        };
        let mut holds = self.object.last_modified.as_deref() == Some(wanted)
            || (self.object.etag.as_deref() == Some(wanted) && !wanted.starts_with("W/"));
        for effect in effects {
            match effect {
                Effect::IgnoreConditions => holds = true,
                Effect::DistrustIfRange => holds = false,
                _ => (),
            }
        }
        holds
    }

    fn apply_range(&mut self, request: &Request, effects: &[&Effect]) {
        let Some(asked) = request.range() else { return };
        if request.method != "GET" || !self.if_range_holds(request, effects) {
            return;
        }
        let len = self.object.len();
        let Some(mut range) = asked.within(len) else {
            self.replace_by(&Effect::status(416).header("Content-Range", format!("bytes */{len}")));
            return;
        };
        let mut claimed_shift = 0;
        let mut total = len.to_string();
        let mut said = true;
        for effect in effects {
            match effect {
                Effect::AlignStart(block) => range.start -= range.start % (*block).max(1),
                Effect::ShiftRange(by) => {
                    let start = range.start.saturating_add(*by).min(len - 1);
                    range = start..range.end.saturating_add(*by).min(len);
                }
                Effect::ClaimStart(by) => claimed_shift = *by,
                Effect::ShortRange(most) => {
                    range.end = range.end.min(range.start.saturating_add((*most).max(1)));
                }
                Effect::LongRange(by) => range.end = range.end.saturating_add(*by).min(len),
                Effect::WrongTotal(claimed) => total = claimed.to_string(),
                Effect::UnknownTotal => "*".clone_into(&mut total),
                Effect::NoContentRange => said = false,
                _ => (),
            }
        }
        self.status = 206;
        if said {
            let (first, last) = (range.start + claimed_shift, range.end - 1 + claimed_shift);
            self.headers
                .set("Content-Range", &format!("bytes {first}-{last}/{total}"));
        }
        self.range = range;
    }

    fn replace_by(&mut self, answer: &StatusAnswer) {
        self.status = answer.status;
        self.object = Object::bytes(answer.body.clone());
        self.range = 0..self.object.len();
        self.headers = Headers::default();
        self.headers.set("Content-Type", "text/html");
        if let Some(delay) = &answer.retry_after {
            self.headers.set("Retry-After", delay);
        }
        for (name, value) in &answer.headers {
            self.headers.set(name, value);
        }
    }

    fn redirect(&mut self, status: u16, location: &str) {
        self.replace_by(&Effect::status(status).header("Location", location));
    }

    fn finish(mut self, request: &Request, effects: &[&Effect], chance: u64) -> Answer {
        let mut answer = Answer {
            status: self.status,
            head: Vec::new(),
            latency: Duration::ZERO,
            head_pause: None,
            object: self.object,
            range: self.range,
            flips: Vec::new(),
            surplus: 0,
            framing: Framing::Length,
            end: End::Complete,
            close: request.wants_close(),
        };
        for effect in effects {
            answer.apply(effect, chance);
            match effect {
                Effect::Header(name, value) => self.headers.set(name, value),
                Effect::NoHeader(name) => self.headers.remove(name),
                Effect::HeaderFlood(bytes) => self.headers.flood(*bytes),
                _ => (),
            }
        }
        answer.close |= answer.surplus > 0 || answer.framing == Framing::UntilClose;
        answer.frame(&mut self.headers, effects);
        if request.method == "HEAD" || matches!(answer.status, 204 | 304) {
            answer.range = 0..0;
            answer.surplus = 0;
            answer.framing = Framing::Length;
            answer.end = End::Complete;
        }
        answer.head = self.headers.head(answer.status);
        answer
    }
}

impl Answer {
    /// Bytes of the body as it will be sent when nothing cuts it short, without the framing.
    pub(super) fn body_len(&self) -> u64 {
        (self.range.end - self.range.start) + self.surplus
    }

    /// How many body bytes are sent before the [`End`].
    pub(super) fn sent_len(&self) -> u64 {
        match self.end {
            End::Complete => self.body_len(),
            End::Fin(at) | End::Reset(at) | End::Stall(at) => at,
        }
    }

    /// Writes the body bytes from `position` on: the object's, then filler for the surplus.
    pub(super) fn fill(&self, position: u64, out: &mut [u8]) {
        let offset = self.range.start + position;
        let here = self.range.end.saturating_sub(offset).min(out.len() as u64);
        let here = usize::try_from(here).expect("no longer than the slice");
        let (content, surplus) = out.split_at_mut(here);
        self.object.fill(offset, content);
        surplus.fill(b'#');
        for flip in &self.flips {
            let at = flip
                .checked_sub(offset)
                .and_then(|at| usize::try_from(at).ok());
            if let Some(byte) = at.and_then(|at| content.get_mut(at)) {
                *byte = !*byte;
            }
        }
    }

    fn apply(&mut self, effect: &Effect, chance: u64) {
        let longest = self.body_len();
        let at = |end: fn(u64) -> End, position: u64| {
            if position <= longest {
                end(position)
            } else {
                End::Complete
            }
        };
        match effect {
            Effect::Latency(latency) => self.latency = *latency,
            Effect::SlowHead(pause) => self.head_pause = Some(*pause),
            Effect::Surplus(bytes) => self.surplus = *bytes,
            Effect::Flip(offset) => self.flips.push(*offset),
            Effect::CloseDelimited => self.framing = Framing::UntilClose,
            Effect::Chunked(size) => self.framing = Framing::Chunked((*size).max(1)),
            Effect::Close => self.close = true,
            Effect::TruncateAfter(bytes) => self.end = at(End::Fin, *bytes),
            Effect::ResetAfter(bytes) => self.end = at(End::Reset, *bytes),
            Effect::StallAfter(bytes) => self.end = at(End::Stall, *bytes),
            Effect::ResetWithin(range) => {
                let width = range.end.saturating_sub(range.start).max(1);
                self.end = at(End::Reset, range.start + chance % width);
            }
            _ => (),
        }
    }

    fn frame(&self, headers: &mut Headers, effects: &[&Effect]) {
        let own = |name: &str| {
            effects.iter().any(|effect| match effect {
                Effect::Header(key, _) => key.eq_ignore_ascii_case(name),
                Effect::NoHeader(key) => key.eq_ignore_ascii_case(name),
                _ => false,
            })
        };
        if self.close {
            headers.set("Connection", "close");
        }
        match self.framing {
            Framing::Length if own("Content-Length") => (),
            Framing::Length => headers.set(
                "Content-Length",
                &(self.range.end - self.range.start).to_string(),
            ),
            Framing::Chunked(_) => headers.set("Transfer-Encoding", "chunked"),
            Framing::UntilClose => (),
        }
    }
}
