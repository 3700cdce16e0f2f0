//! Connections are used again when they may be, replaced when they are stale, and closed when a body is dropped.

use std::time::Duration;

use bytehaul_transport::{Client, ErrorKind};

use crate::server::{Server, Step, client, get, hasty, read_all, sized};

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let (response, body) = sized(5000);
    let server = Server::always(response).await;
    let client = client();
    for _ in 0..20 {
        let mut response = get(&client, server.url("/")).await.unwrap();
        assert_eq!(read_all(response.body_mut(), 700).await.unwrap(), body);
    }
    assert_eq!(server.connections(), 1);
    let clone = client.with_timeouts(Duration::from_secs(1), Duration::from_secs(1));
    get(&clone, server.url("/"))
        .await
        .unwrap()
        .body_mut()
        .text(5000)
        .await
        .unwrap();
    assert_eq!(server.connections(), 1, "clones share the pool");
}

/// Asks twice and tells how many connections it took.
async fn connections_for_two(response: &'static [u8], length: usize) -> usize {
    let server = Server::always(response).await;
    let client = client();
    for _ in 0..2 {
        let mut response = get(&client, server.url("/")).await.unwrap();
        assert_eq!(response.body_mut().text(100).await.unwrap().len(), length);
    }
    server.connections()
}

#[tokio::test]
async fn what_makes_a_connection_useless() {
    let two = 2;
    assert_eq!(
        connections_for_two(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", 2).await,
        1
    );
    assert_eq!(
        connections_for_two(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabGARBAGE", 2).await,
        two
    );
    assert_eq!(
        connections_for_two(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nGARBAGE", 0).await,
        two
    );
    assert_eq!(
        connections_for_two(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            0
        )
        .await,
        two
    );
    assert_eq!(
        connections_for_two(b"HTTP/1.1 204 No Content\r\n\r\nGARBAGE", 0).await,
        two
    );
    assert_eq!(
        connections_for_two(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGARBAGE",
            0
        )
        .await,
        two
    );
    assert_eq!(
        connections_for_two(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab",
            2
        )
        .await,
        two
    );
    assert_eq!(
        connections_for_two(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", 2).await,
        two
    );
    assert_eq!(
        connections_for_two(
            b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nab",
            2
        )
        .await,
        two
    );
    let smuggled =
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(connections_for_two(smuggled, 0).await, two);
}

#[tokio::test]
async fn garbage_that_comes_later_is_noticed() {
    let late = vec![
        Step::Send(sized(3).0),
        Step::Pause(Duration::from_millis(20)),
        Step::Send(b"HTTP/1.1 500 No\r\n\r\n".to_vec()),
    ];
    let server = Server::start(move |_| late.clone()).await;
    let client = client();
    for _ in 0..2 {
        get(&client, server.url("/"))
            .await
            .unwrap()
            .body_mut()
            .text(3)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_pooled_connection_that_was_closed_is_replaced() {
    let server = Server::start(|_| vec![Step::Send(sized(3).0), Step::Close]).await;
    let client = client();
    for _ in 0..3 {
        get(&client, server.url("/"))
            .await
            .unwrap()
            .body_mut()
            .text(3)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.connections(), 3);
}

/// The server takes the second request of a connection and then closes or resets it without a word.
async fn check_stale(end: Step) {
    let server = Server::start(move |seen| match seen.request {
        0 => vec![Step::Send(sized(3).0)],
        _ => vec![end.clone()],
    })
    .await;
    let client = client();
    for _ in 0..4 {
        get(&client, server.url("/"))
            .await
            .unwrap()
            .body_mut()
            .text(3)
            .await
            .unwrap();
    }
    assert_eq!(
        (server.connections(), server.heads().len()),
        (4, 7),
        "each later request was sent twice, and no error seen"
    );
}

#[tokio::test]
async fn a_pooled_connection_that_dies_before_a_byte_is_replaced_once() {
    check_stale(Step::Close).await;
    check_stale(Step::Reset).await;
}

#[tokio::test]
async fn a_new_connection_that_dies_is_an_error() {
    for end in [Step::Close, Step::Reset] {
        let server = Server::start(move |_| vec![end.clone()]).await;
        let error = get(&client(), server.url("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Reset, "{error:?}");
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn a_reused_connection_that_dies_within_the_head_is_an_error() {
    let server = Server::start(|seen| match seen.request {
        0 => vec![Step::Send(sized(3).0)],
        _ => vec![Step::Send(b"HTTP/1.1 200".to_vec()), Step::Close],
    })
    .await;
    let client = client();
    get(&client, server.url("/"))
        .await
        .unwrap()
        .body_mut()
        .text(3)
        .await
        .unwrap();
    let error = get(&client, server.url("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Reset, "{error:?}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_silent_pooled_connection_is_a_timeout_not_a_retry() {
    let server = Server::start(|seen| match seen.request {
        0 => vec![Step::Send(sized(3).0)],
        _ => vec![Step::Hang],
    })
    .await;
    let client = hasty();
    get(&client, server.url("/"))
        .await
        .unwrap()
        .body_mut()
        .text(3)
        .await
        .unwrap();
    let error = get(&client, server.url("/")).await.unwrap_err();
    assert_eq!(
        (error.kind(), server.connections()),
        (ErrorKind::TimeoutHead, 1)
    );
}

#[tokio::test]
async fn dropping_a_body_closes_its_connection() {
    let server = Server::always(sized(1 << 20).0).await;
    let client = client();
    for _ in 0..2 {
        let mut response = get(&client, server.url("/")).await.unwrap();
        let mut some = [0u8; 100];
        response
            .body_mut()
            .read(&mut some.as_mut_slice())
            .await
            .unwrap();
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn the_pool_has_limits() {
    let server = Server::always(sized(3).0).await;
    for (client, connections) in [
        (Client::builder().pool_max_idle(0).build().unwrap(), 2),
        (
            Client::builder()
                .pool_idle_timeout(Duration::ZERO)
                .build()
                .unwrap(),
            2,
        ),
        (client(), 1),
    ] {
        let before = server.connections();
        for _ in 0..2 {
            get(&client, server.url("/"))
                .await
                .unwrap()
                .body_mut()
                .text(3)
                .await
                .unwrap();
        }
        assert_eq!(server.connections() - before, connections);
    }
}

#[tokio::test]
async fn many_at_once_have_a_connection_each() {
    let server = Server::start(|_| {
        vec![
            Step::Pause(Duration::from_millis(50)),
            Step::Send(sized(3).0),
        ]
    })
    .await;
    let client = client();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (client, url) = (client.clone(), server.url("/"));
        tasks.spawn(async move {
            get(&client, url)
                .await
                .unwrap()
                .body_mut()
                .text(3)
                .await
                .unwrap()
        });
    }
    assert_eq!(tasks.join_all().await.len(), 8);
    assert_eq!(server.connections(), 8);
}
