//! What `queue` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::{DisplayArgs, GetArgs, NetworkArgs, PutArgs};
use crate::values::Rate;

#[derive(Subcommand, Debug)]
pub(crate) enum QueueCommand {
    /// Remember downloads or an upload
    Add(AddArgs),
    /// List what is remembered
    List(ListArgs),
    /// Stop tasks, running ones too, and keep what they have
    Pause(TasksArgs),
    /// Let paused tasks go on
    Resume(TasksArgs),
    /// Give tasks up, and discard what uploads have staged
    Cancel(TasksArgs),
    /// Forget the tasks that have ended
    Clear(StateArgs),
    /// Run the tasks until none waits any more
    Run(Box<RunArgs>),
}

/// What `queue add` takes.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    #[command(subcommand)]
    pub(crate) what: AddCommand,

    /// Add it paused
    #[arg(long)]
    pub(crate) paused: bool,

    /// The highest starts first
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        allow_negative_numbers = true
    )]
    pub(crate) priority: i32,

    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Subcommand, Debug)]
pub(crate) enum AddCommand {
    /// Downloads, with the options of `get`
    Get(Box<GetArgs>),
    /// An upload, with the options of `put`
    Put(Box<PutArgs>),
}

/// What `queue list` takes.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// JSON lines, one task a line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// Some tasks.
#[derive(Args, Debug)]
pub(crate) struct TasksArgs {
    /// Numbers as `queue list` shows them
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<String>,

    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// What `queue run` takes.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Downloads at a time, and uploads as well
    #[arg(short, long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,

    /// Downloads at a time, in place of --jobs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) downloads: Option<u16>,

    /// Uploads at a time, in place of --jobs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) uploads: Option<u16>,

    /// Bytes a second over all downloads, and over all uploads as well [default: none]
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_rate: Option<Rate>,

    #[command(flatten)]
    pub(crate) state: StateArgs,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,

    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

/// Where the queue is.
#[derive(Args, Debug)]
pub(crate) struct StateArgs {
    /// Where the queue is kept [default: BYTEHAUL_STATE_DIR, then the user's directory for state]
    #[arg(long = "state-dir", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}
