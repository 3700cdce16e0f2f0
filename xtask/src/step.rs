//! How one step of a task is run, timed and reported.

use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::workspace::Failure;

/// The steps of a task so far, with their times.
#[derive(Debug)]
pub(crate) struct Steps {
    began: Instant,
    done: Vec<(String, Duration)>,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            done: Vec::new(),
        }
    }

    /// Runs a command as a step; its output goes through.
    pub(crate) fn command(&mut self, name: &str, command: &mut Command) -> Result<(), Failure> {
        self.task(name, || execute(command))
    }

    /// Runs anything as a step.
    pub(crate) fn task(
        &mut self,
        name: &str,
        task: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        println!("── {name}");
        let began = Instant::now();
        let outcome = task();
        let took = began.elapsed();
        match outcome {
            Ok(()) => {
                println!("── {name}: ok, {:.1} s\n", took.as_secs_f64());
                self.done.push((name.to_owned(), took));
                Ok(())
            }
            Err(failure) => Err(format!(
                "stopped at `{name}` after {:.1} s: {failure}",
                took.as_secs_f64()
            )),
        }
    }

    /// Prints where the time went.
    pub(crate) fn summary(&self) {
        for (name, took) in &self.done {
            println!("{:>8.1} s  {name}", took.as_secs_f64());
        }
        println!("{:>8.1} s  in all", self.began.elapsed().as_secs_f64());
    }
}

/// Runs a command with its output going through.
pub(crate) fn execute(command: &mut Command) -> Result<(), Failure> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{} ended with {status}", written(command))),
        Err(error) => Err(format!("{}: {error}", written(command))),
    }
}

/// Arguments that go on to the program behind a task.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct PassedOn {
    /// Passed on; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

fn written(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}
