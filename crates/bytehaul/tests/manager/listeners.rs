//! Callbacks: registered, removed and cleared while tasks run, slow ones, and ones that panic.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytehaul::{TaskId, TaskOptions, TransferEvent};

use crate::bed::{Bed, eventually, is_lawful, soon, states};

/// A listener that keeps what it is called with.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Arc<TransferEvent>>>>);

impl Notes {
    fn listener(&self) -> impl Fn(&TransferEvent) + Send + Sync + 'static {
        let notes = self.clone();
        move |event| notes.0.lock().unwrap().push(Arc::new(event.clone()))
    }

    fn told(&self) -> Vec<Arc<TransferEvent>> {
        self.0.lock().unwrap().clone()
    }

    fn states(&self, id: TaskId) -> String {
        states(&self.told(), id)
    }
}

const LIFE: &str = "pending transmission complete";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn global_ones_hear_of_all_and_those_of_a_task_of_it_alone() {
    let mut bed = Bed::new();
    let (all, one, late) = (Notes::default(), Notes::default(), Notes::default());
    let _all = bed.transfers.on_event(all.listener());
    let options = TaskOptions::new().on_event(one.listener());
    let a = bed.transfers.enqueue_with(bed.small("a"), options).unwrap();
    let b = bed.transfers.enqueue_paused(bed.small("b")).unwrap();
    let guard = bed.transfers.on_task_event(b, late.listener()).unwrap();
    guard.keep();
    bed.transfers.resume(b).await.unwrap();
    for id in [a, b] {
        bed.wait(id).await.unwrap();
    }
    bed.told().await;
    // Closing has waited for them.
    is_lawful(&all.told());
    assert_eq!(all.states(a), LIFE);
    assert_eq!(all.states(b), format!("paused {LIFE}"));
    assert_eq!(one.states(a), LIFE);
    assert_eq!(one.states(b), "");
    assert_eq!(late.states(b), LIFE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_ones_hear_nothing_more() {
    let mut bed = Bed::new();
    let notes: [Notes; 4] = Default::default();
    let guard = bed.transfers.on_event(notes[0].listener());
    let id = bed.transfers.register_listener(notes[1].listener());
    let cleared = bed.transfers.register_listener(notes[2].listener());
    let first = bed.transfers.enqueue_paused(bed.small("a")).unwrap();
    eventually("the first event", || {
        notes.iter().take(3).all(|n| !n.told().is_empty())
    })
    .await;
    drop(guard);
    assert!(bed.transfers.unregister_listener(id));
    assert!(!bed.transfers.unregister_listener(id), "once");
    let second = bed.transfers.enqueue_paused(bed.small("b")).unwrap();
    eventually("the second event", || notes[2].states(second) == "paused").await;
    bed.transfers.clear_listeners();
    assert!(!bed.transfers.unregister_listener(cleared));
    let _last = bed.transfers.on_event(notes[3].listener());
    let third = bed.transfers.enqueue_paused(bed.small("c")).unwrap();
    bed.told().await;
    let heard = |notes: &Notes| [first, second, third].map(|id| notes.states(id));
    assert_eq!(heard(&notes[0]), ["paused", "", ""]);
    assert_eq!(heard(&notes[1]), ["paused", "", ""]);
    assert_eq!(heard(&notes[2]), ["paused", "paused", ""]);
    assert_eq!(heard(&notes[3]), ["", "", "paused"]);
}

/// On one thread for everything: a listener that blocks stalls neither transfers nor other listeners.
#[tokio::test(flavor = "current_thread")]
async fn a_slow_one_stalls_nobody() {
    let mut bed = Bed::new();
    let (release, quick) = (Arc::new(AtomicBool::new(false)), Notes::default());
    let called = Arc::new(AtomicUsize::new(0));
    let _slow = bed.transfers.on_event({
        let (release, called) = (Arc::clone(&release), Arc::clone(&called));
        move |_| {
            called.fetch_add(1, Ordering::Relaxed);
            while !release.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let _quick = bed.transfers.on_event(quick.listener());
    let ids: Vec<_> = (0..20)
        .map(|n| bed.transfers.enqueue(bed.small(&n.to_string())).unwrap())
        .collect();
    for &id in &ids {
        bed.wait(id).await.unwrap();
    }
    eventually("the quick one", || {
        ids.iter().all(|&id| quick.states(id) == LIFE)
    })
    .await;
    assert_eq!(called.load(Ordering::Relaxed), 1);
    release.store(true, Ordering::Relaxed);
    bed.told().await;
    assert!(
        called.load(Ordering::Relaxed) >= 60,
        "all states in the end"
    );
}

/// One that never returns holds up closing for a limited time, and dropping its guard lets it go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_waits_for_a_stuck_one_not_for_ever() {
    let bed = Bed::new();
    let release = Arc::new(AtomicBool::new(false));
    let _stuck = bed.transfers.on_event({
        let release = Arc::clone(&release);
        move |_| {
            while !release.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    bed.transfers.enqueue_paused(bed.small("f")).unwrap();
    let begun = Instant::now();
    soon(bed.transfers.close()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15));
    release.store(true, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_panics_is_called_again_and_breaks_nobody() {
    let mut bed = Bed::new();
    let (calls, sound) = (Arc::new(AtomicUsize::new(0)), Notes::default());
    let _broken = bed.transfers.on_event({
        let calls = Arc::clone(&calls);
        move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
            panic!("broken on purpose");
        }
    });
    let _sound = bed.transfers.on_event(sound.listener());
    let id = bed.transfers.enqueue(bed.small("f")).unwrap();
    bed.wait(id).await.unwrap();
    bed.told().await;
    assert_eq!(sound.states(id), LIFE);
    assert!(calls.load(Ordering::Relaxed) >= 3);
}

/// A listener may give commands, and end its own registration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_gives_commands() {
    let mut bed = Bed::new();
    let next = Mutex::new(Some(bed.small("next")));
    let (own, heard) = (Arc::new(Mutex::new(None)), Notes::default());
    let done = Arc::new(AtomicBool::new(false));
    let id = bed.transfers.register_listener({
        let (transfers, own, done) = (bed.transfers.clone(), Arc::clone(&own), Arc::clone(&done));
        let note = heard.listener();
        move |event| {
            note(event);
            if event.kind.is_terminal()
                && let Some(spec) = next.lock().unwrap().take()
            {
                transfers.enqueue_paused(spec).unwrap();
                let own = own.lock().unwrap().take();
                let was_there = transfers.unregister_listener(own.unwrap());
                done.store(was_there, Ordering::Relaxed);
            }
        }
    });
    *own.lock().unwrap() = Some(id);
    let first = bed.transfers.enqueue(bed.small("first")).unwrap();
    bed.wait(first).await.unwrap();
    eventually("the next one", || done.load(Ordering::Relaxed)).await;
    assert_eq!(bed.transfers.snapshot().downloads.paused.len(), 1);
    assert_eq!(heard.states(first), LIFE);
    bed.told().await;
    let second = TaskId::from(u64::from(first) + 1);
    assert_eq!(heard.states(second), "", "it had removed itself");
}
