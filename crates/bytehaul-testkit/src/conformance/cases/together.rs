//! Several uploads at the same time, and the same one twice.

use crate::conformance::Bed;
use crate::uploads::Fault;

/// Uploads of several objects by the same client at once: each gets its own bytes.
pub async fn several_at_once(bed: &Bed) {
    let part = bed.abilities().part;
    let trials = [3 * part, 3 * part + 1, part / 2, 5 * part];
    let trials = trials.map(|len| bed.trial("several at once", len));
    let runs = trials.each_ref().map(|trial| trial.start());
    let mut done = Vec::new();
    for (trial, run) in trials.iter().zip(runs) {
        let ended = run.ended().await;
        done.push(ended.unwrap_or_else(|error| panic!("{}: {error:?}", trial.what)));
    }
    // After all of them: one that is on its way may be as long as another is in the end.
    for (trial, done) in trials.iter().zip(done) {
        trial.is_complete(Ok(done));
    }
}

/// The same upload twice at the same time: the second one is refused, and does the first no harm.
pub async fn the_same_twice(bed: &Bed) {
    let trial = bed.trial("the same twice", 6 * bed.abilities().part);
    let rate = trial.content.len() as u64 / u64::from(trial.job.parallel);
    bed.gate().set([Fault::slow(rate).always()]);
    let first = trial.start();
    first.until(|look| look.sent > 0).await;
    trial.fails(&[TAKEN]).await;
    trial.heals();
    trial.is_complete(first.ended().await);
}

const TAKEN: u16 = 126;
