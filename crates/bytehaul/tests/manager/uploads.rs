//! Uploads in the queue: paused and resumed without sending again, canceled with nothing left behind, taken up in another process.

use std::time::Duration;

use bytehaul::protocol::{Form, Tus};
use bytehaul::{
    Checkpoint, CheckpointPlace, EventKind, TaskId, TaskOptions, TaskState, TransferEvent,
    UploadSpec,
};
use bytehaul_testkit::uploads::{FormServer, TusServer};

use crate::bed::{Bed, MIB, code, eventually, is_lawful, is_told, manager, small, soon, states};
use crate::shelf::{PART, Shelf, content};

/// Uploads until so many parts are taken.
async fn sends(shelf: &Shelf, parts: usize) {
    let until = shelf.taken() + parts;
    shelf.let_through(parts);
    eventually("parts", || shelf.taken() >= until).await;
}

/// What the server has answered for by the manager's word.
async fn acknowledged(bed: &Bed, id: TaskId, parts: usize) {
    bed.received(id, (parts * PART) as u64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_completes_and_says_what_the_server_said() {
    let mut bed = Bed::new();
    let shelf = Shelf::new();
    shelf.let_through(5);
    let id = bed.transfers.enqueue(shelf.upload("f", 5)).unwrap();
    let ended = bed.wait(id).await;
    assert_eq!(shelf.object("f"), Some(content("f", 5)));
    let completion = ended.as_ref().unwrap().completion();
    assert_eq!(completion.bytes, 5000);
    assert_eq!(completion.payload.as_deref(), Some(&b"id of f"[..]));
    assert!(!format!("{completion:?}").contains("id of f"));
    let told = bed.told().await;
    is_lawful(&told);
    is_told(&told, id, &ended);
    assert_eq!(states(&told, id), "pending transmission complete");
    for event in &told {
        assert_eq!((&*event.source, &*event.target), ("f", "shelf://store/f"));
        let json = serde_json::to_string(&**event).unwrap();
        let again: TransferEvent = serde_json::from_str(&json).unwrap();
        assert_eq!(again, **event);
    }
    assert_eq!(shelf.aborts(), [""; 0]);
}

/// A stream is read once: it completes, and what was read of it and is sent no more cannot be had again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_uploaded_once() {
    let mut bed = Bed::new();
    let shelf = Shelf::new();
    let of_reader = |name: &str| {
        let reader = std::io::Cursor::new(content(name, 5));
        UploadSpec::reader(name, reader, shelf.protocol(name)).part_size(PART as u64)
    };
    let id = bed.transfers.enqueue(of_reader("f")).unwrap();
    shelf.let_through(5);
    let ended = bed.wait(id).await;
    assert_eq!(ended.as_ref().unwrap().completion().bytes, 5000);
    assert_eq!(shelf.object("f"), Some(content("f", 5)));

    let canceled = bed.transfers.enqueue(of_reader("g")).unwrap();
    sends(&shelf, 2).await;
    soon(bed.transfers.cancel(canceled)).await.unwrap();
    assert_eq!(code(bed.wait(canceled).await), 120);
    eventually("discarded", || shelf.staged() == 0).await;

    let again = bed.transfers.enqueue(of_reader("h")).unwrap();
    sends(&shelf, 2).await;
    soon(bed.transfers.pause(again)).await.unwrap();
    shelf.let_through(100);
    bed.transfers.resume(again).await.unwrap();
    assert_eq!(code(bed.wait(again).await), 102);
    assert_eq!(shelf.object("h"), None);
    let told = bed.told().await;
    is_lawful(&told);
    is_told(&told, id, &ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_upload_goes_on_without_sending_again() {
    let mut bed = Bed::new();
    let shelf = Shelf::new();
    let id = bed.transfers.enqueue(shelf.upload("f", 6)).unwrap();
    for _ in 0..2 {
        let before = shelf.taken();
        sends(&shelf, 2).await;
        acknowledged(&bed, id, before + 2).await;
        soon(bed.transfers.pause(id)).await.unwrap();
        let snapshot = bed.transfers.snapshot();
        assert_eq!(snapshot.uploads.paused[0].id, id);
        bed.transfers.resume(id).await.unwrap();
    }
    shelf.let_through(2);
    let completion = bed.wait(id).await.unwrap().completion();
    assert_eq!((shelf.taken(), shelf.sessions()), (6, 1));
    assert_eq!(completion.resumed_from, 4000);
    assert_eq!(shelf.object("f"), Some(content("f", 6)));
    is_lawful(&bed.told().await);
}

/// The last checkpoint that was told, from JSON, is all that another manager needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_from_an_event_goes_on_in_another_manager() {
    let mut bed = Bed::new();
    let shelf = Shelf::new();
    let id = bed.transfers.enqueue(shelf.upload("f", 4)).unwrap();
    sends(&shelf, 3).await;
    acknowledged(&bed, id, 3).await;
    let told = bed.told().await;
    let kept = told.iter().rev().find_map(|event| match &event.kind {
        EventKind::Checkpoint(checkpoint) => Some(checkpoint.to_json()),
        _ => None,
    });
    let checkpoint = Checkpoint::from_json(&kept.expect("told before it is paused")).unwrap();
    assert_eq!(checkpoint.acknowledged(), 3000);
    let last = told.last().unwrap();
    assert_eq!(
        last.kind,
        EventKind::State(TaskState::Paused),
        "and then paused"
    );

    let next = manager(|builder| builder);
    let spec = shelf.upload("f", 4).checkpoint(checkpoint);
    let id = next.enqueue_paused(spec).unwrap();
    next.resume(id).await.unwrap();
    shelf.let_through(1);
    soon(next.wait(id)).await.unwrap();
    assert_eq!((shelf.taken(), shelf.sessions()), (4, 1));
    assert_eq!(shelf.object("f"), Some(content("f", 4)));
}

/// A canceled upload is over at once; what it has staged goes beside the queue, and only then does the next of its key begin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canceled_upload_is_discarded_beside_the_queue() {
    let mut bed = Bed::with(|builder| builder.max_uploads(1));
    let shelf = Shelf::new();
    shelf.hold_aborts();
    let id = bed.transfers.enqueue(shelf.upload("f", 4)).unwrap();
    sends(&shelf, 2).await;
    acknowledged(&bed, id, 2).await;
    soon(bed.transfers.cancel(id)).await.unwrap();
    assert_eq!(code(bed.wait(id).await), 120);
    shelf.let_through(100);
    let same = bed.transfers.enqueue(shelf.upload("f", 4)).unwrap();
    let other = bed.transfers.enqueue(shelf.upload("g", 4)).unwrap();
    bed.wait(other).await.unwrap();
    assert_eq!(
        bed.state(same),
        TaskState::Pending,
        "the slot is free, its key is not"
    );
    shelf.release_aborts();
    bed.wait(same).await.unwrap();
    assert_eq!(shelf.aborts(), ["session-1"], "once");
    assert_eq!(shelf.object("f"), Some(content("f", 4)));
    assert_eq!(shelf.staged(), 0);
    let told = bed.told().await;
    is_lawful(&told);
    assert_eq!(states(&told, id), "pending transmission canceled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_upload_is_discarded_when_it_is_canceled() {
    let mut bed = Bed::new();
    let shelf = Shelf::new();
    let id = bed.transfers.enqueue(shelf.upload("f", 4)).unwrap();
    sends(&shelf, 2).await;
    acknowledged(&bed, id, 2).await;
    soon(bed.transfers.pause(id)).await.unwrap();
    soon(bed.transfers.cancel(id)).await.unwrap();
    // Closing waits for it.
    let told = bed.told().await;
    assert_eq!(shelf.aborts(), ["session-1"]);
    assert_eq!(shelf.staged(), 0);
    assert_eq!(states(&told, id), "pending transmission paused canceled");
}

/// What has staged nothing discards nothing, and one that was told to leave it leaves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_is_discarded() {
    let mut bed = Bed::with(|builder| builder.max_uploads(1));
    let shelf = Shelf::new();
    let kept = shelf.upload("kept", 2).abort_on_cancel(false);
    let kept = bed.transfers.enqueue(kept).unwrap();
    let waiting = bed.transfers.enqueue(shelf.upload("waiting", 2)).unwrap();
    let resting = bed.transfers.enqueue_paused(shelf.upload("resting", 2));
    let resting = resting.unwrap();
    sends(&shelf, 1).await;
    acknowledged(&bed, kept, 1).await;
    for id in [resting, waiting, kept] {
        soon(bed.transfers.cancel(id)).await.unwrap();
    }
    bed.told().await;
    assert_eq!(shelf.aborts(), [""; 0]);
    assert_eq!(shelf.staged(), 1);
}

/// Whatever the moment: nothing stays behind, and what was complete before stays complete.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canceled_at_any_moment() {
    let mut bed = Bed::new();
    let shelf = Shelf::new();
    shelf.let_through(1000);
    for n in 0..60u64 {
        let spec = shelf.upload(&n.to_string(), 8);
        let id = bed.transfers.enqueue(spec).unwrap();
        tokio::time::sleep(Duration::from_micros(n * 50)).await;
        match soon(bed.transfers.cancel(id)).await {
            Ok(()) => assert_eq!(code(bed.wait(id).await), 120),
            Err(error) => {
                assert!([108, 117].contains(&error.code()), "{error:?}");
                bed.wait(id).await.unwrap();
                assert_eq!(
                    shelf.object(&n.to_string()),
                    Some(content(&n.to_string(), 8))
                );
            }
        }
    }
    is_lawful(&bed.told().await);
    // A session whose name was on its way when the upload was canceled is one that nobody knows of.
    let nameless = shelf
        .aborts()
        .iter()
        .filter(|session| session.is_empty())
        .count();
    assert!(shelf.staged() <= nameless, "{:?}", shelf.aborts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_in_a_directory_are_the_uploads_own() {
    let bed = Bed::new();
    let shelf = Shelf::new();
    let place = CheckpointPlace::Directory(bed.path("state"));
    let spec = shelf.upload("f", 4).checkpoints(place);
    let id = bed.transfers.enqueue(spec.clone()).unwrap();
    sends(&shelf, 2).await;
    acknowledged(&bed, id, 2).await;
    soon(bed.transfers.close()).await.unwrap();
    let files = || {
        let entries = std::fs::read_dir(bed.path("state")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".lock")).count()
    };
    assert!(files() > 0);
    // Imported by another manager and canceled before it has run.
    let next = manager(|builder| builder);
    let id = next.enqueue_paused(spec).unwrap();
    soon(next.cancel(id)).await.unwrap();
    soon(next.close()).await.unwrap();
    assert_eq!(shelf.aborts(), ["session-1"]);
    assert_eq!(shelf.staged(), 0);
    assert_eq!(files(), 0);
}

/// A panic of the application's own protocol is the failure of its upload alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protocol_that_panics() {
    let mut bed = Bed::with(|builder| builder.max_uploads(1));
    let (broken, sound) = (Shelf::new(), Shelf::new());
    broken.panic();
    sound.let_through(2);
    let failing = bed.transfers.enqueue(broken.upload("broken", 2)).unwrap();
    let running = bed.transfers.enqueue(sound.upload("sound", 2)).unwrap();
    let ended = bed.wait(failing).await;
    assert_eq!(code(ended.clone()), 127);
    bed.wait(running).await.unwrap();
    let told = bed.told().await;
    is_lawful(&told);
    is_told(&told, failing, &ended);
}

/// Each direction has its own line, and the same name twice is no duplicate of the other direction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directions_do_not_wait_for_each_other() {
    let bed = Bed::with(|builder| builder.max_downloads(1).max_uploads(1));
    let shelf = Shelf::new();
    bed.transfers.enqueue(bed.hanging("stuck")).unwrap();
    let up = bed.transfers.enqueue(shelf.upload("f", 1)).unwrap();
    assert_eq!(code(bed.transfers.enqueue(shelf.upload("f", 1))), 103);
    let down = bed.transfers.enqueue(bed.small("f")).unwrap();
    assert_eq!(bed.state(down), TaskState::Pending);
    shelf.let_through(1);
    bed.wait(up).await.unwrap();
    bed.transfers.set_max_downloads(2).unwrap();
    bed.wait(down).await.unwrap();
    bed.is_there("f", &small("f"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_cannot_be_is_refused_at_once() {
    let bed = Bed::new();
    let enqueue = |spec: UploadSpec| code(bed.transfers.enqueue(spec));
    let url = bed.server.url("/upload");
    assert_eq!(enqueue(UploadSpec::bytes("", "x", Form::new(&*url))), 102);
    assert_eq!(
        enqueue(UploadSpec::bytes("f", "x", Form::new("no url"))),
        102
    );
    let reader = UploadSpec::reader("f", tokio::io::empty(), Form::new(&*url));
    assert_eq!(enqueue(reader), 102, "a form has to know the length");
}

/// The contract's own server: paused in the middle, resumed at the server's word, and its id at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_against_their_server() {
    let Some(server) = FormServer::start() else {
        return;
    };
    let mut bed = Bed::with(|builder| builder.max_upload_speed(2 * MIB));
    let bytes = content("form", 4096);
    let path = bed.path("source.bin");
    std::fs::write(&path, &bytes).unwrap();
    let form = Form::new(server.url()).part_size(256 * 1024);
    let options = TaskOptions::new().label("form");
    let spec = UploadSpec::file(&path, form);
    let id = bed.transfers.enqueue_with(spec, options).unwrap();
    bed.received(id, MIB).await;
    soon(bed.transfers.pause(id)).await.unwrap();
    bed.transfers.uploader().set_max_upload_speed(0);
    bed.transfers.resume(id).await.unwrap();
    let completion = bed.wait(id).await.unwrap().completion();
    assert_eq!(completion.bytes, bytes.len() as u64);
    assert!(completion.payload.is_some(), "the file's id");
    assert!(completion.resumed_from >= MIB, "{completion:?}");
    assert_eq!(server.violations(), [""; 0]);
    is_lawful(&bed.told().await);
}

/// The reference server: what was canceled is gone there, what was paused goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tus_against_the_reference_server() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let bed = Bed::with(|builder| builder.max_uploads(3).max_upload_speed(3 * MIB));
    let bytes = content("tus", 4096);
    let spec = |name: &str| {
        let tus = Tus::new(server.url());
        UploadSpec::bytes(name, bytes.clone(), tus).part_size(512 * 1024)
    };
    // The target of all three is the same; their names tell them apart.
    let ids = ["kept", "paused", "running"];
    let [kept, paused, running] = ids.map(|name| bed.transfers.enqueue(spec(name)).unwrap());
    for id in [kept, paused, running] {
        bed.received(id, MIB / 2).await;
    }
    for id in [kept, paused] {
        soon(bed.transfers.pause(id)).await.unwrap();
    }
    for id in [paused, running] {
        soon(bed.transfers.cancel(id)).await.unwrap();
    }
    eventually("two gone", || server.uploads().len() == 1).await;
    bed.transfers.uploader().set_max_upload_speed(0);
    bed.transfers.resume(kept).await.unwrap();
    let completion = bed.wait(kept).await.unwrap().completion();
    assert!(completion.resumed_from >= MIB / 2, "{completion:?}");
    let location = completion.location.expect("the server gave one");
    assert_eq!(server.stored(&location).as_deref(), Some(&*bytes));
    soon(bed.transfers.close()).await.unwrap();
}
