//! What a caller may ask for, and which fields of it are the client's own business.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::request_body::Wait;
use crate::{Error, ErrorKind, HttpVersion, RequestBody, SafeUrl};

/// A request: a method and a URL, the range wanted of it, the caller's own headers, and a body.
///
/// ```
/// use bytehaul_transport::{Request, RequestRange, Url};
///
/// let url = Url::parse("https://example.com/big.iso")?;
/// let request = Request::get(url).range(RequestRange::Span(0..1024));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) range: RequestRange,
    pub(crate) headers: HeaderMap,
    pub(crate) version: Option<HttpVersion>,
    pub(crate) body: Option<RequestBody>,
    pub(crate) wait: Wait,
    pub(crate) read_timeout: Option<Duration>,
}

/// The part of an object that is asked for: the `Range` field of a request (RFC 9110 section 14.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RequestRange {
    /// Everything: no `Range` field.
    #[default]
    Whole,
    /// From this offset to the end: `bytes=a-`. `From(0)` sends the field too, so that a server that honours ranges answers 206.
    From(u64),
    /// From the start up to, not including, the end: `bytes=a-b`. An empty span cannot be asked for.
    Span(Range<u64>),
}

impl Request {
    /// A request with any method but `CONNECT`. User name and password in the URL become an `Authorization: Basic` field for
    /// its origin.
    ///
    /// A connection that is found closed is replaced once, and a refused HTTP/2 request sent once more, only as far as that is
    /// safe: with methods that are not idempotent (`POST`, `PATCH`; RFC 9110 section 9.2.2) only when nothing of the request can
    /// have been processed, and in any case only when the [body](Self::body) can be opened again.
    ///
    /// Redirects of other requests than a `GET` or `HEAD` without a body: 307 and 308 are followed with method and body, 301, 302
    /// and 303 are responses like others. So are 307 and 308 when the body cannot be opened again, or would go to another
    /// origin: a body that was given for one origin is not sent to another.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            range: RequestRange::Whole,
            headers: HeaderMap::new(),
            version: None,
            body: None,
            wait: Wait::Nothing,
            read_timeout: None,
        }
    }

    /// A `GET` of the URL, see [`new`](Self::new).
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A `HEAD` of the URL, see [`new`](Self::new).
    pub fn head(url: Url) -> Self {
        Self::new(Method::HEAD, url)
    }

    /// The body. Default: none, for which `POST`, `PUT` and `PATCH` say `Content-Length: 0` (RFC 9110 section 8.6).
    ///
    /// An error or a redirect (300 and up) that comes while the body is being sent is returned at once, and the rest of the
    /// body not sent; its connection is not used again. A success (2xx) that comes early is returned when the whole body is out:
    /// before that it would say more than the server can know.
    #[must_use]
    pub fn body(mut self, body: RequestBody) -> Self {
        self.body = Some(body);
        self
    }

    /// Sends `Expect: 100-continue` (RFC 9110 section 10.1.1): the body waits for the server's 100, or for one second. When a
    /// final answer comes before that, nothing of the body is sent, and the answer returned whatever it is; but a 417 makes
    /// the request be sent once more without this. Without a body, or with an empty one, this does nothing.
    #[must_use]
    pub fn expect_continue(mut self) -> Self {
        self.wait = Wait::Continue;
        self
    }

    /// The read timeout for this request, in place of the client's
    /// [`read_timeout`](crate::ClientBuilder::read_timeout).
    #[must_use]
    pub fn read_timeout(mut self, limit: Duration) -> Self {
        self.read_timeout = Some(limit);
        self
    }

    /// The range to ask for. Default: the whole object.
    #[must_use]
    pub fn range(mut self, range: RequestRange) -> Self {
        self.range = range;
        self
    }

    /// The caller's own headers, credentials and cookies among them. They are bound to the origin of the URL: the
    /// first redirect to another origin drops all of them, and they do not come back. `Authorization` here wins over user
    /// name and password in the URL.
    ///
    /// Sending fails with [`InvalidHeader`](ErrorKind::InvalidHeader) when a field is among them that frames the message or
    /// that the client sets itself: `Range`, `Accept-Encoding`, `Connection`, `Content-Length`, `Transfer-Encoding`, `TE`,
    /// `Trailer`, `Upgrade`, `Expect`, `Keep-Alive`, `Proxy-Connection`, `Proxy-Authorization`: a proxy's credentials belong to
    /// the [proxy](crate::Proxy), and must not reach the host.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// `Authorization: Bearer` with this token (RFC 6750). It is bound to the origin of the URL like all own headers, replaces
    /// an `Authorization` among them, and wins over user name and password in the URL. Call it after
    /// [`headers`](Self::headers).
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`](ErrorKind::InvalidHeader) when the token has characters that no header value may have. The error does
    /// not show it.
    pub fn bearer_auth(mut self, token: &str) -> Result<Self, Error> {
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut value = value.map_err(|_shows_nothing| {
            Error::new(ErrorKind::InvalidHeader, "token is no header value")
                .with_url(&SafeUrl::from(&self.url))
        })?;
        value.set_sensitive(true);
        self.headers.insert(header::AUTHORIZATION, value);
        Ok(self)
    }

    /// `Authorization: Basic` with this user name and password in UTF-8 (RFC 7617). Bound as
    /// [`bearer_auth`](Self::bearer_auth) is. The user name must not have a colon, which cannot be told from the one between
    /// them.
    #[must_use]
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        let pair = [user.as_bytes(), b":", password.as_bytes()].concat();
        self.headers.insert(header::AUTHORIZATION, basic(&pair));
        self
    }

    /// The version of HTTP for this request. Default: the client's.
    #[must_use]
    pub fn http_version(mut self, version: HttpVersion) -> Self {
        self.version = Some(version);
        self
    }

    /// The URL, with whatever secrets it has.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Takes user name and password out of the URL and checks what only the caller can have got wrong.
    pub(crate) fn prepare(&mut self) -> Result<(), Error> {
        if let RequestRange::Span(span) = &self.range
            && span.is_empty()
        {
            let what = format!("empty range {}..{}", span.start, span.end);
            return Err(
                Error::new(ErrorKind::Configuration, what).with_url(&SafeUrl::from(&self.url))
            );
        }
        if self.method == Method::CONNECT {
            return Err(
                Error::new(ErrorKind::Configuration, "CONNECT is for proxies alone")
                    .with_url(&SafeUrl::from(&self.url)),
            );
        }
        if let Some(name) = self.headers.keys().find(|name| RESERVED.contains(name)) {
            let what = format!("header `{name}` is set by the client");
            return Err(
                Error::new(ErrorKind::InvalidHeader, what).with_url(&SafeUrl::from(&self.url))
            );
        }
        if let Some(basic) = take_userinfo(&mut self.url) {
            self.headers.entry(header::AUTHORIZATION).or_insert(basic);
        }
        self.url.set_fragment(None);
        Ok(())
    }
}

impl RequestRange {
    /// The value of the `Range` field.
    pub(crate) fn field(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::Whole => return None,
            Self::From(start) => format!("bytes={start}-"),
            Self::Span(span) => format!("bytes={}-{}", span.start, span.end.saturating_sub(1)),
        };
        Some(HeaderValue::from_str(&text).expect("digits and a dash are a header value"))
    }
}

impl fmt::Debug for Request {
    /// The names of the headers only, and the URL without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &SafeUrl::from(&self.url))
            .field("range", &self.range)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &self.body)
            .finish()
    }
}

/// Removes user name and password from the URL, and gives them as a Basic credential (RFC 7617), percent-decoded.
fn take_userinfo(url: &mut Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair = percent_encoding::percent_decode_str(url.username()).collect::<Vec<u8>>();
    pair.push(b':');
    pair.extend(percent_encoding::percent_decode_str(
        url.password().unwrap_or_default(),
    ));
    // Both calls fail only for URLs that cannot have a user name, and this one has one.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(basic(&pair))
}

fn basic(pair: &[u8]) -> HeaderValue {
    let text = format!("Basic {}", data_encoding::BASE64.encode(pair));
    let mut value = HeaderValue::from_str(&text).expect("base64 is a header value");
    value.set_sensitive(true);
    value
}

const RESERVED: [HeaderName; 12] = [
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn get(url: &str) -> Request {
        Request::get(Url::parse(url).unwrap())
    }

    #[test]
    fn ranges_are_inclusive_on_the_wire() {
        assert_eq!(RequestRange::Whole.field(), None);
        assert_eq!(RequestRange::From(7).field().unwrap(), "bytes=7-");
        assert_eq!(RequestRange::Span(0..1).field().unwrap(), "bytes=0-0");
        assert_eq!(
            RequestRange::Span(10..u64::MAX).field().unwrap(),
            "bytes=10-18446744073709551614"
        );
    }

    #[test]
    fn userinfo_becomes_a_basic_credential() {
        let mut request = get("http://Aladdin:open%20s%c3%a9same@example.com/x#part");
        request.prepare().unwrap();
        assert_eq!(request.url.as_str(), "http://example.com/x");
        assert_eq!(
            request.headers[header::AUTHORIZATION],
            "Basic QWxhZGRpbjpvcGVuIHPDqXNhbWU="
        );
    }

    #[test]
    fn an_own_authorization_wins() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer t"));
        let mut request = get("http://a:b@example.com/").headers(headers);
        request.prepare().unwrap();
        assert_eq!(request.headers[header::AUTHORIZATION], "Bearer t");
        assert_eq!(request.url.as_str(), "http://example.com/");
    }

    #[test]
    fn own_credentials_replace_others() {
        let request = get("http://a:b@example.com/");
        let mut basic = request.clone().basic_auth("Aladdin", "open sesame");
        basic.prepare().unwrap();
        let field = &basic.headers[header::AUTHORIZATION];
        assert_eq!(field, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(field.is_sensitive());
        let mut bearer = basic.bearer_auth("hunter2").unwrap();
        bearer.prepare().unwrap();
        let field = &bearer.headers[header::AUTHORIZATION];
        assert_eq!(field, "Bearer hunter2");
        assert!(field.is_sensitive());
        let error = request.bearer_auth("hunter2\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidHeader);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn framing_headers_are_refused() {
        for name in RESERVED {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("x"));
            let error = get("http://example.com/")
                .headers(headers)
                .prepare()
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidHeader);
        }
    }

    #[test]
    fn empty_spans_are_refused() {
        let error = get("http://example.com/")
            .range(RequestRange::Span(5..5))
            .prepare()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut headers = HeaderMap::new();
        headers.insert("x-secret", HeaderValue::from_static("hunter2"));
        let text = format!(
            "{:?}",
            get("http://u:hunter2@example.com/?token=hunter2").headers(headers)
        );
        assert!(
            text.contains("x-secret") && !text.contains("hunter2"),
            "{text}"
        );
    }
}
