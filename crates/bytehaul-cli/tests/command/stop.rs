//! Signals: how soon the command ends, and two commands that want the same target.

use std::process::Stdio;
use std::time::{Duration, Instant};

use bytehaul_testkit::Object;
use bytehaul_testkit::process::{Process, Signal};

use super::support::{MIB, Scene, bytehaul, check_failure};

#[test]
fn an_interrupted_command_ends_soon() {
    // Stalled connections are those that a slow stop would wait for.
    let scene = Scene::throttled(8 * MIB, 64 * 1024);
    let server = &scene.server;
    let mut signalled = None;
    let mut command = bytehaul();
    command.current_dir(scene.dir()).args([
        "get",
        "-q",
        "-x",
        "4",
        "--min-split-size",
        "1M",
        &scene.url(),
    ]);
    let began = Instant::now();
    let finished = Process::new(command)
        .stop_when(
            || {
                let due = server.bytes_sent() > 200 * 1024;
                if due {
                    signalled.get_or_insert_with(|| began.elapsed());
                }
                due
            },
            Signal::INT,
        )
        .run()
        .unwrap();
    let took = finished.wall.saturating_sub(signalled.unwrap());
    check_failure(&finished, 130, &["interrupted"]);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn files_that_were_not_begun_are_counted() {
    let scene = Scene::throttled(8 * MIB, MIB);
    for name in ["/g.bin", "/h.bin"] {
        scene.server.serve(name, Object::random(1, 1000));
    }
    let server = &scene.server;
    let process = scene.get(&[
        "-q",
        "-j",
        "1",
        &scene.url(),
        &server.url("/g.bin"),
        &server.url("/h.bin"),
    ]);
    let finished = process
        .stop_after(Duration::from_millis(900), Signal::INT)
        .run()
        .unwrap();
    check_failure(
        &finished,
        130,
        &["interrupted", "of f.bin kept", "2 files not begun"],
    );
}

#[test]
fn one_target_is_for_one_command() {
    let scene = Scene::throttled(4 * MIB, 2 * MIB);
    let mut command = bytehaul();
    command
        .current_dir(scene.dir())
        .args(["get", "-q", "-x", "1", &scene.url()])
        .stdin(Stdio::null());
    let mut first = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while scene.server.bytes_sent() < MIB {
        assert!(
            Instant::now() < deadline,
            "the first command does not get going"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    scene.fails(
        &[&scene.url()],
        6,
        &["f.bin", "another transfer", "hint: wait"],
    );
    assert!(first.wait().unwrap().success());
    scene.holds("f.bin", &Object::random(1, 4 * MIB));
}

#[test]
fn every_file_of_an_interrupted_command_has_a_last_event() {
    let scene = Scene::throttled(8 * MIB, MIB);
    let server = &scene.server;
    let process = scene.get(&["--json", "-j", "1", &scene.url(), &server.url("/g.bin")]);
    let finished = process
        .stop_after(Duration::from_millis(900), Signal::INT)
        .run()
        .unwrap();
    check_failure(&finished, 130, &["interrupted"]);
    let out = finished.out();
    let failed: Vec<serde_json::Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["event"] == "failed")
        .collect();
    assert_eq!(failed.len(), 2, "{out}");
    for (number, event) in failed.iter().enumerate() {
        assert_eq!(event["file"], number);
        assert_eq!(
            (&event["code"], &event["exit_code"]),
            (&124.into(), &130.into()),
            "{event}"
        );
        assert_eq!(event["kind"], "stopped");
    }
}
