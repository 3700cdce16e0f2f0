//! The commands, each in a file of its own.

#[cfg(feature = "demo")]
pub(crate) mod demo;
pub(crate) mod get;
pub(crate) mod put;
mod stream;

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

/// A clock for progress; the first tick comes after one period.
fn ticks(period: Duration) -> Interval {
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for the next tick, for ever when nothing wants to be shown.
async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}
