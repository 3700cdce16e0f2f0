//! Sources that change: on the way it is an error, between two runs only what differs is sent; never is an object mixed.

use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, SystemTime};

use crate::conformance::Bed;
use crate::conformance::bed::Trial;
use crate::uploads::Fault;

/// The file grows, shrinks, gets another time, is replaced or removed while it is uploaded.
pub async fn changed_on_the_way(bed: &Bed) {
    type Change = fn(&Trial<'_>);
    let changes: [(&str, Change); 5] = [
        ("grows", |trial| {
            let file = File::options().append(true).open(&trial.path);
            let grown = file.and_then(|mut file| file.write_all(b"more"));
            grown.expect("the file of a trial");
        }),
        ("shrinks", |trial| {
            let file = File::options().write(true).open(&trial.path);
            let shrunk = file.and_then(|file| file.set_len(trial.content.len() as u64 / 2));
            shrunk.expect("the file of a trial");
        }),
        ("is written to", |trial| {
            fs::write(&trial.path, vec![7; trial.content.len()]).expect("the file of a trial");
            let file = File::options().write(true).open(&trial.path);
            let time = SystemTime::now() + Duration::from_secs(5);
            let touched = file.and_then(|file| file.set_modified(time));
            touched.expect("the file of a trial");
        }),
        ("is replaced", |trial| {
            let other = trial.path.with_extension("other");
            fs::write(&other, vec![9; trial.content.len()]).expect("another file");
            fs::rename(&other, &trial.path).expect("the file of a trial");
        }),
        ("is removed", |trial| {
            fs::remove_file(&trial.path).expect("the file of a trial");
        }),
    ];
    let part = bed.abilities().part;
    // More than sockets hold of one request: what was read before the change is not looked at again.
    let least = if bed.abilities().resumable {
        4 << 20
    } else {
        24 << 20
    };
    for (how, change) in changes {
        let trial = bed.trial(format!("the source {how}"), (8 * part).max(least));
        // Slow enough that most of it is still to be read.
        let rate = trial.content.len() as u64 / u64::from(trial.job.parallel) / 4;
        bed.gate().set([Fault::slow(rate).always()]);
        let run = trial.start();
        run.until(|look| look.sent > 0).await;
        change(&trial);
        trial.heals();
        trial.has_failed(run.ended().await, &[CHANGED]);
        trial.has_no_object();
    }
}

/// Another content of the same length, or another end of it, when the next run begins.
pub async fn changed_between_runs(bed: &Bed) {
    let part = bed.abilities().part;
    let len = 5 * part - 2;
    type Other = fn(&[u8], usize) -> Vec<u8>;
    let others: [(&str, Other); 4] = [
        ("is another one", |old, _| {
            old.iter().map(|byte| byte ^ 0x55).collect()
        }),
        ("has another first byte", |old, _| {
            let mut new = old.to_owned();
            new[0] ^= 1;
            new
        }),
        ("has another last byte", |old, _| {
            let mut new = old.to_owned();
            *new.last_mut().expect("some bytes") ^= 1;
            new
        }),
        ("has another second part", |old, part| {
            let mut new = old.to_owned();
            new[part..2 * part].fill(3);
            new
        }),
    ];
    for (how, other) in others {
        let mut trial = bed.trial(format!("the source {how} in the next run"), len);
        super::resume::fails_at(&mut trial, 3).await;
        let content = other(&trial.content, part as usize);
        trial.becomes(content);
        let time = SystemTime::now() + Duration::from_secs(7);
        let file = File::options().write(true).open(&trial.path);
        let touched = file.and_then(|file| file.set_modified(time));
        touched.expect("the file of a trial");
        trial.heals();
        trial.completes().await;
    }
    let mut trial = bed.trial("the source is only touched", len);
    let acknowledged = super::resume::fails_at(&mut trial, 3).await;
    let content = trial.content.clone();
    trial.becomes(content);
    super::resume::goes_on(&mut trial, acknowledged).await;
}

const CHANGED: u16 = 122;
