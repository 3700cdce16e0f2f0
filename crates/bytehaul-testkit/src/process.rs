//! Running a program to its end, or to a sudden one, and what it cost: time, CPU and memory.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, waitid};

use crate::usage::{Usage, reap};

pub use rustix::process::Signal;

/// A program that is about to be run under watch.
///
/// ```
/// use std::process::Command;
/// use std::time::Duration;
/// use bytehaul_testkit::process::{Process, Signal};
///
/// let mut command = Command::new("sleep");
/// command.arg("60");
/// let finished = Process::new(command).stop_after(Duration::from_millis(50), Signal::KILL).run()?;
/// assert_eq!(finished.signal(), Some(9));
/// # std::io::Result::Ok(())
/// ```
pub struct Process<'a> {
    command: Command,
    input: Vec<u8>,
    timeout: Duration,
    stop: Option<(Box<Condition<'a>>, Signal)>,
}

type Condition<'a> = dyn FnMut(Duration) -> bool + Send + 'a;

impl<'a> Process<'a> {
    /// Takes a command whose program, arguments, environment and directory are set. Its streams are captured.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self {
            command,
            input: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            stop: None,
        }
    }

    /// What the program reads from its standard input. Default nothing.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// How long the program may run before it is killed and [`Process::run`] fails. Default 60 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends `signal` after this time.
    #[must_use]
    pub fn stop_after(self, time: Duration, signal: Signal) -> Self {
        self.stop_when_running_for(move |running| running >= time, signal)
    }

    /// Sends `signal` as soon as `condition` holds; it is asked every 2 ms.
    #[must_use]
    pub fn stop_when(
        self,
        mut condition: impl FnMut() -> bool + Send + 'a,
        signal: Signal,
    ) -> Self {
        self.stop_when_running_for(move |_| condition(), signal)
    }

    fn stop_when_running_for(
        mut self,
        condition: impl FnMut(Duration) -> bool + Send + 'a,
        signal: Signal,
    ) -> Self {
        self.stop = Some((Box::new(condition), signal));
        self
    }

    /// Runs the program and waits for its end.
    ///
    /// # Errors
    /// When it cannot be started, or had to be killed because its time was over (`TimedOut`).
    pub fn run(self) -> io::Result<Finished> {
        let Self {
            mut command,
            input,
            timeout,
            mut stop,
        } = self;
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pid = pid_of(&child);
        let (mut to, mut out, mut err) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (over, is_over) = mpsc::channel::<()>();
        thread::scope(|scope| {
            // A program that does not read its input closes the pipe, which is its right.
            scope.spawn(move || to.take().map(|mut to| to.write_all(&input)));
            let out = scope.spawn(move || read_all(out.as_mut()));
            let err = scope.spawn(move || read_all(err.as_mut()));
            let watch = scope.spawn(move || watch(pid, began, timeout, stop.as_mut(), &is_over));
            // The child stays a zombie until the watcher has ended, so that no signal can hit a stranger.
            waitid(
                WaitId::Pid(pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
            )?;
            let wall = began.elapsed();
            drop(over);
            let in_time = watch.join().expect("the watcher does not panic");
            let (status, usage) = reap(pid)?;
            let stdout = out.join().expect("reading does not panic")?;
            let stderr = err.join().expect("reading does not panic")?;
            if in_time {
                Ok(Finished {
                    status,
                    stdout,
                    stderr,
                    wall,
                    usage,
                })
            } else {
                let shown = format!("still running after {timeout:?}: {command:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, shown))
            }
        })
    }
}

impl fmt::Debug for Process<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("command", &self.command)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What became of a program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finished {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// All that it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// All that it wrote to its standard error.
    pub stderr: Vec<u8>,
    /// From before the start to its end.
    pub wall: Duration,
    /// CPU time and memory, its waited-for children included.
    pub usage: Usage,
}

impl Finished {
    /// Whether it ended with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// The exit code, unless a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Standard output as text.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Whether the program ended in time; it is killed otherwise.
fn watch(
    pid: Pid,
    began: Instant,
    timeout: Duration,
    mut stop: Option<&mut (Box<Condition<'_>>, Signal)>,
    is_over: &mpsc::Receiver<()>,
) -> bool {
    loop {
        let left = timeout.saturating_sub(began.elapsed());
        if left.is_zero() {
            let _ = kill_process(pid, Signal::KILL);
            return false;
        }
        let nap = if stop.is_some() { left.min(POLL) } else { left };
        if is_over.recv_timeout(nap) == Err(RecvTimeoutError::Disconnected) {
            return true;
        }
        if let Some((condition, signal)) = &mut stop
            && condition(began.elapsed())
        {
            let _ = kill_process(pid, *signal);
            stop = None;
        }
    }
}

fn read_all(stream: Option<&mut impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

pub(crate) fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process<'static> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::new(command)
    }

    #[test]
    fn output_and_code() {
        let finished = shell("cat; echo oops >&2; exit 3")
            .input("hello")
            .run()
            .unwrap();
        assert_eq!(
            (finished.out().as_str(), finished.err().as_str()),
            ("hello", "oops\n")
        );
        assert_eq!(
            (finished.code(), finished.signal(), finished.success()),
            (Some(3), None, false)
        );
    }

    #[test]
    fn what_it_cost() {
        let idle = shell("sleep 0.1").run().unwrap();
        assert!(
            idle.wall >= Duration::from_millis(100) && idle.usage.cpu < Duration::from_millis(90),
            "{idle:?}"
        );
        let busy = shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
            .run()
            .unwrap();
        assert!(
            busy.usage.cpu > idle.usage.cpu && busy.usage.peak_rss > 500_000,
            "{busy:?}"
        );
    }

    #[test]
    fn signals_and_timeouts() {
        let killed = shell("exec sleep 60")
            .stop_after(Duration::from_millis(30), Signal::KILL)
            .run()
            .unwrap();
        assert_eq!((killed.signal(), killed.code()), (Some(9), None));
        let asked = "trap 'exit 7' INT; while :; do sleep 0.01; done";
        let mut polls = 0;
        let enough = || {
            polls += 1;
            polls > 20
        };
        let mut command = Command::new("sh");
        command.args(["-c", asked]);
        assert_eq!(
            Process::new(command)
                .stop_when(enough, Signal::INT)
                .run()
                .unwrap()
                .code(),
            Some(7)
        );
        let late = shell("exec sleep 60")
            .timeout(Duration::from_millis(30))
            .run()
            .unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
