//! The real nginx answers at its locations as its page says.

#![cfg(unix)]

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::thread;

use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::process::{Finished, Process};

fn curl(arguments: &[&str]) -> Finished {
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*"]).args(arguments);
    Process::new(command).run().unwrap()
}

#[test]
fn locations() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f.bin"), vec![7; 300_000]).unwrap();
    let Some(nginx) = Nginx::start_throttled(dir.path(), 100_000) else {
        return;
    };
    let check = |path: &str, expected: &[&str], absent: &[&str]| {
        let answer = curl(&[
            "-r",
            "10-19",
            "-D",
            "-",
            "-o",
            "/dev/null",
            &nginx.url(path),
        ])
        .out()
        .to_lowercase();
        for line in expected {
            assert!(answer.contains(line), "{path}: {line} in {answer}");
        }
        for line in absent {
            assert!(!answer.contains(line), "{path}: no {line} in {answer}");
        }
    };
    check(
        "/files/f.bin",
        &[
            "206 ",
            "content-range: bytes 10-19/300000",
            "etag: \"",
            "last-modified:",
        ],
        &[],
    );
    check(
        "/norange/f.bin",
        &["200 ", "content-length: 300000"],
        &["etag:"],
    );
    check("/noetag/f.bin", &["206 ", "last-modified:"], &["etag:"]);
    check(
        "/novalidator/f.bin",
        &["206 "],
        &["etag:", "last-modified:"],
    );
    check("/weaketag/f.bin", &["206 ", "etag: w/\""], &[]);
    check(
        "/chunked/f.bin",
        &["200 ", "transfer-encoding: chunked"],
        &["content-length:"],
    );
    check(
        "/named/f.bin",
        &["206 ", "filename*=utf-8''na%c3%afve%20file.bin"],
        &[],
    );
    check("/redir/f.bin", &["302 ", "/files/f.bin"], &[]);
    check("/e503", &["503 ", "retry-after: 1"], &[]);
    check("/e403", &["403 "], &[]);
    let gzip = curl(&[
        "-H",
        "Accept-Encoding: gzip",
        "-D",
        "-",
        "-o",
        "/dev/null",
        &nginx.url("/gzip/f.bin"),
    ]);
    assert!(gzip.out().to_lowercase().contains("content-encoding: gzip"));
    let slow = curl(&["-o", "/dev/null", &nginx.url("/throttled/f.bin")]);
    assert!(
        slow.success() && slow.wall.as_secs_f64() > 0.9,
        "{:?}",
        slow.wall
    );
    let url = nginx.url("/maxconn2/f.bin");
    let get = || curl(&["-o", "/dev/null", "-w", "%{http_code} ", &url]).out();
    let statuses: String = thread::scope(|scope| {
        let all: Vec<_> = (0..3).map(|_| scope.spawn(get)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.matches("429").count(), 1, "{statuses}");
    assert!(
        nginx
            .access_log()
            .iter()
            .any(|line| line.contains("/files/f.bin 206 10 range=\"bytes=10-19\""))
    );
    let port = nginx.port();
    drop(nginx);
    TcpStream::connect(("127.0.0.1", port)).unwrap_err();
}
