//! The face of the crate: what of the sessions beneath is public.
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod auth;
mod checksum;
mod control;
pub mod debug_log;
mod downloader;
mod error;
mod handle;
mod identity;
mod manager;
mod metalink;
mod mirror;
mod netrc;
mod network;
mod outcome;
mod piece_hashes;
mod progress;
pub mod protocol;
mod refresh;
mod response;
mod session;
mod spec;
mod stream;
mod upload;

pub use bytehaul_integrity::{Algorithm, Digest, Expected};
pub use bytehaul_ratelimit::BytesPerSecond;
pub use bytehaul_schedule::transfers::{Direction, Priority, TaskId, TaskState};
pub use bytehaul_transport::{HttpVersion, SafeUrl, resolve};

pub use crate::auth::Auth;
pub use crate::checksum::Checksum;
pub use crate::downloader::{Downloader, DownloaderBuilder, download};
pub use crate::error::{DownloadError, ErrorKind};
pub use crate::handle::{DownloadHandle, Stopping};
pub use crate::identity::Evidence;
pub use crate::manager::{
    Completion, EventKind, EventStream, Failure, ListenerGuard, ListenerId, TaskHandle,
    TaskOptions, Transfer, TransferError, TransferEvent, TransferLine, TransferManager,
    TransferManagerBuilder, TransferOutcome, TransferProgress, TransferSnapshot, TransferView,
};
#[cfg(feature = "store")]
pub use crate::manager::{
    DownloadRecipe, NewTask, Ran, Recipe, RunUntil, StoreError, StoredId, StoredTask,
    TransferStore, UploadRecipe, Wish,
};
pub use crate::metalink::{MetaUrl, Metalink, MetalinkError, MetalinkFile, MetalinkUrl};
pub use crate::mirror::Mirror;
pub use crate::netrc::Netrc;
pub use crate::network::Network;
pub use crate::outcome::{MirrorReport, MirrorState, Outcome};
pub use crate::piece_hashes::PieceHashes;
pub use crate::progress::{DownloadState, ProgressSnapshot, ProgressStream};
pub use crate::refresh::{
    Refresh, RefreshError, RefreshReason, RefreshRequest, Refreshed, Refreshing, refresh_fn,
};
pub use crate::spec::{
    DownloadSpec, Durability, FileAllocation, FollowMetalink, OnRemoteChange, Overwrite,
};
pub use crate::stream::DownloadStream;
pub use crate::upload::{
    Checkpoint, CheckpointError, CheckpointPlace, RecordContent, Reply, UploadError, UploadHandle,
    UploadLedger, UploadOutcome, UploadProgress, UploadReader, UploadRecord, UploadSource,
    UploadSpec, UploadState, Uploader, UploaderBuilder,
};
