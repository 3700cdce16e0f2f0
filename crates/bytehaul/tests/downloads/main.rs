//! Downloads against a server that lies, stalls, resets and changes its mind, through the public API alone.

mod common;
mod control;
mod identity;
mod integrity;
mod memory;
mod names;
#[cfg(unix)]
mod nginx;
mod publish;
mod ranges;
mod redirects;
mod resume;
mod retry;
