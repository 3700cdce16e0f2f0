//! Pausing and cancelling, at any time.

use std::fs;
use std::time::Duration;

use super::chance;
use crate::conformance::bed::Trial;
use crate::conformance::laws::{CANCELLED, PAUSED};
use crate::conformance::{Bed, State};
use crate::uploads::Fault;

/// Pauses and goes on at moments of chance, at once after each pause, until it is complete.
pub async fn paused_at_any_time(bed: &Bed) {
    let abilities = bed.abilities();
    'seeds: for seed in 0..SEEDS {
        let len = PARTS * abilities.part - chance(seed, abilities.part);
        let mut trial = bed.trial(format!("paused at any time, seed {seed}"), len);
        // One after the other, some parts are done between two pauses.
        if seed % 2 == 1 || abilities.part > super::kills::LARGE {
            trial.job.parallel = abilities.least_parallel;
        }
        trial.counts();
        slowly(&trial, Duration::from_millis(1200));
        let mut pauses = 0;
        let done = loop {
            let run = trial.start();
            // At times before anything has begun.
            tokio::time::sleep(Duration::from_millis(chance(seed * 100 + pauses, 400))).await;
            if pauses == MOST || (!abilities.resumable && pauses == 3) {
                trial.heals();
                let ended = run.ended().await;
                // A pause in the middle of the commit, which was carried out.
                if !abilities.recommits && ended.as_ref().is_err_and(|error| error.code == UNKNOWN)
                {
                    continue 'seeds;
                }
                break trial.is_complete(ended);
            }
            run.running.pause().await;
            // It is told: neither is anything still to be saved, nor is the place still taken.
            let look = run.running.look();
            assert!(
                look.state.is_end(),
                "{}: {look:?} after a pause",
                trial.what
            );
            if look.acknowledged > 0 && look.state == State::Paused {
                assert_eq!(look.durable, look.acknowledged, "{}: {look:?}", trial.what);
                assert!(keeps(&trial), "{}: no checkpoint at {look:?}", trial.what);
            }
            match run.ended().await {
                Ok(done) => break trial.is_complete(Ok(done)),
                Err(error) if error.code == UNKNOWN && !abilities.recommits => continue 'seeds,
                Err(error) => assert_eq!(error.code, PAUSED, "{}: {}", trial.what, error.text),
            }
            pauses += 1;
            bed.endpoint.settle();
        };
        let most = len + pauses * (u64::from(trial.job.parallel) + 1) * abilities.part;
        let (received, most) = (trial.received(), most + trial.wrapping());
        println!(
            "{}: {pauses} pauses, {received} bytes for {len}, {done:?}",
            trial.what
        );
        if abilities.resumable {
            assert!(received <= most, "{}: {received} > {most}", trial.what);
        }
    }
}

/// Cancels at moments of chance: nothing is staged afterwards, nothing is sent, and what was there before is still there.
pub async fn cancelled_at_any_time(bed: &Bed) {
    let abilities = bed.abilities();
    for seed in 0..CANCELS {
        let len = PARTS * abilities.part - chance(seed, abilities.part);
        let mut trial = bed.trial(format!("cancelled at any time, seed {seed}"), len);
        let older = b"what was there before".as_slice();
        let occupied = seed % 2 == 0 && bed.endpoint.occupy(&trial.place, older);
        slowly(&trial, Duration::from_millis(800));
        if seed == 3 {
            // What an earlier run has staged is of this upload too.
            super::resume::fails_at(&mut trial, 2).await;
            slowly(&trial, Duration::from_millis(800));
        }
        let run = trial.start();
        tokio::time::sleep(Duration::from_millis(chance(seed + 77, 600))).await;
        trial.heals();
        run.running.cancel().await;
        // What was sent before may still be on its way to the log.
        tokio::time::sleep(Duration::from_millis(50)).await;
        trial.counts();
        match run.ended().await {
            Ok(done) => drop(trial.is_complete(Ok(done))),
            Err(error) => {
                assert_eq!(error.code, CANCELLED, "{}: {}", trial.what, error.text);
                is_gone(&trial, occupied.then_some(older)).await;
            }
        }
    }
}

async fn is_gone(trial: &Trial<'_>, older: Option<&[u8]>) {
    let what = &trial.what;
    match older {
        Some(older) => {
            let found = trial.object(None);
            assert_eq!(found.as_deref(), Some(older), "{what}: the older object");
        }
        None => trial.has_no_object(),
    }
    if trial.bed.abilities().aborts {
        let staged = trial.bed.endpoint.is_staged(&trial.place);
        assert!(!staged, "{what}: something is staged\n{}", trial.lines());
        assert!(!keeps(trial), "{what}: the checkpoint of nothing is kept");
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        trial.requests(),
        0,
        "{what}: a request after the end\n{}",
        trial.lines()
    );
}

/// Slows it down, so that all of it takes about this time.
fn slowly(trial: &Trial<'_>, time: Duration) {
    let lanes = u64::from(trial.job.parallel);
    let rate = trial.content.len() as f64 / time.as_secs_f64();
    let rate = (rate as u64 / lanes).max(1);
    trial.bed.gate().set([Fault::slow(rate).always()]);
}

/// Whether there is a checkpoint with something in it.
fn keeps(trial: &Trial<'_>) -> bool {
    let entries = fs::read_dir(trial.checkpoints()).into_iter().flatten();
    let mut sizes = entries.flatten().filter_map(|entry| entry.metadata().ok());
    sizes.any(|about| about.is_file() && about.len() > 0)
}

const UNKNOWN: u16 = 130;
const SEEDS: u64 = 3;
const CANCELS: u64 = 5;
const PARTS: u64 = 6;
const MOST: u64 = 12;
