//! A server, a directory and the binary, and what every failure must look like.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytehaul_testkit::process::{Finished, Process};
use bytehaul_testkit::{Behaviour, Object, Server, check_file};
use tempfile::TempDir;

/// A server with nothing on it yet, and an empty directory that commands run in.
pub(crate) struct Scene {
    pub(crate) server: Server,
    dir: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            server: Server::spawn_thread(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// A scene with one object at `/f.bin`.
    pub(crate) fn with(object: Object) -> Self {
        let scene = Self::new();
        scene.server.serve("/f.bin", object);
        scene
    }

    /// A scene with `len` bytes at `/f.bin`, at `rate` bytes a second to each connection.
    pub(crate) fn throttled(len: u64, rate: u64) -> Self {
        Self::with(Object::random(1, len).behaviour(Behaviour::new().rate(rate)))
    }

    /// The URL of `/f.bin`.
    pub(crate) fn url(&self) -> String {
        self.server.url("/f.bin")
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// `bytehaul get` in the directory, with retries that cost no time, and without the caller's proxies.
    pub(crate) fn get(&self, args: &[&str]) -> Process<'static> {
        let mut command = bytehaul();
        command
            .current_dir(self.dir())
            .args(["get", "--retry-delay", "5ms"])
            .args(args);
        Process::new(command).timeout(Duration::from_secs(30))
    }

    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        self.get(args).run().unwrap()
    }

    /// Runs what must work.
    #[track_caller]
    pub(crate) fn works(&self, args: &[&str]) -> Finished {
        let finished = self.run(args);
        assert_eq!(finished.code(), Some(0), "{args:?}: {}", finished.err());
        finished
    }

    /// Runs what must fail with `code` and with one clear line that holds all of `words`.
    #[track_caller]
    pub(crate) fn fails(&self, args: &[&str], code: i32, words: &[&str]) -> Finished {
        let finished = self.run(&[&["-q"], args].concat());
        check_failure(&finished, code, words);
        finished
    }

    /// Names of all files in the directory, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[track_caller]
    pub(crate) fn holds(&self, name: &str, object: &Object) {
        if let Err(mismatch) = check_file(self.path(name), object) {
            panic!("{mismatch}");
        }
    }
}

pub(crate) fn bytehaul() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bytehaul"));
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    for name in ["BYTEHAUL_BEARER", "NETRC", "BYTEHAUL_STATE_DIR"] {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        let is_of_provider = |name: &str| {
            let prefixes = [
                "AWS_",
                "AZURE_",
                "OSS_",
                "OSSUTIL_",
                "GOOGLE_",
                "CLOUDSDK_",
                "STORAGE_EMULATOR_",
            ];
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        };
        if name.to_str().is_some_and(is_of_provider) {
            command.env_remove(name);
        }
    }
    command
}

/// One line that names the problem, at most one hint below it, and nothing like a panic.
#[track_caller]
pub(crate) fn check_failure(finished: &Finished, code: i32, words: &[&str]) {
    let err = finished.err();
    assert_eq!(finished.code(), Some(code), "{err}");
    let lines: Vec<_> = err.lines().collect();
    let (problem, rest) = lines.split_first().expect("a failure says something");
    assert!(problem.starts_with("bytehaul: "), "{err}");
    assert!(
        rest.len() <= 1 && rest.iter().all(|line| line.starts_with("hint: ")),
        "{err}"
    );
    assert!(
        !err.contains("panicked") && !err.contains("backtrace"),
        "{err}"
    );
    for word in words {
        assert!(err.contains(word), "'{word}' is missing in: {err}");
    }
}

pub(crate) const MIB: u64 = 1 << 20;
