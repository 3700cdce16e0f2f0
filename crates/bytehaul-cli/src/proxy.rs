//! Which hosts the proxy variables of the environment cover, so that none of them is passed by in silence.

use std::net::IpAddr;

use url::{Host, Url};

/// The proxy variables that are set, and the hosts that are exempt.
#[derive(Debug)]
pub(crate) struct ProxyVariables {
    set: Vec<&'static str>,
    exempt: Vec<Exemption>,
}

impl ProxyVariables {
    /// Reads them through `variable`; `no_proxy`, when given, counts in place of `NO_PROXY`.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>, no_proxy: Option<&str>) -> Self {
        let value = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let list = match no_proxy {
            Some(list) => Some(list.to_owned()),
            None => value("no_proxy").or_else(|| value("NO_PROXY")),
        };
        Self {
            set: VARIABLES
                .into_iter()
                .filter(|name| value(name).is_some())
                .collect(),
            exempt: list
                .iter()
                .flat_map(|list| list.split([',', ' ']))
                .filter_map(Exemption::parse)
                .collect(),
        }
    }

    /// The variable that wants `url` to go through a proxy. A variable of the URL's own scheme comes before
    /// `all_proxy`; loopback is exempt only when the list says so.
    pub(crate) fn covering(&self, url: &Url) -> Option<&'static str> {
        let name = self.set.iter().find(|name| {
            let name = name.to_ascii_lowercase();
            name.strip_suffix("_proxy")
                .is_some_and(|scheme| scheme == "all" || scheme == url.scheme())
        })?;
        let host = url.host()?;
        let port = url.port_or_known_default();
        let exempt = self
            .exempt
            .iter()
            .any(|exemption| exemption.holds(&host, port));
        if exempt { None } else { Some(name) }
    }
}

/// One entry of a `NO_PROXY` list.
#[derive(Debug)]
enum Exemption {
    Everything,
    Network { address: IpAddr, prefix: u8 },
    Domain { name: String, port: Option<u16> },
}

impl Exemption {
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_ascii_lowercase();
        if entry.is_empty() {
            return None;
        }
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Some(network) = parse_network(&entry) {
            return Some(network);
        }
        let (name, port) = match entry
            .rsplit_once(':')
            .map(|(name, port)| (name, port.parse()))
        {
            Some((name, Ok(port))) => (name.to_owned(), Some(port)),
            Some((_, Err(_))) | None => (entry, None),
        };
        let name = name.trim_start_matches("*.").trim_matches('.').to_owned();
        (!name.is_empty()).then_some(Self::Domain { name, port })
    }

    fn holds(&self, host: &Host<&str>, at: Option<u16>) -> bool {
        match self {
            Self::Everything => true,
            Self::Network { address, prefix } => match host {
                Host::Ipv4(host) => within(IpAddr::V4(*host), *address, *prefix),
                Host::Ipv6(host) => within(IpAddr::V6(*host), *address, *prefix),
                Host::Domain(_) => false,
            },
            Self::Domain { name, port } => {
                let host = host.to_string().to_ascii_lowercase();
                let host = host.trim_end_matches('.').trim_matches(['[', ']']);
                let inside = host.strip_suffix(name.trim_matches(['[', ']']));
                let named = inside.is_some_and(|before| before.is_empty() || before.ends_with('.'));
                named && port.is_none_or(|port| at == Some(port))
            }
        }
    }
}

/// Reads an address, or an address and a prefix length.
fn parse_network(entry: &str) -> Option<Exemption> {
    let (address, prefix) = match entry.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
        None => (entry, None),
    };
    let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(bits);
    (prefix <= bits).then_some(Exemption::Network { address, prefix })
}

fn within(host: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (host, network) {
        (IpAddr::V4(host), IpAddr::V4(network)) => {
            let differing = host.to_bits() ^ network.to_bits();
            differing.leading_zeros() >= u32::from(prefix)
        }
        (IpAddr::V6(host), IpAddr::V6(network)) => {
            let differing = host.to_bits() ^ network.to_bits();
            differing.leading_zeros() >= u32::from(prefix)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// A scheme's own variables come first, then those for all schemes.
const VARIABLES: [&str; 6] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        environment: &[(&str, &str)],
        no_proxy: Option<&str>,
        url: &str,
        expected: Option<&str>,
    ) {
        let variable = |name: &str| {
            environment
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        };
        let variables = ProxyVariables::read(variable, no_proxy);
        assert_eq!(
            variables.covering(&url.parse().unwrap()),
            expected,
            "{environment:?} {no_proxy:?} {url}"
        );
    }

    #[test]
    fn variables_cover_their_scheme() {
        check(&[], None, "http://h/", None);
        check(
            &[("http_proxy", "http://p:1")],
            None,
            "http://h/",
            Some("http_proxy"),
        );
        check(
            &[("HTTP_PROXY", "http://p:1")],
            None,
            "http://h/",
            Some("HTTP_PROXY"),
        );
        check(&[("http_proxy", "http://p:1")], None, "https://h/", None);
        check(
            &[("https_proxy", "http://p:1")],
            None,
            "https://h/",
            Some("https_proxy"),
        );
        check(&[("https_proxy", "http://p:1")], None, "http://h/", None);
        check(
            &[("ALL_PROXY", "socks5://p:1")],
            None,
            "https://h/",
            Some("ALL_PROXY"),
        );
        check(&[("http_proxy", "")], None, "http://h/", None);
        check(
            &[("http_proxy", "p"), ("all_proxy", "q")],
            None,
            "http://127.0.0.1/",
            Some("http_proxy"),
        );
    }

    #[test]
    fn the_list_exempts() {
        let exempt = |list: &str, url: &str, yes: bool| {
            let expected = if yes { None } else { Some("all_proxy") };
            check(
                &[("all_proxy", "p"), ("NO_PROXY", list)],
                None,
                url,
                expected,
            );
            check(
                &[("all_proxy", "p"), ("no_proxy", list)],
                None,
                url,
                expected,
            );
            check(&[("all_proxy", "p")], Some(list), url, expected);
        };
        exempt("*", "http://h/", true);
        exempt("", "http://h/", false);
        exempt("h", "http://h/", true);
        exempt("H", "http://h/", true);
        exempt("example.com", "http://a.example.com/", true);
        exempt(".example.com", "http://a.example.com/", true);
        exempt("*.example.com", "http://a.example.com/", true);
        exempt("example.com", "http://badexample.com/", false);
        exempt("example.com", "http://example.com.evil/", false);
        exempt("a, b ,h", "http://h/", true);
        exempt("a b h", "http://h/", true);
        exempt("h:8080", "http://h:8080/", true);
        exempt("h:8080", "http://h/", false);
        exempt("h:80", "http://h/", true);
        exempt("127.0.0.1", "http://127.0.0.1:99/", true);
        exempt("127.0.0.1", "http://127.0.0.2:99/", false);
        exempt("127.0.0.1:99", "http://127.0.0.1:99/", true);
        exempt("127.0.0.0/8", "http://127.9.9.9/", true);
        exempt("10.0.0.0/8", "http://127.0.0.1/", false);
        exempt("0.0.0.0/0", "http://127.0.0.1/", true);
        exempt("::1", "http://[::1]:99/", true);
        exempt("[::1]", "http://[::1]:99/", true);
        exempt("fd00::/8", "http://[fd12::1]/", true);
        exempt("10.0.0.0/99", "http://10.0.0.1/", false);
        exempt("localhost", "http://localhost:1/", true);
        exempt("localhost", "http://127.0.0.1:1/", false);
    }

    #[test]
    fn the_option_counts_in_place_of_the_variable() {
        check(
            &[("all_proxy", "p"), ("NO_PROXY", "h")],
            Some("other"),
            "http://h/",
            Some("all_proxy"),
        );
        check(
            &[("all_proxy", "p"), ("NO_PROXY", "h")],
            Some(""),
            "http://h/",
            Some("all_proxy"),
        );
    }
}
