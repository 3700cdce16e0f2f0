//! Wishes to stop that come at any moment: the last word is a cancel's, and nothing stays at the server.

use std::thread;
use std::time::{Duration, Instant};

use bytehaul::protocol::{Tus, Url};
use bytehaul::{UploadError, UploadHandle, UploadLedger, UploadSpec, UploadState, Uploader};
use bytehaul_testkit::uploads::{Fault, TusServer};

use crate::scripted::Scripted;

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

/// What a request in flight opens is in the record, or the next run would open another and nobody could find the first.
#[tokio::test]
async fn a_pause_that_comes_while_a_session_is_opened_learns_of_it() {
    fn answer(status: &str, fields: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nContent-Length: 0\r\n{fields}\r\n"
        )
    }
    let pauses_in = async |opening: Duration| {
        let server = Scripted::start(move |_, first| match first {
            "head /f/1" => answer("200 OK", "Upload-Offset: 0\r\nUpload-Length: 5\r\n"),
            "patch /f/1" => answer("204 No Content", "Upload-Offset: 5\r\n"),
            "post /f" => {
                thread::sleep(opening);
                answer("201 Created", "Location: /f/1\r\n")
            }
            _ => answer("404 Not Found", ""),
        });
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("f");
        std::fs::write(&source, "bytes").unwrap();
        let uploader = Uploader::builder().proxy_from_env(false).build().unwrap();
        let upload = || {
            let tus = Tus::new(Url::parse(&server.url()).unwrap());
            let ledger = UploadLedger::in_directory(directory.path().join("ledger"));
            let spec = UploadSpec::file(&source, tus).checkpoints(ledger.place());
            uploader.upload(spec)
        };
        let posts = || {
            server
                .seen()
                .iter()
                .filter(|line| line.starts_with("post"))
                .count()
        };
        let handle = upload();
        while posts() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let since = Instant::now();
        handle.pause().await;
        let ended = handle.wait().await;
        assert!(matches!(ended, Err(UploadError::Paused)), "{ended:?}");
        let took = since.elapsed();
        if opening < Duration::from_secs(1) {
            upload().wait().await.unwrap();
            assert_eq!(posts(), 1, "{:?}", server.seen());
        }
        took
    };
    pauses_in(Duration::from_millis(300)).await;
    // An answer that does not come holds it up for a while only.
    let never = Duration::from_secs(600);
    assert!(pauses_in(never).await < Duration::from_secs(20));
}
