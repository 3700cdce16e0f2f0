//! From the arguments of `put` to one upload.

use std::path::Path;
use std::sync::Arc;

use bytehaul::protocol::UploadProtocol;
use bytehaul::{
    Refresh, UploadError, UploadLedger, UploadReader, UploadSource, UploadSpec, Uploader,
    UploaderBuilder,
};

use crate::args::PutArgs;
use crate::failure;
use crate::job::{checksum, headers, protocol, token};
use crate::network;
use crate::refresh;
use crate::usage::UsageError;
use crate::values::{Connections, Pair};

/// All that a `put` is to do.
#[derive(Debug)]
pub(crate) struct PutPlan {
    pub(crate) uploader: UploaderBuilder,
    pub(crate) spec: UploadSpec,
    /// Where it goes, as it may be shown.
    pub(crate) url: String,
    /// What is uploaded, as it may be shown.
    pub(crate) source: String,
    /// Name of the file alone, for bars and lines.
    pub(crate) name: String,
    pub(crate) ledger: UploadLedger,
    pub(crate) stop: OnSignal,
}

/// What a signal does to an upload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnSignal {
    /// The next run goes on.
    Pause,
    /// No other run can go on, because what stdin gave is gone: what was staged is discarded.
    Discard,
}

/// Turns the arguments of `put` into a plan. `variable` reads the environment.
pub(crate) fn resolve(
    args: PutArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<PutPlan, UsageError> {
    let protocol = protocol::of(&args, &variable)?;
    let url = protocol::shown(&*protocol);
    let ledger = ledger(args.state_dir.as_deref())?;
    let is_stdin = args.file == Path::new("-");
    if is_stdin {
        check_stream(&args, &*protocol)?;
    }
    let source = match is_stdin {
        true => UploadSource::Reader(UploadReader::new(tokio::io::stdin())),
        false => UploadSource::File(args.file.clone()),
    };
    let mut spec = UploadSpec::new(source, Arc::clone(&protocol));
    spec.name = args.name.clone().or(is_stdin.then(|| STDIN.to_owned()));
    spec.content_type = args.content_type.clone();
    spec.metadata = args
        .metadata
        .iter()
        .map(|Pair(name, value)| (name.clone(), value.clone()))
        .collect();
    spec.part_size = args.part_size.map_or(0, |size| size.0);
    spec.max_connections = match args.connections {
        Connections::Auto => 0,
        Connections::AtMost(limit) => limit.get(),
    };
    spec.max_retries = args.transfer.retries;
    spec.max_begin_retries = args.transfer.retries;
    spec.retry_base_delay = args.transfer.retry_delay.0;
    spec.max_retry_after = args.transfer.max_retry_after.0;
    spec.checksum = args
        .transfer
        .checksum
        .as_deref()
        .map(checksum)
        .transpose()?;
    spec.headers = headers(&args.network)?;
    spec.auth = token(&variable)?;
    spec.checkpoints = ledger.place();
    spec.keep_completed = !is_stdin;
    spec.resume = !args.no_resume;
    spec.refresher = refresher(&args, &url);
    spec.validate().map_err(refused)?;
    let uploader = Uploader::builder().network(network::settings(&args.network)?);
    let rate = args.transfer.limit_rate.map_or(0, |rate| rate.0);
    Ok(PutPlan {
        uploader: uploader.max_upload_speed(rate),
        name: name(&args.file, spec.name.as_deref()),
        source: match is_stdin {
            true => STDIN.to_owned(),
            false => args.file.display().to_string(),
        },
        spec,
        url,
        ledger,
        stop: match is_stdin {
            true => OnSignal::Discard,
            false => OnSignal::Pause,
        },
    })
}

/// Where uploads are remembered.
pub(crate) fn ledger(state_dir: Option<&Path>) -> Result<UploadLedger, UsageError> {
    let ledger = match state_dir {
        Some(state) => Some(UploadLedger::below(state)),
        None => UploadLedger::of_user(),
    };
    ledger.ok_or_else(|| {
        UsageError::new("there is no directory to remember uploads in, because HOME is not set")
            .hint("name one with --state-dir or BYTEHAUL_STATE_DIR")
    })
}

fn check_stream(args: &PutArgs, protocol: &dyn UploadProtocol) -> Result<(), UsageError> {
    if protocol.capabilities().unknown_length {
        return Ok(());
    }
    let with = match (args.content_digest, args.put_ranges) {
        (Some(_), _) => " with --content-digest",
        (None, true) => " with --put-ranges",
        (None, false) => "",
    };
    let what = format!(
        "{} uploads{with} need to know the length before they begin, which stdin does not tell",
        protocol.name()
    );
    Err(UsageError::new(what)
        .hint("--protocol tus, tus-draft and put take stdin, and so do s3://, az:// and oss://; or write it to a file first"))
}

/// For presigned uploads the protocol itself has one.
fn refresher(args: &PutArgs, url: &str) -> Option<Arc<dyn Refresh>> {
    let program = args
        .refresh_command
        .clone()
        .filter(|_| args.plan.is_none())?;
    let url = args.url.clone().unwrap_or_else(|| url.to_owned());
    Some(refresh::command(program, url))
}

fn name(file: &Path, told: Option<&str>) -> String {
    // What has no name of its own, such as `..`, is no file either, which is told when it is opened.
    let own = file.file_name().unwrap_or(file.as_os_str());
    match Some(own).filter(|_| file != Path::new("-")) {
        Some(own) => own.to_string_lossy().into_owned(),
        None => told.unwrap_or(STDIN).to_owned(),
    }
}

fn refused(error: UploadError) -> UsageError {
    UsageError::new(failure::chain(&error))
}

/// What stdin is called where nothing else is said.
const STDIN: &str = "stdin";
