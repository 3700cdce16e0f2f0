//! HTTP/2 against a server that does on purpose what real ones do by accident.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytehaul_testkit::pki::Authority;
use bytehaul_transport::http::{HeaderMap, HeaderValue, Version};
use bytehaul_transport::{
    Class, Client, ErrorKind, Framing, HttpVersion, Request, RequestRange, Roots, Tls, Url,
};
use bytes::{BufMut, BytesMut};
use h2::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::h2_server::{Act, H2Server, Then, h2_client, hasty_h2_client, ok, session};
use crate::server::{Server, client, get, pattern, read_all, read_head, sized};

#[tokio::test]
async fn the_request_in_frames() {
    let server = H2Server::start(|_| ok("hello")).await;
    let mut headers = HeaderMap::new();
    headers.insert("x-custom", HeaderValue::from_static("a"));
    let mut url = server.url("/a%20b/c?q=1#fragment");
    url.set_username("me").unwrap();
    url.set_password(Some("pw")).unwrap();
    let request = Request::get(url)
        .range(RequestRange::Span(10..20))
        .headers(headers);
    let mut response = h2_client().send(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(response.body().framing(), Framing::Length(5));
    assert_eq!(response.body_mut().text(9).await.unwrap(), "hello");
    let asked = server.asked();
    let head = &asked[0].head;
    assert_eq!(
        head.uri.to_string(),
        format!("http://{}/a%20b/c?q=1", server.address)
    );
    let mut fields: Vec<String> = head
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    fields.sort();
    let agent = concat!("user-agent: bytehaul/", env!("CARGO_PKG_VERSION"));
    let expected = [
        "accept-encoding: identity",
        "accept: */*",
        "authorization: Basic bWU6cHc=",
        "range: bytes=10-19",
        agent,
        "x-custom: a",
    ];
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    let server = H2Server::start(|asked| match asked.head.uri.path() {
        "/moved" => Act::Answer(302, vec![("location", "/there".into())], vec![]),
        _ => Act::Answer(200, vec![], b"no length".to_vec()),
    })
    .await;
    let client = h2_client();
    for _ in 0..5 {
        let mut response = get(&client, server.url("/moved")).await.unwrap();
        assert_eq!(response.body().framing(), Framing::Chunked);
        assert_eq!(response.body_mut().text(9).await.unwrap(), "no length");
        assert!(response.body().is_complete() && response.redirected());
    }
    let mut head = client.send(Request::head(server.url("/"))).await.unwrap();
    assert_eq!(head.body_mut().text(0).await.unwrap(), "");
    assert_eq!((server.connections(), server.asked().len()), (1, 11));
}

#[tokio::test]
async fn requests_side_by_side_get_connections_of_their_own() {
    let server = H2Server::start(|_| Act::Announce(9, b"x".to_vec(), Then::Wait)).await;
    let client = h2_client();
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(get(&client, server.url("/")).await.unwrap());
    }
    assert_eq!(server.connections(), 8, "and then share them");
    // A server that takes one at a time is not made to hold the others back.
    let strict = H2Server::start_limited(1, |_| Act::Announce(9, b"x".to_vec(), Then::Wait)).await;
    for _ in 0..12 {
        held.push(get(&client, strict.url("/")).await.unwrap());
    }
    assert_eq!(strict.connections(), 12);
}

#[tokio::test]
async fn a_dropped_body_ends_its_stream_alone() {
    let server = H2Server::start(|asked| match asked.head.uri.path() {
        "/endless" => Act::Announce(1 << 40, pattern(5000), Then::Wait),
        _ => ok("fine"),
    })
    .await;
    let client = h2_client();
    for _ in 0..3 {
        let mut response = get(&client, server.url("/endless")).await.unwrap();
        let mut buffer = BytesMut::with_capacity(100);
        let mut room = (&mut buffer).limit(100);
        assert_eq!(response.body_mut().read(&mut room).await.unwrap(), 100);
        drop(response);
        let mut fine = get(&client, server.url("/")).await.unwrap();
        assert_eq!(fine.body_mut().text(4).await.unwrap(), "fine");
    }
    let waiting = client.send(Request::get(server.url("/endless")));
    drop(waiting);
    assert_eq!(server.connections(), 1);
    assert_eq!(server.resets(), [Reason::CANCEL; 3]);
}

/// The kind of error when every request is answered so.
async fn kind_of(act: Act) -> (ErrorKind, usize) {
    let server = H2Server::start(move |_| act.clone()).await;
    let client = hasty_h2_client();
    let outcome = match get(&client, server.url("/")).await {
        Ok(mut response) => read_all(response.body_mut(), 1000).await.map(drop),
        Err(error) => Err(error),
    };
    (outcome.unwrap_err().kind(), server.asked().len())
}

#[tokio::test]
async fn what_each_failure_means() {
    let announce = |then| Act::Announce(100, pattern(50), then);
    let too_much = Act::Announce(10, pattern(50), Then::End);
    let wide = vec![("x-wide", "x".repeat(140_000))];
    for (act, kind, requests) in [
        (announce(Then::End), ErrorKind::Truncated, 1),
        (too_much, ErrorKind::Truncated, 1),
        (
            announce(Then::Reset(Reason::NO_ERROR)),
            ErrorKind::Truncated,
            1,
        ),
        (
            announce(Then::Reset(Reason::INTERNAL_ERROR)),
            ErrorKind::Reset,
            1,
        ),
        (
            announce(Then::Reset(Reason::ENHANCE_YOUR_CALM)),
            ErrorKind::Refused,
            1,
        ),
        (announce(Then::Wait), ErrorKind::TimeoutBody, 1),
        (Act::Reset(Reason::REFUSED_STREAM), ErrorKind::Refused, 2),
        (Act::Reset(Reason::ENHANCE_YOUR_CALM), ErrorKind::Refused, 1),
        (Act::Reset(Reason::INTERNAL_ERROR), ErrorKind::Reset, 1),
        (
            Act::Reset(Reason::HTTP_1_1_REQUIRED),
            ErrorKind::Protocol,
            1,
        ),
        (Act::Drop, ErrorKind::Reset, 1),
        (Act::Silence, ErrorKind::TimeoutHead, 1),
        (Act::Interim, ErrorKind::Protocol, 1),
        (
            Act::Answer(200, wide, vec![]),
            ErrorKind::HeadersTooLarge,
            1,
        ),
    ] {
        let told = format!("{act:.60?}");
        assert_eq!(kind_of(act).await, (kind, requests), "{told}");
    }
    assert_eq!(ErrorKind::Refused.class(), Class::Refused);
}

#[tokio::test]
async fn what_did_nothing_is_asked_again_once() {
    let server = H2Server::start(|asked| match asked.number {
        0 => Act::Reset(Reason::REFUSED_STREAM),
        // The connection that has served one request is gone for the next.
        2 => Act::Drop,
        _ => ok("fine"),
    })
    .await;
    let client = h2_client();
    for _ in 0..2 {
        let mut response = get(&client, server.url("/")).await.unwrap();
        assert_eq!(response.body_mut().text(4).await.unwrap(), "fine");
    }
    let connections: Vec<usize> = server
        .asked()
        .iter()
        .map(|asked| asked.connection)
        .collect();
    assert_eq!(connections, [0, 1, 1, 2]);
}

#[tokio::test]
async fn a_server_that_goes_away_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let mut server = JoinSet::new();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    server.spawn(async move {
        let mut left = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut some = [0; 1000];
            while !some.windows(9).any(|frame| frame[3] == 1 && frame[8] == 1) {
                let read = stream.read(&mut some).await.unwrap();
                assert!(read > 0);
            }
            // SETTINGS, and GOAWAY with 0 as the last stream that was taken up (RFC 9113 section 6.8).
            stream
                .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
                .await
                .unwrap();
            let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            stream.write_all(&goaway).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            left.push(stream);
        }
    });
    let error = get(&h2_client(), url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Reset, "{error:?}");
    assert_eq!(accepted.load(Ordering::SeqCst), 2, "it is tried once more");
}

#[tokio::test]
async fn a_connection_under_suspicion_gets_no_further_request() {
    let server = H2Server::start(|asked| match asked.number {
        0 => Act::Silence,
        _ => ok("fine"),
    })
    .await;
    let client = hasty_h2_client();
    let error = get(&client, server.url("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimeoutHead);
    let mut response = get(&client, server.url("/")).await.unwrap();
    assert_eq!(response.body_mut().text(4).await.unwrap(), "fine");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_dead_connection_is_told_from_a_slow_server() {
    let patience = Duration::from_secs(3);
    let client = h2_client().with_timeouts(patience, patience);
    let slow = H2Server::start(|_| Act::Silence).await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead_url = Url::parse(&format!("http://{}/", dead.local_addr().unwrap())).unwrap();
    let began = Instant::now();
    let (slow, dead) = tokio::join!(get(&client, slow.url("/")), async {
        let outcome = get(&client, dead_url).await;
        (outcome, began.elapsed())
    });
    assert_eq!(slow.unwrap_err().kind(), ErrorKind::TimeoutHead);
    let (outcome, took) = dead;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Reset);
    assert!(
        took < patience,
        "no answer to a ping was noticed after {took:?}"
    );
}

#[tokio::test]
async fn who_speaks_only_http1_is_told_apart() {
    let server = Server::always(sized(5).0).await;
    let error = get(&h2_client(), server.url("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    let request = Request::get(server.url("/")).http_version(HttpVersion::Auto);
    let response = h2_client().send(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
}

/// A server with TLS that offers these protocols, and resets every HTTP/2 request because it wants 1.1.
async fn wavering(protocols: &[&[u8]]) -> (Url, Client, JoinSet<()>) {
    let authority = Authority::new();
    let config = authority.server(&["127.0.0.1"]).server_config(protocols);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut sessions = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            sessions.spawn(async move {
                let Ok(mut tls) = acceptor.accept(stream).await else {
                    return;
                };
                if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                    let script = |_: &_| Act::Reset(Reason::HTTP_1_1_REQUIRED);
                    return session(tls, 9, Arc::new(script), Arc::default()).await;
                }
                while read_head(&mut tls).await.is_ok() {
                    tls.write_all(&sized(5).0).await.unwrap();
                }
            });
        }
    });
    let tls = Tls::new()
        .add_roots_pem(authority.pem())
        .roots(Roots::ExtraOnly);
    let client = Client::builder().tls(tls).build().unwrap();
    (url, client, tasks)
}

#[tokio::test]
async fn a_server_that_wants_http1_gets_it() {
    let (url, client, _server) = wavering(&[b"h2", b"http/1.1"]).await;
    let auto = client.with_http_version(HttpVersion::Auto);
    for _ in 0..2 {
        let mut response = get(&auto, url.clone()).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_11);
        assert_eq!(response.body_mut().bytes(5).await.unwrap(), pattern(5));
    }
    let only = client.with_http_version(HttpVersion::Http2);
    let error = get(&only, url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_server_that_does_not_offer_http2() {
    for protocols in [&[&b"http/1.1"[..]][..], &[]] {
        let (url, client, _server) = wavering(protocols).await;
        let auto = client.with_http_version(HttpVersion::Auto);
        let response = get(&auto, url.clone()).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_11);
        let only = client.with_http_version(HttpVersion::Http2);
        let error = get(&only, url).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.kind().class()),
            (ErrorKind::Tls, Class::Fatal),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn informational_responses_come_to_an_end() {
    let some = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let fine = Server::always([some.repeat(9), sized(5).0].concat()).await;
    let mut response = get(&client(), fine.url("/")).await.unwrap();
    assert_eq!(response.body_mut().bytes(5).await.unwrap(), pattern(5));
    let many = Server::always(some.repeat(10_000)).await;
    let error = get(&client(), many.url("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
}

/// What every crate says at its most talkative, on the thread of one test.
#[derive(Clone, Default)]
struct Heard(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Heard {
    fn write(&mut self, said: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(said);
        Ok(said.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn events_tell_no_secret() {
    let heard = Heard::default();
    let writer = heard.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let listening = tracing::subscriber::set_default(subscriber);
    let server = H2Server::start(|_| ok("fine")).await;
    let mut headers = HeaderMap::new();
    headers.insert("cookie", HeaderValue::from_static("session=hunter2"));
    headers.insert("x-api-key", HeaderValue::from_static("hunter2"));
    for version in [HttpVersion::Http2, HttpVersion::Http1] {
        let request = Request::get(server.url("/f?X-Amz-Signature=hunter2&v=2"))
            .headers(headers.clone())
            .bearer_auth("hunter2")
            .unwrap()
            .http_version(version);
        // The server does not know what to make of the second.
        let outcome = hasty_h2_client().send(request).await;
        assert_eq!(outcome.is_ok(), version == HttpVersion::Http2);
    }
    drop(listening);
    let said = String::from_utf8_lossy(&heard.0.lock().unwrap()).into_owned();
    for word in [
        "h2::",
        "connected",
        "request",
        "response",
        "X-Amz-Signature=***",
    ] {
        assert!(said.contains(word), "{word} is missing");
    }
    let leak = said.lines().find(|line| line.contains("hunter2"));
    assert_eq!(leak, None);
}

/// As after a suspended process or a long computation: the silence was this side's own.
#[tokio::test]
async fn a_pause_of_the_runtime_kills_no_connection() {
    let (ready, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let server = H2Server::start(|_| Act::Announce(9, b"x".to_vec(), Then::Wait)).await;
            ready.send(server.url("/")).unwrap();
            tokio::time::sleep(Duration::from_secs(20)).await;
        });
    });
    let url = address.recv().unwrap();
    let client = h2_client().with_timeouts(Duration::from_secs(3), Duration::from_secs(3));
    let mut response = get(&client, url).await.unwrap();
    let mut buffer = BytesMut::with_capacity(9);
    let mut room = (&mut buffer).limit(9);
    assert_eq!(response.body_mut().read(&mut room).await.unwrap(), 1);
    std::thread::sleep(Duration::from_millis(2500));
    let more = response.body_mut().read(&mut room);
    let more = tokio::time::timeout(Duration::from_millis(300), more).await;
    assert!(
        more.is_err(),
        "nothing has come, and nothing is lost: {more:?}"
    );
}

#[tokio::test]
async fn what_a_server_says_at_the_end_is_not_said_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            // GOAWAY of 27 bytes: no stream was processed, ENHANCE_YOUR_CALM.
            let head = [0, 0, 27, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
            let end = [&settings[..], &head, b"you asked hunter2\x1b["].concat();
            stream.write_all(&end).await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let error = get(&hasty_h2_client(), url.parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}
