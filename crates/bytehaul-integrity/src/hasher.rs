//! Streaming computation, and which implementation serves which algorithm.
//!
//! Chosen by `examples/throughput.rs`, whose figures are on the crate's page: the RustCrypto crates for SHA and MD5
//! (level with `ring` at SHA-256, 3.7 times as fast at SHA-1, 4 % behind at SHA-512, which alone is not worth a second
//! library), `crc-fast` for the CRCs, `blake3` for itself.

use std::fmt;
use std::num::NonZeroU64;

use blake3::Hasher as Blake3;
use md5::Md5;
use sha1::Sha1;
use sha2::digest::Digest as _;
use sha2::{Sha256, Sha512};

use crate::{Algorithm, Crc, Digest};

/// Computes a digest from data that comes in pieces.
///
/// ```
/// use bytehaul_integrity::{Algorithm, Hasher};
///
/// let mut hasher = Hasher::new(Algorithm::Sha256);
/// hasher.update(b"a");
/// hasher.update(b"bc");
/// assert_eq!(hasher.finish().to_string(), "sha-256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
/// ```
#[derive(Clone)]
pub struct Hasher(State);

impl Hasher {
    /// Starts with no data.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
            Algorithm::Sha1 => State::Sha1(Sha1::new()),
            Algorithm::Md5 => State::Md5(Md5::new()),
            Algorithm::Crc32c => State::crc(Crc::Crc32c),
            Algorithm::Crc64Nvme => State::crc(Crc::Crc64Nvme),
            Algorithm::Crc64 => State::crc(Crc::Crc64),
            Algorithm::Blake3 => State::Blake3(Box::default()),
        })
    }

    /// Starts with no data, for the digest of the digests of parts of so many bytes; the last one may be shorter. An object
    /// without bytes is one part without bytes.
    #[must_use]
    pub fn composite(algorithm: Algorithm, part_size: NonZeroU64) -> Self {
        Self(State::Composite(Box::new(Composite {
            part: Self::new(algorithm),
            whole: Self::new(algorithm),
            size: part_size,
            left: part_size.get(),
            is_empty: true,
        })))
    }

    /// The digest of `data` in one call.
    #[must_use]
    pub fn digest(algorithm: Algorithm, data: &[u8]) -> Digest {
        let mut hasher = Self::new(algorithm);
        hasher.update(data);
        hasher.finish()
    }

    /// Adds `data` to what was hashed so far. Runs on the caller's thread; pieces of 64 KiB to 1 MiB are the fastest.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(data),
            State::Sha512(state) => state.update(data),
            State::Sha1(state) => state.update(data),
            State::Md5(state) => state.update(data),
            State::Crc(_, state) => state.update(data),
            State::Blake3(state) => {
                state.update(data);
            }
            State::Composite(state) => state.update(data),
        }
    }

    /// The digest of all data so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        let algorithm = self.algorithm();
        let digest = match self.0 {
            State::Sha256(state) => Digest::from_bytes(algorithm, &state.finalize()),
            State::Sha512(state) => Digest::from_bytes(algorithm, &state.finalize()),
            State::Sha1(state) => Digest::from_bytes(algorithm, &state.finalize()),
            State::Md5(state) => Digest::from_bytes(algorithm, &state.finalize()),
            State::Crc(crc, state) => Some(crc.digest(state.finalize())),
            State::Blake3(state) => Digest::from_bytes(algorithm, state.finalize().as_bytes()),
            State::Composite(state) => Some(state.finish()),
        };
        digest.expect("an implementation yields its algorithm's length")
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
            State::Sha1(_) => Algorithm::Sha1,
            State::Md5(_) => Algorithm::Md5,
            State::Crc(crc, _) => crc.algorithm(),
            State::Blake3(_) => Algorithm::Blake3,
            State::Composite(state) => state.whole.algorithm(),
        }
    }
}

/// Shows the algorithm only: the state would tell of the data.
impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hasher").field(&self.algorithm()).finish()
    }
}

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
    Sha1(Sha1),
    Md5(Md5),
    Crc(Crc, Box<crc_fast::Digest>),
    Blake3(Box<Blake3>),
    Composite(Box<Composite>),
}

#[derive(Clone)]
struct Composite {
    /// Of the bytes of the part that is under way.
    part: Hasher,
    /// Of the digests of those before it.
    whole: Hasher,
    size: NonZeroU64,
    /// Bytes that the part lacks.
    left: u64,
    /// Whether no part has had a byte.
    is_empty: bool,
}

impl Composite {
    fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let room = usize::try_from(self.left).unwrap_or(usize::MAX);
            let (now, rest) = data.split_at(room.min(data.len()));
            self.part.update(now);
            self.left -= now.len() as u64;
            self.is_empty = false;
            data = rest;
            if self.left == 0 {
                self.end_part();
            }
        }
    }

    fn end_part(&mut self) {
        let next = Hasher::new(self.part.algorithm());
        let ended = std::mem::replace(&mut self.part, next);
        self.whole.update(ended.finish().as_bytes());
        self.left = self.size.get();
    }

    fn finish(mut self) -> Digest {
        if self.is_empty || self.left < self.size.get() {
            self.end_part();
        }
        self.whole.finish()
    }
}

impl State {
    fn crc(crc: Crc) -> Self {
        Self::Crc(crc, Box::new(crc_fast::Digest::new(crc.implementation())))
    }
}
