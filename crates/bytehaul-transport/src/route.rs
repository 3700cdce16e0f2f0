//! The way to an origin, which is what connections are kept by.

use crate::origin::{Origin, Scheme};
use crate::version::HttpVersion;

/// How requests get to an origin. Two requests with equal routes can share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    /// Straight to the host.
    Direct(Origin),
}

/// Which protocols a new connection may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speak {
    Http1,
    Http2,
    /// Whatever the host prefers (ALPN).
    Either,
}

impl Route {
    /// The route to the origin.
    pub(crate) fn to(origin: &Origin) -> Self {
        Self::Direct(origin.clone())
    }

    /// The origin that is at the other end.
    pub(crate) fn origin(&self) -> &Origin {
        match self {
            Self::Direct(origin) => origin,
        }
    }

    /// What may be spoken on this route. Without TLS nothing tells whether the host knows HTTP/2.
    pub(crate) fn speak(&self, version: HttpVersion) -> Speak {
        match (version, self.origin().scheme()) {
            (HttpVersion::Http1, _) | (HttpVersion::Auto, Scheme::Http) => Speak::Http1,
            (HttpVersion::Auto, Scheme::Https) => Speak::Either,
            (HttpVersion::Http2, _) => Speak::Http2,
        }
    }
}
