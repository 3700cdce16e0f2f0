//! What a file system that fails or dawdles does to a running download.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytehaul_integrity::Algorithm;

use super::{claim, filled, object};
use crate::witness::{Change, Name, Witness};
use crate::{Allocation, Budget, Conflict, Error, FinishError, Keep, Resume, StartOptions, Writer};

/// Fails one kind of change from its n-th time on, or makes each slow.
#[derive(Debug)]
struct Broken {
    kind: Kind,
    from: usize,
    to: usize,
    with: io::ErrorKind,
    seen: AtomicUsize,
    target: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    WritePart,
    SyncPart,
    WriteControl,
    Publish,
    SlowWrite,
    PanicAtWrite,
    TargetAppears,
}

fn broken(kind: Kind, from: usize, with: io::ErrorKind) -> Arc<Broken> {
    Arc::new(Broken {
        kind,
        from,
        to: usize::MAX,
        with,
        seen: AtomicUsize::new(0),
        target: None,
    })
}

impl Witness for Broken {
    fn before(&self, change: Change<'_>) -> io::Result<()> {
        use Change::{Rename, Sync, Write};
        let hit = match (self.kind, change) {
            (
                Kind::SlowWrite,
                Write {
                    name: Name::Part, ..
                },
            ) => {
                std::thread::sleep(Duration::from_millis(1));
                false
            }
            (
                Kind::TargetAppears,
                Rename {
                    to: Name::Target, ..
                },
            ) => {
                // In the last instant, when all looks before the rename are over.
                std::fs::write(
                    self.target.as_deref().expect("set by the test"),
                    "somebody else's",
                )?;
                false
            }
            (
                Kind::WritePart | Kind::PanicAtWrite,
                Write {
                    name: Name::Part, ..
                },
            )
            | (Kind::SyncPart, Sync(Name::Part))
            | (
                Kind::WriteControl,
                Write {
                    name: Name::ControlNew,
                    ..
                },
            )
            | (
                Kind::Publish,
                Rename {
                    to: Name::Target, ..
                },
            ) => true,
            (_, _) => false,
        };
        let seen = if hit {
            self.seen.fetch_add(1, Ordering::Relaxed)
        } else {
            return Ok(());
        };
        assert!(
            self.kind != Kind::PanicAtWrite || seen < self.from,
            "a panic in the midst of writing"
        );
        if (self.from..self.to).contains(&seen) {
            Err(self.with.into())
        } else {
            Ok(())
        }
    }

    fn after(&self, _change: Change<'_>) {}
}

fn start(target: &Path, witness: &Arc<Broken>, len: u64) -> Writer {
    let options = StartOptions {
        len: Some(len),
        piece_size: 4096,
        allocation: Allocation::None,
        save_every: Duration::from_secs(60),
        digest: Some(Algorithm::Crc32c),
        ..StartOptions::default()
    };
    claim(target, witness).start(options).unwrap()
}

async fn submit(writer: &Writer, from: u64, len: u64) {
    writer.submit(
        from,
        filled(&Budget::default(), &object(0, from..from + len)).await,
    );
}

fn durable_after(target: &Path) -> u64 {
    let claim = crate::claim(target, Conflict::Refuse, Resume::Continue).unwrap();
    claim.left().map_or(0, |left| {
        left.durable
            .iter()
            .map(|range| range.end - range.start)
            .sum()
    })
}

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
