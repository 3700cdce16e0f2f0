//! How often each step of an upload has failed in a row, and what follows.

use std::collections::HashMap;
use std::time::Duration;

use bytehaul_providers::Step;
use bytehaul_schedule::{Failure, RetryBudget, RetryPolicy, Verdict};

/// The budgets of all steps of one upload.
#[derive(Debug)]
pub(crate) struct Retries {
    begin: RetryPolicy,
    rest: RetryPolicy,
    seed: u64,
    budgets: HashMap<Key, RetryBudget>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Key {
    Begin,
    Check,
    Part(u32),
    Commit,
    Other,
}

impl Retries {
    pub(crate) fn new(begin: RetryPolicy, rest: RetryPolicy, seed: u64) -> Self {
        Self {
            begin,
            rest,
            seed,
            budgets: HashMap::new(),
        }
    }

    /// A step has failed: how long to wait before another try, or the number of tries that were made in vain.
    pub(crate) fn failed(&mut self, step: &Step, failure: Failure) -> Result<Duration, u32> {
        let key = Key::of(step);
        let policy = match key {
            Key::Begin => &self.begin,
            _ => &self.rest,
        };
        // Parts that failed together are not to come back together.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let fresh = RetryBudget::new(policy.clone(), self.seed);
        let budget = self.budgets.entry(key).or_insert(fresh);
        match budget.on_failure(failure) {
            Verdict::Retry(wait) => Ok(wait),
            Verdict::GiveUp => Err(budget.failures()),
        }
    }

    /// A step is done.
    pub(crate) fn succeeded(&mut self, step: &Step) {
        self.budgets.remove(&Key::of(step));
    }

    /// The server has more than before: what failed before that counts no longer.
    pub(crate) fn progressed(&mut self) {
        self.budgets.clear();
    }
}

impl Key {
    fn of(step: &Step) -> Self {
        match step {
            Step::Begin => Self::Begin,
            Step::Check => Self::Check,
            Step::Part { number, .. } => Self::Part(*number),
            Step::Commit => Self::Commit,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytehaul_schedule::Class;

    use super::*;

    fn part(number: u32) -> Step {
        Step::Part {
            number,
            range: 0..1,
        }
    }

    #[test]
    fn each_step_has_a_budget_of_its_own() {
        let policy = |retries| RetryPolicy::default().max_retries(retries);
        let mut retries = Retries::new(policy(1), policy(2), 7);
        let mut check = |step: &Step, expected: Result<(), u32>| {
            let failed = retries.failed(step, Failure::new(Class::Transient));
            assert_eq!(failed.map(|_| ()), expected, "{step:?}");
        };
        check(&Step::Begin, Ok(()));
        check(&Step::Begin, Err(1));
        check(&part(1), Ok(()));
        check(&part(2), Ok(()));
        check(&part(1), Ok(()));
        check(&part(1), Err(2));
        check(&Step::Commit, Ok(()));
        retries.succeeded(&part(1));
        check_again(&mut retries, &part(1));
        retries.progressed();
        check_again(&mut retries, &Step::Begin);
    }

    fn check_again(retries: &mut Retries, step: &Step) {
        let failed = retries.failed(step, Failure::new(Class::Transient));
        assert!(failed.is_ok(), "{step:?}");
    }
}
