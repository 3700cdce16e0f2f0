//! What is written where: JSON lines, plain lines, silence, and bytes on stdout.

use std::io::Read;
use std::process::Stdio;

use bytehaul_testkit::{Behaviour, Effect, Object};
use serde_json::Value;

use super::support::{MIB, Scene, bytehaul};

fn events(out: &str) -> Vec<Value> {
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

#[test]
fn json_lines_end_with_completed_or_failed() {
    let scene = Scene::throttled(3 * MIB, 2 * MIB);
    scene.server.serve(
        "/gone",
        Object::empty().behaviour(Behaviour::new().always(Effect::status(404))),
    );
    let finished = scene.run(&[
        "--json",
        "-x",
        "1",
        &scene.url(),
        &scene.server.url("/gone?token=topsecret"),
    ]);
    assert_eq!(finished.code(), Some(4));
    let events = events(&finished.out());
    let of = |number: u64| -> Vec<&Value> {
        events
            .iter()
            .filter(|event| event["file"] == number)
            .collect()
    };
    let names = |number: u64| -> Vec<&str> {
        of(number)
            .iter()
            .map(|event| event["event"].as_str().unwrap())
            .collect()
    };

    let first = names(0);
    assert_eq!(
        (first[0], first[first.len() - 1]),
        ("started", "completed"),
        "{first:?}"
    );
    assert!(
        first.iter().filter(|name| **name == "progress").count() >= 2,
        "{first:?}"
    );
    let completed = of(0).pop().unwrap();
    assert_eq!(completed["url"], scene.url());
    assert_eq!(
        completed["path"],
        scene
            .path("f.bin")
            .canonicalize()
            .unwrap()
            .to_str()
            .unwrap()
    );
    assert_eq!(completed["bytes"], 3 * MIB);
    assert_eq!(completed["fetched"], 3 * MIB);
    assert_eq!(completed["resumed_from"], 0);
    assert_eq!(completed["length_verified"], true);
    assert_eq!(completed["retries"], 0);
    assert!(completed["elapsed_ms"].as_u64().unwrap() >= 1000);
    assert!(completed["evidence"].is_string());

    assert_eq!(names(1), ["started", "failed"]);
    let failed = of(1).pop().unwrap();
    assert_eq!(
        (&failed["code"], &failed["exit_code"]),
        (&Value::from(109), &Value::from(4))
    );
    assert_eq!(failed["kind"], "server");
    assert!(failed["error"].as_str().unwrap().contains("404"));
    assert!(!finished.out().contains("topsecret") && !finished.err().contains("topsecret"));
}

#[test]
fn a_digest_is_reported() {
    let scene = Scene::with(Object::bytes(*b""));
    let empty = "md5=d41d8cd98f00b204e9800998ecf8427e";
    let finished = scene.works(&["--json", "--checksum", empty, &scene.url()]);
    assert_eq!(events(&finished.out()).pop().unwrap()["digest"], empty);
}

#[test]
fn plain_lines_go_to_stderr_and_quiet_means_none() {
    let scene = Scene::with(Object::random(1, 1000));
    let finished = scene.works(&[&scene.url()]);
    assert_eq!(finished.out(), "");
    let err = finished.err();
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{err}");
    assert_eq!(lines[0], format!("downloading {}", scene.url()));
    assert!(lines[1].contains("f.bin: 1000 B in "), "{err}");

    let finished = scene.works(&["-q", "-o", "other", &scene.url()]);
    assert_eq!(
        (finished.out(), finished.err()),
        (String::new(), String::new())
    );
}

#[test]
fn details_hold_no_secrets() {
    let scene = Scene::with(Object::random(1, 1000));
    let url =
        scene.url().replace("http://", "http://user:topsecret@") + "?X-Amz-Signature=topsecret";
    let finished = scene.works(&["-vv", "-H", "X-Api-Key: topsecret", "-o", "f", &url]);
    assert!(!finished.err().contains("topsecret"), "{}", finished.err());
    assert!(finished.err().lines().count() > 2, "{}", finished.err());
    let asked = &scene.server.requests()[0];
    assert_eq!(
        asked.header("Authorization"),
        Some("Basic dXNlcjp0b3BzZWNyZXQ=")
    );
}

#[test]
fn help_and_version_are_no_failure() {
    for (args, word) in [
        (&["--help"][..], "Usage"),
        (&["get", "--help"], "--checksum"),
        (&["--version"], "bytehaul "),
    ] {
        let mut command = bytehaul();
        command.args(args);
        let output = command.output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains(word));
    }
    assert_eq!(bytehaul().output().unwrap().status.code(), Some(2));
}

#[test]
fn stdout_gets_the_bytes_in_order() {
    let scene = Scene::with(Object::random(1, 20 * MIB).behaviour(Behaviour::new().rate(20 * MIB)));
    let finished = scene.works(&["-o", "-", "-x", "4", "--min-split-size", "1M", &scene.url()]);
    assert!(
        finished.stdout == scene_bytes(20 * MIB),
        "{} bytes came out, or other ones",
        finished.stdout.len()
    );
    assert!(
        finished.err().contains("20.0 MiB in "),
        "{}",
        finished.err()
    );
    assert!(scene.server.max_concurrent("/f.bin") > 1);
    assert!(scene.files().is_empty(), "{:?}", scene.files());
}

#[test]
fn a_reader_of_stdout_may_leave() {
    let scene = Scene::throttled(20 * MIB, 20 * MIB);
    let mut command = bytehaul();
    command
        .args(["get", "-q", "-o", "-", &scene.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(first[..], scene_bytes(100));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_stream_is_verified_as_well() {
    let scene = Scene::with(Object::random(1, 1000));
    scene.fails(
        &["-o", "-", "--checksum", "crc32c=00000000", &scene.url()],
        5,
        &["crc32c=00000000"],
    );
    scene.fails(&["-o", "-", &scene.server.url("/missing")], 4, &["404"]);
}

#[test]
fn a_reader_of_events_may_leave() {
    let scene = Scene::throttled(2 * MIB, 2 * MIB);
    let mut command = bytehaul();
    command
        .current_dir(scene.dir())
        .args(["get", "--json", &scene.url()])
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    scene.holds("f.bin", &Object::random(1, 2 * MIB));
}

fn scene_bytes(len: u64) -> Vec<u8> {
    Object::random(1, 20 * MIB).expected(0..len)
}
