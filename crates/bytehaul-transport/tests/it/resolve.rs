//! Names become addresses by the table, by an own DNS server, and never by asking for what needs no asking.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytehaul_transport::resolve::{
    FixedResolver, HickoryResolver, Resolve, ResolveError, SystemResolver,
};
use bytehaul_transport::{Client, ErrorKind, Url};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::server::{Server, get, sized};

/// A name server that knows `*.good.test` as 127.0.0.1 (type A only), and nothing else.
struct Dns {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
    _task: JoinSet<()>,
}

impl Dns {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut packet = [0u8; 1500];
            loop {
                let (length, peer) = socket.recv_from(&mut packet).await.unwrap();
                let (name, kind, end) = question(&packet[..length]);
                log.lock().unwrap().push((name.clone(), kind));
                socket
                    .send_to(&answer(&packet[..end], &name, kind), peer)
                    .await
                    .unwrap();
            }
        });
        Self {
            address,
            asked,
            _task: task,
        }
    }
}

fn question(packet: &[u8]) -> (String, u16, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while packet[at] != 0 {
        let length = usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..at + 1 + length]).to_ascii_lowercase());
        at += 1 + length;
    }
    (
        labels.join("."),
        u16::from_be_bytes([packet[at + 1], packet[at + 2]]),
        at + 5,
    )
}

/// RFC 1035 section 4.1: the header and the question again, and one address where there is one.
fn answer(question: &[u8], name: &str, kind: u16) -> Vec<u8> {
    let (good, is_a) = (name.ends_with("good.test"), kind == 1);
    let mut packet = question.to_vec();
    let code = if good { 0 } else { 3 };
    packet[2..12].copy_from_slice(&[
        0x85,
        0x80 | code,
        0,
        1,
        0,
        u8::from(good && is_a),
        0,
        0,
        0,
        0,
    ]);
    if good && is_a {
        packet.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    packet
}

fn at_port(server: &Server, host: &str) -> Url {
    Url::parse(&format!("http://{host}:{}/", server.address.port())).unwrap()
}

#[tokio::test]
async fn own_servers_are_asked() {
    let (server, dns) = (Server::always(sized(3).0).await, Dns::start().await);
    let client = Client::builder()
        .dns_servers([dns.address])
        .build()
        .unwrap();
    get(&client, at_port(&server, "files.good.test"))
        .await
        .unwrap();
    assert!(
        server.heads()[0].contains(&format!("host: files.good.test:{}", server.address.port()))
    );
    let kinds: Vec<u16> = dns
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|(_, kind)| *kind)
        .collect();
    assert!(
        kinds.contains(&1) && kinds.contains(&28),
        "both families: {kinds:?}"
    );
}

#[tokio::test]
async fn without_ipv6_only_ipv4_is_asked_for() {
    let (server, dns) = (Server::always(sized(3).0).await, Dns::start().await);
    let client = Client::builder()
        .dns_servers([dns.address])
        .enable_ipv6(false)
        .build()
        .unwrap();
    get(&client, at_port(&server, "files.good.test"))
        .await
        .unwrap();
    assert!(dns.asked.lock().unwrap().iter().all(|(_, kind)| *kind == 1));
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    let dns = Dns::start().await;
    let client = Client::builder()
        .dns_servers([dns.address])
        .build()
        .unwrap();
    let error = get(&client, Url::parse("http://missing.test/").unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostNotFound, "{error:?}");
    assert_eq!(
        error.to_string(),
        "resolve missing.test (http://missing.test/)"
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = Client::builder()
        .dns_servers([silent.local_addr().unwrap()])
        .connect_timeout(Duration::from_millis(300));
    let error = get(
        &client.build().unwrap(),
        Url::parse("http://slow.good.test/").unwrap(),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimeoutConnect);
}

#[tokio::test]
async fn literals_and_localhost_are_never_asked_for() {
    let (server, dns) = (Server::always(sized(3).0).await, Dns::start().await);
    let client = Client::builder()
        .dns_servers([dns.address])
        .build()
        .unwrap();
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "sub.localhost",
        "localhost.",
    ] {
        get(&client, at_port(&server, host)).await.unwrap();
    }
    assert!(dns.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_fixed_table() {
    let server = Server::always(sized(3).0).await;
    let names = || FixedResolver::new([("A.Test.".to_owned(), vec![Ipv4Addr::LOCALHOST.into()])]);
    let client = Client::builder().resolver(names()).build().unwrap();
    get(&client, at_port(&server, "a.test")).await.unwrap();
    let error = get(&client, at_port(&server, "b.test")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostNotFound);
    let dns = Dns::start().await;
    let client = Client::builder()
        .resolver(names().or(HickoryResolver::with_servers([dns.address])))
        .build()
        .unwrap();
    get(&client, at_port(&server, "b.good.test")).await.unwrap();
}

#[tokio::test]
async fn a_dead_address_is_passed_over() {
    let server = Server::always(sized(3).0).await;
    let dead: Ipv4Addr = "127.255.255.254".parse().unwrap();
    let names = FixedResolver::new([(
        "a.test".to_owned(),
        vec![dead.into(), Ipv4Addr::LOCALHOST.into()],
    )]);
    let client = Client::builder().resolver(names).build().unwrap();
    get(&client, at_port(&server, "a.test")).await.unwrap();
}

#[tokio::test]
async fn the_system_knows_itself() {
    let found = SystemResolver.resolve("localhost").await.unwrap();
    assert!(!found.is_empty() && found.iter().all(std::net::IpAddr::is_loopback));
    let missing = SystemResolver
        .resolve("does-not-exist.invalid")
        .await
        .unwrap_err();
    assert!(matches!(
        missing,
        ResolveError::NotFound | ResolveError::Failed(_)
    ));
}
