//! When new URLs are asked for, and when a refusal is final: pure, one call at a time.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::presigned::UploadPlan;
use crate::{BoxError, Call, CallError, ExchangeId, Refresh, Step};

/// What a request is for, whatever URL it is sent to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum What {
    /// The part of this index.
    Part(usize),
    Commit,
    Check,
    Abort,
}

/// The way to newer URLs.
pub(super) struct Renewal {
    refresher: Option<Refresh<UploadPlan>>,
    /// How many times the plan has been renewed.
    generation: u64,
    /// When the present URLs came.
    since: Option<SystemTime>,
    /// Whether the server has taken anything since then.
    accepted: bool,
    /// Whether the present URLs could not be renewed ahead of their expiry.
    failed_ahead: bool,
    flight: Flight,
    refusals: HashMap<What, Refusals>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flight {
    No,
    /// URLs have been refused, and are to be renewed.
    Wanted,
    Ahead(ExchangeId),
    Needed(ExchangeId),
}

#[derive(Clone, Copy, Debug, Default)]
struct Refusals {
    count: u32,
    /// The URLs that were answered with something else than a refusal.
    answered: Option<u64>,
}

/// What to do before a request is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    Send,
    Renew,
    Wait,
}

/// What a refresher has given.
pub(super) struct Renewed(pub(super) Result<UploadPlan, BoxError>);

/// Why it is of no use now.
pub(super) enum Landed {
    /// The old URLs may still be good.
    Ahead,
    Needed,
}

impl Renewal {
    pub(super) fn new(refresher: Option<Refresh<UploadPlan>>) -> Self {
        Self {
            refresher,
            generation: 0,
            since: None,
            accepted: true,
            failed_ahead: false,
            flight: Flight::No,
            refusals: HashMap::new(),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a request whose URL expires then can be sent now.
    pub(super) fn gate(
        &mut self,
        expires_at: Option<SystemTime>,
        ahead: Duration,
        now: SystemTime,
    ) -> Gate {
        let since = *self.since.get_or_insert(now);
        if self.refresher.is_none() {
            return Gate::Send;
        }
        match self.flight {
            Flight::Wanted => return Gate::Renew,
            Flight::Needed(_) => return Gate::Wait,
            Flight::No | Flight::Ahead(_) => (),
        }
        // What has expired when it comes is tried: clocks differ.
        let fresh = |at: &SystemTime| self.generation == 0 || *at > since;
        let Some(at) = expires_at.filter(fresh) else {
            return Gate::Send;
        };
        // Of new URLs that do not live that long, half of their life is used.
        let ahead = match self.generation {
            0 => ahead,
            _ => ahead.min(at.duration_since(since).unwrap_or_default() / 2),
        };
        let left = at.duration_since(now).unwrap_or_default();
        match self.flight {
            _ if left > ahead => Gate::Send,
            // Each renewal has to bring something on, or it would be asked for for ever.
            _ if !self.accepted => Gate::Send,
            Flight::Ahead(_) if left.is_zero() => Gate::Wait,
            Flight::Ahead(_) => Gate::Send,
            _ if left.is_zero() => {
                self.flight = Flight::Wanted;
                Gate::Renew
            }
            _ if self.failed_ahead => Gate::Send,
            _ => Gate::Renew,
        }
    }

    /// The call that gets new URLs.
    pub(super) fn take_off(&mut self, id: ExchangeId) -> Option<Call> {
        let refresh = self.refresher.clone()?;
        self.flight = match self.flight {
            Flight::Wanted => Flight::Needed(id),
            _ => Flight::Ahead(id),
        };
        Some(Call::new(id, Step::Refresh, move |_| {
            Box::pin(async move {
                let given = match refresh().await {
                    Ok(plan) => Ok(plan),
                    Err(error) => match error.downcast::<CallError>() {
                        Ok(error) if error.retry => return Err(*error),
                        Ok(error) => Err(error.source),
                        Err(error) => Err(error),
                    },
                };
                let given: crate::Returned = Box::new(Renewed(given));
                Ok(given)
            })
        }))
    }

    /// The call has an end; `None`: it is none of ours.
    pub(super) fn landed(&mut self, id: ExchangeId) -> Option<Landed> {
        let landed = match self.flight {
            Flight::Ahead(ours) if ours == id => Landed::Ahead,
            Flight::Needed(ours) if ours == id => Landed::Needed,
            _ => return None,
        };
        self.flight = Flight::No;
        Some(landed)
    }

    /// There are new URLs.
    pub(super) fn renewed(&mut self, now: SystemTime) {
        self.generation += 1;
        self.since = Some(now);
        self.accepted = false;
        self.failed_ahead = false;
    }

    /// There are none, but the old ones have not expired yet.
    pub(super) fn not_yet(&mut self) {
        self.failed_ahead = true;
    }

    /// There are none, and it is time to ask again.
    pub(super) fn again(&mut self) {
        self.flight = Flight::Wanted;
    }

    /// Nothing is on its way any more.
    pub(super) fn forget_flight(&mut self) {
        self.flight = Flight::No;
    }

    /// The server has taken a request.
    pub(super) fn accepted(&mut self, what: What) {
        self.accepted = true;
        self.refusals.remove(&what);
    }

    /// The server has answered a request with something else than a refusal.
    pub(super) fn answered(&mut self, what: What, generation: u64) {
        if let Some(refusals) = self.refusals.get_mut(&what) {
            refusals.answered = Some(generation);
        }
    }

    /// The server has refused a request that was made with these URLs. Whether to send it again, with newer ones.
    pub(super) fn refused(&mut self, what: What, generation: u64) -> bool {
        if self.refresher.is_none() {
            return false;
        }
        if generation < self.generation {
            return true;
        }
        let refusals = self.refusals.entry(what).or_default();
        refusals.count += 1;
        let helpless = refusals.count > 1 && refusals.answered != Some(generation);
        if helpless || refusals.count > MOST_REFUSALS {
            return false;
        }
        if !matches!(self.flight, Flight::Needed(_)) {
            // What is asked ahead already is needed now.
            self.flight = match self.flight {
                Flight::Ahead(id) => Flight::Needed(id),
                _ => Flight::Wanted,
            };
        }
        true
    }
}

/// Refusals of one request before its answer is final, however good the answers between them.
const MOST_REFUSALS: u32 = 3;
