//! Several sources at once in virtual time: close to what they can bring together, whatever befalls one of them.

use std::time::Duration;

use bytehaul_schedule::{Config, Connections};
use bytehaul_testkit::sim::{Network, Outcome, Run, SlowStart};

const MIB: u64 = 1 << 20;

/// Paths whose rates are shared by all connections to the same host.
fn shared(mib: f64) -> Network {
    Network::default().rate(100.0).total(mib).round_trip(20)
}

/// Paths that give the same rate to each connection.
fn each(mib: f64) -> Network {
    Network::default().rate(mib).round_trip(20)
}

/// `mib` MiB from three sources; both mirrors have proven themselves after 300 ms.
fn three(paths: [Network; 3], mib: u64) -> Run {
    let [first, second, third] = paths;
    let proven = Duration::from_millis(300);
    Run::new(first, mib * MIB)
        .mirror(second, proven)
        .mirror(third, proven)
}

#[track_caller]
fn check(run: &Run, mib: u64, rate: f64, slack: f64) -> Outcome {
    let best = Duration::from_secs_f64(mib as f64 / rate);
    let mut last = None;
    for seed in 0..4 {
        let outcome = run.simulate(seed);
        assert_eq!(outcome.failure, None, "seed {seed}: {outcome:?}");
        assert!(
            outcome.time <= best.mul_f64(slack),
            "seed {seed} took {:?}, best {best:?}: {outcome:?}",
            outcome.time
        );
        last = Some(outcome);
    }
    last.expect("several seeds")
}

#[test]
fn hosts_with_rates_10_3_1_bring_their_sum() {
    let run = three([shared(10.0), shared(3.0), shared(1.0)], 256);
    let outcome = check(&run, 256, 14.0, 1.1);
    let slowest = outcome.brought[2] as f64 / MIB as f64;
    assert!(slowest > 10.0, "the slowest helps: {outcome:?}");
}

#[test]
fn the_slowest_first_is_no_worse() {
    let run = three([shared(1.0), shared(3.0), shared(10.0)], 256);
    check(&run, 256, 14.0, 1.15);
}

#[test]
fn where_each_connection_has_its_rate_they_go_to_the_fastest() {
    // Eight connections, of which one each is spent on finding out about the slower ones.
    let run = three([each(1.0), each(3.0), each(10.0)], 512);
    let outcome = check(&run, 512, 80.0, 1.5);
    assert!(outcome.brought[2] > 400 * MIB, "{outcome:?}");
}

#[test]
fn one_that_dies_is_not_missed_for_long() {
    let gone = shared(10.0).outage(Duration::from_secs(3)..Duration::from_secs(3_000));
    // 3 s of all three, the rest by two.
    let run = three([gone, shared(10.0), shared(3.0)], 256);
    let best = (256.0 - 3.0 * 23.0) / 13.0 + 3.0;
    let outcome = check(&run, 256, 256.0 / best, 1.15);
    assert!(outcome.dials < 80, "{outcome:?}");
}

#[test]
fn one_that_stalls_does_not_hold_the_end() {
    let stalls = shared(10.0).stalled(bytehaul_testkit::sim::Pick::Every(1), 8 * MIB);
    let run = three([shared(10.0), stalls, shared(3.0)], 128);
    check(&run, 128, 13.0, 1.25);
}

#[test]
fn one_that_comes_late_gets_its_share() {
    let run = Run::new(each(1.0), 128 * MIB)
        .mirror(each(10.0), Duration::from_secs(4))
        .config(Config::default().connections(Connections::fixed(4)));
    let outcome = check(&run, 128, 128.0 / (4.0 + 112.0 / 40.0), 1.6);
    assert!(outcome.brought[1] > 80 * MIB, "{outcome:?}");
}

#[test]
fn a_far_mirror_helps_a_near_one() {
    let far = shared(5.0).round_trip(200).slow_start(SlowStart::On);
    let run = Run::new(shared(5.0), 128 * MIB).mirror(far, Duration::from_secs(1));
    check(&run, 128, 10.0, 1.25);
}
