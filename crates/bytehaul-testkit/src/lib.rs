//! The test kit of the workspace: what hostile servers, slow networks and sudden deaths look like.
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![deny(unsafe_code)]

mod compare;
#[cfg(unix)]
pub mod conformance;
#[cfg(unix)]
mod daemon;
#[cfg(all(unix, feature = "tls"))]
pub mod dns;
#[cfg(unix)]
pub mod nginx;
#[cfg(feature = "tls")]
pub mod pki;
#[cfg(unix)]
pub mod process;
#[cfg(all(unix, feature = "tls"))]
pub mod proxy;
mod server;
pub mod sim;
#[cfg(unix)]
pub mod uploads;
#[cfg(unix)]
mod usage;

pub use compare::{Mismatch, check_file};
#[cfg(feature = "tls")]
pub use server::Handshake;
pub use server::{
    Behaviour, Builder, Effect, Excess, Object, RecordedRequest, RequestedRange, Server,
    StatusAnswer, When,
};
#[cfg(unix)]
pub use usage::Usage;
