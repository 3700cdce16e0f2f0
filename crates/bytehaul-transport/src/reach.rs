//! From a host and a port to a TCP connection: pins, names, families and the race of addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use url::Host;

use crate::error::{Error, ErrorKind};
use crate::eyeballs::{self, BadAddresses};
use crate::resolve::{Pins, Resolve, ResolveError};

/// What is needed to find hosts, shared by all connections of a client.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) pins: Pins,
    pub(crate) families: Families,
    /// Silence after which the other end is asked whether it is still there; zero is never.
    pub(crate) keepalive: Duration,
    pub(crate) bad: BadAddresses,
}

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    Both,
    V4Only,
}

impl Reach {
    /// A connection to the first address that answers.
    pub(crate) async fn connect(&self, host: &Host<String>, port: u16) -> Result<TcpStream, Error> {
        let started = Instant::now();
        let addresses = self.addresses(host, port).await?;
        let looked_up = started.elapsed();
        let tcp = eyeballs::connect(addresses, &self.bad)
            .await
            .map_err(|(address, error)| {
                let kind = match error.kind() {
                    io::ErrorKind::ConnectionRefused => ErrorKind::Refused,
                    _ => ErrorKind::Connect,
                };
                Error::new(kind, format!("connect to {address}")).with_source(error)
            })?;
        bytehaul_log::debug!(
            %host,
            address = ?tcp.peer_addr().ok(),
            ?looked_up,
            took = ?started.elapsed(),
            "connected"
        );
        // A request is one small write that must not wait for company. Failing to say so costs time, not correctness.
        let _ = tcp.set_nodelay(true);
        self.keep_alive(&tcp);
        Ok(tcp)
    }

    /// Asks the system to probe a silent connection, within what systems take. Failing to is no failure of a connection.
    fn keep_alive(&self, tcp: &TcpStream) {
        if self.keepalive.is_zero() {
            return;
        }
        let silence = self.keepalive.clamp(LEAST_SILENCE, MOST_SILENCE);
        let probing = TcpKeepalive::new().with_time(silence);
        let _ = SockRef::from(tcp).set_tcp_keepalive(&probing);
    }

    /// The addresses of a host, at least one.
    pub(crate) async fn addresses(
        &self,
        host: &Host<String>,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Error> {
        let name = match host {
            Host::Ipv4(ip) => return Ok(vec![(*ip, port).into()]),
            Host::Ipv6(ip) => return Ok(vec![(*ip, port).into()]),
            Host::Domain(name) => name,
        };
        if let Some(pinned) = self.pins.addresses(name, port) {
            return pinned;
        }
        let mut found = if is_localhost(name) {
            vec![
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ]
        } else {
            self.resolver.resolve(name).await.map_err(|error| {
                let kind = match error {
                    ResolveError::NotFound => ErrorKind::HostNotFound,
                    ResolveError::Failed(_) => ErrorKind::Resolve,
                    ResolveError::Untrusted(_) => ErrorKind::Tls,
                };
                Error::new(kind, format!("resolve {name}")).with_source(error)
            })?
        };
        if self.families == Families::V4Only {
            found.retain(IpAddr::is_ipv4);
        }
        if found.is_empty() {
            return Err(Error::new(
                ErrorKind::HostNotFound,
                format!("no usable address for {name}"),
            ));
        }
        Ok(found
            .into_iter()
            .map(|ip| SocketAddr::new(ip, port))
            .collect())
    }
}

/// Linux counts in whole seconds, up to 32767 (tcp(7), `TCP_KEEPIDLE`).
const LEAST_SILENCE: Duration = Duration::from_secs(1);
const MOST_SILENCE: Duration = Duration::from_secs(32_767);

/// RFC 6761 section 6.3: these names are never asked from DNS.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::FixedResolver;

    #[tokio::test]
    async fn silent_connections_are_probed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let secs = Duration::from_secs;
        for (keepalive, expected) in [
            (secs(30), Some(secs(30))),
            (Duration::from_millis(1), Some(secs(1))),
            (Duration::MAX, Some(secs(32_767))),
            (Duration::ZERO, None),
        ] {
            let reach = Reach {
                resolver: Arc::new(FixedResolver::new([])),
                pins: Pins::default(),
                families: Families::Both,
                keepalive,
                bad: BadAddresses::default(),
            };
            let host = Host::Ipv4(Ipv4Addr::LOCALHOST);
            let tcp = reach.connect(&host, port).await.unwrap();
            let socket = SockRef::from(&tcp);
            assert_eq!(socket.keepalive().unwrap(), expected.is_some());
            if let Some(silence) = expected {
                assert_eq!(socket.tcp_keepalive_time().unwrap(), silence);
            }
        }
    }
}
