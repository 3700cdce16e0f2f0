//! Downloads whose ranges need more than a URL: signed for each request, or renewed from time to time.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytehaul_integrity::Expected;
#[cfg(any(feature = "azure", feature = "oss", feature = "s3"))]
use bytehaul_integrity::headers::{Response, representation_digests};
#[cfg(any(feature = "azure", feature = "oss", feature = "s3"))]
use bytehaul_integrity::{Algorithm, Digest};
use http::{HeaderMap, StatusCode};
use url::Url;

use crate::{Answer, BoxError, BoxFuture, ProtocolError};

/// A way to ask for ranges of one object. What comes back is a plain HTTP answer to a `GET` with a `Range` field.
pub trait DownloadProtocol: fmt::Debug + Send + Sync {
    /// Its name, such as `s3`.
    fn name(&self) -> &str;

    /// Which object, as a URL that is the same for each try. It may hold a signature: who shows or keeps it has to redact it.
    fn target(&self) -> String;

    /// Its length in bytes where that is known without asking.
    fn total_size(&self) -> Option<u64> {
        None
    }

    /// URL and fields of the request for a range. The `Range` field itself is the driver's.
    ///
    /// # Errors
    /// It cannot be asked for, such as with credentials that cannot sign.
    fn request(&self, wanted: &Wanted, now: SystemTime) -> Result<RangeRequest, ProtocolError>;

    /// What the whole object has to hash to, by its provider's word. The driver asks before it writes, and publishes nothing
    /// else; where a caller has given a checksum, that is what counts, and nobody asks.
    ///
    /// `told` is what has been said of the object so far: the answer to the first range, where one was fetched, and behind it those
    /// to the questions that this function has asked, in their order.
    ///
    /// # Errors
    /// A question cannot be asked, such as with credentials that cannot sign.
    fn proof(&self, told: &[Told], now: SystemTime) -> Result<Proof, ProtocolError> {
        let _ = (told, now);
        Ok(Proof::Nothing)
    }

    /// Until when requests made now are taken. The driver renews half a minute ahead, if that failed once more when it is over, and on
    /// 401, 403, 410 and what [is refused](Self::is_refused).
    fn expires_at(&self) -> Option<SystemTime> {
        None
    }

    /// Where to ask instead, after an answer that is not the object (the body up to 64 KiB), such as that it is in another
    /// region: the protocol to use from then on, for the same object. It is not to send from one to the other for ever. `None`:
    /// nowhere else.
    fn elsewhere(&self, answer: &Answer<'_>) -> Option<Arc<dyn DownloadProtocol>> {
        let _ = answer;
        None
    }

    /// Whether an answer of another status than those (400, the body up to 64 KiB) means all the same that the credentials are not
    /// taken, such as that they have expired.
    fn is_refused(&self, answer: &Answer<'_>) -> bool {
        let _ = answer;
        false
    }

    /// Gets what it takes to go on: the protocol to use from then on, for the same object. `None`: nothing can be renewed.
    fn refresh(&self) -> Option<Refreshing<'_>> {
        None
    }
}

/// The bytes that are wanted of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// All of it: no `Range` field.
    Whole,
    /// From this offset to the end.
    From(u64),
    /// These.
    Span(Range<u64>),
}

/// The head of an answer that speaks of an object.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Told {
    /// Whether it answers a [question](Proof::Ask), rather than the request for a range.
    pub is_asked: bool,
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
}

impl Told {
    /// An answer to a request for a range, or for all.
    #[must_use]
    pub fn of_range(status: StatusCode, headers: HeaderMap) -> Self {
        Self {
            is_asked: false,
            status,
            headers,
        }
    }

    /// An answer to a question, which has no body.
    #[must_use]
    pub fn of_question(status: StatusCode, headers: HeaderMap) -> Self {
        Self {
            is_asked: true,
            ..Self::of_range(status, headers)
        }
    }

    /// The value of a field; `None` when there is none, or none that is text.
    #[cfg(any(feature = "azure", feature = "s3"))]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// The digest of the whole object that its fields declare.
    ///
    /// Of several the strongest, but a CRC before MD5 and SHA-1: neither stands up to an attacker, and it costs a fraction of the time.
    #[cfg(any(feature = "azure", feature = "oss", feature = "s3"))]
    pub(crate) fn declared(&self) -> Option<Digest> {
        let response = match (self.is_asked, self.status) {
            (true, StatusCode::OK) => Response::Head,
            (false, StatusCode::OK) => Response::Whole,
            (_, StatusCode::PARTIAL_CONTENT) => Response::Partial,
            _ => return None,
        };
        let fields = self.headers.iter();
        let fields = fields.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let digests = representation_digests(fields, response);
        let is_weak =
            |digest: &&Digest| matches!(digest.algorithm(), Algorithm::Md5 | Algorithm::Sha1);
        let crc = digests.iter().find(|digest| digest.crc().is_some());
        let first = digests.first();
        first
            .filter(|first| !is_weak(first))
            .or(crc)
            .or(first)
            .copied()
    }
}

/// How far it is known what an object has to hash to.
#[derive(Clone, Debug)]
pub enum Proof {
    /// The provider says nothing that the bytes could be held against.
    Nothing,
    /// This has to be asked, by `HEAD`.
    Ask(RangeRequest),
    /// That is it.
    Known(Expected),
}

/// What a range is asked for with.
#[derive(Clone)]
#[non_exhaustive]
pub struct RangeRequest {
    /// The URL, which may hold a signature.
    pub url: Url,
    /// The fields, which may hold credentials. They go to the URL's origin alone.
    pub headers: HeaderMap,
}

impl RangeRequest {
    /// A request of this URL with these fields.
    pub fn new(url: Url, headers: HeaderMap) -> Self {
        Self { url, headers }
    }
}

impl fmt::Debug for RangeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeRequest")
            .field("host", &self.url.host_str())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// A renewal on its way.
pub type Refreshing<'a> = BoxFuture<'a, Result<Arc<dyn DownloadProtocol>, BoxError>>;

/// A function that renews something: `None` in its place means that nothing can be renewed.
pub type Refresh<T> = Arc<dyn Fn() -> BoxFuture<'static, Result<T, BoxError>> + Send + Sync>;
