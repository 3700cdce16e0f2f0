//! What this machine refuses: told early, with the path, and at no cost for what is there.

use std::fs;
use std::path::Path;

use bytehaul::{DownloadState, ErrorKind, FileAllocation};
use bytehaul_testkit::{Behaviour, Object, check_file};

use crate::common::{Bed, MIB, ended, received, until};

const LEN: u64 = 4 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

fn slow() -> Behaviour {
    Behaviour::new().total_rate(8 * MIB)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_directory_is_told_before_anything_is_sent() {
    let bed = Bed::serving(&object());
    for place in [bed.path("no/such/file"), bed.path("file/below")] {
        fs::write(bed.path("file"), "a file, no directory").expect("write");
        let error = bed
            .fetch(bed.spec().output_path(&place))
            .await
            .expect_err("no directory");
        assert_eq!(
            (error.code(), error.kind()),
            (105, ErrorKind::Local),
            "{error:?}"
        );
    }
    assert_eq!(bed.server.requests().len(), 0);
    assert_eq!(bed.names(), ["file"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_cannot_be_written_is_told_before_anything_is_sent() {
    use std::os::unix::fs::PermissionsExt as _;
    let bed = Bed::serving(&object());
    let sealed = bed.path("sealed");
    fs::create_dir(&sealed).expect("create");
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o555)).expect("seal");
    let target = if fs::write(sealed.join("probe"), "").is_ok() {
        // Permissions do not bind root; the kernel's own directories do.
        Path::new("/proc/sys/file.bin").to_owned()
    } else {
        sealed.join("file.bin")
    };
    let error = bed
        .fetch(bed.spec().output_path(target))
        .await
        .expect_err("not writable");
    assert_eq!(
        (error.code(), error.kind()),
        (105, ErrorKind::Local),
        "{error:?}"
    );
    assert_eq!(bed.server.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_file_that_somebody_takes_away_is_noticed() {
    let bed = Bed::serving(&object().behaviour(slow()));
    let handle = bed.start(bed.spec());
    received(&handle, MIB).await;
    fs::remove_file(bed.part()).expect("remove");
    let error = ended(&handle)
        .await
        .expect_err("there is nothing to publish");
    assert_eq!(error.code(), 122, "{error:?}");
    assert!(!bed.target().exists());
    bed.server.behave("/f", Behaviour::new());
    bed.completes(bed.spec(), &object()).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_what_was_written_is_kept() {
    for allocation in [FileAllocation::Prealloc, FileAllocation::None] {
        let bed = Bed::serving(&object());
        let Some(disk) = SmallDisk::mount(&bed.path("disk"), "2m") else {
            return;
        };
        let target = disk.0.join("file.bin");
        let spec = || bed.spec().output_path(&target).file_allocation(allocation);
        let error = bed.fetch(spec()).await.expect_err("4 MiB do not fit");
        assert_eq!(
            (error.code(), error.kind()),
            (121, ErrorKind::Local),
            "{error:?}"
        );
        assert!(!target.exists());
        disk.grow("16m");
        let outcome = bed.fetch(spec()).await.expect("there is room now");
        check_file(&target, &object()).expect("the right bytes");
        assert!(
            allocation == FileAllocation::Prealloc || outcome.resumed_from > 0,
            "{outcome:?}"
        );
    }
}

/// A file system of its own that is soon full.
#[cfg(target_os = "linux")]
struct SmallDisk(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl SmallDisk {
    /// `None`, with a word about it, where this process may not mount.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir(at).expect("create");
        let options = format!("size={size}");
        let mounted = run(
            "mount",
            &["-t", "tmpfs", "-o", &options, "tmpfs", at.to_str()?],
        );
        if mounted {
            return Some(Self(at.to_owned()));
        }
        println!("skipped: no permission to mount a small file system");
        None
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(run(
            "mount",
            &["-o", &options, self.0.to_str().expect("text")]
        ));
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().expect("text")]);
    }
}

#[cfg(target_os = "linux")]
fn run(program: &str, arguments: &[&str]) -> bool {
    let output = std::process::Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reserving_the_space_takes_no_time() {
    let stalls = Behaviour::new().always(bytehaul_testkit::Effect::StallAfter(64 * 1024));
    let bed = Bed::serving(&Object::random(1, 3 << 30).behaviour(stalls));
    let began = std::time::Instant::now();
    let handle = bed.start(bed.spec().file_allocation(FileAllocation::Prealloc));
    until(&handle, |progress| progress.received > 0).await;
    assert!(
        began.elapsed() < std::time::Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    handle.cancel().await;
    assert_eq!(handle.progress().state, DownloadState::Cancelled);
}
