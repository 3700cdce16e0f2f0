//! Tests of the public face.

#![expect(
    clippy::single_range_in_vec_init,
    reason = "what is compared is a list of ranges"
)]

mod budget;
mod checkpoints;
mod claims;
mod common;
mod few_threads;
#[cfg(target_os = "linux")]
mod full_disk;
#[cfg(unix)]
mod kill;
mod properties;
mod resume;
mod source;
