//! One client for each set of settings that downloads of one downloader ask for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytehaul_transport::Client;

use super::Network;
use crate::error::DownloadError;
use crate::netrc::Entries;

/// How one download reaches servers: the client, and the passwords that it may look up.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) client: Client,
    pub(crate) netrc: Arc<Entries>,
}

/// The clients of a downloader. Equal settings share one, and with it connections, names and TLS sessions.
#[derive(Debug)]
pub(crate) struct Clients {
    base: Network,
    /// For the settings of `base`, whatever its timeouts.
    access: Access,
    /// Those for settings of single downloads, the last used one last.
    others: Mutex<Vec<(Network, Access)>>,
}

impl Clients {
    /// Checks the downloader's settings and makes the client of all downloads that have none of their own.
    pub(crate) fn new(base: Network) -> Result<Self, DownloadError> {
        Ok(Self {
            access: base.access()?,
            base,
            others: Mutex::default(),
        })
    }

    /// What a download with these settings of its own uses.
    pub(crate) fn of(&self, network: &Network) -> Result<Access, DownloadError> {
        let merged = network.clone().over(&self.base);
        let key = merged.of_clients();
        if key == self.base.of_clients() {
            return Ok(self.access.tuned(&merged));
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let (network, access) = match others.iter().position(|(network, _)| *network == key) {
            Some(at) => others.remove(at),
            None => {
                let access = key.access()?;
                if others.len() == MOST_KEPT {
                    // Whoever still uses it has a clone.
                    drop(others.remove(0));
                }
                (key, access)
            }
        };
        let tuned = access.tuned(&merged);
        others.push((network, access));
        Ok(tuned)
    }
}

impl Access {
    /// With what belongs to single requests, for which no client of its own is needed.
    fn tuned(&self, network: &Network) -> Self {
        let connect = network.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let read = network.read_timeout.unwrap_or(READ_TIMEOUT);
        let version = network.http_version.unwrap_or_default();
        let client = self.client.with_timeouts(connect, read);
        Self {
            client: client.with_http_version(version),
            netrc: Arc::clone(&self.netrc),
        }
    }
}

impl Network {
    fn access(&self) -> Result<Access, DownloadError> {
        Ok(Access {
            client: self.client()?,
            netrc: Arc::new(self.netrc.clone().unwrap_or_default().read()?),
        })
    }

    /// What clients differ in: all but what belongs to single requests.
    fn of_clients(&self) -> Self {
        Self {
            http_version: None,
            connect_timeout: None,
            read_timeout: None,
            ..self.clone()
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Clients for settings of single downloads that are kept; each may hold connections and a name cache.
const MOST_KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use bytehaul_transport::HttpVersion;

    use super::*;

    fn kept(clients: &Clients) -> Vec<Network> {
        let others = clients.others.lock().unwrap();
        others.iter().map(|(network, _)| network.clone()).collect()
    }

    #[test]
    fn equal_settings_share_a_client() {
        let clients = Clients::new(Network::default().user_agent("base")).unwrap();
        clients.of(&Network::default()).unwrap();
        let slow = Network::default().read_timeout(Duration::from_secs(1));
        clients.of(&slow).unwrap();
        let http2 = Network::default().http_version(HttpVersion::Http2);
        clients.of(&http2).unwrap();
        assert_eq!(
            kept(&clients),
            [],
            "neither timeouts nor versions need another client"
        );
        let v4 = Network::default().enable_ipv6(false);
        for _ in 0..3 {
            clients.of(&v4).unwrap();
            clients.of(&slow.clone().over(&v4)).unwrap();
        }
        assert_eq!(kept(&clients), [v4.user_agent("base")]);
    }

    #[test]
    fn the_one_not_used_for_longest_goes() {
        let clients = Clients::new(Network::default()).unwrap();
        let agent = |n: usize| Network::default().user_agent(n.to_string());
        for n in 0..MOST_KEPT {
            clients.of(&agent(n)).unwrap();
        }
        clients.of(&agent(0)).unwrap();
        clients.of(&agent(MOST_KEPT)).unwrap();
        let kept = kept(&clients);
        assert_eq!(kept.len(), MOST_KEPT);
        assert!(kept.contains(&agent(0)) && !kept.contains(&agent(1)));
    }

    #[test]
    fn what_cannot_be_used_is_told_and_not_kept() {
        let clients = Clients::new(Network::default()).unwrap();
        let error = clients.of(&Network::default().user_agent("a\nb"));
        assert!(error.is_err());
        assert_eq!(kept(&clients), []);
    }
}
