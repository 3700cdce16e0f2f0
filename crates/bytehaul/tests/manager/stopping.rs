//! Pausing, resuming and canceling, at every moment of a task's life.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytehaul::{TaskState, TransferError, refresh_fn};
use bytehaul_testkit::{Behaviour, Effect, Object};

use crate::bed::{Bed, MIB, code, is_lawful, is_told, large, soon, states};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_download_is_saved_and_goes_on() {
    let mut bed = Bed::new();
    let id = bed.transfers.enqueue(bed.slow("f")).unwrap();
    bed.received(id, MIB).await;
    soon(bed.transfers.pause(id)).await.unwrap();
    assert_eq!(bed.state(id), TaskState::Paused);
    let snapshot = bed.transfers.snapshot();
    let paused = &snapshot.downloads.paused[0];
    assert!(paused.progress.durable >= MIB, "saved: {paused:?}");
    assert_eq!((paused.progress.rate, paused.progress.connections), (0, 0));
    assert!(bed.path("f.bytehaul-control").exists());
    assert_eq!(code(bed.transfers.pause(id).await), 117, "it is already");
    let durable = paused.progress.durable;
    bed.hurry("f");
    bed.transfers.resume(id).await.unwrap();
    let ended = bed.wait(id).await;
    let completion = ended.as_ref().unwrap().completion();
    assert!(completion.resumed_from >= durable, "{completion:?}");
    assert_eq!(completion.bytes, 4 * MIB);
    bed.is_there("f", &large("f"));
    let told = bed.told().await;
    assert_eq!(
        states(&told, id),
        "pending transmission paused pending transmission complete"
    );
    is_lawful(&told);
    is_told(&told, id, &ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_task_is_paused_and_canceled_without_a_request() {
    let mut bed = Bed::with(|builder| builder.max_downloads(1));
    let running = bed.transfers.enqueue(bed.hanging("running")).unwrap();
    let [a, b] = ["a", "b"].map(|name| bed.transfers.enqueue(bed.small(name)).unwrap());
    bed.transfers.pause(a).await.unwrap();
    bed.transfers.cancel(b).await.unwrap();
    bed.transfers.cancel(running).await.unwrap();
    assert_eq!(code(bed.wait(b).await), 120);
    assert_eq!(bed.state(a), TaskState::Paused);
    let told = bed.told().await;
    assert_eq!(states(&told, a), "pending paused");
    assert_eq!(states(&told, b), "pending canceled");
    assert!(bed.server.requests_for("/a").is_empty());
    assert!(bed.server.requests_for("/b").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_download_is_canceled_and_keeps_what_has_arrived() {
    let mut bed = Bed::new();
    let id = bed.transfers.enqueue(bed.slow("f")).unwrap();
    bed.received(id, MIB).await;
    soon(bed.transfers.cancel(id)).await.unwrap();
    let ended = bed.wait(id).await;
    assert!(matches!(ended, Err(TransferError::Canceled)), "{ended:?}");
    bed.hurry("f");
    let again = bed.transfers.enqueue(bed.spec("f")).unwrap();
    let outcome = bed.wait(again).await.unwrap().completion();
    assert!(outcome.resumed_from >= MIB, "{outcome:?}");
    let told = bed.told().await;
    assert_eq!(states(&told, id), "pending transmission canceled");
    is_told(&told, id, &ended);
}

/// Whatever the moment of a stop is, it is heard, and only the last wish counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_while_it_starts() {
    let mut bed = Bed::with(|builder| builder.max_downloads(1));
    let spec = bed.hanging("f");
    for n in 0..60u64 {
        let id = bed.transfers.enqueue(spec.clone()).unwrap();
        tokio::time::sleep(Duration::from_micros(n * 40)).await;
        let begun = Instant::now();
        if n % 2 == 0 {
            soon(bed.transfers.pause(id)).await.unwrap();
            assert_eq!(bed.state(id), TaskState::Paused);
        }
        soon(bed.transfers.cancel(id)).await.unwrap();
        assert_eq!(code(bed.wait(id).await), 120);
        assert!(begun.elapsed() < Duration::from_secs(5), "at once");
    }
    is_lawful(&bed.told().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resumed_while_it_is_being_paused() {
    let mut bed = Bed::new();
    let id = bed.transfers.enqueue(bed.slow("f")).unwrap();
    bed.received(id, MIB / 2).await;
    let transfers = bed.transfers.clone();
    let pausing = tokio::spawn(async move { transfers.pause(id).await });
    // At once, or when it is paused.
    let resumed = loop {
        match bed.transfers.resume(id).await {
            Err(TransferError::InvalidState { .. }) => tokio::task::yield_now().await,
            other => break other,
        }
    };
    resumed.unwrap();
    soon(pausing).await.unwrap().unwrap();
    bed.hurry("f");
    bed.wait(id).await.unwrap();
    bed.is_there("f", &large("f"));
    let told = bed.told().await;
    assert_eq!(
        states(&told, id),
        "pending transmission paused pending transmission complete"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_in_the_right_state_is_refused() {
    let bed = Bed::new();
    let id = bed.transfers.enqueue(bed.hanging("f")).unwrap();
    assert_eq!(code(bed.transfers.resume(id).await), 117);
    soon(bed.transfers.pause(id)).await.unwrap();
    assert_eq!(code(bed.transfers.pause(id).await), 117);
    bed.transfers.resume(id).await.unwrap();
    assert_eq!(code(bed.transfers.resume(id).await), 117);
}

/// One that is over before the wish comes to it says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pausing_what_ends_at_the_same_time() {
    let mut bed = Bed::new();
    for n in 0..40u64 {
        let name = n.to_string();
        let id = bed.transfers.enqueue(bed.small(&name)).unwrap();
        tokio::time::sleep(Duration::from_micros(n * 200)).await;
        match soon(bed.transfers.pause(id)).await {
            Ok(()) => {
                bed.transfers.resume(id).await.unwrap();
                bed.wait(id).await.unwrap();
            }
            Err(TransferError::InvalidState { state, .. }) => {
                assert_eq!(state, TaskState::Complete);
            }
            Err(error) => assert_eq!(error.code(), 108, "{error}"),
        }
        bed.wait(id).await.unwrap();
    }
    is_lawful(&bed.told().await);
}

/// A panic of the application's own code is the failure of its task alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_its_own_tasks_failure() {
    let mut bed = Bed::with(|builder| builder.max_downloads(1));
    let broken = refresh_fn(|_| async { panic!("broken on purpose") });
    let expired = bed.spec("expired").refresher(broken);
    bed.server.serve("/expired", forbidden());
    let broken = bed.transfers.enqueue(expired).unwrap();
    let sound = bed.transfers.enqueue(bed.small("sound")).unwrap();
    assert_eq!(code(bed.wait(broken).await), 129);
    bed.wait(sound).await.unwrap();
    is_lawful(&bed.told().await);
}

fn forbidden() -> Object {
    let never = Behaviour::new().always(Effect::status(403));
    Object::random(1, 1000).behaviour(never)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_commands_at_once() {
    let mut bed = Bed::with(|builder| builder.max_downloads(3));
    let ids: Vec<_> = (0..12)
        .map(|n| bed.transfers.enqueue(bed.slow(&n.to_string())).unwrap())
        .collect();
    let ids = Arc::new(ids);
    let mut commanders = tokio::task::JoinSet::new();
    for seed in 0..6usize {
        let (transfers, ids) = (bed.transfers.clone(), Arc::clone(&ids));
        commanders.spawn(async move {
            for step in 0..40 {
                let id = ids[(seed * 7 + step * 5) % ids.len()];
                let refused = match (seed + step) % 4 {
                    0 => transfers.pause(id).await.err(),
                    1 | 2 => transfers.resume(id).await.err(),
                    _ => transfers.set_priority(id, step as i32).err(),
                };
                if let Some(error) = refused {
                    assert!([108, 117].contains(&error.code()), "{error}");
                }
            }
        });
    }
    while let Some(ended) = soon(commanders.join_next()).await {
        ended.unwrap();
    }
    for n in 0..12 {
        bed.hurry(&n.to_string());
    }
    for &id in ids.iter() {
        match bed.transfers.resume(id).await {
            Ok(()) => (),
            Err(error) => assert!([108, 117].contains(&error.code()), "{error}"),
        }
        bed.wait(id).await.unwrap();
    }
    is_lawful(&bed.told().await);
}
