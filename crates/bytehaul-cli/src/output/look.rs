//! What bars and lines show of a file that is under way, in whichever direction.

use std::time::Duration;

use bytehaul::{DownloadState, ProgressSnapshot, UploadProgress, UploadState};

use crate::job::short_name;

/// One look at a running transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    /// Name of the file.
    pub(super) name: &'a str,
    /// Bytes that have come or gone.
    pub(super) bytes: u64,
    pub(super) total: Option<u64>,
    /// Bytes a second.
    pub(super) rate: u64,
    pub(super) left: Option<Duration>,
    pub(super) connections: u32,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The bytes flow.
    Moving,
    /// Something else goes on, by this word.
    Busy(&'static str),
}

impl<'a> Look<'a> {
    /// At a download from a URL that may be shown.
    pub(super) fn download(url: &'a str, progress: &'a ProgressSnapshot) -> Self {
        Self {
            name: short_name(progress.path.as_deref(), url),
            bytes: progress.received,
            total: progress.total,
            rate: progress.rate,
            left: progress.eta,
            connections: progress.connections,
            phase: match progress.state {
                DownloadState::Pending | DownloadState::Connecting => Phase::Busy("connecting"),
                DownloadState::Finishing => Phase::Busy("verifying"),
                _ => Phase::Moving,
            },
        }
    }

    /// At an upload of a file of this name.
    pub(super) fn upload(name: &'a str, progress: &UploadProgress) -> Self {
        Self {
            name,
            bytes: progress.sent,
            total: progress.total,
            rate: progress.rate,
            left: progress.eta,
            connections: progress.connections,
            phase: match progress.state {
                UploadState::Pending | UploadState::Preparing => Phase::Busy("preparing"),
                UploadState::Committing => Phase::Busy("finishing"),
                _ => Phase::Moving,
            },
        }
    }
}
