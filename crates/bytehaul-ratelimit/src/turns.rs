//! Whose turn it is: fair queueing by bytes among the flows that meet at one limiter.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng, 1996). A flow's next turn is tagged with the number of bytes that it would
//! have had in a perfectly even sharing, and the smallest tag goes first. So a flow that takes little at a time
//! comes up more often, and flows with equal turns simply alternate. A flow never has more than one turn asked for at a
//! time; those of one flow queue among themselves before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The queue. At most one turn is given out at a time.
#[derive(Default)]
pub(crate) struct Turns(Mutex<Queue>);

/// One of the users among whom the bytes are shared evenly: where it stands, in bytes of even sharing.
#[derive(Default)]
pub(crate) struct Flow(AtomicU64);

/// The right to take bytes; dropping it lets the next one have its turn.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    place: Place,
}

impl Turns {
    /// Waits for the turn of `flow`. Dropping the future gives up the place, and a turn that was just given.
    pub(crate) async fn wait(&self, flow: &Flow) -> Turn<'_> {
        let (place, given) = self.queue().join(flow);
        let turn = Turn { turns: self, place };
        if let Some(given) = given {
            given.await.expect("a place is removed by its owner only");
        }
        turn
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Counts `bytes` as what `flow` has had in this turn.
    pub(crate) fn charge(&self, flow: &Flow, bytes: u64) {
        flow.0
            .store(self.place.start.saturating_add(bytes), Ordering::Relaxed);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = self.turns.queue();
        if queue.waiting.remove(&self.place).is_none() {
            queue.next();
        }
    }
}

#[derive(Default)]
struct Queue {
    taken: bool,
    /// The start tag of the latest turn given.
    now: u64,
    tickets: u64,
    waiting: BTreeMap<Place, oneshot::Sender<()>>,
}

impl Queue {
    /// The place, and what to wait for unless the turn is given at once.
    fn join(&mut self, flow: &Flow) -> (Place, Option<oneshot::Receiver<()>>) {
        self.tickets += 1;
        let place = Place {
            start: flow.0.load(Ordering::Relaxed).max(self.now),
            ticket: self.tickets,
        };
        if !self.taken {
            self.taken = true;
            self.now = place.start;
            return (place, None);
        }
        let (give, given) = oneshot::channel();
        self.waiting.insert(place, give);
        (place, Some(given))
    }

    fn next(&mut self) {
        let Some((place, give)) = self.waiting.pop_first() else {
            self.taken = false;
            return;
        };
        self.now = place.start;
        give.send(())
            .expect("a place is removed before its receiver goes");
    }
}

/// Smallest first: by tag, then by arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    start: u64,
    ticket: u64,
}
