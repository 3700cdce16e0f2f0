//! What a next run finds: exactly what is there, whatever happened to the files in between.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::{claim, filled, names, object, options, start, submit};
use bytehaul_integrity::{Algorithm, Digest, Hasher};
use bytehaul_storage::{
    Allocation, Budget, Error, FinishError, Identity, Keep, KnownDigest, StartOptions, control,
};

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("x")
    }

    fn part(&self) -> PathBuf {
        self.directory.path().join("x.bytehaul-part")
    }

    fn control(&self) -> PathBuf {
        self.directory.path().join("x.bytehaul-control")
    }

    fn overwrite_part(&self, offset: u64, bytes: &[u8]) {
        OpenOptions::new()
            .write(true)
            .open(self.part())
            .unwrap()
            .write_all_at(bytes, offset)
            .unwrap();
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    Hasher::digest(Algorithm::Sha256, bytes)
}

#[tokio::test]
async fn everything_that_was_told_comes_back() {
    let files = Files::new();
    let identity = Identity {
        url: "https://a.example/object".into(),
        len: Some(100_000),
        etag: Some("W/\"é\"".into()),
        last_modified: Some("Mon, 01 Jan 2024 00:00:00 GMT".into()),
        digests: vec![KnownDigest::from(&sha256(b""))],
    };
    let options = StartOptions {
        identity: Identity::default(),
        len: None,
        ..options(0)
    };
    let writer = claim(&files.target()).start(options).unwrap();
    submit(&writer, 10_000..20_000).await;
    writer.update_identity(identity.clone()).await.unwrap();
    writer.settled().await.unwrap();
    writer.set_len(100_000).unwrap();
    assert!(matches!(
        writer.set_len(19_999),
        Err(Error::BeyondEnd { .. })
    ));
    submit(&writer, 50_000..60_000).await;
    writer.save().await.unwrap();
    let status = *writer.status().borrow();
    assert_eq!(
        (status.written, status.durable, status.prefix, status.failed),
        (20_000, 20_000, 0, false)
    );
    writer.close().await.unwrap();

    let claim = claim(&files.target());
    let left = claim.left().unwrap();
    assert_eq!(left.identity, identity);
    assert_eq!(left.identity.digests[0].digest(), Some(sha256(b"")));
    assert_eq!(
        (left.len, left.piece_size, left.refuted),
        (Some(100_000), 4096, 0)
    );
    assert_eq!(left.durable, [10_000..20_000, 50_000..60_000]);
    assert!(claim.warning().is_none());
}

#[tokio::test]
async fn all_there_finishes_without_another_byte() {
    let files = Files::new();
    let bytes = object(0..100_000);
    let writer = start(&files.target(), 100_000);
    submit(&writer, 0..100_000).await;
    writer.close().await.unwrap();
    let claim = claim(&files.target());
    assert_eq!(claim.left().unwrap().durable, [0..100_000]);
    let options = StartOptions {
        digest: Some(Algorithm::Sha256.into()),
        ..options(100_000)
    };
    let writer = claim.start(options).unwrap();
    let finished = writer
        .finish(Some(sha256(&bytes).into()), 100_000)
        .await
        .unwrap();
    assert_eq!(
        (finished.len, finished.digest),
        (100_000, Some(sha256(&bytes)))
    );
    assert_eq!(fs::read(finished.path).unwrap(), bytes);
}

#[tokio::test]
async fn changed_bytes_are_missing_again_and_the_others_are_not() {
    let files = Files::new();
    let writer = start(&files.target(), 100_000);
    submit(&writer, 0..100_000).await;
    writer.close().await.unwrap();
    files.overwrite_part(4096 * 3 + 7, b"?");
    let claim = claim(&files.target());
    let left = claim.left().unwrap();
    assert_eq!(left.durable, [0..4096 * 3, 4096 * 4..100_000]);
    assert_eq!(left.refuted, 4096);
    assert!(claim.warning().unwrap().contains("4096 bytes"));
    let writer = claim.start(options(100_000)).unwrap();
    submit(&writer, 0..100_000).await;
    let finished = writer.finish(None, 100_000).await.unwrap();
    assert_eq!(fs::read(finished.path).unwrap(), object(0..100_000));
}

#[tokio::test]
async fn a_part_that_was_cut_short_has_lost_only_its_end() {
    let files = Files::new();
    let writer = start(&files.target(), 100_000);
    submit(&writer, 0..100_000).await;
    writer.close().await.unwrap();
    OpenOptions::new()
        .write(true)
        .open(files.part())
        .unwrap()
        .set_len(50_000)
        .unwrap();
    assert_eq!(
        claim(&files.target()).left().unwrap().durable,
        [0..4096 * 12]
    );
}

#[tokio::test]
async fn records_count_only_with_their_bytes() {
    let files = Files::new();
    let options = StartOptions {
        save_every: Duration::from_secs(60),
        ..options(100_000)
    };
    let writer = claim(&files.target()).start(options).unwrap();
    submit(&writer, 0..8192).await;
    writer.save().await.unwrap();
    submit(&writer, 8192..12_288).await;
    submit(&writer, 16_384..20_480).await;
    writer.settled().await.unwrap();
    // As a kill leaves it: the files are copied while the writer is open.
    let (part, control) = (
        fs::read(files.part()).unwrap(),
        fs::read(files.control()).unwrap(),
    );
    assert_eq!(control::decode(&control).unwrap().claimed().len(), 2);
    assert_eq!(control::decode(&control).unwrap().appended().len(), 2);
    drop(writer.discard().await);
    let found = |part: &[u8], control: &[u8]| {
        fs::write(files.part(), part).unwrap();
        fs::write(files.control(), control).unwrap();
        claim(&files.target()).left().unwrap().durable.clone()
    };
    assert_eq!(found(&part, &control), [0..12_288, 16_384..20_480]);
    // As a power cut may leave it: the record is there, its bytes are zeros.
    let mut zeroed = part.clone();
    zeroed[8192..12_288].fill(0);
    assert_eq!(found(&zeroed, &control), [0..8192, 16_384..20_480]);
    // The end of the file is not there.
    assert_eq!(found(&part[..16_384], &control), [0..12_288]);
    // A torn record.
    assert_eq!(found(&part, &control[..control.len() - 1]), [0..12_288]);
}

#[tokio::test]
async fn a_control_file_that_makes_no_sense_is_discarded_with_a_warning() {
    let files = Files::new();
    let writer = start(&files.target(), 100_000);
    submit(&writer, 0..100_000).await;
    writer.close().await.unwrap();
    let good = fs::read(files.control()).unwrap();
    let mut newer = good.clone();
    newer[8] = 9;
    for bad in [
        vec![],
        vec![0; good.len()],
        good[..good.len() / 2].to_vec(),
        newer,
    ] {
        fs::write(files.control(), bad).unwrap();
        let claim = claim(&files.target());
        assert!(claim.left().is_none());
        assert!(claim.warning().is_some());
        drop(claim);
        assert_eq!(
            fs::metadata(files.part()).unwrap().len(),
            100_000,
            "nothing goes before writing starts"
        );
    }
    let writer = start(&files.target(), 100_000);
    assert_eq!(writer.written(), []);
    assert_eq!(fs::metadata(files.part()).unwrap().len(), 0);
}

#[tokio::test]
async fn an_untouched_part_is_not_read_again() {
    let files = Files::new();
    let writer = start(&files.target(), 8192);
    submit(&writer, 0..8192).await;
    writer.close().await.unwrap();
    // A change that hides from the clock is not seen; that shows that nothing was read.
    let part = OpenOptions::new()
        .read(true)
        .write(true)
        .open(files.part())
        .unwrap();
    let modified = part.metadata().unwrap().modified().unwrap();
    files.overwrite_part(0, b"?");
    part.set_modified(modified).unwrap();
    assert_eq!(claim(&files.target()).left().unwrap().durable, [0..8192]);
    part.set_modified(modified + Duration::from_nanos(1))
        .unwrap();
    assert_eq!(claim(&files.target()).left().unwrap().durable, [4096..8192]);
}

#[tokio::test]
async fn a_mismatch_leaves_nothing_to_resume() {
    let files = Files::new();
    let wrong = sha256(b"something else");
    for digest in [None, Some(Algorithm::Sha256), Some(Algorithm::Md5)] {
        let writer = claim(&files.target())
            .start(StartOptions {
                digest: digest.map(Into::into),
                ..options(100_000)
            })
            .unwrap();
        submit(&writer, 0..100_000).await;
        match writer.finish(Some(wrong.into()), 100_000).await {
            Err(FinishError::Mismatch { expected, got }) => {
                assert_eq!((*expected, *got), (wrong, sha256(&object(0..100_000))));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(names(files.directory.path()), [""; 0]);
        assert!(matches!(writer.save().await, Err(Error::Closed)));
    }
}

#[tokio::test]
async fn an_incomplete_file_is_not_published() {
    let files = Files::new();
    let writer = start(&files.target(), 100);
    submit(&writer, 10..20).await;
    match writer.finish(None, 100).await {
        Err(FinishError::Incomplete { missing }) => assert_eq!(missing, [0..10, 20..100]),
        other => panic!("{other:?}"),
    }
    submit(&writer, 0..100).await;
    assert!(matches!(
        writer.finish(None, 99).await,
        Err(FinishError::Storage(Error::BeyondEnd { .. }))
    ));
    writer.finish(None, 100).await.unwrap();
}

#[tokio::test]
async fn an_empty_object_is_a_file() {
    let files = Files::new();
    let finished = start(&files.target(), 0)
        .finish(Some(sha256(b"").into()), 0)
        .await
        .unwrap();
    assert_eq!(fs::read(finished.path).unwrap(), b"");
    assert_eq!(names(files.directory.path()), ["x"]);
}

#[tokio::test]
async fn bytes_beyond_the_end_fail_the_file() {
    let files = Files::new();
    for offset in [91, u64::MAX - 5, u64::MAX] {
        let writer = start(&files.target(), 100);
        writer.submit(offset, filled(&Budget::default(), &[0; 10]).await);
        assert!(matches!(writer.failed().await, Error::BeyondEnd { .. }));
        writer.discard().await.unwrap();
    }
}

#[tokio::test]
async fn invalidated_bytes_are_written_anew_and_hashed_anew() {
    let files = Files::new();
    let len = 3 << 20;
    let options = StartOptions {
        digest: Some(Algorithm::Sha256.into()),
        piece_size: 1 << 20,
        ..options(len)
    };
    let writer = claim(&files.target()).start(options).unwrap();
    let mut bytes = object(0..len);
    bytes[1_500_000..1_600_000].fill(0);
    for (at, chunk) in bytes.chunks(1 << 20).enumerate() {
        writer.submit((at << 20) as u64, filled(&Budget::default(), chunk).await);
    }
    writer.save().await.unwrap();
    writer.invalidate(1_500_000..1_600_000).await.unwrap();
    assert_eq!(writer.written(), [0..1_500_000, 1_600_000..len]);
    assert_eq!(writer.durable(), writer.written());
    assert_eq!(writer.status().borrow().prefix, 1_500_000);
    writer.close().await.unwrap();
    let claim = claim(&files.target());
    assert_eq!(
        claim.left().unwrap().durable,
        [0..1_500_000, 1_600_000..len]
    );
    let options = StartOptions {
        digest: Some(Algorithm::Sha256.into()),
        ..crate::common::options(len)
    };
    let writer = claim.start(options).unwrap();
    submit(&writer, 1_500_000..1_600_000).await;
    let finished = writer
        .finish(Some(sha256(&object(0..len)).into()), len)
        .await
        .unwrap();
    assert_eq!(fs::read(finished.path).unwrap(), object(0..len));
}

#[tokio::test]
async fn an_invalidation_that_nobody_waits_for_is_done_before_closing() {
    let files = Files::new();
    let len = 3 << 20;
    for _ in 0..8 {
        let writer = start(&files.target(), len);
        submit(&writer, 0..len).await;
        let unawaited = writer.invalidate(1_500_000..1_600_000);
        let stopped = tokio::time::timeout(Duration::ZERO, unawaited).await;
        assert!(stopped.is_err(), "too fast to be stopped");
        writer.close().await.unwrap();
        let claim = claim(&files.target());
        let durable = &claim.left().unwrap().durable;
        assert_eq!(durable, &[0..1_500_000, 1_600_000..len]);
        drop(claim);
        for name in [files.part(), files.control()] {
            fs::remove_file(name).unwrap();
        }
    }
}

#[tokio::test]
async fn a_digest_that_ran_ahead_of_an_invalidation_starts_over() {
    let files = Files::new();
    let len = 4 << 20;
    let options = StartOptions {
        digest: Some(Algorithm::Sha256.into()),
        ..options(len)
    };
    let writer = claim(&files.target()).start(options).unwrap();
    writer.submit(0, filled(&Budget::default(), &vec![7; 2 << 20]).await);
    writer.settled().await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    writer.invalidate(5..10).await.unwrap();
    writer.invalidate(0..2 << 20).await.unwrap();
    submit(&writer, 0..len).await;
    writer
        .finish(Some(sha256(&object(0..len)).into()), len)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_written_becomes_durable_by_itself() {
    let files = Files::new();
    let options = StartOptions {
        save_every: Duration::from_millis(20),
        ..options(100_000)
    };
    let writer = claim(&files.target()).start(options).unwrap();
    let mut status = writer.status();
    for start in [0, 30_000] {
        submit(&writer, start..start + 10_000).await;
        let durable = status
            .wait_for(|status| status.durable >= (start + 30_000) / 3)
            .await;
        assert!(durable.is_ok());
    }
    assert_eq!(writer.durable(), [0..10_000, 30_000..40_000]);
}

#[tokio::test]
async fn keeping_nothing_starts_from_an_empty_part() {
    let files = Files::new();
    let writer = start(&files.target(), 100);
    submit(&writer, 0..100).await;
    writer.close().await.unwrap();
    let writer = claim(&files.target())
        .start(StartOptions {
            keep: Keep::Nothing,
            ..options(50)
        })
        .unwrap();
    assert_eq!(writer.written(), []);
    writer.close().await.unwrap();
    let left = claim(&files.target()).left().unwrap().clone();
    assert_eq!((left.len, left.durable), (Some(50), vec![]));
    let too_short = claim(&files.target());
    drop(too_short);
    let writer = start(&files.target(), 50);
    submit(&writer, 0..50).await;
    writer.close().await.unwrap();
    assert!(matches!(
        claim(&files.target()).start(options(49)),
        Err(Error::BeyondEnd { .. })
    ));
    assert_eq!(
        claim(&files.target()).left().unwrap().durable,
        [0..50],
        "refused, and nothing lost"
    );
}

#[tokio::test]
async fn reserved_space_is_cut_to_the_object() {
    let files = Files::new();
    let options = StartOptions {
        allocation: Allocation::Prealloc,
        ..options(3 << 20)
    };
    let writer = claim(&files.target()).start(options).unwrap();
    assert_eq!(fs::metadata(files.part()).unwrap().len(), 3 << 20);
    submit(&writer, 0..1000).await;
    let finished = writer.finish(None, 1000).await.unwrap();
    let mut file = fs::File::open(finished.path).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, object(0..1000));
    assert_eq!(file.seek(SeekFrom::End(0)).unwrap(), 1000);
    file.flush().unwrap();
}

#[tokio::test]
async fn an_object_larger_than_the_disk_is_found_before_the_first_byte() {
    let files = Files::new();
    let options = StartOptions {
        allocation: Allocation::Prealloc,
        ..options(1 << 60)
    };
    match claim(&files.target()).start(options) {
        Err(Error::DiskFull {
            needed: Some(needed),
            ..
        }) => assert!(needed > 1 << 59),
        other => panic!("{other:?}"),
    }
    assert_eq!(names(files.directory.path()), [""; 0]);
}
