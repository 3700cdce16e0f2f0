//! What can go wrong with one request, sorted by what the session does about it.

use std::sync::Arc;
use std::time::Duration;

use bytehaul_schedule::{Class, Failure};
use bytehaul_transport::{Class as ErrorClass, SafeUrl};
use http::StatusCode;

use crate::error::DownloadError;

/// Why a request did not deliver what it was made for.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Worth another try; `error` is what to report when no try is left.
    Retry {
        failure: Failure,
        error: DownloadError,
    },
    /// The server does not do ranges properly; one stream from the start may still work.
    Unreliable(String),
    /// A validator differs; asking again tells a wobble from a change.
    Doubt(String),
    /// The remote file is another one now.
    Changed(String),
    /// Nothing that the network can help.
    Fatal(DownloadError),
}

impl Trouble {
    /// What went wrong, in a few words.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Retry { error, .. } | Self::Fatal(error) => in_a_line(error),
            Self::Unreliable(what) | Self::Doubt(what) | Self::Changed(what) => what.clone(),
        }
    }

    /// A failure beneath HTTP.
    pub(crate) fn transport(url: &SafeUrl, source: bytehaul_transport::Error) -> Self {
        let class = source.kind().class();
        let error = DownloadError::Network {
            url: url.clone(),
            retries: 0,
            source: Arc::new(source),
        };
        match class {
            ErrorClass::Transient => Self::Retry {
                failure: Failure::new(Class::Transient),
                error,
            },
            ErrorClass::Refused => Self::Retry {
                failure: Failure::new(Class::Refused),
                error,
            },
            ErrorClass::Fatal => Self::Fatal(error),
        }
    }

    /// A status that asks to come again later.
    pub(crate) fn later(url: &SafeUrl, status: StatusCode, after: Option<Duration>) -> Self {
        let throttled = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        let class = if throttled {
            Class::Throttled
        } else {
            Class::Transient
        };
        let mut failure = Failure::new(class);
        failure.retry_after = after;
        Self::Retry {
            failure,
            error: DownloadError::Status {
                url: url.clone(),
                status,
                retries: 0,
            },
        }
    }

    /// An answer with fewer bytes than were asked for, which a server may give.
    pub(crate) fn short(url: &SafeUrl) -> Self {
        let what = "fewer bytes than were asked for".into();
        Self::Retry {
            failure: Failure::new(Class::Transient),
            error: DownloadError::BadResponse {
                url: url.clone(),
                what,
                retries: 0,
            },
        }
    }

    /// A refusal that means fewer connections, whatever its status says.
    pub(crate) fn pushed_back(url: &SafeUrl, status: StatusCode) -> Self {
        let error = DownloadError::Status {
            url: url.clone(),
            status,
            retries: 0,
        };
        Self::Retry {
            failure: Failure::new(Class::Throttled),
            error,
        }
    }

    /// A status that will not change by asking again.
    pub(crate) fn refused(url: &SafeUrl, status: StatusCode) -> Self {
        Self::Fatal(DownloadError::Status {
            url: url.clone(),
            status,
            retries: 0,
        })
    }

    /// A head that cannot be used at all.
    pub(crate) fn unusable(url: &SafeUrl, what: String) -> Self {
        Self::Fatal(DownloadError::BadResponse {
            url: url.clone(),
            what,
            retries: 0,
        })
    }
}

/// An error and its causes.
pub(crate) fn in_a_line(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

/// The same error with the number of retries that did not help.
pub(crate) fn after_retries(error: DownloadError, count: u32) -> DownloadError {
    match error {
        DownloadError::Network { url, source, .. } => DownloadError::Network {
            url,
            retries: count,
            source,
        },
        DownloadError::Status { url, status, .. } => DownloadError::Status {
            url,
            status,
            retries: count,
        },
        DownloadError::BadResponse { url, what, .. } => DownloadError::BadResponse {
            url,
            what,
            retries: count,
        },
        other => other,
    }
}
