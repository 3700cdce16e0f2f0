//! Hosts whose addresses the caller has laid down, for one client.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use url::Host;

use crate::error::{Error, ErrorKind};

/// The table of [`ClientBuilder::pin_host`](crate::ClientBuilder::pin_host).
#[derive(Clone, Default)]
pub(crate) struct Pins {
    hosts: HashMap<String, Vec<SocketAddr>>,
}

impl Pins {
    pub(crate) fn insert(&mut self, name: &str, addresses: Vec<SocketAddr>) {
        self.hosts.insert(key(name), addresses);
    }

    /// The addresses laid down for a name, if there is such a decision; the port is put in where they have none.
    pub(crate) fn addresses(
        &self,
        name: &str,
        port: u16,
    ) -> Option<Result<Vec<SocketAddr>, Error>> {
        if self.hosts.is_empty() {
            return None;
        }
        let addresses = self.hosts.get(&key(name))?;
        if addresses.is_empty() {
            let what = format!("{name} is pinned to no address");
            return Some(Err(Error::new(ErrorKind::HostNotFound, what)));
        }
        let with_port = |address: &SocketAddr| match address.port() {
            0 => SocketAddr::new(address.ip(), port),
            _ => *address,
        };
        Some(Ok(addresses.iter().map(with_port).collect()))
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
        pins.insert("none.test", vec![]);
        let check = |name, expected: &str| {
            let found = pins.addresses(name, 443).unwrap().unwrap();
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), expected);
        };
        check("xn--nda.test", "1.1.1.1:443 [::1]:8443");
        check("xn--nda.test.", "1.1.1.1:443 [::1]:8443");
        assert!(pins.addresses("b.test", 443).is_none());
        let none = pins.addresses("none.test", 443).unwrap().unwrap_err();
        assert_eq!(none.kind(), ErrorKind::HostNotFound);
    }
}
