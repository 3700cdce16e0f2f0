//! Form uploads from recorded exchanges, and against a server in memory that breaks in every way it can.

mod model;

use bytehaul_integrity::{Algorithm, Hasher};
use http::Method;

use super::*;
use crate::played::{Driven, End, Play, Seen};
use crate::{Saved, Stage, Step};

/// What a server reads out of a request, checked against the contract on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Read {
    pub(super) md5: String,
    pub(super) name: String,
    pub(super) category: String,
    pub(super) total: u64,
    /// Offset and bytes of a chunk; prepare has none.
    pub(super) chunk: Option<(u64, Vec<u8>)>,
}

impl Read {
    /// Takes a form apart as RFC 7578 says, and insists on the names, their order and the exact heads of the parts.
    pub(super) fn of(seen: &Seen) -> Self {
        let boundary = seen
            .header("content-type")
            .and_then(|value| value.strip_prefix("multipart/form-data; boundary="))
            .unwrap();
        let first = format!("--{boundary}\r\n");
        let next = format!("\r\n--{boundary}");
        let mut rest = seen.body.strip_prefix(first.as_bytes()).unwrap();
        let mut parts = Vec::new();
        loop {
            let (head, behind) = cut(rest, b"\r\n\r\n");
            let (value, behind) = cut(behind, next.as_bytes());
            parts.push((String::from_utf8(head.to_vec()).unwrap(), value.to_vec()));
            if behind == b"--\r\n" {
                break;
            }
            rest = behind.strip_prefix(b"\r\n").unwrap();
        }
        let chunk = match parts.len() {
            4 => None,
            7 => {
                let (head, data) = parts.remove(0);
                let expected = "Content-Disposition: form-data; name=\"file\"; filename=\"upload_chunk_data\"\r\n\
                                Content-Type: application/octet-stream";
                assert_eq!(head, expected);
                let (offset, size) = (value(&parts, 3, "offset"), value(&parts, 4, "partSize"));
                assert_eq!(size, data.len().to_string());
                Some((offset.parse().unwrap(), data))
            }
            other => panic!("{other} parts"),
        };
        let last = parts.len() - 1;
        Self {
            md5: value(&parts, 0, "fileMd5"),
            name: value(&parts, 1, "fileName"),
            category: value(&parts, 2, "category"),
            total: value(&parts, last, "totalSize").parse().unwrap(),
            chunk,
        }
    }
}

fn value(parts: &[(String, Vec<u8>)], at: usize, name: &str) -> String {
    let (head, value) = &parts[at];
    assert_eq!(
        *head,
        format!("Content-Disposition: form-data; name=\"{name}\"")
    );
    String::from_utf8(value.clone()).unwrap()
}

fn cut<'a>(bytes: &'a [u8], at: &[u8]) -> (&'a [u8], &'a [u8]) {
    let found = bytes
        .windows(at.len())
        .position(|window| window == at)
        .unwrap();
    (&bytes[..found], &bytes[found + at.len()..])
}

/// Ten bytes in chunks of four. Each row is a request and what the server does with it.
#[track_caller]
fn check(rows: &[&str], expected: &str) {
    play(b"0123456789", None, rows, expected);
}

#[track_caller]
fn play(source: &[u8], left: Option<Left>, rows: &[&str], expected: &str) {
    let form = Form::new("http://a.test/up?key=s3cret")
        .part_size(4)
        .category("c");
    let mut rows = rows.iter().map(|row| row.split_once(" -> ").unwrap());
    let mut driven = Driven::new(&form, source);
    driven.left = left;
    let (end, ..) = driven.run(|seen| {
        let read = Read::of(seen);
        assert_eq!(seen.method, Method::POST);
        assert!(!seen.chunked && !seen.expect);
        assert_eq!((&*read.name, &*read.category), ("file.bin", "c"));
        assert_eq!(read.total, source.len() as u64);
        assert_eq!(read.md5, Hasher::digest(Algorithm::Md5, source).hex());
        let shown = match (&seen.step, read.chunk) {
            (Step::Begin, None) => "prepare".to_owned(),
            (Step::Check, None) => "ask".to_owned(),
            (Step::Part { range, .. }, Some((offset, data))) => {
                assert_eq!(
                    (range.start, range.end),
                    (offset, offset + data.len() as u64)
                );
                assert_eq!(data, source[offset as usize..][..data.len()]);
                format!("{offset}+{}", data.len())
            }
            other => panic!("{other:?}"),
        };
        let (request, answer) = rows.next().unwrap_or_else(|| panic!("unexpected {shown}"));
        assert_eq!(shown, request);
        Play::parse(answer)
    });
    assert_eq!(end.shown(), expected);
    assert_eq!(rows.next(), None, "not asked for");
}

#[test]
fn the_cursor_of_the_server_decides() {
    check(
        &[
            "prepare -> 200",
            "0+4 -> 204",
            "4+4 -> 201 {}",
            "8+2 -> 200",
        ],
        "done",
    );
    check(
        &[
            "prepare -> 200 {\"nextByte\":4}",
            "4+4 -> 200",
            "8+2 -> 200 {\"fileId\":\"x7\"}",
        ],
        "done \"x7\"",
    );
    // Off the grid, and a chunk taken in pieces.
    check(
        &[
            "prepare -> 200 {\"nextByte\":3}",
            "3+4 -> 200 {\"nextByte\":4}",
            "4+4 -> 200 {\"nextByte\":8}",
            "8+2 -> 200 {\"nextByte\":9}",
            "9+1 -> 200 {\"nextByte\":10}",
        ],
        "done",
    );
    check(
        &[
            "prepare -> 200 {\"nextByte\":-5}",
            "0+4 -> 200 {\"fileId\":\"\"}",
        ],
        "done \"\"",
    );
    check(&["prepare -> 200 {\"nextByte\":10}"], "done");
    // Instant upload; the id wins over any cursor.
    check(
        &["prepare -> 200 {\"fileId\":\"i\",\"nextByte\":99}"],
        "done \"i\"",
    );
}

#[test]
fn cursors_that_cannot_be() {
    check(&["prepare -> 200 {\"nextByte\":11}"], "failed Range");
    check(
        &["prepare -> 200 {\"nextByte\":9223372036854775807}"],
        "failed Range",
    );
    for next in ["4", "3", "-1", "9", "9223372036854775807"] {
        let chunk = format!("4+4 -> 200 {{\"nextByte\":{next}}}");
        check(&["prepare -> 200 {\"nextByte\":4}", &chunk], "failed Range");
    }
}

#[test]
fn answers_that_cannot_be_read() {
    for body in [
        "<html>",
        "[]",
        "5",
        "{\"nextByte\":\"4\"}",
        "{\"nextByte\":4.5}",
        "{\"fileId\":1}",
    ] {
        check(&[&format!("prepare -> 200 {body}")], "failed Parse");
        check(
            &["prepare -> 200", &format!("0+4 -> 200 {body}")],
            "failed Parse",
        );
    }
}

#[test]
fn the_status_comes_first() {
    for status in [301, 307, 400, 404, 409, 416] {
        check(
            &[&format!("prepare -> {status} <html>")],
            &format!("failed {status}"),
        );
        check(
            &["prepare -> 200", &format!("0+4 -> {status} {{}}")],
            &format!("failed {status}"),
        );
    }
    check(
        &[
            "prepare -> 503 <html>",
            "prepare -> 429",
            "prepare -> 200",
            "0+4 -> 200 {\"fileId\":\"a\"}",
        ],
        "done \"a\"",
    );
}

#[test]
fn after_a_lost_chunk_the_server_is_asked() {
    for trouble in ["lost", "503", "504 <html>", "408"] {
        check(
            &[
                "prepare -> 200",
                "0+4 -> 200",
                &format!("4+4 -> {trouble}"),
                "ask -> 200 {\"nextByte\":8}",
                "8+2 -> 200",
            ],
            "done",
        );
    }
    for trouble in ["unsent", "429", "425", "401"] {
        check(
            &[
                "prepare -> 200 {\"nextByte\":4}",
                &format!("4+4 -> {trouble}"),
                "4+4 -> 200",
                "8+2 -> 200",
            ],
            "done",
        );
    }
    // The server has lost something, or is through already.
    check(
        &[
            "prepare -> 200 {\"nextByte\":8}",
            "8+2 -> lost",
            "ask -> lost",
            "ask -> 200 {\"nextByte\":7}",
            "7+3 -> 200",
        ],
        "done",
    );
    check(
        &[
            "prepare -> 200 {\"nextByte\":8}",
            "8+2 -> lost",
            "ask -> 200 {\"fileId\":\"z\"}",
        ],
        "done \"z\"",
    );
    // It answers prepare and never takes the chunk.
    check(
        &[
            "prepare -> 200",
            "0+4 -> 500",
            "ask -> 200",
            "0+4 -> 500",
            "ask -> 200",
            "0+4 -> lost",
            "ask -> 200",
            "0+4 -> 500",
        ],
        "gave up",
    );
}

#[test]
fn a_chunk_that_was_not_sent_is_not_taken() {
    let hasty = ["prepare -> 200", "0+4 -> early 200"];
    let then = [
        "ask -> 200",
        "0+4 -> 200 {\"nextByte\":4}",
        "4+4 -> 200",
        "8+2 -> 200",
    ];
    check(&[&hasty[..], &then[..]].concat(), "done");
}

#[test]
fn a_crash_goes_on_where_the_server_is() {
    check(
        &[
            "prepare -> 200",
            "0+4 -> 200",
            "4+4 -> crash",
            "prepare -> 200 {\"nextByte\":4}",
            "4+4 -> 200",
            "8+2 -> 200",
        ],
        "done",
    );
    check(
        &[
            "prepare -> crash",
            "prepare -> 200 {\"nextByte\":9}",
            "9+1 -> crash",
            "prepare -> 200 {\"fileId\":\"q\"}",
        ],
        "done \"q\"",
    );
    // The server has less than the receipts say.
    check(
        &[
            "prepare -> 200",
            "0+4 -> 200",
            "4+4 -> crash",
            "prepare -> 200 {}",
            "0+4 -> 200 {\"fileId\":\"q\"}",
        ],
        "done \"q\"",
    );
}

#[test]
fn no_bytes_need_no_chunk() {
    play(b"", None, &["prepare -> 200"], "done");
    play(
        b"",
        None,
        &["prepare -> 200 {\"fileId\":\"e\"}"],
        "done \"e\"",
    );
    play(
        b"",
        None,
        &["prepare -> 200 {\"nextByte\":1}"],
        "failed Range",
    );
}

#[test]
fn what_is_complete_is_asked_for_again() {
    let saved = Saved {
        stage: Stage::Complete,
        extra: [("file-id".to_owned(), "77".to_owned())].into(),
        ..Saved::default()
    };
    play(
        b"abc",
        Some(Left::new(saved.clone(), true)),
        &["prepare -> 200 {\"fileId\":\"78\"}"],
        "done \"78\"",
    );
    // Nobody knows of it any more.
    play(
        b"abc",
        Some(Left::new(saved.clone(), true)),
        &["prepare -> 200", "0+3 -> 200"],
        "done",
    );
    let rows = ["prepare -> 200", "0+3 -> 200"];
    play(b"abc", Some(Left::new(saved, false)), &rows, "done");
}

#[test]
fn a_changed_source_is_digested_again() {
    let saved = Saved {
        stage: Stage::Sending,
        extra: [("file-md5".to_owned(), "00".repeat(16))].into(),
        ..Saved::default()
    };
    let changed = Left::new(saved.clone(), false);
    play(
        b"abc",
        Some(changed.clone()),
        &["prepare -> 200", "0+3 -> 200"],
        "done",
    );

    let run = |form: Form, left| {
        let mut driven = Driven::new(&form, b"abc");
        driven.left = left;
        let mut md5 = Vec::new();
        let (end, ..) = driven.run(|seen| {
            md5.push(Read::of(seen).md5);
            Play::status(200)
        });
        (end.shown(), md5.first().cloned())
    };
    let form = Form::new("http://a.test/");
    let right = "900150983CD24FB0D6963F7D28E17F72";
    let lower = Some(right.to_lowercase());
    let check = |form: &Form, left: Option<&Left>, end: &str, md5: Option<String>| {
        assert_eq!(run(form.clone(), left.cloned()), (end.to_owned(), md5));
    };
    check(&form, None, "done", lower.clone());
    check(
        &form.clone().file_md5(right),
        Some(&changed),
        "done",
        lower.clone(),
    );
    // Taken at its word while nothing speaks against it.
    let wrong = form.clone().file_md5("11".repeat(16));
    check(&wrong, None, "done", Some("11".repeat(16)));
    check(&wrong, Some(&changed), "failed Checksum", None);
    // The one of the earlier run is not computed again.
    check(
        &form,
        Some(&Left::new(saved, true)),
        "done",
        Some("00".repeat(16)),
    );
}

#[test]
fn a_caller_that_knows_the_digest_saves_reading() {
    let mut object = Object::new("a", Some(3));
    object.digest = Some(Hasher::digest(Algorithm::Md5, b"abc"));
    let mut session = Form::new("http://a.test/").open(&object, None).unwrap();
    let available = crate::Available {
        until: 3,
        ended: true,
    };
    let next = session
        .next(available, std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert!(matches!(next, crate::Next::Send(_)), "{next:?}");
}

#[test]
fn names_cannot_forge_fields() {
    for name in [
        "a\r\n--bytehaul\r\n\r\nx",
        "\"; filename=\"y",
        "ü\u{0}\n",
        "",
    ] {
        let form = Form::new("http://a.test/").category(name);
        let mut driven = Driven::new(&form, b"abc");
        driven.object.name = name.to_owned();
        let (end, ..) = driven.run(|seen| {
            let read = Read::of(seen);
            assert_eq!((&*read.name, &*read.category), (name, name));
            Play::status(200)
        });
        assert_eq!(end.shown(), "done");
    }
}

#[test]
fn a_source_that_is_shorter_than_announced() {
    let mut session = Form::new("http://a.test/")
        .file_md5("0".repeat(32))
        .open(&Object::new("a", Some(3)), None)
        .unwrap();
    let available = |until, ended| crate::Available { until, ended };
    let now = std::time::SystemTime::UNIX_EPOCH;
    let crate::Next::Send(prepare) = session.next(available(0, false), now).unwrap() else {
        panic!("prepare needs no bytes")
    };
    let (headers, body) = (http::HeaderMap::new(), bytes::Bytes::new());
    let answer = crate::Answer::new(http::StatusCode::OK, &headers, &body, &prepare.url);
    session.answered(prepare.id, &answer, now).unwrap();
    let next = session.next(available(2, false), now).unwrap();
    assert!(matches!(next, crate::Next::Wait), "{next:?}");
    let error = session.next(available(2, true), now).unwrap_err();
    assert_eq!(error.kind(), ProtocolErrorKind::Length);
}

#[test]
fn nothing_is_discarded_at_the_server() {
    let form = Form::new("http://a.test/").part_size(4);
    for before in 0..3 {
        let mut driven = Driven::new(&form, b"0123456789");
        driven.abort_before = Some(before);
        let mut requests = 0;
        let (end, _, saved) = driven.run(|_| {
            requests += 1;
            Play::status(200)
        });
        assert!(matches!(end, End::Aborted), "{end:?}");
        assert_eq!((requests, saved.stage), (before, Stage::Aborted));
    }
}

#[test]
fn settings() {
    let kind = |form: &Form| form.validate().err().map(|error| error.kind());
    let good = Form::new("https://a.test/up?key=s3cret");
    assert_eq!(kind(&good), None);
    for bad in [
        Form::new(""),
        Form::new("ftp://a.test/"),
        good.clone().method(Method::GET),
        good.clone().content_type("a\r\nb"),
        good.clone().file_md5("abc"),
    ] {
        assert_eq!(kind(&bad), Some(ProtocolErrorKind::Parameter), "{bad:?}");
        let opened = bad.open(&Object::new("a", Some(1)), None);
        assert_eq!(
            opened.err().map(|error| error.kind()),
            Some(ProtocolErrorKind::Parameter)
        );
    }
    let stream = good.open(&Object::new("a", None), None).err().unwrap();
    assert_eq!(stream.kind(), ProtocolErrorKind::Length);
    assert!(!format!("{good:?}").contains("s3cret"));
    assert_eq!(
        good.clone().category("a b").target(),
        "https://a.test/up?key=s3cret#a%20b"
    );
    assert_eq!(good.endpoint().unwrap().host_str(), Some("a.test"));
    assert_eq!(Form::new("nowhere").endpoint(), None);
}
