//! `demo`: a download that is killed half-way and resumed, against a server of its own on loopback.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytehaul_testkit::{Behaviour, Object, Server, check_file};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::exit::Exit;
use crate::output::human::{Bytes, Time, mean_rate};
use crate::output::to_stderr;
use crate::signals::Signals;

/// Runs it. The status is that of success only when everything that is shown has been checked.
pub(crate) async fn run(mut signals: Signals) -> Exit {
    let shown = tokio::select! {
        shown = show() => shown,
        () = signals.next() => return Exit::Interrupted,
    };
    match shown {
        Ok(()) => Exit::Complete,
        Err(error) => {
            to_stderr(format_args!("bytehaul: demo: {error}"));
            Exit::Other
        }
    }
}

async fn show() -> Result<(), Failed> {
    let object = Object::random(SEED, LEN);
    let server = Server::start().await;
    server.serve(NAME, object.clone().behaviour(Behaviour::new().rate(RATE)));
    let directory = tempfile::Builder::new()
        .prefix("bytehaul-demo-")
        .tempdir()
        .map_err(Failed::temporary)?;
    let stage = Stage {
        server,
        directory: directory.path().to_owned(),
    };
    say(format_args!(
        "a server on loopback holds {} and gives {}/s to each connection",
        Bytes(LEN),
        Bytes(RATE)
    ));

    say(format_args!(
        "1. bytehaul get -x {CONNECTIONS} {}",
        stage.server.url(NAME)
    ));
    // The expected digest is made meanwhile, from what the server holds and not from what arrives.
    let digest = tokio::task::spawn_blocking(move || sha256(&object));
    let killed = stage.kill_half_way().await?;
    let sent_before = stage.server.bytes_sent();
    say(format_args!(
        "   killed (SIGKILL) after {}: the server had sent {}, and no file is at the target",
        Time(killed),
        Bytes(sent_before)
    ));

    let digest = digest
        .await
        .map_err(|_| Failed::new("the digest could not be made"))?;
    say(format_args!(
        "2. the same command again, with --checksum sha-256={}…",
        &digest[..16]
    ));
    let outcome = stage.resume(&digest).await?;
    let sent = stage.server.bytes_sent();
    say(format_args!(
        "   resumed from {}, fetched {} in {} ({}/s) over {} connections",
        Bytes(outcome.resumed_from),
        Bytes(outcome.fetched),
        Time(Duration::from_millis(outcome.elapsed_ms)),
        mean_rate(outcome.fetched, Duration::from_millis(outcome.elapsed_ms)),
        outcome.connections
    ));
    let again = sent.saturating_sub(LEN);
    say(format_args!(
        "   sent twice because of the kill: {} of {} (what was on its way at that moment)",
        Bytes(again),
        Bytes(LEN)
    ));
    check_outcome(&stage, &outcome, &digest, again)?;
    say(format_args!(
        "3. verified: sha-256 matches, and each of the {LEN} bytes is the server's"
    ));
    Ok(())
}

/// The server, and the place where the file is to be.
struct Stage {
    server: Server,
    directory: PathBuf,
}

impl Stage {
    fn target(&self) -> PathBuf {
        self.directory.join(NAME.trim_start_matches('/'))
    }

    /// Runs the command in a process of its own and kills it when half of the bytes are sent; says when.
    async fn kill_half_way(&self) -> Result<Duration, Failed> {
        let began = Instant::now();
        let (mut child, mut lines) = self.start(None)?;
        let bar = bar();
        while self.server.bytes_sent() < LEN / 2 {
            tokio::select! {
                event = next_event(&mut lines) => if event?.is_none() {
                    let status = child.wait().await.map_err(Failed::child)?;
                    return Err(Failed::new(format!("the first run ended by itself, {status}")));
                },
                () = tokio::time::sleep(LOOK_EVERY) => bar.set_position(self.server.bytes_sent()),
            }
        }
        bar.finish_and_clear();
        child.start_kill().map_err(Failed::child)?;
        let status = child.wait().await.map_err(Failed::child)?;
        let elapsed = began.elapsed();
        if status.code().is_some() {
            return Err(Failed::new(format!(
                "the first run was to be killed, but ended by itself, {status}"
            )));
        }
        if self.target().exists() {
            return Err(Failed::new(
                "a file is at the target though the download was killed",
            ));
        }
        Ok(elapsed)
    }

    /// Runs the command again, to its end.
    async fn resume(&self, digest: &str) -> Result<Completed, Failed> {
        let (mut child, mut lines) = self.start(Some(digest))?;
        let bar = bar();
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
        let status: ExitStatus = child.wait().await.map_err(Failed::child)?;
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
        let program = std::env::current_exe().map_err(Failed::child)?;
        let mut command = Command::new(program);
        command
            .args(["get", "--json", "-x"])
            .arg(CONNECTIONS.to_string());
        if let Some(digest) = digest {
            command.arg(format!("--checksum=sha-256={digest}"));
        }
        // The server is on this machine, which no proxy of the environment needs to know.
        command
            .args(["--no-proxy", "*", "-d"])
            .arg(&self.directory)
            .arg(self.server.url(NAME));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(Failed::child)?;
        let stdout = child.stdout.take().expect("stdout was asked for");
        Ok((child, BufReader::new(stdout).lines()))
    }
}

/// Why the demo did not show what it promises.
#[derive(Debug)]
struct Failed(String);

impl Failed {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn child(error: io::Error) -> Self {
        Self(format!("run bytehaul as a child: {error}"))
    }

    fn temporary(error: io::Error) -> Self {
        Self(format!("make a temporary directory: {error}"))
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

#[derive(Deserialize, Debug)]
struct Completed {
    resumed_from: u64,
    fetched: u64,
    elapsed_ms: u64,
    connections: u32,
    digest: Option<String>,
}

async fn next_event(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Option<Event>, Failed> {
    let Some(line) = lines.next_line().await.map_err(Failed::child)? else {
        return Ok(None);
    };
    serde_json::from_str(&line)
        .map(Some)
        .map_err(|error| Failed(format!("read the line {line}: {error}")))
}

/// What the lines above claim is compared with the file, the server's count and the digest.
fn check_outcome(
    stage: &Stage,
    outcome: &Completed,
    digest: &str,
    again: u64,
) -> Result<(), Failed> {
    check_file(stage.target(), &Object::random(SEED, LEN))
        .map_err(|error| Failed::new(error.to_string()))?;
    if outcome.digest.as_deref() != Some(&format!("sha-256={digest}")) {
        return Err(Failed::new(
            "the digest that the command reports is not the expected one",
        ));
    }
    if outcome.resumed_from == 0 || outcome.resumed_from + outcome.fetched < LEN {
        return Err(Failed::new("the second run did not go on from the first"));
    }
    if again > MOST_AGAIN {
        return Err(Failed::new(format!(
            "{} were sent twice, at most {} may be",
            Bytes(again),
            Bytes(MOST_AGAIN)
        )));
    }
    leftovers(&stage.directory)
}

/// Beside the finished file nothing may lie.
fn leftovers(directory: &Path) -> Result<(), Failed> {
    let entries = std::fs::read_dir(directory).map_err(Failed::temporary)?;
    match entries.count() {
        1 => Ok(()),
        count => Err(Failed::new(format!(
            "{count} files are in the directory, one was expected"
        ))),
    }
}

fn sha256(object: &Object) -> String {
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 20];
    for offset in (0..LEN).step_by(block.len()) {
        object.fill(offset, &mut block);
        hasher.update(&block);
    }
    hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("   {wide_bar} {percent:>3}%")
        .expect("a constant template is well formed");
    ProgressBar::new(LEN).with_style(style.progress_chars("━╸─"))
}

/// The story is what the command is for, so it goes to stdout. Nobody reading it is no failure.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = io::Write::write_fmt(&mut io::stdout(), format_args!("{line}\n"));
}

const NAME: &str = "/demo.bin";
const SEED: u64 = 2026;
/// A multiple of the block in which it is hashed.
const LEN: u64 = 256 << 20;
const CONNECTIONS: u32 = 8;
/// Bytes a second of one connection, chosen so that the whole takes about six seconds.
const RATE: u64 = 6 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The memory that a download may hold, and what the kernel buffers for its sockets.
const MOST_AGAIN: u64 = 64 << 20;
