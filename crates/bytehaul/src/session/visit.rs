//! One download's stay at one host, among all downloads of this process: who has to wait for whom.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytehaul_schedule::{Failure, HostLimits, Turn, VisitId};
use bytehaul_transport::Origin;
use url::Url;

/// Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Visit {
    /// `None`: a URL without a host is nobody's.
    at: Option<(Origin, VisitId)>,
}

impl Visit {
    pub(crate) fn new(url: &Url) -> Self {
        let at = Origin::of(url).ok().map(|origin| {
            let id = hosts().enter(origin.clone());
            (origin, id)
        });
        Self { at }
    }

    /// Waits until a first connection may be dialled. Cancel safe.
    pub(crate) async fn turn(&self) {
        let Some((origin, id)) = &self.at else {
            return;
        };
        loop {
            let turn = hosts().turn(Instant::now(), origin, *id);
            match turn {
                Turn::Go => return,
                Turn::Wait(until) => tokio::time::sleep_until(until.into()).await,
            }
        }
    }

    /// The host did not take the first connection. Whether that is because it serves others: then it is no failure.
    pub(crate) fn refused(&self, failure: &Failure, longest: Duration) -> bool {
        let Some((origin, id)) = &self.at else {
            return false;
        };
        let now = Instant::now();
        let is_full = hosts().refused(now, origin, *id);
        if is_full {
            self.hold(failure, longest);
        }
        is_full
    }

    /// The host refused one connection more.
    pub(crate) fn is_full(&self) {
        if let Some((origin, _)) = &self.at {
            hosts().is_full(Instant::now(), origin);
        }
    }

    /// What the host asked of one connection is meant for all, as far as it is honoured.
    pub(crate) fn hold(&self, failure: &Failure, longest: Duration) {
        if let (Some((origin, _)), Some(asked)) = (&self.at, failure.retry_after) {
            hosts().hold(origin, Instant::now() + asked.min(longest).min(FOR_EVER));
        }
    }

    pub(crate) fn held(&self, now: Instant) -> Option<Instant> {
        let (origin, _) = self.at.as_ref()?;
        hosts().held(now, origin)
    }

    /// So many connections are answered now.
    pub(crate) fn using(&self, connections: u32) {
        if let Some((origin, id)) = &self.at {
            hosts().using(origin, *id, connections);
        }
    }

    /// How many connections this download should have at most, when that is known.
    pub(crate) fn share(&self, now: Instant) -> Option<u32> {
        let (origin, _) = self.at.as_ref()?;
        hosts().share(now, origin)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some((origin, id)) = &self.at {
            hosts().leave(origin, *id);
        }
    }
}

/// Thirty years, which every clock has room for.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

fn hosts() -> MutexGuard<'static, HostLimits<Origin>> {
    HOSTS.lock().unwrap_or_else(PoisonError::into_inner)
}

static HOSTS: LazyLock<Mutex<HostLimits<Origin>>> = LazyLock::new(Mutex::default);
