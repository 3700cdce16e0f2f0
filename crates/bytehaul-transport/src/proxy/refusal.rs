//! What a proxy means by an answer that is no yes: whose fault it is, and how that is said in one line.

use http::StatusCode;
use http::header::{self, HeaderMap};

use super::Proxy;
use crate::{Error, ErrorKind, Origin};

/// Why there is no way through a proxy: the kind of error, and in its own words what it answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: ErrorKind,
    pub(super) said: String,
}

impl Refusal {
    pub(super) fn new(kind: ErrorKind, said: impl Into<String>) -> Self {
        Self {
            kind,
            said: said.into(),
        }
    }

    /// The answer to a `CONNECT`: a status that is not 2xx, and its reason phrase.
    pub(super) fn status(status: StatusCode, reason: &[u8]) -> Self {
        let kind = match status.as_u16() {
            // tinyproxy says 401 for a password that is wrong, 407 only for none.
            401 | 407 => ErrorKind::ProxyAuthentication,
            408 | 429 => ErrorKind::ProxyFailed,
            // It will not do so tomorrow either.
            501 | 505 => ErrorKind::ProxyDenied,
            500.. => ErrorKind::ProxyFailed,
            _ => ErrorKind::ProxyDenied,
        };
        let reason = printable(reason);
        let said = match (reason.as_str(), status.canonical_reason()) {
            ("", None) => status.as_str().to_owned(),
            ("", Some(usual)) => format!("{} {usual}", status.as_str()),
            (reason, _) => format!("{} {reason}", status.as_str()),
        };
        Self { kind, said }
    }

    /// What a caller is told.
    pub(super) fn into_error(self, proxy: &Proxy, origin: &Origin) -> Error {
        let Self { kind, said } = self;
        let (host, port) = (origin.host(), origin.port());
        let what = match kind {
            ErrorKind::ProxyAuthentication if proxy.login.is_none() => {
                format!("proxy {proxy} wants a user name and password: {said}")
            }
            ErrorKind::ProxyAuthentication => {
                format!("proxy {proxy} does not accept this user name and password: {said}")
            }
            ErrorKind::ProxyDenied => {
                format!("proxy {proxy} refuses to connect to {host}:{port}: {said}")
            }
            ErrorKind::ProxyProtocol => {
                format!("proxy {proxy} does not speak its protocol: {said}")
            }
            _ => format!("proxy {proxy} does not reach {host}:{port}: {said}"),
        };
        Error::new(kind, what)
    }
}

/// Judges the response to a request in the absolute form: an error when the proxy wants other credentials, none when
/// the response is, or may be, the host's.
///
/// Only 407 is certain to be the proxy's own (RFC 9110 section 15.5.8), and a 401 of tinyproxy, which forwards the
/// `Server` field of others. A 403, 502, 503 or 504 may be the host's as well, and stays a response.
pub(crate) fn judge(
    proxy: &Proxy,
    origin: &Origin,
    status: StatusCode,
    headers: &HeaderMap,
) -> Option<Error> {
    let is_tinyproxy = || {
        headers
            .get(header::SERVER)
            .is_some_and(|server| server.as_bytes().starts_with(b"tinyproxy"))
    };
    let own = status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
        || status == StatusCode::UNAUTHORIZED && is_tinyproxy();
    own.then(|| Refusal::status(status, b"").into_error(proxy, origin))
}

/// The start of what a stranger wrote, fit for one line of a terminal.
pub(super) fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * MAX_SHOWN)]);
    let text = text.trim_matches(|char: char| char.is_control() || char.is_whitespace());
    let shown = text.chars().take(MAX_SHOWN);
    shown
        .map(|char| if is_harmless(char) { char } else { '\u{fffd}' })
        .collect()
}

/// Neither a control character nor one that turns the direction of what follows it.
fn is_harmless(char: char) -> bool {
    !char.is_control()
        && !matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

const MAX_SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;
    use url::Url;

    use super::*;

    #[test]
    fn only_what_is_certainly_the_proxys_is_an_error() {
        let origin = Origin::of(&Url::parse("http://files.test/").unwrap()).unwrap();
        let check = |status: u16, server: Option<&'static str>, expected: Option<&str>| {
            let proxy = Proxy::parse("me:secret@p:1").unwrap();
            let fields = server.map(|server| (header::SERVER, HeaderValue::from_static(server)));
            let status = StatusCode::from_u16(status).unwrap();
            let error = judge(&proxy, &origin, status, &HeaderMap::from_iter(fields));
            let kind = error.as_ref().map(Error::kind);
            assert_eq!(kind, expected.map(|_| ErrorKind::ProxyAuthentication));
            assert_eq!(error.map(|error| error.to_string()).as_deref(), expected);
        };
        let denied = "proxy http://p:1 does not accept this user name and password: ";
        let with = |status: &str| [denied, status].concat();
        check(407, None, Some(&with("407 Proxy Authentication Required")));
        check(
            401,
            Some("tinyproxy/1.11.1"),
            Some(&with("401 Unauthorized")),
        );
        check(401, Some("nginx"), None);
        check(401, None, None);
        for status in [200, 206, 403, 404, 500, 502, 503, 504] {
            check(status, Some("tinyproxy/1.11.1"), None);
        }
    }

    #[test]
    fn what_a_stranger_wrote_fits_a_line() {
        let check = |text: &str, expected: &str| assert_eq!(printable(text.as_bytes()), expected);
        check(" Not here\r\n", "Not here");
        check("a\u{1b}[2Jb\u{202e}c\0d", "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        check(&"\u{e4}".repeat(1000), &"\u{e4}".repeat(100));
        assert_eq!(printable(b"\xff"), "\u{fffd}");
    }
}
