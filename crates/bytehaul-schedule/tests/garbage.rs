//! Events that no sane driver sends: whatever is said, nothing panics and the books stay right.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use bytehaul_schedule::{
    ByteRange, Class, Config, Connections, Event, Failure, LeaseId, Plan, RetryPolicy, Scheduler,
    SourceId,
};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Any number, but often one that means something.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..70_000_000u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn range() -> impl Strategy<Value = ByteRange> {
    (number(), number()).prop_map(|(one, other)| {
        let start = one.min(other).min(u64::MAX - 1);
        ByteRange::new(start, one.max(other).max(start + 1)).unwrap()
    })
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![3 => (0..5_000u64).prop_map(Duration::from_millis), 1 => Just(Duration::MAX), 1 => Just(Duration::ZERO)]
}

fn failure() -> impl Strategy<Value = Failure> {
    let class = prop_oneof![
        10 => Just(Class::Transient),
        10 => Just(Class::Throttled),
        10 => Just(Class::Refused),
        1 => Just(Class::Fatal),
        1 => Just(Class::RangesUnreliable),
        2 => Just(Class::Withdrawn),
    ];
    (class, proptest::option::of(duration())).prop_map(|(class, retry_after)| {
        let failure = Failure::new(class);
        retry_after.map_or(failure, |wait| failure.retry_after(wait))
    })
}

fn source() -> impl Strategy<Value = SourceId> {
    (0..4u32).prop_map(SourceId)
}

fn event() -> impl Strategy<Value = Event> {
    let lease = || (0..40u64).prop_map(LeaseId);
    prop_oneof![
        4 => (lease(), duration()).prop_map(|(lease, latency)| Event::Accepted { lease, latency }),
        6 => (lease(), number()).prop_map(|(lease, position)| Event::Progress { lease, position }),
        2 => (lease(), failure()).prop_map(|(lease, failure)| Event::Failed { lease, failure }),
        2 => (lease(), number()).prop_map(|(lease, end)| Event::Shrunk { lease, end }),
        1 => range().prop_map(|range| Event::Invalidated { range }),
        1 => (source(), any::<u32>()).prop_map(|(source, connections)| Event::HostLimit { source, connections }),
        1 => source().prop_map(|source| Event::Trusted { source }),
        1 => source().prop_map(|source| Event::Lost { source }),
        1 => any::<u32>().prop_map(|connections| Event::Reserved { connections }),
        1 => (source(), any::<u32>()).prop_map(|(source, secs)| Event::HostHeld {
            source,
            until: Instant::now() + Duration::from_secs(u64::from(secs)),
        }),
        1 => any::<u32>().prop_map(|n| Event::SetConnections(Connections::fixed(n))),
        1 => Just(Event::SetConnections(Connections::Auto)),
        2 => Just(Event::Tick),
    ]
}

fn policy() -> impl Strategy<Value = RetryPolicy> {
    (any::<u32>(), duration(), duration(), duration(), number()).prop_map(
        |(retries, base, most, after, renew)| {
            RetryPolicy::default()
                .max_retries(retries)
                .base_delay(base)
                .max_delay(most)
                .max_retry_after(after)
                .renew_bytes(renew)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_panics_and_the_books_stay_right(
        len in number(),
        piece_size in 1..=u64::MAX,
        policy in policy(),
        connections in any::<u32>(),
        window in proptest::option::of(number()),
        adopted in range(),
        events in proptest::collection::vec((event(), 0..5_000u64), 0..100),
    ) {
        let config = Config::default().connections(Connections::fixed(connections)).window(window).retry(policy);
        let mut scheduler = Scheduler::new(Plan::new(len, NonZeroU64::new(piece_size).unwrap()), config, len);
        let start = Instant::now() + Duration::from_secs(10);
        let mut now = start;
        scheduler.adopt(now, adopted, Duration::MAX);
        for (event, millis) in events {
            let received = scheduler.received();
            let invalidates = matches!(event, Event::Invalidated { .. });
            // Now and then the clock runs backwards.
            now = if millis % 13 == 0 { start } else { now + Duration::from_millis(millis) };
            scheduler.handle(now, event);
            prop_assert!(invalidates || scheduler.received() >= received);
            for step in 0.. {
                prop_assert!(step < 2_000, "never waits");
                if scheduler.poll_action(now).is_none() {
                    break;
                }
            }
            prop_assert_eq!(scheduler.poll_action(now), None);
            prop_assert_eq!(scheduler.missing().covered() + scheduler.received(), len);
            for (_, rest) in scheduler.leases() {
                prop_assert!(rest.end() <= len);
            }
            let _ = (scheduler.rate(now), scheduler.eta(now), scheduler.poll_timeout(), scheduler.host_limit(SourceId::PRIMARY));
        }
    }
}
