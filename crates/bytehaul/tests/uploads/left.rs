//! What earlier runs left at a server: known of until it is discarded, and nothing of another upload's is touched.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytehaul::protocol::{Tus, Url};
use bytehaul::{
    CheckpointPlace, Durability, ErrorKind, UploadError, UploadLedger, UploadRecord, UploadSpec,
    Uploader,
};
use bytehaul_testkit::uploads::{Fault, TusServer};

fn uploader() -> Uploader {
    Uploader::builder().proxy_from_env(false).build().unwrap()
}

fn tus(url: &str) -> Tus {
    Tus::new(Url::parse(url).unwrap())
}

fn spec(path: &Path, url: &str, place: CheckpointPlace) -> UploadSpec {
    UploadSpec::file(path, tus(url))
        .part_size(PART)
        .max_retries(1)
        .retry_base_delay(Duration::from_millis(5))
        .checkpoints(place)
        .durability(Durability::Kill)
}

/// Leaves an upload with one part at the server, and gives the name of its session.
async fn begun(server: &TusServer, spec: UploadSpec) -> String {
    let second = Fault::refuse(400).on("PATCH").after(1).always();
    server.gate().set([second]);
    let handle = uploader().upload(spec);
    let error = handle.wait().await.unwrap_err();
    assert_eq!(error.code(), 109, "{error:?}");
    server.gate().set([]);
    let session = handle.checkpoint().unwrap().session.session.unwrap();
    assert_eq!(
        server.stored(session.as_str()).unwrap().len(),
        PART as usize
    );
    session.as_str().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_cannot_be_discarded_is_still_known() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    let of_all = UploadLedger::in_directory(directory.path().join("ledger"));
    let beside = UploadLedger::in_directory(directory.path());
    let places = [
        (&of_all, of_all.place()),
        (&beside, CheckpointPlace::BesideSource),
    ];
    for (ledger, place) in places {
        std::fs::write(&path, vec![7; 5 * PART as usize]).unwrap();
        let spec = || spec(&path, &server.url(), place.clone());
        let identity = spec().identity();
        let old = begun(&server, spec()).await;
        // Twice, with another source each time, towards a server that discards nothing.
        let deaf = Fault::refuse(503).on("DELETE").always();
        server.gate().set([deaf]);
        std::fs::write(&path, vec![8; 2 * PART as usize]).unwrap();
        let outcome = uploader().upload(spec()).wait().await.unwrap();
        assert_eq!((outcome.bytes, outcome.resumed_from), (2 * PART, 0));
        assert!(server.stored(&old).is_some());

        let records = ledger.list().unwrap();
        let [record] = &records[..] else {
            panic!("{records:?}");
        };
        let kept = record.checkpoint().unwrap();
        assert!(kept.is_open());
        assert_eq!(kept.session.session.as_ref().unwrap().as_str(), old);
        assert_eq!(record.identity.as_ref(), Some(&identity));
        let to_abort = || ledger.spec_to_abort(record, Arc::new(tus(&server.url())));
        let quick = |spec: UploadSpec| spec.max_retries(0).durability(Durability::Kill);
        let still = uploader().abort(quick(to_abort().unwrap())).await;
        assert_eq!(still.unwrap_err().code(), 109);
        assert_eq!(ledger.list().unwrap().len(), 1);

        server.gate().set([]);
        uploader().abort(quick(to_abort().unwrap())).await.unwrap();
        assert_eq!(server.stored(&old), None);
        assert!(ledger.list().unwrap().is_empty());
    }
}

/// Where targets look the same when they are shown, their hashes tell them apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_of_another_target_is_not_discarded() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    std::fs::write(&path, vec![7; 5 * PART as usize]).unwrap();
    let url = |letter: &str| format!("{}?box={}", server.url(), letter.repeat(40));
    let of = |letter| spec(&path, &url(letter), CheckpointPlace::BesideSource);
    let session = begun(&server, of("a")).await;

    uploader().abort(of("b")).await.unwrap();
    let ledger = UploadLedger::in_directory(directory.path());
    let known = || {
        let records = ledger.list().unwrap();
        let of = |record: &UploadRecord| record.checkpoint()?.session.session.clone();
        let is_it = |record: &UploadRecord| of(record).is_some_and(|it| it.as_str() == session);
        assert!(
            !records.is_empty() && records.iter().all(is_it),
            "{records:?}"
        );
        assert!(server.stored(&session).is_some());
        records
    };
    // Canceled before anything is opened, or at any time after.
    for turns in [0, 1, 2, 8, 64] {
        let handle = uploader().upload(of("b"));
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        handle.cancel().await;
        assert!(matches!(handle.wait().await, Err(UploadError::Cancelled)));
        known();
    }
    uploader().upload(of("b")).wait().await.unwrap();
    let records = known();
    let [record] = &records[..] else {
        panic!("{records:?}");
    };
    let other = ledger.spec_to_abort(record, Arc::new(tus(&url("b"))));
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Parameter);
    // Nothing is known of the target but what is shown of it, as in a list of records.
    let shown = record.checkpoint().unwrap().target.clone();
    assert!(shown.ends_with("box=***"), "{shown}");
    let spec = ledger.spec_to_abort(record, Arc::new(tus(&shown))).unwrap();
    uploader().abort(spec).await.unwrap();
    assert_eq!(server.stored(&session), None);
}

const PART: u64 = 64 << 10;
