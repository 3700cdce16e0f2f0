//! What makes two URLs the same origin: scheme, host and port (RFC 6454 section 5), nothing else.

use std::fmt;

use url::{Host, Url};

use crate::{Error, ErrorKind, SafeUrl};

/// Scheme, host and port of a URL: the boundary that credentials and connections do not cross.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    scheme: Scheme,
    host: Host<String>,
    port: u16,
}

/// The schemes that this client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// Plain text, port 80 unless the URL says otherwise.
    Http,
    /// Over TLS, port 443 unless the URL says otherwise.
    Https,
}

impl Origin {
    /// The origin of a URL.
    ///
    /// # Errors
    ///
    /// [`UnsupportedScheme`](ErrorKind::UnsupportedScheme) for another scheme than `http` and `https`,
    /// [`InvalidUrl`](ErrorKind::InvalidUrl) without a host, or with a name that DNS has no room for.
    pub fn of(url: &Url) -> Result<Self, Error> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => {
                let what = format!("scheme `{other}` is neither http nor https");
                return Err(
                    Error::new(ErrorKind::UnsupportedScheme, what).with_url(&SafeUrl::from(url))
                );
            }
        };
        let Some(host) = url.host() else {
            return Err(Error::new(ErrorKind::InvalidUrl, "url without a host")
                .with_url(&SafeUrl::from(url)));
        };
        if matches!(host, Host::Domain(name) if name.len() > MAX_NAME) {
            return Err(Error::new(ErrorKind::InvalidUrl, "host name is too long")
                .with_url(&SafeUrl::from(url)));
        }
        let port = url.port().unwrap_or(scheme.default_port());
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port,
        })
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host as the URL standard normalises it: lower case, punycode.
    pub fn host(&self) -> &Host<String> {
        &self.host
    }

    /// The port, the scheme's own where the URL has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of the `Host` field: the port is left out where it is the scheme's own (RFC 9110 section 7.2).
    pub(crate) fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Scheme {
    /// 80 or 443.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

/// RFC 1035 section 2.3.4, as written: 253 characters, and a dot at the end.
const MAX_NAME: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(
            Origin::of(&Url::parse(url).unwrap()).unwrap().to_string(),
            expected
        );
    }

    #[test]
    fn default_ports_and_case_do_not_matter() {
        check("HTTP://Example.COM:80/x?y#z", "http://example.com");
        check(
            "https://user:pw@example.com:8443/",
            "https://example.com:8443",
        );
        check("http://[::1]:8080/", "http://[::1]:8080");
        check("https://[2001:DB8::1]/", "https://[2001:db8::1]");
    }

    #[test]
    fn names_have_an_end() {
        let of = |length: usize| {
            Origin::of(&Url::parse(&format!("http://{}/", "x.".repeat(length / 2))).unwrap())
        };
        assert!(of(254).is_ok());
        assert_eq!(of(256).unwrap_err().kind(), ErrorKind::InvalidUrl);
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in [
            "ftp://example.com/",
            "file:///etc/passwd",
            "data:text/plain,x",
        ] {
            let error = Origin::of(&Url::parse(url).unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedScheme);
        }
    }
}
