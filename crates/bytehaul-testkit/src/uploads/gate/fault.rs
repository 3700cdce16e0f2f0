//! What can go wrong with a request on its way, for which requests, and how often.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::wire::Head;

/// One trouble, as a value: made by what it does, narrowed down by what it fits.
///
/// By default it happens once, to the first request that fits.
///
/// ```
/// use bytehaul_testkit::uploads::Fault;
///
/// let busy = Fault::refuse(503).header("Retry-After", "1").on("PATCH").times(2);
/// let lost = Fault::lose_answer().on("POST").at("uploads").after(1);
/// # let _ = (busy, lost);
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    kind: Kind,
    method: Option<String>,
    target: String,
    length: RangeInclusive<u64>,
    skip: u64,
    times: u64,
}

impl Fault {
    /// The request is answered with this status when all of it has arrived; the server never sees it.
    #[must_use]
    pub fn refuse(status: u16) -> Self {
        Self::new(Kind::Refuse(Reply::new(status, "told to fail\n")))
    }

    /// The server gets the request, but its answer is replaced by this one.
    #[must_use]
    pub fn replace(status: u16, body: &str) -> Self {
        Self::new(Kind::Replace(Reply::new(status, body)))
    }

    /// After so many bytes of the body both connections are closed; an earlier end of the body is one too.
    #[must_use]
    pub fn cut(bytes: u64) -> Self {
        Self::new(Kind::Cut(bytes))
    }

    /// The connection is closed as soon as the head has arrived; the server never sees it.
    #[must_use]
    pub fn drop_request() -> Self {
        Self::new(Kind::Drop)
    }

    /// The server does what it was asked to, then the connection is closed in place of its answer.
    #[must_use]
    pub fn lose_answer() -> Self {
        Self::new(Kind::Lose)
    }

    /// The server does what it was asked to, but nothing is heard of it; the connection stays open.
    #[must_use]
    pub fn hang() -> Self {
        Self::new(Kind::Hang)
    }

    /// The first byte of the answer's body arrives as another one.
    #[must_use]
    pub fn corrupt_answer() -> Self {
        Self::new(Kind::Corrupt)
    }

    /// The request is passed on only after this time.
    #[must_use]
    pub fn delay(time: Duration) -> Self {
        Self::new(Kind::Delay(time))
    }

    /// The body is passed on at this rate, in bytes a second.
    #[must_use]
    pub fn slow(bytes_per_second: u64) -> Self {
        Self::new(Kind::Slow(bytes_per_second))
    }

    /// Only for requests of this method.
    #[must_use]
    pub fn on(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only for requests whose target (path and query) has this in it.
    #[must_use]
    pub fn at(mut self, part: &str) -> Self {
        part.clone_into(&mut self.target);
        self
    }

    /// Only for requests whose `Content-Length` is among these; one without it counts as 0.
    #[must_use]
    pub fn of_length(mut self, bytes: RangeInclusive<u64>) -> Self {
        self.length = bytes;
        self
    }

    /// Spares the first so many requests that fit. Default 0.
    #[must_use]
    pub fn after(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// How often it happens. Default 1.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times = count;
        self
    }

    /// It happens every time.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    /// A header of the answer that [`Fault::refuse`] and [`Fault::replace`] give. Others have none to put it in.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Kind::Refuse(reply) | Kind::Replace(reply) = &mut self.kind {
            reply.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            method: None,
            target: String::new(),
            length: 0..=u64::MAX,
            skip: 0,
            times: 1,
        }
    }

    fn fits(&self, head: &Head) -> bool {
        let method = self.method.as_deref();
        method.is_none_or(|method| method == head.method)
            && head.target.contains(&self.target)
            && self.length.contains(&head.length())
    }
}

/// A fault with what is left of it.
#[derive(Debug)]
pub(super) struct Armed {
    fault: Fault,
}

impl Armed {
    pub(super) fn new(fault: Fault) -> Self {
        Self { fault }
    }

    /// Whether it strikes this request, which counts as one that fitted.
    fn strikes(&mut self, head: &Head) -> bool {
        if !self.fault.fits(head) || self.fault.times == 0 {
            return false;
        }
        if self.fault.skip > 0 {
            self.fault.skip -= 1;
            return false;
        }
        if self.fault.times != u64::MAX {
            self.fault.times -= 1;
        }
        true
    }
}

/// All that happens to one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    pub(super) delay: Duration,
    pub(super) rate: Option<u64>,
    pub(super) kind: Option<Kind>,
}

impl Trouble {
    pub(super) fn of(faults: &mut [Armed], head: &Head) -> Self {
        let mut trouble = Self::default();
        for armed in faults {
            let counts_besides = matches!(armed.fault.kind, Kind::Delay(_) | Kind::Slow(_));
            if !(counts_besides || trouble.kind.is_none()) || !armed.strikes(head) {
                continue;
            }
            match armed.fault.kind.clone() {
                Kind::Delay(time) => trouble.delay += time,
                Kind::Slow(rate) => trouble.rate = Some(rate),
                kind => trouble.kind = Some(kind),
            }
        }
        trouble
    }

    pub(super) fn name(&self) -> Option<&'static str> {
        Some(match self.kind.as_ref()? {
            Kind::Refuse(_) => "refused",
            Kind::Replace(_) => "replaced",
            Kind::Cut(_) => "cut",
            Kind::Drop => "dropped",
            Kind::Lose => "lost",
            Kind::Hang => "hung",
            Kind::Corrupt => "corrupted",
            Kind::Delay(_) => "delayed",
            Kind::Slow(_) => "slowed",
        })
    }
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Refuse(Reply),
    Replace(Reply),
    Cut(u64),
    Drop,
    Lose,
    Hang,
    Corrupt,
    Delay(Duration),
    Slow(u64),
}

/// An answer of the gate's own.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Reply {
    fn new(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }

    /// As it goes over the wire; to a HEAD without the body.
    pub(super) fn bytes(&self, method: &str) -> Vec<u8> {
        let mut text = format!(
            "HTTP/1.1 {} Told\r\nContent-Length: {}\r\n",
            self.status,
            self.body.len()
        );
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        if method != "HEAD" {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fits_counts_and_delays_count_besides() {
        let mut faults: Vec<_> = [
            Fault::delay(Duration::from_millis(2)).always(),
            Fault::refuse(503).on("PATCH").after(1).times(2),
            Fault::lose_answer().at("/b"),
        ]
        .map(Armed::new)
        .into();
        let mut check = |line: &str, expected: Option<&str>| {
            let head = Head::parse(format!("{line} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
            let trouble = Trouble::of(&mut faults, &head);
            assert_eq!(trouble.name(), expected, "{line}");
            assert_eq!(trouble.delay, Duration::from_millis(2));
        };
        check("PATCH /a", None);
        check("POST /a", None);
        check("PATCH /b", Some("refused"));
        check("PATCH /b", Some("refused"));
        check("PATCH /b", Some("lost"));
        check("PATCH /b", None);
    }
}
