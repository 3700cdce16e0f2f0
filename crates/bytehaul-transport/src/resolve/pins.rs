//! Hosts whose addresses the caller has laid down, for one client.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use url::Host;

/// The table of [`ClientBuilder::pin_host`](crate::ClientBuilder::pin_host).
#[derive(Clone, Default)]
pub(crate) struct Pins {
    hosts: HashMap<String, Vec<SocketAddr>>,
}

impl Pins {
    pub(crate) fn insert(&mut self, name: &str, addresses: Vec<SocketAddr>) {
        self.hosts.insert(key(name), addresses);
    }

    /// The addresses laid down for a name; the port is put in where they have none.
    pub(crate) fn addresses(&self, name: &str, port: u16) -> Option<Vec<SocketAddr>> {
        if self.hosts.is_empty() {
            return None;
        }
        let addresses = self.hosts.get(&key(name))?;
        let with_port = |address: &SocketAddr| match address.port() {
            0 => SocketAddr::new(address.ip(), port),
            _ => *address,
        };
        Some(addresses.iter().map(with_port).collect())
    }
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.hosts).finish()
    }
}

/// The name as a URL would have it: lower case and punycode, without the dot at the end.
fn key(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    match Host::parse(name) {
        Ok(Host::Domain(name)) => name,
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => name.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ports() {
        let mut pins = Pins::default();
        pins.insert(
            "Ö.Test.",
            vec!["1.1.1.1:0".parse().unwrap(), "[::1]:8443".parse().unwrap()],
        );
        let found = pins.addresses("xn--nda.test", 443).unwrap();
        let expected: Vec<SocketAddr> = vec![
            "1.1.1.1:443".parse().unwrap(),
            "[::1]:8443".parse().unwrap(),
        ];
        assert_eq!(found, expected);
        assert_eq!(pins.addresses("xn--nda.test.", 443).unwrap(), expected);
        assert_eq!(pins.addresses("b.test", 443), None);
    }
}
