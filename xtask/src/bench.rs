//! `cargo xtask bench`: builds what is compared, then starts the comparison; `bench upload` is that of uploads, `bench provider` that of S3, Azure Blob and OSS.

use crate::step::{PassedOn, execute};
use crate::workspace::{Failure, Workspace};

pub(crate) fn run(workspace: &Workspace, passed_on: &PassedOn) -> Result<(), Failure> {
    execute(
        workspace
            .cargo()
            .args(["build", "-q", "--release", "-p", "bytehaul-cli"]),
    )?;
    execute(workspace.cargo().args([
        "build",
        "-q",
        "--release",
        "-p",
        "bytehaul-testkit",
        "--example",
        "limit",
    ]))?;
    let mut command = workspace.cargo();
    command.args([
        "run",
        "-q",
        "--release",
        "-p",
        "bytehaul-testkit",
        "--example",
        "bench",
        "--",
    ]);
    execute(command.args(&passed_on.arguments))
}
