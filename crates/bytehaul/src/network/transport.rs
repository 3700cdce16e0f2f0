//! What each setting means to the transport, and which one is to blame when it cannot be used.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytehaul_transport::resolve::{FixedResolver, HickoryResolver};
use bytehaul_transport::{Client, Error, Roots, Tls};

use super::Network;
use crate::error::DownloadError;

impl Network {
    /// Checks what is set, without sending or opening anything.
    pub(crate) fn check(&self) -> Result<(), DownloadError> {
        self.is_built()?;
        self.addresses_of_name_servers()?;
        if self.roots.is_some() {
            let tls = self.added_roots();
            tried("root certificates", Client::builder().tls(tls).build())?;
        }
        if let Some(agent) = &self.user_agent {
            let client = Client::builder().user_agent(agent.clone());
            tried("user agent", client.build())?;
        }
        Ok(())
    }

    /// A client with these settings, and the defaults of all that are not set.
    pub(super) fn client(&self) -> Result<Client, DownloadError> {
        self.check()?;
        let mut client = Client::builder()
            .enable_ipv6(self.ipv6.unwrap_or(true))
            .user_agent(self.user_agent.as_deref().unwrap_or(USER_AGENT))
            .tls(self.tls());
        if let Some(redirects) = self.max_redirects {
            client = client.max_redirects(redirects);
        }
        let servers = self.addresses_of_name_servers()?;
        client = match (&self.pinned_hosts, &self.resolver) {
            (None, None) => client.dns_servers(servers),
            (None, Some(resolver)) => client.resolver(resolver.clone()),
            (Some(pinned), resolver) => {
                let names = FixedResolver::new(pinned.clone());
                client.resolver(match resolver {
                    Some(resolver) => names.or(resolver.clone()),
                    None => names.or(self.built_in_resolver(servers)),
                })
            }
        };
        client.build().map_err(|source| DownloadError::Client {
            source: Arc::new(source),
        })
    }

    fn built_in_resolver(&self, servers: Vec<SocketAddr>) -> HickoryResolver {
        let resolver = match servers.as_slice() {
            [] => HickoryResolver::system(),
            _ => HickoryResolver::with_servers(servers),
        };
        match self.ipv6 {
            Some(false) => resolver.ipv4_only(),
            Some(true) | None => resolver,
        }
    }

    fn addresses_of_name_servers(&self) -> Result<Vec<SocketAddr>, DownloadError> {
        let servers = self.name_servers.iter().flatten();
        servers.map(|text| address_of_name_server(text)).collect()
    }

    fn added_roots(&self) -> Tls {
        let roots = self.roots.iter().flatten();
        roots.fold(Tls::new(), Tls::add_roots_pem)
    }

    fn tls(&self) -> Tls {
        self.added_roots().roots(match self.only_these_roots {
            Some(true) => Roots::ExtraOnly,
            Some(false) | None => Roots::SystemAndExtra,
        })
    }

    /// Refuses, rather than to ignore what was asked for.
    fn is_built(&self) -> Result<(), DownloadError> {
        let asked = [
            ("all_proxy", self.all_proxy.is_some()),
            ("http_proxy", self.http_proxy.is_some()),
            ("https_proxy", self.https_proxy.is_some()),
            ("client certificate", self.client_certificate.is_some()),
            ("public key pin", self.pinned_keys.is_some()),
            (
                "danger_accept_invalid_certificates",
                self.accept_invalid_certificates == Some(true),
            ),
            (
                "danger_follow_https_to_http",
                self.follow_https_to_http == Some(true),
            ),
        ];
        match asked.into_iter().find(|(_, asked)| *asked) {
            Some((name, _)) => Err(DownloadError::parameter(
                name,
                "not supported by this version",
            )),
            None => Ok(()),
        }
    }
}

fn address_of_name_server(text: &str) -> Result<SocketAddr, DownloadError> {
    let text = text.trim();
    let address = text
        .parse()
        .or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
    address.map_err(|_| {
        let shown = crate::session::shown(text);
        DownloadError::parameter("name server", format!("{shown} is not an address"))
    })
}

/// A failure to set up a client because of one setting.
fn tried<T>(name: &'static str, result: Result<T, Error>) -> Result<T, DownloadError> {
    result.map_err(|error| {
        let reason = match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        DownloadError::parameter(name, reason)
    })
}

const USER_AGENT: &str = concat!("bytehaul/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: Network, expected: &str) {
        let text = match network.check() {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(text.starts_with(expected), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let settings = Network::default;
        check(settings(), "ok");
        check(settings().user_agent("tool/1"), "ok");
        check(settings().user_agent("a\nb"), "invalid user agent");
        check(settings().name_servers(["1.1.1.1", "[::1]:5353"]), "ok");
        check(
            settings().name_servers(["me:hunter2@dns"]),
            "invalid name server",
        );
        check(
            settings().add_root_certificates("no pem"),
            "invalid root certificates",
        );
        check(settings().only_these_roots(true), "ok");
    }
}
