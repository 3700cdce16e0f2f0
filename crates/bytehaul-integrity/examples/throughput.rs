//! The figures by which the implementations were chosen: GiB/s of each on hot data, one thread.
//!
//! `cargo run --release -p bytehaul-integrity --example throughput`

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytehaul_integrity::{Algorithm, Crc, Hasher};
use crc_fast::CrcAlgorithm;

fn main() {
    let data = vec![0x5a; CHUNK];
    for algorithm in Algorithm::ALL {
        let ours = || drop_value(Hasher::digest(algorithm, black_box(&data)));
        let Some(ring) = in_ring(algorithm) else {
            let [rate, _] = best(ours, || ());
            println!("{algorithm:<10} {rate:6.2} GiB/s");
            continue;
        };
        let [rate, other] = best(ours, || {
            drop_value(ring::digest::digest(ring, black_box(&data)));
        });
        println!("{algorithm:<10} {rate:6.2} GiB/s, {other:.2} with ring");
    }
    for (crc, other) in [
        (Crc::Crc32c, CrcAlgorithm::Crc32Iscsi),
        (Crc::Crc64Nvme, CrcAlgorithm::Crc64Nvme),
        (Crc::Crc64, CrcAlgorithm::Crc64Xz),
    ] {
        let own = each(|len| crc.combine(1, 7, len));
        let theirs = each(|len| crc_fast::checksum_combine(other, 1, 7, len));
        println!(
            "{:<10} {own:?} a combine, {theirs:?} with crc-fast",
            crc.algorithm()
        );
    }
}

fn in_ring(algorithm: Algorithm) -> Option<&'static ring::digest::Algorithm> {
    match algorithm {
        Algorithm::Sha256 => Some(&ring::digest::SHA256),
        Algorithm::Sha512 => Some(&ring::digest::SHA512),
        Algorithm::Sha1 => Some(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY),
        _ => None,
    }
}

/// GiB/s of both, each the best of many short rounds that alternate: what they can do when nothing else runs.
fn best(mut one: impl FnMut(), mut other: impl FnMut()) -> [f64; 2] {
    let mut shortest = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        shortest[0] = shortest[0].min(time(&mut one));
        shortest[1] = shortest[1].min(time(&mut other));
    }
    shortest.map(|time| CHUNK as f64 / time.as_secs_f64() / f64::from(1 << 30))
}

fn each(combine: impl Fn(u64) -> u64) -> Duration {
    let round = || {
        (0..JOINS)
            .for_each(|round| drop_value(combine(black_box(CHUNK as u64 - u64::from(round)))));
    };
    (0..ROUNDS / 10)
        .map(|_| time(&mut { round }))
        .min()
        .expect("there are rounds")
        / JOINS
}

fn time(work: &mut impl FnMut()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn drop_value<T>(value: T) {
    black_box(value);
}

const CHUNK: usize = 1 << 20;
const JOINS: u32 = 100;
const ROUNDS: u32 = 200;
