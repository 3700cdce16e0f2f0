//! What one upload is to do: a struct of public fields with defaults, and a setter of the same name for each.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytehaul_providers::UploadProtocol;
use bytes::Bytes;
use tokio::io::AsyncRead;

use crate::auth::Auth;
use crate::checksum::Checksum;
use crate::network::Network;
use crate::refresh::Refresh;
use crate::spec::Durability;
use crate::upload::checkpoint::Checkpoint;
use crate::upload::error::UploadError;

/// One upload: what, how, and where to.
///
/// Source and protocol are required; every other field has the default that a stranger would choose. The fields are
/// public, and each has a setter of the same name that can be chained:
///
/// ```
/// use bytehaul::{UploadSpec, protocol};
///
/// let spec = UploadSpec::file("video.mp4", protocol::Tus::new("https://up.example.com/files/"))
///     .content_type("video/mp4")
///     .max_upload_speed(1024 * 1024);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct UploadSpec {
    /// Where the bytes come from.
    pub source: UploadSource,
    /// How they are sent, and where to.
    pub protocol: Arc<dyn UploadProtocol>,
    /// The file name that the server is told. Default `None`: that of the source, without directories.
    pub name: Option<String>,
    /// Media type that the server is told. Default `None`: nothing is said, or what the protocol needs.
    pub content_type: Option<String>,
    /// Further names and values, for protocols that carry them. Default: none.
    pub metadata: Vec<(String, String)>,
    /// Bytes of one part. Default 0: the protocol chooses. A larger part means fewer requests, a smaller one less to send
    /// again; of a stream, every part in flight is held in memory.
    pub part_size: u64,
    /// Parts in flight at once, at most, where the protocol is safe out of order. Default 0: automatic, 4.
    pub max_connections: u32,
    /// Retries of one part, of the commit, and of asking the server what it has, before the upload fails. Default 5. Progress renews them.
    pub max_retries: u32,
    /// Retries of opening the session. Default 5.
    pub max_begin_retries: u32,
    /// Wait before the first retry; it doubles with every further one (with jitter, 30 s at most). Default 1 s.
    /// A server's `Retry-After` wins.
    pub retry_base_delay: Duration,
    /// The longest `Retry-After` that is obeyed; a longer one is cut to this. Default 5 min.
    pub max_retry_after: Duration,
    /// Bytes a second of this upload. Default 0: no limit.
    pub max_upload_speed: u64,
    /// What the source must hash to, which is checked before the object is completed. Default `None`.
    pub checksum: Option<Checksum>,
    /// Where the checkpoint is kept. Default: nowhere; the application may keep it itself, see
    /// [`UploadHandle::checkpoint`](crate::UploadHandle::checkpoint).
    pub checkpoints: CheckpointPlace,
    /// A checkpoint that the application has kept; it wins over the one at [`checkpoints`](Self::checkpoints). One
    /// that is of another target, protocol or source is not used. Default `None`.
    pub checkpoint: Option<Checkpoint>,
    /// Whether to go on with what an earlier run left. Default true. If false, what it staged at the server is discarded first.
    pub resume: bool,
    /// Whether to keep the checkpoint of a complete upload, so that the same upload run again knows that it is. Default false.
    pub keep_completed: bool,
    /// Whether a cancelled upload discards what it has staged at the server. Default true.
    pub abort_on_cancel: bool,
    /// What the checkpoint must survive. Default: a power cut.
    pub durability: Durability,
    /// Time for one attempt to connect, name resolution and TLS included. Default `None`: that of
    /// [`network`](Self#structfield.network) (10 s).
    pub connect_timeout: Option<Duration>,
    /// Longest time in which the server neither takes nor sends a byte. There is no limit on the whole transfer.
    /// Default `None`: that of [`network`](Self#structfield.network) (30 s).
    pub read_timeout: Option<Duration>,
    /// Network settings of this upload; what they leave out is the uploader's. Default: all of it.
    pub network: Network,
    /// Further request headers, name and value. They go to the origin that the protocol was given, and to no other.
    /// Default: none.
    pub headers: Vec<(String, String)>,
    /// Credentials for that origin. A header `Authorization` wins over them; they win over the URL's own and over a
    /// [`Netrc`](crate::Netrc) file. Default `None`.
    pub auth: Option<Auth>,
    /// Whom to ask for other credentials or headers when the server no longer takes these; a URL that it gives is not
    /// used, because the upload has begun where it is. Default `None`.
    pub refresher: Option<Arc<dyn Refresh>>,
    /// When the credentials expire: the refresher is asked half a minute before. Default `None`: when the server says so.
    pub expires_at: Option<SystemTime>,
}

/// Where the bytes of an upload come from.
#[derive(Clone)]
#[non_exhaustive]
pub enum UploadSource {
    /// A file, read where it is needed. A change of it during the upload is noticed and fails the upload.
    File(PathBuf),
    /// Bytes in memory.
    Bytes(Bytes),
    /// A stream of unknown length, read once and in order.
    Reader(UploadReader),
}

/// A stream to upload. Can be used for one upload; clones share it.
#[derive(Clone)]
pub struct UploadReader(Arc<Mutex<Option<BoxedReader>>>);

pub(crate) type BoxedReader = Box<dyn AsyncRead + Send + Unpin>;

impl UploadReader {
    /// This stream, which is read to its end.
    pub fn new(reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(reader)))))
    }

    /// Takes the stream, which is there once.
    pub(crate) fn take(&self) -> Option<BoxedReader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Where the checkpoint of an upload is kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum CheckpointPlace {
    /// Nowhere by bytehaul.
    #[default]
    Nowhere,
    /// In `NAME.bytehaul-upload` beside the source, which has to be a file.
    BesideSource,
    /// In a file in this directory, which is made where it is missing.
    Directory(PathBuf),
    /// In this file, a record of an [`UploadLedger`](crate::UploadLedger), which has to be there.
    Record(PathBuf),
}

impl UploadSpec {
    /// An upload of this file.
    pub fn file(path: impl Into<PathBuf>, protocol: impl UploadProtocol + 'static) -> Self {
        Self::new(UploadSource::File(path.into()), Arc::new(protocol))
    }

    /// An upload of these bytes, under this name.
    pub fn bytes(
        name: impl Into<String>,
        bytes: impl Into<Bytes>,
        protocol: impl UploadProtocol + 'static,
    ) -> Self {
        let spec = Self::new(UploadSource::Bytes(bytes.into()), Arc::new(protocol));
        spec.name(name)
    }

    /// An upload of what this reader gives, under this name. Its length need not be known, where the protocol can do
    /// without.
    pub fn reader(
        name: impl Into<String>,
        reader: impl AsyncRead + Send + Unpin + 'static,
        protocol: impl UploadProtocol + 'static,
    ) -> Self {
        let source = UploadSource::Reader(UploadReader::new(reader));
        let spec = Self::new(source, Arc::new(protocol));
        spec.name(name)
    }

    /// An upload of this source by this protocol, with the defaults of every other field.
    pub fn new(source: UploadSource, protocol: Arc<dyn UploadProtocol>) -> Self {
        Self {
            source,
            protocol,
            name: None,
            content_type: None,
            metadata: Vec::new(),
            part_size: 0,
            max_connections: 0,
            max_retries: 5,
            max_begin_retries: 5,
            retry_base_delay: Duration::from_secs(1),
            max_retry_after: Duration::from_secs(300),
            max_upload_speed: 0,
            checksum: None,
            checkpoints: CheckpointPlace::default(),
            checkpoint: None,
            resume: true,
            keep_completed: false,
            abort_on_cancel: true,
            durability: Durability::default(),
            connect_timeout: None,
            read_timeout: None,
            network: Network::default(),
            headers: Vec::new(),
            auth: None,
            refresher: None,
            expires_at: None,
        }
    }

    /// Checks every field without sending or opening anything, as starting an upload does first.
    ///
    /// # Errors
    /// [`UploadError::InvalidParameter`] with the first field that cannot be used.
    pub fn validate(&self) -> Result<(), UploadError> {
        crate::upload::job::Job::new(self.clone()).map(drop)
    }

    /// What makes it the same upload as another one: protocol, target and source, redacted.
    pub fn identity(&self) -> String {
        crate::upload::job::identity(self)
    }

    /// Sets [`name`](Self#structfield.name).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets [`content_type`](Self#structfield.content_type).
    #[must_use]
    pub fn content_type(mut self, media_type: impl Into<String>) -> Self {
        self.content_type = Some(media_type.into());
        self
    }

    /// Adds one name and value to [`metadata`](Self#structfield.metadata).
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((name.into(), value.into()));
        self
    }

    /// Sets [`checksum`](Self#structfield.checksum).
    #[must_use]
    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = Some(checksum);
        self
    }

    /// Sets [`checkpoint`](Self#structfield.checkpoint).
    #[must_use]
    pub fn checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.checkpoint = Some(checkpoint);
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

    /// Adds one request header to [`headers`](Self#structfield.headers).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

crate::spec::setters! { UploadSpec,
    part_size: u64,
    max_connections: u32,
    max_retries: u32,
    max_begin_retries: u32,
    retry_base_delay: Duration,
    max_retry_after: Duration,
    max_upload_speed: u64,
    checkpoints: CheckpointPlace,
    resume: bool,
    keep_completed: bool,
    abort_on_cancel: bool,
    durability: Durability,
    network: Network,
}

impl fmt::Debug for UploadSource {
    /// Shows no bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Reader(_) => f.write_str("Reader"),
        }
    }
}

impl fmt::Debug for UploadReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UploadReader")
    }
}

impl fmt::Debug for UploadSpec {
    /// Shows of the headers only their names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        let metadata: Vec<_> = self.metadata.iter().map(|(name, _)| name).collect();
        f.debug_struct("UploadSpec")
            .field("source", &self.source)
            .field("protocol", &self.protocol.name())
            .field("target", &crate::session::shown(&self.protocol.target()))
            .field("name", &self.name)
            .field("content_type", &self.content_type)
            .field("metadata", &metadata)
            .field("part_size", &self.part_size)
            .field("max_connections", &self.max_connections)
            .field("max_retries", &self.max_retries)
            .field("max_begin_retries", &self.max_begin_retries)
            .field("retry_base_delay", &self.retry_base_delay)
            .field("max_retry_after", &self.max_retry_after)
            .field("max_upload_speed", &self.max_upload_speed)
            .field("checksum", &self.checksum)
            .field("checkpoints", &self.checkpoints)
            .field("checkpoint", &self.checkpoint)
            .field("resume", &self.resume)
            .field("keep_completed", &self.keep_completed)
            .field("abort_on_cancel", &self.abort_on_cancel)
            .field("durability", &self.durability)
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("network", &self.network)
            .field("headers", &headers)
            .field("auth", &self.auth)
            .field("refresher", &self.refresher)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}
