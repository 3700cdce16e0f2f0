//! What a proxy is told, and what its odder answers mean, byte for byte.

use std::time::{Duration, Instant};

use bytehaul_transport::{Client, ErrorKind, Proxies, Proxy, Url};

use crate::server::{Server, Step, get, sized};

fn through(proxy: &Server, list: &str) -> Client {
    let proxy = Proxy::parse(&format!("http://me:secret@{}", proxy.address)).unwrap();
    let proxies = Proxies::none().all(proxy).no_proxy(list);
    Client::builder().proxies(proxies).build().unwrap()
}

#[tokio::test]
async fn a_request_in_the_absolute_form() {
    let proxy = Server::always(sized(3).0).await;
    let client = through(&proxy, "");
    for url in ["http://one.test/a?b=c", "http://two.test:81/"] {
        let mut response = get(&client, Url::parse(url).unwrap()).await.unwrap();
        response.body_mut().bytes(3).await.unwrap();
    }
    let heads = proxy.heads();
    assert!(
        heads[0].starts_with("GET http://one.test/a?b=c HTTP/1.1\r\n"),
        "{}",
        heads[0]
    );
    assert!(
        heads[1].starts_with("GET http://two.test:81/ HTTP/1.1\r\n"),
        "{}",
        heads[1]
    );
    for (head, host) in heads.iter().zip(["one.test", "two.test:81"]) {
        let head = head.to_ascii_lowercase();
        assert!(head.contains(&format!("\r\nhost: {host}\r\n")), "{head}");
        assert!(
            head.contains("\r\nproxy-authorization: basic bwu6c2vjcmv0\r\n"),
            "{head}"
        );
    }
    assert_eq!(proxy.connections(), 1, "both hosts share the connection");
}

/// A redirect from behind the proxy to a host that needs none takes the proxy's credentials nowhere.
#[tokio::test]
async fn credentials_end_with_the_proxy() {
    let host = Server::always(sized(3).0).await;
    let location = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        host.url("/x")
    );
    let proxy = Server::always(location).await;
    let client = through(&proxy, "127.0.0.1");
    let response = get(&client, Url::parse("http://files.test/").unwrap())
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert!(host.heads()[0].starts_with("GET /x HTTP/1.1\r\n"));
    assert!(!host.heads()[0].to_ascii_lowercase().contains("proxy-"));
}

#[tokio::test]
async fn statuses_that_may_be_the_hosts_stay_responses() {
    for status in [401, 403, 502, 503, 504] {
        let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n");
        let proxy = Server::always(answer).await;
        let url = Url::parse("http://files.test/").unwrap();
        let response = get(&through(&proxy, ""), url).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
}

#[tokio::test]
async fn answers_to_connect() {
    for (answer, kind) in [
        ("HTTP/1.1 503 Busy\r\n\r\n", ErrorKind::ProxyFailed),
        ("HTTP/1.1 403 Never\r\n\r\n", ErrorKind::ProxyDenied),
        ("HTTP/1.1 407 Who\r\n\r\n", ErrorKind::ProxyAuthentication),
        ("220 mail.test ESMTP\r\n", ErrorKind::ProxyProtocol),
    ] {
        let proxy = Server::always(answer).await;
        let url = Url::parse("https://files.test/").unwrap();
        let error = get(&through(&proxy, ""), url).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().contains(&proxy.address.to_string()),
            "{error}"
        );
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        assert_eq!(proxy.connections(), 1, "nothing is tried again");
    }
}

#[tokio::test]
async fn a_proxy_that_hangs_costs_the_connect_timeout() {
    let proxy = Server::start(|_| vec![Step::Hang]).await;
    let client = through(&proxy, "");
    let client = client.with_timeouts(Duration::from_millis(200), Duration::from_secs(30));
    let began = Instant::now();
    let error = get(&client, Url::parse("https://files.test/").unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimeoutConnect, "{error}");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(
        error.to_string().contains(&proxy.address.to_string()),
        "{error}"
    );
}
