//! Pipes that nobody reads: signals are heard all the same, and a late reader gets every end.

use std::io::{PipeReader, PipeWriter, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytehaul_testkit::process::Signal;
use bytehaul_testkit::{Behaviour, Object};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
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

/// A pipe whose other end nobody reads for now. This process has both, so that it can see whether there is room.
struct Unread {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Unread {
    fn new() -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        Self { reader, writer }
    }

    fn end(&self) -> Stdio {
        self.writer.try_clone().unwrap().into()
    }

    /// Waits until it takes no more, so that whoever writes stands still.
    fn is_full(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut asked = [PollFd::new(&self.writer, PollFlags::OUT)];
            if poll(&mut asked, Some(&Timespec::default())).unwrap() == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "there is room for more");
            sleep(Duration::from_millis(10));
        }
    }

    /// All that was and will be written.
    fn read(mut self) -> String {
        drop(self.writer);
        let mut text = String::new();
        self.reader.read_to_string(&mut text).unwrap();
        text
    }
}

/// Waits until every file of the list is there under its name.
fn wait_for_files(scene: &Scene) {
    let deadline = Instant::now() + PATIENCE;
    let is_one = |name: &String| name.contains("nnn") && !name.contains('.');
    while scene.files().iter().filter(|name| is_one(name)).count() as u64 != FILES {
        assert!(Instant::now() < deadline, "{:?}", scene.files());
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_signal_is_heard_though_nobody_reads_the_events() {
    for signal in [Signal::TERM, Signal::INT] {
        let slow = Object::random(1, 8 * MIB).behaviour(Behaviour::new().rate(64 * 1024));
        let scene = Scene::with(slow);
        let mut command = get_list(&scene, &[scene.url()], &["--json"]);
        let unread = Unread::new();
        let mut running = Running::spawn(command.stdout(unread.end()).stderr(Stdio::piped()));
        unread.is_full();
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
    let unread = Unread::new();
    let mut running = Running::spawn(command.stdout(unread.end()).stderr(Stdio::piped()));
    wait_for_files(&scene);
    unread.is_full();
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
    let unread = Unread::new();
    let mut running = Running::spawn(command.stdout(unread.end()).stderr(Stdio::inherit()));
    // What was given for it would keep the pipe open here.
    command.stdout(Stdio::null());
    unread.is_full();
    let out = unread.read();
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
        let unread = Unread::new();
        let mut running = Running::spawn(command.stdout(Stdio::null()).stderr(unread.end()));
        unread.is_full();
        running.signal(Signal::INT);
        sleep(Duration::from_millis(200));
        running.signal(Signal::INT);
        let status = running.ends_within(Duration::from_secs(1));
        assert_eq!(status.code(), Some(130), "{args:?}: {status}");
    }
}

const FILES: u64 = 150;
/// For a command that has everything to do still, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// For one that has nothing to do but to end. It would wait for its reader for ever.
const SOON: Duration = Duration::from_secs(20);
