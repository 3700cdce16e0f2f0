//! What can go wrong between a URL and its bytes, and whose fault it is.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use crate::SafeUrl;

/// An error of this crate: a [kind](ErrorKind), the redacted URL it happened with, and the cause as `source()`.
///
/// `Display` says this level only, in lower case, such as `connect to 127.0.0.1:1 (http://127.0.0.1:1/x)`. Neither
/// `Display` nor `Debug` shows credentials, see [`SafeUrl`].
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    what: Cow<'static, str>,
    url: Option<SafeUrl>,
    source: Option<BoxError>,
}

/// What happened. The variants say who is to blame: the caller, this machine, the network or the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The URL has no host, or cannot be written into a request line. The caller's.
    InvalidUrl,
    /// The URL is neither `http` nor `https`. The caller's.
    UnsupportedScheme,
    /// A header of the request is one that only the client may set. The caller's.
    InvalidHeader,
    /// The client cannot be built, or was used in a way that has no meaning. The caller's.
    Configuration,
    /// The name does not exist (`NXDOMAIN`), or has no address.
    HostNotFound,
    /// The name could not be looked up: no name server answered, or it failed.
    Resolve,
    /// No address of the host could be connected to.
    Connect,
    /// The host refused the connection, or over HTTP/2 the request (`REFUSED_STREAM`, `ENHANCE_YOUR_CALM`). A sign of push-back
    /// while other connections to it work.
    Refused,
    /// There is no trust between client and server: a certificate of either was turned down, or no common protocol was found.
    /// The cause says in one line what is wrong.
    Tls,
    /// The proxy could not be connected to, or the TLS handshake with it broke off.
    ProxyConnect,
    /// The proxy wants credentials, or other ones (407, or a SOCKS login that was turned down).
    ProxyAuthentication,
    /// The proxy does not want to connect to the host (403 and the like, or a SOCKS rule).
    ProxyDenied,
    /// The proxy tried and could not reach the host (502, 503, 504, or the SOCKS reply that says so).
    ProxyFailed,
    /// What the proxy answered is not the protocol it was asked in.
    ProxyProtocol,
    /// Name look-up, connection and TLS handshake together took longer than the connect timeout.
    TimeoutConnect,
    /// The response head did not arrive within the read timeout, counted from the last byte of the request that could be sent; or
    /// no byte of the request could be sent for so long.
    TimeoutHead,
    /// No byte of the body arrived for as long as the read timeout.
    TimeoutBody,
    /// The connection was closed or reset by the peer or the network before the response head, or reset within the body.
    Reset,
    /// The body ended before the end that its framing announced.
    Truncated,
    /// What arrived is not HTTP, or not the version that was asked for.
    Protocol,
    /// The response head is larger than 128 KiB, or has more than 100 fields in HTTP/1.1.
    HeadersTooLarge,
    /// A body that was asked for as a whole is larger than the caller allowed.
    BodyTooLarge,
    /// More redirects than the client allows.
    TooManyRedirects,
    /// A redirect led back to a URL that this request has been to.
    RedirectLoop,
    /// A redirect's `Location` is not a URL that can be requested.
    InvalidRedirect,
    /// A redirect led from `https` to `http`, which is only followed [where allowed](crate::ClientBuilder::danger_follow_https_to_http).
    InsecureRedirect,
    /// The body of the request failed, or gave fewer or more bytes than its length. The caller's; the body's own error is the cause.
    RequestBody,
    /// The runtime went away under the request.
    Canceled,
}

/// What a caller may do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The same request may succeed when tried again.
    Transient,
    /// The host turned the connection away: try again, later and with fewer connections.
    Refused,
    /// The same request will fail in the same way.
    Fatal,
}

impl ErrorKind {
    /// Whether trying again can help. A property of the kind alone; how often and when is the caller's policy.
    pub fn class(self) -> Class {
        match self {
            Self::Resolve
            | Self::Connect
            | Self::ProxyConnect
            | Self::ProxyFailed
            | Self::TimeoutConnect
            | Self::TimeoutHead
            | Self::TimeoutBody
            | Self::Reset
            | Self::Truncated
            | Self::Protocol => Class::Transient,
            Self::Refused => Class::Refused,
            Self::InvalidUrl
            | Self::UnsupportedScheme
            | Self::InvalidHeader
            | Self::Configuration
            | Self::HostNotFound
            | Self::Tls
            | Self::ProxyAuthentication
            | Self::ProxyDenied
            | Self::ProxyProtocol
            | Self::HeadersTooLarge
            | Self::BodyTooLarge
            | Self::TooManyRedirects
            | Self::RedirectLoop
            | Self::InvalidRedirect
            | Self::InsecureRedirect
            | Self::RequestBody
            | Self::Canceled => Class::Fatal,
        }
    }
}

impl Error {
    /// What happened.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The URL of the request that failed: of the last hop where redirects were followed.
    pub fn url(&self) -> Option<&SafeUrl> {
        self.inner.url.as_ref()
    }

    pub(crate) fn new(kind: ErrorKind, what: impl Into<Cow<'static, str>>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                what: what.into(),
                url: None,
                source: None,
            }),
        }
    }

    pub(crate) fn with_url(mut self, url: &SafeUrl) -> Self {
        self.inner.url = Some(url.clone());
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.inner.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.what)?;
        match &self.inner.url {
            Some(url) => write!(f, " ({url})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("what", &self.inner.what)
            .field("url", &self.inner.url)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;
