//! tus 1.0.0 (<https://tus.io/protocols/resumable-upload>), and the IETF draft that grew out of it.
//!
//! An upload is a resource at the server: created empty by `POST`, appended to by `PATCH`, asked for its offset by `HEAD`.
//! Whatever becomes of a request, the offset says where to go on, so that no byte that the server has is sent twice; it is
//! believed downwards too. An upload is complete when the server has said that its offset is its length, and not before.
//!
//! Of the extensions, creation is needed (unless an upload's URL is given), expiration and termination are used where the
//! server has them, and checksum, concatenation, creation-with-upload and creation-defer-length where they are asked for
//! or the source needs them. What the server lacks of the last four is found out first, by `OPTIONS`: without
//! concatenation or creation-with-upload the upload goes the plain way, without the others it fails before a byte is sent.
//!
//! A creation whose answer is lost leaves an empty upload that nobody knows of; the server's expiration is for those. If
//! the answer to the request that joins partial uploads is lost, it is sent again, which makes a second object of the same
//! bytes at a server that had made the first; if that is refused, the upload ends as indeterminate.

mod discovery;
mod draft;
mod progress;
mod resource;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;

use bytehaul_integrity::Algorithm;
use url::Url;

pub use crate::tus::draft::TusDraft;
use crate::tus::resource::Manner;
use crate::tus::session::{Session, Settings};
use crate::{Capabilities, Left, Object, ProtocolError, UploadProtocol, UploadSession, address};

/// tus 1.0.0.
///
/// ```
/// use bytehaul_providers::tus::Tus;
/// use bytehaul_providers::{Object, UploadProtocol};
///
/// let protocol = Tus::new("https://uploads.example/files");
/// let session = protocol.open(&Object::new("holiday.mp4", Some(1 << 30)), None)?;
/// # Ok::<(), bytehaul_providers::ProtocolError>(())
/// ```
#[derive(Clone)]
pub struct Tus {
    creation: Option<String>,
    upload: Option<String>,
    file_metadata: bool,
    checksum: Option<Algorithm>,
    creation_with_data: bool,
    concatenation: bool,
    override_method: bool,
    discover: bool,
}

impl Tus {
    /// Uploads are created at this URL. A bad one is found by [`validate`](UploadProtocol::validate).
    pub fn new(creation: impl Into<String>) -> Self {
        Self {
            creation: Some(creation.into()),
            upload: None,
            file_metadata: true,
            checksum: None,
            creation_with_data: false,
            concatenation: false,
            override_method: false,
            discover: false,
        }
    }

    /// Bytes go to an upload that somebody else has created, such as a back end. If it vanishes, there is no other.
    pub fn existing(upload: impl Into<String>) -> Self {
        let mut tus = Self::new(upload);
        tus.upload = tus.creation.take();
        tus
    }

    /// Goes on with this upload; what it has is believed to be the beginning of the source. If it is gone, another one is
    /// created. It is discarded on abort only if something was sent to it.
    #[must_use]
    pub fn upload_url(mut self, url: impl Into<String>) -> Self {
        self.upload = Some(url.into());
        self
    }

    /// Whether the file's name and media type go along as the metadata `filename` and `filetype`. Default true.
    #[must_use]
    pub fn file_metadata(mut self, send: bool) -> Self {
        self.file_metadata = send;
        self
    }

    /// Sends the digest of each part with it, so that the server refuses a part that was damaged on its way, which is then
    /// sent again. Each part is read twice. A server that does not answer `OPTIONS` as tus does may ignore the digest.
    /// Default none.
    #[must_use]
    pub fn checksum(mut self, algorithm: Algorithm) -> Self {
        self.checksum = Some(algorithm);
        self
    }

    /// Whether the first part goes with the creation, which saves one round trip. If that answer is lost, the part is sent
    /// again, because nobody knows where it is. Default false.
    #[must_use]
    pub fn creation_with_data(mut self, with_data: bool) -> Self {
        self.creation_with_data = with_data;
        self
    }

    /// Whether to send partial uploads at the same time and to have the server join them. Default false.
    ///
    /// Each of the [parts in flight](Object::parallel) gets an equal share of the object, or
    /// [`part_size`](Object::part_size) bytes, but at least 1 MiB and as much that there are no more than 64, because all
    /// their URLs go in one field. A stream, or an object of one share, goes as one upload.
    #[must_use]
    pub fn concatenation(mut self, join: bool) -> Self {
        self.concatenation = join;
        self
    }

    /// Whether `PATCH` and `DELETE` go as `POST` with `X-HTTP-Method-Override`, for networks that let nothing else through.
    /// Default false.
    #[must_use]
    pub fn override_method(mut self, as_post: bool) -> Self {
        self.override_method = as_post;
        self
    }

    /// Whether to ask the server what it can do, and how much it takes, even if nothing that is wanted depends on it.
    /// Default false.
    #[must_use]
    pub fn discover(mut self, always: bool) -> Self {
        self.discover = always;
        self
    }

    fn partial_size(&self, object: &Object) -> Option<u64> {
        let len = object.len.filter(|_| self.concatenation)?;
        let parallel = u64::try_from(object.parallel).unwrap_or(u64::MAX).max(1);
        let share = match object.part_size {
            Some(size) => size,
            None => len.div_ceil(parallel).max(LEAST_SHARE),
        };
        let size = share.max(len.div_ceil(MOST_PARTIALS)).max(1);
        (parallel > 1 && size < len).then_some(size)
    }
}

impl fmt::Debug for Tus {
    /// Shows hosts alone of the URLs, which may be all that one needs to write there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tus")
            .field("creation", &self.creation.as_deref().map(address::shown))
            .field("upload", &self.upload.as_deref().map(address::shown))
            .field("checksum", &self.checksum)
            .field("creation_with_data", &self.creation_with_data)
            .field("concatenation", &self.concatenation)
            .field("override_method", &self.override_method)
            .finish_non_exhaustive()
    }
}

impl UploadProtocol for Tus {
    fn name(&self) -> &str {
        "tus"
    }

    fn target(&self) -> String {
        let url = self.upload.as_ref().or(self.creation.as_ref());
        url.cloned().unwrap_or_default()
    }

    fn endpoint(&self) -> Option<Url> {
        let url = self.creation.as_ref().or(self.upload.as_ref())?;
        address::parse(url).ok()
    }

    fn validate(&self) -> Result<(), ProtocolError> {
        parsed(self.creation.as_ref())?;
        parsed(self.upload.as_ref()).map(drop)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .parallel(self.concatenation && self.upload.is_none())
            .unknown_length(true)
            .resumable(true)
    }

    fn open(
        &self,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Box<dyn UploadSession>, ProtocolError> {
        let (creation, upload) = (
            parsed(self.creation.as_ref())?,
            parsed(self.upload.as_ref())?,
        );
        let partial_size = self.partial_size(object);
        let small = object.len.is_none() || self.checksum.is_some();
        let usual = if small { SMALL_PART } else { LARGE_PART };
        let manner = Manner {
            creation,
            metadata: wire::metadata(object, self.file_metadata)?,
            checksum: self.checksum,
            with_data: self.creation_with_data,
            override_method: self.override_method,
            part_size: object.part_size.unwrap_or(usual).max(1),
            partial: partial_size.is_some(),
        };
        let discover = self.discover
            || self.checksum.is_some()
            || self.creation_with_data
            || partial_size.is_some()
            || object.len.is_none();
        let settings = Settings {
            manner,
            len: object.len,
            partial_size,
            upload_url: upload,
            discover,
        };
        Ok(Box::new(Session::new(settings, left)))
    }
}

fn parsed(url: Option<&String>) -> Result<Option<Url>, ProtocolError> {
    url.map(|url| address::parse(url)).transpose()
}

/// Bytes of one request where the caller does not say: as many that requests cost nothing, and few enough that each
/// confirms a good deal of proven bytes. What a broken one has left at the server is found by asking for the offset.
const LARGE_PART: u64 = 64 << 20;

/// The same for a stream, which is held in memory until the server has confirmed it, and for parts with a digest, which
/// are thrown away as a whole if they arrive damaged.
const SMALL_PART: u64 = 8 << 20;

/// Bytes of a partial upload where the caller does not say.
const LEAST_SHARE: u64 = 1 << 20;

const MOST_PARTIALS: u64 = 64;

/// How often a vanished upload is begun anew.
const MOST_RESTARTS: u32 = 3;

/// Kept with a session: the server may have bytes of an earlier source, which was found changed.
const DOUBTFUL: &str = "doubtful";

/// Kept with a session: nothing was sent to the upload that the caller named.
const UNTOUCHED: &str = "untouched";
