//! Every way in which a peer or a network can fail has a kind, and none of them panics or hangs.

use std::error::Error as _;
use std::time::{Duration, Instant};

use bytehaul_transport::http::{HeaderMap, HeaderValue};
use bytehaul_transport::{Class, Client, ErrorKind, Request, RequestRange, Url};
use proptest::prelude::*;

use crate::server::{Server, Step, client, get, hasty, read_all, sized};

#[tokio::test]
async fn a_refused_connection() {
    let error = get(
        &client(),
        Url::parse("http://127.0.0.1:1/x?token=hunter2").unwrap(),
    )
    .await
    .unwrap_err();
    assert_eq!(
        (error.kind(), error.kind().class()),
        (ErrorKind::Refused, Class::Refused)
    );
    assert_eq!(
        error.to_string(),
        "connect to 127.0.0.1:1 (http://127.0.0.1:1/x?token=***)"
    );
    assert!(error.source().unwrap().to_string().contains("refused"));
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_that_never_answers() {
    // A listener whose queue is full drops further attempts to connect.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut crowd = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(
        Duration::from_millis(100),
        tokio::net::TcpStream::connect(address),
    )
    .await
    {
        crowd.push(stream);
    }
    let started = Instant::now();
    let error = get(&hasty(), Url::parse(&format!("http://{address}/")).unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.kind().class()),
        (ErrorKind::TimeoutConnect, Class::Transient)
    );
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_head_that_does_not_come() {
    for steps in [
        vec![Step::Hang],
        vec![Step::Send(b"HTTP/1.1 200 OK\r\nA:".to_vec()), Step::Hang],
        vec![
            Step::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
            Step::Hang,
        ],
    ] {
        let server = Server::start(move |_| steps.clone()).await;
        let error = get(&hasty(), server.url("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimeoutHead);
    }
}

#[tokio::test]
async fn a_flood_of_interim_responses_is_a_timeout() {
    let server = Server::start(|_| {
        let interim = b"HTTP/1.1 102 Processing\r\n\r\n".to_vec();
        std::iter::repeat_n(
            [Step::Send(interim), Step::Pause(Duration::from_millis(10))],
            400,
        )
        .flatten()
        .collect()
    })
    .await;
    let error = get(&hasty(), server.url("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimeoutHead);
}

#[tokio::test]
async fn a_body_that_stalls() {
    for head in [
        "Content-Length: 10\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "\r\nabc",
    ] {
        let response = format!("HTTP/1.1 200 OK\r\n{head}");
        let server =
            Server::start(move |_| vec![Step::Send(response.clone().into()), Step::Hang]).await;
        let mut response = get(&hasty(), server.url("/")).await.unwrap();
        let started = Instant::now();
        let error = read_all(response.body_mut(), 100).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.kind().class()),
            (ErrorKind::TimeoutBody, Class::Transient)
        );
        assert!((Duration::from_millis(250)..Duration::from_secs(2)).contains(&started.elapsed()));
    }
}

#[tokio::test]
async fn a_slow_body_is_no_stall() {
    let (response, body) = sized(8);
    let steps: Vec<Step> = response
        .chunks(1)
        .flat_map(|byte| {
            [
                Step::Send(byte.into()),
                Step::Pause(Duration::from_millis(10)),
            ]
        })
        .collect();
    let server = Server::start(move |_| steps.clone()).await;
    let client = client().with_timeouts(Duration::from_secs(1), Duration::from_millis(700));
    let mut response = get(&client, server.url("/")).await.unwrap();
    assert_eq!(read_all(response.body_mut(), 100).await.unwrap(), body);
}

#[tokio::test]
async fn time_in_which_nobody_reads_does_not_count() {
    let (response, body) = sized(50);
    let server = Server::start(move |_| {
        vec![
            Step::Send(response[..60].into()),
            Step::Pause(Duration::from_millis(500)),
            Step::Send(response[60..].into()),
        ]
    })
    .await;
    let mut response = get(&hasty(), server.url("/")).await.unwrap();
    let mut first = [0u8; 5];
    response
        .body_mut()
        .read(&mut first.as_mut_slice())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(read_all(response.body_mut(), 100).await.unwrap(), body[5..]);
}

#[tokio::test]
async fn reading_in_short_turns_still_times_out() {
    let server = Server::start(|_| {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_vec()),
            Step::Hang,
        ]
    })
    .await;
    let mut response = get(&hasty(), server.url("/")).await.unwrap();
    let started = Instant::now();
    let mut buffer = [0u8; 9];
    let error = loop {
        let mut room = buffer.as_mut_slice();
        match tokio::time::timeout(
            Duration::from_millis(50),
            response.body_mut().read(&mut room),
        )
        .await
        {
            Ok(read) => break read.unwrap_err(),
            Err(_turn) => assert!(started.elapsed() < Duration::from_secs(3)),
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimeoutBody);
}

#[tokio::test]
async fn a_reset_within_the_body() {
    let server = Server::start(|_| {
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec();
        vec![
            Step::Send(response),
            Step::Pause(Duration::from_millis(50)),
            Step::Reset,
        ]
    })
    .await;
    let mut response = get(&client(), server.url("/")).await.unwrap();
    let error = read_all(response.body_mut(), 100).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.kind().class()),
        (ErrorKind::Reset, Class::Transient),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_no_http_is_told() {
    for (response, kind) in [
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), ErrorKind::Protocol),
        (
            b"\x16\x03\x01\x00\xff\r\n\r\n".to_vec(),
            ErrorKind::Protocol,
        ),
        (b"HTTP/1.1 2000 OK\r\n\r\n".to_vec(), ErrorKind::Protocol),
        (b"HTTP/1.1 099 x\r\n\r\n".to_vec(), ErrorKind::Protocol),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_vec(),
            ErrorKind::Protocol,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_vec(),
            ErrorKind::Protocol,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n".to_vec(),
            ErrorKind::Protocol,
        ),
        (
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n".to_vec(),
            ErrorKind::Protocol,
        ),
        (
            b"HTTP/1.1 200 OK\r\nA\0: x\r\n\r\n".to_vec(),
            ErrorKind::Protocol,
        ),
        (
            b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n".to_vec(),
            ErrorKind::Protocol,
        ),
        (b"HTTP/1.1 200 OK\r\n".to_vec(), ErrorKind::Reset),
        (
            [
                &b"HTTP/1.1 200 OK\r\n"[..],
                &b"A: b\r\n".repeat(101),
                b"\r\n",
            ]
            .concat(),
            ErrorKind::HeadersTooLarge,
        ),
        (
            [
                &b"HTTP/1.1 200 OK\r\nA: "[..],
                &vec![b'x'; 200_000],
                b"\r\n\r\n",
            ]
            .concat(),
            ErrorKind::HeadersTooLarge,
        ),
    ] {
        let shown = String::from_utf8_lossy(&response[..response.len().min(60)]).into_owned();
        let server = Server::start(move |_| vec![Step::Send(response.clone()), Step::Close]).await;
        let error = get(&hasty(), server.url("/")).await.expect_err(&shown);
        assert_eq!(error.kind(), kind, "{shown:?}: {error:?}");
    }
}

#[tokio::test]
async fn what_is_odd_but_http_is_taken() {
    let client = client();
    for response in [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 OK\r\nX: \xff\xfe\x80\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 799 Odd\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        [&b"HTTP/1.1 200 OK\r\n"[..], &b"A: b\r\n".repeat(99), b"Content-Length: 2\r\n\r\nok"].concat(),
        [&b"HTTP/1.1 200 OK\r\nA: "[..], &vec![b'x'; 100_000], b"\r\nContent-Length: 2\r\n\r\nok"].concat(),
    ] {
        let server = Server::always(response).await;
        let mut response = get(&client, server.url("/")).await.unwrap();
        assert_eq!(response.body_mut().text(10).await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn what_the_caller_gets_wrong() {
    let url = || Url::parse("http://127.0.0.1:1/").unwrap();
    let mut framing = HeaderMap::new();
    framing.insert("transfer-encoding", HeaderValue::from_static("chunked"));
    let long = Url::parse(&format!("http://127.0.0.1:1/{}", "x".repeat(70_000))).unwrap();
    for (request, kind) in [
        (
            Request::get(Url::parse("ftp://127.0.0.1/").unwrap()),
            ErrorKind::UnsupportedScheme,
        ),
        (Request::get(long), ErrorKind::InvalidUrl),
        (
            Request::get(url()).headers(framing),
            ErrorKind::InvalidHeader,
        ),
        (
            Request::get(url()).range(RequestRange::Span(3..3)),
            ErrorKind::Configuration,
        ),
    ] {
        let error = client().send(request).await.unwrap_err();
        assert_eq!((error.kind(), error.kind().class()), (kind, Class::Fatal));
    }
    let error = Client::builder().user_agent("a\nb").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_response_panics_or_hangs(tail: Vec<u8>, head in "(HTTP/1.1 [0-9]{3} x\r\n(Content-Length: [0-9]{1,3}\r\n|Transfer-Encoding: chunked\r\n|Location: .{0,20}\r\n)?(\r\n)?)?") {
        let response = [head.into_bytes(), tail].concat();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let server = Server::start(move |_| vec![Step::Send(response.clone()), Step::Close]).await;
            if let Ok(mut response) = get(&hasty(), server.url("/")).await {
                let _ = read_all(response.body_mut(), 50).await;
            }
        });
    }
}

#[tokio::test]
async fn patience_may_be_endless() {
    let endless = Duration::MAX;
    let patient = || {
        Client::builder()
            .connect_timeout(endless)
            .read_timeout(endless)
    };
    let server = Server::start(|_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab".to_vec();
        let pause = Step::Pause(Duration::from_millis(50));
        vec![
            pause.clone(),
            Step::Send(head),
            pause,
            Step::Send(b"cd".to_vec()),
        ]
    })
    .await;
    let client = patient().pool_idle_timeout(endless).build().unwrap();
    for _ in 0..2 {
        let mut response = get(&client, server.url("/")).await.unwrap();
        assert_eq!(response.body_mut().text(9).await.unwrap(), "abcd");
    }
    assert_eq!(server.connections(), 1);
}
