//! What the demo plays on: a throttled server, a directory, and the command itself as a child process.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytehaul_testkit::{Behaviour, Object, Server};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The server, and the place where the file is to be. Dropping it leaves nothing behind.
pub(super) struct Stage {
    pub(super) server: Server,
    directory: TempDir,
    len: u64,
}

impl Stage {
    pub(super) async fn set_up(object: &Object) -> Result<Self, Failed> {
        let server = Server::start().await;
        server.serve(NAME, object.clone().behaviour(Behaviour::new().rate(RATE)));
        let directory = tempfile::Builder::new().prefix("bytehaul-demo-").tempdir();
        let directory =
            directory.map_err(|error| Failed::because("make a temporary directory", &error))?;
        Ok(Self {
            server,
            directory,
            len: object.len(),
        })
    }

    pub(super) fn url(&self) -> String {
        self.server.url(NAME)
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn target(&self) -> PathBuf {
        self.directory().join(NAME.trim_start_matches('/'))
    }

    /// Runs the command and kills it when half of the bytes are sent; says how long it ran.
    pub(super) async fn kill_half_way(&self) -> Result<Duration, Failed> {
        let began = Instant::now();
        let (mut child, mut lines) = self.start(None)?;
        let bar = self.bar();
        while self.server.bytes_sent() < self.len / 2 {
            tokio::select! {
                event = next_event(&mut lines) => match event? {
                    Some(Event::Failed { error }) => return Err(Failed::new(error)),
                    Some(Event::Started | Event::Progress { .. } | Event::Completed(_)) => {}
                    None => return Err(Failed::new("the first run ended before it could be killed")),
                },
                () = tokio::time::sleep(LOOK_EVERY) => bar.set_position(self.server.bytes_sent()),
            }
        }
        bar.finish_and_clear();
        child
            .start_kill()
            .map_err(|error| Failed::because("kill the child", &error))?;
        let status = child
            .wait()
            .await
            .map_err(|error| Failed::because("wait for the child", &error))?;
        let ran = began.elapsed();
        // A process that a signal has ended has no exit code.
        if cfg!(unix) && status.code().is_some() {
            return Err(Failed::new(format!(
                "the first run ended by itself before it was killed, {status}"
            )));
        }
        if self.target().exists() {
            return Err(Failed::new(
                "a file is at the target though the download was killed",
            ));
        }
        Ok(ran)
    }

    /// Runs the command again, to its end.
    pub(super) async fn resume(&self, digest: &str) -> Result<Completed, Failed> {
        let (mut child, mut lines) = self.start(Some(digest))?;
        let bar = self.bar();
        let mut outcome = None;
        while let Some(event) = next_event(&mut lines).await? {
            match event {
                Event::Started => {}
                Event::Progress { received } => bar.set_position(received),
                Event::Completed(completed) => outcome = Some(completed),
                Event::Failed { error } => return Err(Failed::new(error)),
            }
        }
        bar.finish_and_clear();
        let status = child
            .wait()
            .await
            .map_err(|error| Failed::because("wait for the child", &error))?;
        match outcome {
            Some(outcome) if status.success() => Ok(outcome),
            Some(_) | None => Err(Failed::new(format!(
                "the second run did not complete, {status}"
            ))),
        }
    }

    fn start(
        &self,
        digest: Option<&str>,
    ) -> Result<(Child, Lines<BufReader<ChildStdout>>), Failed> {
        let program = std::env::current_exe()
            .map_err(|error| Failed::because("find this program", &error))?;
        let mut command = Command::new(program);
        // The server is on this machine, which no proxy of the environment needs to know.
        command
            .args(["get", "--json", "--no-proxy", "*", "-x"])
            .arg(CONNECTIONS.to_string());
        if let Some(digest) = digest {
            command.arg(format!("--checksum=sha-256={digest}"));
        }
        command.arg("-d").arg(self.directory()).arg(self.url());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|error| Failed::because("run this program", &error))?;
        let stdout = child.stdout.take().expect("stdout was asked for");
        Ok((child, BufReader::new(stdout).lines()))
    }

    fn bar(&self) -> ProgressBar {
        if !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("   {wide_bar} {percent:>3}%");
        let style = style
            .expect("a constant template is well formed")
            .progress_chars("━╸─");
        ProgressBar::new(self.len).with_style(style)
    }
}

/// What `get --json` says of a finished file.
#[derive(Deserialize, Debug)]
pub(super) struct Completed {
    pub(super) resumed_from: u64,
    pub(super) fetched: u64,
    pub(super) elapsed_ms: u64,
    pub(super) connections: u32,
    pub(super) digest: Option<String>,
}

/// Why the demo did not show what it promises.
#[derive(Debug)]
pub(super) struct Failed(String);

impl Failed {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn because(action: &str, error: &dyn Error) -> Self {
        Self(format!("{action}: {error}"))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is read of the lines of `get --json`.
#[derive(Deserialize, Debug)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Started,
    Progress { received: u64 },
    Completed(Completed),
    Failed { error: String },
}

async fn next_event(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Option<Event>, Failed> {
    let line = lines
        .next_line()
        .await
        .map_err(|error| Failed::because("read from the child", &error))?;
    let Some(line) = line else { return Ok(None) };
    serde_json::from_str(&line)
        .map(Some)
        .map_err(|error| Failed::because(&format!("understand {line}"), &error))
}

/// Connections of both runs.
pub(super) const CONNECTIONS: u32 = 8;
/// Bytes a second of one connection, chosen so that 256 MiB take about six seconds.
pub(super) const RATE: u64 = 6 << 20;
const NAME: &str = "/demo.bin";
const LOOK_EVERY: Duration = Duration::from_millis(20);
