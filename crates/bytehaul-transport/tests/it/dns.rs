//! Looking names up at real and at bad name servers: transports, caching, families, failures, and what each costs.

use std::error::Error as StdError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytehaul_testkit::pki::Authority;
use bytehaul_transport::resolve::{HickoryResolver, NameServer, Resolve, ResolveError};
use bytehaul_transport::{Client, ErrorKind, Roots, Tls, Url};

use crate::name_servers::{A, AAAA, Dnsmasq, Scripted, Unbound, silent};
use crate::server::{Server, get, sized};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn resolver(servers: impl IntoIterator<Item = SocketAddr>) -> HickoryResolver {
    HickoryResolver::with_servers(servers)
}

async fn timed(
    resolver: &HickoryResolver,
    name: &str,
) -> (Result<Vec<IpAddr>, ResolveError>, Duration) {
    let started = Instant::now();
    let result = resolver.resolve(name).await;
    (result, started.elapsed())
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The error and all its causes.
fn chain(error: &dyn StdError) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

#[tokio::test]
async fn answers_are_kept_for_their_time() {
    let dns = Dnsmasq::start(&["a.test,127.0.0.1,::1,2"]);
    let resolver = resolver([dns.address]);
    for _ in 0..3 {
        assert_eq!(resolver.resolve("a.test").await.unwrap(), [V6, V4]);
    }
    assert_eq!(resolver.clone().resolve("A.test.").await.unwrap(), [V6, V4]);
    let asked = || {
        (
            dns.asked("query[A] a.test"),
            dns.asked("query[AAAA] a.test"),
        )
    };
    assert_eq!(asked(), (1, 1));
    tokio::time::sleep(ms(2100)).await;
    resolver.resolve("a.test").await.unwrap();
    assert_eq!(asked(), (2, 2));
}

#[tokio::test]
async fn many_at_once_are_one_query() {
    let dns = Dnsmasq::start(&["a.test,127.0.0.1,60"]);
    let resolver = resolver([dns.address]);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let resolver = resolver.clone();
        asking.spawn(async move { resolver.resolve("a.test").await.unwrap() });
    }
    assert!(asking.join_all().await.iter().all(|found| *found == [V4]));
    assert_eq!(dns.asked("query[A] a.test"), 1);
    assert_eq!(dns.asked("query[AAAA] a.test"), 1);
}

#[tokio::test]
async fn a_long_answer_comes_by_tcp() {
    let records: Vec<String> = (1..=60).map(|n| format!("big.test,127.0.1.{n}")).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let dns = Dnsmasq::start(&records);
    let found = resolver([dns.address]).resolve("big.test").await.unwrap();
    assert_eq!(found.len(), 60);
    assert!(dns.asked("query[A] big.test") >= 2, "truncated, then again");
}

#[tokio::test]
async fn without_ipv6_nobody_asks_for_it() {
    let dns = Dnsmasq::start(&["a.test,127.0.0.1,::1,60"]);
    let resolver = resolver([dns.address]).ipv4_only();
    assert_eq!(resolver.resolve("a.test").await.unwrap(), [V4]);
    assert_eq!(dns.asked("query[AAAA] a.test"), 0);
}

#[tokio::test]
async fn a_missing_name_is_final_and_quick() {
    let (real, (dead, _socket)) = (Dnsmasq::start(&[]), silent().await);
    let other = Scripted::start().await;
    for servers in [
        vec![real.address, other.address],
        vec![dead, real.address, other.address],
    ] {
        let (missing, took) = timed(&resolver(servers), "missing.test").await;
        assert!(
            matches!(missing, Err(ResolveError::NotFound)),
            "{missing:?}"
        );
        assert!(took < ms(1500), "{took:?}");
    }
    assert_eq!(real.asked("query[A] missing.test"), 2);
    assert_eq!(other.kinds(), [0; 0], "the answer was there already");
}

#[tokio::test]
async fn a_name_that_does_not_exist_fails_the_request_once() {
    let dns = Dnsmasq::start(&[]);
    let client = Client::builder().dns_servers([dns.address]).build();
    let started = Instant::now();
    let error = get(
        &client.unwrap(),
        Url::parse("http://missing.test/").unwrap(),
    )
    .await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::HostNotFound);
    assert!(started.elapsed() < ms(500));
    assert_eq!(dns.asked("query[A] missing.test"), 1);
}

#[tokio::test]
async fn a_dead_first_server_costs_less_than_a_second_and_only_once() {
    let (dns, (dead, _socket)) = (Scripted::start().await, silent().await);
    let resolver = resolver([dead, dns.address]);
    let (found, took) = timed(&resolver, "a.good.test").await;
    assert_eq!(found.unwrap(), [V4]);
    assert!((ms(700)..ms(1200)).contains(&took), "{took:?}");
    let (found, took) = timed(&resolver, "b.good.test").await;
    assert_eq!(found.unwrap(), [V4]);
    assert!(took < ms(300), "{took:?}");
}

#[tokio::test]
async fn all_servers_dead_is_an_error_that_names_them() {
    let ((one, _one), (two, _two)) = (silent().await, silent().await);
    let client = Client::builder().dns_servers([one, two]).build().unwrap();
    let started = Instant::now();
    let error = get(&client, Url::parse("http://a.test/").unwrap())
        .await
        .unwrap_err();
    assert!(started.elapsed() < ms(4800), "{:?}", started.elapsed());
    assert_eq!(error.kind(), ErrorKind::Resolve);
    let text = chain(&error);
    let expected = format!("{one} did not answer, {two} did not answer");
    assert!(text.ends_with(&expected), "{text}");
}

#[tokio::test]
async fn a_server_in_trouble_is_passed_over() {
    let (bad, good) = (Scripted::start().await, Dnsmasq::start(&[]));
    for (name, said) in [
        ("servfail.good.test", "answered SERVFAIL"),
        ("refused.good.test", "answered REFUSED"),
    ] {
        let (failed, took) = timed(&resolver([bad.address]), name).await;
        let Err(error @ ResolveError::Failed(_)) = failed else {
            panic!("{failed:?}");
        };
        let expected = format!("name look-up failed: {} {said}", bad.address);
        assert_eq!(chain(&error), expected);
        assert!(took < ms(500), "{took:?}");
        // The second server knows better: that there is no such name.
        let (other, took) = timed(&resolver([bad.address, good.address]), name).await;
        assert!(matches!(other, Err(ResolveError::NotFound)), "{other:?}");
        assert!(took < ms(500), "{took:?}");
    }
}

#[tokio::test]
async fn a_family_without_an_answer_is_waited_for_shortly_and_then_not_at_all() {
    let dns = Scripted::start().await;
    let resolver = resolver([dns.address]);
    let (found, took) = timed(&resolver, "no6.good.test").await;
    assert_eq!(found.unwrap(), [V4]);
    assert!((ms(45)..ms(900)).contains(&took), "{took:?}");
    // A busy machine may be late once, but not each time.
    let mut fastest = took;
    for _ in 0..5 {
        let (found, took) = timed(&resolver, "no6.good.test").await;
        assert_eq!(found.unwrap(), [V4]);
        fastest = fastest.min(took);
    }
    assert!(fastest < ms(45), "{fastest:?}");
    let mut kinds = dns.kinds();
    kinds.truncate(2);
    kinds.sort_unstable();
    assert_eq!(kinds, [A, AAAA], "both at once");
}

#[tokio::test]
async fn a_late_answer_is_there_the_next_time() {
    let dns = Scripted::start().await;
    let resolver = resolver([dns.address]);
    assert_eq!(resolver.resolve("slow6.good.test").await.unwrap(), [V4]);
    tokio::time::sleep(ms(300)).await;
    let asked = dns.kinds().len();
    assert_eq!(resolver.resolve("slow6.good.test").await.unwrap(), [V6, V4]);
    assert_eq!(dns.kinds().len(), asked);
}

#[tokio::test]
async fn no_such_name_for_one_family_is_not_believed_against_the_other() {
    let dns = Scripted::start().await;
    let found = resolver([dns.address]).resolve("nx6.good.test").await;
    assert_eq!(found.unwrap(), [V4]);
}

#[tokio::test]
async fn nonsense_is_no_answer() {
    let (bad, good) = (Scripted::start().await, Dnsmasq::start(&[]));
    let both = resolver([bad.address, good.address]);
    let (missing, took) = timed(&both, "garbage.good.test").await;
    assert!(
        matches!(missing, Err(ResolveError::NotFound)),
        "{missing:?}"
    );
    assert!(took < ms(1500), "{took:?}");
    let (looping, took) = timed(&resolver([bad.address]), "loop.good.test").await;
    assert!(looping.is_err(), "{looping:?}");
    assert!(took < ms(1500) && bad.kinds().len() < 40, "{took:?}");
}

#[tokio::test]
async fn a_name_server_that_cannot_be_found_is_named() {
    let servers = ["tls://dns.invalid".parse().unwrap()];
    let client = Client::builder().name_servers(servers).build().unwrap();
    let error = get(&client, Url::parse("http://a.test/").unwrap()).await;
    let text = chain(&error.unwrap_err());
    let expected = "name look-up failed: look up name server tls://dns.invalid: no such host";
    assert!(text.ends_with(expected), "{text}");
}

/// A real resolver over TLS and HTTPS with a certificate of a private authority for `dns.test` and 127.0.0.1.
fn encrypted(certificate_names: &[&str]) -> (Authority, Unbound) {
    let authority = Authority::new();
    let unbound = Unbound::start(&authority.server(certificate_names));
    (authority, unbound)
}

fn trusting(authority: &Authority) -> Tls {
    Tls::new()
        .add_roots_pem(authority.pem())
        .roots(Roots::ExtraOnly)
}

#[tokio::test]
async fn over_tls_and_https() {
    let (authority, dns) = encrypted(&["dns.test", "127.0.0.1", "::1"]);
    let (tls, https) = (dns.tls.port(), dns.https.port());
    let server = Server::always(sized(3).0).await;
    for (number, name_server) in [
        format!("tls://127.0.0.1:{tls}"),
        format!("tls://127.0.0.1:{tls}#dns.test"),
        format!("https://127.0.0.1:{https}/dns-query"),
        format!("https://dns.test:{https}#127.0.0.1"),
        format!("tls://[::1]:{tls}"),
        format!("https://dns.test:{https}#::1"),
    ]
    .iter()
    .enumerate()
    {
        let client = Client::builder()
            .name_servers([name_server.parse().unwrap()])
            .tls(trusting(&authority))
            .build()
            .unwrap();
        let url = format!("http://a.test:{}/", server.address.port());
        get(&client, Url::parse(&url).unwrap()).await.unwrap();
        let asked = dns.log().matches("a.test. A IN").count();
        assert_eq!(asked, number + 1, "{name_server}");
        let missing = get(&client, Url::parse("http://missing.test/").unwrap()).await;
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::HostNotFound);
    }
}

#[tokio::test]
async fn a_name_server_that_was_restarted_is_connected_to_again() {
    let (authority, mut dns) = encrypted(&["127.0.0.1"]);
    let at = |scheme: &str, address: SocketAddr| {
        let server = format!("{scheme}://{address}").parse().unwrap();
        HickoryResolver::with_name_servers([server]).tls(trusting(&authority))
    };
    let resolvers = [at("tls", dns.tls), at("https", dns.https)];
    for name in ["a.test", "b.test"] {
        for resolver in &resolvers {
            let (found, took) = timed(resolver, name).await;
            assert_eq!(found.unwrap(), [V4]);
            assert!(took < ms(700), "{took:?}");
        }
        dns.restart();
    }
}

#[tokio::test]
async fn what_does_not_exist_is_remembered_where_the_zone_says_for_how_long() {
    let (authority, dns) = encrypted(&["127.0.0.1"]);
    let server = format!("tls://{}", dns.tls).parse().unwrap();
    let resolver = HickoryResolver::with_name_servers([server]).tls(trusting(&authority));
    for _ in 0..3 {
        let missing = resolver.resolve("missing.test").await;
        assert!(
            matches!(missing, Err(ResolveError::NotFound)),
            "{missing:?}"
        );
    }
    assert_eq!(dns.log().matches("missing.test. A IN").count(), 1);
    assert_eq!(dns.log().matches("missing.test. AAAA IN").count(), 1);
}

#[tokio::test]
async fn an_untrusted_name_server_is_one_clear_line() {
    let (authority, dns) = encrypted(&["dns.test"]);
    let stranger = Authority::new();
    for (scheme, address) in [("tls", dns.tls), ("https", dns.https)] {
        let port = address.port();
        let check = async |server: String, tls: Tls, expected: &str| {
            let server: NameServer = server.parse().unwrap();
            let builder = Client::builder().name_servers([server.clone()]).tls(tls);
            let url = Url::parse("http://a.test/").unwrap();
            let error = get(&builder.build().unwrap(), url).await.unwrap_err();
            let text = chain(&error);
            assert_eq!(error.kind(), ErrorKind::Tls, "{text}");
            assert!(
                text.contains(&format!("{server:?} is not trusted: ")),
                "{text}"
            );
            assert!(text.contains(expected) && !text.contains('\n'), "{text}");
        };
        let named = match scheme {
            "tls" => format!("tls://127.0.0.1:{port}#dns.test"),
            _ => format!("https://dns.test:{port}/dns-query#127.0.0.1"),
        };
        check(named, trusting(&stranger), "unknown authority").await;
        let unnamed = format!("{scheme}://127.0.0.1:{port}");
        check(unnamed, trusting(&authority), "dns.test").await;
    }
    assert!(!dns.log().contains("a.test"), "nothing was asked");
}

#[tokio::test]
async fn a_dead_ipv6_costs_a_moment_once() {
    let server = Server::always(sized(3).0).await;
    let port = server.address.port();
    let dns = Dnsmasq::start(&["dual.test,127.0.0.1,::1,60", "other.test,127.0.0.1,::1,60"]);
    let socket = tokio::net::TcpSocket::new_v6().unwrap();
    socket.bind((Ipv6Addr::LOCALHOST, port).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let mut crowd = Vec::new();
    let connect = || tokio::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port));
    while let Ok(Ok(stream)) = tokio::time::timeout(ms(100), connect()).await {
        crowd.push(stream);
    }
    let client = Client::builder()
        .dns_servers([dns.address])
        .pool_max_idle(0);
    let client = client.build().unwrap();
    for (host, expected) in [
        ("dual.test", ms(240)..ms(600)),
        ("dual.test", ms(0)..ms(240)),
        ("other.test", ms(0)..ms(240)),
    ] {
        let started = Instant::now();
        let url = format!("http://{host}:{port}/");
        get(&client, Url::parse(&url).unwrap()).await.unwrap();
        assert!(
            expected.contains(&started.elapsed()),
            "{host} {:?}",
            started.elapsed()
        );
    }
    drop(listener);
}
