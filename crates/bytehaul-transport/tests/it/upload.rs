//! Request bodies over HTTP/1.1: framing, holding back, answers that come early, and servers that do not listen.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytehaul_transport::http::{HeaderMap, Method, header};
use bytehaul_transport::{Class, Error, ErrorKind, Request, RequestBody};
use bytes::Bytes;

use crate::server::{client, hasty, pattern, read_all};
use crate::upload_peer::{Do, OK, Piece, Pieces, Taker};

fn data(text: &'static str) -> Piece {
    Piece::Data(Bytes::from_static(text.as_bytes()))
}

fn reopened(bytes: &[u8], length: Option<u64>) -> RequestBody {
    let bytes = bytes.to_vec();
    RequestBody::reopened(length, move || Pieces::of(&bytes, 70_000))
}

/// The status and the body of the answer.
pub(crate) async fn send(
    client: &bytehaul_transport::Client,
    request: Request,
) -> Result<String, Error> {
    let mut response = client.send(request).await?;
    let body = response.body_mut().text(1 << 20).await?;
    Ok(format!("{} {body}", response.status().as_u16()))
}

#[tokio::test]
async fn every_kind_of_body_arrives_as_it_is() {
    let taker = Taker::always(&[Do::TakeAll, Do::Send(OK)]).await;
    let client = client();
    for length in [0, 1, 69_999, 70_000, 70_001, 262_144, 262_145, 3 << 20] {
        let content = pattern(length);
        let known = Some(length as u64);
        for body in [
            RequestBody::bytes(content.clone()),
            reopened(&content, known),
            reopened(&content, None),
            RequestBody::once(known, Pieces::of(&content, 1_000_000)),
            RequestBody::once(None, Pieces::of(&content, 1_000_000)),
        ] {
            let told = body.length();
            assert_eq!(send(&client, taker.put(body)).await.unwrap(), "200 ok");
            let last = taker.messages().pop().unwrap();
            assert!(last.body == content && last.whole, "{length} {told:?}");
            let expected = told.map(|length| length.to_string());
            assert_eq!(last.field("content-length"), expected.as_deref());
            assert_eq!(
                last.field("transfer-encoding"),
                told.is_none().then_some("chunked")
            );
            assert_eq!(last.field("expect"), None);
        }
    }
    assert_eq!(taker.connections(), 1, "they are used again");
}

#[tokio::test]
async fn what_is_said_without_a_body() {
    let taker = Taker::always(&[Do::TakeAll, Do::Send("HTTP/1.1 204 No\r\n\r\n")]).await;
    for (method, said) in [
        (Method::GET, None),
        (Method::HEAD, None),
        (Method::DELETE, None),
        (Method::OPTIONS, None),
        (Method::POST, Some("0")),
        (Method::PUT, Some("0")),
        (Method::PATCH, Some("0")),
    ] {
        let request = Request::new(method.clone(), taker.url("/")).expect_continue();
        assert_eq!(send(&client(), request).await.unwrap(), "204 ");
        let message = taker.messages().pop().unwrap();
        assert!(message.head.starts_with(method.as_str()));
        assert_eq!(message.field("content-length"), said, "{method}");
        assert_eq!(message.field("transfer-encoding"), None, "{method}");
        assert_eq!(message.field("expect"), None, "{method}");
    }
    let request = Request::new(Method::CONNECT, taker.url("/"));
    let error = send(&client(), request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn fields_of_the_content_are_the_callers() {
    let taker = Taker::always(&[Do::TakeAll, Do::Send(OK)]).await;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "text/x"),
        ("content-encoding", "x-own"),
        ("content-md5", "Q2hlY2sgSW50ZWdyaXR5IQ=="),
        ("content-digest", "sha-256=:YQ==:"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let request = taker.put(RequestBody::bytes("x")).headers(headers.clone());
    send(&client(), request).await.unwrap();
    let message = taker.messages().pop().unwrap();
    for (name, value) in &headers {
        assert_eq!(message.field(name.as_str()), value.to_str().ok());
    }
    assert_eq!(message.field("accept-encoding"), Some("identity"));
    for name in [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::EXPECT,
    ] {
        let own = HeaderMap::from_iter([(name, "1".parse().unwrap())]);
        let request = taker.put(RequestBody::bytes("x")).headers(own);
        let error = send(&client(), request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidHeader);
    }
}

/// The body is at fault: nothing that a server could take for a whole message is sent.
async fn check_fault(length: Option<u64>, pieces: &[Piece], said: &str) {
    let taker = Taker::always(&[Do::TakeAll, Do::Send(OK)]).await;
    let body = RequestBody::once(length, Pieces::new(pieces));
    let error = send(&client(), taker.put(body)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestBody, "{error:?}");
    assert_eq!(error.kind().class(), Class::Fatal);
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(
        format!("{error}: {cause}").contains(said),
        "{error}: {cause}"
    );
    assert!(error.url().is_some());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(taker.messages().iter().all(|message| !message.whole));
}

#[tokio::test]
async fn bodies_that_are_at_fault() {
    let fewer = "gives fewer than the 10 bytes it said";
    let more = "gives more than the 10 bytes it said";
    check_fault(Some(10), &[data("123456789")], fewer).await;
    check_fault(Some(10), &[], fewer).await;
    check_fault(Some(10), &[data("12345678901")], more).await;
    check_fault(Some(10), &[data("1234567890"), data("1")], more).await;
    let late = [data("1234567890"), Piece::Wait(50), data("1")];
    check_fault(Some(10), &late, more).await;
    check_fault(Some(0), &[data("1")], "gives more than the 0 bytes it said").await;
    let fire = "the disk is on fire";
    check_fault(Some(10), &[data("12345"), Piece::Fail], fire).await;
    check_fault(Some(10), &[data("1234567890"), Piece::Fail], fire).await;
    check_fault(None, &[data("12345"), Piece::Wait(20), Piece::Fail], fire).await;
    check_fault(None, &[Piece::Fail], fire).await;
}

#[tokio::test]
async fn a_body_that_ends_late_is_whole() {
    let taker = Taker::always(&[Do::TakeAll, Do::Send(OK)]).await;
    let empty = Piece::Data(Bytes::new());
    for length in [Some(6), None] {
        let pieces = [
            empty.clone(),
            data("abc"),
            empty.clone(),
            data("def"),
            Piece::Wait(30),
            empty.clone(),
        ];
        let body = RequestBody::once(length, Pieces::new(&pieces));
        assert_eq!(send(&client(), taker.put(body)).await.unwrap(), "200 ok");
        assert_eq!(taker.messages().pop().unwrap().body, b"abcdef");
    }
}

/// The answer that comes when so much of 64 MiB was taken.
async fn early(what: &[Do], length: Option<u64>) -> Result<(u16, String), Error> {
    let taker = Taker::always(what).await;
    let frame = Bytes::from(vec![7; 1 << 20]);
    let body = RequestBody::once(length, Pieces::new(&vec![Piece::Data(frame); 64]));
    let client = hasty().with_timeouts(Duration::from_secs(1), Duration::from_secs(1));
    let mut response = client.send(taker.put(body)).await?;
    let text = response.body_mut().text(1000).await?;
    let again = send(&client, Request::get(taker.url("/")));
    let _ = tokio::time::timeout(Duration::from_millis(50), again).await;
    assert_eq!(taker.connections(), 2, "not used again");
    assert!(
        taker
            .messages()
            .iter()
            .all(|message| !message.whole || message.body.is_empty())
    );
    Ok((response.status().as_u16(), text))
}

const SIZE: Option<u64> = Some(64 << 20);

#[tokio::test]
async fn errors_that_come_early_are_told() {
    let refused = "HTTP/1.1 401 No\r\nContent-Length: 5\r\n\r\nlogin";
    let large = "HTTP/1.1 413 Large\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlarge\r\n0\r\n\r\n";
    let closed = "HTTP/1.1 409 No\r\nConnection: close\r\n\r\nconflict";
    for length in [SIZE, None] {
        for (answer, status, text) in [(refused, 401, "login"), (large, 413, "large")] {
            for taken in [0, 1, 300_000] {
                for end in [Do::Hang, Do::Close] {
                    let what = [Do::Take(taken), Do::Send(answer), end];
                    let told = early(&what, length).await.unwrap();
                    assert_eq!(told, (status, text.to_owned()));
                }
            }
        }
        let what = [Do::Take(300_000), Do::Send(closed), Do::Close];
        assert_eq!(
            early(&what, length).await.unwrap(),
            (409, "conflict".to_owned())
        );
    }
}

#[tokio::test]
async fn a_slow_answer_within_the_upload_is_told_whole() {
    let what = [
        Do::Take(100),
        Do::Send("HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\nabc"),
        Do::Pause(100),
        Do::Send("def"),
        Do::Hang,
    ];
    assert_eq!(
        early(&what, SIZE).await.unwrap(),
        (500, "abcdef".to_owned())
    );
}

/// An answer, and then a reset of the connection for the bytes that nobody read.
#[tokio::test]
async fn an_answer_before_a_reset_is_told() {
    let answer = "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno";
    for _ in 0..20 {
        let what = [Do::Take(70_000), Do::Send(answer), Do::Pause(20), Do::Reset];
        assert_eq!(early(&what, SIZE).await.unwrap(), (403, "no".to_owned()));
        // Here they race: the reset may be what the network delivers.
        match early(&[Do::Take(70_000), Do::Send(answer), Do::Reset], SIZE).await {
            Ok(told) => assert_eq!(told, (403, "no".to_owned())),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Reset, "{error:?}"),
        }
    }
    let what = [Do::Take(70_000), Do::Reset];
    assert_eq!(
        early(&what, SIZE).await.unwrap_err().kind(),
        ErrorKind::Reset
    );
    let what = [Do::Take(70_000), Do::Close];
    assert_eq!(
        early(&what, SIZE).await.unwrap_err().kind(),
        ErrorKind::Reset
    );
}

#[tokio::test]
async fn a_success_that_comes_early_is_told_at_the_end() {
    let taker = Taker::always(&[Do::Take(1), Do::Send(OK), Do::Pause(50), Do::TakeAll]).await;
    let body = reopened(&pattern(16 << 20), Some(16 << 20));
    let response = client().send(taker.put(body)).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    taker
        .wait_for(1, |message| message.body.len() == 16 << 20)
        .await;
    let what = [Do::Take(1000), Do::Send(OK), Do::Reset];
    assert_eq!(
        early(&what, SIZE).await.unwrap_err().kind(),
        ErrorKind::Reset
    );
    let what = [Do::Take(1000), Do::Send(OK), Do::Hang];
    let error = early(&what, SIZE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimeoutHead, "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_reads_is_a_timeout() {
    let began = Instant::now();
    let error = early(&[Do::Hang], SIZE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimeoutHead);
    assert!(
        error
            .to_string()
            .contains("took nothing of the request body"),
        "{error}"
    );
    let error = early(&[Do::Take(1 << 20), Do::Hang], None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimeoutHead);
    assert!(began.elapsed() < Duration::from_secs(4));
}

/// Each silence is shorter than the limit, all of them together are longer.
#[tokio::test]
async fn bytes_that_go_out_are_progress() {
    let mut what = Vec::new();
    for _ in 0..8 {
        what.extend([Do::Pause(100), Do::Take(8 << 20)]);
    }
    what.extend([Do::Pause(200), Do::Send(OK)]);
    let taker = Taker::always(&what).await;
    let frame = Bytes::from(vec![7; 1 << 20]);
    let body = RequestBody::once(SIZE, Pieces::new(&vec![Piece::Data(frame); 64]));
    assert_eq!(send(&hasty(), taker.put(body)).await.unwrap(), "200 ok");
}

#[tokio::test]
async fn the_callers_own_pauses_are_no_silence() {
    let taker = Taker::always(&[Do::TakeAll, Do::Send(OK)]).await;
    let pieces = [data("abc"), Piece::Wait(900), data("def"), Piece::Wait(600)];
    let body = RequestBody::once(Some(6), Pieces::new(&pieces));
    assert_eq!(send(&hasty(), taker.put(body)).await.unwrap(), "200 ok");
    let taker = Taker::always(&[Do::TakeAll, Do::Hang]).await;
    let body = RequestBody::once(Some(6), Pieces::new(&pieces));
    let error = send(&hasty(), taker.put(body)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimeoutHead, "{error:?}");
}

#[tokio::test]
async fn a_request_may_have_its_own_read_timeout() {
    let slow = [
        Do::TakeAll,
        Do::Pause(600),
        Do::Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"),
        Do::Pause(600),
        Do::Send("k"),
    ];
    let taker = Taker::always(&slow).await;
    let request = taker.put(RequestBody::bytes("x"));
    let error = send(&hasty(), request.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimeoutHead);
    let request = request.read_timeout(Duration::from_secs(2));
    assert_eq!(send(&hasty(), request.clone()).await.unwrap(), "200 ok");
    let impatient = request.read_timeout(Duration::from_millis(100));
    let error = send(&client(), impatient).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimeoutHead);
}

pub(crate) const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[tokio::test]
async fn a_body_waits_for_its_go_ahead() {
    let content = pattern(300_000);
    let request = |taker: &Taker| {
        taker
            .put(reopened(&content, Some(300_000)))
            .expect_continue()
    };
    let began = Instant::now();
    let taker = Taker::always(&[
        Do::Pause(100),
        Do::Send(CONTINUE),
        Do::TakeAll,
        Do::Send(OK),
    ])
    .await;
    let client = client();
    for _ in 0..2 {
        assert_eq!(send(&client, request(&taker)).await.unwrap(), "200 ok");
        let message = taker.messages().pop().unwrap();
        assert_eq!(message.field("expect"), Some("100-continue"));
        assert!(message.body == content);
    }
    assert_eq!(taker.connections(), 1);
    assert!(began.elapsed() < Duration::from_millis(900));

    // A server that knows nothing of it, and one that says so late, and more than once.
    for late in [vec![], vec![Do::Send(CONTINUE), Do::Send(CONTINUE)]] {
        let began = Instant::now();
        let what = [
            vec![Do::Take(1)],
            late,
            vec![Do::Take(299_999), Do::Send(OK)],
        ]
        .concat();
        let taker = Taker::always(&what).await;
        assert_eq!(send(&hasty(), request(&taker)).await.unwrap(), "200 ok");
        let took = began.elapsed().as_millis();
        assert!((900..2000).contains(&took), "{took}");
        assert!(taker.messages()[0].body == content);
    }
}

#[tokio::test]
async fn a_final_answer_in_place_of_a_go_ahead_means_no_body() {
    for (answer, told) in [
        (
            "HTTP/1.1 401 No\r\nContent-Length: 5\r\n\r\nlogin",
            "401 login",
        ),
        (
            "HTTP/1.1 413 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "413 x",
        ),
        (OK, "200 ok"),
    ] {
        let taker = Taker::always(&[Do::Send(answer), Do::Take(1), Do::Hang]).await;
        let body = RequestBody::bytes(pattern(300_000));
        let client = client();
        let request = taker.put(body).expect_continue();
        assert_eq!(send(&client, request.clone()).await.unwrap(), told);
        assert_eq!(send(&client, request).await.unwrap(), told);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(
            taker
                .messages()
                .iter()
                .all(|message| message.body.is_empty())
        );
        assert_eq!(taker.connections(), 2, "it waits for the body still");
    }
}

#[tokio::test]
async fn a_server_that_cannot_meet_expectations_is_asked_without() {
    let refusal = "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n";
    let script = move |_, head: &str| match head.contains("100-continue") {
        true => vec![Do::Send(refusal), Do::Hang],
        false => vec![Do::TakeAll, Do::Send(OK)],
    };
    let taker = Taker::start(script).await;
    let content = pattern(100_000);
    let body = RequestBody::once(Some(100_000), Pieces::of(&content, 1000));
    let request = Request::new(Method::POST, taker.url("/"))
        .body(body)
        .expect_continue();
    assert_eq!(send(&client(), request).await.unwrap(), "200 ok");
    let messages = taker.messages();
    assert_eq!(messages.len(), 2);
    assert!(messages[1].body == content && messages[1].field("expect").is_none());

    let taker = Taker::always(&[Do::Send(refusal), Do::Hang]).await;
    let request = taker.put(RequestBody::bytes("x")).expect_continue();
    assert_eq!(send(&client(), request).await.unwrap(), "417 ");
    assert_eq!(taker.messages().len(), 2);
}

#[tokio::test]
async fn go_aheads_without_end() {
    let many: &'static str = CONTINUE.repeat(2000).leak();
    let taker = Taker::always(&[Do::Send(many), Do::Hang]).await;
    let request = taker.put(RequestBody::bytes("x")).expect_continue();
    let error = send(&hasty(), request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
}

#[tokio::test]
async fn dropping_an_upload_closes_its_connection() {
    let taker = Taker::always(&[Do::TakeAll, Do::Send(OK)]).await;
    let pieces = [data("abc"), Piece::Wait(60_000), data("def")];
    let body = RequestBody::once(Some(6), Pieces::new(&pieces));
    let client = client();
    let dropped = tokio::time::timeout(Duration::from_millis(100), send(&client, taker.put(body)));
    assert!(dropped.await.is_err());
    let message = taker.messages().pop().unwrap();
    assert_eq!(
        (message.body.as_slice(), message.whole),
        (&b"abc"[..], false)
    );
    send(&client, Request::get(taker.url("/"))).await.unwrap();
    assert_eq!(taker.connections(), 2);
}

/// A body is asked for more only as the peer takes it: what is held is a few frames, and what the system's buffers have.
#[tokio::test]
async fn a_body_is_not_read_ahead() {
    struct Counted(Arc<AtomicUsize>);
    impl http_body::Body for Counted {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            let frame = Bytes::from_static(&[7; 1 << 18]);
            std::task::Poll::Ready(Some(Ok(http_body::Frame::data(frame))))
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let body = RequestBody::once(Some(1 << 40), Counted(Arc::clone(&asked)));
    let taker = Taker::always(&[Do::Take(1 << 20), Do::Hang]).await;
    let error = send(&hasty(), taker.put(body)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimeoutHead);
    let held = asked.load(Ordering::SeqCst) << 18;
    assert!(held < 24 << 20, "{held}");
}

#[tokio::test]
async fn an_echo_is_read_at_the_end() {
    let taker = Taker::always(&[
        Do::TakeAll,
        Do::Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ])
    .await;
    let mut response = client()
        .send(taker.put(RequestBody::bytes(pattern(1 << 20))))
        .await
        .unwrap();
    assert_eq!(read_all(response.body_mut(), 10).await.unwrap(), b"abc");
}
