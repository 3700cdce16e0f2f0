//! A setter for each network setting, for builders that have a `network`.

/// Gives a builder all of them.
macro_rules! network_setters {
    ($builder:ident) => {
        $crate::network::setters::each_setter! {
            $builder,
            all_proxy(url: impl Into<String>),
            http_proxy(url: impl Into<String>),
            https_proxy(url: impl Into<String>),
            no_proxy(list: impl Into<String>),
            proxy_from_env(counts: bool),
            dns_servers(servers: impl IntoIterator<Item = std::net::SocketAddr>),
            name_servers(servers: impl IntoIterator<Item = impl Into<String>>),
            pin_host(name: impl Into<String>, addresses: impl IntoIterator<Item = std::net::SocketAddr>),
            resolver(resolver: impl bytehaul_transport::Resolve + 'static),
            enable_ipv6(enabled: bool),
            add_root_certificates(pem: impl Into<Vec<u8>>),
            only_these_roots(only: bool),
            client_certificate(chain_pem: impl Into<Vec<u8>>, key_pem: impl Into<Vec<u8>>),
            pin_public_key(pin: impl Into<String>),
            danger_accept_invalid_certificates(accept: bool),
            http_version(version: bytehaul_transport::HttpVersion),
            max_redirects(redirects: usize),
            danger_follow_https_to_http(follow: bool),
            user_agent(value: impl Into<String>),
            connect_timeout(timeout: std::time::Duration),
            read_timeout(timeout: std::time::Duration),
            tcp_keepalive(silence: std::time::Duration),
            netrc(netrc: $crate::Netrc),
        }
    };
}

macro_rules! each_setter {
    ($builder:ident, $($setting:ident($($value:ident: $type:ty),*)),* $(,)?) => {
        impl $builder {
            $(
                #[doc = concat!("Sets [`Network::", stringify!($setting), "`](crate::Network::", stringify!($setting), ").")]
                pub fn $setting(mut self, $($value: $type),*) -> Self {
                    self.network = self.network.$setting($($value),*);
                    self
                }
            )*
        }
    };
}

pub(crate) use {each_setter, network_setters};
