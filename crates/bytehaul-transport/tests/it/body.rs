//! Bodies arrive whole and exact, however the network cuts them, and their ends are what the framing says.

use std::time::Duration;

use bytehaul_transport::{ErrorKind, Framing, Request};
use bytes::BufMut;
use proptest::prelude::*;

use crate::server::{Server, Step, client, get, pattern, read_all, sized};

/// Sends one response in the pieces given, twice on one connection.
async fn check_pieces(pieces: Vec<Vec<u8>>, expected: &[u8], step: usize) {
    let server = Server::start(move |_| {
        let pieces = pieces.clone().into_iter();
        pieces
            .flat_map(|piece| [Step::Send(piece), Step::Pause(Duration::from_micros(300))])
            .collect()
    })
    .await;
    let client = client();
    for _ in 0..2 {
        let mut response = get(&client, server.url("/")).await.unwrap();
        assert_eq!(read_all(response.body_mut(), step).await.unwrap(), expected);
        assert!(response.body().is_complete());
    }
    assert_eq!(server.connections(), 1, "the connection is used again");
}

fn cut(bytes: &[u8], at: &[usize]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = at
        .iter()
        .map(|place| place % (bytes.len() + 1))
        .chain([0, bytes.len()])
        .collect();
    places.sort_unstable();
    places
        .windows(2)
        .filter(|pair| pair[0] < pair[1])
        .map(|pair| bytes[pair[0]..pair[1]].to_vec())
        .collect()
}

fn chunked(body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let mut rest = body;
    for size in sizes.iter().cycle() {
        let (chunk, after) = rest.split_at((*size).max(1).min(rest.len()));
        response.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        response.extend_from_slice(chunk);
        response.extend_from_slice(b"\r\n");
        rest = after;
        if chunk.is_empty() {
            return response;
        }
    }
    unreachable!("sizes is not empty");
}

#[tokio::test]
async fn every_single_split_of_a_small_response() {
    let (response, body) = sized(40);
    for at in 0..=response.len() {
        check_pieces(cut(&response, &[at]), &body, 1 + at % 50).await;
    }
}

#[tokio::test]
async fn lengths_around_the_buffers() {
    for length in [0, 1, 8191, 8192, 8193, 65_536, 1 << 20] {
        let (response, body) = sized(length);
        let head = response.len() - length;
        check_pieces(vec![response.clone()], &body, 1 << 20).await;
        check_pieces(cut(&response, &[head]), &body, 1 << 16).await;
        check_pieces(cut(&response, &[head + 1, 8192, 16_384]), &body, 4097).await;
    }
}

fn blocking(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_cuts_of_a_sized_body(length in 0usize..40_000, cuts: Vec<u16>, step in 1usize..50_000) {
        let (response, body) = sized(length);
        let cuts: Vec<usize> = cuts.into_iter().take(12).map(usize::from).collect();
        blocking(check_pieces(cut(&response, &cuts), &body, step.max(length / 50)));
    }

    #[test]
    fn any_cuts_of_a_chunked_body(
        length in 0usize..20_000, cuts: Vec<u16>, sizes in prop::collection::vec(100usize..9000, 1..6), step in 400usize..50_000,
    ) {
        let body = pattern(length);
        let cuts: Vec<usize> = cuts.into_iter().take(12).map(usize::from).collect();
        blocking(check_pieces(cut(&chunked(&body, &sizes), &cuts), &body, step));
    }
}

#[tokio::test]
async fn framings() {
    let head = "HTTP/1.1 200 OK\r\n";
    for (fields, framing, body) in [
        ("Content-Length: 3\r\n\r\nabc", Framing::Length(3), "abc"),
        (
            "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            Framing::Length(3),
            "abc",
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: x\r\n\r\n",
            Framing::Chunked,
            "abc",
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Framing::Chunked,
            "abc",
        ),
        ("\r\nabc", Framing::UntilClose, "abc"),
        (
            "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            Framing::Length(3),
            "abc",
        ),
    ] {
        let response = format!("{head}{fields}");
        let server =
            Server::start(move |_| vec![Step::Send(response.clone().into()), Step::Close]).await;
        let mut response = get(&client(), server.url("/")).await.unwrap();
        assert_eq!(response.body().framing(), framing);
        assert_eq!(response.body_mut().text(100).await.unwrap(), body);
        assert_eq!(
            response.headers().contains_key("content-encoding"),
            fields.starts_with("Content-Encoding")
        );
    }
}

#[tokio::test]
async fn responses_without_a_body() {
    let client = client();
    for status in ["204 No Content", "304 Not Modified"] {
        let server = Server::always(format!("HTTP/1.1 {status}\r\n\r\n")).await;
        for _ in 0..2 {
            let mut response = get(&client, server.url("/")).await.unwrap();
            assert!(response.body().is_complete());
            assert_eq!(response.body_mut().text(9).await.unwrap(), "");
        }
        assert_eq!(server.connections(), 1);
    }
    let server = Server::always("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
    for _ in 0..2 {
        let response = client.send(Request::head(server.url("/"))).await.unwrap();
        assert_eq!(response.body().framing(), Framing::Length(0));
        assert_eq!(response.headers()["content-length"], "1000");
    }
    assert_eq!(server.connections(), 1);
    assert!(server.heads()[0].starts_with("HEAD / HTTP/1.1\r\n"));
}

#[tokio::test]
async fn an_early_end_is_an_error_and_stays_one() {
    for (response, read_first) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 3),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            3,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
            3,
        ),
    ] {
        let server = Server::start(move |_| vec![Step::Send(response.into()), Step::Close]).await;
        let mut response = get(&client(), server.url("/")).await.unwrap();
        let mut buffer = Vec::new();
        let error = loop {
            match response
                .body_mut()
                .read(&mut (&mut buffer).limit(100))
                .await
            {
                Ok(read) => assert!(read > 0, "no end may be seen"),
                Err(error) => break error,
            }
        };
        assert_eq!(
            (error.kind(), buffer.len()),
            (ErrorKind::Truncated, read_first),
            "{response:?}"
        );
        let again = response
            .body_mut()
            .read(&mut (&mut buffer).limit(100))
            .await
            .unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Truncated);
        assert!(!response.body().is_complete());
    }
}

#[tokio::test]
async fn malformed_chunks_are_an_error() {
    let server =
        Server::always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc").await;
    let mut response = get(&client(), server.url("/")).await.unwrap();
    let error = response.body_mut().text(100).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
}

#[tokio::test]
async fn whole_bodies_have_a_limit() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
    ] {
        let server = Server::always(response).await;
        let mut fits = get(&client(), server.url("/")).await.unwrap();
        assert_eq!(fits.body_mut().text(10).await.unwrap(), "0123456789");
        let mut large = get(&client(), server.url("/")).await.unwrap();
        assert_eq!(
            large.body_mut().text(9).await.unwrap_err().kind(),
            ErrorKind::BodyTooLarge
        );
    }
}

#[tokio::test]
async fn a_buffer_without_room_is_no_end() {
    let server = Server::always(sized(10).0).await;
    let mut response = get(&client(), server.url("/")).await.unwrap();
    let error = response
        .body_mut()
        .read(&mut Vec::new().limit(0))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(read_all(response.body_mut(), 4).await.unwrap(), pattern(10));
}

#[tokio::test]
async fn a_dropped_read_loses_nothing() {
    let (response, body) = sized(3000);
    let server = Server::start(move |_| {
        cut(&response, &[100, 900, 2000])
            .into_iter()
            .flat_map(|p| [Step::Send(p), Step::Pause(Duration::from_millis(5))])
            .collect()
    })
    .await;
    let mut response = get(&client(), server.url("/")).await.unwrap();
    let mut read = Vec::new();
    while !response.body().is_complete() {
        let mut room = (&mut read).limit(512);
        let _ = tokio::time::timeout(
            Duration::from_millis(1),
            response.body_mut().read(&mut room),
        )
        .await;
    }
    assert_eq!(read, body);
}

#[tokio::test]
async fn a_transfer_coding_that_nobody_asked_for_is_no_body() {
    for coding in [
        "gzip",
        "gzip, chunked",
        "gzip\r\nTransfer-Encoding: chunked",
    ] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        );
        let server =
            Server::start(move |_| vec![Step::Send(answer.clone().into()), Step::Close]).await;
        let error = get(&client(), server.url("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{coding}");
        assert!(
            error
                .to_string()
                .starts_with("body is in a transfer coding"),
            "{error}"
        );
        assert!(
            client().send(Request::head(server.url("/"))).await.is_ok(),
            "it has no body"
        );
    }
    for (coding, body) in [("Chunked", "3\r\nabc\r\n0\r\n\r\n"), ("identity", "abc")] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n{body}");
        let server =
            Server::start(move |_| vec![Step::Send(answer.clone().into()), Step::Close]).await;
        let mut response = get(&client(), server.url("/")).await.unwrap();
        assert_eq!(
            response.body_mut().text(9).await.unwrap(),
            "abc",
            "{coding}"
        );
    }
}
