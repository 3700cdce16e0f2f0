//! A Python process that drives a provider's official SDK, asked in lines of JSON.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{fs, process};

use serde_json::{Value, json};

use super::installed;

/// The process. It is started once for a server, so that hundreds of questions are quick; dropping it ends it.
#[derive(Debug)]
pub(super) struct Sdk {
    child: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    scratch: PathBuf,
    number: AtomicU32,
}

impl Sdk {
    /// Starts a script of `servers/` and waits until it made what it needs on the server; files for bodies are put into `scratch`.
    ///
    /// # Panics
    /// When it does not start.
    pub(super) fn start(script: &str, arguments: &[&str], scratch: &Path) -> Self {
        let python = installed::python()
            .expect("the server beside it was started by what is installed with it");
        let sdk = Self::launch(python, script, arguments, scratch)
            .unwrap_or_else(|error| panic!("{script}: {error}"));
        sdk.ask("ready", json!({})).expect("nobody refuses this");
        sdk
    }

    fn launch(
        mut python: Command,
        script: &str,
        arguments: &[&str],
        scratch: &Path,
    ) -> io::Result<Self> {
        let mut child = python
            .arg(installed::script(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("no pipes"));
        };
        Ok(Self {
            child,
            pipes: Mutex::new((to, BufReader::new(from))),
            scratch: scratch.to_owned(),
            number: AtomicU32::new(0),
        })
    }

    /// Asks, and waits for the answer: what was asked for, or the server's code for refusing it.
    ///
    /// # Panics
    /// When the question makes no sense to the SDK, or the process is gone.
    pub(super) fn ask(&self, what: &str, of: Value) -> Result<Value, String> {
        let question = json!({"ask": what, "of": of}).to_string();
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let (to, from) = &mut *pipes;
        let mut line = String::new();
        writeln!(to, "{question}")
            .and_then(|()| from.read_line(&mut line))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut answer: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{what}: {error}: {line:?} (is the process gone?)"));
        if let Some(refused) = answer["refused"].as_str() {
            return Err(refused.to_owned());
        }
        if let Some(failed) = answer["failed"].as_str() {
            panic!("{what}: {failed}");
        }
        Ok(answer["ok"].take())
    }

    /// Asks for something that is written to a file, and reads that; `of` gets the file's name as `to`.
    pub(super) fn fetch(&self, what: &str, mut of: Value) -> Result<Vec<u8>, String> {
        let file = self.file();
        of["to"] = json!(file);
        self.ask(what, of)?;
        let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{what}: {error}"));
        let _ = fs::remove_file(file);
        Ok(bytes)
    }

    /// Asks to take bytes from a file; `of` gets its name as `path`.
    pub(super) fn give(&self, what: &str, mut of: Value, bytes: &[u8]) -> Result<Value, String> {
        let file = self.file();
        fs::write(&file, bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        of["path"] = json!(file);
        let outcome = self.ask(what, of);
        let _ = fs::remove_file(file);
        outcome
    }

    fn file(&self) -> PathBuf {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let name = format!("body-{}-{number}", process::id());
        self.scratch.join(name)
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
