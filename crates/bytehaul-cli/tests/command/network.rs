//! Every option of the network by a real round trip: proxies, TLS, versions of HTTP, names, credentials, other sources.

mod credentials;
mod names;
mod proxies;
mod sources;
mod trust;

use std::fs;

use bytehaul_testkit::nginx::{Nginx, Setup};
use bytehaul_testkit::process::{Finished, Process};
use bytehaul_testkit::{Object, check_file};
use tempfile::TempDir;

use super::support::{bytehaul, check_failure};

/// A real nginx with `/files/f.bin`, and an empty directory that commands run in.
struct Site {
    nginx: Nginx,
    object: Object,
    dir: TempDir,
}

impl Site {
    fn new(setup: impl FnOnce(Setup) -> Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let object = Object::random(7, LEN);
        fs::create_dir(dir.path().join("www")).unwrap();
        fs::write(dir.path().join("www/f.bin"), object.whole()).unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        let nginx = setup(Nginx::serving(&dir.path().join("www"))).start();
        Self { nginx, object, dir }
    }

    fn url(&self) -> String {
        self.nginx.url("/files/f.bin")
    }

    /// Writes a file that an option names, and gives its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, args: &[&str], environment: &[(&str, &str)]) -> Finished {
        let mut command = bytehaul();
        command
            .current_dir(self.dir.path().join("out"))
            .env("HOME", self.dir.path())
            .envs(environment.iter().copied())
            .args(["get", "-q", "--overwrite", "--retry-delay", "5ms"])
            .args(args);
        Process::new(command).run().unwrap()
    }

    /// Runs what must give the right bytes.
    #[track_caller]
    fn works_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Finished {
        let finished = self.run(args, environment);
        assert_eq!(finished.code(), Some(0), "{args:?}: {}", finished.err());
        let target = self.dir.path().join("out/f.bin");
        check_file(&target, &self.object).unwrap_or_else(|mismatch| panic!("{mismatch}"));
        fs::remove_file(target).unwrap();
        finished
    }

    #[track_caller]
    fn works(&self, args: &[&str]) -> Finished {
        self.works_with(args, &[])
    }

    /// Runs what must fail with one clear line.
    #[track_caller]
    fn fails_with(&self, args: &[&str], environment: &[(&str, &str)], code: i32, words: &[&str]) {
        let finished = self.run(args, environment);
        check_failure(&finished, code, words);
        assert!(!finished.err().contains(SECRET), "{}", finished.err());
        assert!(!self.dir.path().join("out/f.bin").exists());
    }

    #[track_caller]
    fn fails(&self, args: &[&str], code: i32, words: &[&str]) {
        self.fails_with(args, &[], code, words);
    }
}

const LEN: u64 = 3 << 20;
/// The password wherever one is needed. It must never be shown.
const SECRET: &str = "hunter2";
