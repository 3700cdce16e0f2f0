//! What each setting means to the transport, and which one is to blame when it cannot be used.

use std::error::Error as _;
use std::ffi::OsString;
use std::sync::Arc;

use bytehaul_transport::{Client, Error, NameServer, Pin, Proxies, Proxy, Roots, Tls};

use super::{ClientCertificate, Network};
use crate::error::DownloadError;

impl Network {
    /// Checks what is set, without sending or opening anything.
    pub(crate) fn check(&self) -> Result<(), DownloadError> {
        self.servers()?;
        self.pins()?;
        self.proxies(|_| None::<OsString>)?;
        if let Some(ClientCertificate { chain, key }) = &self.client_certificate {
            let tls = Tls::new().identity_pem(chain, key);
            tried("client certificate", Client::builder().tls(tls).build())?;
        }
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
            .name_servers(self.servers()?)
            .proxies(match self.proxy_from_env {
                Some(false) => self.proxies(|_| None::<OsString>)?,
                Some(true) | None => self.proxies(|name| std::env::var_os(name))?,
            })
            .tls(self.tls()?);
        if let Some(redirects) = self.max_redirects {
            client = client.max_redirects(redirects);
        }
        if let Some(silence) = self.tcp_keepalive {
            client = client.tcp_keepalive(silence);
        }
        for (name, addresses) in self.pinned_hosts.iter().flatten() {
            client = client.pin_host(name, addresses.iter().copied());
        }
        if let Some(resolver) = &self.resolver {
            client = client.resolver(resolver.clone());
        }
        if self.follow_https_to_http == Some(true) {
            client = client.danger_follow_https_to_http();
        }
        client.build().map_err(|source| DownloadError::Client {
            source: Arc::new(source),
        })
    }

    fn servers(&self) -> Result<Vec<NameServer>, DownloadError> {
        let texts = self.name_servers.iter().flatten();
        let servers = texts.map(|text| tried("name server", text.trim().parse()));
        servers.collect()
    }

    fn added_roots(&self) -> Tls {
        let roots = self.roots.iter().flatten();
        roots.fold(Tls::new(), Tls::add_roots_pem)
    }

    fn tls(&self) -> Result<Tls, DownloadError> {
        let mut tls = self.added_roots().pin_sha256(self.pins()?);
        tls = tls.roots(match self.only_these_roots {
            Some(true) => Roots::ExtraOnly,
            Some(false) | None => Roots::SystemAndExtra,
        });
        if let Some(ClientCertificate { chain, key }) = &self.client_certificate {
            tls = tls.identity_pem(chain, key);
        }
        Ok(match self.accept_invalid_certificates {
            Some(true) => tls.danger_accept_invalid_certificates(),
            Some(false) | None => tls,
        })
    }

    fn pins(&self) -> Result<Vec<Pin>, DownloadError> {
        let texts = self.pinned_keys.iter().flatten();
        // As curl takes them: several in one text are parted by semicolons.
        let pins = texts.flat_map(|text| text.split(';')).map(|text| {
            let parsed = text.trim().parse::<Pin>();
            parsed.map_err(|error| DownloadError::parameter("public key pin", error))
        });
        pins.collect()
    }

    /// Which proxy for which URL: what is set here, and where it leaves room, what the environment says.
    fn proxies<V: Into<OsString>>(
        &self,
        variable: impl Fn(&str) -> Option<V>,
    ) -> Result<Proxies, DownloadError> {
        let reads = |name: &str| match name.to_ascii_lowercase().as_str() {
            "no_proxy" => self.no_proxy.is_none(),
            "http_proxy" => self.all_proxy.is_none() && self.http_proxy.is_none(),
            "https_proxy" => self.all_proxy.is_none() && self.https_proxy.is_none(),
            _ => self.all_proxy.is_none(),
        };
        let variable = |name: &str| reads(name).then(|| variable(name)).flatten();
        let mut proxies = tried("proxy", Proxies::from_variables(variable))?;
        if let Some(proxy) = proxy("all_proxy", self.all_proxy.as_deref())? {
            proxies = proxies.all(proxy);
        }
        if let Some(proxy) = proxy("http_proxy", self.http_proxy.as_deref())? {
            proxies = proxies.http(proxy);
        }
        if let Some(proxy) = proxy("https_proxy", self.https_proxy.as_deref())? {
            proxies = proxies.https(proxy);
        }
        Ok(match &self.no_proxy {
            Some(list) => proxies.no_proxy(list),
            None => proxies,
        })
    }
}

/// The proxy of a setting; none where its text is empty.
fn proxy(name: &'static str, text: Option<&str>) -> Result<Option<Proxy>, DownloadError> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    text.map(|text| tried(name, Proxy::parse(text))).transpose()
}

/// A failure to set up a client because of one setting.
fn tried<T>(name: &'static str, result: Result<T, Error>) -> Result<T, DownloadError> {
    result.map_err(|error| {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            reason += &format!(": {error}");
            cause = error.source();
        }
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
