//! Why a download did not end in a file: one error type, shaped by what the caller does next.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytehaul_integrity::Digest;
use bytehaul_transport::SafeUrl;

/// Why a download ended without a file at its target.
///
/// The message says what failed and for which URL or path; the cause beneath it is
/// [`source`](std::error::Error::source). Branch on the variant, on [`kind`](Self::kind) or on the stable
/// [`code`](Self::code), never on the text. URLs in it are redacted. Cloning is cheap.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// Stopped by [`cancel`](crate::DownloadHandle::cancel); what had arrived is kept.
    #[error("cancelled")]
    Cancelled,
    /// Stopped by [`pause`](crate::DownloadHandle::pause); what had arrived is saved, and downloading the same
    /// spec again goes on from there.
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
    #[error("download {url}{}", after(*.retries))]
    #[non_exhaustive]
    Network {
        /// The URL, redacted.
        url: SafeUrl,
        /// Retries in a row that did not help.
        retries: u32,
        /// What failed last.
        source: Arc<bytehaul_transport::Error>,
    },
    /// The server answered with a status that is not a file.
    #[error("{url} answered {status}{}", after(*.retries))]
    #[non_exhaustive]
    Status {
        /// The URL, redacted.
        url: SafeUrl,
        /// The status, such as 404.
        status: http::StatusCode,
        /// Retries in a row that did not help.
        retries: u32,
    },
    /// The server no longer took URL or credentials, and the [`Refresh`](crate::Refresh) had no others, or none that
    /// can be used.
    #[error("renew the access to {url}")]
    #[non_exhaustive]
    Refresh {
        /// The URL, redacted.
        url: SafeUrl,
        /// What the refresher said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The server's answer cannot be used: a range that is not the one asked for, an encoding that was not
    /// asked for, a length that contradicts itself.
    #[error("{url} sent {what}{}", after(*.retries))]
    #[non_exhaustive]
    BadResponse {
        /// The URL, redacted.
        url: SafeUrl,
        /// What was wrong with it.
        what: String,
        /// Retries in a row that did not help.
        retries: u32,
    },
    /// The remote file changed and the transfer could not, or was not to, begin again.
    #[error("{url} changed during the transfer: {what}")]
    #[non_exhaustive]
    RemoteChanged {
        /// The URL, redacted.
        url: SafeUrl,
        /// What differs.
        what: String,
    },
    /// The bytes are wrong. Nothing was published, and the bytes are dropped.
    #[error("checksum of {}{url} is {actual}, expected {expected}{}", part_of(piece.as_ref()), by_whom(*declared))]
    #[non_exhaustive]
    ChecksumMismatch {
        /// The URL, redacted.
        url: SafeUrl,
        /// What was asked for.
        expected: Box<Digest>,
        /// What the file has.
        actual: Box<Digest>,
        /// The bytes that the digest is of; `None` for the whole file.
        piece: Option<Range<u64>>,
        /// Whether the provider of the object says so, rather than the caller.
        declared: bool,
    },
    /// The server has a file of another size than the one that was asked for. Nothing was published.
    #[error("{url} has {actual} bytes, expected {expected}")]
    #[non_exhaustive]
    SizeMismatch {
        /// The URL, redacted.
        url: SafeUrl,
        /// What was asked for.
        expected: u64,
        /// What the server has.
        actual: u64,
    },
    /// This machine: the target exists or is locked, the disk is full, a permission is missing, a write failed.
    #[error(transparent)]
    Storage(Arc<bytehaul_storage::Error>),
    /// A bug: a part of the download panicked. The part file is kept.
    #[error("internal error in the download of {url}: {what}")]
    #[non_exhaustive]
    Internal {
        /// The URL, redacted.
        url: SafeUrl,
        /// What the panic said.
        what: String,
    },
}

impl DownloadError {
    /// Whose fault it is, in a few classes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Cancelled | Self::Paused => ErrorKind::Stopped,
            Self::InvalidParameter { .. } => ErrorKind::Parameter,
            Self::Client { .. } => ErrorKind::Parameter,
            Self::Network { source, .. } if is_callers_fault(source.kind()) => ErrorKind::Parameter,
            Self::Network { .. } => ErrorKind::Network,
            Self::BadResponse { retries: 1.., .. } => ErrorKind::Network,
            Self::Status { status, .. } if is_transient(*status) => ErrorKind::Network,
            Self::Status { .. } | Self::Refresh { .. } | Self::BadResponse { .. } => {
                ErrorKind::Server
            }
            Self::RemoteChanged { .. } => ErrorKind::RemoteChanged,
            Self::ChecksumMismatch { .. } | Self::SizeMismatch { .. } => ErrorKind::Integrity,
            Self::Storage(_) => ErrorKind::Local,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// A number that never changes its meaning, for logs and foreign languages.
    ///
    /// 102 invalid parameter · 105 local I/O · 106 network · 109 status · 114 unusable answer to a range ·
    /// 115 source file not found · 116 checksum mismatch · 119 client set-up · 120 cancelled · 121 disk full ·
    /// 122 local file removed, replaced or changed · 123 remote file changed · 124 paused · 125 target exists or is
    /// a directory · 126 target locked by another transfer · 127 internal · 128 another size than expected · 129 access not renewed.
    pub fn code(&self) -> u16 {
        match self {
            Self::InvalidParameter { .. } => 102,
            Self::Network { source, .. } if is_callers_fault(source.kind()) => 102,
            Self::Network { .. } => 106,
            Self::Status { .. } => 109,
            Self::BadResponse { .. } => 114,
            Self::ChecksumMismatch { .. } => 116,
            Self::SizeMismatch { .. } => 128,
            Self::Client { .. } => 119,
            Self::Cancelled => 120,
            Self::Storage(source) => storage_code(source),
            Self::RemoteChanged { .. } => 123,
            Self::Paused => 124,
            Self::Internal { .. } => 127,
            Self::Refresh { .. } => 129,
        }
    }

    /// The status of the server's answer, when that was what failed.
    pub fn status(&self) -> Option<http::StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
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

    pub(crate) fn parameter(name: &'static str, reason: impl fmt::Display) -> Self {
        Self::InvalidParameter {
            name,
            reason: reason.to_string(),
        }
    }
}

impl From<bytehaul_storage::Error> for DownloadError {
    fn from(source: bytehaul_storage::Error) -> Self {
        Self::Storage(Arc::new(source))
    }
}

impl From<Arc<bytehaul_storage::Error>> for DownloadError {
    fn from(source: Arc<bytehaul_storage::Error>) -> Self {
        Self::Storage(source)
    }
}

/// Whose fault an error is; what a caller usually decides on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller: an argument cannot be used; nothing was tried.
    Parameter,
    /// The network, or a server that asked to come again later for too long.
    Network,
    /// The server: it answered, and the answer is not a file.
    Server,
    /// The bytes: they are not the ones that were expected.
    Integrity,
    /// This machine: disk, permissions, the target.
    Local,
    /// The remote file is another one than at the start.
    RemoteChanged,
    /// Nobody: it was asked to stop.
    Stopped,
    /// This library: a bug.
    Internal,
}

/// Statuses that are worth another try: RFC 9110 408 and 5xx, RFC 8470 425, RFC 6585 429.
pub(crate) fn is_transient(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error()
}

pub(crate) fn is_callers_fault(kind: bytehaul_transport::ErrorKind) -> bool {
    use bytehaul_transport::ErrorKind;
    matches!(
        kind,
        ErrorKind::InvalidUrl
            | ErrorKind::UnsupportedScheme
            | ErrorKind::InvalidHeader
            | ErrorKind::Configuration
    )
}

pub(crate) fn storage_path(error: &bytehaul_storage::Error) -> Option<&Path> {
    use bytehaul_storage::Error;
    match error {
        Error::TargetExists { path }
        | Error::TargetIsDirectory { path }
        | Error::NotAFile { path }
        | Error::BadName { path }
        | Error::Locked { path }
        | Error::ParentMissing { path }
        | Error::Permission { path, .. }
        | Error::DiskFull { path, .. }
        | Error::Removed { path }
        | Error::BeyondEnd { path, .. }
        | Error::NotDurable { path, .. }
        | Error::SourceMissing { path }
        | Error::SourceChanged { path, .. }
        | Error::Io { path, .. } => Some(path),
        _ => None,
    }
}

pub(crate) fn storage_code(error: &bytehaul_storage::Error) -> u16 {
    use bytehaul_storage::Error;
    match error {
        Error::DiskFull { .. } => 121,
        Error::SourceMissing { .. } => 115,
        Error::Removed { .. } | Error::SourceChanged { .. } => 122,
        Error::TargetExists { .. } | Error::TargetIsDirectory { .. } => 125,
        Error::Locked { .. } => 126,
        _ => 105,
    }
}

fn by_whom(declared: bool) -> &'static str {
    match declared {
        true => " by its provider's word",
        false => "",
    }
}

fn part_of(piece: Option<&Range<u64>>) -> String {
    piece.map_or_else(String::new, |piece| {
        format!("bytes {}-{} of ", piece.start, piece.end.saturating_sub(1))
    })
}

pub(crate) fn after(retries: u32) -> String {
    match retries {
        0 => String::new(),
        1 => " (after 1 retry)".into(),
        n => format!(" (after {n} retries)"),
    }
}
