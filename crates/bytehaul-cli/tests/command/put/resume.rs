//! What the next run makes of one that was interrupted, killed, refused, or whose file changed.

use std::fs;

use bytehaul_testkit::process::Signal;
use bytehaul_testkit::uploads::{Fault, FormServer, Gate, TusServer};

use super::{Desk, content, md5, only};
use crate::command::support::{MIB, check_failure};

const LEN: u64 = 8 * MIB;

fn slow(gate: &Gate, method: &str) {
    gate.set([Fault::slow(8 * MIB).on(method).always()]);
}

#[test]
fn interrupted_and_run_again() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(LEN);
    let gate = server.gate();
    let url = server.url();
    let words = [
        "-q",
        "--protocol",
        "tus",
        "--part-size",
        "1M",
        "f.bin",
        &url,
    ];
    for signal in [Signal::INT, Signal::TERM] {
        slow(gate, "PATCH");
        let due = gate.received() + 2 * MIB + MIB / 2;
        let stopped = desk.put(&words);
        let stopped = stopped
            .stop_when(|| gate.received() > due, signal)
            .run()
            .unwrap();
        check_failure(
            &stopped,
            130,
            &[
                "interrupted",
                "the server has ",
                "of f.bin",
                "run the same command again",
            ],
        );
        assert_eq!(stopped.err().lines().count(), 1, "{}", stopped.err());
    }
    gate.set([]);
    desk.works(&words);
    assert!(server.stored(&only(server.uploads())).unwrap() == bytes);
    let again = gate.received() - LEN;
    assert!(again < 2 * MIB, "{again} of {LEN} bytes were sent again");
}

/// Kills the command wherever it is, over and over, and says how many bytes were sent more than once.
#[track_caller]
fn killed_until_complete(desk: &Desk, gate: &Gate, words: &[&str]) -> (u64, u64) {
    let mut kills = 0;
    let mut step = 300_000;
    loop {
        // Some are killed while they are resuming, others in the middle of a part.
        step = step * 7 % 1_500_007 + 1;
        let due = gate.received() + step;
        let finished = desk
            .put(words)
            .stop_when(|| gate.received() >= due, Signal::KILL);
        let finished = finished.run().unwrap();
        match (finished.code(), finished.signal()) {
            (Some(0), None) => break,
            (None, Some(9)) => kills += 1,
            _ => panic!("{}", finished.err()),
        }
        assert!(kills < 60, "it does not come to an end");
    }
    assert!(kills > 3, "only {kills} were killed");
    (kills, gate.received() - LEN)
}

#[test]
fn killed_again_and_again_by_tus() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(LEN);
    slow(server.gate(), "PATCH");
    let url = server.url();
    let words = ["-q", "--protocol", "tus", "f.bin", &url];
    let (kills, again) = killed_until_complete(&desk, server.gate(), &words);
    assert!(server.stored(&only(server.uploads())).unwrap() == bytes);
    // What is lost is what was on its way.
    assert!(
        again < kills * MIB,
        "{kills} kills, {again} bytes sent again"
    );
}

#[test]
fn killed_again_and_again_by_form() {
    let Some(server) = FormServer::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(LEN);
    slow(server.gate(), "POST");
    let url = server.url();
    let words = ["-q", "--part-size", "256K", "f.bin", &url];
    let (kills, again) = killed_until_complete(&desk, server.gate(), &words);
    assert!(server.complete(&md5(&bytes)).unwrap() == bytes);
    // A chunk that was broken off, and the fields around each.
    let most = (kills + 1) * 256 * 1024 + 64 * 1024;
    assert!(again < most, "{kills} kills, {again} bytes sent again");
    assert_eq!(server.violations(), [""; 0]);
}

#[test]
fn begun_anew_when_asked_to() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(LEN);
    let gate = server.gate();
    let url = server.url();
    let words = [
        "-q",
        "--protocol",
        "tus",
        "--part-size",
        "1M",
        "f.bin",
        &url,
    ];
    slow(gate, "PATCH");
    let stopped = desk.put(&words);
    let stopped = stopped
        .stop_when(|| gate.received() > 3 * MIB, Signal::INT)
        .run()
        .unwrap();
    assert_eq!(stopped.code(), Some(130));
    let staged = only(server.uploads());
    gate.set([]);
    gate.forget();
    desk.works(&[&["--no-resume"], &words[..]].concat());
    assert_eq!(gate.received(), LEN);
    let upload = only(server.uploads());
    assert_ne!(upload, staged, "what was staged is still there");
    assert!(server.stored(&upload).unwrap() == bytes);
}

#[test]
fn a_server_that_is_down_costs_no_progress() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(LEN);
    let gate = server.gate();
    let url = server.url();
    let words = [
        "--protocol",
        "tus",
        "--part-size",
        "1M",
        "--retries",
        "1",
        "f.bin",
        &url,
    ];
    gate.set([Fault::refuse(503).on("PATCH").after(4).always()]);
    desk.fails(&words, 3, &["503", "hint: run the same command again"]);
    gate.set([Fault::refuse(503).always()]);
    desk.fails(&words, 3, &["503"]);
    gate.set([]);
    gate.forget();
    desk.works(&words);
    assert!(server.stored(&only(server.uploads())).unwrap() == bytes);
    assert_eq!(gate.received(), LEN - 4 * MIB);
}

#[test]
fn a_file_that_changes_meanwhile_makes_no_mixed_object() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, _) = Desk::with(LEN);
    let gate = server.gate();
    let url = server.url();
    let words = [
        "-q",
        "--protocol",
        "tus",
        "--part-size",
        "1M",
        "f.bin",
        &url,
    ];
    slow(gate, "PATCH");
    let new = content(LEN - 1);
    let mut changed = false;
    let failed = desk.put(&words);
    let failed = failed.stop_when(
        || {
            if gate.received() > 2 * MIB && !changed {
                changed = true;
                desk.write("f.bin", &new);
            }
            false
        },
        Signal::INT,
    );
    let failed = failed.run().unwrap();
    check_failure(
        &failed,
        6,
        &["f.bin", "changed", "hint: run the same command again"],
    );
    gate.set([]);
    desk.works(&words);
    let complete: Vec<_> = server
        .uploads()
        .iter()
        .filter_map(|upload| server.stored(upload))
        .filter(|stored| stored.len() as u64 >= LEN - 1)
        .collect();
    assert!(
        complete == [new],
        "{} uploads look complete",
        complete.len()
    );
    fs::remove_file(desk.path("f.bin")).unwrap();
    desk.fails(&words[1..], 6, &["f.bin", "hint: check the path"]);
}
