//! The commands, each in a file of its own.

pub(crate) mod asked;
#[cfg(feature = "demo")]
pub(crate) mod demo;
pub(crate) mod get;
pub(crate) mod presign;
pub(crate) mod put;
#[cfg(feature = "queue")]
pub(crate) mod queue;
mod stream;
pub(crate) mod uploads;

use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::output::Output;
use crate::signals::Signals;

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

/// Waits until the reader of stdout has been given everything: for ever, but only for [`GRACE`] once a signal has come.
async fn written(output: &mut Output, signals: &mut Signals) -> Result<(), Elapsed> {
    tokio::select! {
        () = output.written() => return Ok(()),
        () = signals.asked() => {}
    }
    tokio::time::timeout(GRACE, output.written()).await
}

/// How long a reader may take after a signal.
const GRACE: Duration = Duration::from_secs(1);
