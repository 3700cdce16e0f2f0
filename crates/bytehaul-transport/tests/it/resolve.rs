//! Names become addresses by the table, by an own DNS server, and never by asking for what needs no asking.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytehaul_transport::resolve::{
    FixedResolver, HickoryResolver, Resolve, ResolveError, SystemResolver,
};
use bytehaul_transport::{Client, ErrorKind, Url};

use crate::name_servers::{A, AAAA, Scripted, silent};
use crate::server::{Server, get, sized};

fn at_port(server: &Server, host: &str) -> Url {
    Url::parse(&format!("http://{host}:{}/", server.address.port())).unwrap()
}

#[tokio::test]
async fn own_servers_are_asked() {
    let (server, dns) = (Server::always(sized(3).0).await, Scripted::start().await);
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
    let kinds = dns.kinds();
    assert!(
        kinds.contains(&A) && kinds.contains(&AAAA),
        "both families: {kinds:?}"
    );
}

#[tokio::test]
async fn without_ipv6_only_ipv4_is_asked_for() {
    let (server, dns) = (Server::always(sized(3).0).await, Scripted::start().await);
    let client = Client::builder()
        .dns_servers([dns.address])
        .enable_ipv6(false)
        .build()
        .unwrap();
    get(&client, at_port(&server, "files.good.test"))
        .await
        .unwrap();
    assert_eq!(dns.kinds(), [A]);
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    let dns = Scripted::start().await;
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
    let (silent, _socket) = silent().await;
    let client = Client::builder()
        .dns_servers([silent])
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
    let (server, dns) = (Server::always(sized(3).0).await, Scripted::start().await);
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
    assert_eq!(dns.kinds(), [0; 0]);
}

#[tokio::test]
async fn a_fixed_table() {
    let server = Server::always(sized(3).0).await;
    let names = || FixedResolver::new([("A.Test.".to_owned(), vec![Ipv4Addr::LOCALHOST.into()])]);
    let client = Client::builder().resolver(names()).build().unwrap();
    get(&client, at_port(&server, "a.test")).await.unwrap();
    let error = get(&client, at_port(&server, "b.test")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostNotFound);
    let dns = Scripted::start().await;
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

#[tokio::test]
async fn a_pinned_host_is_not_looked_up() {
    let (server, dns) = (Server::always(sized(3).0).await, Scripted::start().await);
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let client = Client::builder()
        .dns_servers([dns.address])
        .pin_host("A.Test.", [loopback])
        .pin_host("b.test", [server.address])
        .pin_host("localhost", ["127.0.0.1:1".parse().unwrap()])
        .pin_host("none.test", [])
        .build()
        .unwrap();
    get(&client, at_port(&server, "a.test")).await.unwrap();
    get(&client, at_port(&server, "a.test.")).await.unwrap();
    let url = Url::parse("http://b.test:9/").unwrap();
    get(&client, url).await.unwrap();
    assert!(server.heads().last().unwrap().contains("host: b.test:9"));
    let refused = get(&client, at_port(&server, "localhost")).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Refused);
    let missing = get(&client, at_port(&server, "none.test")).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::HostNotFound);
    assert_eq!(dns.kinds(), [0; 0]);
}

#[tokio::test]
async fn a_pinned_ipv6_address_is_dialled_without_ipv6_too() {
    let listener = tokio::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let client = Client::builder()
        .pin_host("six.test", [address])
        .enable_ipv6(false)
        .build()
        .unwrap();
    let asking = get(&client, Url::parse("http://six.test/").unwrap());
    let accepted = tokio::select! {
        accepted = listener.accept() => accepted,
        answer = asking => panic!("{answer:?}"),
    };
    assert!(accepted.unwrap().1.is_ipv6());
}
