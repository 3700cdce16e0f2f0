//! Credentials and URLs that the server no longer takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::conformance::{Bed, Step};
use crate::uploads::Fault;

/// Each kind of request is denied once: whoever renews the access is asked once, and the upload goes on.
pub async fn access_that_is_renewed(bed: &Bed) {
    if !bed.abilities().renews {
        return bed.skips("access that is renewed", "it has none");
    }
    for (step, status) in [
        (Step::Begin, 401),
        (Step::Part, 401),
        (Step::Part, 403),
        (Step::Commit, 403),
    ] {
        let mut trial = bed.trial(
            format!("{status} to {step:?}, once"),
            4 * bed.abilities().part,
        );
        trial.job.parallel = bed.abilities().least_parallel;
        let asked = Arc::new(AtomicU32::new(0));
        trial.job.renewals = Some(Arc::clone(&asked));
        if !trial.aims(step, [Fault::refuse(status)]) {
            bed.skips(&trial.what, "there is no such request");
            continue;
        }
        trial.completes().await;
        assert_eq!(asked.load(Ordering::Relaxed), 1, "{}: asked", trial.what);
    }
}

/// Access is denied for good, with somebody who renews it in vain and without.
pub async fn access_that_is_never_renewed(bed: &Bed) {
    for (status, renewed) in [(401, true), (403, true), (401, false), (403, false)] {
        let mut trial = bed.trial(
            format!("{status} for good, renewed: {renewed}"),
            4 * bed.abilities().part,
        );
        if renewed && !bed.abilities().renews {
            continue;
        }
        let asked = Arc::new(AtomicU32::new(0));
        trial.job.renewals = renewed.then(|| Arc::clone(&asked));
        trial.aims(Step::Part, [Fault::refuse(status).always()]);
        trial.counts();
        trial.fails(&[STATUS, NOT_RENEWED]).await;
        trial.has_no_object();
        let (asked, requests) = (asked.load(Ordering::Relaxed), trial.requests());
        // Each of the parts at once may be the first to be denied.
        let lanes = trial.job.parallel;
        assert!(asked <= 3 * lanes, "{}: asked {asked} times", trial.what);
        assert!(
            requests <= 20 * lanes as usize,
            "{}: {requests} requests\n{}",
            trial.what,
            trial.lines()
        );
    }
}

const STATUS: u16 = 109;
const NOT_RENEWED: u16 = 129;
