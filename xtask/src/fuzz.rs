//! `cargo xtask fuzz`: how the targets are instrumented without a nightly compiler, and run one after the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::execute;
use crate::workspace::{Failure, Workspace};

/// What to fuzz, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Targets by name. Default: all.
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
}

/// Builds with libFuzzer (this needs a C++ compiler) and runs each target until its time is over or it finds something.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), Failure> {
    let all = targets(workspace)?;
    let chosen = if arguments.targets.is_empty() {
        &all
    } else {
        &arguments.targets
    };
    if let Some(unknown) = chosen.iter().find(|name| !all.contains(name)) {
        return Err(format!(
            "no fuzz target `{unknown}`; there are {}",
            all.join(", ")
        ));
    }
    let host = host()?;
    let target_dir = target_dir(workspace)?.join("fuzz");
    let mut build = workspace.cargo();
    build.args([
        "build",
        "-q",
        "--release",
        "--bins",
        "--manifest-path",
        MANIFEST,
        "--target",
        &host,
    ]);
    // A target is named so that these flags are not for build scripts and macros as well.
    build
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("RUSTFLAGS", INSTRUMENTED.join(" "));
    execute(&mut build)?;
    let programs = target_dir.join(host).join("release");
    chosen
        .iter()
        .try_for_each(|name| fuzz(workspace, &programs, name, arguments.seconds))
}

/// Runs the targets on their seeds and on damaged ones, without instrumentation.
pub(crate) fn seeds(workspace: &Workspace) -> Result<(), Failure> {
    let mut command = workspace.cargo();
    command.args(["test", "-q", "--all-targets", "--manifest-path", MANIFEST]);
    execute(command.env("CARGO_TARGET_DIR", target_dir(workspace)?))
}

fn fuzz(workspace: &Workspace, programs: &Path, name: &str, seconds: u32) -> Result<(), Failure> {
    let dir = workspace.root().join("fuzz");
    let (corpus, artifacts) = (
        dir.join("corpus").join(name),
        dir.join("artifacts").join(name),
    );
    for dir in [&corpus, &artifacts] {
        fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    println!("── {name}, {seconds} s");
    let mut command = Command::new(programs.join(name));
    command.arg(&corpus).arg(dir.join("seeds").join(name));
    command.arg(format!("-max_total_time={seconds}")).args([
        "-timeout=10",
        "-verbosity=0",
        "-print_final_stats=1",
    ]);
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    execute(&mut command)
}

fn targets(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let dir = workspace.root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<PathBuf>, _>>();
    let paths = paths.map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut names: Vec<_> = paths
        .iter()
        .filter_map(|path| path.file_stem())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

fn target_dir(workspace: &Workspace) -> Result<PathBuf, Failure> {
    Ok(workspace.metadata()?.target_directory.into_std_path_buf())
}

fn host() -> Result<String, Failure> {
    let said = Command::new("rustc")
        .arg("-vV")
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "rustc does not say its host".to_owned())
}

const MANIFEST: &str = "fuzz/Cargo.toml";
/// What cargo-fuzz passes, without the sanitizer, which only a nightly compiler has.
const INSTRUMENTED: [&str; 8] = [
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cforce-frame-pointers=yes",
];
