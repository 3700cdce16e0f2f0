//! Ten bytes in ranges of four, and what a server's length makes of them.

use super::*;

fn ranged() -> Put {
    put().resumable(true).part_size(4)
}

#[track_caller]
fn check(rows: &[&str], expected: &str) {
    let put = ranged();
    play(Driven::new(&put, SOURCE), rows, expected);
}

const A: &str = "PUT 0..4";
const B: &str = "PUT 4..8 content-range bytes 4-7/10";
const C: &str = "PUT 8..10 content-range bytes 8-9/10";
const WHOLE: &str = "HEAD -> 200 [Content-Length: 10]";

/// The rows of a story, `answers` after the requests that stand before them.
#[track_caller]
fn story(steps: &[(&str, &str)], expected: &str) {
    let rows: Vec<String> = steps
        .iter()
        .map(|(request, answer)| format!("{request} -> {answer}"))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    check(&rows, expected);
}

#[test]
fn parts_follow_one_another() {
    story(
        &[
            (A, "201"),
            (B, "204"),
            (C, "200 kept"),
            ("HEAD", "200 [Content-Length: 10]"),
        ],
        "done \"kept\"",
    );
    // What fits into one part is one plain request.
    let put = ranged().part_size(10);
    play(Driven::new(&put, SOURCE), &["PUT 0..10 -> 200"], "done");
}

#[test]
fn the_length_at_the_end_must_be_right() {
    let end = |head: &str, expected: &str| {
        story(
            &[(A, "201"), (B, "204"), (C, "204"), ("HEAD", head)],
            expected,
        );
    };
    // A server that took each range for the whole object.
    end("200 [Content-Length: 2]", "failed Checksum");
    end("200 [Content-Length: 11]", "failed Checksum");
    end("404", "failed Changed");
    end("200", "failed Indeterminate");
    end("405", "failed Indeterminate");
    end("302", "failed Indeterminate");
    story(
        &[
            (A, "201"),
            (B, "204"),
            (C, "204"),
            ("HEAD", "503"),
            ("HEAD", "lost"),
            ("HEAD", "200 [Content-Length: 10]"),
        ],
        "done",
    );
    let put = ranged();
    for (hash_of, expected) in [(SOURCE, "done"), (b"other bytes", "failed Checksum")] {
        let mut driven = Driven::new(&put, SOURCE);
        driven.object.digest = Some(digest(Algorithm::Sha256));
        let named = Hasher::digest(Algorithm::Sha256, hash_of).base64();
        let head = format!("{WHOLE} [Repr-Digest: sha-256=:{named}:]");
        let rows = [
            format!("{A} -> 200"),
            format!("{B} -> 200"),
            format!("{C} -> 200"),
            head,
        ];
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        play(driven, &rows, expected);
    }
}

#[test]
fn after_a_lost_part_the_server_is_asked() {
    for trouble in ["lost", "502", "408", "early 200"] {
        let go_on = |length: u64, then: &[(&str, &str)]| {
            let head = format!("200 [Content-Length: {length}]");
            let mut steps = vec![(A, "201"), (B, trouble), ("HEAD", &*head)];
            steps.extend(then);
            story(&steps, "done");
        };
        let end = ("HEAD", "200 [Content-Length: 10]");
        go_on(4, &[(B, "204"), (C, "204"), end]);
        go_on(8, &[(C, "204"), end]);
        go_on(
            5,
            &[
                ("PUT 5..9 content-range bytes 5-8/10", "204"),
                ("PUT 9..10 content-range bytes 9-9/10", "204"),
                end,
            ],
        );
        // It has lost what it had.
        go_on(3, &[(A, "201"), (B, "204"), (C, "204"), end]);
        story(
            &[
                (A, "201"),
                (B, trouble),
                ("HEAD", "404"),
                (A, "201"),
                (B, "204"),
                (C, "204"),
                end,
            ],
            "done",
        );
        story(
            &[
                (A, "201"),
                (B, trouble),
                ("HEAD", "200 [Content-Length: 9]"),
            ],
            "failed Changed",
        );
        story(
            &[(A, "201"), (B, trouble), ("HEAD", "200")],
            "failed Length",
        );
        story(&[(A, "201"), (B, trouble), ("HEAD", "405")], "failed 405");
    }
    for trouble in ["unsent", "429", "401"] {
        story(
            &[
                (A, "201"),
                (B, trouble),
                (B, "204"),
                (C, "204"),
                ("HEAD", "200 [Content-Length: 10]"),
            ],
            "done",
        );
    }
    // The first part says nothing of the length: an older object may be there.
    story(
        &[
            (A, "lost"),
            (A, "503"),
            (A, "201"),
            (B, "204"),
            (C, "lost"),
            ("HEAD", "200 [Content-Length: 10]"),
            ("HEAD", "200 [Content-Length: 10]"),
        ],
        "done",
    );
    story(&[(A, "201"), (B, "501")], "failed 501");
}

#[test]
fn somebody_else_writes() {
    let rounds = [
        format!("{A} -> 201"),
        format!("{B} -> lost"),
        "HEAD -> 404".to_owned(),
    ];
    let rows: Vec<&str> = rounds.iter().map(String::as_str).cycle().take(12).collect();
    let put = ranged();
    let mut driven = Driven::new(&put, SOURCE);
    driven.tries = 10;
    play(driven, &rows, "failed Changed");
}

#[test]
fn a_crash_goes_on_by_the_length() {
    let crashed = |head: &str, then: &[(&str, &str)]| {
        let mut steps = vec![(A, "201 [ETag: \"v1\"]"), (B, "crash"), ("HEAD", head)];
        steps.extend(then);
        steps.push(("HEAD", "200 [Content-Length: 10]"));
        story(&steps, "done");
    };
    crashed("200 [Content-Length: 4]", &[(B, "204"), (C, "204")]);
    crashed(
        "200 [Content-Length: 4] [ETag: W/\"v1\"]",
        &[(B, "204"), (C, "204")],
    );
    crashed("200 [Content-Length: 8] [ETag: \"v2\"]", &[(C, "204")]);
    // Not what was left: from the first byte.
    for head in [
        "200 [Content-Length: 4] [ETag: \"v2\"]",
        "200 [Content-Length: 3]",
        "200 [Content-Length: 11]",
        "200",
        "404",
    ] {
        crashed(head, &[(A, "204"), (B, "204"), (C, "204")]);
    }
    // Nothing was acknowledged.
    story(
        &[
            (A, "crash"),
            (A, "201"),
            (B, "204"),
            (C, "204"),
            ("HEAD", "200 [Content-Length: 10]"),
        ],
        "done",
    );
}

#[test]
fn what_a_changed_source_left_is_not_trusted_beyond_the_receipts() {
    let left = Saved {
        stage: Stage::Sending,
        part_size: 4,
        parts: vec![crate::PartReceipt::new(0, 0, 4)],
        ..Saved::default()
    };
    let put = ranged();
    let check = |length: u64, rows: &[&str]| {
        let mut driven = Driven::new(&put, SOURCE);
        driven.left = Some(Left::new(left.clone(), false));
        let head = format!("HEAD -> 200 [Content-Length: {length}]");
        let (b, c) = (format!("{B} -> 204"), format!("{C} -> 204"));
        let rows: Vec<&str> = [&[&*head], rows, &[&b, &c, WHOLE]].concat();
        play(driven, &rows, "done");
    };
    check(4, &[]);
    check(8, &[&format!("{A} -> 204")]);
}

/// What a run that had sent no more than this could not have made is somebody else's, or of who knows when.
#[test]
fn what_no_run_can_have_sent_is_not_ours() {
    let put = Put {
        part_size: 1,
        ..ranged()
    };
    let part = |at: u64| match at {
        0 => "PUT 0..1".to_owned(),
        _ => format!("PUT {at}..{} content-range bytes {at}-{at}/10", at + 1),
    };
    let check = |reach: Option<&str>, length: u64, goes_on_at: u64| {
        let mut left = Saved {
            stage: Stage::Sending,
            part_size: 1,
            parts: vec![crate::PartReceipt::new(1, 0, 2)],
            ..Saved::default()
        };
        let reach = reach.map(|reach| ("reach".to_owned(), reach.to_owned()));
        left.extra.extend(reach);
        let mut driven = Driven::new(&put, SOURCE);
        driven.left = Some(Left::new(left, true));
        let mut rows = vec![format!("HEAD -> 200 [Content-Length: {length}]")];
        rows.extend((goes_on_at..10).map(|at| format!("{} -> 204", part(at))));
        rows.push(WHOLE.to_owned());
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        play(driven, &rows, "done");
    };
    for (length, goes_on_at) in [(1, 0), (2, 2), (4, 4), (5, 0), (10, 0)] {
        check(Some("4"), length, goes_on_at);
    }
    check(Some("10"), 10, 10);
    // A checkpoint that does not say it: one part was on its way.
    for reach in [None, Some("x"), Some("")] {
        check(reach, 3, 3);
        check(reach, 4, 0);
    }
}

/// How far a run may go is kept before it goes there.
#[test]
fn the_reach_is_saved_before_it_is_left() {
    let put = Put {
        part_size: 1,
        ..ranged()
    };
    let mut session = put.open(&Object::new("f", Some(10)), None).unwrap();
    let (url, headers, body) = (
        Url::parse("http://a.test/f").unwrap(),
        HeaderMap::new(),
        bytes::Bytes::new(),
    );
    let available = crate::Available {
        until: 10,
        ended: true,
    };
    let now = std::time::UNIX_EPOCH;
    let mut kept = session.saved();
    let mut saves = 0;
    for at in 0..10 {
        let Ok(crate::Next::Send(exchange)) = session.next(available, now) else {
            panic!("no part {at}");
        };
        if session.outruns(&kept) {
            kept = session.saved();
            saves += 1;
        }
        assert!(!session.outruns(&kept));
        let reach: u64 = kept.extra["reach"].parse().unwrap();
        assert!(reach > at && reach <= 10, "{reach} at {at}");
        let answer = crate::Answer::new(http::StatusCode::NO_CONTENT, &headers, &body, &url);
        let answer = answer.sent(1, Some(0));
        session.answered(exchange.id, &answer, now).unwrap();
    }
    // Not for each part, which would cost more than it gives.
    assert!((1..=4).contains(&saves), "{saves}");
}

#[test]
fn digests_go_with_each_part() {
    let put = ranged().content_md5(true);
    let md5 =
        |range: std::ops::Range<usize>| Hasher::digest(Algorithm::Md5, &SOURCE[range]).base64();
    let rows = [
        format!("{A} content-md5 {} -> 201", md5(0..4)),
        format!("{B} content-md5 {} -> 429", md5(4..8)),
        format!("{B} content-md5 {} -> 204", md5(4..8)),
        format!("{C} content-md5 {} -> 204", md5(8..10)),
        WHOLE.to_owned(),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    play(Driven::new(&put, SOURCE), &rows, "done");
}

#[test]
fn an_abort_deletes_what_is_ours() {
    let put = ranged();
    let check = |before: usize, rows: &[&str], expected: &str| {
        let mut driven = Driven::new(&put, SOURCE);
        driven.abort_before = Some(before);
        play(driven, rows, expected);
    };
    let a = format!("{A} -> 201 [ETag: \"v1\"]");
    check(0, &[], "aborted");
    check(1, &[&format!("{A} -> 503")], "aborted");
    check(
        1,
        &[
            &a,
            "HEAD -> 200 [Content-Length: 4] [ETag: \"v1\"]",
            "DELETE if-match \"v1\" -> 204",
        ],
        "aborted",
    );
    check(
        1,
        &[
            &a,
            "HEAD -> 200 [Content-Length: 4]",
            "DELETE -> lost",
            "DELETE -> 404",
        ],
        "aborted",
    );
    let lost = format!("{B} -> lost");
    check(
        2,
        &[
            &a,
            &lost,
            "HEAD -> 200 [Content-Length: 6] [ETag: W/\"v2\"]",
            "DELETE -> 204",
        ],
        "aborted",
    );
    check(
        2,
        &[&a, &lost, "HEAD -> 200 [Content-Length: 9]"],
        "aborted",
    );
    check(
        1,
        &[
            &a,
            "HEAD -> 200 [Content-Length: 4] [ETag: \"v1\"]",
            "DELETE if-match \"v1\" -> 412",
        ],
        "aborted",
    );
    // Somebody else's.
    for head in [
        "200 [Content-Length: 4] [ETag: \"v2\"]",
        "200 [Content-Length: 3]",
        "200 [Content-Length: 6]",
        "200 [Content-Length: 9]",
        "200 [Content-Length: 11]",
        "200",
        "404",
    ] {
        check(1, &[&a, &format!("HEAD -> {head}")], "aborted");
    }
    check(
        1,
        &[&a, "HEAD -> 200 [Content-Length: 4]", "DELETE -> 405"],
        "failed 405",
    );
}
