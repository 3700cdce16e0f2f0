//! Who may write to a target, and what stands in the way.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::common::{names, object, options, start, submit, total};
use bytehaul_storage::{
    Conflict, Error, FinishError, Keep, Resume, StartOptions, claim, claim_unless,
};

macro_rules! assert_err {
    ($result:expr, $pattern:pat) => {
        match $result {
            Err($pattern) => {}
            other => panic!("expected {}, got {other:?}", stringify!($pattern)),
        }
    };
}

#[test]
fn a_dropped_claim_leaves_everything_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    drop(crate::common::claim(&target));
    assert_eq!(names(directory.path()), [""; 0]);
    fs::write(
        directory.path().join("x.bytehaul-part"),
        "bytes of somebody",
    )
    .unwrap();
    let left = crate::common::claim(&target);
    assert!(left.left().is_none());
    assert!(left.warning().unwrap().contains("no control file"));
    drop(left);
    assert_eq!(
        fs::read(directory.path().join("x.bytehaul-part")).unwrap(),
        b"bytes of somebody"
    );
}

#[test]
fn existing_targets_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let refuse = |name: &str| claim(&path(name), Conflict::Refuse, Resume::Continue);
    let overwrite = |name: &str| claim(&path(name), Conflict::Overwrite, Resume::Continue);
    fs::write(path("file"), "old").unwrap();
    fs::create_dir(path("directory")).unwrap();
    assert_err!(refuse("file"), Error::TargetExists { .. });
    assert_err!(refuse("directory"), Error::TargetIsDirectory { .. });
    assert_err!(overwrite("directory"), Error::TargetIsDirectory { .. });
    assert_err!(refuse("missing/file"), Error::ParentMissing { .. });
    assert_err!(refuse("file/file"), Error::ParentMissing { .. });
    assert_err!(refuse(".."), Error::BadName { .. });
    assert_err!(refuse(&"x".repeat(256)), Error::BadName { .. });
    assert!(overwrite("file").is_ok());
    assert_eq!(names(directory.path()), ["directory", "file"]);
}

#[cfg(unix)]
#[test]
fn links_and_special_files_are_not_followed() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("precious"), "precious").unwrap();
    for dangling in ["precious", "nothing"] {
        symlink(path(dangling), path("target")).unwrap();
        assert_err!(
            claim(&path("target"), Conflict::Refuse, Resume::Continue),
            Error::TargetExists { .. }
        );
        symlink(path(dangling), path("x.bytehaul-part")).unwrap();
        assert_err!(
            claim(&path("x"), Conflict::Overwrite, Resume::Continue),
            Error::NotAFile { .. }
        );
        fs::remove_file(path("target")).unwrap();
        fs::remove_file(path("x.bytehaul-part")).unwrap();
    }
    fs::create_dir(path("d.bytehaul-part")).unwrap();
    assert_err!(
        claim(&path("d"), Conflict::Refuse, Resume::Continue),
        Error::NotAFile { .. }
    );
    let made = std::process::Command::new("mkfifo")
        .args([path("f.bytehaul-part"), path("pipe")])
        .status()
        .unwrap();
    assert!(made.success());
    assert_err!(
        claim(&path("f"), Conflict::Refuse, Resume::Continue),
        Error::NotAFile { .. }
    );
    assert_err!(
        claim(&path("pipe"), Conflict::Overwrite, Resume::Continue),
        Error::NotAFile { .. }
    );
    // A control file that is a link is not read, a part with a second name is not written.
    symlink(path("precious"), path("y.bytehaul-control")).unwrap();
    fs::hard_link(path("precious"), path("y.bytehaul-part")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let writer = start(&path("y"), 100);
        submit(&writer, 0..100).await;
        writer.finish(None, 100).await.unwrap();
    });
    assert_eq!(fs::read(path("y")).unwrap(), object(0..100));
    assert_eq!(fs::read(path("precious")).unwrap(), b"precious");
}

#[cfg(unix)]
#[tokio::test]
async fn overwriting_replaces_a_link_and_not_what_it_points_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("precious"), "precious").unwrap();
    std::os::unix::fs::symlink(path("precious"), path("link")).unwrap();
    let writer = claim(&path("link"), Conflict::Overwrite, Resume::Continue)
        .unwrap()
        .start(options(10))
        .unwrap();
    submit(&writer, 0..10).await;
    writer.finish(None, 10).await.unwrap();
    assert_eq!(fs::read(path("precious")).unwrap(), b"precious");
    assert_eq!(fs::read(path("link")).unwrap(), object(0..10));
    assert!(path("link").symlink_metadata().unwrap().is_file());
}

#[tokio::test]
async fn two_downloads_to_one_path_get_in_nobodys_way() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let writer = start(&target, 100);
    let second = || claim(&target, Conflict::Refuse, Resume::Continue);
    assert_err!(second(), Error::Locked { .. });
    submit(&writer, 0..50).await;
    let clone = writer.clone();
    writer.close().await.unwrap();
    // At once, and although a handle is left.
    let resumed = second().unwrap();
    assert_eq!(resumed.left().unwrap().durable, [0..50]);
    submit(&clone, 50..100).await;
    assert_err!(clone.settled().await, Error::Closed);
    let writer = resumed.start(options(100)).unwrap();
    assert_err!(second(), Error::Locked { .. });
    submit(&writer, 50..100).await;
    writer.finish(None, 100).await.unwrap();
    assert_err!(second(), Error::TargetExists { .. });
    assert_eq!(fs::read(&target).unwrap(), object(0..100));
    assert_eq!(names(directory.path()), ["x"]);
}

#[tokio::test]
async fn dropping_the_handle_writes_what_was_submitted_and_gives_the_file_up() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let writer = start(&target, 100_000);
    submit(&writer, 0..70_000).await;
    drop(writer);
    let mut tries = 0;
    let claim = loop {
        match claim(&target, Conflict::Refuse, Resume::Continue) {
            Ok(claim) => break claim,
            Err(error) => assert!(
                matches!(error, Error::Locked { .. }) && tries < 400,
                "{error}"
            ),
        }
        tries += 1;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!(claim.left().unwrap().durable, [0..70_000]);
}

#[test]
fn claims_that_race_with_publishing_never_share_a_file() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 60;
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let (inside, published) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (target, inside, published) = (&target, &inside, &published);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                for round in 0..ROUNDS {
                    let claim = match claim(target, Conflict::Overwrite, Resume::Continue) {
                        Ok(claim) => claim,
                        Err(Error::Locked { .. }) => continue,
                        Err(error) => panic!("{error:?}"),
                    };
                    assert_eq!(
                        inside.fetch_add(1, Ordering::SeqCst),
                        0,
                        "one claim at a time"
                    );
                    runtime.block_on(async {
                        let options = StartOptions {
                            keep: Keep::Nothing,
                            ..options(100)
                        };
                        let writer = {
                            let _guard = tokio::runtime::Handle::current();
                            claim.start(options).unwrap()
                        };
                        submit(&writer, 0..100).await;
                        writer.settled().await.unwrap();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        if (round + thread) % 3 == 0 {
                            writer.discard().await.unwrap();
                        } else {
                            writer.finish(None, 100).await.unwrap();
                            published.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            });
        }
    });
    assert!(published.into_inner() > 0);
    assert_eq!(fs::read(&target).unwrap(), object(0..100));
    assert_eq!(names(directory.path()), ["x"]);
}

#[tokio::test]
async fn a_target_that_appears_meanwhile_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let writer = start(&target, 100);
    submit(&writer, 0..100).await;
    fs::write(&target, "somebody else's").unwrap();
    let refused = writer.finish(None, 100).await;
    assert_err!(refused, FinishError::Storage(Error::TargetExists { .. }));
    assert_eq!(fs::read(&target).unwrap(), b"somebody else's");
    assert_eq!(writer.durable(), [0..100], "nothing was lost");
    fs::remove_file(&target).unwrap();
    writer.finish(None, 100).await.unwrap();
    assert_eq!(fs::read(&target).unwrap(), object(0..100));
}

#[tokio::test]
async fn a_part_that_is_taken_away_is_not_published() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let part = directory.path().join("x.bytehaul-part");
    for replaced in [false, true] {
        let writer = start(&target, 100);
        submit(&writer, 0..100).await;
        writer.settled().await.unwrap();
        fs::remove_file(&part).unwrap();
        if replaced {
            fs::write(&part, "somebody else's").unwrap();
        }
        assert_err!(
            writer.finish(None, 100).await,
            FinishError::Storage(Error::Removed { .. })
        );
        assert!(!target.exists());
        writer.discard().await.unwrap();
        assert_eq!(part.exists(), replaced, "what is not ours stays");
    }
}

#[test]
fn an_orphaned_control_file_is_swept() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    fs::write(&target, "finished").unwrap();
    fs::write(
        directory.path().join("x.bytehaul-control"),
        "left by a crash",
    )
    .unwrap();
    assert_err!(
        claim(&target, Conflict::Refuse, Resume::Continue),
        Error::TargetExists { .. }
    );
    assert_eq!(names(directory.path()), ["x"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_crash_between_linking_and_unlinking_does_not_endanger_the_target() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    fs::write(&target, "finished").unwrap();
    fs::hard_link(&target, directory.path().join("x.bytehaul-part")).unwrap();
    let writer = claim(&target, Conflict::Overwrite, Resume::Continue)
        .unwrap()
        .start(options(100))
        .unwrap();
    submit(&writer, 0..50).await;
    writer.settled().await.unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"finished");
    writer.discard().await.unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"finished");
}

#[tokio::test]
async fn the_longest_name_works() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("n".repeat(255));
    let other = directory.path().join(format!("{}m", "n".repeat(254)));
    let (first, second) = (start(&target, 100), start(&other, 100));
    for writer in [first, second] {
        submit(&writer, 0..40).await;
        writer.close().await.unwrap();
    }
    let claim = crate::common::claim(&target);
    assert_eq!(total(&claim.left().unwrap().durable), 40);
    let writer = claim.start(options(100)).unwrap();
    submit(&writer, 40..100).await;
    writer.finish(None, 100).await.unwrap();
    assert_eq!(fs::read(&target).unwrap(), object(0..100));
}

#[tokio::test]
async fn reading_back_stops_when_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let writer = start(&target, 100_000);
    submit(&writer, 0..100_000).await;
    writer.close().await.unwrap();
    let part = fs::OpenOptions::new()
        .write(true)
        .open(directory.path().join("x.bytehaul-part"))
        .unwrap();
    // The file is not as it was, so it has to be read.
    part.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let stop = Arc::new(AtomicBool::new(true));
    assert_err!(
        claim_unless(&target, Conflict::Refuse, Resume::Continue, &stop),
        Error::Stopped
    );
    stop.store(false, Ordering::Relaxed);
    let claim = claim_unless(&target, Conflict::Refuse, Resume::Continue, &stop).unwrap();
    assert_eq!(claim.left().unwrap().durable, [0..100_000]);
}

#[cfg(unix)]
#[test]
fn a_directory_without_permission_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let target = directory.path().join("x");
    let claimed = claim(&target, Conflict::Refuse, Resume::Continue);
    if fs::write(directory.path().join("probe"), "").is_ok() {
        println!("skipped: this user may write everywhere");
        assert!(claimed.is_ok());
    } else {
        assert_err!(claimed, Error::Permission { .. });
    }
}
