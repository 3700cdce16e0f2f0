//! What a response tells before its body is read.

use std::time::Duration;

use http::{HeaderMap, StatusCode, Version};
use url::Url;

use crate::{Body, SafeUrl};

/// The head of a response, with its body still on the wire.
///
/// Dropping it (or its body) before the end closes the connection, or resets its HTTP/2 stream: cancelling is dropping.
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) url: Url,
    pub(crate) redirects: usize,
    pub(crate) latency: Duration,
    pub(crate) body: Body,
}

impl Response {
    /// The status. Never 1xx; a redirect only where it has no `Location`, or is none that the request
    /// [follows](crate::Request::new).
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The header fields. `Content-Encoding` is here when the server encodes all the same: the body is given as sent.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// HTTP/1.0, HTTP/1.1 or HTTP/2.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The URL that answered, after all redirects, without user name, password and fragment. It may hold a signature.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether a redirect was followed.
    pub fn redirected(&self) -> bool {
        self.redirects > 0
    }

    /// How many redirects were followed.
    pub fn redirects(&self) -> usize {
        self.redirects
    }

    /// From the request written to the head read, of the last hop: a round trip and the server's thinking, without dialling.
    pub fn latency(&self) -> Duration {
        self.latency
    }

    /// The body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The body, to read from it.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body alone.
    pub fn into_body(self) -> Body {
        self.body
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("url", &SafeUrl::from(&self.url))
            .field("redirects", &self.redirects)
            .field("latency", &self.latency)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
