//! The queue in a file: added to, looked at and changed by any process, run by several, killed at any moment.

mod interrupted;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytehaul::protocol::Form;
use bytehaul::{
    DownloadRecipe, DownloadSpec, NewTask, Ran, Recipe, RunUntil, StoreError, StoredId, StoredTask,
    TaskState, Transfer, TransferError, TransferStore, UploadRecipe, UploadSpec, Wish,
};
use bytehaul_testkit::{Behaviour, Object};

use crate::bed::{Bed, MIB, eventually, large, manager, small, soon};
use crate::shelf::{PART, Shelf, content};

fn store(bed: &Bed) -> TransferStore {
    TransferStore::open(bed.path("queue.db")).unwrap()
}

fn add(store: &TransferStore, spec: &DownloadSpec) -> StoredId {
    let recipe = DownloadRecipe::from(spec);
    store.add(NewTask::new(recipe)).unwrap()
}

/// The transfer of a stored download, in a hurry.
fn make(task: &StoredTask) -> Result<Transfer, TransferError> {
    let Recipe::Download(recipe) = &task.recipe else {
        panic!("{task:?}");
    };
    let spec = recipe.spec()?.retry_base_delay(Duration::from_millis(10));
    Ok(spec.read_timeout(Duration::from_secs(60)).into())
}

async fn run(store: &TransferStore) -> Ran {
    let manager = manager(|builder| builder);
    let ran = store.run(manager, make, RunUntil::Idle, std::future::pending());
    soon(ran).await.unwrap()
}

fn states(store: &TransferStore) -> Vec<TaskState> {
    let tasks = store.list().unwrap();
    tasks.iter().map(|task| task.state).collect()
}

fn is_code<T: std::fmt::Debug>(result: Result<T, StoreError>, code: u16) {
    let error = result.expect_err("refused");
    assert_eq!(error.code(), code, "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_added_is_run_to_its_end() {
    let bed = Bed::new();
    let queue = store(&bed);
    let ids = [bed.small("a"), bed.missing("nothing"), bed.small("bb")].map(|s| add(&queue, &s));
    let paused = DownloadRecipe::from(&bed.small("resting"));
    queue
        .add(NewTask::new(paused).paused().label("row 4"))
        .unwrap();
    drop(queue);
    let queue = store(&bed);
    assert!(bed.server.requests().is_empty());
    let ran = run(&queue).await;
    assert_eq!((ran.completed, ran.failed, ran.canceled), (2, 1, 0));
    bed.is_there("a", &small("a"));
    bed.is_there("bb", &small("bb"));
    let tasks = queue.list().unwrap();
    assert_eq!(
        tasks.iter().map(|task| task.id).take(3).collect::<Vec<_>>(),
        ids
    );
    use TaskState::{Complete, Failed, Paused};
    assert_eq!(states(&queue), [Complete, Failed, Complete, Paused]);
    assert_eq!(
        tasks[0].completion.as_ref().unwrap().bytes,
        small("a").len()
    );
    assert_eq!(tasks[0].progress.done, small("a").len());
    assert_eq!(tasks[1].failure.as_ref().unwrap().status, Some(404));
    assert_eq!(tasks[3].label.as_deref(), Some("row 4"));
    assert!(
        tasks
            .iter()
            .all(|task| !task.claimed && task.wish.is_none())
    );
    assert_eq!(queue.forget_ended().unwrap(), 3);
    assert_eq!(states(&queue), [Paused]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_runs_is_changed_at_once() {
    let bed = Bed::new();
    let queue = store(&bed);
    let id = add(&queue, &bed.small("f"));
    is_code(queue.wish(id, Wish::Resume), 117);
    queue.wish(id, Wish::Pause).unwrap();
    is_code(queue.wish(id, Wish::Pause), 117);
    assert_eq!(states(&queue), [TaskState::Paused]);
    is_code(
        queue.add(NewTask::new(DownloadRecipe::from(&bed.spec("f")))),
        103,
    );
    queue.wish(id, Wish::Resume).unwrap();
    queue.set_priority(id, 7).unwrap();
    assert_eq!(queue.get(id).unwrap().priority, 7);
    queue.wish(id, Wish::Cancel).unwrap();
    assert_eq!(states(&queue), [TaskState::Canceled]);
    is_code(queue.wish(id, Wish::Cancel), 117);
    let again = add(&queue, &bed.spec("f"));
    assert!(again > id, "the key is free, the number is not");
    let nobody = "77".parse().unwrap();
    is_code(queue.wish(nobody, Wish::Pause), 108);
    is_code(queue.get(nobody), 108);
    is_code(queue.set_priority(nobody, 1), 108);
    is_code(
        queue.add(NewTask::new(DownloadRecipe::new("ftp://h/"))),
        102,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_highest_priority_runs_first() {
    let bed = Bed::new();
    let queue = store(&bed);
    for (name, priority) in [("a", 0), ("bb", 5), ("ccc", 0), ("dddd", 9)] {
        let recipe = DownloadRecipe::from(&bed.small(name));
        queue.add(NewTask::new(recipe).priority(priority)).unwrap();
    }
    let order = Mutex::new(Vec::new());
    let noted = |task: &StoredTask| {
        order.lock().unwrap().push(task.priority);
        make(task)
    };
    let one = manager(|builder| builder.max_downloads(1));
    let ran = queue.run(one, noted, RunUntil::Idle, std::future::pending());
    assert_eq!(soon(ran).await.unwrap().completed, 4);
    assert_eq!(*order.lock().unwrap(), [9, 5, 0, 0]);
}

/// Another process adds, pauses, resumes and cancels while this one runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wishes_are_done_while_it_runs() {
    let bed = Bed::new();
    let queue = store(&bed);
    let slow = add(&queue, &bed.slow("slow"));
    let hanging = add(&queue, &bed.hanging("hanging"));
    let running = tokio::spawn({
        let queue = queue.clone();
        async move { run(&queue).await }
    });
    let other = TransferStore::open(bed.path("queue.db")).unwrap();
    let is = |id, state| other.get(id).unwrap().state == state;
    eventually("both run", || {
        is(slow, TaskState::Transmission) && is(hanging, TaskState::Transmission)
    })
    .await;
    other.wish(slow, Wish::Pause).unwrap();
    other.wish(hanging, Wish::Cancel).unwrap();
    other.wish(hanging, Wish::Cancel).unwrap();
    eventually("paused and canceled", || {
        is(slow, TaskState::Paused) && is(hanging, TaskState::Canceled)
    })
    .await;
    let paused = other.get(slow).unwrap();
    assert!(paused.wish.is_none());
    bed.hurry("slow");
    let late = add(&other, &bed.small("late"));
    other.wish(slow, Wish::Resume).unwrap();
    let ran = soon(running).await.unwrap();
    assert_eq!((ran.completed, ran.canceled), (2, 1));
    assert!(is(slow, TaskState::Complete) && is(late, TaskState::Complete));
    bed.is_there("slow", &large("slow"));
}

/// Stopped in the middle: what ran waits for the next process, what was paused stays paused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_run_is_taken_up_by_the_next() {
    let bed = Bed::new();
    let queue = store(&bed);
    add(&queue, &bed.slow("slow"));
    let resting = add(&queue, &bed.slow("resting"));
    queue.wish(resting, Wish::Pause).unwrap();
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let queue = queue.clone();
        let stop = async move { drop(told.await) };
        async move {
            let manager = manager(|builder| builder);
            queue.run(manager, make, RunUntil::Stopped, stop).await
        }
    });
    eventually("bytes", || bed.server.bytes_sent() > MIB).await;
    tell.send(()).unwrap();
    assert_eq!(soon(running).await.unwrap().unwrap(), Ran::default());
    assert_eq!(states(&queue), [TaskState::Pending, TaskState::Paused]);
    assert!(queue.list().unwrap().iter().all(|task| !task.claimed));
    bed.hurry("slow");
    assert_eq!(run(&queue).await.completed, 1);
    let done = &queue.list().unwrap()[0];
    assert!(
        done.completion.as_ref().unwrap().resumed_from > 0,
        "{done:?}"
    );
    bed.is_there("slow", &large("slow"));
}

/// Several that run the same queue share it: each task is run by one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_runners_share_the_tasks() {
    let bed = Bed::new();
    let queue = store(&bed);
    let names: Vec<_> = (0..40).map(|n| format!("{n}")).collect();
    for name in &names {
        add(&queue, &bed.small(name));
    }
    let begun = Arc::new(AtomicUsize::new(0));
    let mut runners = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let queue = TransferStore::open(bed.path("queue.db")).unwrap();
        let begun = Arc::clone(&begun);
        runners.spawn(async move {
            let counted = |task: &StoredTask| {
                begun.fetch_add(1, Ordering::Relaxed);
                make(task)
            };
            let manager = manager(|builder| builder);
            queue
                .run(manager, counted, RunUntil::Idle, std::future::pending())
                .await
        });
    }
    let mut completed = Vec::new();
    while let Some(ran) = soon(runners.join_next()).await {
        completed.push(ran.unwrap().unwrap().completed);
    }
    assert_eq!(completed.iter().sum::<u64>(), 40);
    assert!(
        completed.iter().filter(|&&n| n > 0).count() > 1,
        "{completed:?}"
    );
    assert_eq!(begun.load(Ordering::Relaxed), 40, "each once");
    for name in &names {
        bed.is_there(name, &small(name));
    }
}

fn upload(store: &TransferStore, path: &Path) -> StoredId {
    let recipe = UploadRecipe::new(path, "shelf", "shelf://store/f");
    store.add(NewTask::new(recipe)).unwrap()
}

fn shelved(shelf: &Shelf) -> impl Fn(&StoredTask) -> Result<Transfer, TransferError> + use<> {
    let protocol: Arc<dyn bytehaul::protocol::UploadProtocol> = Arc::new(shelf.protocol("f"));
    move |task| {
        let Recipe::Upload(recipe) = &task.recipe else {
            panic!("{task:?}");
        };
        let source = bytehaul::UploadSource::File(recipe.source.clone());
        let spec = UploadSpec::new(source, Arc::clone(&protocol));
        Ok(spec.part_size(PART as u64).into())
    }
}

/// The checkpoint of an upload is in the store: the next process sends what is missing, or discards what was staged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_or_is_discarded_in_the_next_process() {
    for cancel in [false, true] {
        let bed = Bed::new();
        let (queue, shelf) = (store(&bed), Shelf::new());
        std::fs::write(bed.path("f"), content("f", 4)).unwrap();
        let id = upload(&queue, &bed.path("f"));
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        shelf.let_through(2);
        let running = tokio::spawn({
            let (queue, make) = (queue.clone(), shelved(&shelf));
            async move {
                let manager = manager(|builder| builder);
                let stop = async move { drop(told.await) };
                queue.run(manager, make, RunUntil::Idle, stop).await
            }
        });
        eventually("two parts are in the store", || {
            let task = queue.get(id).unwrap();
            task.checkpoint
                .is_some_and(|kept| kept.acknowledged() == 2000)
        })
        .await;
        tell.send(()).unwrap();
        soon(running).await.unwrap().unwrap();
        if cancel {
            queue.wish(id, Wish::Cancel).unwrap();
            assert_eq!(
                states(&queue),
                [TaskState::Pending],
                "until somebody discards it"
            );
            is_code(queue.wish(id, Wish::Pause), 117);
        }
        shelf.let_through(2);
        let manager = manager(|builder| builder);
        let make = shelved(&shelf);
        let ran = queue.run(manager, make, RunUntil::Idle, std::future::pending());
        let ran = soon(ran).await.unwrap();
        assert_eq!(
            (ran.completed, ran.canceled),
            (!cancel as u64, cancel as u64)
        );
        assert_eq!(shelf.sessions(), 1);
        if cancel {
            assert_eq!((shelf.taken(), shelf.aborts().len()), (2, 1));
            assert_eq!(states(&queue), [TaskState::Canceled]);
        } else {
            assert_eq!((shelf.taken(), shelf.aborts().len()), (4, 0));
            assert_eq!(shelf.object("f"), Some(content("f", 4)));
        }
        assert_eq!(shelf.staged(), 0);
        assert!(queue.get(id).unwrap().checkpoint.is_none());
    }
}

/// What cannot be made into a transfer is a failed task, not the end of the queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_cannot_be_made_fails_alone() {
    let bed = Bed::new();
    let queue = store(&bed);
    let unknown = UploadRecipe::new(bed.path("f"), "unknown", "https://h/");
    queue.add(NewTask::new(unknown)).unwrap();
    add(&queue, &bed.small("f"));
    let make = |task: &StoredTask| match &task.recipe {
        Recipe::Download(_) => make(task),
        _ => Ok(UploadSpec::bytes("f", "", Form::new("no url")).into()),
    };
    let manager = manager(|builder| builder);
    let ran = queue.run(manager, make, RunUntil::Idle, std::future::pending());
    let ran = soon(ran).await.unwrap();
    assert_eq!((ran.completed, ran.failed), (1, 1));
    assert_eq!(queue.list().unwrap()[0].failure.as_ref().unwrap().code, 102);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_is_in_the_file_and_nobody_else_may_read_it() {
    let bed = Bed::new();
    let queue = store(&bed);
    let mut spec = bed.small("f").header("authorization", "Bearer secret");
    spec.url = spec.url.replace("//", "//user:secret@");
    add(&queue, &spec);
    let target = "https://user:secret@host/files/";
    queue
        .add(NewTask::new(UploadRecipe::new("f", "tus", target)))
        .unwrap();
    let shown = format!("{:?} {queue:?}", queue.list().unwrap());
    assert!(!shown.contains("secret"), "{shown}");
    drop(queue);
    for entry in std::fs::read_dir(bed.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(6).any(|window| window == b"secret");
        assert!(!found, "{path:?}");
        #[cfg(unix)]
        if path
            .extension()
            .is_some_and(|name| name.to_string_lossy().starts_with("db"))
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{path:?}");
        }
    }
}

#[test]
fn what_is_no_store_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let garbage = dir.path().join("garbage");
    std::fs::write(&garbage, [7; 5000]).unwrap();
    is_code(TransferStore::open(&garbage), 105);
    assert_eq!(std::fs::read(&garbage).unwrap(), [7; 5000], "left alone");
    is_code(TransferStore::open(dir.path().join("no/directory")), 105);
    let later = dir.path().join("later");
    drop(TransferStore::open(&later).unwrap());
    let connection = rusqlite::Connection::open(&later).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    assert!(matches!(
        TransferStore::open(&later),
        Err(StoreError::Version { .. })
    ));
}

/// A row that somebody has damaged fails, and the others run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_fails_alone() {
    let bed = Bed::new();
    let queue = store(&bed);
    let id = add(&queue, &bed.small("f"));
    add(&queue, &bed.small("g"));
    let connection = rusqlite::Connection::open(bed.path("queue.db")).unwrap();
    connection
        .execute(
            "UPDATE tasks SET recipe = '{\"torrent\":1}' WHERE id = 1",
            [],
        )
        .unwrap();
    is_code(queue.list(), 105);
    is_code(queue.get(id), 105);
    let ran = run(&queue).await;
    assert_eq!((ran.completed, ran.failed), (1, 1));
}

/// What another transfer still has is waited for a while: a process that is killed is not gone at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_target_is_waited_for() {
    let bed = Bed::new();
    let queue = store(&bed);
    let spec = bed.slow("f");
    let other = bed.transfers.downloader().download(spec.clone());
    eventually("bytes", || other.progress().received > MIB / 2).await;
    add(&queue, &spec);
    let running = tokio::spawn({
        let queue = queue.clone();
        async move { run(&queue).await }
    });
    tokio::time::sleep(Duration::from_millis(600)).await;
    other.pause().await;
    bed.hurry("f");
    let ran = soon(running).await.unwrap();
    assert_eq!((ran.completed, ran.failed), (1, 0));
    let done = &queue.list().unwrap()[0];
    assert!(
        done.completion.as_ref().unwrap().resumed_from > 0,
        "{done:?}"
    );
    bed.is_there("f", &large("f"));
}

/// What the killed process does: this test's own program, run again with these variables.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_is_killed() {
    let Some(path) = std::env::var_os(QUEUE) else {
        return;
    };
    let queue = TransferStore::open(path).unwrap();
    run(&queue).await;
}

#[cfg(unix)]
const QUEUE: &str = "BYTEHAUL_TEST_QUEUE";

/// Killed again and again: every task is run to its end, and what was there is not fetched again.
#[cfg(unix)]
#[test]
fn killed_while_it_runs() {
    use bytehaul_testkit::process::{Process, Signal};

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bed = runtime.block_on(async { Bed::new() });
    let queue = store(&bed);
    let names = ["a", "bb", "ccc"];
    for name in names {
        let slow = Behaviour::new().total_rate(2 * MIB);
        let object = Object::random(name.len() as u64, 4 * MIB).behaviour(slow);
        bed.server.serve(format!("/{name}"), object);
        add(&queue, &bed.spec(name));
    }
    for _ in 0..3 {
        let before = bed.server.bytes_sent();
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "store::the_process_that_is_killed",
            "--nocapture",
        ]);
        command.env(QUEUE, bed.path("queue.db"));
        let killed = Process::new(command)
            .timeout(Duration::from_secs(20))
            .stop_when(|| bed.server.bytes_sent() > before + 2 * MIB, Signal::KILL)
            .run()
            .unwrap();
        assert_eq!(killed.signal(), Some(9), "{}", killed.out());
        // Its claims are free again as soon as anybody looks.
        let tasks = queue.list().unwrap();
        assert!(tasks.iter().all(|task| !task.claimed), "{tasks:?}");
        assert!(
            tasks
                .iter()
                .all(|task| task.state != TaskState::Transmission)
        );
    }
    for name in names {
        bed.hurry(name);
    }
    runtime.block_on(run(&queue));
    let tasks = queue.list().unwrap();
    assert!(
        tasks.iter().all(|task| task.state == TaskState::Complete),
        "{tasks:?}"
    );
    let resumed = tasks
        .iter()
        .map(|task| task.completion.as_ref().unwrap().resumed_from);
    assert!(resumed.sum::<u64>() > MIB, "{tasks:?}");
    for name in names {
        bed.is_there(name, &large(name));
    }
}
