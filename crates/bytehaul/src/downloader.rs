//! The front door: network settings shared by many downloads, and the call that starts one.

use std::sync::Arc;

use bytehaul_ratelimit::{BytesPerSecond, Limiter};

use crate::error::DownloadError;
use crate::handle::DownloadHandle;
use crate::network::{Clients, Network};
use crate::outcome::Outcome;
use crate::session;
use crate::spec::DownloadSpec;
use crate::stream::DownloadStream;

/// Downloads one URL to an automatic name in the current directory, with the defaults of everything.
///
/// ```no_run
/// # async fn run() -> Result<(), bytehaul::DownloadError> {
/// let outcome = bytehaul::download("https://example.com/big.iso").await?;
/// println!("{}", outcome.path.display());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Any [`DownloadError`]. Dropping the future stops the download and keeps what has arrived.
pub async fn download(url: impl Into<String>) -> Result<Outcome, DownloadError> {
    let downloader = Downloader::builder().build()?;
    downloader.download(DownloadSpec::new(url)).wait().await
}

/// Network settings, a connection pool, a name cache and a global rate limit, shared by all downloads that are
/// started on it. Cheap to clone. Runs on the caller's tokio runtime and starts none.
///
/// ```no_run
/// use bytehaul::{DownloadSpec, Downloader};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let downloader = Downloader::builder()
///     .dns_servers(["1.1.1.1:53".parse()?])
///     .enable_ipv6(false)
///     .build()?;
/// let handle = downloader.download(DownloadSpec::new("https://example.com/big.iso").max_connections(8));
/// let outcome = handle.wait().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Downloader {
    shared: Arc<Shared>,
}

/// What the downloads of one [`Downloader`] have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clients: Clients,
    pub(crate) limiter: Limiter,
}

impl Downloader {
    /// Settings for a new downloader.
    pub fn builder() -> DownloaderBuilder {
        DownloaderBuilder::default()
    }

    /// Starts a download at once, on the current tokio runtime, and returns the handle to it. Errors, of the
    /// spec's own fields as well, come from [`DownloadHandle::wait`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn download(&self, spec: DownloadSpec) -> DownloadHandle {
        let (handle, control) = DownloadHandle::new();
        session::spawn(Arc::clone(&self.shared), spec, control);
        handle
    }

    /// Starts a download whose bytes are read in order, without a file: the spec's path, resume, overwrite and
    /// allocation fields do not count. Errors, of the spec's own fields as well, end the stream.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn stream(&self, spec: DownloadSpec) -> DownloadStream {
        let (handle, control) = DownloadHandle::new();
        session::spawn_stream(Arc::clone(&self.shared), spec, handle, control)
    }

    /// What uploads that are made from it share.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Changes the limit over all downloads of this downloader, in bytes a second; 0 lifts it. Takes effect
    /// within about 100 ms, on running downloads too.
    pub fn set_max_download_speed(&self, bytes_per_second: u64) {
        self.shared
            .limiter
            .set_rate(BytesPerSecond::new(bytes_per_second));
    }
}

/// Settings for a [`Downloader`]. Every one has a default.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct DownloaderBuilder {
    network: Network,
    max_download_speed: u64,
}

impl DownloaderBuilder {
    /// Takes all network settings at once; those set before remain where these leave one out.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network.over(&self.network);
        self
    }

    /// Bytes a second over all downloads together; 0 is no limit, the default.
    pub fn max_download_speed(mut self, bytes_per_second: u64) -> Self {
        self.max_download_speed = bytes_per_second;
        self
    }

    /// Checks the settings and makes the downloader. Sends nothing.
    ///
    /// # Errors
    /// [`DownloadError::InvalidParameter`] with the first setting that cannot be used.
    pub fn build(self) -> Result<Downloader, DownloadError> {
        let limiter = match BytesPerSecond::new(self.max_download_speed) {
            Some(rate) => Limiter::new(rate),
            None => Limiter::unlimited(),
        };
        Ok(Downloader {
            shared: Arc::new(Shared {
                clients: Clients::new(self.network)?,
                limiter,
            }),
        })
    }
}

crate::network::network_setters!(DownloaderBuilder);
