//! Each way in which a download can go wrong: its exit status, its line, and the target that stays untouched.

use std::fs;
use std::process::Command;

use bytehaul_testkit::{Behaviour, Effect, Object, Server, When};

use super::support::{MIB, Scene};

#[test]
fn wrong_arguments_try_nothing() {
    let scene = Scene::with(Object::random(1, 1000));
    let url = scene.url();
    for (args, words) in [
        (&[][..], &["no URL"][..]),
        (&["not a url"], &["not a url", "scheme"]),
        (&["ftp://h/f"], &["ftp"]),
        (&["s3://bucket/key"], &["credentials", "AWS_ACCESS_KEY_ID"]),
        (&["--checksum", "sha-256=123", &url], &["sha-256"]),
        (&["--checksum", "sha-257=123", &url], &["checksum"]),
        (&["-H", "no colon here", &url], &["header"]),
        (&["--piece-size", "ten", &url], &["ten"]),
        (&["--limit-rate", "fast", &url], &["fast"]),
        (&["-x", "0", &url], &["'0'"]),
        (&["-j", "0", &url], &["jobs"]),
        (&["-o", "one", &url, &url], &["--output", "2 URLs"]),
        (&["-i", "no-such-file"], &["no-such-file"]),
        (&["--cacert", "no-such-file", &url], &["no-such-file"]),
        (
            &["--proxy", "gopher://u:topsecret@127.0.0.1:1", &url],
            &["proxy", "127.0.0.1:1"],
        ),
        (&["--mirror", "ftp://m/f", &url], &["ftp"]),
        (&["--mirror", &url, &url, &url], &["--mirror", "2 URLs"]),
        (&["--cert", "no-such-file", &url], &["no-such-file"]),
        (
            &["--pinned-key", "sha256//short", &url],
            &["public key pin"],
        ),
        (&["--dns-server", "one two", &url], &["one two"]),
        (&["--resolve", "nothing", &url], &["nothing"]),
        (&["--no-such-option", &url], &["--no-such-option"]),
        (&[&url, "ftp://h/f"], &["ftp"]),
    ] {
        scene.fails(args, 2, words);
    }
    assert_eq!(scene.server.connections(), 0);
    assert!(scene.files().is_empty());
}

#[test]
fn a_certificate_file_without_certificates_is_a_wrong_argument() {
    let scene = Scene::with(Object::random(1, 1000));
    fs::write(scene.path("pem"), "nothing of the kind").unwrap();
    scene.fails(&["--cacert", "pem", &scene.url()], 2, &["certificate"]);
    assert_eq!(scene.server.connections(), 0);
}

#[test]
fn a_server_that_is_down() {
    let port = Server::spawn_thread().port();
    let scene = Scene::new();
    let url = format!("http://127.0.0.1:{port}/f.bin");
    scene.fails(&["--retries", "1", &url], 3, &[&url, "refused"]);
    assert!(scene.files().is_empty(), "{:?}", scene.files());
}

#[test]
fn answers_that_are_not_the_file() {
    for (status, code) in [(401, 4), (403, 4), (404, 4), (410, 4), (503, 3), (429, 3)] {
        let answer = Behaviour::new().always(Effect::status(status));
        let scene = Scene::with(Object::random(1, 1000).behaviour(answer));
        scene.fails(
            &["--retries", "2", &scene.url()],
            code,
            &[&scene.url(), &status.to_string()],
        );
        assert_eq!(
            scene.server.requests().len(),
            if code == 3 { 3 } else { 1 },
            "{status}"
        );
        assert!(scene.files().is_empty(), "{:?}", scene.files());
    }
}

#[test]
fn a_body_that_ends_early() {
    let short = Behaviour::new()
        .always(Effect::IgnoreRange)
        .always(Effect::TruncateAfter(1000));
    let scene = Scene::with(Object::random(1, 5000).behaviour(short));
    scene.fails(&["--retries", "2", &scene.url()], 3, &[&scene.url()]);
    assert!(!scene.path("f.bin").exists());
}

#[test]
fn wrong_bytes_are_never_published() {
    let sha = "sha-256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let scene = Scene::with(Object::random(1, 5 * MIB));
    scene.fails(
        &[
            "--checksum",
            sha,
            "-x",
            "4",
            "--min-split-size",
            "1M",
            &scene.url(),
        ],
        5,
        &[&scene.url(), &sha[8..]],
    );
    assert!(!scene.path("f.bin").exists());

    fs::write(scene.path("f.bin"), "old").unwrap();
    scene.fails(
        &["--overwrite", "--checksum", sha, &scene.url()],
        5,
        &[&sha[8..]],
    );
    assert_eq!(fs::read(scene.path("f.bin")).unwrap(), b"old");
}

#[test]
fn an_existing_target_is_left_alone() {
    let scene = Scene::with(Object::random(1, 1000));
    fs::write(scene.path("f.bin"), "old").unwrap();
    scene.fails(
        &[&scene.url()],
        6,
        &["f.bin", "exists", "hint: use --overwrite"],
    );
    scene.fails(&["-o", "f.bin", &scene.url()], 6, &["f.bin", "exists"]);
    assert_eq!(fs::read(scene.path("f.bin")).unwrap(), b"old");
    assert_eq!(scene.files(), ["f.bin"]);

    scene.works(&["--overwrite", &scene.url()]);
    scene.holds("f.bin", &Object::random(1, 1000));
}

#[test]
fn places_that_cannot_be_written_to() {
    let scene = Scene::with(Object::random(1, 1000));
    fs::create_dir(scene.path("sub")).unwrap();
    fs::write(scene.path("file"), "").unwrap();
    scene.fails(
        &["-o", "sub", &scene.url()],
        6,
        &["sub", "directory", "hint: "],
    );
    scene.fails(&["-o", "missing/f", &scene.url()], 6, &["missing"]);
    scene.fails(&["-d", "missing", &scene.url()], 6, &["missing"]);
    scene.fails(&["-o", "file/f", &scene.url()], 6, &["file"]);
    // Permission bits do not stop root, but nobody can make a file there.
    scene.fails(&["-d", "/proc", &scene.url()], 6, &["/proc"]);
    assert_eq!(scene.files(), ["file", "sub"]);
}

#[test]
fn a_full_disk_is_found_before_the_first_byte() {
    let scene = Scene::with(Object::random(1, 64 * MIB));
    let Some(small) = SmallDisk::mount(&scene) else {
        println!("skipped: mounting a tmpfs needs root");
        return;
    };
    let url = scene.url();
    scene.fails(
        &["-d", "small", "--retries", "0", &url],
        6,
        &["space", "hint: free some space"],
    );
    // What the server could hand to the kernel meanwhile is all that it sent.
    assert!(
        scene.server.bytes_sent() < 16 * MIB,
        "{} bytes were sent",
        scene.server.bytes_sent()
    );
    scene.fails(
        &[
            "-d",
            "small",
            "--retries",
            "0",
            "--file-allocation",
            "none",
            &url,
        ],
        6,
        &["space"],
    );
    assert!(!scene.path("small/f.bin").exists());
    drop(small);
}

#[test]
fn a_remote_file_that_keeps_changing() {
    let mut restless = Behaviour::new().always(Effect::ResetAfter(MIB));
    for index in 0..VERSIONS {
        let version = Effect::Serve(Box::new(Object::random(index, 4 * MIB)));
        restless = restless.when(
            When::EveryRequest {
                every: VERSIONS,
                index,
            },
            version,
        );
    }
    let scene = Scene::with(Object::random(1, 4 * MIB).behaviour(restless));
    scene.fails(&["-x", "1", &scene.url()], 7, &[&scene.url(), "changed"]);
    assert!(!scene.path("f.bin").exists());
}

/// A file system of 4 MiB at `small`, unmounted at the end.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(scene: &Scene) -> Option<Self> {
        let place = scene.path("small");
        fs::create_dir(&place).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(&place);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(place))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// More than there are requests before a download that cannot settle gives up.
const VERSIONS: u64 = 64;
