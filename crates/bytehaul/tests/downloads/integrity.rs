//! What is published hashes to what was asked for, and what an earlier run left is believed only as far as its bytes bear it out.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use bytehaul::{Algorithm, Checksum, DownloadError, ErrorKind};
use bytehaul_integrity::Hasher;
use bytehaul_testkit::{Behaviour, Effect, Object, When};

use crate::common::{Bed, KIB, MIB};

const LEN: u64 = 4 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

fn sha256(object: &Object) -> Checksum {
    Checksum::Sha256(Hasher::digest(Algorithm::Sha256, &object.whole()).hex())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_algorithm_is_checked() {
    let bytes = object().whole();
    let hex = |algorithm| Hasher::digest(algorithm, &bytes).hex();
    let right = [
        Checksum::Sha256(hex(Algorithm::Sha256)),
        Checksum::Sha512(hex(Algorithm::Sha512)),
        Checksum::Sha1(hex(Algorithm::Sha1)),
        Checksum::Md5(hex(Algorithm::Md5)),
        Checksum::Crc32c(hex(Algorithm::Crc32c)),
        Checksum::Crc64Nvme(hex(Algorithm::Crc64Nvme)),
        Checksum::Crc64(hex(Algorithm::Crc64)),
        Checksum::Blake3(hex(Algorithm::Blake3)),
    ];
    for checksum in right {
        let bed = Bed::serving(&object());
        let outcome = bed
            .completes(
                bed.spec().max_connections(4).checksum(checksum.clone()),
                &object(),
            )
            .await;
        assert_eq!(
            outcome.digest,
            Some(checksum.digest().expect("well formed"))
        );
        // One silent error anywhere, and nothing is published.
        let bed = Bed::serving(&object().flipped_at(LEN - 1));
        let error = bed
            .fetch(bed.spec().max_connections(4).checksum(checksum))
            .await
            .expect_err("one byte differs");
        assert_eq!(
            (error.code(), error.kind()),
            (116, ErrorKind::Integrity),
            "{error:?}"
        );
        assert_eq!(
            bed.names(),
            Vec::<String>::new(),
            "wrong bytes are of no use to anybody"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mismatch_says_what_was_found() {
    let bed = Bed::serving(&object());
    let error = bed
        .fetch(bed.spec().checksum(Checksum::Sha256("ab".repeat(32))))
        .await
        .expect_err("another file");
    let DownloadError::ChecksumMismatch {
        expected, actual, ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(expected.hex(), "ab".repeat(32));
    assert_eq!(
        *actual,
        Hasher::digest(Algorithm::Sha256, &object().whole())
    );
    assert!(!bed.target().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_checksum_fails_before_anything_is_sent() {
    let bed = Bed::serving(&object());
    for text in [
        "",
        "12",
        "zz",
        &"g".repeat(64),
        &"ab".repeat(33),
        &"ab".repeat(31),
        "sha256:abc",
    ] {
        for checksum in [
            Checksum::Sha256(text.into()),
            Checksum::Sha512(text.into()),
            Checksum::Crc64(text.into()),
        ] {
            let error = bed
                .fetch(bed.spec().checksum(checksum.clone()))
                .await
                .expect_err("malformed");
            assert_eq!(
                (error.code(), error.kind()),
                (102, ErrorKind::Parameter),
                "{checksum:?}: {error:?}"
            );
        }
    }
    assert_eq!(bed.server.connections(), 0);
    assert_eq!(bed.names(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_download_is_checked_as_a_whole() {
    for (first, second) in [(8, 1), (1, 8)] {
        let bed = Bed::serving(&object());
        bed.paused_at(bed.spec().max_connections(first), 2 * MIB, 16 * MIB)
            .await;
        let spec = bed
            .spec()
            .max_connections(second)
            .checksum(sha256(&object()));
        let outcome = bed.completes(spec, &object()).await;
        assert!(
            outcome.resumed_from > 0 && outcome.digest.is_some(),
            "{outcome:?}"
        );
    }
}

/// What the first run was given wrongly is found by the second, though that one fetched only right bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_byte_of_an_earlier_run_is_found() {
    let bed = Bed::serving(&object().flipped_at(0));
    bed.paused_at(bed.spec().max_connections(2), 2 * MIB, 16 * MIB)
        .await;
    bed.server.replace("/f", object());
    let error = bed
        .fetch(bed.spec().checksum(sha256(&object())))
        .await
        .expect_err("one byte differs");
    assert_eq!(error.code(), 116, "{error:?}");
    // The next try starts from nothing and is right.
    let outcome = bed
        .completes(bed.spec().checksum(sha256(&object())), &object())
        .await;
    assert_eq!(outcome.resumed_from, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_empty_files_are_checked_as_well() {
    for (len, effect) in [
        (0, None),
        (MIB, Some(Effect::Chunked(777))),
        (MIB, Some(Effect::CloseDelimited)),
    ] {
        let object = Object::random(1, len);
        let behaviour = effect.into_iter().fold(
            Behaviour::new().when(When::Always, Effect::IgnoreRange),
            Behaviour::always,
        );
        let bed = Bed::serving(&object.clone().behaviour(behaviour));
        let outcome = bed
            .completes(bed.spec().checksum(sha256(&object)), &object)
            .await;
        assert!(outcome.digest.is_some());
        let bed = Bed::serving(&object);
        let error = bed
            .fetch(bed.spec().checksum(Checksum::Md5("00".repeat(16))))
            .await
            .expect_err("another");
        assert_eq!(error.code(), 116);
        assert!(!bed.target().exists());
    }
}

/// Does something to what is left, and downloads: the right bytes, and not a wrong one of those that were left.
async fn damaged(name: &str, damage: impl FnOnce(&Bed)) -> u64 {
    let bed = Bed::serving(&object());
    bed.paused_at(
        bed.spec().max_connections(4).piece_size(256 * KIB),
        2 * MIB,
        16 * MIB,
    )
    .await;
    damage(&bed);
    println!("{name}");
    bed.completes(bed.spec().max_connections(4), &object())
        .await
        .resumed_from
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("read");
    change(&mut bytes);
    fs::write(path, bytes).expect("write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_file_that_cannot_be_believed_is_discarded() {
    type Damage = (&'static str, fn(&mut Vec<u8>));
    let damages: [Damage; 7] = [
        ("empty", Vec::clear),
        ("half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("zeros", |bytes| bytes.fill(0)),
        ("ones", |bytes| bytes.fill(0xff)),
        ("garbage", |bytes| *bytes = Object::random(9, 4096).whole()),
        ("another version", |bytes| bytes[8] ^= 0xff),
        ("one bit", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }),
    ];
    for (name, change) in damages {
        let resumed = damaged(name, |bed| edit(&bed.control(), change)).await;
        assert_eq!(resumed, 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_without_the_other_is_nothing() {
    let gone = |path: &Path| fs::remove_file(path).expect("remove");
    assert_eq!(
        damaged("no control file", |bed| gone(&bed.control())).await,
        0
    );
    assert_eq!(damaged("no part file", |bed| gone(&bed.part())).await, 0);
    assert_eq!(
        damaged("an empty part file", |bed| edit(&bed.part(), Vec::clear)).await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_the_part_file_that_are_not_what_was_written_are_fetched_again() {
    let flip = |path: &Path| {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .expect("open");
        let mut byte = [0];
        file.read_exact(&mut byte).expect("read");
        file.seek(SeekFrom::Start(0)).expect("seek");
        file.write_all(&[!byte[0]]).expect("write");
    };
    let resumed = damaged("one byte", |bed| flip(&bed.part())).await;
    assert!(resumed > 0, "the pieces around it are still good");
    damaged("zeros", |bed| edit(&bed.part(), |bytes| bytes.fill(0))).await;
    damaged("cut off", |bed| {
        edit(&bed.part(), |bytes| bytes.truncate(bytes.len() / 3));
    })
    .await;
}
