//! When the checkpoint is written, and what is known of it to be on disk.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytehaul_providers::Stage;
use tokio::sync::watch;

use crate::session::panicked;
use crate::upload::checkpoint::{Checkpoint, Keeper};
use crate::upload::driver::Driver;
use crate::upload::error::UploadError;

/// Where the checkpoint goes, and how fresh it is.
pub(crate) struct Ledger {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) sender: watch::Sender<Option<Checkpoint>>,
    /// All of it but the session.
    pub(crate) form: Checkpoint,
    pub(crate) saving: Option<tokio::task::JoinHandle<(u64, Result<(), UploadError>)>>,
    /// Whether one save has succeeded.
    pub(crate) is_kept: bool,
    pub(crate) last: Option<Instant>,
    pub(crate) pause: Duration,
    pub(crate) is_dirty: bool,
    pub(crate) stage: Option<Stage>,
}

impl Driver {
    pub(crate) fn save_when_due(&mut self) {
        let ledger = &mut self.ledger;
        let is_due = ledger
            .last
            .is_none_or(|last| last.elapsed() >= ledger.pause);
        if !ledger.is_dirty || !is_due || ledger.saving.is_some() {
            return;
        }
        ledger.begin_save(self.session.saved(), self.session.acknowledged().bytes);
    }

    /// Writes the checkpoint and waits for it. The first one has to succeed: without it a session could be forgotten.
    pub(crate) async fn save_now(&mut self) -> Result<(), UploadError> {
        // By reference: when this future is dropped, the next save still waits for the one that is under way.
        if let Some(saving) = &mut self.ledger.saving {
            let _ = saving.await;
            self.ledger.saving = None;
        }
        self.ledger
            .begin_save(self.session.saved(), self.session.acknowledged().bytes);
        let Some(saving) = &mut self.ledger.saving else {
            return Ok(());
        };
        let saved = saving.await;
        self.ledger.saving = None;
        match saved {
            Ok((bytes, Ok(()))) => {
                self.ledger.is_kept = true;
                self.stats.durable(bytes);
                self.ledger.pause = MOST_OFTEN;
                Ok(())
            }
            Ok((_, Err(error))) if !self.ledger.is_kept => Err(error),
            Ok((_, Err(error))) => {
                bytehaul_log::warn!(%error, "the checkpoint could not be written");
                Ok(())
            }
            Err(error) => Err(panicked(&self.courier.url, error).into()),
        }
    }
}

impl Ledger {
    /// Bytes without a receipt are the server's to tell of again, to whoever has the name of the session.
    fn begin_save(&mut self, session: bytehaul_providers::Saved, acknowledged: u64) {
        self.is_dirty = false;
        self.last = Some(Instant::now());
        self.stage = Some(session.stage);
        let mut checkpoint = self.form.clone();
        checkpoint.updated_at = now();
        checkpoint.session = session;
        self.sender.send_replace(Some(checkpoint.clone()));
        if !self.keeper.is_there() {
            return;
        }
        let keeper = Arc::clone(&self.keeper);
        self.saving = Some(tokio::spawn(async move {
            let saved = keeper.save(&checkpoint).await;
            (acknowledged, saved)
        }));
    }

    /// It is time for a save that was put off. Never resolves when there is none. Cancel-safe.
    pub(crate) fn due(&self) -> impl Future<Output = ()> + use<> {
        let waits = self.is_dirty && self.saving.is_none();
        let due = self.last.filter(|_| waits).map(|last| last + self.pause);
        async move {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        }
    }

    /// A save beside the transfer has ended: how many bytes it tells of. Never resolves when there is none. Cancel-safe.
    pub(crate) async fn saved(&mut self) -> u64 {
        let Some(saving) = &mut self.saving else {
            return std::future::pending().await;
        };
        let ended = saving.await;
        self.saving = None;
        let took = self.last.map(|last| last.elapsed()).unwrap_or_default();
        self.pause = MOST_OFTEN.max(took * 10);
        match ended {
            Ok((bytes, Ok(()))) => {
                self.is_kept = true;
                bytes
            }
            Ok((_, Err(error))) => {
                bytehaul_log::warn!(%error, "the checkpoint could not be written");
                0
            }
            Err(_) => 0,
        }
    }
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// A checkpoint is not written more often than this beside the transfer; a slow disk makes it ten times its own time.
const MOST_OFTEN: Duration = Duration::from_millis(100);
