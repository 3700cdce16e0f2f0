//! The same promises for bytes that are read in order, without a file.

use std::time::{Duration, Instant};

use bytehaul::{Algorithm, Checksum, DownloadError, DownloadSpec, DownloadStream};
use bytehaul_integrity::Hasher;
use bytehaul_testkit::{Behaviour, Effect, Object, When};

use crate::common::{Bed, KIB, MIB, eventually};

const LEN: u64 = 6 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

/// Reads to the end, or to the error.
async fn read(mut body: DownloadStream) -> (Vec<u8>, Option<DownloadError>) {
    let mut bytes = Vec::new();
    let read = async {
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                Err(error) => return Some(error),
            }
        }
        None
    };
    let Ok(error) = tokio::time::timeout(Duration::from_secs(15), read).await else {
        panic!("hangs after {} bytes: {:?}", bytes.len(), body.handle());
    };
    (bytes, error)
}

async fn check(behaviour: Behaviour, change: impl Fn(DownloadSpec) -> DownloadSpec) {
    for connections in [1, 4] {
        let bed = Bed::serving(&object().behaviour(behaviour.clone()));
        let body = bed
            .downloader
            .stream(change(bed.spec().max_connections(connections)));
        let (bytes, error) = read(body).await;
        assert!(error.is_none(), "{error:?}");
        assert!(
            bytes == object().whole(),
            "{} bytes, and not the right ones",
            bytes.len()
        );
        assert_eq!(bed.names(), Vec::<String>::new(), "no file");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_in_order() {
    check(Behaviour::new().rate(8 * MIB), |spec| spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_in_order_within_the_least_memory() {
    check(Behaviour::new(), |spec| spec.memory_budget(64 * KIB)).await;
}

/// Bytes that wait for those before them must not take the memory that those need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_that_are_larger_than_the_memory() {
    let slow_start = Behaviour::new().when(When::Requests(0..1), Effect::Rate(MIB));
    check(slow_start, |spec| {
        spec.piece_size(4 * MIB).memory_budget(MIB)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_in_order_without_ranges_or_a_length() {
    let whole = Behaviour::new().always(Effect::IgnoreRange);
    check(whole.clone(), |spec| spec).await;
    check(whole.always(Effect::Chunked(10_000)), |spec| spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_in_order_through_all_trouble() {
    let resets = Behaviour::new()
        .rate(8 * MIB)
        .when(When::Chance(400), Effect::ResetWithin(0..500 * KIB));
    check(resets, |spec| spec.max_retries(20)).await;
    let refusals = Behaviour::new()
        .rate(8 * MIB)
        .when(When::Above(2), Effect::status(503));
    check(refusals, |spec| spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_in_order_from_strange_answers() {
    let aligned = Behaviour::new()
        .rate(8 * MIB)
        .when(When::From(1), Effect::AlignStart(100_000));
    check(aligned, |spec| spec).await;
    let breaks = Behaviour::new()
        .when(When::Requests(0..3), Effect::TruncateAfter(MIB))
        .always(Effect::IgnoreRange);
    check(breaks, |spec| spec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checksum_that_does_not_match_is_the_last_word() {
    let right = Checksum::Sha256(Hasher::digest(Algorithm::Sha256, &object().whole()).hex());
    check(Behaviour::new(), |spec| spec.checksum(right.clone())).await;
    let bed = Bed::serving(&object().flipped_at(LEN - 1));
    let (bytes, error) = read(bed.downloader.stream(bed.spec().checksum(right))).await;
    assert_eq!(bytes.len() as u64, LEN);
    assert_eq!(error.map(|error| error.code()), Some(116));
}

/// What was read cannot be taken back, so another version is an error and never a mixture.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_midway_is_an_error() {
    for connections in [1, 4] {
        let bed = Bed::serving(&object().behaviour(Behaviour::new().total_rate(8 * MIB)));
        let body = bed
            .downloader
            .stream(bed.spec().max_connections(connections));
        eventually("some bytes", || bed.server.bytes_sent() > MIB).await;
        bed.server.replace("/f", Object::random(2, LEN));
        bed.server.reset_connections();
        let (bytes, error) = read(body).await;
        assert!(
            matches!(error, Some(DownloadError::RemoteChanged { .. })),
            "{error:?}"
        );
        assert!(
            bytes.len() < object().whole().len() && object().whole().starts_with(&bytes),
            "mixed"
        );
    }
}

/// A reader that takes its time holds the sockets up and not the bytes in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_slows_the_server_down() {
    let object = Object::random(1, 64 * MIB);
    let bed = Bed::serving(&object);
    let body = bed
        .downloader
        .stream(bed.spec().max_connections(4).memory_budget(MIB));
    tokio::time::sleep(Duration::from_millis(700)).await;
    let sent = bed.server.bytes_sent();
    // The budget, and what the kernel holds for four connections.
    assert!(
        sent < 48 * MIB,
        "{sent} bytes sent to a reader that reads nothing"
    );
    drop(body);
    bed.falls_silent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_end_the_stream_once() {
    let bed = Bed::serving(&object().behaviour(Behaviour::new().always(Effect::status(404))));
    let mut wrong = bed.spec();
    wrong.url = "ftp://h/".into();
    for (spec, code) in [
        (bed.spec(), 109),
        (wrong, 102),
        (bed.spec().checksum(Checksum::Md5("1".into())), 102),
    ] {
        let mut body = bed.downloader.stream(spec);
        let first = body.next().await.expect("an error");
        assert_eq!(first.expect_err("an error").code(), code);
        assert!(body.next().await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ends_the_stream_at_once() {
    let bed = Bed::serving(&object().behaviour(Behaviour::new().total_rate(MIB)));
    let mut body = bed.downloader.stream(bed.spec());
    body.next().await.expect("some bytes").expect("no error");
    let began = Instant::now();
    drop(body.handle().cancel());
    let (_, error) = read(body).await;
    assert!(matches!(error, Some(DownloadError::Cancelled)), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(1));
}
