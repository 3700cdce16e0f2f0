//! From the options of the network to the library's settings: the files that they name are read here.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use bytehaul::{HttpVersion, Netrc, Network};

use crate::args::{Http, NetworkArgs};
use crate::usage::UsageError;

/// The settings that the options ask for. What the library checks by itself is left to it.
pub(crate) fn settings(args: &NetworkArgs) -> Result<Network, UsageError> {
    let mut network = Network::default()
        .connect_timeout(args.connect_timeout.0)
        .read_timeout(args.read_timeout.0)
        .enable_ipv6(!args.no_ipv6)
        .max_redirects(args.max_redirects.into())
        .danger_follow_https_to_http(args.insecure_redirects)
        .danger_accept_invalid_certificates(args.insecure)
        .http_version(match args.http {
            Http::One => HttpVersion::Http1,
            Http::Two => HttpVersion::Http2,
            Http::Auto => HttpVersion::Auto,
        })
        .netrc(match &args.netrc_file {
            _ if args.no_netrc => Netrc::Off,
            Some(file) => Netrc::File(file.clone()),
            None => Netrc::Home,
        });
    if let Some(proxy) = &args.proxy {
        network = network.all_proxy(proxy);
    }
    if let Some(list) = &args.no_proxy {
        network = network.no_proxy(list);
    }
    if let Some(text) = &args.user_agent {
        network = network.user_agent(text);
    }
    if !args.dns_server.is_empty() {
        network = network.name_servers(&args.dns_server);
    }
    for entry in &args.resolve {
        let (host, addresses) = pinned(entry)?;
        network = network.pin_host(host, addresses);
    }
    trust(network, args)
}

fn trust(mut network: Network, args: &NetworkArgs) -> Result<Network, UsageError> {
    if let Some(file) = &args.cacert {
        network = network
            .add_root_certificates(read("certificates", file)?)
            .only_these_roots(args.cacert_only);
    }
    if let Some(file) = &args.cert {
        let chain = read("the client certificate", file)?;
        let key = match &args.key {
            Some(file) => read("the key of the client certificate", file)?,
            None => chain.clone(),
        };
        network = network.client_certificate(chain, key);
    }
    for pin in &args.pinned_key {
        network = network.pin_public_key(pin);
    }
    Ok(network)
}

fn read(what: &str, file: &Path) -> Result<Vec<u8>, UsageError> {
    std::fs::read(file)
        .map_err(|error| UsageError::new(format!("read {what} from {}: {error}", file.display())))
}

/// Reads `HOST:ADDR[,ADDR]`; the host ends at the first colon. An address without a port is for that of the URL, as 0.
fn pinned(entry: &str) -> Result<(&str, Vec<SocketAddr>), UsageError> {
    let wrong = || {
        UsageError::new(format!("'{entry}' does not give a host its addresses"))
            .hint("write HOST:ADDR, and HOST:ADDR,ADDR for several")
    };
    let (host, list) = entry.split_once(':').ok_or_else(wrong)?;
    let addresses: Option<Vec<SocketAddr>> = list.split(',').map(address).collect();
    match addresses {
        Some(addresses) if !host.is_empty() => Ok((host, addresses)),
        Some(_) | None => Err(wrong()),
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let ip = || text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    text.parse().ok().or_else(|| Some((ip()?, 0).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_get_their_addresses() {
        let check = |entry: &str, host: &str, addresses: &[&str]| {
            let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
            assert_eq!(pinned(entry), Ok((host, addresses)));
        };
        check("h:127.0.0.1", "h", &["127.0.0.1:0"]);
        check("h:127.0.0.1:8443", "h", &["127.0.0.1:8443"]);
        check("h:::1", "h", &["[::1]:0"]);
        check(
            "h.example:[::1]:80,10.0.0.1",
            "h.example",
            &["[::1]:80", "10.0.0.1:0"],
        );
        for wrong in [
            "h",
            "h:",
            ":127.0.0.1",
            "h:localhost",
            "h:80:127.0.0.1",
            "h:127.0.0.1,",
        ] {
            assert!(pinned(wrong).is_err(), "{wrong}");
        }
    }
}
