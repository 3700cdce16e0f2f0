//! The end of a manager: what runs is saved, nobody waits for ever, and nothing begins any more.

use std::time::{Duration, Instant};

use bytehaul::{TaskState, TransferError};

use crate::bed::{Bed, MIB, code, eventually, is_lawful, large, manager, soon, states};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_while_busy_saves_what_runs() {
    let mut bed = Bed::with(|builder| builder.max_downloads(1));
    let running = bed.transfers.enqueue(bed.slow("running")).unwrap();
    let waiting = bed.transfers.enqueue(bed.small("waiting")).unwrap();
    let resting = bed.transfers.enqueue_paused(bed.small("resting")).unwrap();
    let handles = [running, waiting, resting].map(|id| bed.transfers.handle(id).unwrap());
    bed.received(running, MIB).await;
    let begun = Instant::now();
    soon(bed.transfers.close()).await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "requests are dropped"
    );
    assert!(bed.path("running.bytehaul-control").exists());
    for handle in &handles {
        assert_eq!(code(soon(handle.wait()).await), 107);
        assert_eq!(handle.state(), TaskState::Paused);
    }
    let told = bed.told().await;
    is_lawful(&told);
    assert_eq!(states(&told, running), "pending transmission paused");
    assert_eq!(states(&told, waiting), "pending paused");
    assert_eq!(states(&told, resting), "paused");
    assert!(bed.server.requests_for("/waiting").is_empty());
    // The next manager goes on.
    bed.hurry("running");
    let next = manager(|builder| builder);
    let id = next.enqueue(bed.spec("running")).unwrap();
    let outcome = soon(next.wait(id)).await.unwrap().completion();
    assert!(outcome.resumed_from >= MIB, "{outcome:?}");
    bed.is_there("running", &large("running"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_manager_refuses_everything() {
    let bed = Bed::new();
    let id = bed.transfers.enqueue_paused(bed.small("f")).unwrap();
    assert!(!bed.transfers.is_closed());
    soon(bed.transfers.close()).await.unwrap();
    assert!(bed.transfers.is_closed());
    let transfers = bed.transfers.clone();
    assert_eq!(code(transfers.close().await), 107, "a second time");
    assert_eq!(code(transfers.enqueue(bed.small("g"))), 107);
    assert_eq!(code(transfers.enqueue_paused(bed.small("g"))), 107);
    assert_eq!(code(transfers.pause(id).await), 107);
    assert_eq!(code(transfers.resume(id).await), 107);
    assert_eq!(code(transfers.cancel(id).await), 107);
    assert_eq!(code(transfers.set_priority(id, 1)), 107);
    assert_eq!(code(transfers.set_max_downloads(3)), 107);
    assert_eq!(transfers.snapshot().downloads.paused.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_close_at_once() {
    let bed = Bed::new();
    bed.transfers.enqueue(bed.hanging("f")).unwrap();
    let (a, b) = (bed.transfers.clone(), bed.transfers.clone());
    let (a, b) = soon(async { tokio::join!(a.close(), b.close()) }).await;
    let refused = [a, b].into_iter().filter_map(Result::err);
    let codes: Vec<_> = refused.map(|error| error.code()).collect();
    assert_eq!(codes, [107]);
}

/// Who waits for a pause or for the end while the manager is closed is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_answers_who_waits() {
    let bed = Bed::new();
    let id = bed.transfers.enqueue(bed.hanging("f")).unwrap();
    let (waiting, pausing) = (bed.transfers.clone(), bed.transfers.clone());
    let waiting = tokio::spawn(async move { waiting.wait(id).await });
    let pausing = tokio::spawn(async move { pausing.pause(id).await });
    tokio::task::yield_now().await;
    soon(bed.transfers.close()).await.unwrap();
    assert_eq!(code(soon(waiting).await.unwrap()), 107);
    match soon(pausing).await.unwrap() {
        Ok(()) | Err(TransferError::Closed) => (),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_clone_pauses() {
    let bed = Bed::new();
    let transfers = manager(|builder| builder);
    let mut events = transfers.events();
    let id = transfers.enqueue(bed.slow("f")).unwrap();
    let handle = transfers.handle(id).unwrap();
    let clone = transfers.clone();
    drop(transfers);
    eventually("bytes", || bed.server.bytes_sent() > MIB).await;
    assert_eq!(handle.state(), TaskState::Transmission, "a clone is left");
    drop(clone);
    assert_eq!(code(soon(handle.wait()).await), 107);
    let mut told = Vec::new();
    while let Some(event) = soon(events.next()).await {
        told.push(event);
    }
    assert_eq!(states(&told, id), "pending transmission paused");
}
