//! The queue of transfers beside its model, on commands and reports of the fuzzer's choice.

use std::num::NonZeroUsize;

use bytehaul_schedule::transfers::{Direction, End, Limit, Priority, TaskId, TaskState, Transfers};

use crate::input::Input;
use crate::ledger::{Entry, Key, Ledger};

/// Whatever is commanded and reported: it answers, acts and looks like a list that is searched from the start, no state
/// follows that may not, and an honest driver brings all to an end.
pub fn transfer_commands(data: &[u8]) {
    let mut input = Input(data);
    let capacity = NonZeroUsize::new(1 + usize::from(input.byte() % 4)).expect("at least one");
    let mut pair = Pair {
        transfers: Transfers::new().capacity(capacity),
        ledger: Ledger::new(capacity),
    };
    for _ in 0..MOST_COMMANDS {
        if input.0.is_empty() {
            break;
        }
        pair.play(&mut input);
        pair.compare();
    }
    pair.run_out();
}

struct Pair {
    transfers: Transfers<Key>,
    ledger: Ledger,
}

impl Pair {
    fn play(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        let number = input.byte();
        let id = self.recent(number);
        let priority = Priority(i32::from(number >> 4) - 8);
        let Self { transfers, ledger } = self;
        match choice % 16 {
            0..=2 => {
                let key = key(number);
                let state = TaskState::Pending;
                assert_eq!(
                    transfers.enqueue(key, key.0, priority),
                    ledger.enqueue(key, priority, state)
                );
            }
            3 => {
                let key = key(number);
                let state = TaskState::Paused;
                assert_eq!(
                    transfers.enqueue_paused(key, key.0, priority),
                    ledger.enqueue(key, priority, state)
                );
            }
            4 => assert_eq!(transfers.pause(id), ledger.pause(id)),
            5 => assert_eq!(transfers.resume(id), ledger.resume(id)),
            6 => assert_eq!(transfers.cancel(id), ledger.cancel(id)),
            7 => assert_eq!(
                transfers.set_priority(id, priority),
                ledger.set_priority(id, priority)
            ),
            8 => {
                let Some(limit) = Limit::new(usize::from(number >> 1)) else {
                    return;
                };
                let direction = direction(number);
                assert_eq!(
                    transfers.set_limit(direction, limit),
                    ledger.set_limit(direction, limit)
                );
            }
            9 | 10 => self.end(usize::from(number >> 2), end(number)),
            11 => self.discarded(usize::from(number)),
            12 => self.stray(id, end(number)),
            13 | 14 => self.poll(usize::from(number)),
            _ if number == 0 => assert_eq!(transfers.close(), ledger.close()),
            _ => self.poll(usize::from(number % 4)),
        }
    }

    /// One of the newest tasks, or one that is yet to come.
    fn recent(&self, number: u8) -> TaskId {
        let newest = self.ledger.tasks.len() as u64 + 1;
        TaskId::from(newest.saturating_sub(u64::from(number % 12)))
    }

    fn end(&mut self, which: usize, end: End) {
        if let Some(id) = nth(&self.ledger, which, |task| task.running) {
            assert_eq!(self.transfers.ended(id, end), self.ledger.ended(id, end));
        }
    }

    fn discarded(&mut self, which: usize) {
        if let Some(id) = nth(&self.ledger, which, |task| task.discarding) {
            assert_eq!(self.transfers.discarded(id), self.ledger.discarded(id));
        }
    }

    /// A driver that reports what it was not asked for.
    fn stray(&mut self, id: TaskId, end: End) {
        let is =
            |state| nth(&self.ledger, 0, |task| task.id == id && task.state == state).is_some();
        let (is_running, is_canceled) = (is(TaskState::Transmission), is(TaskState::Canceled));
        if !is_running {
            assert_eq!(self.transfers.ended(id, end), self.ledger.ended(id, end));
        }
        if !is_canceled {
            assert_eq!(self.transfers.discarded(id), self.ledger.discarded(id));
        }
    }

    fn poll(&mut self, actions: usize) {
        for _ in 0..actions {
            let Some(action) = self.transfers.poll_action() else {
                return self.ledger.hear_nothing();
            };
            self.ledger.hear(action);
        }
    }

    fn compare(&self) {
        let Self { transfers, ledger } = self;
        for task in &ledger.tasks {
            let live = (!task.state.is_terminal()).then_some(task.state);
            assert_eq!(transfers.state(task.id), live, "of {}", task.id);
        }
        let snapshot = transfers.snapshot();
        assert_eq!(snapshot.downloads, ledger.line(Direction::Download));
        assert_eq!(snapshot.uploads, ledger.line(Direction::Upload));
        assert_eq!(transfers.is_closed(), ledger.closed);
        assert_eq!(transfers.is_drained(), ledger.is_drained());
    }

    /// The driver completes whatever runs until nothing does.
    fn run_out(&mut self) {
        for _ in 0..=2 * self.ledger.tasks.len() {
            self.poll(usize::MAX);
            self.discarded(0);
            self.end(0, End::Completed);
        }
        self.poll(usize::MAX);
        self.compare();
        let line = self.transfers.snapshot();
        for line in [line.downloads, line.uploads] {
            assert_eq!((line.queued, line.active), (Vec::new(), Vec::new()));
        }
    }
}

fn nth(ledger: &Ledger, which: usize, fits: impl Fn(&Entry) -> bool) -> Option<TaskId> {
    let fitting: Vec<_> = ledger.tasks.iter().filter(|task| fits(task)).collect();
    let index = which.checked_rem(fitting.len())?;
    Some(fitting[index].id)
}

fn key(number: u8) -> Key {
    (direction(number), number >> 1 & 7)
}

fn direction(number: u8) -> Direction {
    match number % 2 {
        0 => Direction::Download,
        _ => Direction::Upload,
    }
}

fn end(number: u8) -> End {
    match number % 4 {
        0 => End::Completed,
        1 => End::Failed,
        2 => End::Paused,
        _ => End::Canceled,
    }
}

/// The model's time grows with the square of the tasks.
const MOST_COMMANDS: usize = 400;
