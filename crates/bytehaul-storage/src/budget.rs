//! How much memory all transfers may hold at once, and why a buffer that is dropped is kept warm for the next one.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::BufMut;
use bytes::buf::Limit;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lock;

/// One bound on the bytes that are between the sockets and the disk, shared by everything that has a clone of it.
///
/// A [`Buffer`] carries its share of the budget from the socket to the disk, so a slow disk stops the sockets instead of
/// filling the memory. Waiters are served in the order in which they came.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    total: usize,
    permits: Arc<Semaphore>,
    in_use: AtomicUsize,
    peak: AtomicUsize,
    // First touch of fresh memory costs about three times the copy into it, so dropped buffers are used again, last first.
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// Bytes on their way to the disk, with the permit for the memory that they take.
///
/// It never grows beyond its capacity. Dropping it gives the memory back to the budget.
pub struct Buffer {
    data: Vec<u8>,
    capacity: usize,
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of `bytes`, at least 4 KiB. [`Budget::default`] is 64 MiB.
    pub fn new(bytes: usize) -> Self {
        let total = bytes.clamp(MIN_BUFFER, Semaphore::MAX_PERMITS);
        let shared = Shared {
            total,
            permits: Arc::new(Semaphore::new(total)),
            in_use: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            free: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The whole budget in bytes.
    pub fn total(&self) -> usize {
        self.shared.total
    }

    /// The buffer size for so many connections: a third of each one's share, in steps of 4 KiB, from 4 KiB to 1 MiB.
    ///
    /// A third, so that each connection can fill one buffer while one waits for the disk and one is being written. Writes
    /// of 1 MiB are the cheapest; larger ones fall out of the processor's cache.
    pub fn buffer_size(&self, connections: usize) -> usize {
        let share = self.shared.total / connections.max(1).saturating_mul(3);
        (share / MIN_BUFFER * MIN_BUFFER).clamp(MIN_BUFFER, MAX_BUFFER)
    }

    /// Waits until `capacity` bytes of the budget are free, and takes them as an empty buffer.
    ///
    /// More than the whole budget (or than 1 GiB) is cut to it, none is made one byte. Cancel safe: a dropped wait takes nothing and only
    /// loses its place in the queue.
    pub async fn buffer(&self, capacity: usize) -> Buffer {
        let capacity = self.cut(capacity);
        let permits = u32::try_from(capacity).expect("cut to less than 4 GiB");
        let permit = Arc::clone(&self.shared.permits)
            .acquire_many_owned(permits)
            .await;
        self.shared.take(
            capacity,
            permit.expect("the budget's semaphore is never closed"),
        )
    }

    /// Takes a buffer if `capacity` bytes are free now and nobody waits in front.
    pub fn try_buffer(&self, capacity: usize) -> Option<Buffer> {
        let capacity = self.cut(capacity);
        let permits = u32::try_from(capacity).expect("cut to less than 4 GiB");
        let permit = Arc::clone(&self.shared.permits)
            .try_acquire_many_owned(permits)
            .ok()?;
        Some(self.shared.take(capacity, permit))
    }

    /// Bytes that buffers hold now.
    pub fn in_use(&self) -> usize {
        self.shared.in_use.load(Ordering::Relaxed)
    }

    /// The most that buffers ever held at once.
    pub fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::Relaxed)
    }

    fn cut(&self, capacity: usize) -> usize {
        capacity.clamp(1, self.shared.total.min(1 << 30))
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(64 << 20)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("total", &self.total())
            .field("in_use", &self.in_use())
            .finish()
    }
}

impl Shared {
    fn take(self: &Arc<Self>, capacity: usize, permit: OwnedSemaphorePermit) -> Buffer {
        let held = self.in_use.fetch_add(capacity, Ordering::Relaxed) + capacity;
        self.peak.fetch_max(held, Ordering::Relaxed);
        let data = self
            .reuse(capacity, held)
            .unwrap_or_else(|| Vec::with_capacity(capacity));
        Buffer {
            data,
            capacity,
            shared: Arc::clone(self),
            permit,
        }
    }

    /// A kept buffer of just this capacity; kept ones that would lift the memory over the budget are let go.
    fn reuse(&self, capacity: usize, held: usize) -> Option<Vec<u8>> {
        let mut free = lock(&self.free);
        let found = free
            .buffers
            .iter()
            .rposition(|buffer| buffer.capacity() == capacity);
        let found = found.map(|at| free.buffers.remove(at));
        if found.is_some() {
            free.bytes -= capacity;
        }
        free.shrink_to(self.total.saturating_sub(held));
        found
    }

    fn keep(&self, mut data: Vec<u8>) {
        data.clear();
        let held = self.in_use.load(Ordering::Relaxed);
        // Idle programs should not sit on the memory of their busiest moment.
        let room = if held == 0 {
            IDLE
        } else {
            self.total.saturating_sub(held).min(BUSY)
        };
        let mut free = lock(&self.free);
        free.bytes += data.capacity();
        free.buffers.push(data);
        free.shrink_to(room);
    }
}

impl Free {
    /// Lets the coldest buffers go until at most `bytes` are kept.
    fn shrink_to(&mut self, bytes: usize) {
        let mut kept = self.bytes;
        let gone = self.buffers.iter().take_while(|buffer| {
            let over = kept > bytes;
            kept -= if over { buffer.capacity() } else { 0 };
            over
        });
        let gone = gone.count();
        self.buffers.drain(..gone);
        self.bytes = kept;
    }
}

impl Buffer {
    /// How many bytes it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many more bytes fit.
    pub fn room(&self) -> usize {
        self.capacity - self.data.len()
    }

    /// Whether no more bytes fit.
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Forgets the bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.data.clear();
    }

    /// Space to read into, at most `at_most` bytes and never more than fits; what is read there is appended.
    pub fn space(&mut self, at_most: usize) -> Limit<&mut Vec<u8>> {
        let room = self.room().min(at_most);
        (&mut self.data).limit(room)
    }

    /// Appends as many of the bytes as fit, and says how many that were.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> usize {
        let fit = bytes.len().min(self.room());
        self.data.extend_from_slice(&bytes[..fit]);
        fit
    }

    /// Keeps the first `len` bytes and forgets the others.
    pub fn truncate(&mut self, len: usize) {
        self.data.truncate(len);
    }

    /// Gives back the part of the budget that is not filled, for bytes that will be held for long. Copies them when there
    /// is such a part. At least one byte stays.
    pub fn shrink(&mut self) {
        let capacity = self.data.len().max(1);
        if capacity == self.capacity {
            return;
        }
        let small = self.data.as_slice().to_vec();
        let surplus = self.permit.split(self.capacity - capacity);
        self.shared
            .in_use
            .fetch_sub(self.capacity - capacity, Ordering::Relaxed);
        self.capacity = capacity;
        self.shared.keep(std::mem::replace(&mut self.data, small));
        drop(surplus);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.shared
            .in_use
            .fetch_sub(self.capacity, Ordering::Relaxed);
        self.shared.keep(std::mem::take(&mut self.data));
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("len", &self.data.len())
            .field("capacity", &self.capacity)
            .finish()
    }
}

const MIN_BUFFER: usize = 4 << 10;
const MAX_BUFFER: usize = 1 << 20;
const IDLE: usize = 4 << 20;
const BUSY: usize = 16 << 20;
