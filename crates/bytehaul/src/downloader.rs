//! The front door: network settings shared by many downloads, and the call that starts one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytehaul_ratelimit::{BytesPerSecond, Limiter};
use bytehaul_transport::{Client, Tls};

use crate::error::DownloadError;
use crate::handle::DownloadHandle;
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
    pub(crate) client: Client,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Duration,
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
    dns_servers: Vec<SocketAddr>,
    ipv4_only: bool,
    proxy: Option<String>,
    connect_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
    user_agent: Option<String>,
    max_download_speed: u64,
    extra_roots: Vec<Vec<u8>>,
}

impl DownloaderBuilder {
    /// Asks these name servers (UDP, then TCP) in place of the system's. Default: the system's configuration.
    pub fn dns_servers(mut self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.dns_servers = servers.into_iter().collect();
        self
    }

    /// Whether IPv6 addresses are used. Default true.
    pub fn enable_ipv6(mut self, enabled: bool) -> Self {
        self.ipv4_only = !enabled;
        self
    }

    /// A proxy for every request. Proxies are not built yet: [`build`](Self::build) refuses, rather than
    /// connecting past a proxy that was asked for.
    pub fn all_proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Time for one attempt to connect, name resolution and TLS included. Default 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Longest silence of a server, before the head and within the body. Default 30 s.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = Some(timeout);
        self
    }

    /// The `User-Agent` of every request. Default `bytehaul/<version>`.
    pub fn user_agent(mut self, value: impl Into<String>) -> Self {
        self.user_agent = Some(value.into());
        self
    }

    /// Bytes a second over all downloads together; 0 is no limit, the default.
    pub fn max_download_speed(mut self, bytes_per_second: u64) -> Self {
        self.max_download_speed = bytes_per_second;
        self
    }

    /// Trusts the certificates in this PEM text as well as the system's.
    pub fn add_root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.extra_roots.push(pem.into());
        self
    }

    /// Checks the settings and makes the downloader. Sends nothing.
    ///
    /// # Errors
    /// [`DownloadError::InvalidParameter`] or [`DownloadError::Client`].
    pub fn build(self) -> Result<Downloader, DownloadError> {
        if self.proxy.is_some() {
            return Err(DownloadError::parameter(
                "all_proxy",
                "proxies are not supported by this version",
            ));
        }
        let connect_timeout = self.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let read_timeout = self.read_timeout.unwrap_or(READ_TIMEOUT);
        let mut client = Client::builder()
            .enable_ipv6(!self.ipv4_only)
            .connect_timeout(connect_timeout)
            .read_timeout(read_timeout)
            .user_agent(self.user_agent.unwrap_or_else(|| USER_AGENT.to_owned()));
        if !self.dns_servers.is_empty() {
            client = client.dns_servers(self.dns_servers);
        }
        if !self.extra_roots.is_empty() {
            client = client.tls(self.extra_roots.iter().fold(Tls::new(), Tls::add_roots_pem));
        }
        let client = client.build().map_err(|source| DownloadError::Client {
            source: Arc::new(source),
        })?;
        let limiter = match BytesPerSecond::new(self.max_download_speed) {
            Some(rate) => Limiter::new(rate),
            None => Limiter::unlimited(),
        };
        Ok(Downloader {
            shared: Arc::new(Shared {
                client,
                connect_timeout,
                read_timeout,
                limiter,
            }),
        })
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("bytehaul/", env!("CARGO_PKG_VERSION"));
