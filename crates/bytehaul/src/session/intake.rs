//! The hot path: bytes from a body into buffers of the memory budget, and from there to the writer.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytehaul_ratelimit::Limiter;
use bytehaul_storage::{Budget, Buffer};
use bytehaul_transport::{Body, SafeUrl};
use tokio::time::{Instant, timeout_at};

use crate::session::lease::Lease;
use crate::session::prove::Toll;
use crate::session::sink::Sink;
use crate::session::stats::Stats;
use crate::session::trouble::Trouble;

/// What takes the bytes of a body in. Cheap to clone; shared by all workers of a download.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    pub(crate) sink: Arc<Sink>,
    pub(crate) budget: Budget,
    pub(crate) limiter: Limiter,
    pub(crate) stats: Arc<Stats>,
    /// Bytes of one buffer, which is one write to the file when the network is fast.
    pub(crate) buffer: usize,
}

/// How a body ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// The lease is full.
    Full,
    /// The body came to its end, as its framing says, before the lease did.
    Ended,
}

impl Intake {
    /// What bytes beside the file count for.
    pub(crate) fn toll(&self) -> Toll {
        Toll {
            limiter: self.limiter.clone(),
            stats: Arc::clone(&self.stats),
        }
    }

    /// Takes in the body from the lease's position on, after `skip` bytes that lie before it. What has arrived
    /// is handed to the sink however this ends; when the future is dropped, at most one buffer is lost.
    pub(crate) async fn receive(
        &self,
        lease: &Lease,
        body: &mut Body,
        skip: u64,
        url: &SafeUrl,
    ) -> Result<Received, Trouble> {
        self.skip(body, skip, url).await?;
        loop {
            let remaining = lease.remaining();
            if remaining == 0 {
                return Ok(Received::Full);
            }
            let capacity = usize::try_from(remaining).map_or(self.buffer, |n| n.min(self.buffer));
            let mut buffer = self.budget.buffer(capacity).await;
            let start = lease.position();
            let filled = self.fill(&mut buffer, lease, body, url).await;
            if !buffer.is_empty() {
                let end = start + buffer.len() as u64;
                lease.hand_over(end, || self.sink.submit(start, buffer));
            }
            if filled? == Filled::End {
                return Ok(if lease.remaining() == 0 {
                    Received::Full
                } else {
                    Received::Ended
                });
            }
        }
    }

    /// Fills the buffer until it is full, the lease or the body ends, or the first byte in it is old: a slow
    /// network must not hold received bytes in memory, where a crash would lose them.
    async fn fill(
        &self,
        buffer: &mut Buffer,
        lease: &Lease,
        body: &mut Body,
        url: &SafeUrl,
    ) -> Result<Filled, Trouble> {
        let mut deadline = None;
        loop {
            let room = buffer.capacity() - buffer.len();
            let wanted = usize::try_from(lease.remaining()).map_or(room, |n| n.min(room));
            if wanted == 0 {
                return Ok(Filled::More);
            }
            let quantum = self.limiter.quantum();
            let wanted = quantum
                .and_then(|q| usize::try_from(q).ok())
                .map_or(wanted, |q| wanted.min(q.max(1)));
            let before = buffer.len();
            let mut space = buffer.space(wanted);
            let read = body.read(&mut space);
            let read = match deadline {
                None => read.await,
                Some(deadline) => match timeout_at(deadline, read).await {
                    Ok(read) => read,
                    Err(_) => return Ok(Filled::More),
                },
            };
            let count = read.map_err(|error| Trouble::transport(url, error))?;
            if count == 0 {
                return Ok(Filled::End);
            }
            self.stats.fetched.fetch_add(count as u64, Relaxed);
            let accepted = lease.advance(count as u64);
            if accepted < count as u64 {
                // The end of the lease moved down while these bytes were on their way.
                buffer.truncate(before + usize::try_from(accepted).expect("less than was read"));
                return Ok(Filled::More);
            }
            if quantum.is_some() {
                self.limiter.acquire(count as u64).await;
            }
            let now = Instant::now();
            match deadline {
                None => deadline = Some(now + AGE),
                Some(deadline) if now >= deadline => return Ok(Filled::More),
                Some(_) => (),
            }
        }
    }

    async fn skip(&self, body: &mut Body, mut skip: u64, url: &SafeUrl) -> Result<(), Trouble> {
        if skip == 0 {
            return Ok(());
        }
        let mut buffer = self.budget.buffer(self.buffer).await;
        while skip > 0 {
            buffer.clear();
            let wanted = usize::try_from(skip).map_or(self.buffer, |n| n.min(self.buffer));
            let mut space = buffer.space(wanted);
            let count = body
                .read(&mut space)
                .await
                .map_err(|error| Trouble::transport(url, error))?;
            if count == 0 {
                return Err(Trouble::Unreliable(
                    "a body that ends before the bytes asked for".into(),
                ));
            }
            self.stats.fetched.fetch_add(count as u64, Relaxed);
            self.limiter.acquire(count as u64).await;
            skip -= count as u64;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Filled {
    More,
    End,
}

/// How long a byte may wait in memory for a buffer to fill. At 100 MiB a second over all connections this is
/// 2 MiB in memory and writes of 256 KiB; faster networks fill whole buffers in less.
const AGE: Duration = Duration::from_millis(20);
