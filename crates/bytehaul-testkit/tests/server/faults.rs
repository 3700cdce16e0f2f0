//! When and how the server goes wrong on the wire: rates, delays, resets, stalls, refusals; and what its log tells.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use bytehaul_testkit::{Behaviour, Effect, Excess, Object, RequestedRange, Server, When};

use crate::wire::{End, get, get_range, read_reply, request, write_request};

fn serving(len: u64, behaviour: Behaviour) -> Server {
    let server = Server::spawn_thread();
    server.serve("/f", Object::random(1, len).behaviour(behaviour));
    server
}

#[test]
fn bodies_that_end_early() {
    let check = |effect: Effect, got: usize, end: End| {
        let shown = format!("{effect:?}");
        let server = serving(10_000, Behaviour::new().always(effect));
        let reply = get(&server, "/f", &[]);
        assert_eq!(
            (reply.status, reply.header("content-length")),
            (200, Some("10000")),
            "{shown}"
        );
        assert_eq!((reply.body.len(), reply.end), (got, end), "{shown}");
        assert_eq!(
            reply.body,
            Object::random(1, 10_000).expected(0..got as u64),
            "{shown}"
        );
        let log = server.requests();
        assert_eq!(
            (log[0].sent, log[0].finished),
            (got as u64, got == 10_000),
            "{shown}"
        );
    };
    check(Effect::TruncateAfter(300), 300, End::Fin);
    check(Effect::TruncateAfter(0), 0, End::Fin);
    check(Effect::ResetAfter(300), 300, End::Reset);
    check(Effect::ResetAfter(20_000), 10_000, End::Fin);
    check(Effect::StallAfter(300), 300, End::Silence);
}

#[test]
fn resets_by_chance_follow_the_seed() {
    let lengths = |seed: u64| -> Vec<usize> {
        let server = Server::builder().seed(seed).spawn_thread().unwrap();
        let behaviour = Behaviour::new().always(Effect::ResetWithin(100..200));
        server.serve("/f", Object::random(1, 10_000).behaviour(behaviour));
        (0..8).map(|_| get(&server, "/f", &[]).body.len()).collect()
    };
    let first = lengths(1);
    assert!(
        first.iter().all(|len| (100..200).contains(len)),
        "{first:?}"
    );
    assert!(first.iter().any(|len| *len != first[0]), "{first:?}");
    assert_eq!(first, lengths(1));
    assert_ne!(first, lengths(2));
}

#[test]
fn hanging_and_slow_heads() {
    let hang = get(
        &serving(10, Behaviour::new().always(Effect::Hang)),
        "/f",
        &[],
    );
    assert_eq!(
        (hang.status, hang.body.len(), hang.end),
        (0, 0, End::Silence)
    );
    let slow = Behaviour::new().always(Effect::SlowHead(Duration::from_millis(1)));
    let slow = get(&serving(10, slow), "/f", &[]);
    assert!(
        slow.status == 200 && slow.took > Duration::from_millis(150),
        "{slow:?}"
    );
    let late = get(
        &serving(10, Behaviour::new().latency(Duration::from_millis(200))),
        "/f",
        &[],
    );
    assert!(
        late.status == 200 && late.took >= Duration::from_millis(200),
        "{late:?}"
    );
}

#[test]
fn a_rate_per_connection() {
    let server = serving(400_000, Behaviour::new().rate(1_000_000));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(get(&server, "/f", &[]).body.len(), 400_000));
        }
    });
    let took = began.elapsed().as_secs_f64();
    assert!((0.4..0.6).contains(&took), "{took}");
}

#[test]
fn a_rate_over_all_connections() {
    let server = serving(100_000, Behaviour::new().total_rate(1_000_000));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(get(&server, "/f", &[]).body.len(), 100_000));
        }
    });
    let took = began.elapsed().as_secs_f64();
    assert!((0.39..0.6).contains(&took), "{took}");
}

#[test]
fn a_rate_changes_in_mid_body() {
    let server = serving(10_000_000, Behaviour::new().rate(1_000_000));
    let began = Instant::now();
    thread::scope(|scope| {
        let body = scope.spawn(|| get(&server, "/f", &[]).body.len());
        thread::sleep(Duration::from_millis(200));
        server.behave("/f", Behaviour::new());
        assert_eq!(body.join().unwrap(), 10_000_000);
    });
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn requests_above_a_number_are_refused() {
    let behaviour = Behaviour::new()
        .rate(500_000)
        .when(When::Above(2), Effect::status(429));
    let server = serving(250_000, behaviour);
    let mut statuses: Vec<u16> = thread::scope(|scope| {
        let replies: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| get(&server, "/f", &[]).status))
            .collect();
        replies
            .into_iter()
            .map(|reply| reply.join().unwrap())
            .collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert!(server.max_concurrent("/f") >= 3);
    // Both are over, so there is room again: at once, because a request has ended when its last byte is there.
    assert_eq!(get_range(&server, "/f", "0-9").status, 206);
}

#[test]
fn connections_above_a_number_are_refused() {
    let check = |excess: Excess, end: End| {
        let server = Server::builder()
            .limit_connections(1, excess)
            .spawn_thread()
            .unwrap();
        server.serve("/f", Object::random(1, 100));
        let mut first = TcpStream::connect(server.address()).unwrap();
        write_request(&mut first, "GET", "/f", &[]).unwrap();
        first.read_exact(&mut [0; 10]).unwrap();
        let second = get(&server, "/f", &[]);
        assert_eq!((second.status, second.body.len()), (0, 0), "{excess:?}");
        assert!(
            second.end == end || (excess == Excess::Close && second.end == End::Reset),
            "{second:?}"
        );
        assert_eq!((server.max_connections(), server.connections()), (1, 2));
        server.limit_connections(None);
        assert_eq!(get(&server, "/f", &[]).status, 200);
    };
    check(Excess::Reset, End::Reset);
    check(Excess::Close, End::Fin);
    check(Excess::Hang, End::Silence);
}

#[test]
fn one_connection_in_two_stalls() {
    let stalls = Behaviour::new().when(
        When::Connections { every: 2, index: 1 },
        Effect::StallAfter(10),
    );
    let server = serving(100, stalls);
    let got: Vec<_> = (0..4).map(|_| get(&server, "/f", &[]).body.len()).collect();
    assert_eq!(got, [100, 10, 100, 10]);
}

#[test]
fn connections_are_kept_alive_and_the_log_tells() {
    let server = serving(100, Behaviour::new());
    let mut stream = TcpStream::connect(server.address()).unwrap();
    write_request(&mut stream, "POST", "/f?q=1", &["Content-Length: 5"]).unwrap();
    stream.write_all(b"hello").unwrap();
    write_request(
        &mut stream,
        "GET",
        "/f",
        &["Range: bytes=10-19", "X-Own: yes", "Connection: close"],
    )
    .unwrap();
    let reply = read_reply(&mut stream);
    assert!(
        reply
            .body
            .ends_with(&Object::random(1, 100).expected(10..20))
    );
    let log = server.requests_for("/f");
    assert_eq!(log.len(), 2);
    assert_eq!(
        (
            log[0].method.as_str(),
            log[0].target.as_str(),
            log[0].connection
        ),
        ("POST", "/f?q=1", 0)
    );
    assert_eq!(
        (
            log[1].method.as_str(),
            log[1].header("x-own"),
            log[1].connection
        ),
        ("GET", Some("yes"), 0)
    );
    assert_eq!(
        (log[1].range(), log[1].status, log[1].sent),
        (Some(RequestedRange::Span(10, 19)), 206, 10)
    );
    assert!(log.iter().all(|request| request.finished) && log[0].at <= log[1].at);
    assert_eq!(
        (
            server.bytes_sent(),
            server.count("/f"),
            server.connections()
        ),
        (110, 2, 1)
    );
    server.reset_log();
    assert_eq!(
        (
            server.requests().len(),
            server.bytes_sent(),
            server.count("/f")
        ),
        (0, 0, 0)
    );
}

#[test]
fn all_connections_can_be_reset_and_the_server_can_come_back() {
    let server = serving(1_000_000, Behaviour::new().rate(100_000));
    let reply = thread::scope(|scope| {
        let reply = scope.spawn(|| get(&server, "/f", &[]));
        thread::sleep(Duration::from_millis(200));
        server.reset_connections();
        reply.join().unwrap()
    });
    assert_eq!((reply.status, reply.end), (200, End::Reset));
    let port = server.port();
    drop(server);
    TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    let server = Server::builder().port(port).spawn_thread().unwrap();
    assert_eq!(
        request(&server, "GET", "/f", &["Connection: close"]).status,
        404
    );
}

#[tokio::test]
async fn a_server_in_the_callers_runtime() {
    let server = Server::start().await;
    server.serve("/f", Object::bytes(*b"hello"));
    let port = server.port();
    let reply = tokio::task::spawn_blocking(move || {
        let reply = get(&server, "/f", &[]);
        drop(server);
        reply
    });
    let reply = reply.await.unwrap();
    assert_eq!(
        (reply.status, reply.body.as_slice()),
        (200, b"hello".as_slice())
    );
    tokio::time::sleep(Duration::from_millis(50)).await;
    tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap_err();
}
