//! Name servers for the tests: the real ones, dnsmasq and unbound, and one that misbehaves as it is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytehaul_testkit::pki::Certificate;
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// dnsmasq on a port of its own. Everything that it was not told of in `test` does not exist.
pub(crate) struct Dnsmasq {
    pub(crate) address: SocketAddr,
    directory: TempDir,
    child: Child,
}

impl Dnsmasq {
    /// Records as dnsmasq writes them: `name,address,address,ttl`.
    pub(crate) fn start(records: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(program("dnsmasq"));
        command
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
            ])
            .args([
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
                "--local=/test/",
            ])
            .args([
                "--log-queries",
                "--log-facility=-",
                "--pid-file=",
                "--edns-packet-max=512",
            ])
            .arg(format!("--port={port}"))
            .args(
                records
                    .iter()
                    .map(|record| format!("--host-record={record}")),
            );
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = child.spawn().unwrap();
        let server = Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            directory,
            child,
        };
        wait_until(|| server.log().contains("started"));
        server
    }

    /// How often it was asked for this, such as `query[A] a.test`.
    pub(crate) fn asked(&self, what: &str) -> usize {
        let what = format!("{what} from");
        self.log()
            .lines()
            .filter(|line| line.contains(&what))
            .count()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// unbound with DNS over TLS and HTTPS. It knows `a.test` and `b.test` as 127.0.0.1.
pub(crate) struct Unbound {
    pub(crate) tls: SocketAddr,
    pub(crate) https: SocketAddr,
    directory: TempDir,
    child: Child,
}

impl Unbound {
    pub(crate) fn start(certificate: &Certificate) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::write(path.join("chain.pem"), certificate.chain_pem()).unwrap();
        std::fs::write(path.join("key.pem"), certificate.key_pem()).unwrap();
        let (tls, https) = (free_port(), free_port());
        std::fs::write(path.join("unbound.conf"), configuration(path, tls, https)).unwrap();
        let child = unbound(path);
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let server = Self {
            tls: at(tls),
            https: at(https),
            directory,
            child,
        };
        wait_until(|| server.log().contains("start of service"));
        server
    }

    /// Ends it and all its connections, and starts another at the same ports.
    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let starts = |server: &Self| server.log().matches("start of service").count();
        let before = starts(self);
        self.child = unbound(self.directory.path());
        wait_until(|| starts(self) > before);
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unbound(directory: &Path) -> Child {
    let mut command = Command::new(program("unbound"));
    command
        .args(["-d", "-p", "-c"])
        .arg(directory.join("unbound.conf"));
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.spawn().unwrap()
}

fn configuration(path: &Path, tls: u16, https: u16) -> String {
    let path = path.display();
    format!(
        "server:\n interface: 127.0.0.1@{tls}\n interface: 127.0.0.1@{https}\n\
         \x20interface: ::1@{tls}\n interface: ::1@{https}\n\
         \x20tls-port: {tls}\n https-port: {https}\n\
         \x20tls-service-key: {path}/key.pem\n tls-service-pem: {path}/chain.pem\n\
         \x20username: \"\"\n chroot: \"\"\n directory: {path}\n pidfile: \"\"\n\
         \x20use-syslog: no\n logfile: {path}/log\n log-queries: yes\n do-daemonize: no\n\
         \x20module-config: \"iterator\"\n local-zone: \"test.\" static\n\
         \x20local-data: \"a.test. 60 IN A 127.0.0.1\"\n\
         \x20local-data: \"b.test. 60 IN A 127.0.0.1\"\n\
         \x20local-data: \"test. 60 IN SOA ns.test. root.test. 1 2 3 4 60\"\nremote-control:\n control-enable: no\n"
    )
}

/// A name server of our own: the first label of a name says how it is to behave, and `*.good.test` is 127.0.0.1 (and ::1 for
/// the first labels that say so). What is not `good.test` does not exist.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
    _task: JoinSet<()>,
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let (mut packet, mut late) = ([0u8; 1500], JoinSet::new());
            loop {
                let (length, peer) = socket.recv_from(&mut packet).await.unwrap();
                let (name, kind, end) = question(&packet[..length]);
                log.lock().unwrap().push((name.clone(), kind));
                let Some((delay, answer)) = reply(&packet[..end], &name, kind) else {
                    continue;
                };
                let socket = Arc::clone(&socket);
                late.spawn(async move {
                    tokio::time::sleep(delay).await;
                    socket.send_to(&answer, peer).await.unwrap();
                });
            }
        });
        Self {
            address,
            asked,
            _task: task,
        }
    }

    /// The types of the queries so far: 1 for A, 28 for AAAA.
    pub(crate) fn kinds(&self) -> Vec<u16> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(_, kind)| *kind).collect()
    }
}

fn question(packet: &[u8]) -> (String, u16, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while packet[at] != 0 {
        let length = usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..at + 1 + length]).to_ascii_lowercase());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
    (labels.join("."), kind, at + 5)
}

fn reply(question: &[u8], name: &str, kind: u16) -> Option<(Duration, Vec<u8>)> {
    let both = |code, found| Some((Duration::ZERO, answer(question, kind, code, found)));
    let first = name.split('.').next().unwrap();
    if !name.ends_with("good.test") {
        return both(NXDOMAIN, false);
    }
    match (first, kind) {
        ("servfail", _) => both(SERVFAIL, false),
        ("refused", _) => both(REFUSED, false),
        ("garbage", _) => Some((Duration::ZERO, vec![0xff; 300])),
        ("loop", _) => Some((Duration::ZERO, alias_of_itself(question))),
        ("mute", _) | ("no6", AAAA) => None,
        ("nx6", AAAA) => both(NXDOMAIN, false),
        ("slow6", AAAA) => Some((Duration::from_millis(200), answer(question, kind, 0, true))),
        ("dual", _) => both(0, true),
        (_, kind) => both(0, kind == A),
    }
}

/// RFC 1035 section 4.1: the header and the question again, and one address where there is one.
fn answer(question: &[u8], kind: u16, code: u8, found: bool) -> Vec<u8> {
    let mut packet = question.to_vec();
    let counts = [0, 1, 0, u8::from(found), 0, 0, 0, 0];
    packet[2..4].copy_from_slice(&[0x85, 0x80 | code]);
    packet[4..12].copy_from_slice(&counts);
    if found {
        let address: &[u8] = match kind {
            A => &[127, 0, 0, 1],
            _ => &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        };
        packet.extend_from_slice(&[0xc0, 12]);
        packet.extend_from_slice(&kind.to_be_bytes());
        packet.extend_from_slice(&[0, 1, 0, 0, 0, 60, 0, address.len() as u8]);
        packet.extend_from_slice(address);
    }
    packet
}

/// RFC 1035 section 3.3.1: a CNAME whose target is the name that was asked for.
fn alias_of_itself(question: &[u8]) -> Vec<u8> {
    let mut packet = answer(question, A, 0, false);
    packet[7] = 1;
    packet.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12]);
    packet
}

/// A port that takes everything and never answers.
pub(crate) async fn silent() -> (SocketAddr, UdpSocket) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    (socket.local_addr().unwrap(), socket)
}

fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// Administrators' programs are not always in the search path.
fn program(name: &str) -> std::path::PathBuf {
    let places = [
        "/usr/sbin",
        "/usr/bin",
        "/usr/local/sbin",
        "/opt/homebrew/sbin",
    ];
    let found = places.iter().map(|place| Path::new(place).join(name));
    found
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is not installed"))
}

fn wait_until(done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "it does not start"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;
