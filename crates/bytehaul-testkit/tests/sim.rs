//! The scheduler keeps to the times of the scenario table, on many seeds, and the virtual network keeps to its own physics.

use std::time::Duration;

use bytehaul_schedule::{Class, Config, Connections, RetryPolicy};
use bytehaul_testkit::sim::{Network, Outcome, Refusal, Run, Scenario, scenarios};

const MIB: u64 = 1 << 20;

/// Every scenario whose name satisfies `of` ends whole and in time with each of the seeds.
#[track_caller]
fn check(seeds: u64, of: impl Fn(&str) -> bool) {
    let chosen: Vec<Scenario> = scenarios()
        .into_iter()
        .filter(|scenario| of(scenario.name))
        .collect();
    assert!(!chosen.is_empty());
    for scenario in chosen {
        for (seed, outcome) in scenario.outcomes(0..seeds).into_iter().enumerate() {
            assert_eq!(outcome.failure, None, "{} with seed {seed}", scenario.name);
            assert!(
                outcome.time <= scenario.limit,
                "{} with seed {seed} took {:?} of {:?}, best {:?}",
                scenario.name,
                outcome.time,
                scenario.limit,
                scenario.best
            );
        }
    }
}

fn eight(network: Network, mib: u64) -> Outcome {
    Run::new(network, mib * MIB).simulate(1)
}

#[test]
fn equal_connections() {
    check(2, |name| name.contains("equal") && !name.contains("1 GiB"));
}

#[test]
fn equal_connections_for_long() {
    check(1, |name| name.contains("equal") && name.contains("1 GiB"));
}

#[test]
fn fast_connections() {
    check(2, |name| name.contains("fast"));
}

#[test]
fn stragglers() {
    check(8, |name| name.contains("slower") && !name.contains("1 GiB"));
}

#[test]
fn a_straggler_for_long() {
    check(1, |name| name.contains("slower") && name.contains("1 GiB"));
}

#[test]
fn stalls() {
    check(5, |name| name.contains("stalled"));
}

#[test]
fn resets() {
    check(12, |name| name.starts_with("resets"));
}

#[test]
fn one_connection() {
    check(12, |name| name.starts_with("one connection"));
}

#[test]
fn long_round_trips_and_shared_lines() {
    check(3, |name| name.starts_with("50") || name.starts_with("200"));
}

#[test]
fn refusals() {
    check(10, |name| {
        name.starts_with("refuses") || name.starts_with("429")
    });
}

#[test]
fn a_host_that_goes_away_for_a_while() {
    check(40, |name| name.starts_with("gone"));
}

#[test]
fn everything_at_once() {
    check(20, |name| name.starts_with("everything"));
}

#[test]
fn refused_connections_cost_no_retries_and_few_dials() {
    let impatient = Config::default()
        .connections(Connections::fixed(8))
        .retry(RetryPolicy::default().max_retries(0));
    for limit in [1, 2, 4, 6] {
        for refusal in [
            Refusal::Refused,
            Refusal::Throttled(Some(Duration::from_secs(1))),
        ] {
            let network = Network::default().limit(limit, refusal);
            let outcome = Run::new(network, 64 * MIB)
                .config(impatient.clone())
                .simulate(3);
            assert_eq!(outcome.failure, None, "{limit} {refusal:?}");
            assert!(
                outcome.dials <= 8 + 3,
                "{limit} {refusal:?}: {} dials",
                outcome.dials
            );
        }
    }
}

#[test]
fn nothing_is_fetched_twice_on_a_good_path() {
    let outcome = eight(Network::default(), 128);
    assert_eq!(outcome.wasted, 0);
    assert_eq!(outcome.dials, 8);
    assert!(outcome.requests <= 16, "{} requests", outcome.requests);
}

#[test]
fn a_small_object_is_one_request() {
    let outcome = Run::new(Network::default(), MIB).simulate(1);
    assert_eq!((outcome.requests, outcome.dials), (1, 1));
}

#[test]
fn a_host_that_never_comes_back_is_given_up() {
    let gone = Network::default().outage(Duration::from_secs(1)..Duration::from_secs(3_000));
    let outcome = eight(gone, 128);
    assert_eq!(outcome.failure, Some(Class::Refused));
    assert!(outcome.time < Duration::from_secs(40), "{:?}", outcome.time);
}

#[test]
fn the_network_is_never_faster_than_it_can_be() {
    for (network, mib) in [
        (Network::default(), 64),
        (Network::default().total(10.0), 64),
        (Network::default().round_trip(100).dial_trips(2), 64),
        (Network::default().limit(3, Refusal::Refused), 32),
    ] {
        let best = network.best(mib * MIB, 8);
        let outcome = eight(network.clone(), mib);
        // A step of time is the precision.
        assert!(
            outcome.time + Duration::from_millis(1) >= best,
            "{network:?}: {:?} of {best:?}",
            outcome.time
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    let network = Network::default().rate(8.0).resets(4.0);
    let run = Run::new(network, 64 * MIB);
    let show = |seed| format!("{:?}", run.simulate(seed));
    assert_eq!(show(5), show(5));
    assert!((6..12).any(|seed| show(seed) != show(5)));
}
