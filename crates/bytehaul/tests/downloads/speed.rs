//! How fast it may be and how slow it must not be: limits, stragglers, and what is fetched once.

use std::time::{Duration, Instant};

use bytehaul::{DownloadSpec, Downloader};
use bytehaul_testkit::{Behaviour, Effect, Object, When};

use crate::common::{Bed, KIB, MIB, at_once, ended, until};

const LEN: u64 = 6 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

async fn rate_of(downloader: &Downloader, specs: Vec<DownloadSpec>) -> f64 {
    let began = Instant::now();
    let handles: Vec<_> = specs
        .into_iter()
        .map(|spec| downloader.download(spec))
        .collect();
    let mut bytes = 0;
    for handle in &handles {
        bytes += ended(handle).await.expect("completes").bytes;
    }
    bytes as f64 / began.elapsed().as_secs_f64()
}

fn is_about(rate: f64, expected: u64) {
    let expected = expected as f64;
    assert!(
        (expected * 0.8..expected * 1.2).contains(&rate),
        "{rate} a second instead of {expected}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_a_download_holds() {
    for connections in [1, 8] {
        let bed = Bed::serving(&object());
        let spec = bed
            .spec()
            .max_connections(connections)
            .max_download_speed(4 * MIB);
        is_about(rate_of(&bed.downloader, vec![spec]).await, 4 * MIB);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_over_all_downloads_holds() {
    let mut bed = Bed::new();
    bed.downloader = Downloader::builder()
        .proxy_from_env(false)
        .max_download_speed(6 * MIB)
        .build()
        .expect("fine");
    let specs = (0..3)
        .map(|n| {
            let path = format!("/f{n}");
            bed.server.serve(&path, Object::random(n, 3 * MIB));
            bed.spec_of(&path).output_path(bed.path(&path[1..]))
        })
        .collect();
    is_about(rate_of(&bed.downloader, specs).await, 6 * MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_can_be_lifted_while_it_runs() {
    let mut bed = Bed::serving(&object());
    bed.downloader = Downloader::builder()
        .proxy_from_env(false)
        .max_download_speed(200 * KIB)
        .build()
        .expect("fine");
    let handle = bed.start(bed.spec().max_connections(4));
    until(&handle, |progress| progress.received > 0).await;
    bed.downloader.set_max_download_speed(0);
    at_once(async { drop(ended(&handle).await.expect("completes")) }).await;
    bed.is_published(&object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_fetched_twice() {
    for (len, most_requests) in [(1, 1), (KIB, 1), (5 * MIB, 1), (30 * MIB, 32)] {
        let object = Object::random(1, len);
        let bed = Bed::serving(&object);
        let spec = DownloadSpec::new(bed.server.url("/f")).output_path(bed.target());
        let outcome = bed.completes(spec, &object).await;
        let log = bed.server.requests();
        assert!(
            log.len() <= most_requests,
            "{} requests for {len} bytes",
            log.len()
        );
        assert!(log.iter().all(|request| request.method == "GET"), "{log:?}");
        // With several connections a lease may be cut short while its bytes are on their way.
        let allowed = if most_requests == 1 {
            len
        } else {
            len + len / 10
        };
        let (fetched, sent) = (outcome.fetched, bed.server.bytes_sent());
        assert!((len..=allowed).contains(&fetched), "{fetched} of {len}");
        assert!((len..=allowed).contains(&sent), "{sent} of {len}: {log:?}");
        assert_eq!((outcome.retries, outcome.restarts), (0, 0));
    }
}

/// On a slow line the tail is shared out and raced; that costs a little and not another copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tail_race_is_bounded() {
    let object = Object::random(1, 12 * MIB);
    let bed = Bed::serving(&object.clone().behaviour(Behaviour::new().rate(2 * MIB)));
    let outcome = bed.completes(bed.spec().max_connections(8), &object).await;
    assert!(outcome.connections > 1, "{outcome:?}");
    assert!(
        outcome.fetched <= object.len() + 2 * MIB,
        "{} fetched",
        outcome.fetched
    );
}

/// Nobody waits at the end for the one that crawls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slow_connection_does_not_hold_up_the_end() {
    let crawls = Behaviour::new().rate(2 * MIB).when(
        When::Connections { every: 4, index: 1 },
        Effect::Rate(20 * KIB),
    );
    let bed = Bed::serving(&object().behaviour(crawls));
    let outcome = bed
        .completes(bed.spec().max_connections(4), &object())
        .await;
    // Its first lease alone would take a minute and more.
    assert!(outcome.elapsed < Duration::from_secs(6), "{outcome:?}");
    assert!(outcome.fetched <= LEN + 2 * MIB, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_does_not_begin_with_a_burst() {
    let bed = Bed::serving(&object());
    let handle = bed.start(bed.spec().max_connections(8).max_download_speed(MIB));
    until(&handle, |progress| progress.received > 0).await;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let fair = MIB as f64 * began.elapsed().as_secs_f64();
    let progress = handle.progress();
    assert!(
        (progress.received as f64) < fair + 400.0 * KIB as f64,
        "{progress:?}"
    );
    handle.cancel().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_downloads_share_a_limit_fairly() {
    let mut bed = Bed::new();
    bed.downloader = Downloader::builder()
        .proxy_from_env(false)
        .max_download_speed(4 * MIB)
        .build()
        .expect("fine");
    let start = |path: &str, connections| {
        bed.server.serve(path, object());
        bed.start(
            bed.spec_of(path)
                .output_path(bed.path(&path[1..]))
                .max_connections(connections),
        )
    };
    let (many, one) = (start("/many", 8), start("/one", 1));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (many_has, one_has) = (many.progress().received, one.progress().received);
    assert!(
        one_has * 2 > many_has && many_has * 2 > one_has,
        "{many_has} and {one_has}"
    );
    drop((many.cancel(), one.cancel()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_an_error_is_not_fetched_to_its_end() {
    let page = Effect::status(503).body(vec![b'x'; 48 << 20]);
    let bed = Bed::serving(&object().behaviour(Behaviour::new().when(When::Requests(0..1), page)));
    bed.completes(bed.spec().max_connections(1), &object())
        .await;
    let wasted = bed.server.bytes_sent() - LEN;
    assert!(wasted < 16 * MIB, "{wasted} bytes of the page were sent");
}
