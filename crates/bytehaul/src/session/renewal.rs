//! When new credentials are asked for, by whom, and how often in vain; all connections of a download share them.

mod flight;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytehaul_providers::{Answer as ProtocolAnswer, DownloadProtocol};
use bytehaul_transport::{SafeUrl, Url};
use http::StatusCode;

use crate::error::DownloadError;
use crate::refresh::{OfProtocol, Refresh, RefreshReason, RefreshRequest, Refreshed};
use crate::session::given::Given;
use crate::session::renewal::flight::{Failure, Flight};

/// The present URL and credentials, and the way to newer ones.
#[derive(Debug)]
pub(crate) struct Renewal {
    refresher: Option<Arc<dyn Refresh>>,
    state: Mutex<State>,
}

/// What a request is made with.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    /// How many times it has been renewed.
    generation: u64,
    pub(crate) given: Arc<Given>,
    /// What makes URL and fields of each request, where that is not the URL alone.
    pub(crate) protocol: Option<Arc<dyn DownloadProtocol>>,
    /// Where redirects from its URL lead.
    pub(crate) learned: Option<Url>,
}

/// What to do about a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// Ask again: there is something newer than what was refused.
    AskAgain,
    /// Take it for the answer.
    TakeIt,
}

impl Renewal {
    pub(crate) fn new(
        given: Given,
        refresher: Option<Arc<dyn Refresh>>,
        expires_at: Option<SystemTime>,
    ) -> Self {
        let state = State {
            current: Current {
                generation: 0,
                given: Arc::new(given),
                protocol: None,
                learned: None,
            },
            since: Instant::now(),
            expiry: expires_at.map(|at| Expiry::of(at, SystemTime::now())),
            standing: Standing::New,
            fruitless: 0,
            flight: None,
        };
        Self {
            refresher,
            state: Mutex::new(state),
        }
    }

    /// The same for requests that a protocol makes. It says when they expire, if nothing else does.
    pub(crate) fn of_protocol(mut self, protocol: Arc<dyn DownloadProtocol>) -> Self {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        let expires_at = protocol.expires_at();
        state.expiry = state.expiry.or(expires_at.map(|at| Expiry::of(at, now)));
        state.current.protocol = Some(protocol);
        self
    }

    /// What to make the next request with. What is about to expire is renewed beside the transfer; only what has
    /// expired already is waited for.
    pub(crate) async fn current(&self) -> Current {
        let now = SystemTime::now();
        if let Some((flight, expired)) = self.ahead(now) {
            if expired {
                flight.landed().await;
            }
            if let Some(Err(error)) = self.land(&flight) {
                bytehaul_log::warn!(%error, "what is about to expire could not be renewed");
            }
        }
        self.state().current.clone()
    }

    /// The server has taken what the request was made with.
    pub(crate) fn accepted(&self, by: &Current) {
        let mut state = self.state();
        if state.current.generation == by.generation {
            state.standing = Standing::Accepted;
            state.fruitless = 0;
        }
    }

    /// The server has refused what the request was made with: renews it, or waits until another connection has.
    pub(crate) async fn refused(
        &self,
        by: &Current,
        status: StatusCode,
    ) -> Result<Then, DownloadError> {
        match is_refusal(status) {
            true => self.denied(by, status).await,
            false => Ok(Then::TakeIt),
        }
    }

    /// The same, where it is known that the answer is a refusal, whatever its status.
    pub(crate) async fn denied(
        &self,
        by: &Current,
        status: StatusCode,
    ) -> Result<Then, DownloadError> {
        let flight = {
            let mut state = self.state();
            let refresher = state.refresher(self.refresher.as_ref());
            let Some(refresher) = refresher else {
                return Ok(Then::TakeIt);
            };
            match state.about(by.generation, status, Instant::now()) {
                About::Old => return Ok(Then::AskAgain),
                About::Final => return Ok(Then::TakeIt),
                About::Expired => state.take_off(&refresher, RefreshReason::Status(status)),
            }
        };
        flight.landed().await;
        match self.land(&flight) {
            Some(Err(error)) => Err(error),
            Some(Ok(())) | None => Ok(Then::AskAgain),
        }
    }

    /// The answer is not the file: whether the protocol knows where else to ask, as from then on all connections do.
    pub(crate) fn elsewhere(&self, by: &Current, answer: &ProtocolAnswer<'_>) -> Then {
        let protocol = by.protocol.as_ref();
        let Some(there) = protocol.and_then(|protocol| protocol.elsewhere(answer)) else {
            return Then::TakeIt;
        };
        let mut state = self.state();
        if state.current.generation == by.generation {
            bytehaul_log::debug!(url = %state.current.given.safe_url(), status = %answer.status, "it is elsewhere");
            state.current.generation += 1;
            state.current.protocol = Some(there);
        }
        Then::AskAgain
    }

    /// Where redirects from the URL of a request lead; `None`: no longer known.
    pub(crate) fn learn(&self, by: &Current, learned: Option<Url>) {
        let mut state = self.state();
        if state.current.generation == by.generation {
            state.current.learned = learned;
        }
    }

    /// Where the bytes come from by now.
    pub(crate) fn answered_from(&self) -> SafeUrl {
        let Current { given, learned, .. } = &self.state().current;
        learned
            .as_ref()
            .map_or_else(|| given.safe_url(), SafeUrl::from)
    }

    fn ahead(&self, now: SystemTime) -> Option<(Arc<Flight>, bool)> {
        let mut state = self.state();
        let expiry = state.expiry.filter(|expiry| expiry.ask_at <= now)?;
        let refresher = state.refresher(self.refresher.as_ref())?;
        if state.flight.is_none() && state.fruitless >= MOST_FRUITLESS {
            return None;
        }
        let flight = state.take_off(&refresher, RefreshReason::Expiring);
        Some((flight, expiry.at <= now))
    }

    /// Takes over what a refresher has given; the first one who sees it does. `None`: there is nothing to take over.
    fn land(&self, flight: &Arc<Flight>) -> Option<Result<(), DownloadError>> {
        let result = flight.result()?;
        let mut state = self.state();
        let ours = state.flight.take_if(|ours| Arc::ptr_eq(ours, flight));
        let is_ours = ours.is_some();
        let url = state.current.given.safe_url();
        let failed = |source| DownloadError::Refresh {
            url: url.clone(),
            source,
        };
        let landed = result.and_then(|refreshed| match ours {
            None => Ok(()),
            Some(_) => state
                .renew(&refreshed, Instant::now(), SystemTime::now())
                .map_err(|error| Arc::new(error) as Failure),
        });
        if is_ours && landed.is_err() {
            // Once more when it is over; behind that, the server will say so.
            let expiry = state.expiry.filter(|expiry| expiry.ask_at < expiry.at);
            state.expiry = expiry.map(|Expiry { at, .. }| Expiry { ask_at: at, at });
        }
        Some(landed.map_err(failed))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct State {
    current: Current,
    since: Instant,
    expiry: Option<Expiry>,
    standing: Standing,
    /// Renewals in a row that the server took nothing after.
    fruitless: u32,
    flight: Option<Arc<Flight>>,
}

/// What the server has made of the present credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    New,
    Accepted,
}

/// What a refusal speaks about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum About {
    /// Credentials that have been renewed since.
    Old,
    /// Credentials that are to be renewed.
    Expired,
    /// Something that newer credentials would not help.
    Final,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Expiry {
    ask_at: SystemTime,
    at: SystemTime,
}

impl Expiry {
    /// Asked about half a minute ahead; of what does not live that long, after half of its life.
    fn of(at: SystemTime, now: SystemTime) -> Self {
        let life = at.duration_since(now).unwrap_or_default();
        Self {
            ask_at: now + life.saturating_sub(AHEAD).max(life / 2),
            at,
        }
    }
}

impl State {
    fn about(&self, generation: u64, status: StatusCode, now: Instant) -> About {
        let fresh = generation > 0 && now.duration_since(self.since) < FRESH;
        if generation < self.current.generation {
            About::Old
        } else if self.fruitless >= MOST_FRUITLESS {
            About::Final
        } else if status == StatusCode::FORBIDDEN && self.standing == Standing::Accepted && fresh {
            // New, taken on another connection and refused on this one: there are too many of them.
            About::Final
        } else {
            About::Expired
        }
    }

    /// The protocol where it renews itself, else the caller's refresher.
    fn refresher(&self, given: Option<&Arc<dyn Refresh>>) -> Option<Arc<dyn Refresh>> {
        match &self.current.protocol {
            Some(protocol) if protocol.refresh().is_some() => {
                Some(Arc::new(OfProtocol(Arc::clone(protocol))))
            }
            Some(_) | None => given.cloned(),
        }
    }

    /// The refresher's future under way, or a new one.
    fn take_off(&mut self, refresher: &Arc<dyn Refresh>, reason: RefreshReason) -> Arc<Flight> {
        let (fruitless, url) = (self.fruitless, self.current.given.safe_url());
        let flight = self.flight.get_or_insert_with(|| {
            bytehaul_log::debug!(%url, ?reason, "asking for new credentials");
            let wait = match fruitless {
                0 => Duration::ZERO,
                n => FIRST_WAIT * n,
            };
            Arc::new(Flight::start(
                Arc::clone(refresher),
                RefreshRequest { reason, url },
                wait,
            ))
        });
        Arc::clone(flight)
    }

    fn renew(
        &mut self,
        refreshed: &Refreshed,
        now: Instant,
        clock: SystemTime,
    ) -> Result<(), DownloadError> {
        let given = self.current.given.renewed(refreshed)?;
        let protocol = self.protocol(refreshed)?;
        bytehaul_log::debug!(url = %given.safe_url(), "new credentials");
        self.current = Current {
            generation: self.current.generation + 1,
            given: Arc::new(given),
            protocol,
            learned: None,
        };
        self.since = now;
        // What has expired when it comes is tried: clocks differ.
        let expires_at = refreshed.expires_at.filter(|at| *at > clock);
        self.expiry = expires_at.map(|at| Expiry::of(at, clock));
        self.standing = Standing::New;
        self.fruitless += 1;
        Ok(())
    }

    /// The protocol to go on with, which has to be for a file of the same length.
    fn protocol(
        &self,
        refreshed: &Refreshed,
    ) -> Result<Option<Arc<dyn DownloadProtocol>>, DownloadError> {
        let Some(newer) = &refreshed.protocol else {
            return Ok(self.current.protocol.clone());
        };
        let before = self.current.protocol.as_ref();
        let before = before.and_then(|protocol| protocol.total_size());
        match (before, newer.total_size()) {
            (Some(before), Some(now)) if before != now => {
                let reason = format!("{now} bytes instead of {before}");
                Err(DownloadError::parameter("renewed total size", reason))
            }
            _ => Ok(Some(Arc::clone(newer))),
        }
    }
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 410)
}

/// How long before its end what is about to expire is renewed.
const AHEAD: Duration = Duration::from_secs(30);

/// New credentials are not taken for expired sooner than this.
const FRESH: Duration = Duration::from_secs(1);

/// Renewals in a row without an accepted request before a refusal is final.
const MOST_FRUITLESS: u32 = 3;

/// The wait before the second renewal in a row without an accepted request; each further one is longer by as much.
const FIRST_WAIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
