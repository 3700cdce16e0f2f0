//! Which version of HTTP a caller can choose.

use std::fmt;

/// The version of HTTP that is spoken with a host.
///
/// For large files HTTP/2 takes as long as HTTP/1.1 and a fifth more CPU time, as its frames have to be taken apart. It saves
/// handshakes when many small files come from one host.
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
