//! Limits that hold: of the rate, and of what is held of a stream.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::conformance::{Bed, Source, Step};
use crate::uploads::Fault;

/// A rate of 2 MiB/s is not exceeded by more than 15 %, and is used.
pub async fn a_rate_that_holds(bed: &Bed) {
    let mut trial = bed.trial("a rate that holds", LEN.max(3 * bed.abilities().part));
    trial.job.rate = RATE;
    // Requests that take a server its time are few, where the plan does not say how many.
    trial.job.part = bed.abilities().part.max(1 << 20);
    let begun = Instant::now();
    trial.completes().await;
    let took = begun.elapsed().as_secs_f64();
    let rate = trial.content.len() as f64 / took / RATE as f64;
    println!("{}: {:.0} % of the rate", trial.what, rate * 100.0);
    assert!(rate <= 1.15, "{}: {rate} times the rate", trial.what);
    assert!(rate >= 0.5, "{}: only {rate} times the rate", trial.what);
}

/// When the server does not go on, no more is taken of a stream than the parts in flight need.
pub async fn a_stream_is_held_in_bounds(bed: &Bed) {
    let abilities = bed.abilities();
    if !abilities.streams {
        return bed.skips("a stream is held in bounds", "it takes no streams");
    }
    let len = 32 << 20;
    let trial = bed
        .trial("a stream is held in bounds", len)
        .of_stream(100_000);
    let Source::Stream { given, .. } = &trial.job.source else {
        unreachable!("it was made one just now");
    };
    trial.aims(Step::Part, [Fault::slow(1).always()]);
    let run = trial.start();
    run.until(|look| look.sent > 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let taken = given.load(Ordering::Relaxed);
    let most = (u64::from(abilities.parallel) + 1) * abilities.part + SLACK;
    println!("{}: {taken} bytes of {len} were taken", trial.what);
    assert!(
        taken <= most,
        "{}: {taken} bytes, {most} at most",
        trial.what
    );
    run.running.cancel().await;
    trial.has_failed(run.ended().await, &[crate::conformance::laws::CANCELLED]);
}

const RATE: u64 = 2 << 20;
const LEN: u64 = 5 << 20;

/// Steps of reading, and the buffers of sockets, which take what they like.
const SLACK: u64 = 8 << 20;
