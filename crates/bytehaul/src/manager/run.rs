//! One run of one task: starts the transfer, passes wishes to it and looks of it on, and reports its end exactly once.

use std::sync::Arc;
use std::time::Duration;

use bytehaul_schedule::transfers::{Stop, TaskId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::DownloadError;
use crate::handle::Stopping;
use crate::manager::desk::{Desk, Report};
use crate::manager::error::TransferError;
use crate::manager::listener::panic_text;
use crate::manager::outcome::TransferOutcome;
use crate::manager::progress::TransferProgress;
use crate::manager::transfer::Transfer;
use crate::spec::DownloadSpec;
use crate::upload::{Checkpoint, CheckpointPlace, UploadError, UploadSpec};

/// A task that has its slot.
pub(super) struct Run {
    pub(super) id: TaskId,
    pub(super) transfer: Transfer,
    pub(super) wish: watch::Receiver<Option<Stop>>,
}

/// A canceled task that may have staged something.
pub(super) struct Discard {
    pub(super) id: TaskId,
    pub(super) remains: Remains,
    pub(super) transfer: Transfer,
}

/// Who discards what a task has staged.
#[derive(Default)]
pub(super) enum Remains {
    /// Nobody yet: whatever its last checkpoint tells of is still there.
    #[default]
    Left,
    /// Its last run does so itself, and this is its end.
    Going(Stopping),
}

/// Runs the task in tasks of the runtime's.
pub(super) fn start(desk: &Arc<Desk>, run: Run) {
    let mut owed = Owed::new(desk, run.id, Desk::lost);
    let desk = Arc::clone(desk);
    desk.runtime.clone().spawn(async move {
        let id = run.id;
        // In a task of its own, so that a panic of the application's own protocol is this run's failure.
        let ended = tokio::spawn(carry(Arc::clone(&desk), run)).await;
        let report = match ended {
            Ok(report) => report,
            Err(error) if error.is_cancelled() => return,
            Err(error) => Report {
                ended: Err(TransferError::Internal {
                    what: panic_text(&*error.into_panic()),
                }),
                remains: Remains::Left,
            },
        };
        owed.paid();
        desk.ended(id, report);
    });
}

/// Discards what a canceled task has staged, for a limited time.
pub(super) fn discard(desk: &Arc<Desk>, discard: Discard) {
    let _owed = Owed::new(desk, discard.id, Desk::discarded);
    let Transfer::Upload(spec) = discard.transfer else {
        // What has arrived stays for another download.
        return;
    };
    let uploader = desk.uploader.clone();
    desk.runtime.spawn(async move {
        let _owed = _owed;
        let discarded = async {
            match discard.remains {
                Remains::Going(stopping) => {
                    stopping.await;
                    Ok(())
                }
                Remains::Left if !may_be_staged(&spec) => Ok(()),
                Remains::Left => uploader.abort(*spec).await,
            }
        };
        match tokio::time::timeout(DISCARD_WITHIN, discarded).await {
            Ok(Ok(())) => (),
            Ok(Err(error)) => {
                bytehaul_log::warn!(task = %discard.id, %error, "what was staged could not be discarded");
            }
            Err(_) => {
                bytehaul_log::warn!(task = %discard.id, "what was staged is not discarded in time");
            }
        }
    });
}

fn may_be_staged(spec: &UploadSpec) -> bool {
    let known = spec.checkpoint.as_ref().is_some_and(Checkpoint::is_open);
    spec.abort_on_cancel && (known || spec.checkpoints != CheckpointPlace::Nowhere)
}

async fn carry(desk: Arc<Desk>, run: Run) -> Report {
    match run.transfer {
        Transfer::Download(spec) => download(&desk, run.id, *spec, run.wish).await,
        Transfer::Upload(spec) => upload(&desk, run.id, *spec, run.wish).await,
    }
}

async fn download(
    desk: &Desk,
    id: TaskId,
    spec: DownloadSpec,
    mut wish: watch::Receiver<Option<Stop>>,
) -> Report {
    let report = |ended| Report {
        ended,
        remains: Remains::Left,
    };
    let earlier = *wish.borrow_and_update();
    match earlier {
        Some(Stop::Pause) => return report(Err(DownloadError::Paused.into())),
        Some(Stop::Cancel) => return report(Err(DownloadError::Cancelled.into())),
        None => (),
    }
    let handle = desk.downloader.download(spec);
    let mut looks = handle.progress_watch();
    let look = |looks: &mut watch::Receiver<_>| {
        let progress = TransferProgress::from(&*looks.borrow_and_update());
        desk.progressed(id, progress);
    };
    let ended = handle.wait();
    tokio::pin!(ended);
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut ended => break ended,
            stop = wished(&mut wish) => drop(match stop {
                Stop::Pause => handle.pause(),
                Stop::Cancel => handle.cancel(),
            }),
            Ok(()) = looks.changed() => look(&mut looks),
        }
    };
    look(&mut looks);
    report(ended.map(TransferOutcome::Download).map_err(Into::into))
}

async fn upload(
    desk: &Desk,
    id: TaskId,
    spec: UploadSpec,
    mut wish: watch::Receiver<Option<Stop>>,
) -> Report {
    let earlier = *wish.borrow_and_update();
    let stopped = match earlier {
        Some(Stop::Pause) => Some(UploadError::Paused),
        Some(Stop::Cancel) => Some(UploadError::Cancelled),
        None => None,
    };
    if let Some(error) = stopped {
        return Report {
            ended: Err(error.into()),
            remains: Remains::Left,
        };
    }
    let handle = desk.uploader.upload(spec);
    let mut looks = handle.progress_watch();
    let mut checkpoints = handle.checkpoint_watch();
    let look = |looks: &mut watch::Receiver<_>| {
        let progress = TransferProgress::from(&*looks.borrow_and_update());
        desk.progressed(id, progress);
    };
    let keep = |checkpoints: &mut watch::Receiver<Option<Checkpoint>>| {
        let checkpoint = checkpoints.borrow_and_update().clone();
        if let Some(checkpoint) = checkpoint {
            desk.checkpointed(id, checkpoint);
        }
    };
    let ended = handle.wait();
    tokio::pin!(ended);
    let mut due = Instant::now();
    let ended = loop {
        let next = async {
            tokio::time::sleep_until(due).await;
            checkpoints.changed().await
        };
        tokio::select! {
            biased;
            ended = &mut ended => break ended,
            stop = wished(&mut wish) => drop(match stop {
                Stop::Pause => handle.pause(),
                Stop::Cancel => handle.cancel(),
            }),
            Ok(()) = next => {
                keep(&mut checkpoints);
                due = Instant::now() + CHECKPOINT_EVERY;
            }
            Ok(()) = looks.changed() => look(&mut looks),
        }
    };
    look(&mut looks);
    keep(&mut checkpoints);
    let remains = match &ended {
        Err(UploadError::Cancelled) => Remains::Going(handle.cancel()),
        Ok(_) | Err(_) => Remains::Left,
    };
    Report {
        ended: ended.map(TransferOutcome::Upload).map_err(Into::into),
        remains,
    }
}

/// The next wish to stop. Cancel-safe.
async fn wished(wish: &mut watch::Receiver<Option<Stop>>) -> Stop {
    loop {
        if wish.changed().await.is_err() {
            // Nobody wishes anything any more.
            std::future::pending::<()>().await;
        }
        let stop = *wish.borrow_and_update();
        if let Some(stop) = stop {
            return stop;
        }
    }
}

/// A word that is owed to the queue, given at the latest when whoever owes it is dropped.
struct Owed {
    desk: Arc<Desk>,
    id: TaskId,
    word: Option<fn(&Arc<Desk>, TaskId)>,
}

impl Owed {
    fn new(desk: &Arc<Desk>, id: TaskId, word: fn(&Arc<Desk>, TaskId)) -> Self {
        Self {
            desk: Arc::clone(desk),
            id,
            word: Some(word),
        }
    }

    /// Another word was given.
    fn paid(&mut self) {
        self.word = None;
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if let Some(word) = self.word.take() {
            word(&self.desk, self.id);
        }
    }
}

/// A checkpoint may be large.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(200);

/// The most that a canceled task holds up a new one of the same key, and closing.
const DISCARD_WITHIN: Duration = Duration::from_secs(30);
