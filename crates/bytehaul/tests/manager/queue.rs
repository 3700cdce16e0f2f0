//! What is accepted and refused, and in which order it runs.

use std::time::Duration;

use bytehaul::{DownloadSpec, TaskId, TaskOptions, TaskState, TransferError, TransferManager};

use crate::bed::{Bed, code, eventually, is_lawful, is_told, small, soon, states};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_enqueued_completes() {
    let mut bed = Bed::new();
    let names = ["a", "bb", "ccc", "dddd", "eeeee"];
    let ids = names.map(|name| bed.transfers.enqueue(bed.small(name)).unwrap());
    let mut ended = Vec::new();
    for (name, id) in names.into_iter().zip(ids) {
        let outcome = bed.wait(id).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        bed.is_there(name, &small(name));
        ended.push((id, outcome));
    }
    let told = bed.told().await;
    is_lawful(&told);
    for (id, ended) in ended {
        assert_eq!(states(&told, id), "pending transmission complete");
        is_told(&told, id, &ended);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_told_with_its_number() {
    let mut bed = Bed::new();
    let id = bed.transfers.enqueue(bed.missing("nothing")).unwrap();
    let ended = bed.wait(id).await;
    let failure = ended.as_ref().expect_err("not there").failure();
    assert_eq!((failure.code, failure.status), (109, Some(404)));
    let told = bed.told().await;
    assert_eq!(states(&told, id), "pending transmission failed");
    is_told(&told, id, &ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_is_refused_and_leaves_the_first_alone() {
    let mut bed = Bed::new();
    let first = bed.transfers.enqueue(bed.slow("f")).unwrap();
    bed.received(first, 1).await;
    let duplicate = |spec: DownloadSpec| match bed.transfers.enqueue(spec) {
        Err(error @ TransferError::Duplicate { existing, .. }) => {
            assert_eq!(error.code(), 103);
            existing
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(duplicate(bed.spec("f")), first);
    assert_eq!(duplicate(bed.spec("f").max_connections(3)), first);
    let mut signed = bed.spec("f");
    signed.url = signed.url.replace("//", "//user:password@");
    signed
        .url
        .push_str("?X-Amz-Signature=0123456789abcdef0123456789abcdef");
    assert_eq!(duplicate(signed), first, "signatures and credentials");
    let elsewhere = bed.spec("f").output_path(bed.path("g"));
    let second = bed.transfers.enqueue_paused(elsewhere).unwrap();
    assert_eq!(duplicate(bed.spec("f").output_path(bed.path("g"))), second);
    bed.hurry("f");
    let ended = bed.wait(first).await;
    assert!(ended.is_ok(), "{ended:?}");
    // The key is free again.
    bed.transfers.enqueue_paused(bed.spec("f")).unwrap();
    is_lawful(&bed.told().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_that_cannot_be_used_is_refused_at_once() {
    let mut bed = Bed::new();
    let enqueue = |spec: DownloadSpec| code(bed.transfers.enqueue(spec));
    assert_eq!(enqueue(DownloadSpec::new("")), 102);
    assert_eq!(enqueue(DownloadSpec::new("ftp://host/f")), 102);
    assert_eq!(enqueue(bed.spec("f").header("a b", "c")), 102);
    assert!(bed.told().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_recovers() {
    let mut bed = Bed::with(|builder| builder.max_downloads(1).queue_capacity(2));
    let running = bed.transfers.enqueue(bed.hanging("running")).unwrap();
    let waiting = ["a", "b"].map(|name| bed.transfers.enqueue(bed.small(name)).unwrap());
    assert_eq!(code(bed.transfers.enqueue(bed.small("c"))), 111);
    assert_eq!(code(bed.transfers.enqueue_paused(bed.small("c"))), 111);
    bed.transfers.pause(waiting[0]).await.unwrap();
    let third = bed.transfers.enqueue(bed.small("c")).unwrap();
    // What was accepted once is not refused its resumption.
    bed.transfers.resume(waiting[0]).await.unwrap();
    bed.transfers.cancel(running).await.unwrap();
    for id in waiting.into_iter().chain([third]) {
        bed.wait(id).await.unwrap();
    }
    is_lawful(&bed.told().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn priorities_decide_who_is_next() {
    let mut bed = Bed::with(|builder| builder.max_downloads(1));
    let first = bed.transfers.enqueue(bed.hanging("first")).unwrap();
    let enqueue = |name: &str, priority| {
        let options = TaskOptions::new().priority(priority).label(name);
        let transfers = &bed.transfers;
        transfers.enqueue_with(bed.small(name), options).unwrap()
    };
    let low = enqueue("low", -5);
    let (a, b, c) = (enqueue("a", 0), enqueue("b", 0), enqueue("c", 0));
    let high = enqueue("high", 9);
    bed.transfers.set_priority(c, 1).unwrap();
    let queued: Vec<TaskId> = {
        let snapshot = bed.transfers.snapshot();
        snapshot
            .downloads
            .queued
            .iter()
            .map(|task| task.id)
            .collect()
    };
    assert_eq!(queued, [high, c, a, b, low]);
    bed.transfers.cancel(first).await.unwrap();
    bed.wait(low).await.unwrap();
    let told = bed.told().await;
    let begun = told
        .iter()
        .filter(|event| event.kind.state() == Some(TaskState::Transmission));
    let labels: Vec<_> = begun.filter_map(|event| event.label.as_deref()).collect();
    assert_eq!(labels, ["high", "c", "a", "b", "low"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_tasks_are_not_found() {
    let bed = Bed::new();
    let nobody = TaskId::from(77);
    let transfers = &bed.transfers;
    assert_eq!(code(transfers.pause(nobody).await), 108);
    assert_eq!(code(transfers.resume(nobody).await), 108);
    assert_eq!(code(transfers.cancel(nobody).await), 108);
    assert_eq!(code(transfers.set_priority(nobody, 1)), 108);
    assert_eq!(code(transfers.wait(nobody).await), 108);
    assert_eq!(code(transfers.on_task_event(nobody, |_| ())), 108);
    assert!(transfers.handle(nobody).is_none());
    let id = transfers.enqueue(bed.small("f")).unwrap();
    bed.wait(id).await.unwrap();
    assert_eq!(code(transfers.cancel(id).await), 108, "it has ended");
    assert_eq!(bed.state(id), TaskState::Complete, "and can be asked for");
    bed.wait(id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_many_tasks_ago_is_forgotten() {
    let bed = Bed::new();
    let enqueue = |n: usize| {
        let spec = bed.spec(&n.to_string());
        bed.transfers.enqueue_paused(spec).unwrap()
    };
    let first = enqueue(0);
    bed.transfers.cancel(first).await.unwrap();
    let handle = bed.transfers.handle(first).unwrap();
    for n in 1..=1024 {
        bed.transfers.cancel(enqueue(n)).await.unwrap();
    }
    assert_eq!(code(bed.transfers.wait(first).await), 108);
    assert_eq!(code(handle.wait().await), 120, "a handle remembers");
}

#[test]
fn without_a_runtime_there_is_no_manager() {
    assert_eq!(code(TransferManager::builder().build()), 101);
}

/// Commands come from any thread, also from one that knows no runtime.
#[test]
fn commands_need_no_runtime_of_their_own() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let bed = runtime.block_on(async { Bed::new() });
    let id = bed.transfers.enqueue(bed.small("f")).unwrap();
    runtime.block_on(bed.wait(id)).unwrap();
    runtime.block_on(soon(bed.transfers.close())).unwrap();
}

/// A runtime that goes down takes the transfers with it, and nobody waits for ever.
#[test]
fn a_runtime_that_goes_down_is_an_end() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    };
    let (inner, outer) = (runtime(), runtime());
    let bed = inner.block_on(async { Bed::with(|builder| builder.max_downloads(1)) });
    let running = bed.transfers.enqueue(bed.hanging("running")).unwrap();
    let waiting: Vec<_> = (0..100)
        .map(|n| bed.transfers.enqueue(bed.small(&n.to_string())).unwrap())
        .collect();
    inner.block_on(eventually("a request", || {
        !bed.server.requests().is_empty()
    }));
    inner.shutdown_timeout(Duration::from_secs(5));
    assert_eq!(code(outer.block_on(bed.wait(running))), 112);
    for id in waiting {
        assert_eq!(code(outer.block_on(bed.wait(id))), 107);
    }
    assert!(bed.transfers.is_closed());
    assert_eq!(code(bed.transfers.enqueue(bed.small("f"))), 107);
}
