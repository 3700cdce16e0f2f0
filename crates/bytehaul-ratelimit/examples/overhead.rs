//! What an acquire costs when nothing limits it, and when a rate does that is never reached.
//!
//! `cargo run --release -p bytehaul-ratelimit --example overhead`

use std::time::{Duration, Instant};

use bytehaul_ratelimit::{BytesPerSecond, Limiter};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let unlimited = Limiter::unlimited();
    report("unlimited", &unlimited).await;
    report("unlimited below unlimited", &unlimited.child(None)).await;
    let fast = Limiter::new(BytesPerSecond::new(u64::MAX >> 8).expect("not zero"));
    report("limited", &fast).await;
    report("limited below limited", &fast.child(fast.rate())).await;
}

async fn report(name: &str, limiter: &Limiter) {
    let started = Instant::now();
    for _ in 0..ROUNDS {
        std::hint::black_box(limiter).acquire(1).await;
    }
    println!("{name}: {:?} an acquire", started.elapsed() / ROUNDS);
    // Lets the bucket fill again.
    tokio::time::sleep(Duration::from_millis(1)).await;
}

const ROUNDS: u32 = 2_000_000;
