//! Where the system says how names are resolved, and whether that has changed since.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hickory_resolver::Hosts;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;

use super::engine::Search;

/// The resolver configuration and the hosts file. On Unix other than macOS and Android they can be watched.
#[derive(Clone, Debug)]
pub(super) struct SystemFiles {
    resolv_conf: PathBuf,
    hosts: PathBuf,
}

/// What tells one version of a file from the next; `None` where there is no file.
pub(super) type Stamp = Option<(SystemTime, u64)>;

impl SystemFiles {
    pub(super) fn resolv_conf_stamp(&self) -> Stamp {
        stamp(&self.resolv_conf)
    }

    pub(super) fn hosts_stamp(&self) -> Stamp {
        stamp(&self.hosts)
    }

    /// The name servers and the search list. Blocks.
    pub(super) fn read(&self) -> Result<(Vec<NameServerConfig>, Search), NetError> {
        let (config, ndots) = self.read_config()?;
        let (domain, search, servers) = config.into_parts();
        let domains = match search.is_empty() {
            true => domain.into_iter().collect(),
            false => search,
        };
        Ok((servers, Search { domains, ndots }))
    }

    /// The hosts file, empty where there is none. Blocks.
    pub(super) fn read_hosts(&self) -> Hosts {
        let hosts = self.try_read_hosts();
        hosts
            .inspect_err(|error| bytehaul_log::debug!(%error, "no hosts file"))
            .unwrap_or_default()
    }

    #[cfg(all(unix, not(any(target_os = "android", target_vendor = "apple"))))]
    fn read_config(&self) -> Result<(ResolverConfig, usize), NetError> {
        let text = std::fs::read(&self.resolv_conf)?;
        let (config, options) = hickory_resolver::system_conf::parse_resolv_conf(text)?;
        Ok((config, options.ndots))
    }

    #[cfg(not(all(unix, not(any(target_os = "android", target_vendor = "apple")))))]
    fn read_config(&self) -> Result<(ResolverConfig, usize), NetError> {
        let (config, options) = hickory_resolver::system_conf::read_system_conf()?;
        Ok((config, options.ndots))
    }

    #[cfg(unix)]
    fn try_read_hosts(&self) -> io::Result<Hosts> {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(std::fs::File::open(&self.hosts)?)?;
        Ok(hosts)
    }

    #[cfg(not(unix))]
    fn try_read_hosts(&self) -> io::Result<Hosts> {
        Hosts::from_system()
    }
}

impl Default for SystemFiles {
    fn default() -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
impl SystemFiles {
    pub(super) fn at(directory: &Path) -> Self {
        Self {
            resolv_conf: directory.join("resolv.conf"),
            hosts: directory.join("hosts"),
        }
    }
}
