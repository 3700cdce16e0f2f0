//! An event as a listener gets it: plain text and numbers, no type of `tracing`.

use std::fmt;
use std::time::SystemTime;

use tracing::field::{Field, Visit};

/// One thing that was logged.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LogRecord {
    /// When.
    pub time: SystemTime,
    /// How much it matters.
    pub level: LogLevel,
    /// The module that logged it, such as `bytehaul::session::probe`.
    pub target: &'static str,
    /// What happened.
    pub message: String,
    /// Its circumstances: name and value, in the order in which they were logged.
    pub fields: Vec<(&'static str, String)>,
}

/// How much an event matters, the most first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum LogLevel {
    /// Something failed for good.
    Error,
    /// Somebody should look at it.
    Warn,
    /// A user may want to know.
    Info,
    /// A decision.
    Debug,
    /// A step.
    Trace,
}

impl LogLevel {
    /// The level in capitals, such as `DEBUG`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl LogRecord {
    pub(crate) fn of(event: &tracing::Event<'_>, time: SystemTime) -> Self {
        let metadata = event.metadata();
        let mut record = Self {
            time,
            level: level(*metadata.level()),
            target: metadata.target(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut record);
        record
    }
}

impl Visit for LogRecord {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let causes = std::iter::successors(value.source(), |error| error.source());
        let line = causes.fold(value.to_string(), |line, cause| format!("{line}: {cause}"));
        self.put(field, line);
    }
}

impl LogRecord {
    fn put(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.push((field.name(), value));
        }
    }
}

fn level(level: tracing::Level) -> LogLevel {
    match level {
        tracing::Level::ERROR => LogLevel::Error,
        tracing::Level::WARN => LogLevel::Warn,
        tracing::Level::INFO => LogLevel::Info,
        tracing::Level::DEBUG => LogLevel::Debug,
        tracing::Level::TRACE => LogLevel::Trace,
    }
}
