//! When waiting for bytes has taken too long, told with one timer for a whole body.

use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Watches for a wait that is longer than the limit. Time in which nobody asked for bytes does not count.
///
/// The timer is registered once and left alone while bytes come; only when it fires is it compared with the last wait's
/// beginning. So a read costs no timer operation.
pub(crate) struct Stall {
    limit: Duration,
    deadline: Option<Instant>,
    /// The deadline has passed once. Bytes may have been there that the runtime had no time to notice.
    grace: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            deadline: None,
            grace: false,
            timer: None,
        }
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Bytes have come.
    pub(crate) fn progress(&mut self) {
        self.deadline = None;
        self.grace = false;
    }

    /// There are no bytes now: ready when that has been so for the whole limit, without progress in between.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut deadline = match self.deadline {
            Some(deadline) => deadline,
            None => *self.deadline.insert(after(self.limit)),
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            // A socket that is never empty, of bytes that are no body, must not use up the turn before the clock is seen.
            ready!(pin!(unconstrained(timer.as_mut())).poll(cx));
            if timer.deadline() >= deadline {
                if self.grace {
                    return Poll::Ready(());
                }
                self.grace = true;
                deadline = Instant::now() + GRACE;
                self.deadline = Some(deadline);
            }
            timer.as_mut().reset(deadline);
        }
    }
}

impl fmt::Debug for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stall")
            .field("limit", &self.limit)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// A limit may be as long as durations get, and is then as good as none.
fn after(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or(now + NEVER)
}

/// Some thirty years, which every clock has room for.
pub(crate) const NEVER: Duration = Duration::from_secs(1 << 30);

/// One turn of the runtime's driver after a blocked thread, with room.
const GRACE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    async fn expire(stall: &mut Stall) {
        std::future::poll_fn(|cx| stall.poll_expired(cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_lasts_for_the_limit() {
        let started = Instant::now();
        expire(&mut Stall::new(Duration::from_secs(5))).await;
        assert_eq!(
            started.elapsed().as_millis(),
            (Duration::from_secs(5) + GRACE).as_millis()
        );
    }

    #[tokio::test]
    async fn a_turn_that_is_used_up_does_not_stop_the_clock() {
        let mut stall = Stall::new(Duration::from_millis(20));
        let busy = std::future::poll_fn(|cx| {
            while let Poll::Ready(coop) = tokio::task::coop::poll_proceed(cx) {
                coop.made_progress();
            }
            stall.poll_expired(cx)
        });
        let started = std::time::Instant::now();
        let stopped = std::future::poll_fn(|_cx| match started.elapsed().as_secs() {
            0 | 1 => Poll::Pending,
            _ => Poll::Ready(()),
        });
        tokio::select! {
            () = busy => {}
            () = stopped => panic!("no end of patience"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn progress_begins_a_new_wait() {
        let mut stall = Stall::new(Duration::from_secs(5));
        for _ in 0..4 {
            let early = tokio::time::timeout(Duration::from_secs(4), expire(&mut stall)).await;
            assert!(early.is_err());
            stall.progress();
        }
        let started = Instant::now();
        expire(&mut stall).await;
        assert!(started.elapsed() >= Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn time_between_waits_does_not_count() {
        let mut stall = Stall::new(Duration::from_secs(5));
        assert!(
            tokio::time::timeout(Duration::from_secs(1), expire(&mut stall))
                .await
                .is_err()
        );
        stall.progress();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(
            tokio::time::timeout(Duration::from_secs(4), expire(&mut stall))
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_waits_add_up() {
        let mut stall = Stall::new(Duration::from_secs(5));
        let started = Instant::now();
        while tokio::time::timeout(Duration::from_millis(100), expire(&mut stall))
            .await
            .is_err()
        {}
        assert!(started.elapsed() < Duration::from_secs(6));
    }
}
