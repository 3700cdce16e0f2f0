//! `cargo xtask servers`: installs the packages of npm and PyPI that the tests of uploads start, once for each state of their lists.

#[path = "../../crates/bytehaul-testkit/src/uploads/place.rs"]
mod place;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::step::execute;
use crate::workspace::{Failure, Workspace, is_installed};

/// Installs what is missing, and says where it is.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let lists = workspace.root().join(LISTS);
    let directory =
        place::directory(&lists).map_err(|error| format!("{}: {error}", lists.display()))?;
    if !is_complete(&directory) {
        tools()?;
        install(&lists, &directory)?;
    }
    println!("{}", directory.display());
    Ok(())
}

/// The same before the tests: outside of CI they do without what cannot be installed.
pub(crate) fn before_tests(workspace: &Workspace) -> Result<(), Failure> {
    match run(workspace) {
        Err(failure) if std::env::var_os("CI").is_none() => {
            println!("warning: the tests that need real upload servers are left out: {failure}");
            Ok(())
        }
        outcome => outcome,
    }
}

fn is_complete(directory: &Path) -> bool {
    directory.join(place::COMPLETE).is_file()
}

fn tools() -> Result<(), Failure> {
    if !is_installed("python3", "-V") {
        return Err(missing("python3"));
    }
    let venv = Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .stderr(Stdio::null())
        .status();
    if !venv.is_ok_and(|status| status.success()) {
        return Err(missing("python3-venv"));
    }
    if !is_installed("npm", "--version") {
        return Err(missing("npm"));
    }
    let node = Command::new("node").arg("--version").output();
    let version = node.map_err(|_| missing("nodejs"))?.stdout;
    let version = String::from_utf8_lossy(&version).trim().to_owned();
    match major(&version) {
        Some(major) if major >= OLDEST_NODE => Ok(()),
        _ => Err(format!(
            "node is {version}, {OLDEST_NODE} or newer is needed"
        )),
    }
}

fn missing(package: &str) -> Failure {
    format!("{package} is not installed (Debian's name); `bash .ci/run` installs it")
}

fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn install(lists: &Path, directory: &Path) -> Result<(), Failure> {
    let failed = |error| format!("{}: {error}", directory.display());
    let base = directory.parent().unwrap_or(directory);
    fs::create_dir_all(base).map_err(failed)?;
    // Whoever comes second waits, and then finds everything there. The lock ends with the file, or with the process.
    let lock = File::create(directory.with_extension("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    if is_complete(directory) {
        return Ok(());
    }
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(failed)?;
    }
    let npm = directory.join("npm");
    fs::create_dir_all(&npm).map_err(failed)?;
    for list in place::LISTS {
        let place = if list.ends_with(".json") {
            &npm
        } else {
            directory
        };
        fs::copy(lists.join(list), place.join(list)).map_err(failed)?;
    }
    thread::scope(|scope| {
        let node = scope.spawn(|| execute(&mut npm_ci(&npm)));
        let python = scope.spawn(|| python(directory));
        let outcome = |joined: thread::Result<_>| joined.expect("an installation does not panic");
        outcome(node.join()).and(outcome(python.join()))
    })?;
    fs::write(directory.join(place::COMPLETE), "").map_err(failed)
}

/// Scripts of packages do not run: none that is needed has one that is.
fn npm_ci(npm: &Path) -> Command {
    let mut command = Command::new("npm");
    command
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .args(["--loglevel", "error"])
        .current_dir(npm)
        .stdin(Stdio::null());
    command
}

fn python(directory: &Path) -> Result<(), Failure> {
    let venv: PathBuf = directory.join("venv");
    execute(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(&venv)
            .stdin(Stdio::null()),
    )?;
    execute(
        Command::new(venv.join("bin").join("python"))
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check", "--only-binary", ":all:"])
            .args(["--requirement", "requirements.txt"])
            .current_dir(directory)
            .stdin(Stdio::null()),
    )
}

const LISTS: &str = "crates/bytehaul-testkit/servers";
/// What the tus server asks for.
const OLDEST_NODE: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node() {
        let check = |version: &str, expected| assert_eq!(major(version), expected, "{version}");
        check("v20.20.2", Some(20));
        check("v8.1.0", Some(8));
        check("20.1.0", None);
        check("", None);
    }

    #[test]
    fn an_installation_is_there_when_its_last_file_is() {
        let dir = std::env::temp_dir().join(format!("bytehaul-xtask-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert!(!is_complete(&dir));
        fs::write(dir.join(place::COMPLETE), "").unwrap();
        assert!(is_complete(&dir));
        fs::remove_dir_all(&dir).unwrap();
    }
}
