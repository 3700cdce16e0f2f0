//! The hook by which an application that does not use `tracing` hears what downloads log.
//!
//! Everything is logged over [`tracing`](https://docs.rs/tracing), with URLs redacted and credentials left out; an application
//! that has a `tracing` subscriber needs nothing else. Others set one listener for the process:
//!
//! ```
//! use std::sync::Arc;
//!
//! use bytehaul::debug_log::{LogLevel, LogRecord, set_debug_log_listener};
//!
//! set_debug_log_listener(Some(Arc::new(|record: &LogRecord| {
//!     if record.level <= LogLevel::Debug {
//!         eprintln!("{} {} {:?}", record.level, record.message, record.fields);
//!     }
//! })));
//! // … downloads …
//! set_debug_log_listener(None);
//! ```
//!
//! It hears the events of bytehaul's own crates, of every level, beside whatever subscriber there is. What hyper, rustls and
//! hickory emit does not come to it: that may hold whole URLs and headers, and goes to `tracing` alone. Without a listener
//! an event costs one more atomic load.

pub use bytehaul_log::{DebugLogListener, LogLevel, LogRecord, set_debug_log_listener};
