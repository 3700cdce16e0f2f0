//! When new credentials are asked for, by whom, and how often in vain; all connections of a download share them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytehaul_transport::{SafeUrl, Url};
use http::StatusCode;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::error::DownloadError;
use crate::refresh::{Refresh, RefreshReason, RefreshRequest, Refreshed};
use crate::session::given::Given;

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
        let Some(refresher) = self.refresher.as_ref().filter(|_| is_refusal(status)) else {
            return Ok(Then::TakeIt);
        };
        let flight = {
            let mut state = self.state();
            match state.about(by.generation, status, Instant::now()) {
                About::Old => return Ok(Then::AskAgain),
                About::Final => return Ok(Then::TakeIt),
                About::Expired => state.take_off(refresher, RefreshReason::Status(status)),
            }
        };
        flight.landed().await;
        match self.land(&flight) {
            Some(Err(error)) => Err(error),
            Some(Ok(())) | None => Ok(Then::AskAgain),
        }
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
        let refresher = self.refresher.as_ref()?;
        let mut state = self.state();
        let expiry = state.expiry.filter(|expiry| expiry.ask_at <= now)?;
        if state.flight.is_none() && state.fruitless >= MOST_FRUITLESS {
            return None;
        }
        let flight = state.take_off(refresher, RefreshReason::Expiring);
        Some((flight, expiry.at <= now))
    }

    /// Takes over what a refresher has given; the first one who sees it does. `None`: there is nothing to take over.
    fn land(&self, flight: &Arc<Flight>) -> Option<Result<(), DownloadError>> {
        let result = flight.result()?;
        let mut state = self.state();
        let ours = state.flight.take_if(|ours| Arc::ptr_eq(ours, flight));
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
        if landed.is_err() {
            // The server will say when it is over.
            state.expiry = None;
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
        bytehaul_log::debug!(url = %given.safe_url(), "new credentials");
        self.current = Current {
            generation: self.current.generation + 1,
            given: Arc::new(given),
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
}

/// One call of the refresher, in a task of its own, so that a connection that is given up does not lose its result.
#[derive(Debug)]
struct Flight {
    result: watch::Receiver<Option<Result<Refreshed, Failure>>>,
    task: AbortHandle,
}

type Failure = Arc<dyn std::error::Error + Send + Sync>;

impl Flight {
    fn start(refresher: Arc<dyn Refresh>, request: RefreshRequest, wait: Duration) -> Self {
        let (sender, result) = watch::channel(None);
        let task = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let refreshed = refresher.refresh(request).await;
            sender.send_replace(Some(refreshed.map_err(Failure::from)));
        });
        Self {
            result,
            task: task.abort_handle(),
        }
    }

    /// Resolves when there is a result, or nobody left to give one.
    async fn landed(&self) {
        let _ = self.result.clone().wait_for(Option::is_some).await;
    }

    fn result(&self) -> Option<Result<Refreshed, Failure>> {
        let result = self.result.borrow().clone();
        match result {
            None if self.result.has_changed().is_err() => Some(Err(Arc::new(Panicked))),
            result => result,
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the refresher panicked")]
struct Panicked;

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
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use http::HeaderMap;
    use http::header::AUTHORIZATION;

    use super::*;
    use crate::auth::Auth;
    use crate::refresh::{RefreshError, refresh_fn};

    const STATUS: StatusCode = StatusCode::UNAUTHORIZED;

    /// A refresher that takes a second for each token, and how often it was asked.
    fn renewal(
        expires_at: Option<SystemTime>,
        answer: fn(u32) -> Result<Refreshed, RefreshError>,
    ) -> (Arc<Renewal>, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let refresher = refresh_fn(move |_| {
            let n = count.fetch_add(1, SeqCst) + 1;
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                answer(n)
            }
        });
        let url = Url::parse("http://h/").unwrap();
        let given = Given::new(url, HeaderMap::new(), None, Arc::default());
        let renewal = Renewal::new(given, Some(Arc::new(refresher)), expires_at);
        (Arc::new(renewal), asked)
    }

    fn token(n: u32) -> Result<Refreshed, RefreshError> {
        Ok(Refreshed::new().auth(Auth::bearer(n.to_string())))
    }

    /// The number of the token that is sent.
    fn sent(current: &Current) -> Option<String> {
        let fields = current.given.fields(current.given.url());
        let value = fields.get(AUTHORIZATION)?.to_str().unwrap();
        Some(value.trim_start_matches("Bearer ").to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_together_waits_for_one_answer() {
        let (renewal, asked) = renewal(None, token);
        let current = renewal.current().await;
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let (renewal, current) = (Arc::clone(&renewal), current.clone());
                tokio::spawn(async move { renewal.refused(&current, STATUS).await })
            })
            .collect();
        for waits in waiting {
            assert_eq!(waits.await.unwrap().unwrap(), Then::AskAgain);
        }
        // Who comes late with the old token has nothing to wait for.
        let late = renewal.refused(&current, STATUS).await.unwrap();
        assert_eq!((late, asked.load(SeqCst)), (Then::AskAgain, 1));
        assert_eq!(sent(&renewal.current().await).as_deref(), Some("1"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_loses_nothing() {
        let (renewal, asked) = renewal(None, token);
        let current = renewal.current().await;
        let soon = Duration::from_millis(500);
        let given_up = tokio::time::timeout(soon, renewal.refused(&current, STATUS)).await;
        assert!(given_up.is_err());
        renewal.refused(&current, STATUS).await.unwrap();
        assert_eq!(asked.load(SeqCst), 1);
        assert_eq!(sent(&renewal.current().await).as_deref(), Some("1"));
    }

    #[tokio::test(start_paused = true)]
    async fn in_vain_only_so_often_until_something_is_taken() {
        let (renewal, asked) = renewal(None, token);
        for round in 1..=2 {
            for _ in 0..MOST_FRUITLESS {
                let current = renewal.current().await;
                let then = renewal.refused(&current, STATUS).await.unwrap();
                assert_eq!(then, Then::AskAgain);
            }
            let current = renewal.current().await;
            assert_eq!(
                renewal.refused(&current, STATUS).await.unwrap(),
                Then::TakeIt
            );
            assert_eq!(asked.load(SeqCst), MOST_FRUITLESS * round);
            renewal.accepted(&current);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn other_answers_are_none_of_its_business() {
        let (renewal, asked) = renewal(None, token);
        let current = renewal.current().await;
        for status in [400, 402, 404, 407, 429, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                renewal.refused(&current, status).await.unwrap(),
                Then::TakeIt
            );
        }
        assert_eq!(asked.load(SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fresh_token_that_others_get_in_with_is_not_the_trouble() {
        let (renewal, asked) = renewal(None, token);
        let first = renewal.current().await;
        renewal
            .refused(&first, StatusCode::FORBIDDEN)
            .await
            .unwrap();
        let current = renewal.current().await;
        renewal.accepted(&current);
        let then = renewal.refused(&current, StatusCode::FORBIDDEN).await;
        assert_eq!(then.unwrap(), Then::TakeIt);
        let then = renewal.refused(&current, STATUS).await;
        assert_eq!((then.unwrap(), asked.load(SeqCst)), (Then::AskAgain, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_about_to_expire_holds_nobody_up() {
        let soon = SystemTime::now() + AHEAD / 2;
        let (renewal, asked) = renewal(Some(soon), token);
        renewal.state().expiry.as_mut().unwrap().ask_at = SystemTime::now();
        for _ in 0..3 {
            assert_eq!(
                sent(&renewal.current().await),
                None,
                "the old one is still good"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(sent(&renewal.current().await).as_deref(), Some("1"));
        assert_eq!(asked.load(SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_an_error() {
        let (renewal, _) = renewal(None, |_| panic!("a bug"));
        let current = renewal.current().await;
        let error = renewal.refused(&current, STATUS).await.unwrap_err();
        assert!(matches!(error, DownloadError::Refresh { .. }), "{error:?}");
    }

    #[test]
    fn short_lives_are_renewed_at_half_time() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let check = |life: u64, expected: u64| {
            let expiry = Expiry::of(now + Duration::from_secs(life), now);
            assert_eq!(expiry.ask_at, now + Duration::from_secs(expected), "{life}");
        };
        check(3600, 3570);
        check(60, 30);
        check(40, 20);
        check(0, 0);
        assert_eq!(Expiry::of(now - AHEAD, now).ask_at, now);
    }
}
