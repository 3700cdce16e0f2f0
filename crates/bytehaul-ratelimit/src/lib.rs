//! The crate's face: which modules exist and what of them is public.
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod bucket;
mod gate;
mod limiter;
mod rate;
mod turns;

pub use limiter::Limiter;
pub use rate::BytesPerSecond;
