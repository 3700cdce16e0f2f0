//! What waits for one reader of events, and what of it may be left out when the reader is slow.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytehaul_schedule::transfers::TaskId;
use futures_core::Stream;

use crate::manager::event::{EventKind, TransferEvent};

/// Events of all tasks, or of one, as a [`Stream`], in the order in which things happened.
///
/// It ends when the manager is closed and everything has been told, or after the terminal event of its one task. It slows
/// nothing down. A slow reader misses progress and superseded checkpoints: of each task only the latest of either waits for
/// it, and while more than [`event_capacity`](crate::TransferManagerBuilder::event_capacity) events wait no further progress
/// is added. It misses no change of a state and no terminal event.
///
/// So much memory does a reader that does not read cost: of each task that has not ended one progress and one
/// checkpoint, and a few hundred bytes for each command since it last read. One that is more than 65,536 events behind,
/// not counting four for every task that has not ended, is given up: the stream ends early, and
/// [`fell_behind`](Self::fell_behind) says so. Dropping it has no effect on the transfers.
pub struct EventStream {
    mailbox: Arc<Mailbox>,
}

impl EventStream {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox }
    }

    /// The next event, or `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Arc<TransferEvent>> {
        std::future::poll_fn(|cx| self.mailbox.poll_next(cx)).await
    }

    /// Whether the stream has ended because so much was waiting that the rest was dropped.
    pub fn fell_behind(&self) -> bool {
        self.mailbox.letters().state == State::Overrun
    }
}

impl Stream for EventStream {
    type Item = Arc<TransferEvent>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.mailbox.poll_next(cx)
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.mailbox.abandon();
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letters = self.mailbox.letters();
        f.debug_struct("EventStream")
            .field("waiting", &letters.waiting.len())
            .field("state", &letters.state)
            .finish()
    }
}

/// The events that wait for one reader.
pub(super) struct Mailbox {
    capacity: usize,
    letters: Mutex<Letters>,
}

struct Letters {
    waiting: BTreeMap<u64, Arc<TransferEvent>>,
    /// What a later one of its kind supersedes.
    passing: HashMap<(TaskId, Passing), u64>,
    state: State,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Passing {
    Progress,
    Checkpoint,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    /// Nothing comes any more; what waits is still to be read.
    Ending,
    /// The reader is gone, or wants nothing any more.
    Abandoned,
    /// The reader was too far behind.
    Overrun,
}

/// Whether a mailbox takes more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reader {
    There,
    Gone,
}

impl Mailbox {
    /// Without progress while more than `capacity` events wait.
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            letters: Mutex::new(Letters {
                waiting: BTreeMap::new(),
                passing: HashMap::new(),
                state: State::Open,
                waker: None,
            }),
        })
    }

    /// Takes an event in, while so many tasks have not ended.
    pub(super) fn push(&self, event: &Arc<TransferEvent>, tasks: usize) -> Reader {
        let mut letters = self.letters();
        if letters.state != State::Open {
            return Reader::Gone;
        }
        letters.put(event, self.capacity);
        let most = MOST_BEHIND.saturating_add(tasks.saturating_mul(PER_TASK));
        if letters.waiting.len() > most {
            letters.clear(State::Overrun);
        }
        let reader = match letters.state {
            State::Open => Reader::There,
            State::Ending | State::Abandoned | State::Overrun => Reader::Gone,
        };
        let waker = letters.waker.take();
        drop(letters);
        waker.into_iter().for_each(Waker::wake);
        reader
    }

    /// Nothing will come any more.
    pub(super) fn end(&self) {
        let mut letters = self.letters();
        if letters.state == State::Open {
            letters.state = State::Ending;
        }
        let waker = letters.waker.take();
        drop(letters);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Nothing is wanted any more, not even what waits. Whether anything was.
    pub(super) fn abandon(&self) -> bool {
        let mut letters = self.letters();
        let wanted = letters.state != State::Abandoned;
        letters.clear(State::Abandoned);
        let waker = letters.waker.take();
        drop(letters);
        waker.into_iter().for_each(Waker::wake);
        wanted
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.letters().state == State::Abandoned
    }

    fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Arc<TransferEvent>>> {
        let mut letters = self.letters();
        if let Some(event) = letters.take() {
            return Poll::Ready(Some(event));
        }
        match letters.state {
            State::Open => {
                letters.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            State::Ending | State::Abandoned | State::Overrun => Poll::Ready(None),
        }
    }

    /// What waits, a good deal of it at most; nothing at the end.
    pub(super) async fn batch(&self) -> Vec<Arc<TransferEvent>> {
        let first = std::future::poll_fn(|cx| self.poll_next(cx)).await;
        let mut letters = self.letters();
        let rest = std::iter::from_fn(|| letters.take());
        first.into_iter().chain(rest).take(BATCH).collect()
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Letters {
    fn put(&mut self, event: &Arc<TransferEvent>, capacity: usize) {
        if let Some(passing) = passing(event) {
            let key = (event.id, passing);
            if let Some(superseded) = self.passing.remove(&key) {
                self.waiting.remove(&superseded);
            } else if passing == Passing::Progress && self.waiting.len() >= capacity {
                return;
            }
            self.passing.insert(key, event.seq);
        }
        self.waiting.insert(event.seq, Arc::clone(event));
    }

    fn take(&mut self) -> Option<Arc<TransferEvent>> {
        let (_, event) = self.waiting.pop_first()?;
        if let Some(passing) = passing(&event) {
            self.passing.remove(&(event.id, passing));
        }
        Some(event)
    }

    fn clear(&mut self, state: State) {
        self.waiting = BTreeMap::new();
        self.passing = HashMap::new();
        self.state = state;
    }
}

fn passing(event: &TransferEvent) -> Option<Passing> {
    match event.kind {
        EventKind::Progress(_) => Some(Passing::Progress),
        EventKind::Checkpoint(_) => Some(Passing::Checkpoint),
        EventKind::State(_)
        | EventKind::Completed(_)
        | EventKind::Failed(_)
        | EventKind::Canceled => None,
    }
}

/// Events that may wait for a reader beside those of tasks that have not ended.
const MOST_BEHIND: usize = 65_536;

/// Events of one task that has not ended: a state or two, progress, a checkpoint.
const PER_TASK: usize = 4;

/// Events that a listener is called with in one go.
const BATCH: usize = 64;

#[cfg(test)]
mod tests {
    use bytehaul_schedule::transfers::{Direction, TaskState};
    use proptest::prelude::*;

    use super::*;
    use crate::manager::progress::TransferProgress;

    fn event(seq: u64, id: u64, kind: EventKind) -> Arc<TransferEvent> {
        Arc::new(TransferEvent {
            seq,
            id: TaskId::from(id),
            direction: Direction::Download,
            label: None,
            source: String::new(),
            target: String::new(),
            kind,
        })
    }

    fn read(mailbox: &Mailbox) -> Vec<Arc<TransferEvent>> {
        let mut letters = mailbox.letters();
        std::iter::from_fn(|| letters.take()).collect()
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Progress(u64),
        State(u64),
        Read,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (1..4u64).prop_map(Step::Progress),
            3 => (1..4u64).prop_map(Step::State),
            1 => Just(Step::Read),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// Whatever is pushed and read: every state in order, the latest progress while there is room, at most one of each task.
        #[test]
        fn states_are_never_missed(steps in steps(), capacity in 1..20usize) {
            let mailbox = Mailbox::new(capacity);
            let (mut states, mut seen) = (Vec::new(), Vec::new());
            for (step, seq) in steps.into_iter().chain([Step::Read]).zip(1..) {
                match step {
                    Step::Progress(id) => {
                        let kind = EventKind::Progress(TransferProgress::default());
                        mailbox.push(&event(seq, id, kind), 3);
                        let waiting = mailbox.letters().waiting.clone();
                        let latest = waiting.values().filter(|event| event.id == id.into() && passing(event).is_some());
                        prop_assert!(latest.count() <= 1);
                        prop_assert!(waiting.contains_key(&seq) || waiting.len() >= capacity);
                    }
                    Step::State(id) => {
                        mailbox.push(&event(seq, id, EventKind::State(TaskState::Pending)), 3);
                        states.push(seq);
                    }
                    Step::Read => seen.extend(read(&mailbox)),
                }
            }
            prop_assert!(seen.is_sorted_by_key(|event| event.seq));
            prop_assert!(mailbox.letters().passing.is_empty());
            let told = seen.iter().filter(|event| passing(event).is_none());
            prop_assert!(told.map(|event| event.seq).eq(states));
        }
    }

    #[test]
    fn a_reader_too_far_behind_is_given_up() {
        let mailbox = Mailbox::new(4);
        let limit = (MOST_BEHIND + 10 * PER_TASK) as u64;
        for seq in 1..=limit {
            let reader = mailbox.push(&event(seq, seq, EventKind::Canceled), 10);
            assert_eq!(reader, Reader::There, "{seq}");
        }
        let last = event(limit + 1, 1, EventKind::Canceled);
        assert_eq!(mailbox.push(&last, 10), Reader::Gone);
        let stream = EventStream::new(mailbox);
        assert!(stream.fell_behind());
        assert!(stream.mailbox.letters().waiting.is_empty());
    }
}
