//! A second run goes on where the first one ended, whatever the server has by then.

use std::fs;
use std::path::Path;

use crate::conformance::bed::Trial;
use crate::conformance::{After, Bed, Done, Loss, Step};
use crate::uploads::Fault;

/// The k-th part fails for good, for every k, and another run completes it without sending again what was acknowledged.
pub async fn every_boundary(bed: &Bed) {
    let part = bed.abilities().part;
    for k in 0..PARTS {
        let mut trial = bed.trial(format!("part {k} fails for good"), PARTS * part - part / 3);
        let acknowledged = fails_at(&mut trial, k).await;
        let done = goes_on(&mut trial, acknowledged).await;
        if bed.abilities().resumable {
            assert_eq!(done.resumed_from, acknowledged, "{}", trial.what);
        }
    }
    commit_fails(bed).await;
}

/// All parts are there and the commit fails for good: another run commits, and sends no part.
async fn commit_fails(bed: &Bed) {
    let mut trial = bed.trial("the commit fails for good", PARTS * bed.abilities().part);
    trial.job.retries = 0;
    if !trial.aims(Step::Commit, [Fault::refuse(500).always()]) {
        return bed.skips("the commit fails for good", "it has no commit of its own");
    }
    let run = trial.start();
    let running = run.running.clone();
    trial.has_failed(run.ended().await, &[STATUS, INDETERMINATE]);
    let acknowledged = running.look().acknowledged;
    assert_eq!(acknowledged, trial.content.len() as u64, "{}", trial.what);
    trial.has_no_object();
    goes_on(&mut trial, acknowledged).await;
}

/// The server has lost some, or all, of what the checkpoint tells.
pub async fn servers_that_lost(bed: &Bed) {
    let part = bed.abilities().part;
    for loss in [Loss::Some, Loss::All] {
        let mut trial = bed.trial(format!("the server lost {loss:?}"), PARTS * part - 1);
        if !bed.abilities().resumable {
            return bed.skips(
                "the server lost something",
                "there is nothing to go on with",
            );
        }
        fails_at(&mut trial, 3).await;
        trial.heals();
        match bed.endpoint.lose(&trial.place, loss) {
            None => bed.skips(&trial.what, "the server cannot"),
            Some(After::Recovers) => drop(trial.completes().await),
            Some(After::MayFail) => match trial.ends().await {
                Ok(done) => drop(trial.is_complete(Ok(done))),
                failed => {
                    trial.has_failed(failed, &[STATUS, CHANGED, INDETERMINATE]);
                    let found = trial.object(None);
                    let mixed = found.is_some_and(|found| found.len() == trial.content.len());
                    assert!(!mixed, "{}: an object of a lost session", trial.what);
                }
            },
        }
    }
}

/// The server has more than the checkpoint tells, which is older.
pub async fn servers_that_have_more(bed: &Bed) {
    if !bed.abilities().resumable {
        return bed.skips("the server has more", "there is nothing to go on with");
    }
    let part = bed.abilities().part;
    let mut trial = bed.trial("the server has more", PARTS * part - part / 2);
    fails_at(&mut trial, 1).await;
    let (kept, older) = (
        trial.checkpoints().to_owned(),
        trial.path.with_extension("older"),
    );
    copy(&kept, &older);
    fails_at(&mut trial, 2).await;
    fs::remove_dir_all(&kept).expect("the directory of checkpoints");
    copy(&older, &kept);
    trial.heals();
    trial.completes().await;
}

/// Runs it until part `k` of this run fails for good, and tells how many bytes were acknowledged by then.
pub(super) async fn fails_at(trial: &mut Trial<'_>, k: u64) -> u64 {
    let retries = std::mem::replace(&mut trial.job.retries, 0);
    let parallel = std::mem::replace(
        &mut trial.job.parallel,
        trial.bed.abilities().least_parallel,
    );
    let k = if trial.bed.abilities().resumable {
        k
    } else {
        0
    };
    let aimed = trial.aims(Step::Part, [Fault::refuse(500).after(k).always()]);
    assert!(aimed, "{}: every protocol has parts", trial.what);
    let run = trial.start();
    let running = run.running.clone();
    let ended = run.ended().await;
    // Of what completes the object nobody can say that it failed.
    trial.has_failed(ended, &[STATUS, INDETERMINATE]);
    trial.has_no_object();
    let look = running.look();
    assert_eq!(look.durable, look.acknowledged, "{}", trial.what);
    if trial.bed.abilities().least_parallel == 1 {
        assert!(
            look.acknowledged >= k * trial.job.part,
            "{}: {look:?}\n{}",
            trial.what,
            trial.lines()
        );
    }
    trial.job.retries = retries;
    trial.job.parallel = parallel;
    look.acknowledged
}

/// The next run completes it, and sends nothing again that was acknowledged.
pub(super) async fn goes_on(trial: &mut Trial<'_>, acknowledged: u64) -> Done {
    trial.heals();
    trial.counts();
    let done = trial.completes().await;
    let most = trial.content.len() as u64 - acknowledged + trial.wrapping();
    let received = trial.received();
    assert!(
        received <= most,
        "{}: {received} bytes though {acknowledged} of {} were acknowledged\n{}",
        trial.what,
        trial.content.len(),
        trial.lines()
    );
    done
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory for old checkpoints");
    for entry in fs::read_dir(from).expect("the directory of checkpoints") {
        let entry = entry.expect("an entry of it");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy of a checkpoint");
    }
}

const PARTS: u64 = 5;
const STATUS: u16 = 109;
const CHANGED: u16 = 123;
const INDETERMINATE: u16 = 130;
