//! What may pass by itself is tried again, as long and as soon as the caller and the server say; a refusal costs no data.

use std::time::{Duration, Instant};

use bytehaul::{DownloadError, ErrorKind};
use bytehaul_testkit::{Behaviour, Effect, Object, When};

use crate::common::{Bed, KIB, MIB};

const LEN: u64 = 6 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

/// The first two requests are hit; the third one is served.
fn at_first(effect: impl Into<Effect>) -> Behaviour {
    Behaviour::new().when(When::Requests(0..2), effect)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_at_the_start_passes() {
    let troubles: Vec<(&str, Effect)> = vec![
        ("408", Effect::status(408).into()),
        ("425", Effect::status(425).into()),
        ("429", Effect::status(429).into()),
        ("500", Effect::status(500).into()),
        ("502", Effect::status(502).into()),
        ("503", Effect::status(503).into()),
        ("504", Effect::status(504).into()),
        ("a reset before the head", Effect::ResetAfter(0)),
        ("an end before the head", Effect::Raw(Vec::new())),
        (
            "an end in the middle of the head",
            Effect::Raw(b"HTTP/1.1 200 OK\r\nContent-".to_vec()),
        ),
        (
            "something else than HTTP",
            Effect::Raw(b"220 smtp ready\r\n".to_vec()),
        ),
        ("a reset in the body", Effect::ResetAfter(100_000)),
        ("no answer", Effect::Hang),
        ("silence in the body", Effect::StallAfter(100_000)),
    ];
    for (name, effect) in troubles {
        println!("{name}");
        let object = Object::random(1, MIB);
        let bed = Bed::serving(&object.clone().behaviour(at_first(effect)));
        let spec = bed
            .spec()
            .max_connections(1)
            .read_timeout(Duration::from_millis(150));
        let outcome = bed.completes(spec, &object).await;
        assert!(outcome.fetched <= MIB + 300 * KIB, "{name}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_will_not_change_is_not_asked_for_again() {
    for status in [400, 401, 403, 404, 405, 410, 451] {
        let no = Behaviour::new().always(Effect::status(status));
        let bed = Bed::serving(&object().behaviour(no));
        let error = bed.fetch(bed.spec()).await.expect_err("no");
        assert_eq!(
            (error.code(), error.kind()),
            (109, ErrorKind::Server),
            "{error:?}"
        );
        assert_eq!(error.status().map(|found| found.as_u16()), Some(status));
        assert_eq!(bed.server.requests().len(), 1, "{status}");
        assert_eq!(bed.names(), Vec::<String>::new(), "{status}");
    }
}

/// Fails for ever in this way, within this budget: the error, and the number of requests.
async fn fails(effect: Effect, retries: u32, connections: u32) -> (DownloadError, u32) {
    let bed = Bed::serving(&object().behaviour(Behaviour::new().always(effect)));
    let spec = bed
        .spec()
        .max_connections(connections)
        .max_retries(retries)
        .read_timeout(Duration::from_millis(50));
    let error = bed.fetch(spec).await.expect_err("never");
    let requests = u32::try_from(bed.server.requests().len()).expect("few");
    (error, requests)
}

fn failures() -> [Effect; 4] {
    [
        Effect::status(503).into(),
        Effect::Raw(Vec::new()),
        Effect::ResetAfter(0),
        Effect::Hang,
    ]
}

/// One budget: as many requests as the caller allows, and not a product of several numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_is_what_the_caller_says() {
    for retries in [0, 1, 3] {
        for effect in failures() {
            let (error, requests) = fails(effect.clone(), retries, 1).await;
            assert_eq!(requests, retries + 1, "{effect:?}: {error:?}");
            assert_eq!(error.kind(), ErrorKind::Network, "{error:?}");
            let counted = match error {
                DownloadError::Network { retries, .. } | DownloadError::Status { retries, .. } => {
                    retries
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(counted, retries, "{effect:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_do_not_multiply_the_budget_without_end() {
    for effect in failures() {
        let (error, requests) = fails(effect.clone(), 2, 8).await;
        assert!(requests <= 3 * 8, "{requests} for {effect:?}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_holds_in_the_middle_as_well() {
    let dies = Behaviour::new()
        .when(When::Requests(0..1), Effect::ResetAfter(MIB))
        .when(When::From(1), Effect::status(503));
    let bed = Bed::serving(&object().behaviour(dies));
    let error = bed
        .fetch(bed.spec().max_connections(1).max_retries(2))
        .await
        .expect_err("never");
    assert_eq!(
        error.status().map(|found| found.as_u16()),
        Some(503),
        "{error:?}"
    );
    // The reset, two retries of it, and one more where progress had just renewed the budget.
    let requests = bed.server.requests().len();
    assert!((3..=4).contains(&requests), "{requests} requests");
    bed.is_kept();
    bed.server.behave("/f", Behaviour::new());
    assert!(bed.completes(bed.spec(), &object()).await.resumed_from > 0);
}

/// A line that breaks every 300 KiB breaks twenty times, and is never given up while it brings something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_renews_the_budget() {
    for effect in [
        Effect::ResetAfter(300 * KIB),
        Effect::TruncateAfter(300 * KIB),
    ] {
        for connections in [1, 4] {
            // At a rate at which nothing waits in the kernel, where a reset would destroy it.
            let breaks = Behaviour::new().rate(8 * MIB).always(effect.clone());
            let bed = Bed::serving(&object().behaviour(breaks));
            let spec = bed.spec().max_connections(connections).max_retries(2);
            let outcome = bed.completes(spec, &object()).await;
            assert!(outcome.retries > 8, "{outcome:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_at_random_bytes() {
    for half in [500, 900] {
        let resets = Behaviour::new()
            .when(When::Chance(half), Effect::ResetWithin(0..400 * KIB))
            .rate(8 * MIB);
        let bed = Bed::serving(&object().behaviour(resets));
        let spec = bed.spec().max_connections(8).max_retries(20);
        let outcome = bed.completes(spec, &object()).await;
        assert!(outcome.fetched <= LEN + 2 * MIB, "{outcome:?}");
    }
}

/// A connection that says nothing more does not hold up the others, long before its timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalls_of_a_few_connections() {
    let stalls = Behaviour::new()
        .when(
            When::Connections { every: 4, index: 2 },
            Effect::StallAfter(100 * KIB),
        )
        .rate(4 * MIB);
    let bed = Bed::serving(&object().behaviour(stalls));
    let began = Instant::now();
    let spec = bed
        .spec()
        .max_connections(4)
        .read_timeout(Duration::from_secs(20));
    bed.completes(spec, &object()).await;
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalls_of_every_connection() {
    let stalls = Behaviour::new().when(When::Requests(0..6), Effect::StallAfter(200 * KIB));
    let bed = Bed::serving(&object().behaviour(stalls));
    let spec = bed
        .spec()
        .max_connections(4)
        .read_timeout(Duration::from_millis(300));
    bed.completes(spec, &object()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_no_dead_one() {
    // 2 s in all, and never longer than a moment without a byte.
    let slow = Behaviour::new()
        .rate(40 * KIB)
        .always(Effect::SlowHead(Duration::from_millis(1)));
    let object = Object::random(1, 80 * KIB);
    let bed = Bed::serving(&object.clone().behaviour(slow));
    let outcome = bed
        .completes(bed.spec().read_timeout(Duration::from_millis(800)), &object)
        .await;
    assert_eq!(outcome.retries, 0);
    assert!(outcome.elapsed > Duration::from_millis(1500), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_longer_than_time_is_a_wait() {
    let later = Effect::status(503).retry_after_raw(u64::MAX.to_string());
    for first in [0, 1] {
        let behaviour = Behaviour::new()
            .total_rate(8 * MIB)
            .when(When::From(first), later.clone());
        let bed = Bed::serving(&object().behaviour(behaviour));
        let spec = bed.spec().max_connections(4).max_retry_after(Duration::MAX);
        let handle = bed.start(spec);
        crate::common::eventually("refused", || bed.server.requests().len() as u64 > first).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        handle.pause();
        let ended = handle.wait().await;
        assert!(matches!(ended, Err(DownloadError::Paused)), "{ended:?}");
    }
}
