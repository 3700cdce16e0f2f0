//! The `bytehaul` command: arguments in, one exit status out; the transfers themselves are the library's.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod exit;
mod failure;
mod input;
mod job;
mod logging;
mod metalink;
mod network;
mod output;
mod panics;
mod refresh;
mod signals;
mod usage;
mod values;

use std::future::Future;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{
    AbortArgs, Cli, Command, DisplayArgs, GetArgs, ListArgs, NetworkArgs, PresignArgs, PutArgs,
    UploadsCommand,
};
#[cfg(feature = "queue")]
use crate::args::{QueueCommand, RunArgs};
use crate::commands::uploads::provider::{Deed, Which};
use crate::exit::Exit;
use crate::output::{Output, to_stderr};
use crate::signals::Signals;

fn main() -> ExitCode {
    panics::install();
    std::panic::catch_unwind(run).unwrap_or(Exit::Other).into()
}

fn run() -> Exit {
    match Cli::try_parse().map(|cli| cli.command) {
        Ok(Command::Get(args)) => get(*args),
        Ok(Command::Put(args)) => put(*args),
        Ok(Command::Presign(args)) => presign(&args),
        Ok(Command::Uploads(UploadsCommand::List(args))) => list(&args),
        Ok(Command::Uploads(UploadsCommand::Abort(args))) => abort(*args),
        #[cfg(feature = "queue")]
        Ok(Command::Queue(QueueCommand::Run(args))) => queue(*args),
        #[cfg(feature = "queue")]
        Ok(Command::Queue(command)) => commands::queue::change(command),
        #[cfg(feature = "demo")]
        Ok(Command::Demo(args)) => {
            with_runtime(|signals| commands::demo::run(args.size.0, signals))
        }
        Err(error) => usage::report(&error, typed()),
    }
}

fn get(args: GetArgs) -> Exit {
    logging::install(args.display.verbose);
    let display = args.display;
    let plan = match job::resolve(args, variable) {
        Ok(plan) => plan,
        Err(error) => return error.report(),
    };
    match output(&display, plan.jobs.len()) {
        Ok(output) => with_runtime(|signals| commands::get::run(plan, output, signals)),
        Err(exit) => exit,
    }
}

fn put(args: PutArgs) -> Exit {
    logging::install(args.display.verbose);
    let display = args.display;
    let plan = match job::put::resolve(args, variable) {
        Ok(plan) => plan,
        Err(error) => return error.report(),
    };
    match output(&display, 1) {
        Ok(output) => with_runtime(|signals| commands::put::run(plan, output, signals)),
        Err(exit) => exit,
    }
}

fn presign(args: &PresignArgs) -> Exit {
    logging::install(args.display.verbose);
    match commands::presign::resolve(args, variable) {
        Ok(signing) => with_runtime(|signals| commands::presign::run(signing, signals)),
        Err(error) => error.report(),
    }
}

fn list(args: &ListArgs) -> Exit {
    let Some(url) = &args.provider else {
        return commands::uploads::list::run(args);
    };
    let which = match args.older_than {
        Some(span) => Which::OlderThan(span.0),
        None => Which::All,
    };
    ask(url, which, Deed::List, (&args.network, args.json))
}

fn ask(url: &str, which: Which, deed: Deed, how: (&NetworkArgs, bool)) -> Exit {
    match commands::uploads::provider::resolve(url, which, deed, how, variable) {
        Ok(asking) => with_runtime(|signals| commands::uploads::provider::run(asking, signals)),
        Err(error) => error.report(),
    }
}

fn abort(args: AbortArgs) -> Exit {
    logging::install(args.display.verbose);
    if let Some(url) = &args.provider {
        let which = match args.older_than {
            Some(span) => Which::OlderThan(span.0),
            None if args.all => Which::All,
            None => Which::Named(args.ids),
        };
        return ask(url, which, Deed::Abort, (&args.network, args.display.json));
    }
    match commands::uploads::abort::resolve(args, variable) {
        Ok(plan) => with_runtime(|signals| commands::uploads::abort::run(plan, signals)),
        Err(error) => error.report(),
    }
}

#[cfg(feature = "queue")]
fn queue(args: RunArgs) -> Exit {
    logging::install(args.display.verbose);
    match commands::queue::run::resolve(args, variable) {
        Ok(plan) => with_runtime(|signals| commands::queue::run::run(plan, signals)),
        Err(exit) => exit,
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The words of the command line.
fn typed() -> impl Iterator<Item = String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned())
}

fn output(display: &DisplayArgs, files: usize) -> Result<Output, Exit> {
    Output::choose(display, files).map_err(|error| {
        to_stderr(format_args!(
            "bytehaul: start the writer of events: {error}"
        ));
        Exit::Other
    })
}

fn with_runtime<F: Future<Output = Exit>>(command: impl FnOnce(Signals) -> F) -> Exit {
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            to_stderr(format_args!("bytehaul: listen for signals: {error}"));
            return Exit::Other;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            to_stderr(format_args!("bytehaul: start the runtime: {error}"));
            return Exit::Other;
        }
    };
    let exit = runtime.block_on(command(signals));
    // A write to a pipe that nobody reads would keep a runtime that is dropped from ending.
    runtime.shutdown_background();
    exit
}

/// Threads that carry sockets and decisions; disk writes have threads of their own.
const WORKERS: usize = 2;
