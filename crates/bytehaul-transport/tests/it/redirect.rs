//! What is sent where when redirects are followed, told by the bytes that the servers saw.

use std::collections::HashMap;

use bytehaul_transport::http::{HeaderMap, HeaderValue};
use bytehaul_transport::{Client, ErrorKind, Request, RequestRange, Url};

use crate::server::{Seen, Server, Step, client, get, hasty, sized};

fn to(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nmove")
        .into_bytes()
}

/// A server that redirects from one path to another, and answers the rest.
async fn redirecting(table: &[(&str, &str)]) -> Server {
    let table: HashMap<String, String> = table
        .iter()
        .map(|(from, to)| (from.to_string(), to.to_string()))
        .collect();
    Server::start(move |seen: &Seen| {
        vec![Step::Send(match table.get(seen.path()) {
            Some(location) => to(location),
            None => sized(5).0,
        })]
    })
    .await
}

fn secrets() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_static("hunter2"));
    headers.insert("cookie", HeaderValue::from_static("session=hunter2"));
    headers
}

#[tokio::test]
async fn the_request_on_the_wire() {
    let server = Server::always(sized(3).0).await;
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", HeaderValue::from_static("mine/1"));
    headers.append("x-two", HeaderValue::from_static("a"));
    headers.append("x-two", HeaderValue::from_static("b"));
    let mut url = server.url("/a%20b/c?q=1&r=%2F#fragment");
    url.set_username("me").unwrap();
    url.set_password(Some("pw")).unwrap();
    let request = Request::get(url)
        .range(RequestRange::Span(10..20))
        .headers(headers);
    let response = client().send(request).await.unwrap();
    assert_eq!(
        response.url().as_str(),
        server.url("/a%20b/c?q=1&r=%2F").as_str()
    );
    let head = server.heads()[0].to_ascii_lowercase();
    let (line, fields) = head.split_once("\r\n").unwrap();
    assert_eq!(line, "get /a%20b/c?q=1&r=%2f http/1.1");
    let mut fields: Vec<&str> = fields.trim_end().split("\r\n").collect();
    fields.sort_unstable();
    let host = format!("host: {}", server.address);
    let expected = [
        "accept-encoding: identity",
        "accept: */*",
        "authorization: basic bwu6chc=",
        host.as_str(),
        "range: bytes=10-19",
        "user-agent: mine/1",
        "x-two: a",
        "x-two: b",
    ];
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn redirects_are_followed_on_one_connection() {
    let server = redirecting(&[("/a", "b"), ("/b", "/c?x#part")]).await;
    let request = Request::get(server.url("/a"))
        .headers(secrets())
        .range(RequestRange::From(3));
    let mut response = client().send(request).await.unwrap();
    assert_eq!(response.url().as_str(), server.url("/c?x").as_str());
    assert!(response.redirected());
    assert_eq!(
        (
            response.redirects(),
            response.body_mut().text(9).await.unwrap().len()
        ),
        (2, 5)
    );
    assert_eq!((server.heads().len(), server.connections()), (3, 1));
    for head in server.heads() {
        assert!(
            head.contains("hunter2")
                && head.contains("range: bytes=3-")
                && !head.contains("referer"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let other = redirecting(&[]).await;
    let back = redirecting(&[]).await;
    let away = redirecting(&[("/there", back.url("/back").as_str())]).await;
    let first = redirecting(&[
        ("/x", away.url("/there").as_str()),
        ("/y", other.url("/z").as_str()),
    ])
    .await;
    let mut url = first.url("/x");
    url.set_username("me").unwrap();
    url.set_password(Some("pw")).unwrap();
    client()
        .send(Request::get(url).headers(secrets()))
        .await
        .unwrap();
    assert!(
        first.heads()[0].contains("hunter2") && first.heads()[0].contains("authorization: Basic")
    );
    for head in [away.heads(), back.heads()].concat() {
        let head = head.to_ascii_lowercase();
        assert!(
            !head.contains("hunter2")
                && !head.contains("authorization")
                && !head.contains("cookie"),
            "{head}"
        );
        assert!(head.contains("accept-encoding: identity"));
    }
    assert_eq!((away.heads().len(), back.heads().len()), (1, 1));
}

#[tokio::test]
async fn credentials_do_not_come_back() {
    let away_address = std::sync::Arc::new(std::sync::Mutex::new(None::<Url>));
    let known = std::sync::Arc::clone(&away_address);
    let first = Server::start(move |seen| {
        vec![Step::Send(match seen.path() {
            "/start" => to(known.lock().unwrap().as_ref().unwrap().as_str()),
            _ => sized(5).0,
        })]
    })
    .await;
    let away = redirecting(&[("/there", first.url("/end").as_str())]).await;
    *away_address.lock().unwrap() = Some(away.url("/there"));
    client()
        .send(Request::get(first.url("/start")).headers(secrets()))
        .await
        .unwrap();
    let heads = first.heads();
    assert!(heads[0].contains("hunter2"));
    assert!(
        heads[1].starts_with("GET /end") && !heads[1].contains("hunter2"),
        "{}",
        heads[1]
    );
}

#[tokio::test]
async fn loops_and_limits() {
    let server = redirecting(&[
        ("/a", "/b"),
        ("/b", "/a"),
        ("/self", "/self"),
        ("/1", "/2"),
        ("/2", "/3"),
        ("/3", "/4"),
    ])
    .await;
    let kind = async |client: &Client, path: &str| {
        get(client, server.url(path))
            .await
            .map(|_| ())
            .map_err(|error| error.kind())
    };
    assert_eq!(kind(&client(), "/a").await, Err(ErrorKind::RedirectLoop));
    assert_eq!(kind(&client(), "/self").await, Err(ErrorKind::RedirectLoop));
    let two = Client::builder().max_redirects(2).build().unwrap();
    assert_eq!(kind(&two, "/1").await, Err(ErrorKind::TooManyRedirects));
    assert_eq!(kind(&two, "/2").await, Ok(()));
    let none = Client::builder().max_redirects(0).build().unwrap();
    assert_eq!(kind(&none, "/3").await, Err(ErrorKind::TooManyRedirects));
    assert_eq!(kind(&none, "/4").await, Ok(()));
}

#[tokio::test]
async fn locations_that_lead_nowhere() {
    for (location, kind) in [
        ("ftp://127.0.0.1/".into(), ErrorKind::InvalidRedirect),
        ("http://".into(), ErrorKind::InvalidRedirect),
        ("http://[::1".into(), ErrorKind::InvalidRedirect),
        ("javascript:alert(1)".into(), ErrorKind::InvalidRedirect),
        (
            format!("/{}", "x".repeat(65_534)),
            ErrorKind::InvalidRedirect,
        ),
        (
            format!("http://{}/", "x.".repeat(32_000)),
            ErrorKind::InvalidRedirect,
        ),
        ("http://127.0.0.1:1/".into(), ErrorKind::Refused),
    ] {
        let server = redirecting(&[("/", location.as_str())]).await;
        let error = get(&hasty(), server.url("/")).await.unwrap_err();
        let shown = &location[..location.len().min(40)];
        assert_eq!(error.kind(), kind, "{shown}: {error}");
    }
}

#[tokio::test]
async fn a_redirect_without_a_location_is_a_response() {
    let server = Server::always("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").await;
    let response = get(&client(), server.url("/")).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.redirected()),
        (302, false)
    );
}

#[tokio::test]
async fn the_body_of_a_redirect_is_not_waited_for() {
    let server = Server::start(|seen| match seen.path() {
        "/" => vec![
            Step::Send(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 9\r\n\r\n".to_vec()),
            Step::Hang,
        ],
        _ => vec![Step::Send(sized(5).0)],
    })
    .await;
    let mut response = get(&client(), server.url("/")).await.unwrap();
    assert_eq!(response.body_mut().text(9).await.unwrap().len(), 5);
    assert_eq!(server.connections(), 2);
}
