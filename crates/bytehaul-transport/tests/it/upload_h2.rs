//! Request bodies over HTTP/2: flow control, resets, and answers that come before the end.

use std::error::Error as _;
use std::time::{Duration, Instant};

use bytehaul_transport::http::Method;
use bytehaul_transport::{Client, Error, ErrorKind, Request, RequestBody};
use bytes::Bytes;
use h2::Reason;

use crate::h2_server::{Act, H2Server, Up, Upload, h2_client, hasty_h2_client, ok};
use crate::server::{get, pattern, read_all};
use crate::upload_peer::{Piece, Pieces};

async fn serving(steps: &[Up]) -> H2Server {
    let steps = steps.to_vec();
    H2Server::start(move |asked| match asked.head.method {
        Method::GET => ok("got"),
        _ => Act::Upload(steps.clone()),
    })
    .await
}

fn put(server: &H2Server, body: RequestBody) -> Request {
    Request::new(Method::PUT, server.url("/")).body(body)
}

async fn send(client: &Client, request: Request) -> Result<String, Error> {
    let mut response = client.send(request).await?;
    let body = response.body_mut().text(1 << 20).await?;
    Ok(format!("{} {body}", response.status().as_u16()))
}

/// The last upload, once it is as the test wants it.
async fn last(server: &H2Server, wanted: impl Fn(&Upload) -> bool) -> Upload {
    for _ in 0..300 {
        if let Some(upload) = server.uploads().pop().filter(&wanted) {
            return upload;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let upload = server.uploads().pop().unwrap();
    panic!(
        "{} bytes, {} {:?}",
        upload.body.len(),
        upload.whole,
        upload.reset
    );
}

fn large() -> RequestBody {
    let frame = Bytes::from(vec![7; 1 << 20]);
    RequestBody::once(Some(64 << 20), Pieces::new(&vec![Piece::Data(frame); 64]))
}

#[tokio::test]
async fn every_kind_of_body_arrives_as_it_is() {
    let server = serving(&[Up::TakeAll, Up::Answer(201, "made")]).await;
    let client = h2_client();
    for length in [0, 1, 16_384, 65_535, 65_536, 300_000, 3 << 20] {
        let content = pattern(length);
        let known = Some(length as u64);
        for body in [
            RequestBody::bytes(content.clone()),
            RequestBody::once(known, Pieces::of(&content, 100_000)),
            RequestBody::once(None, Pieces::of(&content, 100_000)),
        ] {
            let told = body.length();
            assert_eq!(send(&client, put(&server, body)).await.unwrap(), "201 made");
            let upload = server.uploads().pop().unwrap();
            assert!(upload.body == content && upload.whole, "{length} {told:?}");
            let asked = server.asked().pop().unwrap();
            let said = asked.head.headers.get("content-length");
            let said = said.map(|value| value.to_str().unwrap().parse::<u64>().unwrap());
            assert_eq!(said, told);
        }
    }
    let bodiless = Request::new(Method::POST, server.url("/"));
    assert_eq!(send(&client, bodiless).await.unwrap(), "201 made");
    assert_eq!(
        server.asked().pop().unwrap().head.headers["content-length"],
        "0"
    );
    assert_eq!(server.connections(), 1);
    assert!(server.uploads().iter().all(|upload| upload.reset.is_none()));
}

#[tokio::test]
async fn uploads_and_downloads_share_a_connection() {
    let server = serving(&[Up::TakeAll, Up::Answer(201, "made")]).await;
    let client = h2_client();
    let content = pattern(5 << 20);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (client, url) = (client.clone(), server.url("/"));
        let request = put(&server, RequestBody::bytes(content.clone()));
        tasks.spawn(async move {
            assert_eq!(send(&client, request).await.unwrap(), "201 made");
            let mut response = get(&client, url).await.unwrap();
            assert_eq!(read_all(response.body_mut(), 2).await.unwrap(), b"got");
        });
    }
    tasks.join_all().await;
    let uploads = server.uploads();
    assert!(uploads.len() == 4 && uploads.iter().all(|upload| upload.body == content));
}

#[tokio::test]
async fn errors_that_come_early_are_told() {
    for end in [Up::Hang, Up::Reset(Reason::NO_ERROR), Up::TakeAll] {
        for (answer, told) in [
            (Up::Answer(413, "large"), "413 large"),
            (Up::Answer(401, ""), "401 "),
        ] {
            let server = serving(&[Up::Take(100_000), answer, end.clone()]).await;
            let client = h2_client();
            assert_eq!(send(&client, put(&server, large())).await.unwrap(), told);
            // The rest is given up, and the connection goes on.
            if !matches!(end, Up::Reset(_)) {
                let upload = last(&server, |upload| upload.reset.is_some()).await;
                assert_eq!(upload.reset, Some(Reason::CANCEL));
                assert!(upload.body.len() < 32 << 20, "{}", upload.body.len());
            }
            assert_eq!(
                send(&client, Request::get(server.url("/"))).await.unwrap(),
                "200 got"
            );
            assert_eq!(server.connections(), 1);
        }
    }
    let server = serving(&[
        Up::Begin(500, 6, "abc"),
        Up::Pause(100),
        Up::Finish("def"),
        Up::Hang,
    ])
    .await;
    assert_eq!(
        send(&h2_client(), put(&server, large())).await.unwrap(),
        "500 abcdef"
    );
}

#[tokio::test]
async fn a_success_that_comes_early_is_told_at_the_end() {
    for answer in [Up::Answer(200, ""), Up::Answer(200, "fine")] {
        let server = serving(&[Up::Take(1000), answer.clone(), Up::Pause(100), Up::TakeAll]).await;
        let response = send(&h2_client(), put(&server, large())).await.unwrap();
        assert!(response.starts_with("200 "));
        assert!(last(&server, |upload| upload.whole).await.body.len() == 64 << 20);

        // The server says that it has all that it needs (RFC 9113 section 8.1).
        let done = [Up::Take(1000), answer.clone(), Up::Reset(Reason::NO_ERROR)];
        let response = send(&h2_client(), put(&serving(&done).await, large())).await;
        assert!(response.unwrap().starts_with("200 "));

        let gone = [
            Up::Take(1000),
            answer.clone(),
            Up::Reset(Reason::INTERNAL_ERROR),
        ];
        let error = send(&h2_client(), put(&serving(&gone).await, large()))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Reset, "{error:?}");

        let stuck = [Up::Take(1000), answer, Up::Hang];
        let error = send(&hasty_h2_client(), put(&serving(&stuck).await, large()))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimeoutHead, "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_reads_is_a_timeout() {
    let server = serving(&[Up::Hang]).await;
    let began = Instant::now();
    let client = hasty_h2_client();
    let error = send(&client, put(&server, large())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimeoutHead);
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(
        last(&server, |upload| upload.reset.is_some()).await.reset,
        Some(Reason::CANCEL)
    );
}

#[tokio::test]
async fn bytes_that_go_out_are_progress() {
    let mut steps = Vec::new();
    for _ in 0..8 {
        steps.extend([Up::Pause(150), Up::Take(200_000)]);
    }
    steps.extend([Up::TakeAll, Up::Pause(150), Up::Answer(200, "ok")]);
    let server = serving(&steps).await;
    let body = RequestBody::bytes(pattern(2_000_000));
    assert_eq!(
        send(&hasty_h2_client(), put(&server, body)).await.unwrap(),
        "200 ok"
    );
    let pauses = [
        Piece::Data("abc".into()),
        Piece::Wait(900),
        Piece::Data("def".into()),
    ];
    let server = serving(&[Up::TakeAll, Up::Answer(200, "ok")]).await;
    let body = RequestBody::once(None, Pieces::new(&pauses));
    assert_eq!(
        send(&hasty_h2_client(), put(&server, body)).await.unwrap(),
        "200 ok"
    );
    assert_eq!(server.uploads()[0].body, b"abcdef");
}

#[tokio::test]
async fn bodies_that_are_at_fault_reset_their_stream() {
    let server = serving(&[Up::TakeAll, Up::Hang]).await;
    let client = h2_client();
    let data = || Piece::Data("12345".into());
    for (length, pieces, said) in [
        (
            Some(10),
            vec![data()],
            "gives fewer than the 10 bytes it said",
        ),
        (
            Some(5),
            vec![data(), data()],
            "gives more than the 5 bytes it said",
        ),
        (Some(10), vec![data(), Piece::Fail], "the disk is on fire"),
        (
            None,
            vec![data(), Piece::Wait(30), Piece::Fail],
            "the disk is on fire",
        ),
    ] {
        let body = RequestBody::once(length, Pieces::new(&pieces));
        let error = send(&client, put(&server, body)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequestBody, "{error:?}");
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(
            format!("{error}: {cause}").contains(said),
            "{error}: {cause}"
        );
        let upload = last(&server, |upload| upload.reset.is_some()).await;
        assert!(!upload.whole);
    }
    assert_eq!(
        send(&client, Request::get(server.url("/"))).await.unwrap(),
        "200 got"
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn dropping_an_upload_resets_its_stream_alone() {
    let server = serving(&[Up::Take(1000), Up::Hang]).await;
    let client = h2_client();
    let sending = send(&client, put(&server, large()));
    assert!(
        tokio::time::timeout(Duration::from_millis(200), sending)
            .await
            .is_err()
    );
    assert_eq!(
        last(&server, |upload| upload.reset.is_some()).await.reset,
        Some(Reason::CANCEL)
    );
    assert_eq!(
        send(&client, Request::get(server.url("/"))).await.unwrap(),
        "200 got"
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_body_waits_for_its_go_ahead() {
    let began = Instant::now();
    let server = serving(&[
        Up::Pause(100),
        Up::Continue,
        Up::TakeAll,
        Up::Answer(200, "ok"),
    ])
    .await;
    let body = || RequestBody::once(Some(100_000), Pieces::of(&pattern(100_000), 9000));
    let told = send(&h2_client(), put(&server, body()).expect_continue())
        .await
        .unwrap();
    assert_eq!(told, "200 ok");
    assert_eq!(server.asked()[0].head.headers["expect"], "100-continue");
    assert!(server.uploads()[0].body == pattern(100_000));
    assert!(began.elapsed() < Duration::from_millis(900));

    let server = serving(&[Up::TakeAll, Up::Answer(200, "ok")]).await;
    let told = send(&hasty_h2_client(), put(&server, body()).expect_continue())
        .await
        .unwrap();
    assert_eq!(told, "200 ok");
    assert!(began.elapsed() > Duration::from_secs(1));

    for (answer, told) in [
        (Up::Answer(401, "login"), "401 login"),
        (Up::Answer(200, ""), "200 "),
    ] {
        let server = serving(&[answer, Up::TakeAll]).await;
        let request = put(&server, body()).expect_continue();
        let client = h2_client();
        assert_eq!(send(&client, request).await.unwrap(), told);
        let upload = last(&server, |upload| upload.reset.is_some()).await;
        assert!(upload.body.is_empty() && !upload.whole);
    }
}

/// The first request is refused, or its connection lost.
async fn check_again(
    act: Act,
    method: Method,
    body: RequestBody,
    expected: Result<usize, ErrorKind>,
) {
    let server = H2Server::start(move |asked| match asked.number {
        0 => act.clone(),
        _ => Act::Upload(vec![Up::TakeAll, Up::Answer(200, "ok")]),
    })
    .await;
    let request = Request::new(method, server.url("/")).body(body);
    let told = send(&h2_client(), request).await;
    match expected {
        Ok(length) => {
            assert_eq!(told.unwrap(), "200 ok");
            assert_eq!(server.uploads()[0].body.len(), length);
        }
        Err(kind) => assert_eq!(told.unwrap_err().kind(), kind),
    }
}

#[tokio::test]
async fn what_is_sent_again() {
    let bytes = || RequestBody::bytes(pattern(100_000));
    let refused = Act::Reset(Reason::REFUSED_STREAM);
    for method in [Method::PUT, Method::POST, Method::PATCH] {
        check_again(refused.clone(), method.clone(), bytes(), Ok(100_000)).await;
        check_again(Act::Drop, method, bytes(), Err(ErrorKind::Reset)).await;
    }
    // Refused after a part of it was sent.
    let late = Act::Upload(vec![Up::Take(1), Up::Reset(Reason::REFUSED_STREAM)]);
    let once = RequestBody::once(Some(100_000), Pieces::of(&pattern(100_000), 1000));
    check_again(late, Method::PUT, once, Err(ErrorKind::Refused)).await;
}
