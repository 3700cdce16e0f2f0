//! How the end of a response body is told (RFC 9112 section 6.3), and whether its connection may be used again.

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName};
use http::{Version, response};

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// `Content-Length`, or no body at all (`HEAD`, 204, 304): a shorter body is an error.
    Length(u64),
    /// Told by the message itself: a body without its last chunk, or without the end of its HTTP/2 stream, is an error.
    Chunked,
    /// The end of the connection is the end of the body: a cut-off cannot be told from the end.
    UntilClose,
}

/// What the head says of the connection's further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    Never,
    /// After this message, and for as long as the server says where it does.
    After(Option<Duration>),
}

impl Framing {
    /// The framing that hyper has found: an exact length, or else what the fields say.
    pub(crate) fn of(head: &response::Parts, exact: Option<u64>) -> Self {
        match exact {
            Some(length) => Self::Length(length),
            None if has_token_last(&head.headers, header::TRANSFER_ENCODING, "chunked") => {
                Self::Chunked
            }
            None => Self::UntilClose,
        }
    }
}

/// The transfer coding that is left when hyper has found the end of a body, and which nobody here takes off. No request asks
/// for one (RFC 9112 section 6.1).
pub(crate) fn foreign_coding(headers: &HeaderMap) -> Option<&str> {
    tokens(headers, header::TRANSFER_ENCODING)
        .find(|coding| !KNOWN.iter().any(|known| coding.eq_ignore_ascii_case(known)))
}

/// `identity` was one until RFC 7230 and is no change to the bytes.
const KNOWN: [&str; 3] = ["chunked", "identity", ""];

impl Reuse {
    /// RFC 9112 section 9.3, and never with both a length and a transfer encoding (section 6.1).
    pub(crate) fn of(head: &response::Parts, framing: Framing) -> Self {
        let smuggled = head.headers.contains_key(header::TRANSFER_ENCODING)
            && head.headers.contains_key(header::CONTENT_LENGTH);
        let persistent = if head.version >= Version::HTTP_11 {
            !has_token(&head.headers, header::CONNECTION, "close")
        } else {
            has_token(&head.headers, header::CONNECTION, "keep-alive")
                && !has_token(&head.headers, header::CONNECTION, "close")
        };
        if smuggled || !persistent || framing == Framing::UntilClose {
            return Self::Never;
        }
        Self::After(idle_timeout(&head.headers))
    }
}

/// `Keep-Alive: timeout=N`, less a second for what is under way.
fn idle_timeout(headers: &HeaderMap) -> Option<Duration> {
    let seconds = tokens(headers, HeaderName::from_static("keep-alive")).find_map(|token| {
        let (name, value) = token.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("timeout") {
            return None;
        }
        value.trim().trim_matches('"').parse::<u64>().ok()
    })?;
    Some(Duration::from_secs(seconds.saturating_sub(1)))
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

fn has_token_last(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, name)
        .last()
        .is_some_and(|found| found.eq_ignore_ascii_case(token))
}

fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: Version, fields: &[(&'static str, &str)]) -> response::Parts {
        let mut response = http::Response::builder().version(version);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    #[track_caller]
    fn check(
        version: Version,
        fields: &[(&'static str, &str)],
        exact: Option<u64>,
        framing: Framing,
        reuse: Reuse,
    ) {
        let head = head(version, fields);
        assert_eq!(Framing::of(&head, exact), framing);
        assert_eq!(Reuse::of(&head, framing), reuse);
    }

    #[test]
    fn framing_and_reuse_follow_the_head() {
        let (v10, v11) = (Version::HTTP_10, Version::HTTP_11);
        let keep = Reuse::After(None);
        check(
            v11,
            &[("content-length", "5")],
            Some(5),
            Framing::Length(5),
            keep,
        );
        check(
            v11,
            &[("content-length", "5"), ("connection", "x, Close")],
            Some(5),
            Framing::Length(5),
            Reuse::Never,
        );
        check(
            v10,
            &[("content-length", "5")],
            Some(5),
            Framing::Length(5),
            Reuse::Never,
        );
        check(
            v10,
            &[("content-length", "5"), ("connection", "Keep-Alive")],
            Some(5),
            Framing::Length(5),
            keep,
        );
        check(
            v11,
            &[("transfer-encoding", "Chunked")],
            None,
            Framing::Chunked,
            keep,
        );
        check(
            v11,
            &[("transfer-encoding", "gzip, chunked")],
            None,
            Framing::Chunked,
            keep,
        );
        check(
            v11,
            &[("transfer-encoding", "chunked, gzip")],
            None,
            Framing::UntilClose,
            Reuse::Never,
        );
        check(
            v11,
            &[("transfer-encoding", "chunked"), ("content-length", "5")],
            None,
            Framing::Chunked,
            Reuse::Never,
        );
        check(v11, &[], None, Framing::UntilClose, Reuse::Never);
    }

    #[test]
    fn the_servers_idle_timeout_is_a_hint() {
        let at = |value| {
            Reuse::of(
                &head(Version::HTTP_11, &[("keep-alive", value)]),
                Framing::Length(0),
            )
        };
        assert_eq!(
            at("timeout=5, max=100"),
            Reuse::After(Some(Duration::from_secs(4)))
        );
        assert_eq!(
            at("max=100, Timeout = 75"),
            Reuse::After(Some(Duration::from_secs(74)))
        );
        assert_eq!(at("timeout=0"), Reuse::After(Some(Duration::ZERO)));
        assert_eq!(at("timeout=junk"), Reuse::After(None));
    }
}
