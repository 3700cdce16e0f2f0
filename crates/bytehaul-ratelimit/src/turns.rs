//! Whose turn it is: fair queueing by bytes among the flows that meet at one limiter.
//!
//! Self-clocked fair queueing: each turn is tagged with what its flow will have had at its end, counted in bytes of a
//! perfectly even sharing, and the smallest tag goes first. So a flow that takes little at a time comes up more often and
//! waits less, and flows with equal turns simply alternate. A flow never waits for more than one turn at a time; the users
//! of one flow queue among themselves before.

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
    /// Waits for the turn of `flow` to take up to `bytes`. Dropping the future gives up the place, and a turn that was just given.
    pub(crate) async fn wait(&self, flow: &Flow, bytes: u64) -> Turn<'_> {
        let (place, given) = self.queue().join(flow, bytes);
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
    /// The latest start among the turns given: where a flow joins that was away.
    now: u64,
    tickets: u64,
    waiting: BTreeMap<Place, oneshot::Sender<()>>,
}

impl Queue {
    /// The place, and what to wait for unless the turn is given at once.
    fn join(&mut self, flow: &Flow, bytes: u64) -> (Place, Option<oneshot::Receiver<()>>) {
        self.tickets += 1;
        let start = flow.0.load(Ordering::Relaxed).max(self.now);
        let place = Place {
            end: start.saturating_add(bytes),
            ticket: self.tickets,
            start,
        };
        if !self.taken {
            self.taken = true;
            self.now = start;
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
        // A waiter that is giving up drops its receiver a moment before its turn, on another thread. The turn is
        // its own by now, and dropping that passes it on.
        let _ = give.send(());
    }
}

/// Smallest first: by what the flow will have had, then by arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    end: u64,
    ticket: u64,
    /// What the flow has had before, in bytes of even sharing.
    start: u64,
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Waiting<'a> = Pin<Box<dyn Future<Output = Turn<'a>> + 'a>>;

    fn poll<'a>(waiting: &mut Waiting<'a>) -> Option<Turn<'a>> {
        match waiting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn join<'a>(turns: &'a Turns, flow: &'a Flow) -> Waiting<'a> {
        let mut waiting: Waiting<'a> = Box::pin(turns.wait(flow, 100));
        assert!(poll(&mut waiting).is_none(), "the turn is taken");
        waiting
    }

    #[test]
    fn one_at_a_time_and_smallest_tag_first() {
        let (turns, flows) = (Turns::default(), [(); 3].map(|()| Flow::default()));
        let first = poll(&mut (Box::pin(turns.wait(&flows[0], 100)) as Waiting<'_>)).unwrap();
        first.charge(&flows[0], 100);
        let (mut again, mut other, mut third) = (
            join(&turns, &flows[0]),
            join(&turns, &flows[1]),
            join(&turns, &flows[2]),
        );
        drop(first);
        assert!(poll(&mut again).is_none());
        assert!(poll(&mut third).is_none());
        let second = poll(&mut other).expect("has had nothing yet, and came first");
        drop(second);
        let turn = poll(&mut third).expect("has had nothing yet");
        drop(turn);
        assert!(poll(&mut again).is_some());
    }

    #[test]
    fn giving_up_a_place_or_a_given_turn_stops_nobody() {
        let (turns, flow) = (Turns::default(), Flow::default());
        let held = poll(&mut (Box::pin(turns.wait(&flow, 100)) as Waiting<'_>)).unwrap();
        let (waits, given, mut last) = (
            join(&turns, &flow),
            join(&turns, &flow),
            join(&turns, &flow),
        );
        drop(waits);
        drop(held);
        assert!(
            poll(&mut last).is_none(),
            "the turn is given to the one before, who has not looked"
        );
        drop(given);
        drop(poll(&mut last).expect("the turn was passed on"));
        assert!(!turns.queue().taken);
        assert!(turns.queue().waiting.is_empty());
    }

    /// Giving up is not one step: the receiver goes first, and the turn may be given in between.
    #[test]
    fn a_turn_given_to_one_who_is_just_giving_up_is_passed_on() {
        let (turns, flow) = (Turns::default(), Flow::default());
        let held = poll(&mut (Box::pin(turns.wait(&flow, 100)) as Waiting<'_>)).unwrap();
        let (place, given) = turns.queue().join(&flow, 100);
        let leaving = Turn {
            turns: &turns,
            place,
        };
        let mut last = join(&turns, &flow);
        drop(given);
        drop(held);
        assert!(
            poll(&mut last).is_none(),
            "the turn is still with the one who leaves"
        );
        drop(leaving);
        assert!(poll(&mut last).is_some());
    }

    #[test]
    fn a_flow_that_was_away_has_no_credit() {
        let (turns, busy, away) = (Turns::default(), Flow::default(), Flow::default());
        for _ in 0..10 {
            let turn = poll(&mut (Box::pin(turns.wait(&busy, 100)) as Waiting<'_>)).unwrap();
            turn.charge(&busy, 100);
        }
        let turn = poll(&mut (Box::pin(turns.wait(&away, 100)) as Waiting<'_>)).unwrap();
        turn.charge(&away, 100);
        assert_eq!(
            away.0.load(Ordering::Relaxed),
            1000,
            "level with the one that stayed"
        );
    }
}
