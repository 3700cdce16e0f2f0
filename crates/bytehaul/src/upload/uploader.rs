//! The front door of uploads: settings shared by many of them, and the call that starts one.

use std::sync::Arc;

use bytehaul_ratelimit::{BytesPerSecond, Limiter};

use crate::downloader::Downloader;
use crate::network::{Clients, Network};
use crate::upload::error::UploadError;
use crate::upload::handle::UploadHandle;
use crate::upload::job::Job;
use crate::upload::resume;
use crate::upload::spec::UploadSpec;

/// Network settings, a connection pool, a name cache and a global rate limit, shared by all uploads that are
/// started on it. Cheap to clone. Runs on the caller's tokio runtime and starts none.
///
/// ```no_run
/// use bytehaul::{UploadSpec, Uploader, protocol};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let uploader = Uploader::builder().build()?;
/// let handle = uploader.upload(UploadSpec::file("video.mp4", protocol::Tus::new("https://up.example.com/files/")));
/// let outcome = handle.wait().await?;
/// println!("{} bytes at {:?}", outcome.bytes, outcome.location);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Uploader {
    pub(super) shared: Arc<Shared>,
}

/// What the uploads of one [`Uploader`] have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Connections, names and TLS sessions, those of a downloader where it was made from one.
    pub(crate) downloads: Arc<crate::downloader::Shared>,
    pub(crate) limiter: Limiter,
}

impl Uploader {
    /// Settings for a new uploader.
    pub fn builder() -> UploaderBuilder {
        UploaderBuilder::default()
    }

    /// Starts an upload at once, on the current tokio runtime, and returns the handle to it. Errors, of the
    /// spec's own fields as well, come from [`UploadHandle::wait`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn upload(&self, spec: UploadSpec) -> UploadHandle {
        let (handle, control) = UploadHandle::new();
        super::spawn(Arc::clone(&self.shared), spec, control);
        handle
    }

    /// Discards what an earlier run of this upload has staged at the server, and removes its checkpoint. The source is not
    /// read and need not exist. Without a checkpoint, in the spec or at its place, there is nothing to do.
    ///
    /// # Errors
    /// Any [`UploadError`]; the checkpoint is kept then, and it can be tried again.
    ///
    /// # Cancel safety
    /// Dropping the future stops it; the checkpoint is kept.
    pub async fn abort(&self, spec: UploadSpec) -> Result<(), UploadError> {
        let job = Job::new(spec)?;
        let access = self.shared.downloads.clients.of(&job.network)?;
        match resume::open_to_abort(&self.shared, &access, job).await? {
            Some(driver) => super::abort(driver).await,
            None => Ok(()),
        }
    }

    /// Changes the limit over all uploads of this uploader, in bytes a second; 0 lifts it. Takes effect within about
    /// 100 ms, on running uploads too.
    pub fn set_max_upload_speed(&self, bytes_per_second: u64) {
        self.shared
            .limiter
            .set_rate(BytesPerSecond::new(bytes_per_second));
    }
}

impl From<&Downloader> for Uploader {
    /// Shares the downloader's network settings, connections and names. The rate limits are apart.
    fn from(downloader: &Downloader) -> Self {
        Self {
            shared: Arc::new(Shared {
                downloads: downloader.shared(),
                limiter: Limiter::unlimited(),
            }),
        }
    }
}

/// Settings for an [`Uploader`]. Every one has a default.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct UploaderBuilder {
    network: Network,
    max_upload_speed: u64,
}

impl UploaderBuilder {
    /// Takes all network settings at once; those set before remain where these leave one out.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network.over(&self.network);
        self
    }

    /// Bytes a second over all uploads together; 0 is no limit, the default.
    pub fn max_upload_speed(mut self, bytes_per_second: u64) -> Self {
        self.max_upload_speed = bytes_per_second;
        self
    }

    /// Checks the settings and makes the uploader. Sends nothing.
    ///
    /// # Errors
    /// [`UploadError::InvalidParameter`] with the first setting that cannot be used.
    pub fn build(self) -> Result<Uploader, UploadError> {
        let limiter = match BytesPerSecond::new(self.max_upload_speed) {
            Some(rate) => Limiter::new(rate),
            None => Limiter::unlimited(),
        };
        let downloads = crate::downloader::Shared {
            clients: Clients::new(self.network)?,
            limiter: Limiter::unlimited(),
        };
        Ok(Uploader {
            shared: Arc::new(Shared {
                downloads: Arc::new(downloads),
                limiter,
            }),
        })
    }
}

crate::network::network_setters!(UploaderBuilder);
