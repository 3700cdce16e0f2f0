//! Partial uploads of tus 1.0.0 and what joins them, exchange by exchange.

use super::rules::{CREATED, object, tus};
use super::script::check;
use crate::Object;

const JOINS: (&str, &str) = (
    "OPTIONS /files",
    "200 tus-extension: creation,concatenation",
);
const PARTIALS: [(&str, &str); 5] = [
    JOINS,
    (
        "POST /files length=4 concat=partial",
        "201 location: /files/a",
    ),
    ("PATCH /files/a offset=0 @0-4", "204 upload-offset: 4"),
    (
        "POST /files length=2 concat=partial",
        "201 location: /files/b",
    ),
    ("PATCH /files/b offset=0 @4-6", "204 upload-offset: 2"),
];
const FINAL: &str = "POST /files concat=final;https://h/files/a https://h/files/b";

fn joining(rows: &[(&str, &str)], end: &str) {
    let mut object = object(6, 4);
    object.parallel = 2;
    let rows = [&PARTIALS[..], rows].concat();
    check(&tus().concatenation(true), &object, None, &rows, end);
}

#[test]
fn partial_uploads_are_joined() {
    let made = (FINAL, "201 location: /files/f");
    let whole = (
        "HEAD /files/f",
        "200 upload-offset: 6 | upload-length: 6 | upload-concat: final;a b",
    );
    joining(&[made, whole], "done /files/f");
    joining(
        &[
            made,
            ("HEAD /files/f", "200 upload-concat: final;a b"),
            whole,
        ],
        "done /files/f",
    );
    joining(&[made, ("HEAD /files/f", "404")], "done /files/f");
    joining(&[(FINAL, "201")], "done ");
    joining(
        &[
            made,
            ("HEAD /files/f", "200 upload-offset: 5 | upload-length: 5"),
        ],
        "error Checksum",
    );
    joining(&[(FINAL, "400")], "error Status 400");
    joining(&[(FINAL, "lost"), made, whole], "done /files/f");
    joining(&[(FINAL, "504"), made, whole], "done /files/f");
    // The first request may have made the object and used up the parts.
    for unclear in ["lost", "502"] {
        for refused in ["404", "400", "410"] {
            joining(&[(FINAL, unclear), (FINAL, refused)], "error Indeterminate");
        }
        joining(
            &[(FINAL, unclear), (FINAL, "403"), (FINAL, "403")],
            "error Indeterminate",
        );
    }
    joining(&[(FINAL, "unsent"), (FINAL, "400")], "error Status 400");
}

#[test]
fn partial_uploads_that_vanish_are_sent_again() {
    joining(
        &[
            (FINAL, "404"),
            ("HEAD /files/a", "200 upload-offset: 4"),
            ("HEAD /files/b", "404"),
            (
                "POST /files length=2 concat=partial",
                "201 location: /files/c",
            ),
            ("PATCH /files/c offset=0 @4-6", "204 upload-offset: 2"),
            (
                "POST /files concat=final;https://h/files/a https://h/files/c",
                "201",
            ),
        ],
        "done ",
    );
    joining(
        &[
            ("abort", ""),
            ("DELETE /files/b", "204"),
            ("DELETE /files/a", "204"),
        ],
        "aborted",
    );
}

#[test]
fn without_concatenation_parts_go_one_after_the_other() {
    let mut object = object(6, 4);
    object.parallel = 2;
    let rows = [
        (
            "OPTIONS /files",
            "200 tus-version: 1.0.0 | tus-extension: creation",
        ),
        ("POST /files length=6", CREATED),
        ("PATCH /files/a offset=0 @0-4", "204 upload-offset: 4"),
        ("PATCH /files/a offset=4 @4-6", "204 upload-offset: 6"),
    ];
    let protocol = tus().concatenation(true);
    check(&protocol, &object, None, &rows, "done /files/a");
    // An answer that is not of a tus server at all says nothing.
    for unknown in ["404", "200", "405", "401"] {
        let rows = [
            ("OPTIONS /files", unknown),
            ("POST /files length=4 concat=partial", "400"),
        ];
        if unknown != "401" {
            check(&protocol, &object, None, &rows, "error Status 400");
        }
    }
}

#[test]
fn shares_of_parallel_parts() {
    let share = |len: u64, part: Option<u64>, parallel: usize, want: Option<u64>| {
        let mut object = Object::new("a", Some(len));
        (object.part_size, object.parallel) = (part, parallel);
        assert_eq!(
            tus().concatenation(true).partial_size(&object),
            want,
            "{len} {part:?} {parallel}"
        );
    };
    share(100 << 20, None, 4, Some(25 << 20));
    share(100 << 20, None, 1, None);
    share(2 << 20, None, 4, Some(1 << 20));
    share(1 << 20, None, 4, None);
    share(640, Some(1), 4, Some(10));
    share(641, Some(1), 4, Some(11));
    share(0, Some(1), 4, None);
    share(u64::MAX, None, usize::MAX, Some(u64::MAX.div_ceil(64)));
}
