//! Each fault does to a plain request what its name says, seen from both ends.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::uploads::{Fault, Gate};

use crate::{ask, content, curl};

#[test]
fn faults() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f.bin"), vec![7; 300_000]).unwrap();
    let Some(nginx) = Nginx::start(dir.path()) else {
        return;
    };
    let gate = Gate::before(nginx.port());
    let url = gate.url("/files/f.bin");
    // Server's requests, log line of the gate, curl's exit.
    let check = |fault: Option<Fault>, expected: (usize, &str, i32)| {
        let before = nginx.access_log().len();
        gate.forget();
        gate.set(fault);
        let done = curl(&["-o", "/dev/null", "-m", "1", &url], b"");
        let seen = gate.lines().join(", ");
        let served = nginx.access_log().len() - before;
        let exit = done.status.code().unwrap_or(-1);
        assert_eq!((served, seen.as_str(), exit), expected);
    };
    check(None, (1, "GET /files/f.bin 200", 0));
    let refused = "GET /files/f.bin 503 (refused)";
    check(Some(Fault::refuse(503)), (0, refused, 0));
    let replaced = "GET /files/f.bin 202 (replaced)";
    check(Some(Fault::replace(202, "{}")), (1, replaced, 0));
    let lost = "GET /files/f.bin 200 (lost)";
    check(Some(Fault::lose_answer()), (1, lost, 52));
    let hung = "GET /files/f.bin 200 (hung)";
    check(Some(Fault::hang()), (1, hung, 28));
    let dropped = "GET /files/f.bin 0 (dropped)";
    check(Some(Fault::drop_request()), (0, dropped, 52));
    check(
        Some(Fault::refuse(503).on("PUT")),
        (1, "GET /files/f.bin 200", 0),
    );
    check(
        Some(Fault::refuse(503).at("/other")),
        (1, "GET /files/f.bin 200", 0),
    );
    check(
        Some(Fault::refuse(503).after(1)),
        (1, "GET /files/f.bin 200", 0),
    );
    gate.set([Fault::delay(Duration::from_millis(300))]);
    let began = Instant::now();
    assert_eq!(ask("GET", &url, &[], b"").0, 200);
    assert!(began.elapsed() >= Duration::from_millis(300));
    // A refused body is taken to its end, also one in chunks, and the connection lives on.
    gate.forget();
    gate.set([Fault::refuse(429).header("Retry-After", "3").times(2)]);
    let body = content(200_000);
    for headers in [&["X: y"][..], &["Transfer-Encoding: chunked"]] {
        let (status, head) = ask("PUT", &url, headers, &body);
        assert_eq!(status, 429);
        assert!(head.contains("retry-after: 3"), "{head}");
    }
    assert_eq!(gate.received(), 400_000);
    let port = gate.port();
    drop(gate);
    TcpStream::connect(("127.0.0.1", port)).unwrap_err();
}

#[test]
fn a_connection_carries_many_requests() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f.bin"), vec![7; 300_000]).unwrap();
    let Some(nginx) = Nginx::start(dir.path()) else {
        return;
    };
    let gate = Gate::before(nginx.port());
    gate.set([Fault::refuse(500).after(1)]);
    let plain = gate.url("/files/f.bin");
    let chunked = gate.url("/chunked/f.bin");
    let out = ["-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null"];
    let urls = [plain.as_str(), &chunked, &chunked];
    let told = ["-w", "%{http_code}/%{size_download} "];
    let done = curl(&[&out[..], &urls, &told].concat(), b"");
    assert_eq!(done.out().trim(), "200/300000 500/13 200/300000");
    let connections: Vec<_> = gate.requests().iter().map(|one| one.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}
