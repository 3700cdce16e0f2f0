//! The crate's face: which modules exist and what of them is public.
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod algorithm;
pub mod crc;
mod digest;
mod expected;
mod hasher;
pub mod headers;
mod join;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use crc::{Crc, crc32c, crc32c_append, crc32c_combine};
pub use digest::{Digest, ParseError};
pub use expected::{Expected, Hashing};
pub use hasher::Hasher;
pub use join::{JoinError, Joiner, Segment};
