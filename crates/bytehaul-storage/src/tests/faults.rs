//! What a file system that fails or dawdles does to a running download.

use std::io;
use std::sync::Arc;

use super::broken::{Broken, Kind, broken, durable_after, start, submit};
use super::{filled, object};
use crate::{Budget, Conflict, Error, FinishError, Keep, Resume, StartOptions};

#[tokio::test]
async fn a_full_disk_keeps_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let writer = start(
        &target,
        &broken(Kind::WritePart, 2, io::ErrorKind::StorageFull),
        40_000,
    );
    for at in 0..4 {
        submit(&writer, at * 10_000, 10_000).await;
        let _ = writer.settled().await;
    }
    assert!(matches!(writer.failed().await, Error::DiskFull { .. }));
    assert!(writer.status().borrow().failed);
    assert!(matches!(writer.save().await, Err(Error::DiskFull { .. })));
    assert!(matches!(
        writer.finish(None, 40_000).await,
        Err(FinishError::Storage(Error::DiskFull { .. }))
    ));
    assert_eq!(
        writer.durable(),
        [0..20_000],
        "saved although the failure stays"
    );
    assert!(matches!(writer.close().await, Err(Error::DiskFull { .. })));
    assert_eq!(durable_after(&target), 20_000);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_more_is_claimed() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    // The second sync fails and the third would not: what the system dropped in between must stay dropped.
    let once = Broken {
        to: 2,
        ..Arc::into_inner(broken(Kind::SyncPart, 1, io::ErrorKind::Other)).unwrap()
    };
    let writer = start(&target, &Arc::new(once), 40_000);
    submit(&writer, 0, 10_000).await;
    writer.save().await.unwrap();
    submit(&writer, 10_000, 10_000).await;
    assert!(matches!(
        writer.save().await,
        Err(Error::Io { action: "sync", .. })
    ));
    assert!(matches!(
        writer.save().await,
        Err(Error::Io { action: "sync", .. })
    ));
    assert_eq!(writer.durable(), [0..10_000]);
    assert!(writer.close().await.is_err());
    assert_eq!(
        durable_after(&target),
        10_000,
        "neither by the snapshot nor by records"
    );
}

#[tokio::test]
async fn a_control_file_that_cannot_be_written_fails_the_task_and_leaves_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let writer = start(
        &target,
        &broken(Kind::WriteControl, 2, io::ErrorKind::StorageFull),
        40_000,
    );
    submit(&writer, 0, 10_000).await;
    assert!(matches!(writer.save().await, Err(Error::DiskFull { .. })));
    assert!(writer.close().await.is_err());
    assert_eq!(durable_after(&target), 10_000, "from the records");
}

#[tokio::test]
async fn a_slow_disk_stops_whoever_fills_the_buffers() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let len = 1 << 20;
    let writer = start(
        &target,
        &broken(Kind::SlowWrite, 0, io::ErrorKind::Other),
        len,
    );
    let budget = Budget::new(64 << 10);
    let size = budget.buffer_size(4);
    assert_eq!(size, 4096);
    let tasks: Vec<_> = (0..4u64)
        .map(|lane| {
            let (writer, budget) = (writer.clone(), budget.clone());
            tokio::spawn(async move {
                for start in (lane * len / 4..(lane + 1) * len / 4).step_by(size) {
                    let bytes = object(0, start..start + size as u64);
                    writer.submit(start, filled(&budget, &bytes).await);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let finished = writer.finish(None, len).await.unwrap();
    assert!(
        budget.peak() <= 64 << 10 && budget.peak() > 32 << 10,
        "{}",
        budget.peak()
    );
    assert_eq!(budget.in_use(), 0);
    assert_eq!(std::fs::read(finished.path).unwrap(), object(0, 0..len));
}

#[tokio::test]
async fn a_panic_while_writing_is_this_files_failure() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let writer = start(
        &target,
        &broken(Kind::PanicAtWrite, 0, io::ErrorKind::Other),
        10_000,
    );
    submit(&writer, 0, 10_000).await;
    assert!(matches!(
        writer.settled().await,
        Err(Error::Io {
            action: "write",
            ..
        })
    ));
    assert!(writer.close().await.is_err(), "and nobody waits for ever");
    let options = StartOptions {
        keep: Keep::Left,
        ..StartOptions::default()
    };
    assert!(
        crate::claim(&target, Conflict::Refuse, Resume::Continue)
            .unwrap()
            .start(options)
            .is_ok()
    );
}
