//! Where received bytes go: into the part file, or to a reader that takes them in order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytehaul_storage::{Buffer, Error, Writer};
use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use crate::session::overlap;

/// The destination of a download's bytes.
#[derive(Debug)]
pub(crate) enum Sink {
    /// A part file; every offset at any time.
    File(Writer),
    /// A reader, who gets the bytes in their order.
    Ordered(Ordered),
}

impl Sink {
    /// Takes bytes for an offset. Never waits: the memory is bounded by the budget that the buffer is part of.
    pub(crate) fn submit(&self, offset: u64, buffer: Buffer) {
        match self {
            Self::File(writer) => writer.submit(offset, buffer),
            Self::Ordered(ordered) => ordered.submit(offset, buffer),
        }
    }

    /// Resolves when bytes that were taken could not be kept.
    pub(crate) async fn failed(&self) -> Error {
        match self {
            Self::File(writer) => writer.failed().await,
            Self::Ordered(_) => std::future::pending().await,
        }
    }

    /// Bytes right before `start` that are there already, and the file that has them.
    pub(crate) fn before(&self, start: u64) -> Option<(PathBuf, Range<u64>)> {
        let Self::File(writer) = self else {
            return None;
        };
        let span = overlap::before(&(start..start + 1), &writer.written());
        (!span.is_empty()).then(|| (writer.layout().part.clone(), span))
    }

    /// Forgets every byte that was taken, because a server cannot prove that it would continue them. `false` when
    /// that is impossible, since a reader has some already.
    pub(crate) async fn forget(&self) -> Result<bool, Error> {
        match self {
            Self::File(writer) => {
                writer.settled().await?;
                let Some(end) = writer.written().last().map(|range| range.end) else {
                    return Ok(true);
                };
                writer.invalidate(0..end).await.map(|()| true)
            }
            Self::Ordered(ordered) => Ok(ordered.forget()),
        }
    }
}

/// Puts bytes that arrive in any order into theirs.
#[derive(Debug)]
pub(crate) struct Ordered {
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    /// The offset that the reader needs next.
    next: u64,
    /// Bytes behind it, by their offset.
    waiting: BTreeMap<u64, Bytes>,
    reader: mpsc::UnboundedSender<Bytes>,
}

impl Ordered {
    pub(crate) fn new(reader: mpsc::UnboundedSender<Bytes>) -> Self {
        Self {
            queue: Mutex::new(Queue {
                next: 0,
                waiting: BTreeMap::new(),
                reader,
            }),
        }
    }

    fn submit(&self, offset: u64, mut buffer: Buffer) {
        // Bytes that have to wait keep no more of the budget than they fill.
        buffer.shrink();
        self.lock().take(offset, Bytes::from_owner(buffer));
    }

    fn forget(&self) -> bool {
        let mut queue = self.lock();
        queue.waiting.clear();
        queue.next == 0
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn take(&mut self, offset: u64, bytes: Bytes) {
        // The tail race may deliver the same bytes twice; of two at one offset the longer one holds all.
        match self.waiting.get(&offset) {
            Some(there) if there.len() >= bytes.len() => (),
            Some(_) | None => {
                self.waiting.insert(offset, bytes);
            }
        }
        while let Some(entry) = self.waiting.first_entry()
            && *entry.key() <= self.next
        {
            let (offset, mut bytes) = entry.remove_entry();
            let known = usize::try_from(self.next - offset).unwrap_or(usize::MAX);
            if known >= bytes.len() {
                continue;
            }
            bytes.advance(known);
            self.next += bytes.len() as u64;
            // A reader that is gone has stopped the download; its bytes are of no use to anybody.
            let _ = self.reader.send(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_order_with_overlaps_comes_out_in_order(
            cuts in prop::collection::btree_set(1usize..300, 0..20),
            extra in prop::collection::vec((0usize..300, 1usize..80), 0..10),
            seed in any::<u64>(),
        ) {
            let whole: Vec<u8> = (0..300u32).map(|i| (i * 7 % 251) as u8).collect();
            let mut edges: Vec<usize> = std::iter::once(0).chain(cuts).chain([300]).collect();
            edges.dedup();
            let mut spans: Vec<_> = edges.windows(2).map(|w| (w[0], w[1])).collect();
            spans.extend(extra.into_iter().map(|(start, len)| (start, (start + len).min(300))).filter(|(a, b)| a < b));
            let count = spans.len() as u64;
            spans.sort_by_key(|&(a, b)| (seed ^ (a * 31 + b) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % (count + 7));
            let (sender, mut reader) = mpsc::unbounded_channel();
            let ordered = Ordered::new(sender);
            for (start, end) in spans {
                ordered.lock().take(start as u64, Bytes::copy_from_slice(&whole[start..end]));
            }
            let mut got = Vec::new();
            while let Ok(bytes) = reader.try_recv() {
                got.extend_from_slice(&bytes);
            }
            prop_assert_eq!(ordered.lock().next, 300);
            prop_assert_eq!(got, whole);
        }
    }
}
