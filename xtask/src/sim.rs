//! `cargo xtask sim`: the table of the virtual-time network.

use crate::step::{PassedOn, execute};
use crate::workspace::{Failure, Workspace};

pub(crate) fn run(workspace: &Workspace, passed_on: &PassedOn) -> Result<(), Failure> {
    let mut command = workspace.cargo();
    command.args([
        "run",
        "-q",
        "--release",
        "-p",
        "bytehaul-testkit",
        "--example",
        "sim",
        "--",
    ]);
    execute(command.args(&passed_on.arguments))
}
