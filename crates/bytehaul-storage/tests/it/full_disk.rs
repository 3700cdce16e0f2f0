//! A disk that is really full: a small file system in memory, where this user may mount one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{claim, names, options, submit, total};
use bytehaul_storage::{Allocation, Error, Keep, StartOptions};

struct Mounted(
    PathBuf,
    #[expect(dead_code, reason = "removed after unmounting")] tempfile::TempDir,
);

impl Mounted {
    fn new(options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_path_buf();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "bytehaul-test"])
            .arg(&path)
            .stderr(Stdio::null())
            .status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(Self(path, directory));
        }
        println!("skipped: this user may not mount a file system");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn the_full_disk_is_found_before_the_first_byte() {
    let Some(mounted) = Mounted::new("size=1m") else {
        return;
    };
    let target = mounted.0.join("x");
    let start = |len| {
        let options = StartOptions {
            allocation: Allocation::Prealloc,
            ..options(len)
        };
        claim(&target).start(options)
    };
    match start(3 << 20) {
        Err(Error::DiskFull {
            needed: Some(needed),
            ..
        }) => assert!(needed >= 2 << 20, "{needed}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(names(&mounted.0), [""; 0]);
    let writer = start(512 << 10).unwrap();
    assert_eq!(total(&writer.written()), 0);
    // Without writing: in memory, reserving would zero.
    assert!(free(&mounted.0) > 900 << 10);
}

#[tokio::test]
async fn a_disk_that_fills_up_keeps_what_fitted() {
    let Some(mounted) = Mounted::new("size=1m") else {
        return;
    };
    let target = mounted.0.join("x");
    let writer = claim(&target).start(options(4 << 20)).unwrap();
    for at in 0..32 {
        submit(&writer, at * (128 << 10)..(at + 1) * (128 << 10)).await;
    }
    assert!(matches!(writer.failed().await, Error::DiskFull { .. }));
    // The control file may find no room either; then the one before and its records speak.
    assert!(matches!(writer.close().await, Err(Error::DiskFull { .. })));
    let claim = claim(&target);
    let kept = total(&claim.left().unwrap().durable);
    assert!(kept >= 512 << 10, "{kept}");
    let options = StartOptions {
        keep: Keep::Nothing,
        ..options(1000)
    };
    assert!(claim.start(options).is_ok());
}

fn free(path: &Path) -> u64 {
    let stat = rustix::fs::statvfs(path).unwrap();
    stat.f_bavail * stat.f_frsize
}
