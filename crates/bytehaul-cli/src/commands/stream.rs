//! `get -o -`: the bytes to stdout, in order.

use std::convert::Infallible;
use std::io;
use std::time::Instant;

use bytehaul::{DownloadError, DownloadHandle, DownloadStream, Downloader};
use tokio::io::{AsyncWriteExt, Stdout};

use crate::commands::{tick, ticks};
use crate::exit::Exit;
use crate::failure::{Failure, Kept};
use crate::job::Job;
use crate::output::human::{Bytes, Time, mean_rate};
use crate::output::{File, Output, to_stderr};
use crate::signals::Signals;

/// Why the bytes stopped coming out.
#[derive(Debug)]
enum Stop {
    /// The download failed.
    Download(DownloadError),
    /// The reader of stdout went away, as `head` does when it has seen enough.
    ReaderGone,
    /// Stdout cannot be written to.
    Stdout(io::Error),
    /// A signal.
    Signal,
}

/// Streams one file.
pub(super) async fn run(
    downloader: &Downloader,
    job: Job,
    mut output: Output,
    signals: &mut Signals,
) -> Exit {
    let file = File {
        number: 0,
        url: &job.url,
    };
    let began = Instant::now();
    output.started(file);
    let is_provided = job.is_provided();
    let stream = downloader.stream(job.spec);
    let handle = stream.handle().clone();
    let result = tokio::select! {
        result = copy(stream) => result,
        never = show(file, &handle, &mut output) => match never {},
        () = signals.asked() => Err(Stop::Signal),
    };
    output.end();
    match result {
        Ok(bytes) => {
            let (time, size) = (began.elapsed(), Bytes(bytes));
            output.note(&format!(
                "{}: {size} in {} ({}/s)",
                job.url,
                Time(time),
                mean_rate(bytes, time)
            ));
            Exit::Complete
        }
        Err(Stop::Download(error)) => {
            let mut failure = Failure::new(&job.url, &error, Kept::Nothing);
            if is_provided {
                failure = failure.of_provider();
            }
            output.failed(file, &failure);
            failure.exit
        }
        Err(Stop::ReaderGone) => Exit::Other,
        Err(Stop::Stdout(error)) => {
            to_stderr(format_args!(
                "bytehaul: {}: write to stdout: {error}",
                job.url
            ));
            Exit::Local
        }
        Err(Stop::Signal) => {
            to_stderr(
                "bytehaul: interrupted: what went to stdout is not kept, and the same command begins again",
            );
            Exit::Interrupted
        }
    }
}

/// Copies to stdout, and says how much it was.
async fn copy(mut stream: DownloadStream) -> Result<u64, Stop> {
    let mut stdout = tokio::io::stdout();
    let mut bytes = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                // What arrived in order goes out before the failure is told.
                flush(&mut stdout).await?;
                return Err(Stop::Download(error));
            }
        };
        stdout.write_all(&chunk).await.map_err(stdout_failed)?;
        bytes += chunk.len() as u64;
    }
    flush(&mut stdout).await?;
    Ok(bytes)
}

async fn flush(stdout: &mut Stdout) -> Result<(), Stop> {
    stdout.flush().await.map_err(stdout_failed)
}

fn stdout_failed(error: io::Error) -> Stop {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Stop::ReaderGone
    } else {
        Stop::Stdout(error)
    }
}

/// Shows progress for as long as it is polled.
async fn show(file: File<'_>, handle: &DownloadHandle, output: &mut Output) -> Infallible {
    let mut ticks = output.period().map(ticks);
    loop {
        tick(&mut ticks).await;
        output.progress(file, &handle.progress());
        output.totals();
    }
}
