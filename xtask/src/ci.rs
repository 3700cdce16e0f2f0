//! `cargo xtask ci`: the gate, from the quick checks to the slow ones.

use crate::step::Steps;
use crate::workspace::{Failure, Workspace, libraries};
use crate::{audit, fuzz, test, tidy};

pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let mut steps = Steps::new();
    steps.command(
        "format",
        workspace.cargo().args(["fmt", "--all", "--check"]),
    )?;
    steps.task("tidy", || tidy::run(workspace))?;
    steps.task("audit", || audit::run(workspace))?;
    // All targets: the examples and benches have to compile as well.
    let all = ["clippy", "--workspace", "--all-targets", "--all-features"];
    steps.command(
        "clippy, all features",
        workspace.cargo().args(all).args(STRICT),
    )?;
    each_crate_alone(workspace, &mut steps)?;
    test::steps_of(workspace, &mut steps)?;
    steps.task("fuzz targets on their seeds", || fuzz::seeds(workspace))?;
    let mut docs = workspace.cargo();
    docs.args(["doc", "--workspace", "--no-deps", "--all-features"])
        .env("RUSTDOCFLAGS", "-D warnings");
    steps.command("documentation", &mut docs)?;
    steps.summary();
    Ok(())
}

/// Features of one crate must not be what lets another one compile.
fn each_crate_alone(workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    for package in libraries(&workspace.metadata()?) {
        let name = package.name.as_str();
        let alone = ["clippy", "-q", "-p", name];
        steps.command(
            &format!("clippy, {name} alone"),
            workspace.cargo().args(alone).args(STRICT),
        )?;
        steps.command(
            &format!("clippy, {name} alone, no features"),
            workspace
                .cargo()
                .args(alone)
                .arg("--no-default-features")
                .args(STRICT),
        )?;
    }
    Ok(())
}

const STRICT: [&str; 3] = ["--", "-D", "warnings"];
