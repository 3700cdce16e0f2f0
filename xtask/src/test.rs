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

/// The same steps, as part of `cargo xtask ci`.
pub(crate) fn steps_of(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    steps.task("servers for tests", || servers::before_tests(workspace))?;
    let mut command = workspace.cargo();
    if is_installed("cargo-nextest", "--version") {
        command.args(["nextest", "run", "--workspace", "--all-features"]);
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
