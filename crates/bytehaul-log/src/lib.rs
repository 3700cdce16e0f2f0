//! The crate's face: the macros by which the other crates log, and the listener beside `tracing`.
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod listener;
mod record;

pub use self::listener::{DebugLogListener, set_debug_log_listener};
pub use self::record::{LogLevel, LogRecord};

#[doc(hidden)]
pub use self::listener::{is_listening, tee};
#[doc(hidden)]
pub use tracing;

/// Logs what went wrong for good. Takes what `tracing::error!` takes.
#[macro_export]
macro_rules! error { ($($event:tt)+) => { $crate::event!(error, $($event)+) }; }

/// Logs what somebody should look at. Takes what `tracing::warn!` takes.
#[macro_export]
macro_rules! warn { ($($event:tt)+) => { $crate::event!(warn, $($event)+) }; }

/// Logs what a user may want to know. Takes what `tracing::info!` takes.
#[macro_export]
macro_rules! info { ($($event:tt)+) => { $crate::event!(info, $($event)+) }; }

/// Logs a decision. Takes what `tracing::debug!` takes.
#[macro_export]
macro_rules! debug { ($($event:tt)+) => { $crate::event!(debug, $($event)+) }; }

/// Logs a step. Takes what `tracing::trace!` takes.
#[macro_export]
macro_rules! trace { ($($event:tt)+) => { $crate::event!(trace, $($event)+) }; }

/// The event for `tracing`, and the same once more for the listener; then its values are computed once more, too.
#[doc(hidden)]
#[macro_export]
macro_rules! event {
    ($level:ident, $($event:tt)+) => {{
        let emit = || $crate::tracing::$level!($($event)+);
        emit();
        if $crate::is_listening() {
            $crate::tee(emit);
        }
    }};
}
