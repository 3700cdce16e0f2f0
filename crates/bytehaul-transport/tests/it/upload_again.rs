//! Which requests with bodies are sent again over HTTP/1.1: after a lost connection, and where a redirect leads.

use std::time::Duration;

use bytehaul_transport::http::Method;
use bytehaul_transport::{ErrorKind, Request, RequestBody};

use crate::server::{client, pattern};
use crate::upload::{CONTINUE, send};
use crate::upload_peer::{Do, OK, Pieces, Taker};

/// The first request of a connection is answered, the second one ends as told, all others are taken.
async fn check_stale(
    method: Method,
    body: Option<RequestBody>,
    end: Vec<Do>,
    sent: Result<usize, ErrorKind>,
) {
    let taker = Taker::start(move |number, _| match number {
        1 => end.clone(),
        _ => vec![Do::TakeAll, Do::Send(OK)],
    })
    .await;
    let client = client();
    send(&client, Request::get(taker.url("/"))).await.unwrap();
    let mut request = Request::new(method.clone(), taker.url("/"));
    if let Some(body) = body {
        request = request.body(body);
    }
    let outcome = send(&client, request).await;
    match sent {
        Ok(requests) => {
            assert_eq!(outcome.unwrap(), "200 ok", "{method}");
            assert_eq!(taker.messages().len(), requests, "{method}");
        }
        Err(kind) => assert_eq!(outcome.unwrap_err().kind(), kind, "{method}"),
    }
}

#[tokio::test]
async fn what_is_sent_again_when_a_kept_connection_dies() {
    let bytes = || Some(RequestBody::bytes(pattern(3 << 20)));
    let once = || {
        Some(RequestBody::once(
            Some(70_000),
            Pieces::of(&pattern(70_000), 1000),
        ))
    };
    for end in [Do::Close, Do::Reset] {
        for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
            check_stale(method.clone(), None, vec![end.clone()], Ok(3)).await;
            check_stale(method, bytes(), vec![end.clone()], Ok(3)).await;
        }
        for method in [Method::POST, Method::PATCH] {
            check_stale(
                method.clone(),
                None,
                vec![end.clone()],
                Err(ErrorKind::Reset),
            )
            .await;
            check_stale(method, bytes(), vec![end.clone()], Err(ErrorKind::Reset)).await;
        }
        check_stale(
            Method::PUT,
            once(),
            vec![end.clone()],
            Err(ErrorKind::Reset),
        )
        .await;
    }
}

/// A connection that is seen to be closed before anything is written to it does no harm to any request.
#[tokio::test]
async fn a_connection_that_was_closed_before_is_never_a_fault() {
    for method in [Method::POST, Method::PUT] {
        let taker = Taker::always(&[Do::TakeAll, Do::Send(OK), Do::Close]).await;
        let client = client();
        for _ in 0..5 {
            let body = RequestBody::once(Some(3), Pieces::of(b"abc", 1));
            let request = Request::new(method.clone(), taker.url("/")).body(body);
            assert_eq!(send(&client, request).await.unwrap(), "200 ok");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(taker.connections(), 5);
    }
}

#[tokio::test]
async fn a_body_that_was_sent_is_not_sent_again() {
    let taker = Taker::always(&[Do::TakeAll, Do::Send(OK)]).await;
    let body = RequestBody::once(Some(3), Pieces::of(b"abc", 1));
    send(&client(), taker.put(body.clone())).await.unwrap();
    let error = send(&client(), taker.put(body.clone())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestBody);
    assert!(error.to_string().contains("sent before"), "{error}");
    assert_eq!(format!("{body:?}"), "RequestBody { length: Some(3), .. }");
}

/// A redirect of this status to `/next`, or to another host where the path says so.
async fn check_redirect(
    status: u16,
    method: Method,
    body: Option<RequestBody>,
    told: &str,
    bodies: &[usize],
) {
    let other = Taker::always(&[Do::TakeAll, Do::Send(OK)]).await;
    let away = other.url("/next");
    let taker = Taker::start(move |_, head| {
        let path = head.split(' ').nth(1).unwrap();
        let location = match path {
            "/next" => return vec![Do::TakeAll, Do::Send(OK)],
            "/away" => away.as_str(),
            _ => "/next",
        };
        let answer =
            format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        vec![Do::TakeAll, Do::Send(answer.leak())]
    })
    .await;
    let away = told.ends_with("away");
    let url = taker.url(if away { "/away" } else { "/" });
    let mut request = Request::new(method, url);
    if let Some(body) = body {
        request = request.body(body);
    }
    let mut response = client().send(request).await.unwrap();
    response.body_mut().text(100).await.unwrap();
    let expected = told.split(' ').next().unwrap();
    assert_eq!(response.status().as_str(), expected, "{status} {told}");
    let messages = [taker.messages(), other.messages()].concat();
    let seen: Vec<usize> = messages.iter().map(|message| message.body.len()).collect();
    assert_eq!(seen, bodies, "{status} {told}");
}

#[tokio::test]
async fn redirects_of_uploads() {
    let bytes = || Some(RequestBody::bytes("abc"));
    let once = || Some(RequestBody::once(Some(3), Pieces::of(b"abc", 1)));
    for status in [307, 308] {
        for method in [Method::PUT, Method::POST] {
            check_redirect(status, method.clone(), bytes(), "200", &[3, 3]).await;
            check_redirect(status, method.clone(), None, "200", &[0, 0]).await;
            let same = status.to_string();
            check_redirect(status, method.clone(), once(), &same, &[3]).await;
            let away = format!("{status} away");
            check_redirect(status, method.clone(), bytes(), &away, &[3]).await;
            check_redirect(status, method, None, "200 away", &[0, 0]).await;
        }
    }
    for status in [301, 302, 303] {
        let same = status.to_string();
        for method in [Method::PUT, Method::POST, Method::DELETE] {
            check_redirect(status, method.clone(), bytes(), &same, &[3]).await;
            check_redirect(status, method, None, &same, &[0]).await;
        }
        check_redirect(status, Method::GET, None, "200 away", &[0, 0]).await;
    }
}

#[tokio::test]
async fn a_redirect_in_place_of_a_go_ahead_saves_the_body() {
    let taker = Taker::start(|number, _| match number {
        0 => vec![
            Do::Send("HTTP/1.1 307 Moved\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n"),
            Do::Hang,
        ],
        _ => vec![Do::Send(CONTINUE), Do::TakeAll, Do::Send(OK)],
    })
    .await;
    let content = pattern(100_000);
    // Not a byte of it was sent, so that it can be sent though only once.
    let body = RequestBody::once(Some(100_000), Pieces::of(&content, 3000));
    let request = taker.put(body).expect_continue();
    assert_eq!(send(&client(), request).await.unwrap(), "200 ok");
    let messages = taker.messages();
    assert!(messages[0].body.is_empty() && messages[1].body == content);
}
