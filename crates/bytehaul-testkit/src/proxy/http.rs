//! HTTP proxies: tinyproxy, and squid, which can be spoken to over TLS and can refuse ports.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Proxy;
use super::hosts::{self, Hosts};
use crate::daemon::{self, Daemon, OUTPUT};
use crate::pki::Certificate;

/// tinyproxy: absolute form for `http:`, CONNECT for all else.
///
/// Its log has `Request (file descriptor 5): CONNECT files.test:443 HTTP/1.1`. It answers 407 to whoever gives no login
/// and 401 to a wrong one.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Tinyproxy {
    login: Option<(String, String)>,
    hosts: Hosts,
}

impl Tinyproxy {
    /// One that is open to everybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants this login (RFC 7617).
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
        let program = daemon::required("tinyproxy");
        let daemon = Daemon::start("tinyproxy", |scratch, port| {
            let login = self
                .login
                .as_ref()
                .map(|(user, password)| format!("BasicAuth {user} {password}\n"));
            let text = format!(
                "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nLogLevel Info\nMaxClients 200\n{}",
                login.unwrap_or_default()
            );
            fs::write(scratch.join("tinyproxy.conf"), text)?;
            let mut command = Command::new(&program);
            command.args(["-d", "-c", "tinyproxy.conf"]);
            self.hosts.teach(scratch, &mut command)?;
            Ok(command)
        });
        Proxy {
            daemon,
            log: OUTPUT,
        }
    }
}

/// squid, without its cache.
///
/// Its log has `TCP_TUNNEL/200 1234 CONNECT files.test:443 user HIER_DIRECT/127.0.0.1`. It answers 407 to whoever gives
/// no login or a wrong one, 403 for a refused port, 500 or 503 for a name that it does not know.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Squid {
    login: Option<(String, String)>,
    hosts: Hosts,
    refused: Vec<u16>,
    certificate: Option<Certificate>,
}

impl Squid {
    /// One that is open to everybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants this login (RFC 7617), which its own helper checks against a file with hashes.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Knows this host, which nobody else does.
    pub fn host(mut self, name: &str, address: impl Into<IpAddr>) -> Self {
        self.hosts.add(name, address.into());
        self
    }

    /// Answers 403 to whoever wants to get to this port, before it asks for a login.
    pub fn refuse_port(mut self, port: u16) -> Self {
        self.refused.push(port);
        self
    }

    /// Is itself spoken to over TLS (`https://` proxy) and shows this certificate.
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    #[must_use]
    pub fn start(self) -> Proxy {
        let program = daemon::required("squid");
        let daemon = Daemon::start("squid", |scratch, port| {
            // A root's squid works as another user, who writes its logs here.
            fs::set_permissions(scratch, fs::Permissions::from_mode(0o777))?;
            self.hosts.write(scratch)?;
            if let Some(certificate) = &self.certificate {
                fs::write(scratch.join("chain.pem"), certificate.chain_pem())?;
                fs::write(scratch.join("key.pem"), certificate.key_pem())?;
            }
            if let Some((user, password)) = &self.login {
                let hash = hashed(password)?;
                fs::write(scratch.join("logins"), format!("{user}:{hash}\n"))?;
            }
            fs::write(
                scratch.join("squid.conf"),
                self.configuration(scratch, port),
            )?;
            let mut command = Command::new(&program);
            command.args(["-N", "-f", "squid.conf"]);
            Ok(command)
        });
        Proxy {
            daemon,
            log: "access.log",
        }
    }

    fn configuration(&self, scratch: &Path, port: u16) -> String {
        let dir = scratch.display();
        let listen = if self.certificate.is_some() {
            format!("https_port 127.0.0.1:{port} tls-cert={dir}/chain.pem tls-key={dir}/key.pem")
        } else {
            format!("http_port 127.0.0.1:{port}")
        };
        let refused: String = self
            .refused
            .iter()
            .map(|port| format!("acl refused port {port}\n"))
            .chain((!self.refused.is_empty()).then(|| "http_access deny refused\n".to_owned()))
            .collect();
        let login = if self.login.is_some() {
            format!(
                "auth_param basic program {} {dir}/logins\nauth_param basic realm test\n\
                 acl known proxy_auth REQUIRED\nhttp_access deny !known",
                helper().display()
            )
        } else {
            String::new()
        };
        format!(
            "{listen}\n{refused}{login}\nhttp_access allow all\nhosts_file {dir}/{}\n\
             dns_nameservers 127.0.0.1\ndns_timeout 300 milliseconds\n\
             dns_retransmit_interval 100 milliseconds\nvisible_hostname localhost\n\
             cache deny all\ncache_mem 1 MB\nmemory_pools off\nnetdb_filename none\npinger_enable off\n\
             pid_filename none\naccess_log stdio:{dir}/access.log\ncache_log stdio:{dir}/cache.log\n\
             coredump_dir {dir}\nmax_filedescriptors 1024\nshutdown_lifetime 0 seconds\n",
            hosts::FILE
        )
    }
}

/// The program of squid's that compares logins with a file.
fn helper() -> PathBuf {
    ["/usr/lib/squid", "/usr/lib64/squid", "/usr/libexec/squid"]
        .map(|dir| Path::new(dir).join("basic_ncsa_auth"))
        .into_iter()
        .find(|path| path.is_file())
        .expect("squid is installed with its helpers")
}

/// The hash of a password as `crypt(3)` makes it.
fn hashed(password: &str) -> io::Result<String> {
    let made = Command::new("perl")
        .args(["-e", "print crypt($ARGV[0], '$6$bytehaul')", password])
        .output()?;
    if !made.status.success() {
        return Err(io::Error::other(format!("perl: {made:?}")));
    }
    String::from_utf8(made.stdout).map_err(io::Error::other)
}
