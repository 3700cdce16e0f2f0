//! Uploads of what comes by a pipe.

use std::fs;

use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::process::Signal;
use bytehaul_testkit::uploads::{Fault, Gate, TusServer};

use super::{Desk, content, only};
use crate::command::support::{MIB, check_failure};

#[test]
fn by_tus() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, bytes) = (Desk::new(), content(3 * MIB + 5));
    let url = server.url();
    let words = [
        "--protocol",
        "tus",
        "--part-size",
        "1M",
        "--name",
        "dump.zst",
        "-",
        &url,
    ];
    let finished = desk.put(&words).input(bytes.clone()).run().unwrap();
    assert_eq!(finished.code(), Some(0), "{}", finished.err());
    let upload = only(server.uploads());
    assert!(server.stored(&upload).unwrap() == bytes);
    assert_eq!(server.metadata(&upload)["filename"], "dump.zst");
    // What a pipe gave cannot be known again, so there is nothing to remember.
    assert!(desk.listed().is_empty());
    let finished = desk.put(&words).input(*b"other").run().unwrap();
    assert_eq!(finished.code(), Some(0), "{}", finished.err());
    assert_eq!(server.uploads().len(), 2);
}

#[test]
fn by_a_put_in_chunks() {
    let (desk, bytes) = (Desk::new(), content(2 * MIB + 5));
    fs::create_dir(desk.path("www")).unwrap();
    let nginx = Nginx::serving(&desk.path("www")).start();
    let gate = Gate::before(nginx.port());
    let words = ["--protocol", "put", "-", &gate.url("/put/dump")];
    let finished = desk.put(&words).input(bytes.clone()).run().unwrap();
    assert_eq!(finished.code(), Some(0), "{}", finished.err());
    assert!(fs::read(desk.path("www/dump")).unwrap() == bytes);
    let asked = gate.requests();
    let put = asked.iter().find(|one| one.method == "PUT").unwrap();
    assert_eq!(put.header("Transfer-Encoding"), Some("chunked"));
}

#[test]
fn interrupted_it_leaves_nothing_at_the_server() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, gate) = (Desk::new(), server.gate());
    gate.set([Fault::slow(4 * MIB).on("PATCH").always()]);
    let url = server.url();
    let stopped = desk.put(&["-q", "--protocol", "tus", "--part-size", "1M", "-", &url]);
    let stopped = stopped
        .input(content(8 * MIB))
        .stop_when(|| gate.received() > 2 * MIB, Signal::INT)
        .run()
        .unwrap();
    check_failure(&stopped, 130, &["interrupted", "stdin is not kept"]);
    assert_eq!(server.uploads(), [""; 0]);
    assert!(desk.listed().is_empty());
}

#[test]
fn its_checksum_is_compared_before_the_end() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let desk = Desk::new();
    let url = server.url();
    let words = [
        "-q",
        "--protocol",
        "tus",
        "--checksum",
        "crc32c=00000000",
        "-",
        &url,
    ];
    let finished = desk.put(&words).input(content(MIB)).run().unwrap();
    check_failure(&finished, 5, &["crc32c=00000000"]);
}
