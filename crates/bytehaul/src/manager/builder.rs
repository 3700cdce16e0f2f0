//! Settings for a transfer manager.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytehaul_schedule::transfers::{Direction, Limit, Transfers};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::downloader::Downloader;
use crate::manager::desk::Desk;
use crate::manager::error::TransferError;
use crate::manager::hub::Hub;
use crate::manager::{Inner, TransferManager};
use crate::network::Network;
use crate::upload::Uploader;

/// Settings for a [`TransferManager`]. Every one has a default.
#[derive(Clone, Debug)]
#[must_use]
pub struct TransferManagerBuilder {
    max_downloads: usize,
    max_uploads: usize,
    queue_capacity: usize,
    event_capacity: usize,
    network: Network,
    downloader: Option<Downloader>,
    uploader: Option<Uploader>,
    max_download_speed: Option<u64>,
    max_upload_speed: Option<u64>,
}

impl Default for TransferManagerBuilder {
    fn default() -> Self {
        Self {
            max_downloads: 2,
            max_uploads: 2,
            queue_capacity: 128,
            event_capacity: 256,
            network: Network::default(),
            downloader: None,
            uploader: None,
            max_download_speed: None,
            max_upload_speed: None,
        }
    }
}

impl TransferManagerBuilder {
    /// Downloads that run at a time, 1 to 64. Default 2. Each uses the connections that its spec allows.
    pub fn max_downloads(mut self, tasks: usize) -> Self {
        self.max_downloads = tasks;
        self
    }

    /// Uploads that run at a time, 1 to 64. Default 2.
    pub fn max_uploads(mut self, tasks: usize) -> Self {
        self.max_uploads = tasks;
        self
    }

    /// Tasks that may wait for a slot in each direction before new ones are refused, at least 1. Default 128. Paused and
    /// running ones do not count.
    pub fn queue_capacity(mut self, tasks: usize) -> Self {
        self.queue_capacity = tasks;
        self
    }

    /// Events that may wait for one reader before no further progress is kept for it, at least 1. Default 256. Everything
    /// else is kept nevertheless, see [`EventStream`](crate::EventStream).
    pub fn event_capacity(mut self, events: usize) -> Self {
        self.event_capacity = events;
        self
    }

    /// Network settings of all transfers; those set before remain where these leave one out.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network.over(&self.network);
        self
    }

    /// Downloads by this downloader, which shares its connections and its rate limit with whatever else uses it. Default: one
    /// of its own, made from [`network`](Self::network).
    pub fn downloader(mut self, downloader: Downloader) -> Self {
        self.downloader = Some(downloader);
        self
    }

    /// Uploads by this uploader. Default: one that shares the connections of the downloader.
    pub fn uploader(mut self, uploader: Uploader) -> Self {
        self.uploader = Some(uploader);
        self
    }

    /// Bytes a second over all downloads together; 0 is no limit. Default: that of the downloader.
    pub fn max_download_speed(mut self, bytes_per_second: u64) -> Self {
        self.max_download_speed = Some(bytes_per_second);
        self
    }

    /// Bytes a second over all uploads together; 0 is no limit. Default: that of the uploader.
    pub fn max_upload_speed(mut self, bytes_per_second: u64) -> Self {
        self.max_upload_speed = Some(bytes_per_second);
        self
    }

    /// Checks the settings and makes the manager, whose transfers will run on the current tokio runtime. Sends nothing.
    ///
    /// # Errors
    /// [`TransferError::InvalidParameter`] with the first setting that cannot be used;
    /// [`TransferError::NoRuntime`] outside of a tokio runtime; what [`Downloader`]'s settings are refused with.
    pub fn build(self) -> Result<TransferManager, TransferError> {
        let runtime = Handle::try_current().map_err(|_| TransferError::NoRuntime)?;
        let downloads = limit("max_downloads", self.max_downloads)?;
        let uploads = limit("max_uploads", self.max_uploads)?;
        let capacity = positive("queue_capacity", self.queue_capacity)?;
        let events = positive("event_capacity", self.event_capacity)?;
        let downloader = match self.downloader {
            Some(_) if self.network != Network::default() => {
                let reason = "the downloader that was given has settings of its own";
                return Err(TransferError::parameter("network", reason));
            }
            Some(downloader) => downloader,
            None => Downloader::builder().network(self.network).build()?,
        };
        let uploader = self.uploader.unwrap_or_else(|| (&downloader).into());
        if let Some(speed) = self.max_download_speed {
            downloader.set_max_download_speed(speed);
        }
        if let Some(speed) = self.max_upload_speed {
            uploader.set_max_upload_speed(speed);
        }
        let mut transfers = Transfers::new().capacity(capacity);
        transfers.set_limit(Direction::Download, downloads)?;
        transfers.set_limit(Direction::Upload, uploads)?;
        let (attending, attended) = mpsc::channel(1);
        let hub = Hub::new(events.get());
        let desk = Desk::new(downloader, uploader, runtime, transfers, hub, attending);
        Ok(TransferManager {
            inner: Arc::new(Inner {
                desk: Arc::new(desk),
                attended: attended.into(),
            }),
        })
    }
}

/// So many tasks at a time.
pub(super) fn limit(name: &'static str, tasks: usize) -> Result<Limit, TransferError> {
    Limit::new(tasks).ok_or_else(|| {
        let (least, most) = (Limit::MIN, Limit::MAX);
        TransferError::parameter(name, format!("{tasks} is not from {least} to {most}"))
    })
}

fn positive(name: &'static str, number: usize) -> Result<NonZeroUsize, TransferError> {
    NonZeroUsize::new(number).ok_or_else(|| TransferError::parameter(name, "it is 0"))
}
