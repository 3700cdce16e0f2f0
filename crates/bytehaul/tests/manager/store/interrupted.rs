//! Processes that die between what they have done and writing it down.

use std::time::Duration;

use bytehaul::{Checksum, RunUntil, TaskState, Wish};
use bytehaul_integrity::{Algorithm, Hasher};

use super::{add, run, shelved, states, store, upload};
use crate::bed::{Bed, eventually, manager, small, soon};
use crate::shelf::{Shelf, content};

/// A process that dies between giving a file its name and writing that down leaves a task that goes on: it is complete where
/// its checksum says that the file is the one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_there_already_is_proven() {
    let bed = Bed::new();
    let queue = store(&bed);
    let hash = |name: &str| {
        let bytes = small(name).whole();
        Hasher::digest(Algorithm::Sha256, &bytes).hex()
    };
    let checked = |name: &str| bed.small(name).checksum(Checksum::Sha256(hash(name)));
    for spec in [checked("a"), checked("bb"), bed.small("ccc")] {
        add(&queue, &spec);
    }
    assert_eq!(run(&queue).await.completed, 3);
    // As a process leaves it that is killed in between.
    let database = rusqlite::Connection::open(bed.path("queue.db")).unwrap();
    let undone = "UPDATE tasks SET state = 'pending', completion = NULL";
    database.execute(undone, []).unwrap();
    drop(database);
    std::fs::write(bed.path("bb"), "somebody else's").unwrap();
    // One that has not begun has made nothing.
    std::fs::write(bed.path("dddd"), small("dddd").whole()).unwrap();
    add(&queue, &checked("dddd"));

    let before = bed.server.bytes_sent();
    let ran = run(&queue).await;
    assert_eq!((ran.completed, ran.failed), (1, 3));
    assert_eq!(bed.server.bytes_sent(), before);
    use TaskState::{Complete, Failed};
    assert_eq!(states(&queue), [Complete, Failed, Failed, Failed]);
    let tasks = queue.list().unwrap();
    let completion = tasks[0].completion.as_ref().unwrap();
    assert_eq!((completion.bytes, completion.moved), (small("a").len(), 0));
    assert_eq!(completion.path.as_deref(), Some(&*bed.path("a")));
    assert!(completion.digest.as_ref().unwrap().contains(&hash("a")));
    for task in &tasks[1..] {
        assert_eq!(task.failure.as_ref().unwrap().code, 125);
    }
}

/// A canceled upload is not forgotten before what it has staged is discarded: a process that dies meanwhile leaves that to
/// the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canceled_upload_is_known_until_it_is_discarded() {
    for dies in [false, true] {
        let bed = Bed::new();
        let (queue, shelf) = (store(&bed), Shelf::new());
        std::fs::write(bed.path("f"), content("f", 4)).unwrap();
        let id = upload(&queue, &bed.path("f"));
        shelf.let_through(2);
        shelf.hold_aborts();
        let running = tokio::spawn({
            let (queue, make) = (queue.clone(), shelved(&shelf));
            async move {
                let manager = manager(|builder| builder);
                let never = std::future::pending();
                queue.run(manager, make, RunUntil::Idle, never).await
            }
        });
        let kept = || queue.get(id).unwrap().checkpoint;
        eventually("two parts are in the store", || {
            kept().is_some_and(|kept| kept.acknowledged() == 2000)
        })
        .await;
        queue.wish(id, Wish::Cancel).unwrap();
        eventually("it is being discarded", || shelf.aborting() == 1).await;
        // Whatever was told of its end has been written by then.
        tokio::time::sleep(Duration::from_millis(600)).await;
        let task = queue.get(id).unwrap();
        assert_eq!(
            (task.state.is_terminal(), task.wish),
            (false, Some(Wish::Cancel))
        );
        assert!(kept().is_some_and(|kept| kept.is_open()));
        assert!(!running.is_finished());
        let ran = match dies {
            true => {
                running.abort();
                assert!(running.await.unwrap_err().is_cancelled());
                shelf.release_aborts();
                let never = std::future::pending();
                let next = manager(|builder| builder);
                let ran = queue.run(next, shelved(&shelf), RunUntil::Idle, never);
                soon(ran).await.unwrap()
            }
            false => {
                shelf.release_aborts();
                soon(running).await.unwrap().unwrap()
            }
        };
        assert_eq!(ran.canceled, 1);
        assert_eq!(states(&queue), [TaskState::Canceled]);
        assert_eq!((shelf.staged(), shelf.sessions()), (0, 1));
        assert!(kept().is_none());
    }
}
