//! Downloads whose ranges need more than a URL: signed for each request, or renewed from time to time.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
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

    /// Until when requests made now are taken. The driver renews half a minute ahead, and on 401, 403 and 410.
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
