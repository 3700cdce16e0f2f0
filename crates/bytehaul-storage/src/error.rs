//! Which failures of a disk a caller answers differently, and how an `io::Error` is sorted among them.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytehaul_integrity::Digest;

/// Why a part file could not be claimed, written, saved or published, or an upload's source or checkpoint not be used.
///
/// The variants are shaped by what a caller does next. The error is cheap to clone, because a failed write is told to
/// everybody who waits for it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something has the target's name, and the claim was made with [`Conflict::Refuse`](crate::Conflict::Refuse).
    #[error("{path} exists already")]
    TargetExists {
        /// The target.
        path: PathBuf,
    },
    /// The target is a directory; it is never replaced.
    #[error("{path} is a directory")]
    TargetIsDirectory {
        /// The target.
        path: PathBuf,
    },
    /// A symbolic link, device, pipe or socket stands where a regular file is needed; it is neither followed nor replaced.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// What is in the way.
        path: PathBuf,
    },
    /// The target has no file name, or one that the file system cannot hold.
    #[error("{path} is no name for a file")]
    BadName {
        /// The target as it was given.
        path: PathBuf,
    },
    /// Another download, of this process or of another one, is writing to the same target, or has published it and is
    /// still cleaning up; or another upload has the checkpoint; or another program has locked it.
    #[error("{path} is in use by another transfer")]
    Locked {
        /// The target, the source that has its checkpoint beside it, or the checkpoint.
        path: PathBuf,
    },
    /// The directory that should hold the target is not there. It is not made.
    #[error("no directory {path}")]
    ParentMissing {
        /// The missing directory.
        path: PathBuf,
    },
    /// The file system refuses access, or is mounted read-only.
    #[error("not permitted to {action} {path}")]
    Permission {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: Arc<io::Error>,
    },
    /// The file system or the quota is full. What was written stays, and can be resumed once there is room.
    #[error("no space left for {path}")]
    DiskFull {
        /// The file that should have grown.
        path: PathBuf,
        /// Bytes that are missing in addition to what is free, where that is known.
        needed: Option<u64>,
        /// The system's word, when it was a call that failed and not the free space that was too small.
        #[source]
        source: Option<Arc<io::Error>>,
    },
    /// The part file was removed, replaced or cut short by somebody else while it was written; or the checkpoint was.
    #[error("{path} was removed or replaced by somebody else")]
    Removed {
        /// The part file or the checkpoint.
        path: PathBuf,
    },
    /// The whole, verified file has the target's name, but the sync of its directory failed: after a power cut it may be
    /// under the name of the part again, to be finished by another run. Nothing is left to resume until then.
    #[error("{path} is published, but its name may not survive a power cut")]
    NotDurable {
        /// The target.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: Arc<io::Error>,
    },
    /// There is nothing to upload under this name.
    #[error("no file {path}")]
    SourceMissing {
        /// The source as an absolute path.
        path: PathBuf,
    },
    /// The source is not what it was when the upload began. The object would be a mixture, so it is not finished.
    #[error("{path} changed since the upload began: {what}")]
    SourceChanged {
        /// The source as an absolute path.
        path: PathBuf,
        /// What is different, in words.
        what: &'static str,
    },
    /// A range lies beyond the known length of the object, or beyond what a file offset can say.
    #[error("bytes from {offset} on reach beyond the end of {path} at {len}")]
    BeyondEnd {
        /// The part file.
        path: PathBuf,
        /// First byte of the range, zero-based.
        offset: u64,
        /// Length of the object in bytes.
        len: u64,
    },
    /// The work was stopped on request before it was done; nothing was lost.
    #[error("stopped")]
    Stopped,
    /// The writer has been closed, published or discarded.
    #[error("the part file is closed")]
    Closed,
    /// Any other failure of the file system.
    #[error("{action} {path}{}", At(*offset))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Position in the file in bytes, for reads and writes.
        offset: Option<u64>,
        /// The system's word.
        #[source]
        source: Arc<io::Error>,
    },
}

/// Why a finished part file was not published, or not for good.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FinishError {
    /// The bytes are all there and are not the expected ones. The part and the control file have been removed, the target
    /// has not been touched.
    #[error("digest mismatch: expected {expected}, got {got}")]
    Mismatch {
        /// What the caller expected.
        expected: Box<Digest>,
        /// What the file has.
        got: Box<Digest>,
    },
    /// Not every byte has been written. Nothing was changed.
    #[error("{} ranges are missing, the first at {}", missing.len(), missing.first().map_or(0, |range| range.start))]
    Incomplete {
        /// What has to be written still, in order.
        missing: Vec<Range<u64>>,
    },
    /// The file system failed; what was written stays and can be resumed. After [`Error::NotDurable`] it is the target.
    #[error("publish the finished file")]
    Storage(#[from] Error),
}

impl Error {
    /// The error of the system behind this one, if there is one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Permission { source, .. }
            | Self::NotDurable { source, .. }
            | Self::Io { source, .. } => Some(source),
            Self::DiskFull { source, .. } => source.as_deref(),
            Self::TargetExists { .. }
            | Self::TargetIsDirectory { .. }
            | Self::NotAFile { .. }
            | Self::BadName { .. }
            | Self::Locked { .. }
            | Self::ParentMissing { .. }
            | Self::Removed { .. }
            | Self::SourceMissing { .. }
            | Self::SourceChanged { .. }
            | Self::BeyondEnd { .. }
            | Self::Stopped
            | Self::Closed => None,
        }
    }

    /// Sorts a failed call on `path`.
    pub(crate) fn of(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::sort(action, path, None, source)
    }

    /// Sorts a failed call on `path` at `offset`.
    pub(crate) fn at(action: &'static str, path: &Path, offset: u64, source: io::Error) -> Self {
        Self::sort(action, path, Some(offset), source)
    }

    fn sort(action: &'static str, path: &Path, offset: Option<u64>, source: io::Error) -> Self {
        let path = path.to_path_buf();
        if is_disk_full(&source) {
            return Self::DiskFull {
                path,
                needed: None,
                source: Some(Arc::new(source)),
            };
        }
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Permission {
                    action,
                    path,
                    source: Arc::new(source),
                }
            }
            io::ErrorKind::InvalidFilename => Self::BadName { path },
            _ => Self::Io {
                action,
                path,
                offset,
                source: Arc::new(source),
            },
        }
    }
}

/// Whether an error of the system says that the disk or the quota is full (`ENOSPC`, `EDQUOT`, and Windows' 39 and 112).
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) || (cfg!(windows) && matches!(error.raw_os_error(), Some(39 | 112)))
}

struct At(Option<u64>);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(offset) => write!(f, " at {offset}"),
            None => Ok(()),
        }
    }
}
