//! The queue of transfers, told as stories: a command or a report, and what follows from it.

mod story;

use std::num::NonZeroUsize;

use bytehaul_schedule::transfers::{Action, Direction, End, Limit, Priority, TaskId, Transfers};

use self::story::check;

#[test]
fn two_of_each_direction_run_and_the_rest_waits() {
    check(
        "get a1        a1 pending, a1 transmission, start a1
         get b1        b1 pending, b1 transmission, start b1
         get c1        c1 pending
         put d1        d1 pending, d1 transmission, start d1
         completed a1  a1 complete, c1 transmission, start c1
         failed b1     b1 failed
         get a2        a2 pending, a2 transmission, start a2",
    );
}

#[test]
fn a_limit_that_is_lowered_interrupts_nothing() {
    check(
        "get a1        a1 pending, a1 transmission, start a1
         get b1        b1 pending, b1 transmission, start b1
         limit get 1   -
         get c1        c1 pending
         completed a1  a1 complete
         get d1        d1 pending
         limit get 3   c1 transmission, start c1, d1 transmission, start d1",
    );
}

#[test]
fn the_highest_priority_starts_first_and_the_oldest_among_equals() {
    check(
        "limit get 1        -
         get a1             a1 pending, a1 transmission, start a1
         get b1             b1 pending
         get c1 5           c1 pending
         get d1 5           d1 pending
         priority b1 5      -
         priority d1 -1     -
         completed a1       a1 complete, b1 transmission, start b1
         completed b1       b1 complete, c1 transmission, start c1
         priority c1 -1     -
         get e1 -1          e1 pending
         pause c1           stop c1 pause
         resume c1          -
         paused c1          c1 paused, c1 pending, d1 transmission, start d1
         completed d1       d1 complete, e1 transmission, start e1
         completed e1       e1 complete, c1 transmission, start c1",
    );
}

#[test]
fn a_duplicate_is_refused_and_disturbs_nothing() {
    check(
        "get a1         a1 pending, a1 transmission, start a1
         get a2 9       103 a1
         get a2 paused  103 a1
         pause a1       stop a1 pause
         get a2         103 a1
         paused a1      a1 paused
         get a2         103 a1
         resume a1      a1 pending, a1 transmission, start a1
         completed a1   a1 complete
         get a2         a2 pending, a2 transmission, start a2",
    );
}

#[test]
fn only_what_waits_fills_the_queue_of_its_direction() {
    check(
        "limit get 1    -
         get a1         a1 pending, a1 transmission, start a1
         get b1         b1 pending
         get c1         c1 pending
         get d1 paused  d1 paused
         get e1         e1 pending
         get f1         111 3 tasks are waiting already
         get f1 paused  111 3 tasks are waiting already
         get a2         103 a1
         put f1         f1 pending, f1 transmission, start f1
         resume d1      d1 pending
         pause b1       b1 paused
         pause c1       c1 paused
         get g1         g1 pending",
    );
}

#[test]
fn an_import_is_silent_until_it_is_resumed() {
    check(
        "get a1 paused  a1 paused
         pause a1       117 a1 paused
         resume a1      a1 pending, a1 transmission, start a1
         resume a1      117 a1 transmission",
    );
}

#[test]
fn a_pause_lasts_until_it_is_saved() {
    check(
        "limit get 1   -
         get a1        a1 pending, a1 transmission, start a1
         get b1        b1 pending
         resume b1     117 b1 pending
         pause a1      stop a1 pause
         pause a1      -
         paused a1     a1 paused, b1 transmission, start b1
         paused a1     117 a1 paused
         get c1        c1 pending
         pause c1      c1 paused
         cancel c1     discard c1, c1 canceled",
    );
}

#[test]
fn whoever_changes_their_mind_while_it_stops_gets_the_last_wish() {
    check(
        "get a1     a1 pending, a1 transmission, start a1
         pause a1   stop a1 pause
         resume a1  -
         resume a1  117 a1 transmission
         pause a1   -
         paused a1  a1 paused
         resume a1  a1 pending, a1 transmission, start a1
         pause a1   stop a1 pause
         resume a1  -
         paused a1  a1 paused, a1 pending, a1 transmission, start a1",
    );
}

#[test]
fn the_strongest_wish_wins() {
    check(
        "get a1        a1 pending, a1 transmission, start a1
         pause a1      stop a1 pause
         cancel a1     stop a1 cancel
         cancel a1     -
         pause a1      117 a1 canceling
         resume a1     117 a1 canceling
         paused a1     discard a1, a1 canceled
         cancel a1     108 no task 1
         get b1        b1 pending, b1 transmission, start b1
         pause b1      stop b1 pause
         resume b1     -
         cancel b1     stop b1 cancel
         failed b1     discard b1, b1 canceled",
    );
}

#[test]
fn what_has_happened_counts() {
    check(
        "get a1        a1 pending, a1 transmission, start a1
         cancel a1     stop a1 cancel
         completed a1  a1 complete
         get b1        b1 pending, b1 transmission, start b1
         pause b1      stop b1 pause
         failed b1     b1 failed
         get c1        c1 pending, c1 transmission, start c1
         pause c1      stop c1 pause
         resume c1     -
         completed c1  c1 complete
         get d1        d1 pending, d1 transmission, start d1
         canceled d1   discard d1, d1 canceled
         get e1        e1 pending, e1 transmission, start e1
         paused e1     e1 paused",
    );
}

#[test]
fn a_key_is_free_at_once_but_starts_when_it_is_clear() {
    check(
        "put a1 paused  a1 paused
         cancel a1      discard a1, a1 canceled
         put a2         a2 pending
         put b1         b1 pending, b1 transmission, start b1
         put c1         c1 pending, c1 transmission, start c1
         priority a2 1  -
         put d1         d1 pending
         completed b1   b1 complete, d1 transmission, start d1
         discarded a1   -
         put e1         e1 pending
         completed c1   c1 complete, a2 transmission, start a2
         discarded a1   108 no task 1",
    );
}

#[test]
fn a_key_is_clear_when_all_remains_are_gone() {
    check(
        "get a1 paused  a1 paused
         cancel a1      discard a1, a1 canceled
         get a2         a2 pending
         cancel a2      discard a2, a2 canceled
         get a3         a3 pending
         discarded a2   -
         pause a3       a3 paused
         resume a3      a3 pending
         discarded a1   a3 transmission, start a3
         cancel a3      stop a3 cancel
         canceled a3    discard a3, a3 canceled
         get a4         a4 pending
         pause a4       a4 paused
         discarded a3   -
         resume a4      a4 pending, a4 transmission, start a4",
    );
}

#[test]
fn closing_pauses_everything_and_starts_nothing() {
    check(
        "limit get 3    -
         get a1         a1 pending, a1 transmission, start a1
         get b1         b1 pending, b1 transmission, start b1
         get c1         c1 pending, c1 transmission, start c1
         get d1         d1 pending
         get e1 paused  e1 paused
         pause b1       stop b1 pause
         resume b1      -
         cancel c1      stop c1 cancel
         close          stop a1 pause, d1 paused
         close          107 the queue is closed
         get f1         107 the queue is closed
         get a2         107 the queue is closed
         pause a1       107 the queue is closed
         resume e1      107 the queue is closed
         cancel e1      107 the queue is closed
         priority e1 1  107 the queue is closed
         limit get 1    107 the queue is closed
         paused a1      a1 paused
         paused b1      b1 paused
         canceled c1    discard c1, c1 canceled
         discarded c1   -",
    );
}

#[test]
fn unknown_tasks_are_not_found() {
    check(
        "pause x1       108 no task 1000
         resume x1      108 no task 1000
         cancel x1      108 no task 1000
         priority x1 1  108 no task 1000
         completed x1   108 no task 1000
         discarded x1   108 no task 1000",
    );
}

#[test]
fn it_is_drained_when_all_that_ran_has_ended() {
    let mut transfers = Transfers::new();
    let [kept, dropped] = [1, 2].map(|key| {
        transfers
            .enqueue(key, Direction::Upload, Priority::default())
            .unwrap()
    });
    let drained = |transfers: &mut Transfers<_>, step: fn(&mut Transfers<_>, TaskId), id| {
        step(transfers, id);
        while transfers.poll_action().is_some() {
            assert!(!transfers.is_drained());
        }
        transfers.is_drained()
    };
    let cancel: fn(&mut Transfers<_>, _) = |transfers, id| transfers.cancel(id).unwrap();
    assert!(!drained(&mut transfers, |_, _| (), kept));
    assert!(!drained(&mut transfers, cancel, dropped));
    assert!(!drained(
        &mut transfers,
        |transfers, _| transfers.close().unwrap(),
        kept
    ));
    assert!(!drained(
        &mut transfers,
        |transfers, id| transfers.ended(id, End::Paused).unwrap(),
        kept
    ));
    assert!(!drained(
        &mut transfers,
        |transfers, id| transfers.ended(id, End::Canceled).unwrap(),
        dropped
    ));
    assert!(drained(
        &mut transfers,
        |transfers, id| transfers.discarded(id).unwrap(),
        dropped
    ));
}

#[test]
fn what_is_printed_of_it_shows_no_keys() {
    let mut transfers = Transfers::new();
    let secret = "https://example.com/?signature=secret";
    transfers
        .enqueue(secret, Direction::Download, Priority::default())
        .unwrap();
    assert!(!format!("{transfers:?}").contains("secret"));
}

#[test]
fn ten_thousand_tasks_are_nothing() {
    let many = NonZeroUsize::new(10_000).unwrap();
    let mut transfers = Transfers::new().capacity(many);
    transfers
        .set_limit(Direction::Download, Limit::MAX)
        .unwrap();
    for key in 0..many.get() {
        let priority = Priority((key % 7) as i32);
        transfers
            .enqueue(key, Direction::Download, priority)
            .unwrap();
    }
    let mut ended = 0;
    while let Some(action) = transfers.poll_action() {
        if let Action::Start(id) = action {
            transfers.ended(id, End::Completed).unwrap();
            ended += 1;
        }
    }
    assert_eq!(ended, many.get());
    assert_eq!(transfers.snapshot().downloads.queued, []);
}
