//! The life of one upload: opens the source, takes up what an earlier run left, drives the session, and reports.

mod answers;
mod body;
pub(crate) mod checkpoint;
mod courier;
mod driver;
mod errand;
mod error;
mod handle;
pub(crate) mod job;
mod ledger;
mod outcome;
mod progress;
mod resume;
mod retries;
mod save;
mod source;
mod spec;
mod stats;
mod stop;
mod uploader;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytehaul_providers::Completed;
use tokio::sync::watch;

pub use self::checkpoint::{Checkpoint, CheckpointError};
pub use self::errand::Reply;
pub use self::error::UploadError;
pub use self::handle::UploadHandle;
pub use self::ledger::{RecordContent, UploadLedger, UploadRecord};
pub use self::outcome::UploadOutcome;
pub use self::progress::{UploadProgress, UploadState};
pub use self::spec::{CheckpointPlace, UploadReader, UploadSource, UploadSpec};
pub use self::uploader::{Uploader, UploaderBuilder};

use crate::control::{Control, Stop};
use crate::network::Access;
use crate::session::panicked;
use crate::session::stats::Meter;
use crate::upload::driver::{Driver, End};
use crate::upload::handle::UploadControl;
use crate::upload::job::{Completed as KeepCompleted, Job, OnCancel};
use crate::upload::resume::Opened;
use crate::upload::stats::Stats;
use crate::upload::uploader::Shared;

/// Starts an upload on the current runtime. It ends by itself, and tells `control` how.
pub(crate) fn spawn(shared: Arc<Shared>, spec: UploadSpec, control: UploadControl) {
    let prepared = Job::new(spec).and_then(|job| {
        let access = shared.downloads.clients.of(&job.network)?;
        Ok((job, access))
    });
    let (job, access) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return control.refuse(error),
    };
    let UploadControl {
        control,
        checkpoint,
    } = control;
    let Control {
        stop,
        progress,
        result,
    } = control;
    let stats = Arc::new(Stats::new(Instant::now()));
    let url = job.safe_url.clone();
    let counted = Arc::clone(&stats);
    // A task of its own, so that a panic in it becomes this upload's failure and nobody else's.
    let mut work = tokio::spawn(async move {
        let left = job.clone();
        let opened = resume::open(&shared, &access, job, Arc::clone(&counted), checkpoint);
        let mut stop = stop;
        let (job, driver) = tokio::select! {
            biased;
            why = stopped(&mut stop) => {
                let is_final = matches!(why, UploadError::Cancelled);
                let rest = match left.on_cancel {
                    OnCancel::Abort if is_final => left_behind(&shared, &access, left).await,
                    OnCancel::Abort | OnCancel::Leave => None,
                };
                return (Err(why), rest);
            }
            opened = opened => match opened {
                Ok(Opened { job, driver }) => (job, driver),
                Err(error) => return (Err(error), None),
            },
        };
        carry(job, driver, stop).await
    });
    tokio::spawn(async move {
        let mut meter = Meter::default();
        let mut ticks = tokio::time::interval(REPORT_EVERY);
        let mut report = |stats: &Stats| {
            let now = Instant::now();
            let rate = meter.sample(now, stats.wire.load(Relaxed));
            progress.send_replace(stats.snapshot(now, rate));
        };
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended,
                _ = ticks.tick() => report(&stats),
            }
        };
        let (ended, rest) = match ended {
            Ok(ended) => ended,
            Err(error) => (Err(panicked(&url, error).into()), None),
        };
        stats.set_state(match &ended {
            Ok(_) => UploadState::Completed,
            Err(UploadError::Paused) => UploadState::Paused,
            Err(UploadError::Cancelled) => UploadState::Cancelled,
            Err(_) => UploadState::Failed,
        });
        stats.set_connections(0);
        report(&stats);
        result.send_replace(Some(ended));
        // What a cancelled upload has staged is discarded behind its end: nobody has to wait for the server.
        if let Some(driver) = rest {
            let aborted = tokio::spawn(async move { abort(driver).await });
            if let Ok(Err(error)) = aborted.await {
                bytehaul_log::warn!(%url, %error, "what was staged could not be discarded");
            }
        }
    });
}

/// Discards what a session has staged, and then its checkpoint.
pub(crate) async fn abort(mut driver: Driver) -> Result<(), UploadError> {
    let opened = driver.learn_of_begins(stop::GRACE).await;
    driver.session.abort();
    driver.parallel = 1;
    driver.hold = None;
    let ended = tokio::time::timeout(ABORT_PATIENCE, driver.run()).await;
    match ended {
        // The record is all that still tells of what may be there.
        Ok(Ok(End::Aborted)) if opened == stop::Opened::Perhaps => Ok(()),
        Ok(Ok(End::Aborted)) => driver.ledger.keeper.remove().await,
        // It had been completed by then: nothing is staged any more, and nobody wants to know.
        Ok(Ok(End::Done(_))) => driver.ledger.keeper.remove().await,
        Ok(Err(error)) => Err(error),
        Err(_) => Err(driver.too_slow()),
    }
}

/// What an earlier run has staged, for an upload that was cancelled before it had taken that up.
async fn left_behind(shared: &Shared, access: &Access, job: Job) -> Option<Driver> {
    let deadline = Instant::now() + UNHAND_PATIENCE;
    loop {
        match resume::open_to_abort(shared, access, job.clone()).await {
            Ok(driver) => return driver,
            // The opening that was dropped may still have it, until the disk has answered.
            Err(error) if error.is_locked() && Instant::now() < deadline => {
                tokio::time::sleep(UNHAND_PATIENCE / 50).await;
            }
            Err(error) => {
                bytehaul_log::warn!(%error, "what an earlier run has staged could not be looked at");
                return None;
            }
        }
    }
}

type Carried = (Result<UploadOutcome, UploadError>, Option<Driver>);

/// Drives the session until it ends or the caller wants it to; gives the driver back where something is left to discard.
async fn carry(job: Job, mut driver: Driver, mut stop: watch::Receiver<Stop>) -> Carried {
    let ended = tokio::select! {
        biased;
        why = stopped(&mut stop) => Err(why),
        ended = driver.run() => ended,
    };
    match ended {
        Ok(End::Done(completed)) => (finish(&job, &mut driver, completed).await, None),
        Ok(End::Aborted) => (Err(UploadError::Cancelled), None),
        Err(UploadError::Cancelled) => cancelled(&job, driver).await,
        Err(UploadError::Paused) => match paused(&mut driver, &mut stop).await {
            // It was asked for while the pause was waited for or saved.
            _ if *stop.borrow() == Stop::Cancel => cancelled(&job, driver).await,
            // A pause that could not save is no clean pause.
            Err(failed) => (Err(failed), None),
            Ok(()) => (Err(UploadError::Paused), None),
        },
        Err(error) => {
            let _ = driver.stop().await;
            (Err(error), None)
        }
    }
}

/// Drops what is in flight and saves where the session is, of which the server may be telling just now. A cancel ends the wait for that.
async fn paused(driver: &mut Driver, stop: &mut watch::Receiver<Stop>) -> Result<(), UploadError> {
    driver.drop_first_parts();
    if driver.is_beginning() {
        driver.drop_others();
        tokio::select! {
            biased;
            Ok(_) = stop.wait_for(|wish| *wish == Stop::Cancel) => return Ok(()),
            _ = driver.learn_of_begins(PAUSE_PATIENCE) => (),
        }
    }
    driver.stop().await
}

/// Drops what is in flight, and gives the driver back if what is staged is to be discarded.
async fn cancelled(job: &Job, mut driver: Driver) -> Carried {
    if job.on_cancel == OnCancel::Leave {
        let _ = driver.stop().await;
        return (Err(UploadError::Cancelled), None);
    }
    // What is being opened is waited for behind the end; all else is dropped at once.
    match driver.is_beginning() {
        true => driver.drop_others(),
        false => drop(driver.stop().await),
    }
    (Err(UploadError::Cancelled), Some(driver))
}

/// The server has said that the object is there.
async fn finish(
    job: &Job,
    driver: &mut Driver,
    completed: Completed,
) -> Result<UploadOutcome, UploadError> {
    let stats = &driver.stats;
    if job.completed == KeepCompleted::Remove
        && let Err(error) = driver.ledger.keeper.remove().await
    {
        bytehaul_log::warn!(%error, "the checkpoint of a complete upload could not be removed");
    }
    let bytes = driver.courier.source.available().until;
    Ok(UploadOutcome {
        bytes,
        sent: stats.wire.load(Relaxed),
        resumed_from: stats.resumed_from.load(Relaxed),
        already_complete: stats.was_there(bytes),
        location: completed.location,
        etag: completed.etag,
        payload: completed.payload,
        digest: job.digest,
        verified: completed.verified,
        retries: stats.retries.load(Relaxed),
        connections: stats.peak_connections.load(Relaxed),
        elapsed: stats.elapsed(Instant::now()),
        url: job.safe_url.clone(),
    })
}

/// Resolves when the caller wishes an end.
async fn stopped(stop: &mut watch::Receiver<Stop>) -> UploadError {
    loop {
        let wish = *stop.borrow_and_update();
        match wish {
            Stop::Pause => return UploadError::Paused,
            Stop::Cancel => return UploadError::Cancelled,
            Stop::Run | Stop::Detached => (),
        }
        if stop.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

const REPORT_EVERY: Duration = Duration::from_millis(100);

/// How long the record of an upload is waited for that this very upload is about to let go of.
const UNHAND_PATIENCE: Duration = Duration::from_secs(1);

/// How long a pause waits for the answer to a request that opens a session.
const PAUSE_PATIENCE: Duration = Duration::from_secs(2);

/// The most that discarding takes, with all its retries.
const ABORT_PATIENCE: Duration = Duration::from_secs(60);
