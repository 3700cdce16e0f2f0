//! The task of an HTTP/2 connection: frames in and out, and the pings that find out when nobody is there any more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use ::h2::client::Connection;
use ::h2::{Ping, PingPong};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::half::Half;
use super::{Load, exchange};
use crate::stream::Stream;

/// Dropping it closes the connection, and all requests on it fail.
pub(super) struct Driver {
    connection: Connection<Half, Bytes>,
    ping: Option<PingPong>,
    load: Arc<Load>,
    watch: Watch,
    every: Duration,
}

impl Driver {
    pub(super) fn new(
        mut connection: Connection<Half, Bytes>,
        load: Arc<Load>,
        patience: Duration,
        idle: Duration,
    ) -> Self {
        Self {
            ping: connection.ping_pong(),
            connection,
            load,
            watch: Watch::new(idle),
            // A ping at the first tick that is unanswered at the next: over before the patience is.
            every: (patience / 3).clamp(MIN_TICK, MAX_TICK),
        }
    }

    /// Runs until the peer closes the connection, does not answer any more, or has not been asked for anything for long.
    pub(super) async fn run(mut self) {
        let mut ticks = interval_at(Instant::now() + self.every, self.every);
        // After a pause of this process the peer gets its time to answer, rather than several ticks at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                ended = &mut self.connection => {
                    let error = ended.err().map(exchange::cause);
                    bytehaul_log::debug!(?error, "h2 connection ended");
                    break;
                }
                () = pong(&mut self.ping) => self.watch.pong(),
                now = ticks.tick() => {
                    let received = self.load.received.load(Ordering::Relaxed);
                    let streams = self.load.streams.load(Ordering::Relaxed);
                    match self.watch.tick(now, streams, received) {
                        Verdict::Fine => {}
                        Verdict::Ask => self.ask(),
                        Verdict::Idle => break,
                        Verdict::Dead => {
                            bytehaul_log::debug!("h2 connection does not answer");
                            break;
                        }
                    }
                }
            }
        }
        self.load.retired.store(true, Ordering::Relaxed);
    }

    fn ask(&mut self) {
        // Fails only with a connection that has ended, which its own future tells.
        if let Some(ping) = &mut self.ping {
            let _ = ping.send_ping(Ping::opaque());
        }
    }
}

/// Ready when a ping was answered. Never, when pings cannot be.
async fn pong(ping: &mut Option<PingPong>) {
    let answered = match ping {
        Some(ping) => std::future::poll_fn(|cx| ping.poll_pong(cx)).await.is_ok(),
        None => false,
    };
    if !answered {
        // The end of the connection is told by its own future.
        std::future::pending::<()>().await;
    }
}

/// What is known of the peer's life.
struct Watch {
    idle: Duration,
    /// A ping is out since the last tick, at which so many bytes had been received.
    asked: Option<u64>,
    idle_since: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// A ping is to be sent.
    Ask,
    /// Nobody has wanted anything for long.
    Idle,
    Dead,
}

impl Watch {
    fn new(idle: Duration) -> Self {
        Self {
            idle,
            asked: None,
            idle_since: None,
        }
    }

    fn pong(&mut self) {
        self.asked = None;
    }

    fn tick(&mut self, now: Instant, streams: usize, received: u64) -> Verdict {
        if streams == 0 {
            self.asked = None;
            let since = *self.idle_since.get_or_insert(now);
            return if now.duration_since(since) >= self.idle {
                Verdict::Idle
            } else {
                Verdict::Fine
            };
        }
        self.idle_since = None;
        match self.asked {
            None => {
                self.asked = Some(received);
                Verdict::Ask
            }
            // The answer may be behind megabytes of data in the peer's send buffer.
            Some(before) if before != received => {
                self.asked = Some(received);
                Verdict::Fine
            }
            Some(_) => Verdict::Dead,
        }
    }
}

/// A stream that counts what it receives.
#[derive(Debug)]
pub(super) struct Counted {
    stream: Stream,
    load: Arc<Load>,
}

impl Counted {
    pub(super) fn new(stream: Stream, load: Arc<Load>) -> Self {
        Self { stream, load }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let received = (buf.filled().len() - before) as u64;
        self.load.received.fetch_add(received, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// More pings than this look like an attack to some servers. The streams' own time limits are there for shorter ones.
const MIN_TICK: Duration = Duration::from_secs(1);

/// Idle connections are looked after at least as often.
const MAX_TICK: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter for each tick: `.` fine, `a` ask, `i` idle, `d` dead. Steps: streams, bytes received, answered since.
    #[track_caller]
    fn check(steps: &[(usize, u64, bool)], expected: &str) {
        let began = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(20));
        let told: String = (0u32..)
            .zip(steps)
            .map(|(at, &(streams, received, answered))| {
                if answered {
                    watch.pong();
                }
                match watch.tick(began + Duration::from_secs(10) * at, streams, received) {
                    Verdict::Fine => '.',
                    Verdict::Ask => 'a',
                    Verdict::Idle => 'i',
                    Verdict::Dead => 'd',
                }
            })
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn silence_after_a_ping_is_death() {
        check(&[(1, 5, false), (1, 5, false)], "ad");
        check(&[(1, 5, false), (1, 6, false), (1, 6, false)], "a.d");
        check(&[(1, 5, false), (1, 5, true), (1, 5, true)], "aaa");
    }

    #[test]
    fn nobody_is_asked_without_need() {
        check(&[(0, 5, false), (0, 5, false), (0, 5, false)], "..i");
        check(
            &[(0, 5, false), (1, 5, false), (0, 5, false), (0, 5, false)],
            ".a..",
        );
        check(&[(1, 5, false), (0, 5, false), (1, 5, false)], "a.a");
    }
}
