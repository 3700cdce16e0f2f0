//! Streaming computation, and which implementation serves which algorithm.
//!
//! Chosen by `examples/throughput.rs`, whose figures are on the crate's page: the RustCrypto crates for SHA and MD5
//! (level with `ring` at SHA-256, 3.7 times as fast at SHA-1, 4 % behind at SHA-512, which alone is not worth a second
//! library), `crc-fast` for the CRCs, `blake3` for itself.

use std::fmt;

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
        };
        digest.expect("an implementation yields its algorithm's length")
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match &self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
            State::Sha1(_) => Algorithm::Sha1,
            State::Md5(_) => Algorithm::Md5,
            State::Crc(crc, _) => crc.algorithm(),
            State::Blake3(_) => Algorithm::Blake3,
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
}

impl State {
    fn crc(crc: Crc) -> Self {
        Self::Crc(crc, Box::new(crc_fast::Digest::new(crc.implementation())))
    }
}
