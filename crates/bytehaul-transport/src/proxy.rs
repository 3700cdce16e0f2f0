//! What a proxy is: the protocol it speaks, where it listens, and what it wants to be told about who asks.
//!
//! hyper-util has proxies too, and none of its parts serves here. Its `Matcher` passes over a variable that it cannot
//! read instead of saying so, and knows no ports in `NO_PROXY`. Its `Tunnel` and `SocksV5` lose the bytes of the host that
//! arrive together with the proxy's answer, and their errors say neither status nor reason. `SocksV5` fails when user name,
//! password and host name are longer than 249 bytes together, and looks names up on the runtime's own thread.

mod authority;
mod connect;
mod exemptions;
mod proxies;
mod refusal;
mod socks4;
mod socks5;
#[cfg(test)]
mod talks;
#[cfg(test)]
mod tests;
mod tunnel;

use std::fmt;
use std::net::IpAddr;

use data_encoding::BASE64;
use http::header::HeaderValue;
use url::Host;

use crate::{Error, ErrorKind};

use self::authority::Authority;

pub use self::proxies::Proxies;
pub(crate) use self::refusal::judge;
#[doc(hidden)]
pub use self::tunnel::own_bytes;
pub(crate) use self::tunnel::tunnel;

/// One proxy: its protocol, host and port, and the credentials for it.
///
/// Neither `Display` nor `Debug` shows the credentials.
///
/// ```
/// use bytehaul_transport::Proxy;
///
/// let proxy = Proxy::parse("socks5h://me:secret@proxy.example:9050")?;
/// assert_eq!(proxy.to_string(), "socks5h://proxy.example:9050");
/// assert_eq!(Proxy::parse("proxy.example")?.to_string(), "http://proxy.example:1080");
/// # Ok::<(), bytehaul_transport::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    protocol: Protocol,
    host: Host<String>,
    port: u16,
    login: Option<Login>,
}

impl Proxy {
    /// Reads `[scheme://][user[:password]@]host[:port]`, as curl does.
    ///
    /// | scheme | the proxy is spoken to in | the host's name is looked up |
    /// |---|---|---|
    /// | `http` (also without a scheme) | HTTP; `CONNECT` for `https` URLs | by the proxy |
    /// | `https` | the same, over TLS | by the proxy |
    /// | `socks4` | SOCKS 4: IPv4 only, a user name, no password | here |
    /// | `socks4a` | SOCKS 4A, else as before | by the proxy |
    /// | `socks5`, `socks` | SOCKS 5 (RFC 1928, RFC 1929) | here |
    /// | `socks5h` | the same | by the proxy |
    ///
    /// Without a port it is 443 for `https` and 1080 for all others, `http` too. User name and password are percent-decoded;
    /// what has a meaning in a URL (`/`, `?`, `#`, `%`) has to be percent-encoded in them. Nothing may follow the port but
    /// one `/`.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration), naming the text without user name and password, for anything else, and
    /// for credentials that the protocol has no room for, see [`credentials`](Self::credentials).
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let authority = Authority::parse(text).map_err(|reason| bad(text, reason))?;
        let protocol = authority
            .scheme
            .map_or(Some(Protocol::Http), Protocol::named)
            .ok_or_else(|| {
                bad(
                    text,
                    "none of http, https, socks4, socks4a, socks5, socks5h",
                )
            })?;
        let proxy = Self {
            protocol,
            host: authority.host,
            port: authority.port.unwrap_or(protocol.default_port()),
            login: None,
        };
        match authority.login {
            Some((user, password)) => proxy.log_in(user, password),
            None => Ok(proxy),
        }
    }

    /// The credentials for the proxy, as they are: nothing is decoded. They replace those of the URL.
    ///
    /// SOCKS 4 is told the user name alone.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration) where they cannot be sent: a colon in the user name for HTTP (RFC 7617
    /// section 2), more than 255 bytes in either for SOCKS, a NUL in the user name for SOCKS 4.
    pub fn credentials(self, user: &str, password: &str) -> Result<Self, Error> {
        self.log_in(user.into(), password.into())
    }

    fn log_in(mut self, user: Vec<u8>, password: Vec<u8>) -> Result<Self, Error> {
        let trouble = match self.protocol {
            Protocol::Http | Protocol::Https if user.contains(&b':') => {
                Some("a colon in the user name")
            }
            Protocol::Http | Protocol::Https => None,
            Protocol::Socks4 | Protocol::Socks4a if user.contains(&0) => {
                Some("a NUL in the user name")
            }
            _ if user.len() > MAX_LOGIN => Some("a user name of more than 255 bytes"),
            Protocol::Socks4 | Protocol::Socks4a => None,
            Protocol::Socks5 | Protocol::Socks5h if password.len() > MAX_LOGIN => {
                Some("a password of more than 255 bytes")
            }
            Protocol::Socks5 | Protocol::Socks5h => None,
        };
        if let Some(trouble) = trouble {
            let what = format!("proxy {self} cannot be sent {trouble}");
            return Err(Error::new(ErrorKind::Configuration, what));
        }
        self.login = Some(Login { user, password });
        Ok(self)
    }

    /// Where it listens: a name, or an address.
    pub(crate) fn host(&self) -> &Host<String> {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether it takes requests for `http` URLs in the absolute form (RFC 9112 section 3.2.2), rather than a tunnel.
    pub(crate) fn is_http(&self) -> bool {
        matches!(self.protocol, Protocol::Http | Protocol::Https)
    }

    /// Whether it is spoken to over TLS.
    pub(crate) fn needs_tls(&self) -> bool {
        self.protocol == Protocol::Https
    }

    /// Whether the proxy looks names up; else [`tunnel`] wants an address.
    pub(crate) fn resolves_names(&self) -> bool {
        match self.protocol {
            Protocol::Http | Protocol::Https | Protocol::Socks4a | Protocol::Socks5h => true,
            Protocol::Socks4 | Protocol::Socks5 => false,
        }
    }

    /// Whether an address looked up here can be sent to it: SOCKS 4 has no room for IPv6.
    pub(crate) fn takes(&self, address: IpAddr) -> bool {
        match self.protocol {
            Protocol::Socks4 | Protocol::Socks4a => address.is_ipv4(),
            Protocol::Http | Protocol::Https | Protocol::Socks5 | Protocol::Socks5h => true,
        }
    }

    /// The value of `Proxy-Authorization` (RFC 7617): of a `CONNECT`, or of a request in the absolute form. Never for the host.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let login = self.login.as_ref().filter(|_| self.is_http())?;
        let pair = [&login.user[..], b":", &login.password[..]].concat();
        let text = format!("Basic {}", BASE64.encode(&pair));
        let mut value = HeaderValue::from_str(&text).expect("base64 is a header value");
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Display for Proxy {
    /// Scheme, host and port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.protocol.name(), self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.login {
            Some(_) => write!(f, "Proxy({self}, with credentials)"),
            None => write!(f, "Proxy({self})"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Protocol {
    Http,
    Https,
    Socks4,
    Socks4a,
    Socks5,
    Socks5h,
}

impl Protocol {
    fn named(scheme: &str) -> Option<Self> {
        Some(match scheme.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "https" => Self::Https,
            "socks4" => Self::Socks4,
            "socks4a" => Self::Socks4a,
            "socks5" | "socks" => Self::Socks5,
            "socks5h" => Self::Socks5h,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks4 => "socks4",
            Self::Socks4a => "socks4a",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http | Self::Socks4 | Self::Socks4a | Self::Socks5 | Self::Socks5h => 1080,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Login {
    user: Vec<u8>,
    password: Vec<u8>,
}

fn bad(text: &str, reason: &str) -> Error {
    let what = format!("`{}` is no proxy: {reason}", authority::redacted(text));
    Error::new(ErrorKind::Configuration, what)
}

/// RFC 1929 section 2: a length is one byte.
const MAX_LOGIN: usize = 255;
