//! When a failed request is worth another try, and how long to wait for it.

use std::time::Duration;

use crate::random::SplitMix64;

/// What kind of failure a request met, seen by what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// May pass by itself: resets, timeouts, truncated bodies, most 5xx answers.
    Transient,
    /// The host asks for less: 429, 503.
    Throttled,
    /// The host would not talk at all: connection refused, or closed before any answer.
    Refused,
    /// Asking again cannot help: 404, a changed object, a full disk.
    Fatal,
    /// The host answers ranges wrongly, so that asking for more of them is no use; one stream from the start may still work.
    RangesUnreliable,
    /// The driver itself took the request back: nobody is to blame, and its bytes are leased anew.
    Withdrawn,
}

impl Class {
    /// Whether this is the host asking for fewer requests or connections.
    pub const fn is_push_back(self) -> bool {
        match self {
            Self::Throttled | Self::Refused => true,
            Self::Transient | Self::Fatal | Self::RangesUnreliable | Self::Withdrawn => false,
        }
    }

    /// Whether the same request may succeed later.
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Transient | Self::Throttled | Self::Refused | Self::Withdrawn => true,
            Self::Fatal | Self::RangesUnreliable => false,
        }
    }
}

/// A failure as the driver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Failure {
    /// What kind of failure it was.
    pub class: Class,
    /// How long the host asked to wait (`Retry-After`, RFC 9110 §10.2.3, as a duration from now).
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure of this class, without a word of the host about when to come back.
    pub const fn new(class: Class) -> Self {
        Self {
            class,
            retry_after: None,
        }
    }

    /// Adds how long the host asked to wait.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

/// How often and after which waits a failure is tried again. The defaults suit strangers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    max_retries: u32,
    base_delay: Duration,
    max_delay: Duration,
    max_retry_after: Duration,
    renew_bytes: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 5,
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(300),
            renew_bytes: 256 * 1024,
        }
    }
}

impl RetryPolicy {
    /// Failures in a row, without progress between them, that are tried again. Default 5; 0 gives up at the first.
    #[must_use]
    pub const fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// Wait before the first retry; it doubles with every further one, and up to half of it is taken off by chance. Default 1 s.
    #[must_use]
    pub const fn base_delay(mut self, delay: Duration) -> Self {
        self.base_delay = delay;
        self
    }

    /// Longest wait that doubling leads to. Default 30 s.
    #[must_use]
    pub const fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Longest `Retry-After` that is honoured; a longer one is cut to this. Default 5 min.
    #[must_use]
    pub const fn max_retry_after(mut self, wait: Duration) -> Self {
        self.max_retry_after = wait;
        self
    }

    /// Bytes that have to arrive, in all, before the failures so far are forgotten. Default 256 KiB; at least 1.
    #[must_use]
    pub const fn renew_bytes(mut self, bytes: u64) -> Self {
        self.renew_bytes = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// The wait that a host asked for, as far as it is honoured.
    pub(crate) fn honoured(&self, retry_after: Duration) -> Duration {
        retry_after.min(self.max_retry_after)
    }
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Verdict {
    /// Try again after this long; zero means at once.
    Retry(Duration),
    /// No further try.
    GiveUp,
}

/// Counts the failures in a row of one thing that is retried, and says what to do about each.
///
/// Usable alone by a session with one stream. Progress renews it, so that a long transfer over a bad path is not ended by
/// a handful of resets many gigabytes apart.
///
/// ```
/// use std::time::Duration;
/// use bytehaul_schedule::{Class, Failure, RetryBudget, RetryPolicy, Verdict};
///
/// let mut budget = RetryBudget::new(RetryPolicy::default().max_retries(1), 42);
/// // A reset after bytes have come is tried again at once.
/// budget.on_progress(1024 * 1024);
/// assert_eq!(budget.on_failure(Failure::new(Class::Transient)), Verdict::Retry(Duration::ZERO));
/// assert_eq!(budget.on_failure(Failure::new(Class::Transient)), Verdict::GiveUp);
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget {
    policy: RetryPolicy,
    random: SplitMix64,
    failures: u32,
    /// Failures in a row that were waited for; the wait doubles with these.
    waits: u32,
    /// Bytes since the failures were last forgotten, and since the last failure.
    gained: u64,
    fresh: u64,
}

impl RetryBudget {
    /// A full budget; `seed` decides the chance in the waits.
    pub const fn new(policy: RetryPolicy, seed: u64) -> Self {
        Self {
            policy,
            random: SplitMix64::new(seed),
            failures: 0,
            waits: 0,
            gained: 0,
            fresh: 0,
        }
    }

    /// The longest `Retry-After` that is honoured.
    pub const fn longest(&self) -> Duration {
        self.policy.max_retry_after
    }

    /// Failures in a row so far.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Says that `bytes` new bytes arrived.
    pub const fn on_progress(&mut self, bytes: u64) {
        self.fresh = self.fresh.saturating_add(bytes);
        self.gained = self.gained.saturating_add(bytes);
        if self.gained >= self.policy.renew_bytes {
            self.failures = 0;
            self.waits = 0;
            self.gained = 0;
        }
    }

    /// Counts a failure and says what to do about it.
    ///
    /// A host's `Retry-After` decides the wait. Otherwise the first transient failure after progress is retried at once,
    /// and all others wait for `base_delay` doubled with each failure in a row, of which chance takes off up to a half.
    pub fn on_failure(&mut self, failure: Failure) -> Verdict {
        let progressed = std::mem::take(&mut self.fresh) > 0;
        if !failure.class.is_retryable() || self.failures >= self.policy.max_retries {
            return Verdict::GiveUp;
        }
        self.failures += 1;
        Verdict::Retry(match failure.retry_after {
            Some(wait) => self.policy.honoured(wait),
            None if progressed && self.failures == 1 && failure.class == Class::Transient => {
                Duration::ZERO
            }
            None => self.backoff(),
        })
    }

    fn backoff(&mut self) -> Duration {
        let doublings = self.waits.min(MAX_DOUBLINGS);
        self.waits = self.waits.saturating_add(1);
        let full = self
            .policy
            .base_delay
            .saturating_mul(1 << doublings)
            .min(self.policy.max_delay);
        full.mul_f64(1.0 - self.random.unit() / 2.0)
    }
}

/// Keeps the shift in range; every sensible base delay has reached the longest wait long before.
const MAX_DOUBLINGS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn transient() -> Failure {
        Failure::new(Class::Transient)
    }

    fn wait(verdict: Verdict) -> f64 {
        match verdict {
            Verdict::Retry(after) => after.as_secs_f64(),
            Verdict::GiveUp => f64::INFINITY,
        }
    }

    #[test]
    fn waits_double_with_jitter_up_to_the_cap() {
        for seed in 0..50 {
            let mut budget = RetryBudget::new(RetryPolicy::default().max_retries(8), seed);
            for full in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0] {
                let waited = wait(budget.on_failure(transient()));
                assert!((full / 2.0..=full).contains(&waited), "{waited} of {full}");
            }
            assert_eq!(budget.on_failure(transient()), Verdict::GiveUp);
        }
    }

    #[test]
    fn seeds_spread_the_waits() {
        let waits =
            |seed| wait(RetryBudget::new(RetryPolicy::default(), seed).on_failure(transient()));
        assert_eq!(waits(3).to_bits(), waits(3).to_bits());
        assert!((1..20).any(|seed| (waits(seed) - waits(0)).abs() > 0.1));
    }

    #[test]
    fn a_byte_does_not_renew_but_real_progress_does() {
        let mut budget = RetryBudget::new(RetryPolicy::default().max_retries(2), 1);
        for _ in 0..2 {
            budget.on_progress(1);
            assert!(matches!(budget.on_failure(transient()), Verdict::Retry(_)));
        }
        assert_eq!(budget.clone().on_failure(transient()), Verdict::GiveUp);
        budget.on_progress(256 * 1024);
        assert_eq!(budget.failures(), 0);
        assert_eq!(
            budget.on_failure(transient()),
            Verdict::Retry(Duration::ZERO)
        );
    }

    #[test]
    fn small_progress_adds_up_across_failures() {
        let mut budget = RetryBudget::new(RetryPolicy::default().max_retries(5), 1);
        for _ in 0..1000 {
            budget.on_progress(64 * 1024);
            assert!(matches!(budget.on_failure(transient()), Verdict::Retry(_)));
        }
    }

    #[test]
    fn the_host_decides_the_wait_within_the_cap() {
        let throttled =
            |secs| Failure::new(Class::Throttled).retry_after(Duration::from_secs(secs));
        let mut budget = RetryBudget::new(RetryPolicy::default(), 1);
        assert_eq!(
            budget.on_failure(throttled(7)),
            Verdict::Retry(Duration::from_secs(7))
        );
        assert_eq!(
            budget.on_failure(throttled(86_400)),
            Verdict::Retry(Duration::from_secs(300))
        );
    }

    #[test]
    fn push_back_after_progress_still_waits() {
        let mut budget = RetryBudget::new(RetryPolicy::default(), 1);
        budget.on_progress(1 << 20);
        assert!(wait(budget.on_failure(Failure::new(Class::Refused))) >= 0.5);
    }

    #[test]
    fn what_cannot_help_is_not_tried() {
        for class in [Class::Fatal, Class::RangesUnreliable] {
            assert_eq!(
                RetryBudget::new(RetryPolicy::default(), 1).on_failure(Failure::new(class)),
                Verdict::GiveUp
            );
        }
    }
}
