//! SOCKS proxies: microsocks, dante, which can refuse addresses, and Twisted's, which is the one that speaks SOCKS 4a.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use super::Proxy;
use super::hosts::Hosts;
use crate::daemon::{self, Daemon, OUTPUT};

/// microsocks: SOCKS 5 (RFC 1928), CONNECT only, with a login if wanted (RFC 1929).
///
/// Its log has `client[5] 127.0.0.1: connected to files.test:443`: the name when it was sent a name, else the address.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Microsocks {
    login: Option<(String, String)>,
    hosts: Hosts,
}

impl Microsocks {
    /// One that is open to everybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants this login.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Knows this host, which nobody else does.
    pub fn host(mut self, name: &str, address: impl Into<IpAddr>) -> Self {
        self.hosts.add(name, address.into());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    #[must_use]
    pub fn start(self) -> Proxy {
        let program = daemon::required("microsocks");
        let daemon = Daemon::start("microsocks", |scratch, port| {
            let mut command = Command::new(&program);
            command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
            if let Some((user, password)) = &self.login {
                command.args(["-u", user, "-P", password]);
            }
            self.hosts.teach(scratch, &mut command)?;
            Ok(command)
        });
        Proxy {
            daemon,
            log: OUTPUT,
        }
    }
}

/// dante: SOCKS 4 and 5 (RFC 1928) by rules; it goes to loopback only. It does not understand SOCKS 4a.
///
/// It answers a refused address with "not allowed by ruleset" (2), and its log has
/// `block(1): tcp/connect ]: … dead.test.443`.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Dante {
    refused: Vec<Ipv4Addr>,
    hosts: Hosts,
}

impl Dante {
    /// One that is open to everybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Does not let anybody get to this address.
    pub fn refuse(mut self, address: impl Into<Ipv4Addr>) -> Self {
        self.refused.push(address.into());
        self
    }

    /// Knows this host, which nobody else does.
    pub fn host(mut self, name: &str, address: impl Into<IpAddr>) -> Self {
        self.hosts.add(name, address.into());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    #[must_use]
    pub fn start(self) -> Proxy {
        let program = daemon::required("danted");
        let daemon = Daemon::start("dante", |scratch, port| {
            fs::write(scratch.join("danted.conf"), self.configuration(port))?;
            let mut command = Command::new(&program);
            command.args(["-f", "danted.conf"]);
            self.hosts.teach(scratch, &mut command)?;
            Ok(command)
        });
        Proxy {
            daemon,
            log: OUTPUT,
        }
    }

    fn configuration(&self, port: u16) -> String {
        let users = if rustix::process::geteuid().is_root() {
            "user.privileged: root\nuser.unprivileged: nobody\n"
        } else {
            ""
        };
        let refused: String = self
            .refused
            .iter()
            .map(|address| {
                format!(
                    "socks block {{\n from: 0.0.0.0/0 to: {address}/32\n log: connect error\n}}\n"
                )
            })
            .collect();
        format!(
            "logoutput: stderr\ninternal: 127.0.0.1 port = {port}\nexternal: lo\n\
             socksmethod: none\nclientmethod: none\n{users}\
             client pass {{\n from: 127.0.0.0/8 to: 0.0.0.0/0\n log: error\n}}\n{refused}\
             socks pass {{\n from: 127.0.0.0/8 to: 127.0.0.0/8\n command: connect\n log: connect error\n}}\n"
        )
    }
}

/// Twisted's SOCKS proxy: SOCKS 4, and 4a, where the proxy looks the name up. It asks nobody who they are.
///
/// Its log has `connection to 127.0.0.1:443 (user b'name') authorized`: the address that it found, and who the client said
/// it was. It answers 91 for a name that it does not know.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Twisted {
    hosts: Hosts,
}

impl Twisted {
    /// One that is open to everybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows this host, which nobody else does.
    pub fn host(mut self, name: &str, address: impl Into<IpAddr>) -> Self {
        self.hosts.add(name, address.into());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    #[must_use]
    pub fn start(self) -> Proxy {
        let program = daemon::required("twistd3");
        let daemon = Daemon::start("twisted", |scratch, port| {
            let mut command = Command::new(&program);
            command.args(["-n", "--pidfile=", "socks", "-i", "127.0.0.1"]);
            command.args(["-p", &port.to_string()]);
            self.hosts.teach(scratch, &mut command)?;
            Ok(command)
        });
        Proxy {
            daemon,
            log: OUTPUT,
        }
    }
}
