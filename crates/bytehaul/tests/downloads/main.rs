//! Downloads against a server that lies, stalls, resets and changes its mind, through the public API alone.

mod bodies;
mod common;
mod control;
#[cfg(unix)]
mod crash;
#[cfg(unix)]
mod credentials;
#[cfg(unix)]
mod debug_log;
mod disk;
mod evidence;
mod identity;
mod integrity;
#[cfg(unix)]
mod logs;
mod memory;
mod metalink;
mod mirrors;
#[cfg(unix)]
mod name_servers;
mod named;
mod names;
#[cfg(unix)]
mod network;
#[cfg(unix)]
mod nginx;
mod pieces;
mod progress;
#[cfg(feature = "presigned")]
mod protocols;
#[cfg(unix)]
mod proxies;
mod publish;
mod ranges;
mod redirects;
mod refresher;
mod refusals;
mod resume;
mod retry;
mod secrets;
mod speed;
mod stream;
