//! `put`: keeps an upload running, shows it, and stops it when a signal asks for it.

use std::time::{Duration, SystemTime};

use bytehaul::{UploadError, UploadHandle, UploadLedger, UploadOutcome};

use crate::commands::{tick, ticks, written};
use crate::exit::Exit;
use crate::failure::{self, Access, Circumstances, Failure, Kept};
use crate::job::put::{OnSignal, PutPlan};
use crate::output::upload::{Left, Upload};
use crate::output::{Output, to_stderr};
use crate::signals::Signals;

/// Carries out a plan.
pub(crate) async fn run(plan: PutPlan, mut output: Output, mut signals: Signals) -> Exit {
    let uploader = match plan.uploader.build() {
        Ok(uploader) => uploader,
        Err(error) => {
            to_stderr(format_args!("bytehaul: {}", failure::chain(&error)));
            return error.kind().into();
        }
    };
    let upload = Upload {
        url: &plan.url,
        source: &plan.source,
        name: &plan.name,
    };
    let access = Access::of(&*plan.spec.protocol);
    let is_resumable = plan.spec.protocol.capabilities().resumable;
    output.upload_started(upload);
    let handle = uploader.upload(plan.spec);
    let result = ended(upload, &handle, plan.stop, &mut output, &mut signals).await;
    output.end();
    let exit = match &result {
        Ok(outcome) => {
            output.uploaded(upload, outcome);
            Exit::Complete
        }
        Err(error) => {
            let durable = handle.progress().durable;
            let of = Circumstances {
                kept: match durable {
                    0 => Kept::Nothing,
                    _ => Kept::Something,
                },
                stop: plan.stop,
                is_resumable,
                access,
            };
            let failure = Failure::upload(upload.url, error, of);
            tell(upload, error, &failure, durable, &mut output);
            failure.exit
        }
    };
    tidy_up(plan.ledger).await;
    match written(&mut output, &mut signals).await {
        Ok(()) => exit,
        // The interruption has been told of.
        Err(_) if exit == Exit::Interrupted => exit,
        Err(_) => {
            to_stderr(
                "bytehaul: interrupted: the upload had ended, but nobody read the last events",
            );
            Exit::Interrupted
        }
    }
}

/// Shows the upload until its end, which a signal brings about. A second signal ends the process meanwhile.
async fn ended(
    upload: Upload<'_>,
    handle: &UploadHandle,
    stop: OnSignal,
    output: &mut Output,
    signals: &mut Signals,
) -> Result<UploadOutcome, UploadError> {
    let mut clock = output.period().map(ticks);
    loop {
        tokio::select! {
            ended = handle.wait() => return ended,
            () = tick(&mut clock) => {
                output.upload_progress(upload, &handle.progress());
                output.totals();
            }
            () = signals.asked() => break,
        }
    }
    // Now, because a sudden end would leave the bars where they are.
    output.end();
    match stop {
        OnSignal::Pause => handle.pause().await,
        OnSignal::Discard => handle.cancel().await,
    }
    handle.wait().await
}

fn tell(
    upload: Upload<'_>,
    error: &UploadError,
    failure: &Failure,
    durable: u64,
    output: &mut Output,
) {
    let left = match error {
        UploadError::Paused if durable > 0 => Left::Kept(upload.name, durable),
        UploadError::Paused => Left::Nothing,
        UploadError::Cancelled => Left::Discarded,
        _ => return output.upload_failed(upload, failure),
    };
    output.upload_stopped(upload, failure);
    output.interrupted(left);
}

/// Forgets what has been complete for long. Nothing depends on it, so nothing is said if it fails.
async fn tidy_up(ledger: UploadLedger) {
    let before = SystemTime::now().checked_sub(REMEMBERED);
    let tidied = tokio::task::spawn_blocking(move || before.map(|before| ledger.prune(before)));
    if let Ok(Some(Err(error))) = tidied.await {
        tracing::debug!(target: "bytehaul", %error, "old records of uploads could not be removed");
    }
}

/// How long it is known of an upload that it is complete.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);
