//! The draft, exchange by exchange.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;

use super::script::{check, left};
use crate::tus::TusDraft;
use crate::{Answer, Available, Next, Object, ProtocolErrorKind, UploadProtocol};

fn draft() -> TusDraft {
    TusDraft::new(Url::parse("https://h/files").unwrap())
}

fn object(len: u64, part: u64) -> Object {
    let mut object = Object::new("a", Some(len));
    object.part_size = Some(part);
    object
}

const POST: &str = "POST /files length=8 complete=?0";
const CREATED: &str = "201 location: /up/a";
const FIRST: &str = "PATCH /up/a offset=0 complete=?0 @0-4";
const LAST: &str = "PATCH /up/a offset=4 complete=?1 @4-8";
const HEAD: &str = "HEAD /up/a";

fn run(rows: &[(&str, &str)], end: &str) {
    check(&draft(), &object(8, 4), None, rows, end);
}

#[test]
fn careful_creation_and_appends() {
    let begin = (POST, CREATED);
    let last = (
        LAST,
        "201 upload-complete: ?1 | location: /things/1 | etag: \"e\" > {\"id\":1}",
    );
    let end = "done /things/1 {\"id\":1}";
    for first in [
        "204 upload-complete: ?0",
        "204 upload-offset: 4",
        "200 upload-complete: ?0 | upload-offset: 4",
    ] {
        run(&[begin, (FIRST, first), last], end);
    }
    let empty = [
        ("POST /files length=0 complete=?0", CREATED),
        (
            "PATCH /up/a offset=0 complete=?1",
            "200 upload-complete: ?1",
        ),
    ];
    check(&draft(), &object(0, 4), None, &empty, "done ");
}

#[test]
fn unclear_answers() {
    let begin = [(POST, CREATED), (FIRST, "204 upload-complete: ?0")];
    let rest = (
        "PATCH /up/a offset=6 complete=?1 @6-8",
        "200 upload-complete: ?1",
    );
    let asked = (HEAD, "204 upload-offset: 6 | upload-complete: ?0");
    for unclear in [
        "lost",
        "500",
        "409 upload-offset: 6",
        "204",
        "204 upload-complete: ?0",
        "204 upload-complete: 1 | upload-offset: 8",
        "400 > {\"type\":\"https://iana.org/assignments/http-problem-types#mismatching-upload-offset\",\"expected-offset\":6}",
        "400 > {\"type\":\"https://iana.org/assignments/http-problem-types#completed-upload\"}",
        "423",
    ] {
        run(
            &[&begin[..], &[(LAST, unclear), asked, rest]].concat(),
            "done ",
        );
    }
    run(
        &[
            (POST, "lost"),
            begin[0],
            (FIRST, "unsent"),
            begin[1],
            (LAST, "400"),
        ],
        "error Status 400",
    );
}

#[test]
fn who_may_say_complete() {
    let begin = [(POST, CREATED), (FIRST, "204 upload-complete: ?0")];
    let ends = |rows: &[(&str, &str)], end: &str| run(&[&begin[..], rows].concat(), end);
    let complete = (HEAD, "204 upload-offset: 8 | upload-complete: ?1");
    ends(&[(LAST, "lost"), complete], "done ");
    ends(&[(LAST, "200 > made"), complete], "done  made");
    // All bytes are there, and nobody has said that it is complete.
    let all = (HEAD, "204 upload-offset: 8 | upload-complete: ?0");
    let commit = (
        "PATCH /up/a offset=8 complete=?1",
        "200 upload-complete: ?1 > made",
    );
    ends(&[(LAST, "lost"), all, commit], "done  made");
    ends(&[(LAST, "lost"), (HEAD, "404")], "error Indeterminate");
    ends(&[(LAST, "502"), (HEAD, "410")], "error Indeterminate");
    ends(&[(LAST, "204"), (HEAD, "404")], "error Indeterminate");
    ends(&[(LAST, "200 early upload-complete: ?1")], "error Range");
    ends(&[(LAST, "422 upload-complete: ?1")], "error Status 422");
    ends(&[(LAST, "503 upload-complete: ?1")], "error Status 503");
    ends(
        &[(LAST, "303 upload-complete: ?1 | location: /x")],
        "done /x",
    );
    ends(
        &[
            (LAST, "lost"),
            (HEAD, "204 upload-offset: 6 | upload-complete: ?1"),
        ],
        "error Checksum",
    );
    ends(
        &[
            (LAST, "lost"),
            (HEAD, "204 upload-offset: 9 | upload-complete: ?1"),
        ],
        "error Range",
    );
    ends(
        &[(LAST, "lost"), (HEAD, "204 upload-complete: ?1")],
        "error Parse",
    );
    run(
        &[(POST, CREATED), (FIRST, "204 upload-complete: ?1")],
        "error Checksum",
    );
    let completed =
        "410 > {\"type\":\"https://iana.org/assignments/http-problem-types#completed-upload\"}";
    let again = "PATCH /up/a offset=4 complete=?1 @4-8";
    let asked = (HEAD, "204 upload-offset: 4");
    ends(
        &[(LAST, "lost"), asked, (again, completed), (HEAD, "410")],
        "done ",
    );
}

#[test]
fn vanished_uploads_begin_anew() {
    let mut rows = Vec::new();
    for _ in 0..4 {
        rows.push((POST, CREATED));
        rows.push((FIRST, "404"));
    }
    run(&rows, "error Status 404");
    rows.truncate(2);
    rows.extend([
        (POST, CREATED),
        (FIRST, "204 upload-complete: ?0"),
        (LAST, "200 upload-complete: ?1"),
    ]);
    run(&rows, "done ");
    // A creation that is taken for a whole request of no bytes has no upload to go on with.
    run(&[(POST, "200")], "error Parse");
}

#[test]
fn limits_are_kept() {
    let with = |limits: &str, rows: &[(&str, &str)], end: &str| {
        let created = format!("{CREATED} | upload-limit: {limits}");
        run(&[&[(POST, created.as_str())], rows].concat(), end);
    };
    with("max-size=7", &[], "error Parameter");
    with("min-size=9", &[], "error Parameter");
    with("min-append-size=5, max-append-size=4", &[], "error Parse");
    with("max-append-size=0", &[], "error Parse");
    let three = "PATCH /up/a offset=0 complete=?0 @0-3";
    with(
        "max-size=8, max-append-size=3",
        &[(three, "400")],
        "error Status 400",
    );
    let six = "PATCH /up/a offset=0 complete=?0 @0-6";
    with("min-append-size=6", &[(six, "400")], "error Status 400");
    with("max-append-size=3.0", &[(FIRST, "400")], "error Status 400");
}

#[test]
fn too_large_for_something_between() {
    let size = 256 << 10;
    let rows = [
        (
            format!("POST /files length={size} complete=?0"),
            CREATED.to_owned(),
        ),
        (
            format!("PATCH /up/a offset=0 complete=?1 @0-{size}"),
            "413".into(),
        ),
        (
            HEAD.into(),
            "204 upload-offset: 0 | upload-complete: ?0".into(),
        ),
        (
            format!("PATCH /up/a offset=0 complete=?0 @0-{}", size / 2),
            "413".into(),
        ),
        (
            HEAD.into(),
            "204 upload-offset: 0 | upload-complete: ?0".into(),
        ),
        (
            format!("PATCH /up/a offset=0 complete=?0 @0-{}", size / 4),
            "413".into(),
        ),
    ];
    let rows: Vec<_> = rows.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    check(
        &draft(),
        &object(size, 1 << 20),
        None,
        &rows,
        "error Status 413",
    );
}

/// While it is not known whether a stream has bytes, a server that takes none is no server for it.
#[test]
fn streams_and_appends_of_no_size() {
    let open = Object::new("a", None);
    let mut session = draft().open(&open, None).unwrap();
    let available = Available {
        until: 8,
        ended: false,
    };
    let Next::Send(create) = session.next(available, UNIX_EPOCH).unwrap() else {
        panic!("an upload is created first");
    };
    let fields = [("location", "/up/a"), ("upload-limit", "max-append-size=0")];
    let field = |(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    let (headers, body) = (HeaderMap::from_iter(fields.map(field)), Bytes::new());
    let answer = Answer::new(StatusCode::CREATED, &headers, &body, &create.url);
    session.answered(create.id, &answer, UNIX_EPOCH).unwrap();
    let error = session.next(available, UNIX_EPOCH).unwrap_err();
    assert_eq!(error.kind(), ProtocolErrorKind::Parse);
}

#[test]
fn resumed() {
    let rest = (
        "PATCH /up/a offset=6 complete=?1 @6-8",
        "200 upload-complete: ?1",
    );
    let at_six = (HEAD, "204 upload-offset: 6 | upload-complete: ?0");
    let go = |sizes: &[u64], unchanged: bool, rows: &[(&str, &str)], end: &str| {
        let left = left("https://h/up/a", sizes, unchanged);
        check(&draft(), &object(8, 4), Some(left), rows, end);
    };
    go(&[4], true, &[at_six, rest], "done ");
    let anew = [
        at_six,
        ("DELETE /up/a", "204"),
        (POST, "201 location: /up/b"),
    ];
    let sent = [
        (
            "PATCH /up/b offset=0 complete=?0 @0-4",
            "204 upload-complete: ?0",
        ),
        (
            "PATCH /up/b offset=4 complete=?1 @4-8",
            "200 upload-complete: ?1",
        ),
    ];
    go(&[4], false, &[&anew[..], &sent[..]].concat(), "done ");
    let shorter = (
        HEAD,
        "204 upload-offset: 4 | upload-complete: ?0 | upload-length: 6",
    );
    go(
        &[4],
        false,
        &[&[shorter], &anew[1..], &sent[..]].concat(),
        "done ",
    );
    go(&[4], true, &[shorter], "error Changed");
    let complete = (HEAD, "204 upload-offset: 8 | upload-complete: ?1");
    go(&[4], true, &[complete], "done ");
    go(&[4], false, &[complete], "error Changed");
    // Killed while the request that completes may have been on its way.
    let mut completing = left("https://h/up/a", &[4], true);
    completing
        .saved
        .extra
        .insert("completing".into(), "1".into());
    check(
        &draft(),
        &object(8, 4),
        Some(completing),
        &[(HEAD, "404")],
        "error Indeterminate",
    );
}

#[test]
fn aborted() {
    run(
        &[
            (POST, CREATED),
            ("abort", ""),
            ("DELETE /up/a", "503"),
            ("DELETE /up/a", "404"),
        ],
        "aborted",
    );
    run(&[("abort", "")], "aborted");
    let given = draft().upload_url(Url::parse("https://h/up/7").unwrap());
    check(&given, &object(8, 4), None, &[("abort", "")], "aborted");
}
