//! What goes wrong at the end of a download, when the part becomes the target.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::broken::{Broken, Kind, broken, start, submit};
use super::object;
use crate::{Conflict, Error, FinishError, Resume};

#[tokio::test]
async fn publishing_can_be_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let once = Broken {
        to: 1,
        ..Arc::into_inner(broken(Kind::Publish, 0, io::ErrorKind::Other)).unwrap()
    };
    let writer = start(&target, &Arc::new(once), 10_000);
    submit(&writer, 0, 10_000).await;
    assert!(matches!(
        writer.finish(None, 10_000).await,
        Err(FinishError::Storage(Error::Io { .. }))
    ));
    assert_eq!(writer.durable(), [0..10_000]);
    let finished = writer.finish(None, 10_000).await.unwrap();
    assert_eq!(std::fs::read(finished.path).unwrap(), object(0, 0..10_000));
    assert!(matches!(
        writer.finish(None, 10_000).await,
        Err(FinishError::Storage(Error::Closed))
    ));
}

#[tokio::test]
async fn a_published_file_whose_name_may_be_lost_is_given_up_and_not_called_resumable() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let writer = start(
        &target,
        &broken(Kind::SyncDirectory, 0, io::ErrorKind::Other),
        20_000,
    );
    submit(&writer, 0, 10_000).await;
    writer.settled().await.unwrap();
    submit(&writer, 10_000, 10_000).await;
    let finished = writer.finish(None, 20_000).await;
    assert!(
        matches!(&finished, Err(FinishError::Storage(Error::NotDurable { path, .. })) if *path == target),
        "{finished:?}"
    );
    assert_eq!(std::fs::read(&target).unwrap(), object(0, 0..20_000));
    assert!(
        writer.durable().is_empty(),
        "no claims on a part that is gone"
    );
    assert!(matches!(
        writer.finish(None, 20_000).await,
        Err(FinishError::Storage(Error::Closed))
    ));
    let layout = writer.layout();
    assert!(
        layout.control.exists(),
        "a power cut may bring the part's name back, and these are its claims"
    );
    assert!(crate::claim(&target, Conflict::Overwrite, Resume::Continue).is_ok());
    assert!(matches!(
        crate::claim(&target, Conflict::Refuse, Resume::Continue),
        Err(Error::TargetExists { .. })
    ));
    assert!(!layout.control.exists(), "swept");
}

#[tokio::test]
async fn a_control_file_that_cannot_be_removed_does_not_make_a_published_file_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    // The first time is at the start.
    let writer = start(
        &target,
        &broken(Kind::RemoveControl, 1, io::ErrorKind::Other),
        20_000,
    );
    submit(&writer, 0, 10_000).await;
    writer.settled().await.unwrap();
    submit(&writer, 10_000, 10_000).await;
    let finished = writer.finish(None, 20_000).await.unwrap();
    assert_eq!(std::fs::read(finished.path).unwrap(), object(0, 0..20_000));
    assert!(writer.layout().control.exists());
    let _ = crate::claim(&target, Conflict::Refuse, Resume::Continue);
    assert!(!writer.layout().control.exists(), "swept");
}

#[tokio::test]
async fn nobody_claims_a_target_whose_publisher_has_still_to_clean_up() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let meanwhile = Broken {
        target: Some(target.clone()),
        to: 0,
        ..Arc::into_inner(broken(Kind::ClaimMeanwhile, 0, io::ErrorKind::Other)).unwrap()
    };
    let meanwhile = Arc::new(meanwhile);
    let writer = start(&target, &meanwhile, 20_000);
    submit(&writer, 0, 10_000).await;
    writer.settled().await.unwrap();
    submit(&writer, 10_000, 10_000).await;
    writer.finish(None, 20_000).await.unwrap();
    assert_eq!(meanwhile.seen.load(Ordering::Relaxed), 1, "it was tried");
    assert!(crate::claim(&target, Conflict::Overwrite, Resume::Continue).is_ok());
    let names = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(names, 1, "the target alone");
}

#[test]
fn a_panic_in_writing_what_no_thread_can_write_is_this_files_failure() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let mut one_thread = tokio::runtime::Builder::new_current_thread();
    let runtime = one_thread.max_blocking_threads(1).enable_all().build();
    runtime.unwrap().block_on(async {
        let panics = broken(Kind::PanicAtWrite, 0, io::ErrorKind::Other);
        let writer = start(&target, &panics, 10_000);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || wait.recv());
        let last = async {
            submit(&writer, 0, 10_000).await;
            go.send(()).unwrap();
        };
        let (finished, ()) = tokio::join!(biased; writer.finish(None, 10_000), last);
        assert!(
            matches!(
                finished,
                Err(FinishError::Storage(Error::Io {
                    action: "write",
                    ..
                }))
            ),
            "{finished:?}"
        );
        assert!(writer.close().await.is_err());
        busy.await.unwrap().unwrap();
    });
    assert!(crate::claim(&target, Conflict::Refuse, Resume::Continue).is_ok());
}

#[tokio::test]
async fn the_rename_itself_refuses_to_replace() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let appears = broken(Kind::TargetAppears, 0, io::ErrorKind::Other);
    let appears = Broken {
        target: Some(target.clone()),
        ..Arc::into_inner(appears).unwrap()
    };
    let writer = start(&target, &Arc::new(appears), 10_000);
    submit(&writer, 0, 10_000).await;
    let refused = writer.finish(None, 10_000).await;
    assert!(
        matches!(
            refused,
            Err(FinishError::Storage(Error::TargetExists { .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(std::fs::read(&target).unwrap(), b"somebody else's");
    assert_eq!(writer.durable(), [0..10_000]);
}
