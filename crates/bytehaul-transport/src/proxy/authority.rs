//! How the text that names a proxy falls into its parts, and how much of a text that does not may be shown.

use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;
use url::Host;

use super::Protocol;
use super::refusal::printable;

/// The parts of `[scheme://][user[:password]@]host[:port][/]`.
///
/// Not read with [`Url`](url::Url): that leaves out a port that is the scheme's own, which is not the default of a proxy,
/// and takes what follows a bare `/` in a password for a path.
pub(super) struct Authority<'a> {
    pub(super) scheme: Option<&'a str>,
    /// User name and password, percent-decoded.
    pub(super) login: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) host: Host<String>,
    pub(super) port: Option<u16>,
}

impl<'a> Authority<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '\\']) {
            return Err("more than host and port, or credentials that are not percent-encoded");
        }
        let (login, host) = match rest.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, rest),
        };
        let (host, port) = split_port(host)?;
        let host = Host::parse(host).map_err(|_| "not a host name or address")?;
        if matches!(&host, Host::Domain(name) if name.len() > MAX_NAME) {
            return Err("the host name is too long");
        }
        Ok(Self {
            scheme,
            login: login.filter(|login| !login.is_empty()).map(decode_login),
            host,
            port,
        })
    }
}

/// The text with `***` in place of all that may be user name and password, without control characters, and not longer
/// than a line.
pub(super) fn redacted(text: &str) -> String {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    // What is no scheme of a proxy may be the start of a user name.
    let is_other = |scheme: &str| {
        !text.contains('@') && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let known = scheme.filter(|scheme| Protocol::named(scheme).is_some() || is_other(scheme));
    let scheme = known
        .map(|scheme| format!("{scheme}://"))
        .unwrap_or_default();
    let rest = &text[scheme.len()..];
    let (login, host) = match rest.rsplit_once('@') {
        Some((_, host)) => ("***@", host),
        None => ("", rest),
    };
    let end = host.find(['/', '?', '#', '\\']).unwrap_or(host.len());
    let host = &host[..end];
    let is_ipv6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    let address = host.strip_prefix('[').and_then(|host| host.split_once(']'));
    let after_address = match address {
        Some((address, "")) if is_ipv6(address) => host.len(),
        Some((address, port)) if is_ipv6(address) && port.starts_with(':') => address.len() + 2,
        _ => 0,
    };
    // A port that is no number may well be a password whose host was forgotten.
    let (host, port) = match host[after_address..].split_once(':') {
        Some((_, port)) if port.contains(|char: char| !char.is_ascii_digit()) => {
            (&host[..host.len() - port.len()], "***")
        }
        _ => (host, ""),
    };
    printable(format!("{scheme}{login}{host}{port}").as_bytes())
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let after_address = text.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = text[after_address..].rfind(':') else {
        return Ok((text, None));
    };
    let (host, port) = text.split_at(after_address + colon);
    match &port[1..] {
        "" => Ok((host, None)),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse() {
            Ok(0) | Err(_) => Err("the port is not between 1 and 65535"),
            Ok(port) => Ok((host, Some(port))),
        },
        _ => Err("the port is not a number"),
    }
}

fn decode_login(text: &str) -> (Vec<u8>, Vec<u8>) {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |text| percent_decode_str(text).collect();
    (decode(user), decode(password))
}

/// RFC 1035 section 2.3.4, as written: 253 characters, and a dot at the end.
const MAX_NAME: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_bad_text() {
        let check = |text: &str, expected: &str| assert_eq!(redacted(text), expected, "{text:?}");
        check("ftp://proxy:21", "ftp://proxy:21");
        check("http://proxy:0", "http://proxy:0");
        check("http://me:secret@proxy:x", "http://***@proxy:***");
        check("http://me:se/cr@et@proxy:1", "http://***@proxy:1");
        check("me:secret://me@proxy", "***@proxy");
        check("http://me:secret", "http://me:***");
        check("me:secret:3128", "me:***");
        check("socks5://[::1]:secret", "socks5://[::1]:***");
        check("http://proxy/?key=secret", "http://proxy");
        check("a\u{1b}[31m\nb", "a\u{fffd}[31m\u{fffd}b");
        check(&"x".repeat(1000), &"x".repeat(100));
        check("", "");
    }
}
