//! `cargo xtask test`: which runner runs which tests.

use crate::servers;
use crate::step::Steps;
use crate::workspace::{Failure, Workspace, is_installed};

pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let mut steps = Steps::new();
    steps_of(workspace, &mut steps)?;
    steps.summary();
    Ok(())
}

/// Half as many again as there are cores: much of a test's time goes by while it waits, for a server, a kill or a pause.
fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores + cores.div_ceil(2)
}

/// The same steps, as part of `cargo xtask ci`.
pub(crate) fn steps_of(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    steps.task("servers for tests", || servers::before_tests(workspace))?;
    let mut command = workspace.cargo();
    if is_installed("cargo-nextest", "--version") {
        command.args(["nextest", "run", "--workspace", "--all-features"]);
        command.arg(format!("--test-threads={}", threads()));
    } else {
        command.args([
            "test",
            "--workspace",
            "--all-features",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
        ]);
    }
    steps.command("tests", &mut command)?;
    let mut command = workspace.cargo();
    steps.command(
        "documentation tests",
        command.args(["test", "--workspace", "--all-features", "--doc"]),
    )
}
