//! Uploads by the command to real servers, each behind a gate that breaks requests off and counts bytes.

mod bad_input;
mod events;
mod plans;
mod protocols;
mod resume;
mod secrets;
mod stdin;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bytehaul_testkit::Object;
use bytehaul_testkit::process::{Finished, Process};
use md5::Digest;
use serde_json::Value;
use tempfile::TempDir;

use super::support::{bytehaul, check_failure};

/// A directory that commands run in, with the state of uploads below it.
pub(super) struct Desk {
    dir: TempDir,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// A desk with so many bytes in `f.bin`.
    pub(super) fn with(len: u64) -> (Self, Vec<u8>) {
        let (desk, bytes) = (Self::new(), content(len));
        desk.write("f.bin", &bytes);
        (desk, bytes)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// `bytehaul` with these words, in the directory, with retries that cost no time where it is `put`.
    pub(super) fn command(&self, words: &[&str]) -> Process<'static> {
        let mut command = bytehaul();
        command
            .current_dir(self.dir.path())
            .env("BYTEHAUL_STATE_DIR", self.path("state"))
            .env("HOME", self.dir.path())
            .args(words);
        if words[0] == "put" {
            command.args(["--retry-delay", "5ms"]);
        }
        Process::new(command).timeout(Duration::from_secs(60))
    }

    pub(super) fn put(&self, words: &[&str]) -> Process<'static> {
        self.command(&[&["put"], words].concat())
    }

    /// Runs a `put` that must work.
    #[track_caller]
    pub(super) fn works(&self, words: &[&str]) -> Finished {
        let finished = self.put(words).run().unwrap();
        assert_eq!(finished.code(), Some(0), "{words:?}: {}", finished.err());
        finished
    }

    /// Runs a `put` that must fail with `code` and one clear line with all of `said`.
    #[track_caller]
    pub(super) fn fails(&self, words: &[&str], code: i32, said: &[&str]) -> Finished {
        let finished = self.put(&[&["-q"], words].concat()).run().unwrap();
        check_failure(&finished, code, said);
        finished
    }

    /// What `uploads list --json` says.
    #[track_caller]
    pub(super) fn listed(&self) -> Vec<Value> {
        let finished = self.command(&["uploads", "list", "--json"]).run().unwrap();
        assert_eq!(finished.code(), Some(0), "{}", finished.err());
        events(&finished.out())
    }

    /// All that is in the files of the state directory.
    pub(super) fn state(&self) -> Vec<u8> {
        let entries = fs::read_dir(self.path("state/uploads"));
        let files = entries.into_iter().flatten().flatten();
        files
            .flat_map(|entry| fs::read(entry.path()).unwrap())
            .collect()
    }
}

pub(super) fn content(len: u64) -> Vec<u8> {
    Object::random(11, len).whole()
}

pub(super) fn events(out: &str) -> Vec<Value> {
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

/// The last segment of the only upload that a server has.
#[track_caller]
pub(super) fn only(uploads: Vec<String>) -> String {
    let [upload] = &uploads[..] else {
        panic!("not one upload: {uploads:?}")
    };
    upload.clone()
}

/// As the form protocol names contents.
pub(super) fn md5(bytes: &[u8]) -> String {
    let digest: [u8; 16] = md5::Md5::digest(bytes).into();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
