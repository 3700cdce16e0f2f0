//! The commands of `cargo xtask`: one file each, and nothing but the choice between them here.

#![forbid(unsafe_code)]

mod audit;
mod bench;
mod ci;
mod fuzz;
mod servers;
mod sim;
mod step;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

fn main() -> ExitCode {
    let outcome = Workspace::find().and_then(|workspace| match Arguments::parse().command {
        Command::Ci => ci::run(&workspace),
        Command::Test => test::run(&workspace),
        Command::Tidy => tidy::run(&workspace),
        Command::Audit => audit::run(&workspace),
        Command::Fuzz(arguments) => fuzz::run(&workspace, &arguments),
        Command::Servers => servers::run(&workspace),
        Command::Sim(arguments) => sim::run(&workspace, &arguments),
        Command::Bench(arguments) => bench::run(&workspace, &arguments),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The project's own tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that must hold before a change goes in.
    Ci,
    /// All tests: unit, property, integration and documentation.
    Test,
    /// Layers, file openings and sizes, the top level, README pages, links.
    Tidy,
    /// Licences, duplicate dependencies and sources of all dependencies.
    Audit,
    /// Fuzzes the targets of `fuzz/`, by an instrumented build with the installed compiler.
    Fuzz(fuzz::Arguments),
    /// Installs the servers of npm and PyPI that the tests of uploads start.
    Servers,
    /// The scheduler in the virtual-time network: finishing times against the best possible.
    Sim(step::PassedOn),
    /// The measured comparison with curl, aria2 and the limit program on a real nginx.
    Bench(step::PassedOn),
}
