//! Another place of the same file, as the caller knows it.

use std::fmt;

/// A further source of the same file; see [`DownloadSpec::mirrors`](crate::DownloadSpec#structfield.mirrors).
///
/// ```
/// use bytehaul::{DownloadSpec, Mirror};
///
/// let spec = DownloadSpec::new("https://example.com/big.iso")
///     .mirror("https://mirror.example.org/big.iso")
///     .mirror(Mirror::new("https://mirror.example.net/big.iso").priority(2).location("de"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mirror {
    /// The `http` or `https` URL. Credentials in it (`user:password@`) go to that origin alone.
    pub url: String,
    /// Which to try first, as Metalink counts (RFC 5854, section 4.2.16.2): 1 is the best, 999999 the last. Default 1.
    pub priority: u32,
    /// Where it stands, as a country code (ISO 3166-1 alpha-2), for those who look at it. Default: unknown.
    pub location: Option<String>,
}

impl Mirror {
    /// A mirror at `url`, as good as the others.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            priority: 1,
            location: None,
        }
    }

    /// Sets [`priority`](Self#structfield.priority).
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets [`location`](Self#structfield.location).
    #[must_use]
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }
}

impl From<&str> for Mirror {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for Mirror {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl fmt::Debug for Mirror {
    /// Shows the URL redacted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror")
            .field("url", &crate::session::shown(&self.url))
            .field("priority", &self.priority)
            .field("location", &self.location)
            .finish()
    }
}
