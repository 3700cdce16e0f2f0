//! The numbers of what keeps an upload from beginning.

use bytehaul::{CheckpointPlace, ErrorKind, Network, UploadError, UploadSpec, Uploader, protocol};
#[cfg(target_os = "linux")]
use bytehaul_testkit::uploads::{FormServer, TusServer};

fn check(result: Result<(), UploadError>, code: u16, kind: ErrorKind) {
    let error = result.expect_err("it cannot begin");
    assert_eq!((error.code(), error.kind()), (code, kind), "{error:?}");
}

#[tokio::test]
async fn what_cannot_begin_has_its_number() {
    let uploader = Uploader::builder().proxy_from_env(false).build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let upload = async |spec: UploadSpec| uploader.upload(spec).wait().await.map(drop);
    // Nobody listens there: whoever sends something first gets 106.
    let form = || protocol::Form::new("http://127.0.0.1:1/");
    let nowhere = directory.path().join("missing");
    check(
        upload(UploadSpec::file(nowhere, form())).await,
        115,
        ErrorKind::Local,
    );
    check(
        upload(UploadSpec::file(directory.path(), form())).await,
        105,
        ErrorKind::Local,
    );
    let nobody_trusted = Network::default().only_these_roots(true);
    let spec = UploadSpec::bytes("b", "bytes", form()).network(nobody_trusted.clone());
    check(upload(spec).await, 119, ErrorKind::Parameter);
    let built = Uploader::builder().network(nobody_trusted).build();
    check(built.map(drop), 119, ErrorKind::Parameter);
}

/// What is begun has to be known before: without room for a checkpoint nothing is sent, and what runs does not end for it.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_checkpoints_is_told() {
    let Some(server) = FormServer::start() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path().join("disk")) else {
        return;
    };
    let checkpoints = disk.0.join("checkpoints");
    std::fs::create_dir(&checkpoints).unwrap();
    let source = directory.path().join("f");
    std::fs::write(&source, vec![7; 300_000]).unwrap();
    let uploader = Uploader::builder().proxy_from_env(false).build().unwrap();
    let upload = async || {
        let spec = UploadSpec::file(&source, protocol::Form::new(server.url()))
            .part_size(100_000)
            .checkpoints(CheckpointPlace::Directory(checkpoints.clone()));
        uploader.upload(spec).wait().await.map(drop)
    };
    let full = disk.fill();
    check(upload().await, 121, ErrorKind::Local);
    assert_eq!(server.gate().lines(), [""; 0]);
    std::fs::remove_file(full).unwrap();
    upload().await.expect("there is room now");

    // Of one that is under way the server knows more than the checkpoint.
    let Some(server) = TusServer::start() else {
        return;
    };
    let spec = UploadSpec::file(&source, protocol::Tus::new(server.url()))
        .part_size(10_000)
        .max_upload_speed(300_000)
        .checkpoints(CheckpointPlace::Directory(checkpoints.clone()));
    let handle = uploader.upload(spec);
    let mut progress = handle.progress_watch();
    let began = progress.wait_for(|progress| progress.durable > 0);
    began.await.unwrap();
    disk.fill();
    let outcome = handle.wait().await.unwrap();
    assert_eq!(outcome.bytes, 300_000);
}

/// A file system of its own that is soon full.
#[cfg(target_os = "linux")]
struct SmallDisk(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl SmallDisk {
    /// `None`, with a word about it, where this process may not mount.
    fn mount(at: std::path::PathBuf) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let mounted = run(
            "mount",
            &["-t", "tmpfs", "-o", "size=256k", "tmpfs", at.to_str()?],
        );
        if mounted {
            return Some(Self(at));
        }
        println!("skipped: no permission to mount a small file system");
        None
    }

    /// Takes all the room that there is; gives the file that does.
    fn fill(&self) -> std::path::PathBuf {
        use std::io::Write as _;
        let path = self.0.join("full");
        let mut file = std::fs::File::create(&path).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[7; 512]) {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        path
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

#[cfg(target_os = "linux")]
fn run(program: &str, arguments: &[&str]) -> bool {
    let output = std::process::Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}
