//! Wishes to stop that come at any moment: the last word is a cancel's, and nothing stays at the server.

use std::time::Duration;

use bytehaul::protocol::{Tus, Url};
use bytehaul::{UploadError, UploadHandle, UploadLedger, UploadSpec, UploadState, Uploader};
use bytehaul_testkit::uploads::{Fault, TusServer};

/// An upload that does not end by itself, in a file and with a record.
struct Endless {
    server: TusServer,
    uploader: Uploader,
    directory: tempfile::TempDir,
}

impl Endless {
    fn start() -> Option<Self> {
        let server = TusServer::start()?;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("f"), vec![7; 1 << 20]).unwrap();
        Some(Self {
            server,
            uploader: Uploader::builder().proxy_from_env(false).build().unwrap(),
            directory,
        })
    }

    fn ledger(&self) -> UploadLedger {
        UploadLedger::in_directory(self.directory.path().join("ledger"))
    }

    fn upload(&self) -> UploadHandle {
        let url = Url::parse(&self.server.url()).unwrap();
        let spec = UploadSpec::file(self.directory.path().join("f"), Tus::new(url))
            .part_size(64 << 10)
            .checkpoints(self.ledger().place());
        self.uploader.upload(spec)
    }

    /// One that has sent a part, and hangs in the next.
    async fn hanging(&self) -> UploadHandle {
        let third = Fault::hang().on("PATCH").after(1).always();
        self.server.gate().set([third]);
        let handle = self.upload();
        let mut progress = handle.progress_watch();
        progress
            .wait_for(|progress| progress.acknowledged > 0)
            .await
            .unwrap();
        handle
    }

    fn is_clean(&self, when: usize) {
        assert_eq!(self.server.uploads(), [""; 0], "{when}");
        let records = self.ledger().list().unwrap();
        assert!(records.is_empty(), "{when}: {records:?}");
    }
}

#[tokio::test]
async fn a_cancel_that_comes_while_a_pause_is_saved_counts() {
    let Some(endless) = Endless::start() else {
        return;
    };
    let mut in_time = 0;
    for turns in 0..12 {
        let handle = endless.hanging().await;
        let saved = handle.pause();
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        if handle.progress().state == UploadState::Paused {
            // It has ended before, and what it left is of another run.
            saved.await;
            endless.server.gate().set([]);
            let handle = endless.upload();
            handle.cancel().await;
            continue;
        }
        in_time += 1;
        handle.cancel().await;
        let ended = handle.wait().await;
        assert!(matches!(ended, Err(UploadError::Cancelled)), "{ended:?}");
        endless.is_clean(turns);
    }
    assert!(in_time > 0, "each pause had ended by then");
}

/// What an earlier run left is discarded too, though its record may just be in the hands of the task that was dropped.
#[tokio::test]
async fn a_cancel_that_comes_while_an_upload_is_opened_counts() {
    let Some(endless) = Endless::start() else {
        return;
    };
    for turns in 0..12 {
        endless.hanging().await.pause().await;
        assert_eq!(endless.server.uploads().len(), 1);
        endless.server.gate().set([]);
        let handle = endless.upload();
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        if turns % 3 == 2 {
            tokio::time::sleep(Duration::from_micros(100 * turns as u64)).await;
        }
        handle.cancel().await;
        let ended = handle.wait().await;
        assert!(matches!(ended, Err(UploadError::Cancelled)), "{ended:?}");
        endless.is_clean(turns);
    }
}
