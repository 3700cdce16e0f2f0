//! What one download is to do: a struct of public fields with defaults, and a setter of the same name for each.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytehaul_providers::DownloadProtocol;

use crate::auth::Auth;
use crate::checksum::Checksum;
use crate::error::DownloadError;
use crate::mirror::Mirror;
use crate::network::Network;
use crate::piece_hashes::PieceHashes;
use crate::refresh::Refresh;

/// One download: where from, where to, and how.
///
/// Only the URL is required; every field has the default that a stranger would choose. The fields are public,
/// and each has a setter of the same name that can be chained:
///
/// ```
/// use bytehaul::{Checksum, DownloadSpec, FileAllocation};
///
/// let mut spec = DownloadSpec::new("https://example.com/big.iso");
/// spec.max_connections = 8;
/// spec.file_allocation = FileAllocation::Prealloc;
///
/// let same = DownloadSpec::new("https://example.com/big.iso")
///     .max_connections(8)
///     .file_allocation(FileAllocation::Prealloc);
/// assert_eq!(format!("{spec:?}"), format!("{same:?}"));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct DownloadSpec {
    /// The `http` or `https` URL. Credentials in it (`user:password@`) go to that origin alone.
    pub url: String,
    /// Further sources of the same file. Default: none.
    pub mirrors: Vec<Mirror>,
    /// The target file. Default `None`: an automatic name in [`output_dir`](Self::output_dir).
    pub output_path: Option<PathBuf>,
    /// Where automatic names go: the server's `Content-Disposition`, then the URL's last segment, then
    /// `download`. A name never leaves this directory. Default: the current directory.
    pub output_dir: PathBuf,
    /// Connections to the server, at most. Default 0: automatic, up to 8 quickly and up to 16 while each
    /// further one adds throughput.
    pub max_connections: u32,
    /// Bytes of one piece, the unit of the resume map. Default 0: automatic by the file's length (1 MiB and up).
    pub piece_size: u64,
    /// Files smaller than this, in bytes, use one connection. Default 10 MiB.
    pub min_split_size: u64,
    /// Whether the space is reserved first. Default [`FileAllocation::Prealloc`].
    pub file_allocation: FileAllocation,
    /// Whether to go on with what an earlier run left beside the target. Default true.
    pub resume: bool,
    /// Whether to trust the URL and the length alone when the server names no validator (no ETag, no
    /// Last-Modified, no digest). Default false: such a file is fetched as one stream, and begun again when that
    /// breaks or another run goes on, since bytes of two versions could not be told apart.
    pub resume_without_validator: bool,
    /// What to do when the remote file has changed since the transfer began. Default: start over.
    pub on_remote_change: OnRemoteChange,
    /// Whether an existing target may be replaced, after the new file is complete and verified. Default: refuse.
    pub overwrite: Overwrite,
    /// Failures in a row without progress before the download gives up. Default 5. Progress renews the budget.
    pub max_retries: u32,
    /// Wait before the first retry; it doubles with every further one (with jitter, 30 s at most). Default 1 s.
    /// A server's `Retry-After` wins.
    pub retry_base_delay: Duration,
    /// The longest `Retry-After` that is obeyed; a longer one is cut to this. Default 5 min.
    pub max_retry_after: Duration,
    /// Bytes a second over all connections of this download. Default 0: no limit.
    pub max_download_speed: u64,
    /// What the finished file must hash to. Default `None`.
    pub checksum: Option<Checksum>,
    /// Whether a file without a `checksum` is held against what the provider of the object says that it hashes to: S3 its checksum, or
    /// the MD5 or the composite of MD5s that an ETag is, Azure the MD5 that was stored with the blob, OSS its CRC-64. That takes
    /// up to two `HEAD` requests, and the time to hash the file beside the transfer. Only a [`protocol`](Self::protocol) knows what
    /// to ask. Default true.
    pub verify_declared: bool,
    /// What each piece of the file must hash to, so that a bad one is found early and fetched again alone; one that
    /// is wrong three times fails the download. A download to a reader does not check pieces. Default `None`.
    pub piece_hashes: Option<PieceHashes>,
    /// How many bytes the file has to have; a server that has another number of them does not have this file.
    /// Default `None`: whatever the server says.
    pub expected_size: Option<u64>,
    /// What is made of mirrors and digests that the server's answer names (RFC 6249). Default: its header fields
    /// count.
    pub follow_metalink: FollowMetalink,
    /// Time for one attempt to connect, name resolution and TLS included. Default `None`: that of
    /// [`network`](Self#structfield.network) (10 s).
    pub connect_timeout: Option<Duration>,
    /// Longest silence of the server, before the head and within the body. There is no limit on the whole
    /// transfer. Default `None`: that of [`network`](Self#structfield.network) (30 s).
    pub read_timeout: Option<Duration>,
    /// Network settings of this download; what they leave out is the downloader's. Default: all of it.
    pub network: Network,
    /// Further request headers, name and value. They go to the origin of the URL only and are dropped when a
    /// redirect leads to another. Default: none.
    pub headers: Vec<(String, String)>,
    /// Credentials for the origin of the URL. A header `Authorization` wins over them; they win over the URL's own
    /// and over a [`Netrc`](crate::Netrc) file. Default `None`.
    pub auth: Option<Auth>,
    /// Whom to ask for another URL or other credentials when the server no longer takes these. Default `None`.
    pub refresher: Option<Arc<dyn Refresh>>,
    /// When the URL or the credentials expire: the refresher is asked half a minute before. Default `None`: when the
    /// server says so.
    pub expires_at: Option<SystemTime>,
    /// Makes URL and fields of each request in place of [`url`](Self::url) alone, such as ones signed for that range, and
    /// renews them; where it can renew nothing, the [`refresher`](Self::refresher) is asked for headers and credentials.
    /// `url` still says what the file is called, and which one it is from one run to the next. Headers and credentials of
    /// this spec go to the origin of `url` only, those of the protocol win over them, and nothing is looked up in a `.netrc`
    /// file. Mirrors are plain URLs. Default `None`.
    pub protocol: Option<Arc<dyn DownloadProtocol>>,
    /// What a finished file and the record of a partial one must survive. Default: a power cut.
    pub durability: Durability,
    /// Bytes of received data held in memory, at most, between the sockets and the disk. Default 64 MiB; at
    /// least 64 KiB. When the disk is slower than the network, the sockets wait.
    pub memory_budget: u64,
}

impl DownloadSpec {
    /// A download of `url` with the defaults of every field.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            mirrors: Vec::new(),
            output_path: None,
            output_dir: PathBuf::from("."),
            max_connections: 0,
            piece_size: 0,
            min_split_size: 10 * MIB,
            file_allocation: FileAllocation::default(),
            resume: true,
            resume_without_validator: false,
            on_remote_change: OnRemoteChange::default(),
            overwrite: Overwrite::default(),
            max_retries: 5,
            retry_base_delay: Duration::from_secs(1),
            max_retry_after: Duration::from_secs(300),
            max_download_speed: 0,
            checksum: None,
            piece_hashes: None,
            verify_declared: true,
            expected_size: None,
            follow_metalink: FollowMetalink::default(),
            connect_timeout: None,
            read_timeout: None,
            network: Network::default(),
            headers: Vec::new(),
            auth: None,
            refresher: None,
            expires_at: None,
            protocol: None,
            durability: Durability::default(),
            memory_budget: 64 * MIB,
        }
    }

    /// A download of what `protocol` speaks of: its [`target`](DownloadProtocol::target) is the URL.
    ///
    /// ```
    /// # #[cfg(feature = "presigned")] {
    /// use bytehaul::{DownloadSpec, protocol};
    ///
    /// let plan = protocol::DownloadPlan::new("https://example.com/big.iso?X-Amz-Signature=s").total_size(1 << 30);
    /// let spec = DownloadSpec::with_protocol(protocol::PresignedDownload::new(plan)?);
    /// # }
    /// # Ok::<(), bytehaul::protocol::ProtocolError>(())
    /// ```
    pub fn with_protocol(protocol: impl DownloadProtocol + 'static) -> Self {
        Self::new(protocol.target()).protocol(protocol)
    }

    /// Checks every field without sending or opening anything, as starting a download does first.
    ///
    /// # Errors
    /// [`DownloadError::InvalidParameter`] with the first field that cannot be used, or the storage error for an
    /// output path that names a directory by its form.
    pub fn validate(&self) -> Result<(), DownloadError> {
        crate::session::check(self.clone())
    }

    /// Adds one further source to [`mirrors`](Self#structfield.mirrors).
    #[must_use]
    pub fn mirror(mut self, mirror: impl Into<Mirror>) -> Self {
        self.mirrors.push(mirror.into());
        self
    }

    /// Sets [`output_path`](Self#structfield.output_path).
    #[must_use]
    pub fn output_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.output_path = Some(path.into());
        self
    }

    /// Sets [`output_dir`](Self#structfield.output_dir).
    #[must_use]
    pub fn output_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.output_dir = directory.into();
        self
    }

    /// Sets [`checksum`](Self#structfield.checksum).
    #[must_use]
    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = Some(checksum);
        self
    }

    /// Sets [`piece_hashes`](Self#structfield.piece_hashes).
    #[must_use]
    pub fn piece_hashes(mut self, hashes: PieceHashes) -> Self {
        self.piece_hashes = Some(hashes);
        self
    }

    /// Sets [`verify_declared`](Self#structfield.verify_declared).
    #[must_use]
    pub fn verify_declared(mut self, yes: bool) -> Self {
        self.verify_declared = yes;
        self
    }

    /// Sets [`expected_size`](Self#structfield.expected_size), in bytes.
    #[must_use]
    pub fn expected_size(mut self, bytes: u64) -> Self {
        self.expected_size = Some(bytes);
        self
    }

    /// Sets [`connect_timeout`](Self#structfield.connect_timeout).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Sets [`read_timeout`](Self#structfield.read_timeout).
    #[must_use]
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = Some(timeout);
        self
    }

    /// Sets [`auth`](Self#structfield.auth).
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Sets [`refresher`](Self#structfield.refresher).
    #[must_use]
    pub fn refresher(mut self, refresher: impl Refresh + 'static) -> Self {
        self.refresher = Some(Arc::new(refresher));
        self
    }

    /// Sets [`expires_at`](Self#structfield.expires_at).
    #[must_use]
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// Sets [`protocol`](Self#structfield.protocol).
    #[must_use]
    pub fn protocol(mut self, protocol: impl DownloadProtocol + 'static) -> Self {
        self.protocol = Some(Arc::new(protocol));
        self
    }

    /// Sets the `Accept` field of every request, in place of those among [`headers`](Self#structfield.headers).
    #[must_use]
    pub fn accept(mut self, value: impl Into<String>) -> Self {
        self.headers
            .retain(|(name, _)| !name.trim().eq_ignore_ascii_case("accept"));
        self.header("accept", value)
    }

    /// Adds one request header to [`headers`](Self#structfield.headers).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// A setter for each field whose type is what it takes.
macro_rules! setters {
    ($spec:ident, $($field:ident: $type:ty),* $(,)?) => {
        impl $spec {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
                #[must_use]
                pub fn $field(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}

pub(crate) use setters;

setters! { DownloadSpec,
    max_connections: u32,
    piece_size: u64,
    min_split_size: u64,
    file_allocation: FileAllocation,
    resume: bool,
    resume_without_validator: bool,
    on_remote_change: OnRemoteChange,
    overwrite: Overwrite,
    max_retries: u32,
    retry_base_delay: Duration,
    max_retry_after: Duration,
    max_download_speed: u64,
    follow_metalink: FollowMetalink,
    network: Network,
    durability: Durability,
    memory_budget: u64,
}

impl fmt::Debug for DownloadSpec {
    /// Shows the URL redacted, and of the headers only their names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("DownloadSpec")
            .field("url", &crate::session::shown(&self.url))
            .field("mirrors", &self.mirrors)
            .field("output_path", &self.output_path)
            .field("output_dir", &self.output_dir)
            .field("max_connections", &self.max_connections)
            .field("piece_size", &self.piece_size)
            .field("min_split_size", &self.min_split_size)
            .field("file_allocation", &self.file_allocation)
            .field("resume", &self.resume)
            .field("resume_without_validator", &self.resume_without_validator)
            .field("on_remote_change", &self.on_remote_change)
            .field("overwrite", &self.overwrite)
            .field("max_retries", &self.max_retries)
            .field("retry_base_delay", &self.retry_base_delay)
            .field("max_retry_after", &self.max_retry_after)
            .field("max_download_speed", &self.max_download_speed)
            .field("checksum", &self.checksum)
            .field("verify_declared", &self.verify_declared)
            .field("piece_hashes", &self.piece_hashes)
            .field("expected_size", &self.expected_size)
            .field("follow_metalink", &self.follow_metalink)
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("network", &self.network)
            .field("headers", &headers)
            .field("auth", &self.auth)
            .field("refresher", &self.refresher)
            .field("expires_at", &self.expires_at)
            .field(
                "protocol",
                &self.protocol.as_ref().map(|protocol| protocol.name()),
            )
            .field("durability", &self.durability)
            .field("memory_budget", &self.memory_budget)
            .finish()
    }
}

/// Whether the space of the file is reserved before its first byte is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum FileAllocation {
    /// The file grows as data arrives.
    None,
    /// The whole length is reserved first, so that a full disk is found before the first byte. Where the file
    /// system cannot reserve quickly, the free space is checked and the file is made sparse.
    #[default]
    Prealloc,
}

/// What a download must survive without losing or falsifying a byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Durability {
    /// A power cut: data is synced before anything claims it, and a file before it is at its target. On a slow
    /// disk the sync of a large file can take as long as its download.
    #[default]
    PowerCut,
    /// A kill of the process, not of the machine: nothing is synced. For caches and containers that a power cut
    /// takes with it anyway: after one, a published file may be torn.
    Kill,
}

/// What happens when the remote file proves to have changed since the transfer began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OnRemoteChange {
    /// Drop what there is and begin again with the new version.
    #[default]
    Restart,
    /// Fail with [`DownloadError::RemoteChanged`](crate::DownloadError::RemoteChanged) and keep what there is.
    Fail,
}

/// What is made of the mirrors and hashes that a server names in its answer (RFC 6249).
///
/// Mirrors are only taken where a digest is named with them, SHA-256 or stronger: nothing else would bind them to the
/// file that was asked for (RFC 6249, section 6). That digest is verified at the end, whichever source the bytes came from.
/// Named mirrors have to prove themselves as those of [`DownloadSpec::mirrors`] do, and are used like them, but get
/// nothing that was given for the download unless they are of the same origin, also nothing of a `.netrc` file. At most 16
/// are taken. They are tried beside the transfer, so a dead one costs no time. For an `https` file nothing is fetched over
/// `http`.
///
/// A stream to a reader uses none of this.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum FollowMetalink {
    /// Nothing.
    Off,
    /// `Link: <…>; rel=duplicate` with a digest of the whole file in the same answer.
    #[default]
    Headers,
    /// Also the Metalink document of `Link: <…>; rel=describedby; type="application/metalink4+xml"`: its mirrors, the
    /// hashes of its pieces, and its strongest checksum, where the caller gives none.
    ///
    /// It costs one more request, of at most 1 MiB and 10 s, beside the transfer, which carries no credentials to another
    /// origin. A document that is missing, broken, too large or about another file, or that contradicts the length, a
    /// digest of the answer or the caller's own checksum, is passed over with a line in the debug log; so is one
    /// that is not there when the file is, except that a file of less than a second waits for it until that second is over.
    /// A file that does not match what its own server says here fails with
    /// [`DownloadError::ChecksumMismatch`](crate::DownloadError::ChecksumMismatch).
    HeadersAndDescription,
}

/// What happens when the target exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Overwrite {
    /// Fail and leave it alone.
    #[default]
    Refuse,
    /// Replace it, in one step, once the new file is complete and verified.
    Replace,
}

const MIB: u64 = 1024 * 1024;
