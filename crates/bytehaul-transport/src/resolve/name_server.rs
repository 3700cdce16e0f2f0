//! How a name server is written, and over which transport it is asked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use rustls::pki_types::ServerName;
use url::Host;

use crate::error::{Error, ErrorKind};

/// A name server to ask, and the transport to ask it by.
///
/// | written | transport |
/// |---|---|
/// | `1.1.1.1`, `1.1.1.1:53`, `2606:4700::1111`, `[::1]:53` | UDP, and TCP for answers that are too long (port 53) |
/// | `tls://1.1.1.1`, `tls://1.1.1.1:853#one.one.one.one`, `tls://dns.example.org` | DNS over TLS, RFC 7858 (port 853) |
/// | `https://1.1.1.1/dns-query`, `https://dns.example.org/dns-query#192.0.2.1` | DNS over HTTPS, RFC 8484 (port 443, HTTP/2, path `/dns-query` where there is none) |
///
/// The certificate must be good for the name, or for the address where no name is given. What follows `#` is the other
/// half: the name of a server given by address (as systemd-resolved writes it), or the address of one given by name. An
/// IPv6 address over HTTPS cannot do without the name. A server of which only the name is known is looked up by the
/// system's configuration.
///
/// ```
/// use bytehaul_transport::resolve::NameServer;
///
/// let server: NameServer = "tls://dns.example.org#192.0.2.1".parse()?;
/// assert_eq!(server.to_string(), "tls://192.0.2.1#dns.example.org");
/// # Ok::<(), bytehaul_transport::Error>(())
/// ```
///
/// `Display` writes a form that can be parsed again. `Debug`, errors and events leave out a path other than `/dns-query`,
/// since some services put the account into it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NameServer {
    transport: Transport,
    place: Place,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transport {
    Plain,
    Tls,
    Https { path: String },
}

/// Where a server is, and the name that it must prove if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Address(IpAddr),
    Name(String),
    Both(IpAddr, String),
}

impl NameServer {
    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, paths: Paths) -> fmt::Result {
        let (scheme, default_port, path) = match &self.transport {
            Transport::Plain => return self.write_plain(f),
            Transport::Tls => ("tls", TLS_PORT, ""),
            Transport::Https { path } if paths == Paths::Hidden && path != DEFAULT_PATH => {
                ("https", HTTPS_PORT, "/…")
            }
            Transport::Https { path } => ("https", HTTPS_PORT, path.as_str()),
        };
        let (host, other) = match (&self.place, &self.transport) {
            (Place::Address(ip), _) => (bracketed(ip), String::new()),
            (Place::Name(name), _) => (name.clone(), String::new()),
            (Place::Both(ip, name), Transport::Https { .. }) => (name.clone(), format!("#{ip}")),
            (Place::Both(ip, name), _) => (bracketed(ip), format!("#{name}")),
        };
        write!(f, "{scheme}://{host}")?;
        if self.port != default_port {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "{path}{other}")
    }

    fn write_plain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Address(ip) | Place::Both(ip, _) if self.port == PLAIN_PORT => {
                write!(f, "{ip}")
            }
            Place::Address(ip) | Place::Both(ip, _) => {
                write!(f, "{}", SocketAddr::new(*ip, self.port))
            }
            Place::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl From<SocketAddr> for NameServer {
    /// A server that is asked by UDP and TCP.
    fn from(address: SocketAddr) -> Self {
        Self {
            transport: Transport::Plain,
            place: Place::Address(address.ip()),
            port: address.port(),
        }
    }
}

impl From<IpAddr> for NameServer {
    /// A server that is asked by UDP and TCP at port 53.
    fn from(ip: IpAddr) -> Self {
        SocketAddr::new(ip, PLAIN_PORT).into()
    }
}

impl FromStr for NameServer {
    type Err = Error;

    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration): the text is none of the forms in the table, or has user
    /// information or a query.
    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|why| {
            // What may hold a password is not said again.
            let shown = match text.contains(['@', '?']) {
                true => String::new(),
                false => format!(" {text:?}"),
            };
            Error::new(
                ErrorKind::Configuration,
                format!("name server{shown}: {why}"),
            )
        })
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, Paths::Shown)
    }
}

impl fmt::Debug for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, Paths::Hidden)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Paths {
    Shown,
    Hidden,
}

fn bracketed(ip: &IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn parse(text: &str) -> Result<NameServer, &'static str> {
    let text = text.trim();
    if text.contains(['@', '?']) {
        return Err("user information and queries are not supported");
    }
    match text.split_once("://") {
        None => plain(text),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tls") => {
            let (rest, other) = split_other(rest);
            match rest.split_once('/') {
                None | Some((_, "")) => {}
                Some(_) => return Err("dns over tls has no path"),
            }
            let rest = rest.trim_end_matches('/');
            with_name(Transport::Tls, rest, TLS_PORT, other)
        }
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => {
            let (rest, other) = split_other(rest);
            let (authority, path) = match rest.find('/') {
                Some(at) if rest.len() > at + 1 => rest.split_at(at),
                Some(at) => (&rest[..at], DEFAULT_PATH),
                None => (rest, DEFAULT_PATH),
            };
            if http::uri::PathAndQuery::from_str(path).is_err() || !path.is_ascii() {
                return Err("the path is not valid");
            }
            let path = path.to_owned();
            let server = with_name(Transport::Https { path }, authority, HTTPS_PORT, other)?;
            match server.place {
                // hickory would write it into its requests without the brackets.
                Place::Address(IpAddr::V6(_)) => {
                    Err("over https an ipv6 address needs a name: https://NAME/dns-query#ADDRESS")
                }
                _ => Ok(server),
            }
        }
        Some(_) => Err("the transports are tls:// and https://, or none for udp"),
    }
}

fn plain(text: &str) -> Result<NameServer, &'static str> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = inner.unwrap_or(text).parse::<IpAddr>() {
        return Ok(ip.into());
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address.into()),
        Ok(_) => Err("port 0 cannot be asked"),
        Err(_) => Err("not an ip address with or without a port"),
    }
}

fn split_other(rest: &str) -> (&str, Option<&str>) {
    match rest.split_once('#') {
        Some((rest, other)) => (rest, Some(other)),
        None => (rest, None),
    }
}

fn with_name(
    transport: Transport,
    authority: &str,
    default_port: u16,
    other: Option<&str>,
) -> Result<NameServer, &'static str> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (
                host,
                port.ok_or("the port is not a number from 1 to 65535")?,
            )
        }
        _ => (authority, default_port),
    };
    let place = match (parse_host(host)?, other.map(parse_host).transpose()?) {
        (Place::Address(ip), None) => Place::Address(ip),
        (Place::Name(name), None) => Place::Name(name),
        (Place::Address(ip), Some(Place::Name(name)))
        | (Place::Name(name), Some(Place::Address(ip))) => Place::Both(ip, name),
        _ => return Err("an address and a name go together, not two of a kind"),
    };
    Ok(NameServer {
        transport,
        place,
        port,
    })
}

fn parse_host(text: &str) -> Result<Place, &'static str> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Place::Address(ip));
    }
    match Host::parse(text) {
        Ok(Host::Ipv4(ip)) => Ok(Place::Address(ip.into())),
        Ok(Host::Ipv6(ip)) => Ok(Place::Address(ip.into())),
        Ok(Host::Domain(name)) => match ServerName::try_from(name.as_str()) {
            Ok(_) => Ok(Place::Name(name.trim_end_matches('.').to_owned())),
            Err(_) => Err("the name is not valid"),
        },
        Err(_) => Err("neither an ip address nor a name"),
    }
}

const PLAIN_PORT: u16 = 53;
const TLS_PORT: u16 = 853;
const HTTPS_PORT: u16 = 443;
const DEFAULT_PATH: &str = "/dns-query";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        let server: NameServer = text.parse().unwrap();
        assert_eq!(server.to_string(), shown);
        assert_eq!(shown.parse::<NameServer>().unwrap(), server);
    }

    #[test]
    fn the_forms() {
        check("1.1.1.1", "1.1.1.1");
        check(" 1.1.1.1:53 ", "1.1.1.1");
        check("1.1.1.1:5353", "1.1.1.1:5353");
        check("::1", "::1");
        check("[::1]", "::1");
        check("[::1]:5353", "[::1]:5353");
        check("tls://1.1.1.1", "tls://1.1.1.1");
        check("TLS://1.1.1.1:853#One.test", "tls://1.1.1.1#one.test");
        check("tls://one.test#1.1.1.1", "tls://1.1.1.1#one.test");
        check("tls://one.test/", "tls://one.test");
        check("tls://[::1]:443#one.test.", "tls://[::1]:443#one.test");
        check("tls://1.1.1.1:443", "tls://1.1.1.1:443");
        check("https://one.test", "https://one.test/dns-query");
        check("https://one.test:444/q/1", "https://one.test:444/q/1");
        check(
            "https://1.1.1.1/#one.test",
            "https://one.test/dns-query#1.1.1.1",
        );
        check("https://[::1]/q#one.test", "https://one.test/q#::1");
        check("https://Ö.test#::1", "https://xn--nda.test/dns-query#::1");
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "",
            "one.test",
            "1.1.1.1:0",
            "1.1.1.1:99999",
            "1.1.1.1#one.test",
            "udp://1.1.1.1",
            "tls://",
            "tls://1.1.1.1:x",
            "tls://one.test/path",
            "tls://1.1.1.1#2.2.2.2",
            "tls://one.test#two.test",
            "tls://one test",
            "https://one.test/a b",
            "https://[::1]/dns-query",
            "https://:443/",
        ] {
            let error = text.parse::<NameServer>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_said_again() {
        for text in ["https://me:s3cret@one.test/", "https://one.test/?s3cret"] {
            let error = text.parse::<NameServer>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
        let server: NameServer = "https://one.test/s3cret".parse().unwrap();
        assert_eq!(format!("{server:?}"), "https://one.test/…");
    }
}
