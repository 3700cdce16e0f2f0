//! SIGKILL at any moment, again and again: every byte is right in the end, and few were sent twice.

use std::time::Duration;

use super::chance;
use crate::conformance::{Bed, Source};
use crate::process::{Process, Signal};
use crate::uploads::Fault;

/// Kills the program in the middle at moments of chance, ten times, and then lets it end.
pub async fn killed_again_and_again(bed: &Bed) {
    let abilities = bed.abilities();
    let len = (PARTS * abilities.part).max(LEAST);
    let mut trial = bed.trial("killed again and again", len);
    if abilities.part > LARGE {
        // Of several large parts at once none would be done before the end comes.
        trial.job.parallel = abilities.least_parallel;
    }
    assert!(
        matches!(trial.job.source, Source::File(_)),
        "files have checkpoints"
    );
    let cycles = if abilities.resumable { CYCLES } else { 3 };
    trial.counts();
    // As slow as that every cycle finds something to do.
    let rate = len / 4 / u64::from(trial.job.parallel);
    bed.gate().set([Fault::slow(rate).always()]);
    let mut lost_at_most = 0;
    for cycle in 0..cycles {
        let (requests, received) = (bed.gate().requests().len(), trial.received());
        let part_of_it = chance(cycle, len * 3 / 4 / cycles);
        let command = bed.client.command(&trial.place, &trial.job);
        let finished = Process::new(command)
            .timeout(Duration::from_secs(25))
            .stop_when(
                || {
                    let begun = bed.gate().requests().len() > requests;
                    begun && trial.received() >= received + part_of_it
                },
                Signal::KILL,
            )
            .run()
            .expect("runs until it is killed");
        let out = finished.out();
        assert_eq!(
            finished.signal(),
            Some(9),
            "{}: {out} {}",
            trial.what,
            finished.err()
        );
        // What it had sent does not arrive after the next run has asked what is there.
        bed.gate().disconnect();
        tokio::time::sleep(SETTLE).await;
        trial.has_no_object();
        // The parts in flight, and what the file of the checkpoint did not tell yet.
        lost_at_most += (u64::from(trial.job.parallel) + 1) * abilities.part + len / 8;
    }
    trial.heals();
    let done = trial.completes().await;
    let (received, wrapping) = (trial.received(), trial.wrapping());
    let again = received.saturating_sub(len);
    println!(
        "{}: {cycles} kills, {len} bytes, {again} sent again ({:.1} %), {} found by the last run",
        trial.what,
        again as f64 * 100.0 / len as f64,
        done.resumed_from
    );
    if abilities.resumable {
        let most = lost_at_most + wrapping;
        assert!(done.resumed_from > 0, "{}: nothing was kept", trial.what);
        assert!(
            again <= most,
            "{}: {again} bytes again, {most} at most",
            trial.what
        );
    }
}

/// In which a server notices that a connection is closed.
const SETTLE: Duration = Duration::from_millis(100);

const CYCLES: u64 = 10;
const PARTS: u64 = 20;

/// Bytes of a part that takes a while.
pub(super) const LARGE: u64 = 1 << 20;

/// Sockets hold a good deal of what is smaller.
const LEAST: u64 = 12 << 20;
