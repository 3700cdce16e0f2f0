//! What the limiter promises, measured in virtual time; one test each in real time and across threads.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytehaul_ratelimit::{BytesPerSecond, Limiter};
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Connections that take a quantum at a time for as long as they are let.
#[derive(Default)]
struct Load {
    tasks: JoinSet<()>,
    counts: Vec<Arc<AtomicU64>>,
}

impl Load {
    fn connect(mut self, limiter: &Limiter, connections: usize) -> Self {
        for _ in 0..connections {
            let (limiter, count) = (limiter.clone(), Arc::new(AtomicU64::new(0)));
            self.counts.push(Arc::clone(&count));
            self.tasks.spawn(async move {
                loop {
                    let quantum = limiter.quantum().expect("the load needs a limit");
                    limiter.acquire(quantum).await;
                    count.fetch_add(quantum, Ordering::Relaxed);
                }
            });
        }
        self
    }

    /// Bytes of each connection within the time, in the order of connecting.
    async fn measure(&self, time: Duration) -> Vec<u64> {
        let read = || {
            self.counts
                .iter()
                .map(|count| count.load(Ordering::Relaxed))
                .collect::<Vec<_>>()
        };
        let before = read();
        sleep(time).await;
        read()
            .iter()
            .zip(before)
            .map(|(after, before)| after - before)
            .collect()
    }
}

fn rate(bytes: u64) -> BytesPerSecond {
    BytesPerSecond::new(bytes).unwrap()
}

#[track_caller]
fn assert_close(got: u64, want: u64, percent: u64) {
    assert!(
        got.abs_diff(want) * 100 <= want * percent,
        "{got} is not within {percent} % of {want}"
    );
}

#[tokio::test(start_paused = true)]
async fn eight_connections_keep_the_rate_and_share_it() {
    for bytes in [20_000, 500_000, MIB, 33_333_333, 333_333_333, 3_000_000_000] {
        let load = Load::default().connect(&Limiter::new(rate(bytes)), 8);
        let each = load.measure(Duration::from_secs(5)).await;
        assert_close(each.iter().sum(), 5 * bytes, 3);
        // Who comes first has a turn before the others are there.
        let even = 5 * bytes / 8;
        let turn = Limiter::new(rate(bytes)).quantum().unwrap();
        assert!(
            each.iter()
                .all(|count| count.abs_diff(even) <= even / 10 + turn),
            "{each:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_connections_keep_the_rate_in_real_time() {
    let (started, load) = (
        Instant::now(),
        Load::default().connect(&Limiter::new(rate(50 * MIB)), 8),
    );
    let each = load.measure(Duration::from_secs(2)).await;
    let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap();
    assert_close(each.iter().sum(), 50 * MIB * elapsed / 1000, 5);
    for count in each {
        assert_close(count, 50 * MIB * elapsed / 8000, 10);
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_share_evenly_whatever_their_connections() {
    let global = Limiter::new(rate(8 * MIB));
    let (one, many, direct) = (global.child(None), global.child(None), global.clone());
    let load = Load::default()
        .connect(&one, 1)
        .connect(&many, 6)
        .connect(&direct, 3);
    let each = load.measure(Duration::from_secs(5)).await;
    let third = 5 * 8 * MIB / 3;
    assert_close(each[0], third, 5);
    assert_close(each[1..7].iter().sum(), third, 5);
    assert_close(each[7..].iter().sum(), third, 5);
}

#[tokio::test(start_paused = true)]
async fn groups_share_evenly_whatever_their_tasks() {
    let global = Limiter::new(rate(8 * MIB));
    let (small, large) = (global.child(None), global.child(None));
    let mut load = Load::default().connect(&small, 1).connect(&large, 1);
    for _ in 0..4 {
        load = load.connect(&large.child(None), 1);
    }
    let each = load.measure(Duration::from_secs(5)).await;
    assert_close(each[0], 20 * MIB, 5);
    for task in &each[1..] {
        assert_close(*task, 4 * MIB, 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_task_gets_its_own_rate_and_leaves_the_rest() {
    let global = Limiter::new(rate(10 * MIB));
    let slow = global.child(Some(rate(MIB)));
    let mut load = Load::default().connect(&slow, 2);
    for _ in 0..4 {
        load = load.connect(&global.child(None), 4);
    }
    let each = load.measure(Duration::from_secs(5)).await;
    assert_close(each.iter().sum(), 50 * MIB, 3);
    assert_close(each[..2].iter().sum(), 5 * MIB, 6);
    for task in each[2..].chunks(4) {
        assert_close(task.iter().sum(), 45 * MIB / 4, 5);
    }
}

#[tokio::test(start_paused = true)]
async fn the_slowest_level_of_three_holds() {
    for rates in [[8, 4, 2], [2, 4, 8], [4, 2, 8]] {
        let top = Limiter::new(rate(rates[0] * MIB));
        let leaf = top
            .child(Some(rate(rates[1] * MIB)))
            .child(Some(rate(rates[2] * MIB)));
        let each = Load::default()
            .connect(&leaf, 4)
            .measure(Duration::from_secs(3))
            .await;
        assert_close(each.iter().sum(), 3 * 2 * MIB, 4);
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_notice_a_new_rate() {
    for faster in [Some(rate(10 * MIB)), None] {
        let limiter = Limiter::new(rate(10));
        let mut waiting = JoinSet::new();
        for _ in 0..8 {
            let limiter = limiter.clone();
            waiting.spawn(async move { limiter.acquire(20 * KIB).await });
        }
        sleep(Duration::from_secs(5)).await;
        assert!(
            waiting.try_join_next().is_none(),
            "10 B/s lets nobody through in 5 s"
        );
        limiter.set_rate(faster);
        timeout(Duration::from_millis(100), waiting.join_all())
            .await
            .expect("waiters notice within 100 ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_parents_new_rate_reaches_those_who_wait_below() {
    let global = Limiter::new(rate(10));
    let task = global.child(Some(rate(10 * MIB)));
    let waiting = tokio::spawn(async move { task.acquire(20 * KIB).await });
    sleep(Duration::from_secs(5)).await;
    assert!(!waiting.is_finished());
    global.set_rate(Some(rate(20 * MIB)));
    timeout(Duration::from_millis(100), waiting)
        .await
        .expect("in time")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn up_and_down_while_running() {
    let limiter = Limiter::new(rate(MIB));
    for bytes in [MIB, 64 * MIB, 100_000, 5 * MIB, 20 * KIB, MIB] {
        limiter.set_rate(Some(rate(bytes)));
        assert_eq!(limiter.rate(), Some(rate(bytes)));
        let load = Load::default().connect(&limiter, 8);
        let each = load.measure(Duration::from_secs(10)).await;
        assert_close(each.iter().sum(), 10 * bytes, 5);
    }
}

#[tokio::test(start_paused = true)]
async fn changing_the_rate_often_neither_leaks_nor_starves() {
    let limiter = Limiter::new(rate(MIB));
    let load = Load::default().connect(&limiter, 4);
    let flip = tokio::spawn(async move {
        for turn in 0.. {
            limiter.set_rate(Some(rate(MIB + turn % 2)));
            sleep(Duration::from_millis(3)).await;
        }
    });
    let each = load.measure(Duration::from_secs(5)).await;
    flip.abort();
    assert_close(each.iter().sum(), 5 * MIB, 3);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_waiter_takes_nothing() {
    let limiter = Limiter::new(rate(100 * KIB));
    limiter.acquire(KIB).await;
    for _ in 0..50 {
        let mut given_up = Box::pin(limiter.acquire(MIB));
        assert!(poll_once(given_up.as_mut()).is_pending());
        let mut behind = Box::pin(limiter.acquire(MIB));
        assert!(poll_once(behind.as_mut()).is_pending());
        drop(given_up);
    }
    let started = Instant::now();
    limiter.acquire(100 * KIB).await;
    assert!(
        started.elapsed() <= Duration::from_millis(1005),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn the_line_moves_on_when_waiters_are_dropped() {
    let limiter = Limiter::new(rate(100 * KIB)).child(None);
    let mut waiting: Vec<_> = (0..20)
        .map(|_| Box::pin(limiter.acquire(10 * KIB)))
        .collect();
    for acquire in &mut waiting {
        assert!(poll_once(acquire.as_mut()).is_pending());
    }
    let last = waiting.pop().unwrap();
    waiting.truncate(1);
    waiting.clear();
    timeout(Duration::from_millis(150), last)
        .await
        .expect("nobody is ahead any more");
}

#[tokio::test(start_paused = true)]
async fn the_first_burst_is_one_quantum() {
    for bytes in [1, 100 * KIB, MIB, 100 * MIB] {
        let limiter = Limiter::new(rate(bytes));
        let quantum = limiter.quantum().unwrap();
        assert!(poll_once(pin!(limiter.acquire(quantum))).is_ready());
        assert!(poll_once(pin!(limiter.acquire(1))).is_pending());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_up_anywhere_in_the_tree_blocks_nobody() {
    let global = Limiter::new(rate(200 * MIB));
    let tasks = [
        global.clone(),
        global.child(None),
        global.child(Some(rate(50 * MIB))),
    ];
    let mut users = JoinSet::new();
    for seed in 0..24 {
        let limiter = tasks[seed % tasks.len()].clone();
        users.spawn(async move {
            for round in 0..40 {
                let patience = Duration::from_micros((seed * 131 + round * 977) as u64 % 3000);
                let _ = timeout(patience, limiter.acquire(300 * KIB)).await;
            }
        });
    }
    users.join_all().await;
    for limiter in tasks {
        timeout(Duration::from_secs(1), limiter.acquire(MIB))
            .await
            .expect("the way is free");
    }
}

#[test]
fn unlimited_needs_neither_time_nor_runtime() {
    let limiter = Limiter::unlimited().child(None).child(None);
    for bytes in [0, 1, u64::MAX] {
        assert!(poll_once(pin!(limiter.acquire(bytes))).is_ready());
    }
    assert_eq!(limiter.quantum(), None);
    assert_eq!(limiter.rate(), None);
}

#[test]
fn quantum_is_that_of_the_slowest_level() {
    let check = |bytes, want| assert_eq!(Limiter::new(rate(bytes)).quantum(), Some(want));
    check(1, KIB);
    check(MIB, 10_485);
    check(10_000 * MIB, 256 * KIB);
    let slow = Limiter::new(rate(MIB));
    assert_eq!(slow.child(Some(rate(100 * MIB))).quantum(), Some(10_485));
    assert_eq!(slow.child(Some(rate(1))).quantum(), Some(KIB));
    assert_eq!(slow.child(None).quantum(), Some(10_485));
}

#[test]
fn it_can_be_shared_and_shown() {
    fn shared<T: Send + Sync + 'static>(value: T) -> T {
        value
    }
    fn sent<F: Future + Send>(future: F) -> F {
        future
    }
    let limiter = shared(Limiter::new(rate(7)).child(None));
    assert!(poll_once(pin!(sent(limiter.acquire(0)))).is_ready());
    assert_eq!(format!("{limiter:?}"), "Limiter([None, Some(7)])");
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Between any two moments no more passes than the rate allows, a burst, and the grant that ends the window.
    #[test]
    fn no_window_holds_more_than_a_burst(
        bytes_per_second in prop_oneof![100..10_000_u64, 10_000..100_000_000_u64, 100_000_000..20_000_000_000_u64],
        steps in prop::collection::vec((0..400_u64, 1..100_u64), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let log = runtime.block_on(async {
            let limiter = Limiter::new(rate(bytes_per_second));
            let mut log = Vec::new();
            for (pause, share) in steps {
                if pause > 200 {
                    sleep(Duration::from_millis(pause)).await;
                }
                let bytes = (limiter.quantum().unwrap() * share / 100).max(1);
                limiter.acquire(bytes).await;
                log.push((Instant::now(), bytes));
            }
            log
        });
        let burst = (bytes_per_second / 20).max(4 * KIB);
        for from in 0..log.len() {
            let mut passed = 0;
            for (at, bytes) in &log[from..] {
                passed += bytes;
                let window = at.duration_since(log[from].0).as_nanos();
                let allowed = window * u128::from(bytes_per_second) / 1_000_000_000;
                prop_assert!(u128::from(passed) <= allowed + u128::from(burst) + 1, "{passed} in {window} ns");
            }
        }
    }
}
