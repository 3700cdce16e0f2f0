//! Answers that never come: what was asked for is done, and nobody says so.

use std::time::Duration;

use crate::conformance::bed::Trial;
use crate::conformance::{Bed, State, Step};
use crate::uploads::Fault;

/// The answer to each request is lost once, or all of the first ones are: the object is right, once.
pub async fn answers_that_are_lost(bed: &Bed) {
    let part = bed.abilities().part;
    let len = PARTS * part - 3;
    let lost = [
        (Step::Begin, 1, "the answer to the beginning"),
        (Step::Commit, 1, "the answer to the commit"),
        (Step::Commit, 2, "two answers to the commit"),
        (Step::Part, PARTS, "the answers to several parts"),
    ];
    for (step, times, what) in lost {
        let mut trial = bed.trial(format!("{what}, lost"), len);
        trial.job.retries = 8;
        match trial.aims(step, [Fault::lose_answer().times(times)]) {
            true if step == Step::Commit => committed(&trial).await,
            true => drop(trial.completes().await),
            false => bed.skips(&trial.what, "there is no such request"),
        }
    }
    for k in 0..PARTS {
        let trial = bed.trial(format!("the answer to part {k}, lost"), len);
        trial.aims(Step::Part, [Fault::lose_answer().after(k)]);
        trial.completes().await;
    }
    let trial = bed.trial("the answer to the only part, lost", part / 2);
    trial.aims(Step::Part, [Fault::lose_answer()]);
    trial.completes().await;
}

/// While the last answer is outstanding, nothing says that the upload is complete; the next run finds out.
pub async fn nothing_is_claimed_early(bed: &Bed) {
    let part = bed.abilities().part;
    let trial = bed.trial("the last answer is outstanding", PARTS * part);
    let commits = trial.aims(Step::Commit, [Fault::hang().always()]);
    if !commits {
        // In a protocol of one request the last part is the first.
        let last = if bed.abilities().resumable {
            PARTS - 1
        } else {
            0
        };
        trial.aims(Step::Part, [Fault::hang().after(last).always()]);
    }
    let run = trial.start();
    let all = trial.content.len() as u64;
    let has_hung = || {
        let requests = bed.gate().requests();
        let hung = requests.iter().filter(|one| one.fault == Some("hung"));
        let mut hung = hung.filter(|one| one.status != 0);
        hung.next().is_some()
    };
    run.until(|_| has_hung()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let look = run.running.look();
    assert!(!look.state.is_end(), "{}: {look:?}", trial.what);
    match commits {
        true => assert_eq!(look.state, State::Committing, "{}", trial.what),
        false => assert!(look.acknowledged < all, "{}: {look:?}", trial.what),
    }
    run.running.pause().await;
    let ended = run.ended().await;
    trial.has_failed(ended, &[crate::conformance::laws::PAUSED]);
    trial.heals();
    trial.counts();
    if commits {
        committed(&trial).await;
    } else {
        trial.completes().await;
    }
    // A server that forgets parts when it joins them gets them again.
    if bed.abilities().resumable && bed.abilities().recommits {
        let most = all - look.acknowledged + trial.wrapping();
        let received = trial.received();
        assert!(
            received <= most,
            "{}: {received} > {most}\n{}",
            trial.what,
            trial.lines()
        );
    }
}

/// The commit was carried out and nobody said so: it is complete, or said to be unknown where that cannot be found out.
async fn committed(trial: &Trial<'_>) {
    match trial.ends().await {
        Ok(done) => drop(trial.is_complete(Ok(done))),
        ended => {
            let recommits = trial.bed.abilities().recommits;
            assert!(!recommits, "{}: {ended:?}\n{}", trial.what, trial.lines());
            trial.has_failed(ended, &[INDETERMINATE]);
        }
    }
}

const INDETERMINATE: u16 = 130;
const PARTS: u64 = 4;
