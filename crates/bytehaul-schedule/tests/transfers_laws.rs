//! The queue of transfers against the simplest possible model of it, on arbitrary commands and an arbitrary driver.

mod ledger;

use std::num::NonZeroUsize;

use bytehaul_schedule::transfers::{Direction, End, Limit, Priority, TaskId, TaskState, Transfers};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use self::ledger::{Entry, Key, Ledger};

/// What happens next. Numbers choose among all tasks that ever were, and one that never was.
#[derive(Clone, Debug)]
enum Step {
    Enqueue(Key, i32),
    EnqueuePaused(Key, i32),
    Pause(usize),
    Resume(usize),
    Cancel(usize),
    SetPriority(usize, i32),
    SetLimit(Direction, usize),
    /// The driver ends one of the tasks that it runs.
    End(usize, End),
    /// The driver is done with one of its discards.
    Discarded(usize),
    /// A driver out of its mind.
    Stray(usize, End),
    /// So many actions are fetched.
    Poll(usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let direction = || prop_oneof![Just(Direction::Download), Just(Direction::Upload)];
    let key = || (direction(), 0..5u8);
    let which = || 0..1000usize;
    let end = || {
        prop_oneof![
            2 => Just(End::Completed),
            2 => Just(End::Failed),
            3 => Just(End::Paused),
            2 => Just(End::Canceled),
        ]
    };
    prop_oneof![
        12 => (key(), -1..2).prop_map(|(key, priority)| Step::Enqueue(key, priority)),
        4 => (key(), -1..2).prop_map(|(key, priority)| Step::EnqueuePaused(key, priority)),
        6 => which().prop_map(Step::Pause),
        6 => which().prop_map(Step::Resume),
        5 => which().prop_map(Step::Cancel),
        3 => (which(), -1..2).prop_map(|(which, priority)| Step::SetPriority(which, priority)),
        2 => (direction(), 1..4usize).prop_map(|(direction, tasks)| Step::SetLimit(direction, tasks)),
        10 => (which(), end()).prop_map(|(which, end)| Step::End(which, end)),
        4 => which().prop_map(Step::Discarded),
        1 => (which(), end()).prop_map(|(which, end)| Step::Stray(which, end)),
        16 => prop_oneof![0..4usize, Just(usize::MAX)].prop_map(Step::Poll),
    ]
}

/// Commands, one of which may be to close.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let close = proptest::option::weighted(0.3, any::<prop::sample::Index>());
    (proptest::collection::vec(step(), 0..120), close).prop_map(|(mut steps, close)| {
        if let Some(at) = close {
            let at = at.index(steps.len() + 1);
            steps.splice(at..at, [Step::Close, Step::Close]);
        }
        steps
    })
}

struct Pair {
    transfers: Transfers<Key>,
    ledger: Ledger,
}

impl Pair {
    fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap();
        Self {
            transfers: Transfers::new().capacity(capacity),
            ledger: Ledger::new(capacity),
        }
    }

    fn play(&mut self, step: &Step) {
        let Self { transfers, ledger } = self;
        let recent = |which: usize| {
            let newest = ledger.tasks.len() as u64 + 1;
            TaskId::from(newest.saturating_sub(which as u64 % 12))
        };
        match *step {
            Step::Enqueue(key, priority) => assert_eq!(
                transfers.enqueue(key, key.0, Priority(priority)),
                ledger.enqueue(key, Priority(priority), TaskState::Pending)
            ),
            Step::EnqueuePaused(key, priority) => assert_eq!(
                transfers.enqueue_paused(key, key.0, Priority(priority)),
                ledger.enqueue(key, Priority(priority), TaskState::Paused)
            ),
            Step::Pause(which) => {
                let id = recent(which);
                assert_eq!(transfers.pause(id), ledger.pause(id));
            }
            Step::Resume(which) => {
                let id = recent(which);
                assert_eq!(transfers.resume(id), ledger.resume(id));
            }
            Step::Cancel(which) => {
                let id = recent(which);
                assert_eq!(transfers.cancel(id), ledger.cancel(id));
            }
            Step::SetPriority(which, priority) => {
                let (id, priority) = (recent(which), Priority(priority));
                assert_eq!(
                    transfers.set_priority(id, priority),
                    ledger.set_priority(id, priority)
                );
            }
            Step::SetLimit(direction, tasks) => {
                let limit = Limit::new(tasks).unwrap();
                assert_eq!(
                    transfers.set_limit(direction, limit),
                    ledger.set_limit(direction, limit)
                );
            }
            Step::End(which, end) => {
                if let Some(id) = nth(ledger, which, |task| task.running) {
                    assert_eq!(transfers.ended(id, end), ledger.ended(id, end));
                }
            }
            Step::Discarded(which) => {
                if let Some(id) = nth(ledger, which, |task| task.discarding) {
                    assert_eq!(transfers.discarded(id), ledger.discarded(id));
                }
            }
            Step::Stray(which, end) => {
                let id = recent(which);
                if nth(ledger, 0, |task| {
                    task.id == id && task.state == TaskState::Transmission
                })
                .is_none()
                {
                    assert_eq!(transfers.ended(id, end), ledger.ended(id, end));
                }
                if nth(ledger, 0, |task| {
                    task.id == id && task.state == TaskState::Canceled
                })
                .is_none()
                {
                    assert_eq!(transfers.discarded(id), ledger.discarded(id));
                }
            }
            Step::Poll(actions) => self.poll(actions),
            Step::Close => assert_eq!(transfers.close(), ledger.close()),
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
            self.play(&Step::Discarded(0));
            self.play(&Step::End(0, End::Completed));
        }
        self.poll(usize::MAX);
        self.compare();
    }
}

fn nth(ledger: &Ledger, which: usize, fits: impl Fn(&Entry) -> bool) -> Option<TaskId> {
    let fitting: Vec<_> = ledger.tasks.iter().filter(|task| fits(task)).collect();
    fitting
        .get(which % fitting.len().max(1))
        .map(|task| task.id)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1500,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// Every answer, action, state and snapshot is that of the model, at whatever pace actions are fetched; and a
    /// driver that goes on brings everything that waits to its end.
    #[test]
    fn does_what_the_model_does(capacity in 1..6usize, steps in steps()) {
        let mut pair = Pair::new(capacity);
        for step in &steps {
            pair.play(step);
            pair.compare();
        }
        pair.run_out();
        for task in &pair.ledger.tasks {
            prop_assert!(task.state == TaskState::Paused || task.state.is_terminal(), "{} is {}", task.id, task.state);
        }
        if !pair.ledger.closed {
            pair.play(&Step::Close);
        }
        pair.poll(usize::MAX);
        prop_assert!(pair.transfers.is_drained());
    }
}
