//! Requests that fail for a while: refused, broken off, hung.

use std::time::{Duration, Instant};

use crate::conformance::{Bed, Step};
use crate::uploads::Fault;

/// Parts are refused several times by each status that passes, and a wait that the server asks for is kept.
pub async fn parts_that_fail(bed: &Bed) {
    let len = 3 * bed.abilities().part - 9;
    // Where all goes in one request, that is the one to fail.
    let spared = u64::from(bed.abilities().resumable);
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let trial = bed.trial(format!("parts fail with {status}"), len);
        trial.aims(Step::Part, [Fault::refuse(status).after(spared).times(3)]);
        trial.completes().await;
    }
    for status in [429, 503] {
        let trial = bed.trial(format!("{status} with Retry-After"), len);
        let busy = Fault::refuse(status)
            .header("Retry-After", "1")
            .after(spared);
        trial.aims(Step::Part, [busy.clone()]);
        let begun = Instant::now();
        trial.completes().await;
        let waited = begun.elapsed();
        assert!(
            waited >= Duration::from_secs(1),
            "{}: {waited:?}",
            trial.what
        );
    }
    let mut trial = bed.trial("parts fail once too often", len);
    trial.job.retries = 2;
    trial.aims(Step::Part, [Fault::refuse(503).always()]);
    trial.counts();
    // Of one request that may have completed it nobody knows.
    match bed.abilities().resumable {
        true => trial.fails(&[STATUS]).await,
        false => trial.fails(&[STATUS, INDETERMINATE]).await,
    };
    trial.has_no_object();
    let lanes = u64::from(trial.job.parallel);
    let requests = trial.requests() as u64;
    let most = (2 * 3 + 2) * lanes + lanes;
    assert!(
        requests <= most,
        "{}: {requests} requests\n{}",
        trial.what,
        trial.lines()
    );
}

/// Connections end after some bytes of a part, before its head, or stay open and silent.
pub async fn parts_that_break_off(bed: &Bed) {
    let part = bed.abilities().part;
    let len = 3 * part - 9;
    let spared = u64::from(bed.abilities().resumable);
    for at in [0, 1, part / 2, part - 1] {
        let trial = bed.trial(format!("cut after {at}"), len);
        trial.aims(Step::Part, [Fault::cut(at).after(spared).times(2)]);
        trial.completes().await;
    }
    let trial = bed.trial("dropped", len);
    trial.aims(Step::Part, [Fault::drop_request().after(spared).times(2)]);
    trial.completes().await;
    let mut trial = bed.trial("hung", len);
    trial.job.patience = Duration::from_millis(700);
    trial.aims(Step::Part, [Fault::hang().after(spared)]);
    trial.completes().await;
    let trial = bed.trial("all connections close in the middle", 6 * part);
    bed.gate().set([Fault::slow(4 * part).always()]);
    let run = trial.start();
    run.until(|look| look.sent > part).await;
    bed.gate().disconnect();
    trial.heals();
    trial.is_complete(run.ended().await);
}

/// The same for the requests that open and complete an upload.
pub async fn begins_and_commits_that_fail(bed: &Bed) {
    let len = 3 * bed.abilities().part + 5;
    for step in [Step::Begin, Step::Commit] {
        let faults = [
            ("refused", Fault::refuse(503)),
            ("refused twice", Fault::refuse(500).times(2)),
            ("dropped", Fault::drop_request()),
        ];
        for (how, fault) in faults {
            let trial = bed.trial(format!("{step:?} is {how}"), len);
            if !trial.aims(step, [fault]) {
                bed.skips(&trial.what, "there is no such request");
                break;
            }
            trial.completes().await;
        }
        let trial = bed.trial(format!("{step:?} is refused for good"), len);
        if trial.aims(step, [Fault::refuse(400).always()]) {
            trial.fails(&[STATUS, INDETERMINATE]).await;
            trial.has_no_object();
        }
    }
}

const STATUS: u16 = 109;
const INDETERMINATE: u16 = 130;
