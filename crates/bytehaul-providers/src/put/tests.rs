//! Uploads by `PUT` and `POST` from recorded exchanges, and against servers in memory that break in every way they can.

mod model;
mod ranges;

use bytehaul_integrity::Hasher;

use super::*;
use crate::played::{Driven, End, Play, Seen};
use crate::{Saved, Stage, Step};

pub(super) const SOURCE: &[u8] = b"0123456789";

/// A request in short: method, bytes of the source, and the fields that matter.
pub(super) fn shown(seen: &Seen) -> String {
    let mut text = seen.method.to_string();
    if let Some(range) = &seen.source {
        text += &format!(" {}..{}", range.start, range.end);
        assert_eq!(seen.body, SOURCE[range.start as usize..range.end as usize]);
    }
    for name in [
        "content-range",
        "if-none-match",
        "if-match",
        "content-md5",
        "content-digest",
    ] {
        if let Some(value) = seen.header(name) {
            text += &format!(" {name} {value}");
        }
    }
    if seen.chunked {
        text += " chunked";
    }
    if seen.expect {
        text += " expect";
    }
    text
}

/// Each row is a request and what the server does with it.
#[track_caller]
pub(super) fn play(driven: Driven<'_>, rows: &[&str], expected: &str) -> (End, Saved) {
    let mut rows = rows.iter().map(|row| row.split_once(" -> ").unwrap());
    let (end, _, saved) = driven.run(|seen| {
        let shown = shown(seen);
        let (request, answer) = rows.next().unwrap_or_else(|| panic!("unexpected {shown}"));
        assert_eq!(shown, request);
        Play::parse(answer)
    });
    assert_eq!(end.shown(), expected);
    assert_eq!(rows.next(), None, "not asked for");
    (end, saved)
}

#[track_caller]
fn check(put: &Put, rows: &[&str], expected: &str) {
    play(Driven::new(put, SOURCE), rows, expected);
}

fn put() -> Put {
    Put::new("http://a.test/f?key=s3cret")
}

fn digest(algorithm: Algorithm) -> bytehaul_integrity::Digest {
    Hasher::digest(algorithm, SOURCE)
}

#[test]
fn one_request_is_all() {
    check(&put(), &["PUT 0..10 -> 201"], "done");
    check(
        &put(),
        &["PUT 0..10 -> 200 [etag: \"x\"] kept"],
        "done \"kept\"",
    );
    check(&put().method(Method::POST), &["POST 0..10 -> 204"], "done");
    let driven = Driven::new(&Put { ..put() }, b"").run(|seen| {
        assert_eq!(seen.source, Some(0..0));
        Play::status(201)
    });
    assert_eq!(driven.0.shown(), "done");
}

#[test]
fn digests_go_with_the_body() {
    let md5 = digest(Algorithm::Md5).base64();
    let sha = digest(Algorithm::Sha512).base64();
    let both = put().content_md5(true).content_digest(Algorithm::Sha512);
    let row = format!("PUT 0..10 content-md5 {md5} content-digest sha-512=:{sha}: -> 200");
    check(&both, &[&row], "done");
    // The one that the caller knows is not computed: here it is wrong, and goes out so.
    let wrong = Hasher::digest(Algorithm::Md5, b"");
    let once = put().content_md5(true);
    let mut driven = Driven::new(&once, SOURCE);
    driven.object.digest = Some(wrong);
    play(
        driven,
        &[&format!("PUT 0..10 content-md5 {} -> 400", wrong.base64())],
        "failed 400",
    );
}

#[test]
fn what_the_server_says_of_the_bytes() {
    let crc = bytehaul_integrity::Crc::Crc32c.digest(bytehaul_integrity::crc32c(SOURCE).into());
    let verified = |put: &Put, field: &str| {
        let row = format!("PUT 0..10 -> 200 [{field}]");
        let (end, _) = play(Driven::new(put, SOURCE), &[&row], "done");
        match end {
            End::Done(completed) => completed.verified,
            other => panic!("{other:?}"),
        }
    };
    let named = format!("Repr-Digest: crc32c=:{}:", crc.base64());
    assert_eq!(verified(&put(), &named), Some(crc));
    assert_eq!(
        verified(&put(), "ETag: \"900150983cd24fb0d6963f7d28e17f72\""),
        None
    );
    let other = "PUT 0..10 -> 200 [Digest: crc32c=00000001]";
    check(&put(), &[other], "failed Checksum");

    let md5 = digest(Algorithm::Md5);
    let (with_md5, row) = (
        put().content_md5(true),
        format!("PUT 0..10 content-md5 {}", md5.base64()),
    );
    let rows = [format!("{row} -> 200 [ETag: \"{}\"]", md5.hex())];
    let (end, _) = play(Driven::new(&with_md5, SOURCE), &[&rows[0]], "done");
    let End::Done(completed) = end else {
        panic!("{end:?}")
    };
    assert_eq!(completed.verified, Some(md5));
    assert_eq!(completed.etag, Some(format!("\"{}\"", md5.hex())));
}

#[test]
fn a_put_is_sent_again() {
    check(
        &put(),
        &[
            "PUT 0..10 -> lost",
            "PUT 0..10 -> 503",
            "PUT 0..10 -> unsent",
            "PUT 0..10 -> 200",
        ],
        "done",
    );
    check(&put(), &["PUT 0..10 -> crash", "PUT 0..10 -> 204"], "done");
    check(&put(), &["PUT 0..10 -> 429"; 4], "gave up");
    for status in [301, 303, 307, 400, 404, 409, 412, 413, 416] {
        check(
            &put(),
            &[&format!("PUT 0..10 -> {status} x")],
            &format!("failed {status}"),
        );
    }
}

#[test]
fn a_post_is_not() {
    let post = put().method(Method::POST);
    check(&post, &["POST 0..10 -> lost"], "failed Indeterminate");
    check(
        &post,
        &[
            "POST 0..10 -> unsent",
            "POST 0..10 -> 503",
            "POST 0..10 -> 201",
        ],
        "done",
    );
    check(&post, &["POST 0..10 -> early 201"], "failed Indeterminate");
    // A gateway that has heard nothing from the server does not know either.
    for gateway in [502, 504] {
        let row = format!("POST 0..10 -> {gateway}");
        check(&post, &[&row], "failed Indeterminate");
        let again = post.clone().idempotent(true);
        check(&again, &[&row, "POST 0..10 -> 200"], "done");
        // It cannot have passed on what it has not got.
        let early = format!("POST 0..10 -> early {gateway}");
        check(&post, &[&early, "POST 0..10 -> 200"], "done");
    }
    check(
        &post.clone().if_none_match_any(),
        &["POST 0..10 if-none-match * -> lost"],
        "failed Indeterminate",
    );
    let again = post.idempotent(true);
    check(&again, &["POST 0..10 -> lost", "POST 0..10 -> 200"], "done");
}

#[test]
fn a_success_before_the_body_is_none() {
    check(
        &put(),
        &["PUT 0..10 -> early 200", "PUT 0..10 -> 200"],
        "done",
    );
    check(&put(), &["PUT 0..10 -> early 200"; 4], "gave up");
}

#[test]
fn an_object_that_exists_is_not_replaced() {
    let row = "PUT 0..10 if-none-match *";
    let md5 = digest(Algorithm::Md5);
    let sha = digest(Algorithm::Sha256);
    let play_known = |answers: &[&str], heads: &[&str], expected: &str| {
        let once = put().if_none_match_any();
        let mut driven = Driven::new(&once, SOURCE);
        driven.object.digest = Some(match heads.iter().any(|head| head.contains("sha")) {
            true => sha,
            false => md5,
        });
        let answers = answers.iter().map(|answer| format!("{row} -> {answer}"));
        let heads = heads.iter().map(|head| format!("HEAD -> {head}"));
        let rows: Vec<String> = answers.chain(heads).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        play(driven, &rows, expected);
    };
    play_known(&["412"], &[], "failed Changed");
    play_known(&["unsent", "429", "412"], &[], "failed Changed");
    play_known(&["lost", "201"], &[], "done");
    for doubt in ["lost", "503", "408", "early 200", "crash"] {
        let tag = format!("200 [ETag: \"{}\"] [Content-Length: 10]", md5.hex());
        play_known(&[doubt, "412"], &[&tag], "done");
        let named = format!("200 [Repr-Digest: sha-256=:{}:]", sha.base64());
        play_known(&[doubt, "412"], &["503", &named], "done");
        play_known(
            &[doubt, "412"],
            &["200 [Content-Length: 11]"],
            "failed Changed",
        );
        play_known(
            &[doubt, "412"],
            &["200 [Content-Length: 10] [Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==]"],
            "failed Changed",
        );
        for silent in [
            "200 [Content-Length: 10]",
            "200 [ETag: \"x\"]",
            "200",
            "404",
            "405",
            "301",
            "501",
        ] {
            play_known(&[doubt, "412"], &[silent], "failed Indeterminate");
        }
    }
}

#[test]
fn leave_is_asked_for_large_bodies_only() {
    let check_at = |above: u64, len: Option<u64>, row: &str| {
        let put = put().expect_continue_above(above);
        let mut driven = Driven::new(&put, SOURCE);
        driven.object.len = len;
        play(driven, &[&format!("{row} -> 200")], "done");
    };
    check_at(10, Some(10), "PUT 0..10");
    check_at(9, Some(10), "PUT 0..10 expect");
    check_at(100, None, "PUT 0..10 chunked expect");
    check_at(u64::MAX, None, "PUT 0..10 chunked");
    let small = put().expect_continue_above(1);
    check(
        &small,
        &["PUT 0..10 expect -> early 417", "PUT 0..10 -> 200"],
        "done",
    );
    check(
        &small,
        &["PUT 0..10 expect -> early 417", "PUT 0..10 -> 417"],
        "failed 417",
    );
    check(
        &small,
        &["PUT 0..10 expect -> early 401", "PUT 0..10 expect -> 200"],
        "done",
    );
}

#[test]
fn a_stream_is_sent_once() {
    let put = put();
    let check = |rows: &[&str], expected: &str| {
        let mut driven = Driven::new(&put, SOURCE);
        driven.object.len = None;
        driven.object.digest = Some(digest(Algorithm::Md5));
        let (_, saved) = play(driven, rows, expected);
        assert!(saved.parts.is_empty());
    };
    let sent = "PUT 0..10 chunked expect";
    check(&[&format!("{sent} -> 200")], "done");
    check(&[&format!("{sent} -> 503")], "failed 503");
    check(&[&format!("{sent} -> early 200")], "failed Indeterminate");
    check(
        &[&format!("{sent} -> early 503"), &format!("{sent} -> 200")],
        "done",
    );
    let tag = format!("HEAD -> 200 [ETag: \"{}\"]", digest(Algorithm::Md5).hex());
    // After an answer it is known where it ends.
    for (unknown, again) in [("lost", sent), ("502", "PUT 0..10"), ("504", "PUT 0..10")] {
        let unknown = format!("{sent} -> {unknown}");
        check(&[&unknown, "HEAD -> 200"], "failed Indeterminate");
        check(&[&unknown, &tag], "done");
        check(&[&unknown, "HEAD -> 503", &tag], "done");
        let again = format!("{again} -> 200");
        check(&[&unknown, "HEAD -> 404", &again], "done");
    }
    check(
        &[&format!("{sent} -> early 502"), &format!("{sent} -> 200")],
        "done",
    );
}

#[test]
fn an_abort_sends_nothing() {
    let put = put();
    let mut driven = Driven::new(&put, SOURCE);
    driven.abort_before = Some(1);
    let (_, saved) = play(driven, &["PUT 0..10 -> 503"], "aborted");
    assert_eq!(saved.stage, Stage::Aborted);
}

/// An upload that an earlier run was told is complete, and what the server has by now.
#[test]
fn what_is_complete_is_looked_for() {
    let put = put();
    let made = ["PUT 0..10 -> 200 [etag: \"x\"]"];
    let (_, complete) = play(Driven::new(&put, SOURCE), &made, "done");
    assert_eq!(complete.stage, Stage::Complete);
    let check = |put: &Put, rows: &[&str]| {
        let mut driven = Driven::new(put, SOURCE);
        driven.left = Some(Left::new(complete.clone(), true));
        play(driven, rows, "done");
    };
    check(&put, &["HEAD -> 200 [etag: \"x\"] [content-length: 10]"]);
    check(&put, &["HEAD -> 503", "HEAD -> 200 [etag: \"x\"]"]);
    for other in [
        "HEAD -> 404",
        "HEAD -> 200",
        "HEAD -> 200 [etag: \"y\"] [content-length: 10]",
        "HEAD -> 200 [etag: \"x\"] [content-length: 11]",
    ] {
        check(&put, &[other, "PUT 0..10 -> 201"]);
    }
    check(&put.clone().method(Method::POST), &[]);
}

#[test]
fn settings() {
    let kind = |put: &Put| put.validate().err().map(|error| error.kind());
    let parameter = Some(ProtocolErrorKind::Parameter);
    assert_eq!(kind(&put()), None);
    for bad in [
        Put::new("a.iso"),
        Put::new("file:///a"),
        put().method(Method::PATCH),
        put().content_digest(Algorithm::Md5),
        put().resumable(true).method(Method::POST),
        put().resumable(true).if_none_match_any(),
    ] {
        assert_eq!(kind(&bad), parameter, "{bad:?}");
        let opened = bad.open(&Object::new("a", Some(1)), None);
        assert_eq!(opened.err().map(|error| error.kind()), parameter);
    }
    for (needs_length, can) in [
        (put().content_md5(true), false),
        (put().content_digest(Algorithm::Sha256), false),
        (put().resumable(true), false),
        (put(), true),
    ] {
        assert_eq!(needs_length.capabilities().unknown_length, can);
        assert_eq!(
            needs_length.open(&Object::new("a", None), None).is_ok(),
            can
        );
    }
    let mut object = Object::new("a", Some(1));
    object.content_type = Some("text/plain\r\nx: y".to_owned());
    assert_eq!(
        put().open(&object, None).err().map(|error| error.kind()),
        parameter
    );
    assert!(!format!("{:?}", put()).contains("s3cret"));
    assert_eq!(put().target(), "http://a.test/f?key=s3cret");
    assert_eq!(put().endpoint().unwrap().host_str(), Some("a.test"));
    assert_eq!(Put::new("nowhere").endpoint(), None);
}

#[test]
fn the_media_type_goes_along() {
    let put = put();
    let mut driven = Driven::new(&put, SOURCE);
    driven.object.content_type = Some("video/mp4".to_owned());
    let (end, ..) = driven.run(|seen| {
        assert_eq!(seen.header("content-type"), Some("video/mp4"));
        assert_eq!(
            seen.step,
            Step::Part {
                number: 1,
                range: 0..10
            }
        );
        Play::status(200)
    });
    assert_eq!(end.shown(), "done");
}
