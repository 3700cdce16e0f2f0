//! The demo tells its story, and checks it.

use std::time::Duration;

use bytehaul_testkit::process::{Finished, Process};

use super::support::{bytehaul, check_failure};

fn demo(size: &str) -> Finished {
    let mut command = bytehaul();
    // A proxy that nobody runs: the demo is on loopback and must not care.
    command
        .args(["demo", "--size", size])
        .env("http_proxy", "http://127.0.0.1:1");
    Process::new(command)
        .timeout(Duration::from_secs(30))
        .run()
        .unwrap()
}

#[test]
fn the_story_is_told_and_true() {
    let finished = demo("32M");
    assert_eq!(finished.code(), Some(0), "{}", finished.err());
    let out = finished.out();
    for word in [
        "killed (SIGKILL)",
        "were kept",
        "over 8 connections",
        "sent twice",
        "verified: the sha-256 matches",
    ] {
        assert!(out.contains(word), "'{word}' is missing in: {out}");
    }
    assert_eq!(finished.err(), "");
}

#[test]
fn a_file_that_is_too_small_to_be_killed_is_refused() {
    check_failure(&demo("1M"), 2, &["--size"]);
}
