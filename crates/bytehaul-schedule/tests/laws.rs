//! The laws of scheduling on arbitrary behaviour of the host: nothing twice, nothing forgotten, no end without an end.

mod host;

use std::num::NonZeroU32;
use std::time::Duration;

use bytehaul_schedule::{
    ByteRange, Class, Config, Connections, Event, Failure, LeaseId, RangeSet, RetryPolicy, SourceId,
};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use self::host::Host;

const MIB: u64 = 1 << 20;

/// What the host does next. Numbers choose among the live requests.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Accept(usize, u64),
    Bring(usize, u64),
    Fail(usize, Class, Option<u64>),
    Invalidate(u64, u64),
    HostLimit(u32, u32),
    Trust(u32),
    Quarantine(u32),
    Reserve(u32),
    HostHeld(u32, u64),
    Connections(Option<u32>),
    Stale(usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![
        5 => Just(Class::Transient),
        2 => Just(Class::Throttled),
        2 => Just(Class::Refused),
        1 => Just(Class::Withdrawn),
    ];
    let which = 0..16usize;
    prop_oneof![
        4 => (1..3_000u64).prop_map(Step::Wait),
        8 => (which.clone(), 0..300u64).prop_map(|(which, millis)| Step::Accept(which, millis)),
        12 => (which.clone(), 0..6 * MIB).prop_map(|(which, bytes)| Step::Bring(which, bytes)),
        3 => (which.clone(), class, proptest::option::of(0..20u64)).prop_map(|(which, class, after)| Step::Fail(which, class, after)),
        1 => (0..64 * MIB, 1..4 * MIB).prop_map(|(start, len)| Step::Invalidate(start, len)),
        1 => (0..3u32, 0..10u32).prop_map(|(source, n)| Step::HostLimit(source, n)),
        2 => (1..4u32).prop_map(Step::Trust),
        1 => (1..4u32).prop_map(Step::Quarantine),
        1 => (0..4u32).prop_map(Step::Reserve),
        1 => (0..3u32, 0..9_000u64).prop_map(|(source, millis)| Step::HostHeld(source, millis)),
        1 => proptest::option::of(0..12u32).prop_map(Step::Connections),
        2 => (which, any::<u64>()).prop_map(|(which, position)| Step::Stale(which, position)),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let connections = prop_oneof![
        (1..12u32).prop_map(Connections::fixed),
        Just(Connections::Auto)
    ];
    let window = proptest::option::weighted(0.2, 0..16 * MIB);
    (connections, 1..9u32, 0..16 * MIB, window).prop_map(
        |(connections, start, min_split, window)| {
            Config::default()
                .connections(connections)
                .start_connections(NonZeroU32::new(start).unwrap())
                .min_split(min_split)
                .window(window)
                .retry(RetryPolicy::default().max_retries(u32::MAX))
        },
    )
}

/// A length, a piece size, and what an earlier run left.
fn plan() -> impl Strategy<Value = (u64, u64, RangeSet)> {
    let done = proptest::collection::vec((0..64 * MIB, 1..8 * MIB), 0..5);
    (0..64 * MIB, 1..4 * MIB, done).prop_map(|(len, piece_size, done)| {
        (
            len,
            piece_size,
            done.into_iter()
                .filter_map(|(start, len)| ByteRange::with_len(start, len))
                .collect(),
        )
    })
}

fn nth(host: &Host, which: usize) -> Option<LeaseId> {
    host.requests
        .keys()
        .copied()
        .nth(which % host.requests.len().max(1))
}

fn play(host: &mut Host, step: &Step) {
    match *step {
        Step::Wait(millis) => host.wait(millis),
        Step::Accept(which, millis) => {
            if let Some(lease) = nth(host, which) {
                host.accept(lease, millis);
            }
        }
        Step::Bring(which, bytes) => {
            if let Some(lease) = nth(host, which).filter(|lease| host.requests[lease].accepted) {
                host.bring(lease, bytes);
            }
        }
        Step::Fail(which, class, after) => {
            if let Some(lease) = nth(host, which) {
                host.fail(lease, class, after.map(Duration::from_secs));
            }
        }
        Step::Invalidate(start, len) => host.invalidate(ByteRange::with_len(start, len).unwrap()),
        Step::HostLimit(source, connections) => host.tell(Event::HostLimit {
            source: SourceId(source),
            connections,
        }),
        Step::Trust(source) => host.trust(SourceId(source)),
        Step::Quarantine(source) => host.quarantine(SourceId(source)),
        Step::Reserve(connections) => host.tell(Event::Reserved { connections }),
        Step::HostHeld(source, millis) => host.tell(Event::HostHeld {
            source: SourceId(source),
            until: host.now + Duration::from_millis(millis),
        }),
        Step::Connections(n) => host.tell(Event::SetConnections(
            n.map_or(Connections::Auto, Connections::fixed),
        )),
        Step::Stale(which, position) => stale(host, which, position),
    }
}

/// Everything that could still be said of a lease that has ended; none of it may change anything.
fn stale(host: &mut Host, which: usize, position: u64) {
    let Some(&lease) = host.ended.get(which % host.ended.len().max(1)) else {
        return;
    };
    let latency = Duration::from_millis(position % 1_000);
    let events = [
        Event::Accepted { lease, latency },
        Event::Progress { lease, position },
        Event::Shrunk {
            lease,
            end: position,
        },
        Event::Failed {
            lease,
            failure: Failure::new(Class::Fatal),
        },
    ];
    host.act();
    let before = format!(
        "{:?}",
        (
            host.scheduler.done(),
            host.scheduler.leases().collect::<Vec<_>>(),
            host.scheduler.connections()
        )
    );
    for event in events {
        host.scheduler.handle(host.now, event);
        let after = format!(
            "{:?}",
            (
                host.scheduler.done(),
                host.scheduler.leases().collect::<Vec<_>>(),
                host.scheduler.connections()
            )
        );
        assert_eq!(before, after);
    }
    host.act();
}

/// From now on the host serves everything; then the transfer has to end.
fn serve(host: &mut Host) {
    for _ in 0..20_000 {
        if host.is_over() {
            return;
        }
        let leases: Vec<_> = host.requests.keys().copied().collect();
        if leases.is_empty() {
            host.sleep();
        }
        for lease in leases {
            if host
                .requests
                .get(&lease)
                .is_some_and(|request| !request.accepted)
            {
                host.accept(lease, 10);
            }
            host.bring(lease, MIB / 2);
        }
        host.wait(50);
    }
    panic!("never ends: {:?}", host.scheduler);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_byte_once_and_always_an_end(
        (len, piece_size, done) in plan(),
        config in config(),
        steps in proptest::collection::vec(step(), 0..150),
        claim in prop_oneof![Just(0), Just(256 << 10)],
        seed in any::<u64>(),
    ) {
        let mut host = Host::new(len, piece_size, done, config, seed);
        host.claim = claim;
        host.act();
        for step in &steps {
            play(&mut host, step);
        }
        serve(&mut host);
        prop_assert!(host.scheduler.is_finished());
        prop_assert!(host.scheduler.missing().is_empty());
    }

    /// A host that answers nothing but failures uses the budget up, in bounded time and without hammering.
    #[test]
    fn hopeless_transfers_fail(
        class in prop_oneof![Just(Class::Transient), Just(Class::Throttled), Just(Class::Refused)],
        retries in 0..6u32,
        start in 1..9u32,
        seed in any::<u64>(),
    ) {
        let config = Config::default()
            .start_connections(NonZeroU32::new(start).unwrap())
            .retry(RetryPolicy::default().max_retries(retries));
        let mut host = Host::new(64 * MIB, MIB, RangeSet::new(), config, seed);
        host.act();
        let begin = host.now;
        while !host.is_over() {
            let Some(lease) = nth(&host, 0) else {
                host.sleep();
                continue;
            };
            host.fail(lease, class, None);
        }
        prop_assert!(host.scheduler.is_failed());
        prop_assert!(host.seen.len() as u32 <= start + retries, "{} requests", host.seen.len());
        prop_assert!(host.now - begin <= Duration::from_secs(1 << retries));
    }
}
