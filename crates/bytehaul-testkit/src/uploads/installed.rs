//! The programs of npm and PyPI that `cargo xtask servers` installed, and commands that run scripts with them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::place;

/// A Python whose packages are those of `servers/requirements.txt`: boto3, azure-storage-blob and others.
///
/// # Panics
/// When they are not installed and this is CI; else it is `None` then.
#[must_use]
pub fn python() -> Option<Command> {
    let python = directory()?.join("venv").join("bin").join("python");
    let mut command = Command::new(python);
    // Scripts of the source tree must not leave compiled ones beside them.
    command.args(["-B", "-u"]);
    Some(command)
}

/// A Node that knows the packages of `servers/package.json` by `$BYTEHAUL_NPM`: `createRequire(process.env.BYTEHAUL_NPM + "/x.js")`.
///
/// # Panics
/// As [`python`].
#[must_use]
pub fn node() -> Option<Command> {
    let npm = directory()?.join("npm");
    let mut command = Command::new("node");
    command.env("BYTEHAUL_NPM", npm);
    Some(command)
}

/// A program that a package of PyPI brought, such as `rclone` or `weed`.
///
/// # Panics
/// As [`python`].
#[must_use]
pub fn client(name: &str) -> Option<Command> {
    let program = directory()?.join("venv").join("bin").join(name);
    Some(Command::new(program))
}

/// A file of an npm package.
pub(super) fn npm(file: &str) -> Option<PathBuf> {
    Some(directory()?.join("npm").join("node_modules").join(file))
}

/// A script of `servers/`.
pub(super) fn script(name: &str) -> PathBuf {
    Path::new(LISTS).join(name)
}

/// Where all is installed, if it is.
fn directory() -> Option<PathBuf> {
    let place = place::directory(Path::new(LISTS)).ok();
    let place = place.filter(|place| place.join(place::COMPLETE).is_file());
    if place.is_none() {
        let said = "the servers for tests are not installed: `cargo xtask servers` installs them";
        assert!(env::var_os("CI").is_none(), "{said}, and this is CI");
        eprintln!("skipped: {said}");
    }
    place
}

const LISTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/servers");
