//! Each way in which an upload can go wrong: its exit status, its line, and what the server is left with.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::uploads::{Fault, FormServer, Gate, TusServer};

use super::{Desk, content, md5};
use crate::command::providers::{Counter, Shop};
use crate::command::support::{MIB, check_failure};

#[test]
fn wrong_arguments_try_nothing() {
    let (desk, _) = Desk::with(10);
    desk.write("junk", "{");
    let url = "http://127.0.0.1:1/up?signature=topsecret";
    for (args, words) in [
        (&[][..], &["FILE"][..]),
        (&["f.bin"], &["URL"]),
        (&["f.bin", "not a url"], &["not a url", "scheme"]),
        (&["f.bin", "ftp://h/f"], &["ftp"]),
        (
            &["f.bin", "s3://bucket/key"],
            &["credentials", "AWS_ACCESS_KEY_ID"],
        ),
        (
            &["f.bin", "az://container/blob"],
            &["account", "AZURE_STORAGE_ACCOUNT"],
        ),
        (
            &["f.bin", "oss://bucket/key"],
            &["credentials", "OSS_ACCESS_KEY_ID"],
        ),
        (&["--protocol", "s3", "f.bin", url], &["s3://BUCKET/KEY"]),
        (&["--protocol", "azure", "f.bin", url], &["signature"]),
        (&["--protocol", "tus", "f.bin", "s3://b/k"], &["s3", "tus"]),
        (
            &["-H", "A: b", "f.bin", "s3://b/k"],
            &["--header", "s3 uploads"],
        ),
        (
            &["--virtual-host", "f.bin", "az://c/b"],
            &["--virtual-host", "azure"],
        ),
        (&["-", "s3://b/"], &["names no object"]),
        (&["--protocol", "gopher", "f.bin", url], &["gopher", "tus"]),
        (
            &["--protocol", "form", "f.bin", "tus+http://h/"],
            &["scheme", "form"],
        ),
        (&["f.bin", "tus+ftp://h/"], &["ftp"]),
        (&["--protocol", "presigned", "f.bin", url], &["plan"]),
        (&["--plan", "no-such-file", "f.bin"], &["no-such-file"]),
        (&["--plan", "junk", "f.bin"], &["junk", "not a plan"]),
        (&["--plan", "-", "-"], &["both", "stdin"]),
        (
            &["--plan", "junk", "--protocol", "tus", "f.bin"],
            &["--plan", "tus"],
        ),
        (
            &["-H", "A: b", "--plan", "junk", "f.bin"],
            &["--header", "presigned"],
        ),
        (
            &["--part-size", "1M", "--plan", "junk", "f.bin"],
            &["--part-size", "presigned"],
        ),
        (&["--part-size", "0", "f.bin", url], &["part-size"]),
        (
            &["--part-size", "1M", "--protocol", "put", "f.bin", url],
            &["--part-size", "--put-ranges"],
        ),
        (&["-x", "0", "f.bin", url], &["'0'"]),
        (&["-x", "1000", "f.bin", url], &["1000"]),
        (
            &["--metadata", "a=b", "f.bin", url],
            &["--metadata", "form", "tus"],
        ),
        (
            &["--metadata", "ab", "--protocol", "tus", "f.bin", url],
            &["K=V"],
        ),
        (
            &["--category", "a", "--protocol", "tus", "f.bin", url],
            &["--category", "form"],
        ),
        (&["--method", "GET", "f.bin", url], &["GET"]),
        (&["--method", "a b", "f.bin", url], &["a b"]),
        (
            &["--method", "PATCH", "--protocol", "put", "f.bin", url],
            &["PATCH"],
        ),
        (
            &["--no-overwrite", "f.bin", url],
            &["--no-overwrite", "put"],
        ),
        (
            &[
                "--no-overwrite",
                "--put-ranges",
                "--protocol",
                "put",
                "f.bin",
                url,
            ],
            &["ranges"],
        ),
        (
            &[
                "--content-digest",
                "crc32c",
                "--protocol",
                "put",
                "f.bin",
                url,
            ],
            &["crc32c"],
        ),
        (
            &["--tus-checksum", "sha-1", "f.bin", url],
            &["--tus-checksum", "tus"],
        ),
        (&["--tus-concat", "f.bin", url], &["--tus-concat"]),
        (&["--virtual-host", "f.bin", url], &["--virtual-host", "s3"]),
        (&["--checksum", "sha-256=123", "f.bin", url], &["sha-256"]),
        (&["-H", "no colon here", "f.bin", url], &["header"]),
        (&["--limit-rate", "fast", "f.bin", url], &["fast"]),
        (
            &["--proxy", "gopher://127.0.0.1:1", "f.bin", url],
            &["proxy"],
        ),
        (
            &["--cacert", "no-such-file", "f.bin", url],
            &["no-such-file"],
        ),
        (&["--no-such-option", "f.bin", url], &["--no-such-option"]),
        (&["-", url], &["stdin", "tus, tus-draft and put"]),
        (
            &["--protocol", "put", "--content-digest", "md5", "-", url],
            &["--content-digest", "stdin"],
        ),
        (&["--name", "", "f.bin", url], &["name"]),
    ] {
        let failed = desk.fails(args, 2, words);
        assert!(!failed.err().contains("topsecret"), "{}", failed.err());
    }
    assert!(!desk.path("state").exists());
}

#[test]
fn what_is_wrong_with_this_machine() {
    let Some(server) = FormServer::start() else {
        return;
    };
    let (desk, _) = Desk::with(10);
    let url = server.url();
    desk.fails(
        &["missing.bin", &url],
        6,
        &["missing.bin", "hint: check the path"],
    );
    fs::create_dir(desk.path("dir")).unwrap();
    for none in ["dir", ".", ".."] {
        desk.fails(&[none, &url], 6, &["not a regular file"]);
    }
    desk.write("file", "");
    desk.fails(&["--state-dir", "file", "f.bin", &url], 6, &["file"]);
    assert_eq!(server.gate().lines(), [""; 0]);
}

#[test]
fn a_full_disk_where_uploads_are_remembered() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, _) = Desk::with(10);
    fs::create_dir(desk.path("full")).unwrap();
    let Some(full) = Full::mount(desk.path("full")) else {
        return;
    };
    let words = [
        "--protocol",
        "tus",
        "--state-dir",
        "full",
        "f.bin",
        &server.url(),
    ];
    desk.fails(&words, 6, &["full", "hint: free some space"]);
    assert_eq!(
        server.gate().lines(),
        [""; 0],
        "something was begun that nobody knows of"
    );
    drop(full);
    desk.works(&words);
}

/// Its digest is known before the first request, so that it is a save beside that which fails first.
#[test]
fn a_full_disk_before_an_object_of_a_provider() {
    let Some(counter) = Shop::oss().map(Counter::new) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let Some(full) = Full::mount(dir.path().to_owned()) else {
        return;
    };
    for len in [200, 3 * MIB] {
        counter.write("up.bin", &content(len));
        let (state, url) = (full.0.to_str().unwrap(), counter.shop.url("object"));
        let words = ["put", "-q", "--part-size", "1M", "--state-dir", state];
        let failed = counter.command(&[&words[..], &["up.bin", &url]].concat());
        check_failure(&failed.run().unwrap(), 6, &["hint: free some space"]);
        assert_eq!(counter.shop.gate().lines(), [""; 0]);
        assert_eq!(counter.shop.object("object"), None);
    }
}

/// A small file system without any room, where this user may mount one.
struct Full(PathBuf);

impl Full {
    fn mount(path: PathBuf) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "bytehaul-test"])
            .arg(&path)
            .stderr(Stdio::null())
            .status();
        if !mount.is_ok_and(|status| status.success()) {
            println!("skipped: this user may not mount a file system");
            return None;
        }
        let full = Self(path);
        let _ = fs::write(full.0.join("ballast"), vec![1; 128 * 1024]);
        Some(full)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn bytes_that_are_not_the_ones() {
    let Some(server) = FormServer::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(2 * MIB);
    let wrong = "md5=d41d8cd98f00b204e9800998ecf8427e";
    let words = [
        "--part-size",
        "1M",
        "--checksum",
        wrong,
        "f.bin",
        &server.url(),
    ];
    desk.fails(
        &words,
        5,
        &[&wrong[4..], "hint: the object was not completed"],
    );
    let sha = "sha-256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let words = [
        "--part-size",
        "1M",
        "--checksum",
        sha,
        "f.bin",
        &server.url(),
    ];
    desk.fails(&words, 5, &[&sha[8..]]);
    assert_eq!(server.complete(&md5(&bytes)), None);
}

#[test]
fn what_servers_answer() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, _) = Desk::with(1000);
    let url = server.url();
    let tus = ["--protocol", "tus", "--retries", "1", "f.bin", &url];
    for (status, code, words) in [
        (401, 4, "hint: give credentials"),
        (403, 4, "hint: give credentials"),
        (404, 4, "hint: check the URL"),
        (405, 4, "--protocol"),
        (413, 4, "size"),
        (429, 3, "429"),
        (503, 3, "503"),
    ] {
        server.gate().set([Fault::refuse(status).always()]);
        server.gate().forget();
        desk.fails(&tus, code, &[&url, &status.to_string(), words]);
        let tries = server.gate().requests().len();
        assert_eq!(tries, if code == 3 { 2 } else { 1 }, "{status}");
    }
    let html = Fault::replace(200, "<html>welcome</html>").header("Content-Type", "text/html");
    server.gate().set([html.always()]);
    desk.fails(
        &["f.bin", &url],
        4,
        &["hint: the server may speak another protocol"],
    );
    drop(server);
    desk.fails(&tus, 3, &[&url, "refused"]);
}

#[test]
fn objects_that_are_there_and_ends_that_nobody_knows() {
    let (desk, bytes) = Desk::with(1000);
    fs::create_dir(desk.path("www")).unwrap();
    let nginx = Nginx::serving(&desk.path("www")).start();
    let gate = Gate::before(nginx.port());
    let url = gate.url("/put/f");
    desk.write("www/f", "old");
    gate.set([Fault::refuse(412).on("PUT").always()]);
    let words = ["--protocol", "put", "--no-overwrite", "f.bin", &url];
    desk.fails(&words, 7, &[&url, "--no-overwrite"]);
    let asked = gate.requests();
    assert_eq!(asked[0].header("If-None-Match"), Some("*"));
    assert_eq!(fs::read(desk.path("www/f")).unwrap(), b"old");

    gate.set([Fault::lose_answer().on("POST").always()]);
    let words = ["--protocol", "put", "--method", "POST", "f.bin", &url];
    desk.fails(&words, 1, &[&url, "hint: look whether the object is there"]);
    gate.set([]);
    desk.works(&["--protocol", "put", "f.bin", &url]);
    assert_eq!(fs::read(desk.path("www/f")).unwrap(), bytes);
}
