//! Why an upload did not end in an object: one error type, shaped by what the caller does next.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytehaul_integrity::Digest;
use bytehaul_providers::{ProtocolError, ProtocolErrorKind};
use bytehaul_transport::SafeUrl;

use crate::error::{
    DownloadError, ErrorKind, after, is_callers_fault, is_transient, storage_code, storage_path,
};

/// Why an upload ended without the server's word that the object is there.
///
/// The message says what failed and for which URL or path; the cause beneath it is
/// [`source`](std::error::Error::source). Branch on the variant, on [`kind`](Self::kind) or on the stable
/// [`code`](Self::code), never on the text. URLs in it are redacted. Cloning is cheap.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// Stopped by [`cancel`](crate::UploadHandle::cancel); what was staged at the server is being discarded.
    #[error("cancelled")]
    Cancelled,
    /// Stopped by [`pause`](crate::UploadHandle::pause); the checkpoint is saved, and the same upload goes on from there.
    #[error("paused")]
    Paused,
    /// A field of the spec or of the builder cannot be used. Nothing was tried.
    #[error("invalid {name}: {reason}")]
    #[non_exhaustive]
    InvalidParameter {
        /// Which one.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be set up.
    #[error("set up the HTTP client")]
    #[non_exhaustive]
    Client {
        /// Why.
        source: Arc<bytehaul_transport::Error>,
    },
    /// The network failed: name not found, refused, TLS not trusted, timed out, reset; and retrying did not
    /// help or could not.
    #[error("upload to {url}{}", after(*.retries))]
    #[non_exhaustive]
    Network {
        /// The URL, redacted.
        url: SafeUrl,
        /// Retries in a row that did not help.
        retries: u32,
        /// What failed last.
        source: Arc<bytehaul_transport::Error>,
    },
    /// The server answered with a status that is no success.
    #[error("{url} answered {status} {}{}{}", .while_doing, said(.text), after(*.retries))]
    #[non_exhaustive]
    Status {
        /// The URL, redacted.
        url: SafeUrl,
        /// The status, such as 403.
        status: http::StatusCode,
        /// To what, in a few words.
        while_doing: &'static str,
        /// The beginning of what the server said about it, if that is text.
        text: String,
        /// Retries in a row that did not help.
        retries: u32,
    },
    /// The server no longer took the credentials, and the [`Refresh`](crate::Refresh) had no others, or none that can be used.
    #[error("renew the access to {url}")]
    #[non_exhaustive]
    Refresh {
        /// The URL, redacted.
        url: SafeUrl,
        /// What the refresher said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The protocol cannot go on: an answer that cannot be understood or cannot be right, a plan that does not fit, a
    /// verdict that cannot be had. [`ProtocolError::kind`] tells which.
    #[error("upload to {url}{}", after(*.retries))]
    #[non_exhaustive]
    Protocol {
        /// The URL, redacted.
        url: SafeUrl,
        /// Retries in a row that did not help.
        retries: u32,
        /// What is wrong.
        source: Arc<ProtocolError>,
    },
    /// The source does not hash to what was asked for. The object was not completed.
    #[error("checksum of {name} is {actual}, expected {expected}")]
    #[non_exhaustive]
    ChecksumMismatch {
        /// The source.
        name: String,
        /// What was asked for.
        expected: Box<Digest>,
        /// What the source has.
        actual: Box<Digest>,
    },
    /// This machine: the source is missing, changed during the upload or cannot be read, or the checkpoint cannot be written.
    #[error(transparent)]
    Storage(Arc<bytehaul_storage::Error>),
    /// The reader that was to be uploaded failed.
    #[error("read {name}")]
    #[non_exhaustive]
    Read {
        /// The source.
        name: String,
        /// What it said.
        source: Arc<io::Error>,
    },
    /// A bug: a part of the upload panicked. The checkpoint is kept.
    #[error("internal error in the upload to {url}: {what}")]
    #[non_exhaustive]
    Internal {
        /// The URL, redacted.
        url: SafeUrl,
        /// What the panic said.
        what: String,
    },
}

impl UploadError {
    /// Whose fault it is, in a few classes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Cancelled | Self::Paused => ErrorKind::Stopped,
            Self::InvalidParameter { .. } | Self::Client { .. } => ErrorKind::Parameter,
            Self::Network { source, .. } if is_callers_fault(source.kind()) => ErrorKind::Parameter,
            Self::Network { .. } => ErrorKind::Network,
            Self::Status { status, .. } if is_transient(*status) => ErrorKind::Network,
            Self::Status { .. } | Self::Refresh { .. } => ErrorKind::Server,
            Self::Protocol { source, .. } => protocol_kind(source.kind()),
            Self::ChecksumMismatch { .. } => ErrorKind::Integrity,
            Self::Storage(_) | Self::Read { .. } => ErrorKind::Local,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// A number that never changes its meaning, for logs and foreign languages.
    ///
    /// 102 invalid parameter · 105 local I/O · 106 network · 109 status · 110 length · 113 answer that cannot be
    /// understood · 114 cursor that cannot be right · 115 source file not found · 116 checksum mismatch · 119 client set-up ·
    /// 120 cancelled · 121 disk full · 122 source removed, replaced or changed · 123 object changed or exists · 124 paused ·
    /// 126 uploaded by another process · 127 internal · 129 access not renewed · 130 indeterminate: the object may or may
    /// not be there.
    pub fn code(&self) -> u16 {
        match self {
            Self::InvalidParameter { .. } => 102,
            Self::Network { source, .. } if is_callers_fault(source.kind()) => 102,
            Self::Network { .. } => 106,
            Self::Status { .. } => 109,
            Self::Protocol { source, .. } => protocol_code(source.kind()),
            Self::ChecksumMismatch { .. } => 116,
            Self::Client { .. } => 119,
            Self::Cancelled => 120,
            Self::Storage(source) => storage_code(source),
            Self::Read { .. } => 105,
            Self::Paused => 124,
            Self::Internal { .. } => 127,
            Self::Refresh { .. } => 129,
        }
    }

    /// The status of the server's answer, when that was what failed.
    pub fn status(&self) -> Option<http::StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Protocol { source, .. } => match source.kind() {
                ProtocolErrorKind::Status(status) => Some(status),
                _ => None,
            },
            _ => None,
        }
    }

    /// The path that a local failure speaks of.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Storage(source) => storage_path(source),
            _ => None,
        }
    }

    /// Whether another upload has the checkpoint in its hands.
    pub(crate) fn is_locked(&self) -> bool {
        match self {
            Self::Storage(source) => matches!(**source, bytehaul_storage::Error::Locked { .. }),
            _ => false,
        }
    }

    pub(crate) fn parameter(name: &'static str, reason: impl fmt::Display) -> Self {
        Self::InvalidParameter {
            name,
            reason: reason.to_string(),
        }
    }

    /// What a protocol found wrong; a setting of it is the caller's.
    pub(crate) fn protocol(url: &SafeUrl, source: ProtocolError) -> Self {
        match source.kind() {
            ProtocolErrorKind::Parameter => Self::InvalidParameter {
                name: "protocol",
                reason: crate::session::trouble::in_a_line(&source),
            },
            _ => Self::Protocol {
                url: url.clone(),
                retries: 0,
                source: Arc::new(source),
            },
        }
    }

    /// The same error with the number of retries that did not help.
    pub(crate) fn after_retries(mut self, count: u32) -> Self {
        match &mut self {
            Self::Network { retries, .. }
            | Self::Status { retries, .. }
            | Self::Protocol { retries, .. } => *retries = count,
            _ => (),
        }
        self
    }
}

impl From<bytehaul_storage::Error> for UploadError {
    fn from(source: bytehaul_storage::Error) -> Self {
        Self::Storage(Arc::new(source))
    }
}

impl From<DownloadError> for UploadError {
    /// For what both directions share: settings, and the client.
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::InvalidParameter { name, reason } => {
                Self::InvalidParameter { name, reason }
            }
            DownloadError::Client { source } => Self::Client { source },
            DownloadError::Refresh { url, source } => Self::Refresh { url, source },
            DownloadError::Storage(source) => Self::Storage(source),
            DownloadError::Cancelled => Self::Cancelled,
            DownloadError::Paused => Self::Paused,
            DownloadError::Internal { url, what } => Self::Internal { url, what },
            DownloadError::Network {
                url,
                retries,
                source,
            } => Self::Network {
                url,
                retries,
                source,
            },
            other => Self::InvalidParameter {
                name: "settings",
                reason: other.to_string(),
            },
        }
    }
}

fn protocol_kind(kind: ProtocolErrorKind) -> ErrorKind {
    match kind {
        ProtocolErrorKind::Parameter => ErrorKind::Parameter,
        ProtocolErrorKind::Checksum => ErrorKind::Integrity,
        ProtocolErrorKind::Changed => ErrorKind::RemoteChanged,
        ProtocolErrorKind::Status(status) if is_transient(status) => ErrorKind::Network,
        ProtocolErrorKind::Indeterminate | ProtocolErrorKind::Custom => ErrorKind::Network,
        _ => ErrorKind::Server,
    }
}

fn protocol_code(kind: ProtocolErrorKind) -> u16 {
    match kind {
        ProtocolErrorKind::Parameter => 102,
        ProtocolErrorKind::Status(_) => 109,
        ProtocolErrorKind::Length => 110,
        ProtocolErrorKind::Range => 114,
        ProtocolErrorKind::Checksum => 116,
        ProtocolErrorKind::Changed => 123,
        ProtocolErrorKind::Refresh => 129,
        ProtocolErrorKind::Indeterminate => 130,
        ProtocolErrorKind::Custom => 106,
        // `Parse`, and kinds that the protocols may add.
        _ => 113,
    }
}

fn said(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!(": {text}"),
    }
}
