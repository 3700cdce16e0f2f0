//! Limiters in a tree: which gates an acquire goes through, and in what order.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::BytesPerSecond;
use crate::gate::Gate;
use crate::turns::Flow;

/// Limits how many bytes pass per second, shared by all its clones and all its [children](Self::child).
///
/// Fair: those who wait directly at one limiter are served first come, first served, at most 10 ms worth at a time; the
/// children of a limiter, and its direct users taken together, share it evenly by bytes, however many wait in each.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use bytehaul_ratelimit::{BytesPerSecond, Limiter};
///
/// let global = Limiter::new(BytesPerSecond::mib(4));
/// let task = global.child(Some(BytesPerSecond::kib(512)));
///
/// let started = tokio::time::Instant::now();
/// task.acquire(1024 * 1024).await; // from both
/// assert!(started.elapsed().as_millis().abs_diff(2000) < 100);
///
/// task.set_rate(None); // now the global rate alone holds
/// task.acquire(1024 * 1024).await;
/// assert!(started.elapsed().as_millis().abs_diff(2250) < 150);
/// # }
/// ```
#[derive(Clone)]
pub struct Limiter(Arc<Level>);

struct Level {
    gate: Gate,
    /// Direct users, first come, first served.
    line: Mutex<()>,
    /// The direct users together, at the own gate.
    direct: Flow,
    /// Everybody who comes through here, at the parent's gate.
    upward: Flow,
    parent: Option<Arc<Level>>,
}

impl Limiter {
    /// Limits to `rate`. The first bytes to pass at once are 10 ms worth, later ones after a pause 50 ms, at least 4 KiB.
    #[must_use]
    pub fn new(rate: BytesPerSecond) -> Self {
        Self::level(Some(rate), None)
    }

    /// Limits nothing, until [`set_rate`](Self::set_rate) says otherwise.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::level(None, None)
    }

    /// A limiter below this one: what is acquired from it is acquired from both. `None` adds no limit of its own.
    ///
    /// The child keeps its parent alive, not the other way around.
    #[must_use]
    pub fn child(&self, rate: Option<BytesPerSecond>) -> Self {
        Self::level(rate, Some(Arc::clone(&self.0)))
    }

    /// Changes the rate of this limiter, `None` for unlimited; those who wait notice at once.
    ///
    /// Bytes that the old rate had saved up carry over, as far as the new burst holds them.
    pub fn set_rate(&self, rate: Option<BytesPerSecond>) {
        self.0.gate.set_rate(rate);
    }

    /// The rate of this limiter alone, `None` if unlimited; a parent may be slower.
    #[must_use]
    pub fn rate(&self) -> Option<BytesPerSecond> {
        self.0.gate.rate()
    }

    /// How many bytes to move between two acquires, so that a transfer flows evenly; `None` if nothing limits it.
    ///
    /// 10 ms worth of the slowest limiter from here up, at least 1 KiB, at most 256 KiB. Costs one relaxed load for each
    /// level, as does all else when nothing is limited.
    #[must_use]
    pub fn quantum(&self) -> Option<u64> {
        self.chain()
            .filter_map(|level| level.gate.rate())
            .map(BytesPerSecond::quantum)
            .min()
    }

    /// Waits until `bytes` may pass. Returns without waiting when nothing limits it.
    ///
    /// Large numbers are granted a [quantum](Self::quantum) at a time, between those of others.
    ///
    /// # Cancel safety
    /// Dropping the future gives up its place. What was granted by then is spent: earlier quanta, and of the one that
    /// is being waited for, what limiters below the slow one have granted. Nobody else's place is lost.
    ///
    /// # Panics
    /// If it has to wait outside of a tokio runtime with its time driver enabled.
    pub async fn acquire(&self, bytes: u64) {
        let mut left = bytes;
        while left > 0 {
            let Some(quantum) = self.quantum() else {
                return;
            };
            left -= self.0.grant(left.min(quantum)).await;
        }
    }

    fn level(rate: Option<BytesPerSecond>, parent: Option<Arc<Level>>) -> Self {
        Self(Arc::new(Level {
            gate: Gate::new(rate),
            line: Mutex::new(()),
            direct: Flow::default(),
            upward: Flow::default(),
            parent,
        }))
    }

    fn chain(&self) -> impl Iterator<Item = &Level> {
        self.0.chain()
    }
}

impl Level {
    /// Takes up to `bytes` at every gate from here up; says how many.
    ///
    /// The turns below are held while a gate above is waited for: so a child is one flow to its parent, not as many as it
    /// has users.
    async fn grant(&self, bytes: u64) -> u64 {
        let _line = self.line.lock().await;
        let (turn, granted) = self.gate.pass(&self.direct, bytes).await;
        let mut held = vec![turn];
        let mut flow = &self.upward;
        for level in self.chain().skip(1) {
            let mut left = granted;
            while left > 0 {
                let size = level.gate.rate().map_or(left, |rate| left.min(rate.turn()));
                let (turn, part) = level.gate.pass(flow, size).await;
                left -= part;
                if left == 0 {
                    held.push(turn);
                }
            }
            flow = &level.upward;
        }
        granted
    }

    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |level| level.parent.as_deref())
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rates = self
            .chain()
            .map(|level| level.gate.rate().map(BytesPerSecond::get));
        f.debug_tuple("Limiter")
            .field(&rates.collect::<Vec<_>>())
            .finish()
    }
}
