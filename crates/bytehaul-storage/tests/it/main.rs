//! Tests of the public face.

mod budget;
mod claims;
mod common;
#[cfg(target_os = "linux")]
mod full_disk;
#[cfg(unix)]
mod kill;
mod properties;
mod resume;
