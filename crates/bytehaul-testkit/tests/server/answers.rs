//! What the server says: statuses, ranges, validators and framing, honest and dishonest.

use std::time::{Duration, SystemTime};

use bytehaul_testkit::{Behaviour, Effect, Object, Server, When};

use crate::wire::{End, get, get_range, request};

const LEN: u64 = 10_000;

fn object() -> Object {
    Object::random(1, LEN)
        .etag("\"v1\"")
        .last_modified("Wed, 01 Jan 2025 00:00:00 GMT")
}

fn serving(behaviour: Behaviour) -> Server {
    let server = Server::spawn_thread();
    server.serve("/f", object().behaviour(behaviour));
    server
}

fn always(effect: impl Into<Effect>) -> Server {
    serving(Behaviour::new().always(effect))
}

#[test]
fn honest_answers() {
    let server = serving(Behaviour::new());
    let whole = get(&server, "/f", &[]);
    assert_eq!(
        (whole.status, whole.body.len() as u64, whole.end),
        (200, LEN, End::Fin)
    );
    assert_eq!(whole.body, object().whole());
    assert_eq!(whole.header("etag"), Some("\"v1\""));
    assert_eq!(
        whole.header("last-modified"),
        Some("Wed, 01 Jan 2025 00:00:00 GMT")
    );
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let check = |range: &str, expected: Option<(u64, u64)>| {
        let part = get_range(&server, "/f", range);
        match expected {
            Some((start, end)) => {
                assert_eq!(part.status, 206, "{range}");
                assert_eq!(
                    part.header("content-range"),
                    Some(&*format!("bytes {start}-{}/{LEN}", end - 1))
                );
                assert_eq!(part.body, object().expected(start..end), "{range}");
            }
            None => {
                assert_eq!(part.status, 416, "{range}");
                assert_eq!(
                    part.header("content-range"),
                    Some(&*format!("bytes */{LEN}"))
                );
            }
        }
    };
    check("0-0", Some((0, 1)));
    check("5-9", Some((5, 10)));
    check("9999-", Some((9999, LEN)));
    check("-3", Some((LEN - 3, LEN)));
    check("9000-20000", Some((9000, LEN)));
    check("10000-", None);
    assert_eq!(get(&server, "/nothing", &[]).status, 404);
    let head = request(&server, "HEAD", "/f", &["Connection: close"]);
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, Some("10000"), 0)
    );
}

#[test]
fn honest_conditions() {
    let server = serving(Behaviour::new());
    let check = |header: &str, status: u16| {
        assert_eq!(
            get(&server, "/f", &["Range: bytes=1-2", header]).status,
            status,
            "{header}"
        );
    };
    check("If-Range: \"v1\"", 206);
    check("If-Range: \"v2\"", 200);
    check("If-Range: Wed, 01 Jan 2025 00:00:00 GMT", 206);
    check("If-Match: \"v1\"", 206);
    check("If-Match: \"v0\", \"v1\"", 206);
    check("If-Match: *", 206);
    check("If-Match: \"v2\"", 412);
    server.behave("/f", Behaviour::new().always(Effect::IgnoreConditions));
    check("If-Range: \"v2\"", 206);
    check("If-Match: \"v2\"", 206);
    server.behave("/f", Behaviour::new().always(Effect::DistrustIfRange));
    check("If-Range: \"v1\"", 200);
    server.replace("/f", object().etag("W/\"v1\""));
    server.behave("/f", Behaviour::new());
    check("If-Range: W/\"v1\"", 200);
}

#[test]
fn dishonest_ranges() {
    let check = |effect: Effect, claimed: Option<&str>, sent: std::ops::Range<u64>| {
        let shown = format!("{effect:?}");
        let part = get_range(&always(effect), "/f", "1000-1999");
        assert_eq!(
            (part.status, part.header("content-range")),
            (206, claimed),
            "{shown}"
        );
        assert_eq!(part.body, object().expected(sent), "{shown}");
    };
    check(
        Effect::AlignStart(512),
        Some("bytes 512-1999/10000"),
        512..2000,
    );
    check(
        Effect::ShiftRange(100),
        Some("bytes 1100-2099/10000"),
        1100..2100,
    );
    check(
        Effect::ClaimStart(100),
        Some("bytes 1100-2099/10000"),
        1000..2000,
    );
    check(
        Effect::ShortRange(10),
        Some("bytes 1000-1009/10000"),
        1000..1010,
    );
    check(
        Effect::LongRange(500),
        Some("bytes 1000-2499/10000"),
        1000..2500,
    );
    check(
        Effect::WrongTotal(77),
        Some("bytes 1000-1999/77"),
        1000..2000,
    );
    check(Effect::UnknownTotal, Some("bytes 1000-1999/*"), 1000..2000);
    check(Effect::NoContentRange, None, 1000..2000);
    let ignored = get_range(&always(Effect::IgnoreRange), "/f", "1000-1999");
    assert_eq!(
        (ignored.status, ignored.header("accept-ranges")),
        (200, None)
    );
    assert_eq!(ignored.body, object().whole());
    let flipped = get_range(&always(Effect::Flip(1500)), "/f", "1000-1999");
    assert_eq!(flipped.body, object().flipped_at(1500).expected(1000..2000));
}

#[test]
fn validators_that_change_and_wobble() {
    let etags = |behaviour: Behaviour| -> Vec<Option<String>> {
        let server = serving(behaviour);
        (0..4)
            .map(|_| get(&server, "/f", &[]).header("etag").map(str::to_owned))
            .collect()
    };
    let some = |text: &str| Some(text.to_owned());
    let late = Behaviour::new().when(When::From(2), Effect::Etag("\"v2\"".to_owned()));
    assert_eq!(
        etags(late),
        [
            some("\"v1\""),
            some("\"v1\""),
            some("\"v2\""),
            some("\"v2\"")
        ]
    );
    let wobble = Behaviour::new().always(Effect::AlternateEtags(
        "\"a\"".to_owned(),
        "\"b\"".to_owned(),
    ));
    assert_eq!(
        etags(wobble),
        [some("\"a\""), some("\"b\""), some("\"a\""), some("\"b\"")]
    );
    assert_eq!(
        etags(Behaviour::new().always(Effect::NoValidator)),
        [None, None, None, None]
    );
}

#[test]
fn another_version_by_count_and_by_command() {
    let new = Object::random(2, LEN).etag("\"v2\"");
    let server =
        serving(Behaviour::new().when(When::From(1), Effect::Serve(Box::new(new.clone()))));
    assert_eq!(get(&server, "/f", &[]).body, object().whole());
    assert_eq!(get(&server, "/f", &[]).body, new.whole());

    let server = serving(Behaviour::new().always(Effect::IgnoreRange));
    server.replace("/f", Object::bytes(*b"shorter"));
    let after = get_range(&server, "/f", "0-1");
    assert_eq!(
        (after.status, after.body.as_slice()),
        (200, b"shorter".as_slice())
    );
    server.remove("/f");
    assert_eq!(get(&server, "/f", &[]).status, 404);
}

#[test]
fn statuses_and_redirects() {
    let busy = Effect::status(503)
        .retry_after(Duration::from_millis(1500))
        .body("busy");
    let server = serving(Behaviour::new().when(When::Requests(1..2), busy));
    assert_eq!(get(&server, "/f", &[]).status, 200);
    let refused = get(&server, "/f", &[]);
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("2"))
    );
    assert_eq!(
        (refused.header("etag"), refused.body.as_slice()),
        (None, b"busy".as_slice())
    );
    assert_eq!(get(&server, "/f", &[]).status, 200);

    let dated = get(
        &always(Effect::status(429).retry_at(SystemTime::UNIX_EPOCH)),
        "/f",
        &[],
    );
    assert_eq!(
        (dated.status, dated.header("retry-after")),
        (429, Some("Thu, 01 Jan 1970 00:00:00 GMT"))
    );

    let server = always(Effect::Redirect(308, "../x".to_owned()));
    server.redirect("/g", server.url_on("localhost", "/f"));
    let moved = get(&server, "/f", &[]);
    assert_eq!(
        (moved.status, moved.header("location")),
        (308, Some("../x"))
    );
    let elsewhere = get(&server, "/g", &[]);
    assert_eq!(elsewhere.status, 302);
    assert_eq!(
        elsewhere.header("location"),
        Some(&*format!("http://localhost:{}/f", server.port()))
    );

    let no_head = serving(Behaviour::new().when(When::Method("HEAD"), Effect::status(405)));
    assert_eq!(
        request(&no_head, "HEAD", "/f", &["Connection: close"]).status,
        405
    );
    assert_eq!(get(&no_head, "/f", &[]).status, 200);
}

#[test]
fn framings() {
    let close = get(&always(Effect::CloseDelimited), "/f", &[]);
    assert_eq!(
        (
            close.header("content-length"),
            close.header("transfer-encoding")
        ),
        (None, None)
    );
    assert_eq!(close.body, object().whole());

    let chunked = get(&always(Effect::Chunked(6000)), "/f", &[]);
    assert_eq!(
        (
            chunked.header("content-length"),
            chunked.header("transfer-encoding")
        ),
        (None, Some("chunked"))
    );
    let expected = [
        b"1770\r\n",
        &object().expected(0..6000)[..],
        b"\r\nfa0\r\n",
        &object().expected(6000..LEN),
        b"\r\n0\r\n\r\n",
    ];
    assert_eq!(chunked.body, expected.concat());

    let gzip = get_range(&always(Effect::Gzip), "/f", "5-9");
    assert_eq!(
        (gzip.status, gzip.header("content-encoding")),
        (200, Some("gzip"))
    );
    assert_eq!(
        gzip.header("content-length"),
        Some(&*gzip.body.len().to_string())
    );
    assert_eq!(gzip.body[15..15 + 10_000], object().whole());

    let long = get(&always(Effect::Surplus(5)), "/f", &[]);
    assert_eq!(
        (long.header("content-length"), long.body.len()),
        (Some("10000"), 10_005)
    );
    assert_eq!(long.body[10_000..], *b"#####");
}

#[test]
fn heads_that_break_the_rules() {
    let raw = get(&always(Effect::Raw(b"no http at all".to_vec())), "/f", &[]);
    assert_eq!(
        (raw.status, raw.body.as_slice(), raw.end),
        (0, b"no http at all".as_slice(), End::Fin)
    );
    let flood = get(&always(Effect::HeaderFlood(200_000)), "/f", &[]);
    let bytes: usize = flood
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    assert!((190_000..220_000).contains(&bytes), "{bytes}");
    assert_eq!(flood.body, object().whole());
    let own = Behaviour::new()
        .always(Effect::Header("Content-Length".to_owned(), "5".to_owned()))
        .always(Effect::NoHeader("etag"));
    let own = get(&serving(own), "/f", &[]);
    assert_eq!(
        (
            own.header("content-length"),
            own.header("etag"),
            own.body.len()
        ),
        (Some("5"), None, 10_000)
    );
}
