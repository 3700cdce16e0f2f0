//! The measured comparison: which scenarios there are, and how rounds of them become a table.
//!
//! `cargo xtask bench` builds what it needs and starts it.

mod contender;
mod files;
mod provider;
mod round;
mod scenario;
mod table;
mod upload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::files::Files;
use crate::scenario::Scenario;

/// Compares `bytehaul` with curl, aria2 and the physical limit, on a real nginx and on emulated slow paths.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// What to measure; repeatable. Default: all.
    #[arg(long, value_enum)]
    scenario: Vec<Scenario>,
    /// Rounds that count, after one that does not.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Size of the large file in MiB.
    #[arg(long, default_value_t = 1024)]
    size: u64,
    /// Where the outputs go (and the sources beside them). Default: `bench/out` in the target directory.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Only these programs, by the start of their names; repeatable. Default: all that are installed.
    #[arg(long)]
    only: Vec<String>,
}

/// Comparisons of another kind.
#[derive(Debug, Subcommand)]
enum Other {
    /// Compares uploads: with tus-js-client, boto3, the AWS CRT, rclone and curl, to real servers.
    Upload(upload::Arguments),
    /// Compares objects of S3, Azure Blob and Aliyun OSS, up and down: with the official SDKs and rclone.
    Provider(provider::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.other {
        Some(Other::Upload(arguments)) => upload::run(arguments),
        Some(Other::Provider(arguments)) => provider::run(arguments),
        None => run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let files = Files::prepare(arguments.dir.clone(), arguments.size << 20)?;
    let all = Scenario::all();
    let scenarios = if arguments.scenario.is_empty() {
        &all
    } else {
        &arguments.scenario
    };
    for scenario in scenarios {
        let stage = scenario.stage(&files)?;
        let (mut contenders, missing) = contender::installed(scenario.contenders());
        if !arguments.only.is_empty() {
            contenders.retain(|one| {
                arguments
                    .only
                    .iter()
                    .any(|name| one.name().starts_with(name.as_str()))
            });
        }
        println!("\n## {}\n", stage.title);
        if !missing.is_empty() {
            println!("Not installed, left out: {}.\n", missing.join(", "));
        }
        let rounds = round::all(&contenders, &stage, &files, arguments.rounds)?;
        print!("{}", table::of(&rounds, stage.ideal));
    }
    Ok(())
}
