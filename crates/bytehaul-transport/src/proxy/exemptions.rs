//! Which hosts a `NO_PROXY` list means.

use std::net::IpAddr;

use ipnet::IpNet;
use url::Host;

use crate::Origin;

/// A list of hosts that are spoken to directly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exemptions(Vec<Exemption>);

impl Exemptions {
    /// Reads a list whose entries are parted by commas or white space. What cannot be a host is passed over.
    pub(super) fn parse(list: &str) -> Self {
        let entries = list.split(|char: char| char == ',' || char.is_whitespace());
        Self(entries.filter_map(Exemption::parse).collect())
    }

    pub(super) fn hold(&self, origin: &Origin) -> bool {
        self.0.iter().any(|exemption| exemption.holds(origin))
    }
}

/// One entry: hosts, and the one port of them that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exemption {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    Network(IpNet),
    /// The name, without a dot at its end, and all names below it.
    Domain(String),
}

impl Exemption {
    fn parse(entry: &str) -> Option<Self> {
        // An address of IPv6 has colons of its own: it comes first.
        if let Some(hosts) = Hosts::network(entry) {
            return Some(Self { hosts, port: None });
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let hosts = match name {
            "*" => Hosts::All,
            _ => Hosts::network(name).or_else(|| Hosts::domain(name))?,
        };
        Some(Self { hosts, port })
    }

    fn holds(&self, origin: &Origin) -> bool {
        self.hosts.contain(origin.host()) && self.port.is_none_or(|port| port == origin.port())
    }
}

impl Hosts {
    /// An address, in brackets or not, or an address and a prefix length.
    fn network(entry: &str) -> Option<Self> {
        let bare = entry
            .strip_prefix('[')
            .and_then(|entry| entry.strip_suffix(']'));
        let address = bare.unwrap_or(entry).parse::<IpAddr>().map(IpNet::from);
        address.or_else(|_| entry.parse()).ok().map(Self::Network)
    }

    /// A name, which stands for those below it as well, with or without a dot or `*.` before it.
    fn domain(entry: &str) -> Option<Self> {
        let name = entry.strip_prefix('*').unwrap_or(entry).trim_matches('.');
        match Host::parse(name).ok()? {
            Host::Domain(name) => Some(Self::Domain(name)),
            Host::Ipv4(address) => Some(Self::Network(IpAddr::V4(address).into())),
            Host::Ipv6(address) => Some(Self::Network(IpAddr::V6(address).into())),
        }
    }

    fn contain(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Self::All, _) => true,
            (Self::Network(network), Host::Ipv4(address)) => {
                network.contains(&IpAddr::V4(*address))
            }
            (Self::Network(network), Host::Ipv6(address)) => {
                network.contains(&IpAddr::V6(*address))
            }
            (Self::Domain(name), Host::Domain(host)) => host
                .strip_suffix('.')
                .unwrap_or(host)
                .strip_suffix(name.as_str())
                .is_some_and(|before| before.is_empty() || before.ends_with('.')),
            (Self::Network(_), Host::Domain(_))
            | (Self::Domain(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn what_a_list_means() {
        let check = |list: &str, url: &str, expected: bool| {
            let origin = Origin::of(&Url::parse(url).unwrap()).unwrap();
            assert_eq!(
                Exemptions::parse(list).hold(&origin),
                expected,
                "{list:?} {url}"
            );
        };
        check("*", "http://h/", true);
        check("*:81", "http://h/", false);
        check("", "http://h/", false);
        check("h", "http://h/", true);
        check("H", "http://h/", true);
        check("example.com", "http://a.example.com/", true);
        check(".example.com", "http://a.example.com/", true);
        check(".example.com", "http://example.com/", true);
        check("*.example.com", "http://a.example.com/", true);
        check("example.com.", "http://a.example.com/", true);
        check("example.com", "http://a.example.com./", true);
        check("example.com", "http://badexample.com/", false);
        check("example.com", "http://example.com.evil/", false);
        check("a.example.com", "http://example.com/", false);
        check("b\u{fc}cher.example", "http://b\u{fc}cher.example/", true);
        check("a, b ,h", "http://h/", true);
        check("a b\th", "http://h/", true);
        check(",,h,", "http://h/", true);
        check("h:8080", "http://h:8080/", true);
        check("h:8080", "http://h/", false);
        check("h:80", "http://h/", true);
        check("h:443", "https://h/", true);
        check("h:http", "http://h/", false);
        check("127.0.0.1", "http://127.0.0.1:99/", true);
        check("127.0.0.1", "http://127.0.0.2:99/", false);
        check("127.0.0.1:99", "http://127.0.0.1:99/", true);
        check("127.0.0.1:99", "http://127.0.0.1/", false);
        check("0.0.1:99", "http://127.0.0.1:99/", false);
        check("127.0.0.0/8", "http://127.9.9.9/", true);
        check("10.0.0.0/8", "http://127.0.0.1/", false);
        check("10.1.1.1/8", "http://10.2.2.2/", true);
        check("0.0.0.0/0", "http://127.0.0.1/", true);
        check("0.0.0.0/0", "http://h/", false);
        check("0.0.0.0/0", "http://[::1]/", false);
        check("::1", "http://[::1]:99/", true);
        check("[::1]", "http://[::1]:99/", true);
        check("[::1]:99", "http://[::1]:99/", true);
        check("[::1]:99", "http://[::1]/", false);
        check("fd00::/8", "http://[fd12::1]/", true);
        check("fd00::/8", "http://[fe12::1]/", false);
        check("10.0.0.0/99", "http://10.0.0.1/", false);
        check("localhost", "http://localhost:1/", true);
        check("localhost", "http://127.0.0.1:1/", false);
    }
}
