//! Credentials that sign: kept from sight, given once or asked for, and renewed in time.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::{
    BoxError, BoxFuture, Call, CallError, ExchangeId, Ids, ProtocolError, ProtocolErrorKind,
    Returned, Step,
};

/// A text that signs or opens something. `Debug` does not show it, nothing else prints it, and its memory is overwritten when
/// the last copy is dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// This text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for whoever signs with it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// What a provider's signer signs with.
pub trait Credentials: Clone + fmt::Debug + Send + Sync + 'static {
    /// Until when the server takes them; `None`: until somebody revokes them.
    fn expires_at(&self) -> Option<SystemTime>;
}

/// Gets credentials from wherever they come from: a metadata service, a vault, a back end.
///
/// Every session that has none, and every session whose own are about to expire or were refused, asks by itself: who is
/// slow to answer, or is charged for it, keeps what it gave last. A [`CallError`] that is
/// [transient](CallError::transient) has the session ask again after a wait; any other error is final, unless the present
/// credentials have not expired yet.
///
/// A closure that returns a future is one too.
pub trait ProvideCredentials<C>: Send + Sync {
    /// The credentials to use from now on. Dropped half way when the upload is stopped.
    fn provide(&self) -> BoxFuture<'_, Result<C, BoxError>>;
}

impl<C, F, R> ProvideCredentials<C> for F
where
    F: Fn() -> R + Send + Sync,
    R: Future<Output = Result<C, BoxError>> + Send + 'static,
{
    fn provide(&self) -> BoxFuture<'_, Result<C, BoxError>> {
        Box::pin(self())
    }
}

/// Where credentials come from.
#[derive(Clone)]
pub struct CredentialSource<C>(Origin<C>);

#[derive(Clone)]
enum Origin<C> {
    Fixed(Arc<C>),
    Provider(Arc<dyn ProvideCredentials<C>>),
}

impl<C: Credentials> CredentialSource<C> {
    /// These, for good.
    pub fn fixed(credentials: C) -> Self {
        Self(Origin::Fixed(Arc::new(credentials)))
    }

    /// Whatever this gives: before the first request, a minute before they expire, and once when they are refused.
    pub fn provider(provider: impl ProvideCredentials<C> + 'static) -> Self {
        Self(Origin::Provider(Arc::new(provider)))
    }

    /// Those that are there without asking anybody.
    pub fn given(&self) -> Option<&C> {
        match &self.0 {
            Origin::Fixed(credentials) => Some(credentials),
            Origin::Provider(_) => None,
        }
    }

    /// Asks for them, where they have to be asked for.
    ///
    /// # Errors
    /// What the provider said.
    pub async fn get(&self) -> Result<Arc<C>, BoxError> {
        match &self.0 {
            Origin::Fixed(credentials) => Ok(Arc::clone(credentials)),
            Origin::Provider(provider) => Ok(Arc::new(provider.provide().await?)),
        }
    }

    /// Whether there may be others than those that were refused.
    pub fn can_renew(&self) -> bool {
        matches!(self.0, Origin::Provider(_))
    }
}

impl<C: Credentials> From<C> for CredentialSource<C> {
    fn from(credentials: C) -> Self {
        Self::fixed(credentials)
    }
}

impl<C: fmt::Debug> fmt::Debug for CredentialSource<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Origin::Fixed(credentials) => f.debug_tuple("Fixed").field(credentials).finish(),
            Origin::Provider(_) => f.write_str("Provider(…)"),
        }
    }
}

/// The credentials of one session, and when it asks for newer ones: pure, one call at a time.
///
/// A session asks [`access`](Self::access) before each request and does what it says; gives results of calls to
/// [`returned`](Self::returned) and lost ones to [`lost`](Self::lost), which tell whether they were of theirs; asks
/// [`refused`](Self::refused) about each 401 and 403, and says [`accepted`](Self::accepted) of all else that was taken. `K`
/// names a request in the session, such as a part by its index.
pub(crate) struct Keys<C, K> {
    source: CredentialSource<C>,
    current: Option<Arc<C>>,
    /// How many times they were renewed.
    generation: u64,
    /// When the present ones came.
    since: Option<SystemTime>,
    /// Whether the server has taken anything since then.
    is_accepted: bool,
    /// Whether they could not be renewed ahead of their expiry.
    failed_ahead: bool,
    flight: Flight,
    refusals: HashMap<K, u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flight {
    No,
    /// There are none, or they were refused or have expired.
    Wanted,
    Ahead(ExchangeId),
    Needed(ExchangeId),
}

/// What a session does before a request is signed.
pub(crate) enum Access<C> {
    /// Signs with these; the number is for [`Keys::refused`].
    Ready(Arc<C>, u64),
    /// Gives this to the driver.
    Call(Box<Call>),
    /// Nothing, until the call that is on its way has been reported.
    Wait,
}

/// What a call has given.
struct Provided<C>(Result<C, BoxError>);

impl<C: Credentials, K: Hash + Eq> Keys<C, K> {
    pub(crate) fn new(source: &CredentialSource<C>) -> Self {
        let current = match &source.0 {
            Origin::Fixed(credentials) => Some(Arc::clone(credentials)),
            Origin::Provider(_) => None,
        };
        Self {
            source: source.clone(),
            flight: match current {
                Some(_) => Flight::No,
                None => Flight::Wanted,
            },
            current,
            generation: 0,
            since: None,
            is_accepted: true,
            failed_ahead: false,
            refusals: HashMap::new(),
        }
    }

    pub(crate) fn access(&mut self, ids: &mut Ids, now: SystemTime) -> Access<C> {
        self.look_at_the_clock(now);
        let Origin::Provider(provider) = &self.source.0 else {
            return self.ready();
        };
        let is_due = self.is_due(now);
        let id = match self.flight {
            Flight::Needed(_) => return Access::Wait,
            Flight::Wanted => {
                let id = ids.fresh();
                self.flight = Flight::Needed(id);
                id
            }
            Flight::No if is_due => {
                let id = ids.fresh();
                self.flight = Flight::Ahead(id);
                id
            }
            Flight::No | Flight::Ahead(_) => return self.ready(),
        };
        let provider = Arc::clone(provider);
        Access::Call(Box::new(Call::new(id, Step::Refresh, move |_| {
            Box::pin(async move {
                let provided = match provider.provide().await {
                    Ok(credentials) => Ok(credentials),
                    Err(error) => match error.downcast::<CallError>() {
                        Ok(error) if error.retry => return Err(*error),
                        Ok(error) => Err(error.source),
                        Err(error) => Err(error),
                    },
                };
                let provided: Returned = Box::new(Provided(provided));
                Ok(provided)
            })
        })))
    }

    /// Takes what a call gave; `None`: it was not one of these.
    pub(crate) fn returned(
        &mut self,
        id: ExchangeId,
        value: Returned,
        now: SystemTime,
    ) -> Option<Result<(), ProtocolError>> {
        let was_needed = self.land(id)?;
        Some(match value.downcast::<Provided<C>>().map(|given| given.0) {
            Ok(Ok(credentials)) => {
                self.current = Some(Arc::new(credentials));
                self.generation += 1;
                self.since = Some(now);
                self.is_accepted = false;
                self.failed_ahead = false;
                Ok(())
            }
            Ok(Err(_)) if !was_needed => {
                self.failed_ahead = true;
                Ok(())
            }
            Ok(Err(error)) => Err(no_credentials().with_source(error)),
            Err(_) => Err(no_credentials()),
        })
    }

    /// A call came to nothing, and it is time for another; tells whether it was one of these.
    pub(crate) fn lost(&mut self, id: ExchangeId) -> bool {
        match self.land(id) {
            Some(true) => self.flight = Flight::Wanted,
            Some(false) => self.failed_ahead = true,
            None => return false,
        }
        true
    }

    /// The server has refused this request, which was signed with credentials of this generation: whether it is worth being
    /// signed and sent again, with newer ones.
    pub(crate) fn refused(&mut self, request: K, generation: u64) -> bool {
        if !self.source.can_renew() {
            return false;
        }
        if generation < self.generation {
            return true;
        }
        let refusals = self.refusals.entry(request).or_default();
        *refusals += 1;
        if *refusals > 1 {
            return false;
        }
        self.flight = match self.flight {
            Flight::No | Flight::Wanted => Flight::Wanted,
            Flight::Ahead(id) | Flight::Needed(id) => Flight::Needed(id),
        };
        true
    }

    /// The server has taken this request.
    pub(crate) fn accepted(&mut self, request: &K) {
        self.is_accepted = true;
        self.refusals.remove(request);
    }

    /// Nothing is on its way any more.
    pub(crate) fn forget_flight(&mut self) {
        self.flight = match (self.flight, &self.current) {
            (Flight::Wanted | Flight::Needed(_), _) | (_, None) => Flight::Wanted,
            (Flight::No | Flight::Ahead(_), Some(_)) => Flight::No,
        };
    }

    fn ready(&self) -> Access<C> {
        match &self.current {
            Some(credentials) => Access::Ready(Arc::clone(credentials), self.generation),
            None => Access::Wait,
        }
    }

    /// Ends the flight of this id; tells whether it was waited for.
    fn land(&mut self, id: ExchangeId) -> Option<bool> {
        let was_needed = match self.flight {
            Flight::Ahead(ours) if ours == id => false,
            Flight::Needed(ours) if ours == id => true,
            _ => return None,
        };
        self.flight = Flight::No;
        Some(was_needed)
    }

    /// What has expired is waited for, what is on its way already too.
    fn look_at_the_clock(&mut self, now: SystemTime) {
        if self.can_expire() && self.left(now).is_some_and(|left| left.is_zero()) {
            self.flight = match self.flight {
                Flight::No | Flight::Wanted => Flight::Wanted,
                Flight::Ahead(id) | Flight::Needed(id) => Flight::Needed(id),
            };
        }
    }

    fn is_due(&self, now: SystemTime) -> bool {
        if !self.can_expire() || self.failed_ahead {
            return false;
        }
        // Of those that do not live long, half of their life is used.
        let life = self.since.and_then(|since| self.left(since));
        let ahead = life.map_or(AHEAD, |life| AHEAD.min(life / 2));
        self.left(now).is_some_and(|left| left <= ahead)
    }

    /// Each renewal has to bring something on, or it would be asked for for ever; and what had expired when it came is
    /// tried, because clocks differ.
    fn can_expire(&self) -> bool {
        let came_fresh = || {
            let life = self.since.and_then(|since| self.left(since));
            life.is_none_or(|life| !life.is_zero())
        };
        self.source.can_renew() && self.is_accepted && came_fresh()
    }

    fn left(&self, now: SystemTime) -> Option<Duration> {
        let at = self.current.as_ref()?.expires_at()?;
        Some(at.duration_since(now).unwrap_or_default())
    }
}

fn no_credentials() -> ProtocolError {
    ProtocolError::new(
        ProtocolErrorKind::Refresh,
        "credentials could not be had from their provider",
    )
}

/// How long before they expire credentials are renewed.
const AHEAD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::UNIX_EPOCH;

    use super::*;

    #[derive(Clone, Debug)]
    struct Key {
        name: u64,
        expires_at: Option<u64>,
    }

    impl Credentials for Key {
        fn expires_at(&self) -> Option<SystemTime> {
            self.expires_at.map(at)
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A provider whose keys of life `life` are named by the time at which they are given.
    struct Vault {
        keys: Keys<Key, u32>,
        ids: Ids,
        calls: Vec<Call>,
    }

    impl Vault {
        fn new(source: &CredentialSource<Key>) -> Self {
            Self {
                keys: Keys::new(source),
                ids: Ids::default(),
                calls: Vec::new(),
            }
        }

        /// `ready NAME`, `call` or `wait`.
        fn access(&mut self, now: u64) -> String {
            match self.keys.access(&mut self.ids, at(now)) {
                Access::Ready(key, _) => format!("ready {}", key.name),
                Access::Call(call) => {
                    self.calls.push(*call);
                    "call".to_owned()
                }
                Access::Wait => "wait".to_owned(),
            }
        }

        fn give(&mut self, now: u64, key: Result<Key, &str>) -> Option<Result<(), ProtocolError>> {
            let id = self.calls.pop().expect("something was called").id;
            let value = Provided(key.map_err(Into::into));
            self.keys.returned(id, Box::new(value), at(now))
        }

        #[track_caller]
        fn check(&mut self, now: u64, expected: &str) {
            assert_eq!(self.access(now), expected, "at {now}");
        }
    }

    fn key(name: u64, expires_at: u64) -> Result<Key, &'static str> {
        Ok(Key {
            name,
            expires_at: Some(expires_at),
        })
    }

    fn vault() -> Vault {
        let provider = || std::future::ready(Err::<Key, BoxError>("never run".into()));
        Vault::new(&CredentialSource::provider(provider))
    }

    #[test]
    fn fixed_ones_are_used_for_good() {
        let mut vault = Vault::new(&key(7, 10).unwrap().into());
        vault.check(0, "ready 7");
        vault.check(1000, "ready 7");
        assert!(!vault.keys.refused(1, 0));
    }

    #[test]
    fn they_are_asked_for_once_and_renewed_ahead() {
        let mut vault = vault();
        vault.check(0, "call");
        vault.check(0, "wait");
        vault.give(0, key(1, 1000)).unwrap().unwrap();
        vault.check(0, "ready 1");
        vault.keys.accepted(&1);
        vault.check(939, "ready 1");
        vault.check(940, "call");
        vault.check(999, "ready 1");
        vault.check(1000, "wait");
        vault.give(1001, key(2, 2000)).unwrap().unwrap();
        vault.check(1001, "ready 2");
        // It brought nothing on yet.
        vault.check(1990, "ready 2");
        vault.check(2001, "ready 2");
        vault.keys.accepted(&1);
        vault.check(2001, "call");
    }

    #[test]
    fn what_fails_ahead_is_asked_for_again_when_it_is_needed() {
        let mut vault = vault();
        vault.check(0, "call");
        vault.give(0, key(1, 1000)).unwrap().unwrap();
        vault.keys.accepted(&1);
        vault.check(950, "call");
        vault.give(950, Err("busy")).unwrap().unwrap();
        vault.check(960, "ready 1");
        vault.check(1000, "call");
        let error = vault.give(1000, Err("gone")).unwrap().unwrap_err();
        assert_eq!(error.kind(), ProtocolErrorKind::Refresh);
    }

    #[test]
    fn a_refusal_renews_once() {
        let mut vault = vault();
        vault.check(0, "call");
        vault.give(0, key(1, u32::MAX.into())).unwrap().unwrap();
        assert!(vault.keys.refused(5, 1));
        assert!(vault.keys.refused(6, 1));
        vault.check(1, "call");
        assert!(vault.keys.refused(7, 1));
        vault.check(1, "wait");
        vault.give(1, key(2, u32::MAX.into())).unwrap().unwrap();
        assert!(vault.keys.refused(8, 1), "an older one was refused");
        vault.check(1, "ready 2");
        assert!(!vault.keys.refused(5, 2), "a newer one did not help");
        vault.keys.accepted(&6);
        assert!(vault.keys.refused(6, 2));
        vault.check(1, "call");
    }

    #[test]
    fn a_lost_call_is_made_again() {
        let mut vault = vault();
        vault.check(0, "call");
        let id = vault.calls.pop().unwrap().id;
        assert!(!vault.keys.lost(ExchangeId(99)));
        assert!(vault.keys.lost(id));
        assert!(!vault.keys.lost(id));
        vault.check(0, "call");
        assert!(
            vault
                .keys
                .returned(id, Box::new(()), at(0))
                .is_none_or(|given| given.is_ok())
        );
    }

    #[test]
    fn what_has_expired_when_it_comes_is_tried() {
        let mut vault = vault();
        vault.check(1000, "call");
        vault.give(1000, key(1, 10)).unwrap().unwrap();
        vault.keys.accepted(&1);
        vault.check(1001, "ready 1");
    }

    #[test]
    fn closures_provide() {
        let source = CredentialSource::provider(|| async { Ok(key(3, 4).unwrap()) });
        let mut vault = Vault::new(&source);
        vault.check(0, "call");
        let call = vault.calls.pop().unwrap();
        let id = call.id;
        let mut running = pin!((call.run)(bytes::Bytes::new()));
        let Poll::Ready(given) = running
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("it has nothing to wait for")
        };
        let given = given.unwrap_or_else(|error| panic!("{error}"));
        vault.keys.returned(id, given, at(0)).unwrap().unwrap();
        vault.check(0, "ready 3");
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = Secret::from("s3cret");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(secret.expose(), "s3cret");
        assert_eq!(secret, Secret::new("s3cret".to_owned()));
    }
}
