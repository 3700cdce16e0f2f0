//! Pipes that nobody reads: signals are heard all the same, and a late reader gets every end.

use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytehaul_testkit::process::Signal;
use bytehaul_testkit::{Behaviour, Object};
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use super::support::{MIB, Scene, bytehaul};

/// A command that is killed when its test fails.
struct Running(Child);

impl Running {
    fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    #[track_caller]
    fn ends_within(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "still running {limit:?} after the signal"
            );
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing to do for one that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `bytehaul get` of a list whose lines of output are more than a pipe holds.
fn get_list(scene: &Scene, first: &[String], args: &[&str]) -> Command {
    let mut list = first.join("\n");
    for number in 0..FILES {
        let name = format!("/{}-{number}", "n".repeat(200));
        scene.server.serve(&name, Object::random(number, 100));
        list.push_str(&format!("\n{}", scene.server.url(&name)));
    }
    std::fs::write(scene.path("list"), list).unwrap();
    let mut command = bytehaul();
    command
        .current_dir(scene.dir())
        .args(["get", "-i", "list"])
        .args(args)
        .stdin(Stdio::null());
    command
}

/// Waits until a pipe has taken all that it will take.
fn wait_until_full(pipe: impl AsFd) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut last = (0, Instant::now());
    while last.0 < FULL || last.1.elapsed() < STILL {
        assert!(
            Instant::now() < deadline,
            "{} bytes are in the pipe",
            last.0
        );
        let held = rustix::io::ioctl_fionread(&pipe).unwrap();
        if held != last.0 {
            last = (held, Instant::now());
        }
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_signal_is_heard_though_nobody_reads_the_events() {
    for signal in [Signal::TERM, Signal::INT] {
        let slow = Object::random(1, 8 * MIB).behaviour(Behaviour::new().rate(64 * 1024));
        let scene = Scene::with(slow);
        let mut command = get_list(&scene, &[scene.url()], &["--json"]);
        let mut running = Running::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        wait_until_full(running.0.stdout.as_ref().unwrap());
        running.signal(signal);
        let status = running.ends_within(SOON);
        assert_eq!(status.code(), Some(130), "{status}");
        let err = std::io::read_to_string(running.0.stderr.take().unwrap()).unwrap();
        assert!(err.starts_with("bytehaul: interrupted: "), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
}

#[test]
fn a_signal_ends_the_wait_for_a_reader() {
    let scene = Scene::new();
    let mut command = get_list(&scene, &[], &["--json"]);
    let mut running = Running::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    wait_until_full(running.0.stdout.as_ref().unwrap());
    running.signal(Signal::TERM);
    let status = running.ends_within(SOON);
    assert_eq!(status.code(), Some(130), "{status}");
    let err = std::io::read_to_string(running.0.stderr.take().unwrap()).unwrap();
    assert!(err.starts_with("bytehaul: interrupted: "), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    // The list is the other file.
    assert_eq!(scene.files().len() as u64, FILES + 1);
}

#[test]
fn a_late_reader_gets_every_first_and_last_event() {
    let scene = Scene::new();
    let mut command = get_list(&scene, &[], &["--json"]);
    let mut running = Running::spawn(command.stdout(Stdio::piped()).stderr(Stdio::inherit()));
    let mut stdout = running.0.stdout.take().unwrap();
    wait_until_full(&stdout);
    let mut out = String::new();
    stdout.read_to_string(&mut out).unwrap();
    assert!(running.ends_within(SOON).success());
    let events: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for number in 0..FILES {
        let names: Vec<_> = events
            .iter()
            .filter(|event| event["file"] == number && event["event"] != "progress")
            .map(|event| event["event"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["started", "completed"], "of file {number}");
    }
}

#[test]
fn a_second_signal_ends_a_command_that_is_stuck() {
    let scene = Scene::new();
    // Log lines keep the threads of the transfers from going on as well.
    for args in [&[][..], &["-vv"]] {
        let mut command = get_list(&scene, &[], args);
        let mut running = Running::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()));
        wait_until_full(running.0.stderr.as_ref().unwrap());
        running.signal(Signal::INT);
        sleep(Duration::from_millis(200));
        running.signal(Signal::INT);
        let status = running.ends_within(Duration::from_secs(1));
        assert_eq!(status.code(), Some(130), "{args:?}: {status}");
    }
}

const FILES: u64 = 150;
/// Less than any pipe holds, and more than one that is being emptied would.
const FULL: u64 = 8 * 1024;
const STILL: Duration = Duration::from_millis(250);
const SOON: Duration = Duration::from_secs(3);
