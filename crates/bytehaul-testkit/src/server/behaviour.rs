//! The vocabulary of misbehaviour: which requests are hit, and by what.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use super::Object;

/// An ordered list of effects, each with the requests that it hits. Where two speak of the same thing, the later wins.
///
/// ```
/// use std::time::Duration;
/// use bytehaul_testkit::{Behaviour, Effect, When};
///
/// // 4 MiB/s per connection, one connection in four stalls after 1 MiB, the third request draws a 503.
/// let behaviour = Behaviour::new()
///     .always(Effect::Rate(4 << 20))
///     .when(When::Connections { every: 4, index: 3 }, Effect::StallAfter(1 << 20))
///     .when(When::Requests(2..3), Effect::status(503).retry_after(Duration::from_secs(1)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    rules: Vec<(When, Effect)>,
    pub(super) total_rate: Option<u64>,
}

impl Behaviour {
    /// A server that does everything right, as fast as it can.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an effect on every request.
    #[must_use]
    pub fn always(self, effect: impl Into<Effect>) -> Self {
        self.when(When::Always, effect)
    }

    /// Adds an effect on the requests that `when` describes.
    #[must_use]
    pub fn when(mut self, when: When, effect: impl Into<Effect>) -> Self {
        self.rules.push((when, effect.into()));
        self
    }

    /// Body bytes a second on each connection; the same as [`Effect::Rate`] always.
    #[must_use]
    pub fn rate(self, bytes_per_second: u64) -> Self {
        self.always(Effect::Rate(bytes_per_second))
    }

    /// Body bytes a second over all connections that fetch this object.
    #[must_use]
    pub fn total_rate(mut self, bytes_per_second: u64) -> Self {
        self.total_rate = Some(bytes_per_second);
        self
    }

    /// Time between the request and the first byte of its answer.
    #[must_use]
    pub fn latency(self, latency: Duration) -> Self {
        self.always(Effect::Latency(latency))
    }

    pub(super) fn effects<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = &'a Effect> {
        self.rules
            .iter()
            .filter(|(when, _)| when.holds(facts))
            .map(|(_, effect)| effect)
    }
}

/// Which requests an effect hits. All counts start at zero.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum When {
    /// Every request.
    Always,
    /// Requests for this object by their number, in the order in which their heads arrived.
    Requests(Range<u64>),
    /// The request of this number and all after it.
    From(u64),
    /// One request in `every`, by number.
    EveryRequest {
        /// Length of the cycle.
        every: u64,
        /// Position in the cycle that is hit.
        index: u64,
    },
    /// One connection in `every`, by the server-wide connection number.
    Connections {
        /// Length of the cycle.
        every: u64,
        /// Position in the cycle that is hit.
        index: u64,
    },
    /// Requests that find this many others for the same object still being answered.
    Above(usize),
    /// Requests of one method.
    Method(&'static str),
    /// Requests with a `Range` that starts at this offset or behind it.
    StartsFrom(u64),
    /// Requests with a `Range` header.
    Ranged,
    /// Requests without a `Range` header.
    Unranged,
    /// By chance, in thousandths, from the server's seed.
    Chance(u16),
    /// Both.
    Both(Box<(When, When)>),
}

impl When {
    /// Both conditions at once.
    #[must_use]
    pub fn and(self, other: When) -> Self {
        When::Both(Box::new((self, other)))
    }

    fn holds(&self, facts: &Facts) -> bool {
        match self {
            When::Always => true,
            When::Requests(numbers) => numbers.contains(&facts.number),
            When::From(first) => facts.number >= *first,
            When::EveryRequest { every, index } => facts.number % every == *index,
            When::Connections { every, index } => facts.connection % every == *index,
            When::Above(others) => facts.others >= *others,
            When::Method(method) => facts.method == *method,
            When::StartsFrom(offset) => facts.range_start.is_some_and(|start| start >= *offset),
            When::Ranged => facts.range_start.is_some(),
            When::Unranged => facts.range_start.is_none(),
            When::Chance(thousandths) => facts.chance % 1000 < u64::from(*thousandths),
            When::Both(both) => both.0.holds(facts) && both.1.holds(facts),
        }
    }
}

/// One way of misbehaving.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Effect {
    /// Body bytes a second on this connection.
    Rate(u64),
    /// Time before the first byte of the answer.
    Latency(Duration),
    /// Sends the head one byte at a time with this pause between two.
    SlowHead(Duration),
    /// Takes the request and never answers.
    Hang,
    /// Answers with a status of its own instead of the object.
    Status(StatusAnswer),
    /// Redirects to this `Location`, written as it is, with this status.
    Redirect(u16, String),
    /// Sends these bytes instead of an HTTP answer and closes.
    Raw(Vec<u8>),
    /// Serves another object under the same name: a new version.
    Serve(Box<Object>),
    /// Adds a header to the answer, replacing one of the same name.
    Header(String, String),
    /// Removes a header from the answer.
    NoHeader(&'static str),
    /// Adds filler headers of about this many bytes in all.
    HeaderFlood(usize),
    /// Sends this `ETag` whatever the object has.
    Etag(String),
    /// Sends these two `ETag`s in turn for the same bytes, by request number.
    AlternateEtags(String, String),
    /// Sends neither `ETag` nor `Last-Modified`.
    NoValidator,
    /// Answers 200 with the whole object to every `Range`, without `Accept-Ranges`.
    IgnoreRange,
    /// Ignores `If-Range`, `If-Match` and their like.
    IgnoreConditions,
    /// Answers every `If-Range` with 200 and the whole object, though the validator is the same.
    DistrustIfRange,
    /// Starts the range earlier, at a multiple of this block, and says so in `Content-Range`.
    AlignStart(u64),
    /// Sends other bytes than asked for, this much further on, and says so in `Content-Range`.
    ShiftRange(u64),
    /// Claims a `Content-Range` start that is this much further on, while the bytes are the ones asked for.
    ClaimStart(u64),
    /// Answers at most this many bytes of a range, and says so in `Content-Range`.
    ShortRange(u64),
    /// Runs on past the end of the asked range by this many bytes, and says so in `Content-Range`.
    LongRange(u64),
    /// Claims this total in `Content-Range`.
    WrongTotal(u64),
    /// Says `*` for the total in `Content-Range`.
    UnknownTotal,
    /// Sends a 206 without any `Content-Range`.
    NoContentRange,
    /// Sends this many bytes more than `Content-Length` says.
    Surplus(u64),
    /// Ends the connection in good order after this many body bytes, whatever was announced.
    TruncateAfter(u64),
    /// Resets the connection after this many body bytes.
    ResetAfter(u64),
    /// Resets the connection after a number of body bytes taken from this range by the server's seed.
    ResetWithin(Range<u64>),
    /// Sends nothing more after this many body bytes, and keeps the connection open.
    StallAfter(u64),
    /// Inverts the byte at this offset of the object.
    Flip(u64),
    /// Frames the body by closing the connection.
    CloseDelimited,
    /// Frames the body in chunks of this many bytes at most.
    Chunked(u64),
    /// Sends the whole object gzip-encoded, without regard to ranges.
    Gzip,
    /// Closes the connection after the answer, and says so.
    Close,
}

impl Effect {
    /// A status answer with a short HTML page, such as 403, 404, 429 or 503.
    #[must_use]
    pub fn status(status: u16) -> StatusAnswer {
        StatusAnswer {
            status,
            retry_after: None,
            body: format!("<html><body><h1>{status}</h1></body></html>\n").into_bytes(),
            headers: Vec::new(),
        }
    }

    /// A 302 redirect.
    #[must_use]
    pub fn redirect(location: impl Into<String>) -> Self {
        Effect::Redirect(302, location.into())
    }
}

/// An answer that is not the object: see [`Effect::status`].
#[derive(Clone, Debug)]
pub struct StatusAnswer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) headers: Vec<(String, String)>,
}

impl StatusAnswer {
    /// Adds `Retry-After` in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay.as_millis().div_ceil(1000).to_string());
        self
    }

    /// Adds `Retry-After` as an HTTP date.
    #[must_use]
    pub fn retry_at(mut self, at: SystemTime) -> Self {
        self.retry_after = Some(httpdate::fmt_http_date(at));
        self
    }

    /// Adds `Retry-After` as it is written on the wire.
    #[must_use]
    pub fn retry_after_raw(mut self, value: impl Into<String>) -> Self {
        self.retry_after = Some(value.into());
        self
    }

    /// Replaces the HTML page.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl From<StatusAnswer> for Effect {
    fn from(answer: StatusAnswer) -> Self {
        Effect::Status(answer)
    }
}

/// What is known of a request when its effects are chosen.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) number: u64,
    pub(super) connection: u64,
    pub(super) others: usize,
    pub(super) method: String,
    pub(super) range_start: Option<u64>,
    pub(super) chance: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        let facts = Facts {
            number: 5,
            connection: 6,
            others: 2,
            method: "GET".to_owned(),
            range_start: Some(100),
            chance: 250,
        };
        let check = |when: When, hit: bool| assert_eq!(when.holds(&facts), hit, "{when:?}");
        check(When::Always, true);
        check(When::Requests(5..6), true);
        check(When::Requests(0..5), false);
        check(When::From(5), true);
        check(When::From(6), false);
        check(When::EveryRequest { every: 5, index: 0 }, true);
        check(When::EveryRequest { every: 5, index: 1 }, false);
        check(When::Connections { every: 4, index: 2 }, true);
        check(When::Connections { every: 4, index: 0 }, false);
        check(When::Above(2), true);
        check(When::Above(3), false);
        check(When::Method("GET"), true);
        check(When::Method("HEAD"), false);
        check(When::StartsFrom(100), true);
        check(When::StartsFrom(101), false);
        check(When::Ranged, true);
        check(When::Unranged, false);
        check(When::Chance(251), true);
        check(When::Chance(250), false);
        check(When::From(5).and(When::Above(3)), false);
        check(When::From(5).and(When::Above(2)), true);
    }
}
