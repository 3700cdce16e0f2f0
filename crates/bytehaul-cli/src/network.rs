//! From the options of the network to the library's settings: the files that they name are read here.

use std::net::IpAddr;
use std::path::Path;

use bytehaul::Network;

use crate::args::NetworkArgs;
use crate::usage::UsageError;

/// The settings that the options ask for. What the library checks by itself is left to it.
pub(crate) fn settings(args: &NetworkArgs) -> Result<Network, UsageError> {
    let mut network = Network::default()
        .connect_timeout(args.connect_timeout.0)
        .read_timeout(args.read_timeout.0)
        .enable_ipv6(!args.no_ipv6)
        .max_redirects(args.max_redirects.into())
        .danger_follow_https_to_http(args.insecure_redirects)
        .danger_accept_invalid_certificates(args.insecure);
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

/// Reads `HOST:ADDR[,ADDR]`; the host ends at the first colon.
fn pinned(entry: &str) -> Result<(&str, Vec<IpAddr>), UsageError> {
    let wrong = || {
        UsageError::new(format!("'{entry}' does not give a host its addresses"))
            .hint("write HOST:ADDR, and HOST:ADDR,ADDR for several")
    };
    let (host, list) = entry.split_once(':').ok_or_else(wrong)?;
    let address = |text: &str| text.trim().trim_matches(['[', ']']).parse();
    let addresses: Result<Vec<IpAddr>, _> = list.split(',').map(address).collect();
    match addresses {
        Ok(addresses) if !host.is_empty() => Ok((host, addresses)),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_get_their_addresses() {
        let check = |entry: &str, host: &str, addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
            assert_eq!(pinned(entry), Ok((host, addresses)));
        };
        check("h:127.0.0.1", "h", &["127.0.0.1"]);
        check("h:::1", "h", &["::1"]);
        check(
            "h.example:[::1],10.0.0.1",
            "h.example",
            &["::1", "10.0.0.1"],
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
