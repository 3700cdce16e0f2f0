//! `demo`: the story of a download that is killed half-way and resumed, and the proof that it is true.

mod stage;

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bytehaul_testkit::{Object, check_file};
use sha2::{Digest, Sha256};

use self::stage::{CONNECTIONS, Completed, Failed, RATE, Stage};
use crate::exit::Exit;
use crate::output::human::{Bytes, Time, mean_rate};
use crate::output::to_stderr;
use crate::signals::Signals;
use crate::usage::UsageError;

/// Runs it with a file of `len` bytes. The status is that of success only when everything that is shown has been
/// checked.
pub(crate) async fn run(len: u64, mut signals: Signals) -> Exit {
    if len < SMALLEST {
        let smallest = Bytes(SMALLEST);
        return UsageError::new(format!(
            "--size is less than {smallest}, which ends too soon to be killed"
        ))
        .report();
    }
    let shown = tokio::select! {
        shown = show(len) => shown,
        () = signals.asked() => return Exit::Interrupted,
    };
    match shown {
        Ok(()) => Exit::Complete,
        Err(error) => {
            to_stderr(format_args!("bytehaul: demo: {error}"));
            Exit::Other
        }
    }
}

async fn show(len: u64) -> Result<(), Failed> {
    let object = Object::random(SEED, len);
    let stage = Stage::set_up(&object).await?;
    let (size, rate) = (Bytes(len), Bytes(RATE));
    say(format_args!(
        "a server on loopback holds {size} and gives {rate}/s to each connection"
    ));

    say(format_args!(
        "1. bytehaul get -x {CONNECTIONS} {}",
        stage.url()
    ));
    // The expected digest is made meanwhile, from what the server holds and not from what arrives.
    let hashed = object.clone();
    let digest = tokio::task::spawn_blocking(move || sha256(&hashed));
    let ran = Time(stage.kill_half_way().await?);
    let sent = Bytes(stage.server.bytes_sent());
    say(format_args!(
        "   killed (SIGKILL) after {ran}: the server had sent {sent}, no file is at the target"
    ));

    let digest = digest
        .await
        .map_err(|_| Failed::new("the digest could not be made"))?;
    say(format_args!(
        "2. the same command again, with --checksum sha-256={}…",
        &digest[..16]
    ));
    let outcome = stage.resume(&digest).await?;
    say(format_args!("   {}", Resumed(&outcome)));
    let again = stage.server.bytes_sent().saturating_sub(len);
    say(format_args!(
        "   sent twice: {} of {size}, what was on its way when the kill came",
        Bytes(again)
    ));

    check_outcome(&outcome, len, &digest, again)?;
    check_file(stage.target(), &object).map_err(|error| Failed::new(error.to_string()))?;
    check_directory(stage.directory())?;
    say(format_args!(
        "3. verified: the sha-256 matches, and all {len} bytes were compared with the server's"
    ));
    Ok(())
}

/// One line on the second run.
struct Resumed<'a>(&'a Completed);

impl fmt::Display for Resumed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Duration::from_millis(self.0.elapsed_ms);
        let (kept, fetched, rate) = (
            Bytes(self.0.resumed_from),
            Bytes(self.0.fetched),
            mean_rate(self.0.fetched, time),
        );
        let connections = self.0.connections;
        write!(
            f,
            "{kept} were kept, {fetched} fetched in {} ({rate}/s) over {connections} connections",
            Time(time)
        )
    }
}

fn check_outcome(outcome: &Completed, len: u64, digest: &str, again: u64) -> Result<(), Failed> {
    if outcome.digest.as_deref() != Some(&format!("sha-256={digest}")) {
        return Err(Failed::new(
            "the digest that the command reports is not the expected one",
        ));
    }
    if outcome.resumed_from == 0 || outcome.resumed_from + outcome.fetched < len {
        return Err(Failed::new("the second run did not go on from the first"));
    }
    if again > MOST_AGAIN {
        return Err(Failed::new(format!(
            "{} were sent twice, more than {}",
            Bytes(again),
            Bytes(MOST_AGAIN)
        )));
    }
    Ok(())
}

/// Beside the finished file nothing may lie.
fn check_directory(directory: &Path) -> Result<(), Failed> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| Failed::because("look into the directory", &error))?;
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
    let mut offset = 0;
    while offset < object.len() {
        let size = usize::try_from(object.len() - offset)
            .map_or(block.len(), |left| left.min(block.len()));
        object.fill(offset, &mut block[..size]);
        hasher.update(&block[..size]);
        offset += size as u64;
    }
    hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The story is what the command is for, so it goes to stdout. Nobody reading it is no failure.
fn say(line: fmt::Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}

const SEED: u64 = 2026;
const SMALLEST: u64 = 16 << 20;
/// The memory that a download may hold: what was in it at the kill is fetched again.
const MOST_AGAIN: u64 = 64 << 20;
