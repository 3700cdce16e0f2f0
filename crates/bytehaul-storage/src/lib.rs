//! The crate's face: which of its parts callers use.
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![forbid(unsafe_code)]

use std::sync::{Mutex, MutexGuard, PoisonError};

mod budget;
pub mod checkpoints;
mod claim;
pub mod control;
mod disk;
mod error;
mod layout;
mod load;
mod part;
mod ranges;
mod segments;
pub mod source;
mod sys;
#[cfg(test)]
mod tests;
mod witness;
mod writer;

pub use budget::{Budget, Buffer};
pub use checkpoints::{CheckpointEntry, CheckpointFile, Checkpoints};
pub use claim::{
    Allocation, Claim, Conflict, Durability, Keep, Resume, StartOptions, claim, claim_unless,
};
pub use control::{Identity, KnownDigest};
pub use error::{Error, FinishError, is_disk_full};
pub use layout::Layout;
pub use load::Left;
pub use source::{FileSource, Fingerprint};
pub use writer::{Finished, Status, Writer};

/// A panic elsewhere leaves our state whole: every change to it is made in one step under the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
