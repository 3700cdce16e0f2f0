//! Names that a server chooses stay in the directory and replace nothing.

use std::fs;

use bytehaul::DownloadSpec;
use bytehaul_testkit::{Behaviour, Object, check_file};

use crate::common::{Bed, MIB, ended, names, quick, received};

fn object() -> Object {
    Object::random(1, 3000)
}

/// Downloads into a directory of its own without a name: what the file is called, which is all that was made anywhere.
async fn named(path: &str, object: Object) -> String {
    let bed = Bed::new();
    bed.server
        .serve(path.split('?').next().expect("a path"), object.clone());
    let into = bed.path("a/b/into");
    fs::create_dir_all(&into).expect("create");
    let spec = quick(&bed.server.url(path)).output_dir(&into);
    let outcome = bed.fetch(spec).await.expect("completes");
    let found = names(&into);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        outcome.path.file_name().and_then(|name| name.to_str()),
        Some(found[0].as_str())
    );
    assert_eq!(
        outcome
            .path
            .parent()
            .map(fs::canonicalize)
            .expect("a parent")
            .expect("there"),
        into.canonicalize().expect("there")
    );
    check_file(&outcome.path, &object).expect("the right bytes");
    assert_eq!(
        (bed.names(), names(&bed.path("a")), names(&bed.path("a/b"))),
        (vec!["a".into()], vec!["b".into()], vec!["into".into()])
    );
    found[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_content_disposition() {
    let cases = [
        ("attachment; filename=plain.iso", "plain.iso"),
        (
            "attachment; filename=\"quoted; with semicolon.iso\"",
            "quoted; with semicolon.iso",
        ),
        ("attachment; filename=\"a\\\"b.iso\"", "a_b.iso"),
        (
            "attachment; filename=\"plain.bin\"; filename*=UTF-8''na%C3%AFve%20file.bin",
            "na\u{ef}ve file.bin",
        ),
        (
            "attachment; filename*=utf-8'en'%e2%82%ac.txt",
            "\u{20ac}.txt",
        ),
        ("inline; FileName=Mixed.Case", "Mixed.Case"),
        ("attachment; filename=\"../../../../tmp/x\"", "x"),
        ("attachment; filename=\"/etc/cron.d/evil\"", "evil"),
        (
            "attachment; filename=\"..\\\\..\\\\windows\\\\evil.dll\"",
            "evil.dll",
        ),
        ("attachment; filename*=UTF-8''..%2f..%2fevil", "evil"),
        ("attachment; filename*=UTF-8''%2e%2e%5cevil", "evil"),
        ("attachment; filename=\"C:\\\\evil.exe\"", "evil.exe"),
        ("attachment; filename=.bashrc", "bashrc"),
        ("attachment; filename=\"...profile\"", "profile"),
        ("attachment; filename=CON.txt", "_CON.txt"),
        ("attachment; filename=\"nul\"", "_nul"),
        ("attachment; filename=\"aux.tar.gz\"", "_aux.tar.gz"),
        (
            "attachment; filename*=UTF-8''a%00b%0d%0ac%1b.txt",
            "abc.txt",
        ),
        (
            "attachment; filename*=UTF-8''gpj%e2%80%aetxt.exe",
            "gpjtxt.exe",
        ),
        ("attachment; filename=\"trailing. . .\"", "trailing"),
        ("attachment; filename=\"a<b>c:d|e?f*g\"", "a_b_c_d_e_f_g"),
    ];
    for (header, expected) in cases {
        let found = named("/from-the-url.bin", object().content_disposition(header)).await;
        assert_eq!(found, expected, "{header}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_which_nothing_is_left_is_that_of_the_url() {
    for header in [
        "",
        "attachment",
        "attachment; filename=",
        "attachment; filename=\"\"",
        "attachment; filename=\"..\"",
        "attachment; filename=\"/\"",
        "attachment; filename=\" . \"",
        ";;;=;\"",
        "attachment; filename*=UTF-8''%ff%fe%00",
    ] {
        let found = named("/from-the-url.bin", object().content_disposition(header)).await;
        // A broken encoding may leave replacement characters, which harm nobody.
        assert!(
            found == "from-the-url.bin" || found.contains('\u{fffd}'),
            "{header}: {found}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_three_hundred_bytes_is_cut() {
    for filler in ["x", "\u{e9}", "\u{540d}"] {
        let long = format!("{}.tar.gz", filler.repeat(300 / filler.len()));
        let encoded: String = long.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let found = named(
            "/f",
            object().content_disposition(format!("attachment; filename*=UTF-8''{encoded}")),
        )
        .await;
        assert!(
            found.len() <= 255 && found.starts_with(filler) && found.ends_with(".gz"),
            "{found}"
        );
        let found = named(&format!("/{encoded}"), object()).await;
        assert!(
            found.len() <= 255 && found.starts_with(filler) && found.ends_with(".gz"),
            "{found}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_url() {
    let cases = [
        ("/pool/big.iso?mirror=/x/y#z", "big.iso"),
        ("/a%20b.txt", "a b.txt"),
        ("/x/..%2f..%2fevil", "evil"),
        ("/.bashrc", "bashrc"),
        ("/COM1", "_COM1"),
        ("/dir/", "dir"),
        ("/", "download"),
        ("/%2e%2e", "download"),
    ];
    for (path, expected) in cases {
        let bed_path = path.split(['?', '#']).next().expect("a path");
        // The URL standard takes `%2e%2e` for `..`, so that request is for the root.
        let served = if bed_path == "/%2e%2e" { "/" } else { path };
        assert_eq!(named(served, object()).await, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chosen_name_replaces_nothing() {
    let bed = Bed::new();
    bed.server.serve(
        "/f",
        object().content_disposition("attachment; filename=mine.txt"),
    );
    fs::write(bed.path("mine.txt"), "mine").expect("write");
    let error = bed
        .fetch(quick(&bed.server.url("/f")).output_dir(bed.dir.path()))
        .await
        .expect_err("exists");
    assert_eq!(error.code(), 125, "{error:?}");
    assert_eq!(fs::read(bed.path("mine.txt")).expect("read"), b"mine");
    assert_eq!(bed.names(), ["mine.txt"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chosen_name_follows_no_link() {
    let bed = Bed::new();
    fs::create_dir(bed.path("into")).expect("create");
    bed.server.serve(
        "/f",
        object().content_disposition("attachment; filename=link"),
    );
    std::os::unix::fs::symlink(bed.path("victim"), bed.path("into/link")).expect("link");
    bed.fetch(quick(&bed.server.url("/f")).output_dir(bed.path("into")))
        .await
        .expect_err("a link");
    assert!(!bed.path("victim").exists());
    assert_eq!(names(&bed.path("into")), ["link"]);
}

/// Stops a download without a name and goes on: under the name of the URL, and under one of the server's choice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_without_a_name_is_resumed() {
    let object = Object::random(1, 6 * MIB);
    for served in [
        object.clone(),
        object
            .clone()
            .content_disposition("attachment; filename=chosen.bin"),
    ] {
        let bed = Bed::serving(&served.behaviour(Behaviour::new().total_rate(8 * MIB)));
        let spec = || -> DownloadSpec {
            quick(&bed.server.url("/f"))
                .output_dir(bed.dir.path())
                .max_connections(4)
        };
        let handle = bed.start(spec());
        received(&handle, 2 * MIB).await;
        handle.pause().await;
        bed.server.behave("/f", Behaviour::new());
        let outcome = ended(&bed.start(spec())).await.expect("goes on");
        assert!(outcome.resumed_from >= 2 * MIB, "{outcome:?}");
        check_file(&outcome.path, &object).expect("the right bytes");
        assert_eq!(bed.names().len(), 1, "{:?}", bed.names());
    }
}
