//! Real name servers: dnsmasq for plain DNS, unbound for DNS over TLS and HTTPS as well.

use std::cell::Cell;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use super::{Host, Question};
use crate::daemon::{self, Daemon, OUTPUT};
use crate::pki::Certificate;

/// A running dnsmasq or unbound. Dropping it stops it and removes its files.
#[derive(Debug)]
pub struct NameServer {
    daemon: Daemon,
    understand: fn(&str) -> Option<Question>,
    tls: u16,
    https: u16,
}

impl NameServer {
    /// Where it answers over UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.daemon.port()).into()
    }

    /// Where an unbound with a certificate answers over TLS (RFC 7858).
    ///
    /// # Panics
    /// When it has no certificate.
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        assert!(self.tls != 0, "it was started without a certificate");
        (Ipv4Addr::LOCALHOST, self.tls).into()
    }

    /// Where an unbound with a certificate answers over HTTPS (RFC 8484): `https://host:port/dns-query`. HTTP/2 only.
    ///
    /// # Panics
    /// When it has no certificate.
    #[must_use]
    pub fn https_url(&self, host: &str) -> String {
        assert!(self.https != 0, "it was started without a certificate");
        format!("https://{host}:{}/dns-query", self.https)
    }

    /// What it wrote so far, in its own words.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.daemon.lines(OUTPUT)
    }

    /// All that it was asked so far, in order. A question is in the log before it is answered.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        let lines = self.log();
        lines.iter().filter_map(|l| (self.understand)(l)).collect()
    }

    /// How often it was asked for records of this type (`A`, `AAAA`) of this name.
    #[must_use]
    pub fn asked(&self, name: &str, kind: &str) -> usize {
        let wanted = Question::new(name, kind);
        let questions = self.questions();
        questions.iter().filter(|&one| *one == wanted).count()
    }
}

/// dnsmasq: DNS over UDP and TCP. It refuses (REFUSED) every name that it was not given.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Dnsmasq {
    hosts: Vec<Host>,
    missing: Vec<String>,
}

impl Dnsmasq {
    /// One that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a name an address, to be remembered for so many seconds. A name can have several of both families.
    pub fn host(mut self, name: &str, address: impl Into<IpAddr>, ttl: u32) -> Self {
        let (name, address) = (name.to_owned(), address.into());
        self.hosts.push(Host { name, address, ttl });
        self
    }

    /// Says NXDOMAIN for this name and all below it.
    pub fn missing(mut self, name: &str) -> Self {
        self.missing.push(name.to_owned());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    #[must_use]
    pub fn start(self) -> NameServer {
        let program = daemon::required("dnsmasq");
        let daemon = Daemon::start("dnsmasq", |_, port| {
            let mut command = Command::new(&program);
            command.args(["--keep-in-foreground", "--conf-file=/dev/null"]);
            command.args(["--listen-address=127.0.0.1", "--bind-interfaces"]);
            command.args(["--no-resolv", "--no-hosts", "--pid-file"]);
            command.args(["--log-queries=extra", "--log-facility=-"]);
            command.arg(format!("--port={port}"));
            if rustix::process::geteuid().is_root() {
                command.arg("--user=root");
            }
            for Host { name, address, ttl } in &self.hosts {
                // The first makes it the judge of the name: there is no other family than it was given.
                command.arg(format!("--local=/{name}/"));
                command.arg(format!("--host-record={name},{address},{ttl}"));
            }
            for name in &self.missing {
                command.arg(format!("--address=/{name}/"));
            }
            Ok(command)
        });
        NameServer {
            daemon,
            understand: |line| {
                // `1 127.0.0.1/54226 query[A] files.test from 127.0.0.1`
                let (kind, rest) = line.split_once(" query[")?.1.split_once("] ")?;
                Some(Question::new(rest.split(' ').next()?, kind))
            },
            tls: 0,
            https: 0,
        }
    }
}

/// unbound: DNS over UDP and TCP, and with a certificate over TLS and HTTPS. It says NXDOMAIN for what it was not given.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Unbound {
    hosts: Vec<Host>,
    certificate: Option<Certificate>,
}

impl Unbound {
    /// One that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a name an address, to be remembered for so many seconds. A name can have several of both families.
    pub fn host(mut self, name: &str, address: impl Into<IpAddr>, ttl: u32) -> Self {
        let (name, address) = (name.to_owned(), address.into());
        self.hosts.push(Host { name, address, ttl });
        self
    }

    /// Answers over TLS and HTTPS too, and shows this certificate there.
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    #[must_use]
    pub fn start(self) -> NameServer {
        let program = daemon::required("unbound");
        let (tls, https) = (Cell::new(0), Cell::new(0));
        let daemon = Daemon::start("unbound", |scratch, port| {
            let mut listen = format!("  interface: 127.0.0.1@{port}\n");
            if let Some(certificate) = &self.certificate {
                fs::write(scratch.join("chain.pem"), certificate.chain_pem())?;
                fs::write(scratch.join("key.pem"), certificate.key_pem())?;
                tls.set(daemon::free_port()?);
                https.set(daemon::free_port()?);
                listen.push_str(&secured(tls.get(), https.get()));
            }
            let text = self.configuration(&listen, scratch);
            fs::write(scratch.join("unbound.conf"), text)?;
            let mut command = Command::new(&program);
            command.args(["-d", "-c", "unbound.conf"]);
            Ok(command)
        });
        NameServer {
            daemon,
            understand: |line| {
                // `[1795208763] unbound[4711:0] info: 127.0.0.1 files.test. A IN`
                let words: Vec<&str> = line.split_once(" info: ")?.1.split(' ').collect();
                match words[..] {
                    [_, name, kind, "IN"] => Some(Question::new(name, kind)),
                    _ => None,
                }
            },
            tls: tls.get(),
            https: https.get(),
        }
    }

    fn configuration(&self, listen: &str, scratch: &Path) -> String {
        let record = |Host { name, address, ttl }: &Host| {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            format!("  local-data: \"{name}. {ttl} IN {kind} {address}\"\n")
        };
        let records: String = self.hosts.iter().map(record).collect();
        format!(
            "server:\n{listen}  username: \"\"\n  chroot: \"\"\n  directory: \"{}\"\n  pidfile: \"\"\n\
             \x20 use-syslog: no\n  log-queries: yes\n  do-daemonize: no\n  module-config: \"iterator\"\n\
             \x20 local-zone: \".\" static\n{records}remote-control:\n  control-enable: no\n",
            scratch.display()
        )
    }
}

/// The lines that add the ports with TLS.
fn secured(tls: u16, https: u16) -> String {
    format!(
        "  interface: 127.0.0.1@{tls}\n  interface: 127.0.0.1@{https}\n  tls-port: {tls}\n  https-port: {https}\n\
         \x20 tls-service-pem: chain.pem\n  tls-service-key: key.pem\n"
    )
}
