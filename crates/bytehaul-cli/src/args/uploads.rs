//! What `uploads` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::{DisplayArgs, NetworkArgs};
use crate::values::Span;

#[derive(Subcommand, Debug)]
pub(crate) enum UploadsCommand {
    /// List the uploads that were begun on this machine
    List(Box<ListArgs>),
    /// Discard what uploads have staged at their servers, and forget them
    Abort(Box<AbortArgs>),
}

/// What `uploads list` takes.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// JSON lines, one upload a line
    #[arg(long)]
    pub(crate) json: bool,

    /// Where uploads are remembered [default: BYTEHAUL_STATE_DIR, then the user's directory for state]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Ask a provider what it has of uploads, whoever began them: s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or oss://BUCKET/PREFIX
    #[arg(long, value_name = "URL", conflicts_with = "state_dir")]
    pub(crate) provider: Option<String>,

    /// Of a provider, those that were begun so long ago
    #[arg(long, value_name = "DUR", requires = "provider")]
    pub(crate) older_than: Option<Span>,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// What `uploads abort` takes.
#[derive(Args, Debug)]
pub(crate) struct AbortArgs {
    /// Ids as `uploads list` shows them
    #[arg(value_name = "ID", required_unless_present_any = ["all", "older_than"])]
    pub(crate) ids: Vec<String>,

    /// All that are not in use
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,

    /// Those that nothing has happened to for so long
    #[arg(long, value_name = "DUR", conflicts_with = "ids")]
    pub(crate) older_than: Option<Span>,

    /// Discard what a provider has of uploads, whoever began them, by the ids that `uploads list --provider` shows or by their age
    #[arg(long, value_name = "URL", conflicts_with_all = ["forget", "plan", "state_dir"])]
    pub(crate) provider: Option<String>,

    /// Only forget them: send nothing, and leave at the server what is staged there
    #[arg(long)]
    pub(crate) forget: bool,

    /// The plan of a presigned upload, `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,

    /// Where uploads are remembered [default: BYTEHAUL_STATE_DIR, then the user's directory for state]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,

    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}
