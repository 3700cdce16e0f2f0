//! Finishing on a runtime whose only blocking thread it takes itself: what is queued behind it can never start.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use bytehaul_integrity::{Algorithm, Hasher};
use bytehaul_storage::{StartOptions, Writer};
use tokio::runtime::{Builder, Runtime};

use crate::common::{claim, object, options, submit};

fn one_blocking_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).max_blocking_threads(1);
    builder.enable_all().build().unwrap()
}

fn start(target: &Path, len: u64) -> Writer {
    let options = StartOptions {
        digest: Some(Algorithm::Sha256.into()),
        ..options(len)
    };
    claim(target).start(options).unwrap()
}

async fn finish(writer: &Writer, len: u64) {
    let finished = tokio::time::timeout(PATIENCE, writer.finish(None, len)).await;
    let finished = finished.expect("ends").unwrap();
    let right = object(0..len);
    let digest = Hasher::digest(Algorithm::Sha256, &right);
    assert_eq!(finished.digest, Some(digest));
    assert!(std::fs::read(finished.path).unwrap() == right);
}

#[test]
fn finishing_does_not_wait_for_a_digest_that_cannot_start() {
    const LEN: u64 = 8 << 20;
    let directory = tempfile::tempdir().unwrap();
    let runtime = one_blocking_thread();
    runtime.block_on(async {
        let writer = start(&directory.path().join("x"), LEN);
        for at in (0..LEN).step_by(1 << 20) {
            submit(&writer, at..at + (1 << 20)).await;
        }
        // Behind the writing, and before the digest that the writing asks for.
        finish(&writer, LEN).await;
    });
    runtime.shutdown_background();
}

#[test]
fn finishing_writes_what_no_thread_can_write() {
    const LEN: u64 = 70_000;
    let directory = tempfile::tempdir().unwrap();
    let runtime = one_blocking_thread();
    runtime.block_on(async {
        let writer = start(&directory.path().join("x"), LEN);
        submit(&writer, 0..50_000).await;
        writer.settled().await.unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || wait.recv());
        // Polled in this order: the writing of the last bytes is queued behind the finishing.
        let last = async {
            submit(&writer, 50_000..LEN).await;
            go.send(()).unwrap();
        };
        tokio::join!(biased; finish(&writer, LEN), last);
        busy.await.unwrap().unwrap();
    });
    runtime.shutdown_background();
}

/// A hang fails the test, and a busy machine does not.
const PATIENCE: Duration = Duration::from_secs(20);
