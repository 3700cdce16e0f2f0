//! Which version of HTTP a caller can choose.

use std::fmt;

/// The version of HTTP that is spoken with a host.
///
/// For large files HTTP/1.1 is the cheaper one: the frames of HTTP/2 have to be taken apart, which costs a fifth to a third more
/// CPU time, and wall time where the processor is the limit. HTTP/2 saves handshakes when many small files come from one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpVersion {
    /// HTTP/1.1 alone. The default.
    #[default]
    Http1,
    /// HTTP/2 where an `https` host offers it in the TLS handshake (ALPN, RFC 7301), else HTTP/1.1.
    Auto,
    /// HTTP/2 alone: a host that does not offer it is an error. To `http` URLs it is spoken without asking first
    /// ("prior knowledge", RFC 9113 section 3.3).
    Http2,
}

impl fmt::Display for HttpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "http/1.1",
            Self::Auto => "auto",
            Self::Http2 => "h2",
        })
    }
}
