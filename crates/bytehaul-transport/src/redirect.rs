//! Where a redirect leads, and what may be taken along (RFC 9110 section 15.4).

use std::collections::HashSet;
use std::time::Duration;

use http::header::{HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, percent_encode};
use url::Url;

use crate::request_body::Wait;
use crate::{Error, ErrorKind, HttpVersion, Origin, Request, RequestBody, RequestRange, SafeUrl};

/// Which redirects are followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Redirects {
    pub(crate) max: usize,
    pub(crate) downgrade: Downgrade,
}

/// What to do with a redirect from `https` to `http`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Downgrade {
    Refuse,
    Follow,
}

/// One request on its way: the present URL, what is still allowed to be sent to it, and where it has been.
pub(crate) struct Hop {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) safe_url: SafeUrl,
    pub(crate) origin: Origin,
    pub(crate) range: RequestRange,
    /// Where it is to be another one than the client's.
    pub(crate) version: Option<HttpVersion>,
    /// The caller's headers, as long as the origin is the one they were given for.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<RequestBody>,
    pub(crate) wait: Wait,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) redirects: usize,
    /// Each URL that was asked, and whether the caller's headers were sent to it.
    seen: HashSet<(Url, Carried)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Carried {
    Own,
    Dropped,
}

impl Hop {
    pub(crate) fn first(mut request: Request) -> Result<Self, Error> {
        let origin = Origin::of(&request.url)?;
        request.prepare()?;
        Ok(Self {
            method: request.method,
            safe_url: SafeUrl::from(&request.url),
            url: request.url,
            origin,
            range: request.range,
            version: request.version,
            headers: request.headers,
            wait: match request.body.as_ref().map(RequestBody::length) {
                None | Some(Some(0)) => Wait::Nothing,
                Some(_) => request.wait,
            },
            body: request.body,
            read_timeout: request.read_timeout,
            redirects: 0,
            seen: HashSet::new(),
        })
    }

    /// Whether the request can be sent, be it for the first time or again.
    pub(crate) fn can_be_sent(&self) -> bool {
        self.body.as_ref().is_none_or(RequestBody::can_open)
    }

    /// Moves on to where the response points. `false`: it is no redirect, or none that such a request follows.
    ///
    /// # Errors
    ///
    /// Too many redirects, a loop, a step down from https, or a `Location` that is no URL.
    pub(crate) fn follow(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        allowed: Redirects,
    ) -> Result<bool, Error> {
        let Some(location) = location(status, headers) else {
            return Ok(false);
        };
        if !self.keeps_its_meaning(status) {
            return Ok(false);
        }
        if self.redirects >= allowed.max {
            return Err(self.error(
                ErrorKind::TooManyRedirects,
                format!("more than {} redirects", allowed.max),
            ));
        }
        let next = self.resolve(location)?;
        let origin = Origin::of(&next).map_err(|error| {
            self.error(
                ErrorKind::InvalidRedirect,
                "redirect to a url that cannot be requested",
            )
            .with_source(error)
        })?;
        if origin != self.origin && self.body.is_some() {
            return Ok(false);
        }
        if self.url.scheme() == "https" && next.scheme() != "https" {
            match allowed.downgrade {
                Downgrade::Refuse => {
                    let what = "redirect from https to http";
                    return Err(self.error(ErrorKind::InsecureRedirect, what));
                }
                Downgrade::Follow => {
                    bytehaul_log::warn!(from = %self.safe_url, to = %SafeUrl::from(&next), "redirect from https to http followed");
                }
            }
        }
        self.seen.insert((self.url.clone(), self.carried()));
        if origin != self.origin {
            self.headers.clear();
        }
        if self.seen.contains(&(next.clone(), self.carried())) {
            return Err(self.error(ErrorKind::RedirectLoop, "redirect leads back"));
        }
        self.redirects += 1;
        self.safe_url = SafeUrl::from(&next);
        self.url = next;
        self.origin = origin;
        Ok(true)
    }

    /// Whether a redirect of this status asks for the same request elsewhere, and one that can be sent again. Some clients
    /// make a `GET` of others, which uploads nothing.
    fn keeps_its_meaning(&self, status: StatusCode) -> bool {
        let plain = matches!(self.method, Method::GET | Method::HEAD) && self.body.is_none();
        plain || (matches!(status.as_u16(), 307 | 308) && self.can_be_sent())
    }

    /// User name and password of a `Location` are the server's choice and no credentials of the caller: not sent.
    fn resolve(&self, location: &HeaderValue) -> Result<Url, Error> {
        let text = match std::str::from_utf8(location.as_bytes()) {
            Ok(text) => text.into(),
            Err(_) => percent_encode(location.as_bytes(), NOTHING).to_string(),
        };
        let mut url = self.url.join(&text).map_err(|error| {
            self.error(ErrorKind::InvalidRedirect, "redirect to no url")
                .with_source(error)
        })?;
        if url.has_host() {
            // Fails only for URLs without a host.
            let _ = url.set_username("");
            let _ = url.set_password(None);
        }
        url.set_fragment(None);
        Ok(url)
    }

    fn carried(&self) -> Carried {
        if self.headers.is_empty() {
            Carried::Dropped
        } else {
            Carried::Own
        }
    }

    pub(crate) fn error(
        &self,
        kind: ErrorKind,
        what: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Error {
        Error::new(kind, what).with_url(&self.safe_url)
    }
}

/// The target of a redirect. All of them keep a `GET` or `HEAD`.
fn location(status: StatusCode, headers: &HeaderMap) -> Option<&HeaderValue> {
    match status.as_u16() {
        301 | 302 | 303 | 307 | 308 => headers.get(http::header::LOCATION),
        _ => None,
    }
}

/// Only what is not ASCII is encoded, which `percent_encode` does always.
const NOTHING: &AsciiSet = &AsciiSet::EMPTY;

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(url: &str) -> Hop {
        let mut headers = HeaderMap::new();
        headers.insert("x-key", HeaderValue::from_static("secret"));
        Hop::first(Request::get(Url::parse(url).unwrap()).headers(headers)).unwrap()
    }

    fn at_most(max: usize) -> Redirects {
        Redirects {
            max,
            downgrade: Downgrade::Refuse,
        }
    }

    fn follow(hop: &mut Hop, location: &[u8]) -> Result<bool, ErrorKind> {
        let mut headers = HeaderMap::new();
        headers.insert("location", HeaderValue::from_bytes(location).unwrap());
        hop.follow(StatusCode::FOUND, &headers, at_most(10))
            .map_err(|error| error.kind())
    }

    #[track_caller]
    fn check(from: &str, location: &[u8], to: &str) {
        let mut hop = hop(from);
        assert_eq!(follow(&mut hop, location), Ok(true));
        assert_eq!(hop.url.as_str(), to);
    }

    #[test]
    fn locations_are_resolved() {
        check("http://a/x/y?q", b"z", "http://a/x/z");
        check("http://a/x/y?q", b"/z#part", "http://a/z");
        check("http://a/x/y?q", b"//b:81/z", "http://b:81/z");
        check("http://a/x/y?q", b"?p", "http://a/x/y?p");
        check("http://a/x", b"https://user:pw@a/y", "https://a/y");
        check("http://a/x", "/\u{e9}".as_bytes(), "http://a/%C3%A9");
        check("http://a/x", b"/\xe9", "http://a/%E9");
        check("http://a/x", b"/a b", "http://a/a%20b");
    }

    #[test]
    fn headers_go_no_further_than_their_origin() {
        let mut hop = hop("http://a/x");
        follow(&mut hop, b"/y").unwrap();
        assert_eq!(hop.headers.len(), 1);
        follow(&mut hop, b"http://a:8080/y").unwrap();
        assert!(hop.headers.is_empty());
        follow(&mut hop, b"http://a/z").unwrap();
        assert!(hop.headers.is_empty(), "they do not come back");
    }

    #[test]
    fn what_is_not_followed() {
        assert_eq!(
            follow(&mut hop("https://a/x"), b"http://a/x"),
            Err(ErrorKind::InsecureRedirect)
        );
        assert_eq!(
            follow(&mut hop("http://a/x"), b"/x"),
            Err(ErrorKind::RedirectLoop)
        );
        assert_eq!(
            follow(&mut hop("http://a/x"), b"ftp://a/x"),
            Err(ErrorKind::InvalidRedirect)
        );
        assert_eq!(
            follow(&mut hop("http://a/x"), b"file:///etc/passwd"),
            Err(ErrorKind::InvalidRedirect)
        );
        assert_eq!(
            follow(&mut hop("http://a/x"), b"http://[::bad/"),
            Err(ErrorKind::InvalidRedirect)
        );
        assert_eq!(
            follow(&mut hop("http://a/x"), b"mailto:x@y"),
            Err(ErrorKind::InvalidRedirect)
        );
        let plain = HeaderMap::new();
        assert!(
            !hop("http://a/x")
                .follow(StatusCode::FOUND, &plain, at_most(10))
                .unwrap(),
            "no location"
        );
        assert!(
            !hop("http://a/x")
                .follow(StatusCode::NOT_MODIFIED, &plain, at_most(10))
                .unwrap()
        );
    }

    #[test]
    fn a_step_down_from_https_is_followed_where_allowed() {
        let mut hop = hop("https://a/x");
        let mut headers = HeaderMap::new();
        headers.insert("location", HeaderValue::from_static("http://a/x"));
        let allowed = Redirects {
            max: 10,
            downgrade: Downgrade::Follow,
        };
        assert!(hop.follow(StatusCode::FOUND, &headers, allowed).unwrap());
        assert_eq!(hop.url.as_str(), "http://a/x");
        assert!(hop.headers.is_empty(), "another scheme is another origin");
    }

    #[test]
    fn the_limit_counts_redirects() {
        let mut hop = hop("http://a/0");
        let mut headers = HeaderMap::new();
        for n in 1..=3 {
            headers.insert("location", HeaderValue::from_str(&format!("/{n}")).unwrap());
            let followed = hop.follow(StatusCode::FOUND, &headers, at_most(2));
            assert_eq!(followed.is_ok(), n <= 2);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_location_panics(location: Vec<u8>) {
            let location: Vec<u8> = location.into_iter().map(|b| if b < 32 || b == 127 { b'/' } else { b }).collect();
            let _ = follow(&mut hop("http://a/x"), &location);
        }
    }
}
