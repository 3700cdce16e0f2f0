//! tus 1.0.0, exchange by exchange.

use bytehaul_integrity::Algorithm;
use url::Url;

use super::script::{check, left};
use crate::tus::Tus;
use crate::{Left, Object, UploadProtocol};

pub(super) fn tus() -> Tus {
    Tus::new(Url::parse("https://h/files").unwrap()).file_metadata(false)
}

pub(super) fn object(len: u64, part: u64) -> Object {
    let mut object = Object::new("a", Some(len));
    object.part_size = Some(part);
    object
}

pub(super) const CREATED: &str = "201 location: /files/a";

#[test]
fn parts_one_after_the_other() {
    check(
        &tus(),
        &object(10, 4),
        None,
        &[
            ("POST /files length=10", "201 location: a?k=secret#x"),
            ("PATCH /a?k=secret offset=0 @0-4", "204 upload-offset: 4"),
            ("PATCH /a?k=secret offset=4 @4-8", "204 upload-offset: 6"),
            (
                "PATCH /a?k=secret offset=6 @6-10",
                "200 upload-offset: 10 > made",
            ),
        ],
        "done /a?k=secret made",
    );
}

#[test]
fn an_empty_object_is_verified() {
    check(
        &tus(),
        &object(0, 4),
        None,
        &[
            ("POST /files length=0", CREATED),
            ("HEAD /files/a", "200 upload-offset: 0 | upload-length: 0"),
        ],
        "done /files/a",
    );
}

/// After anything unclear the server is asked, and its word holds downwards too.
#[test]
fn unclear_answers() {
    let unclear = |reply: &str| {
        check(
            &tus(),
            &object(8, 4),
            None,
            &[
                ("POST /files length=8", CREATED),
                ("PATCH /files/a offset=0 @0-4", "204 upload-offset: 4"),
                ("PATCH /files/a offset=4 @4-8", reply),
                ("HEAD /files/a", "200 upload-offset: 2"),
                ("PATCH /files/a offset=2 @2-6", "204 upload-offset: 6"),
                ("PATCH /files/a offset=6 @6-8", "204 upload-offset: 8"),
            ],
            "done /files/a",
        );
    };
    for reply in [
        "lost",
        "204",
        "409",
        "500",
        "503",
        "423",
        "429",
        "409 upload-offset: 7",
    ] {
        unclear(reply);
    }
    check(
        &tus(),
        &object(4, 4),
        None,
        &[
            ("POST /files length=4", "lost"),
            ("POST /files length=4", CREATED),
            ("PATCH /files/a offset=0 @0-4", "unsent"),
            ("PATCH /files/a offset=0 @0-4", "lost"),
            ("HEAD /files/a", "423"),
            ("HEAD /files/a", "lost"),
            ("HEAD /files/a", "200 upload-offset: 4 | upload-length: 4"),
        ],
        "done /files/a",
    );
}

#[test]
fn wrong_cursors() {
    let patch = |reply: &str, end: &str| {
        let rows = [
            ("POST /files length=8", CREATED),
            ("PATCH /files/a offset=0 @0-4", reply),
        ];
        check(&tus(), &object(8, 4), None, &rows, end);
    };
    patch("204 upload-offset: 5", "error Range");
    patch("204 upload-offset: 0", "error Range");
    // It cannot have what was not sent when it answered.
    patch("204 early upload-offset: 4", "error Range");
    patch("204 early upload-offset: 3", "error Range");
    for value in [
        "-1",
        "+4",
        "4.0",
        "0x4",
        "18446744073709551616",
        "",
        "ü",
        "4, 4",
    ] {
        patch(&format!("204 upload-offset: {value}"), "error Parse");
    }
    patch("204 upload-offset: 4 | upload-offset: 3", "error Parse");
    patch("413", "error Status 413");
    patch("400", "error Status 400");
    patch("460", "error Status 460");
    patch("302 location: /elsewhere", "error Status 302");
    let head = |reply: &str, end: &str| {
        let rows = [
            ("POST /files length=8", CREATED),
            ("PATCH /files/a offset=0 @0-4", "lost"),
            ("HEAD /files/a", reply),
        ];
        check(&tus(), &object(8, 4), None, &rows, end);
    };
    head("200 upload-offset: 9", "error Range");
    head("200 upload-offset: 5", "error Range");
    head("200 upload-offset: 18446744073709551615", "error Range");
    head("200", "error Parse");
    head("200 upload-offset: 4 | upload-length: 9", "error Changed");
}

/// A server that says yes and keeps nothing does not keep the client for ever.
#[test]
fn silence_ends() {
    let mut rows = vec![("POST /files length=8", CREATED)];
    for _ in 0..8 {
        rows.push(("PATCH /files/a offset=0 @0-4", "204"));
        rows.push(("HEAD /files/a", "200 upload-offset: 0"));
    }
    rows.push(("PATCH /files/a offset=0 @0-4", "204"));
    check(&tus(), &object(8, 4), None, &rows, "error Range");
}

#[test]
fn vanished_uploads_begin_anew() {
    for gone in ["404", "410"] {
        check(
            &tus(),
            &object(4, 4),
            None,
            &[
                ("POST /files length=4", CREATED),
                ("PATCH /files/a offset=0 @0-4", gone),
                ("POST /files length=4", "201 location: /files/b"),
                ("PATCH /files/b offset=0 @0-4", "lost"),
                ("HEAD /files/b", gone),
                ("POST /files length=4", "201 location: /files/c"),
                ("PATCH /files/c offset=0 @0-4", gone),
                ("POST /files length=4", "201 location: /files/d"),
                ("PATCH /files/d offset=0 @0-4", gone),
            ],
            &format!("error Status {gone}"),
        );
    }
}

#[test]
fn where_the_upload_is() {
    let at = |creation: &str, location: &str, want: &str| {
        let protocol = Tus::new(Url::parse(creation).unwrap()).file_metadata(false);
        let rows = [
            (
                format!("POST {} length=0", creation.trim_start_matches("https://h")),
                format!("201 location: {location}"),
            ),
            (format!("HEAD {want}"), "200 upload-offset: 0".to_owned()),
        ];
        let rows: Vec<_> = rows.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        check(
            &protocol,
            &object(0, 4),
            None,
            &rows,
            &format!("done {want}"),
        );
    };
    at("https://h/files/", "a", "/files/a");
    at("https://h/files/", "//other/a", "https://other/a");
    at("https://h/files/", "http://h/files/a", "/files/a");
    at("https://h:1081/files/", "http://h:1081/a", ":1081/a");
    at("https://h/files/", "http://h:443/a", "/a");
    at("http://h/files/", "https://x/a", "https://x/a");
    at("http://h/files/", "http://x/a", "http://x/a");
    let refused = |location: &str| {
        let rows = [("POST /files length=4", location)];
        check(&tus(), &object(4, 4), None, &rows, "error Parse");
    };
    for location in [
        "http://other/a",
        "http://h:8080/a",
        "ftp://h/a",
        "data:a",
        "http://[",
        "file:///a",
    ] {
        refused(&format!("201 location: {location}"));
    }
    refused("201");
    refused("201 location: /a | location: /b");
    refused(&format!("201 location: /{}", "a".repeat(9000)));
}

#[test]
fn resumed() {
    let patch = ("PATCH /files/a offset=6 @6-8", "204 upload-offset: 8");
    let run = |sizes: &[u64], unchanged: bool, rows: &[(&str, &str)]| {
        let left = left("https://h/files/a", sizes, unchanged);
        check(&tus(), &object(8, 8), Some(left), rows, "done /files/a");
    };
    run(
        &[4],
        true,
        &[("HEAD /files/a", "200 upload-offset: 6"), patch],
    );
    run(
        &[4, 4],
        false,
        &[("HEAD /files/a", "200 upload-offset: 6"), patch],
    );
    run(
        &[],
        true,
        &[("HEAD /files/a", "200 upload-offset: 8 | upload-length: 8")],
    );
    // What the server has beyond the proof may be of the earlier source.
    let anew = [
        ("HEAD /files/a", "200 upload-offset: 6"),
        ("DELETE /files/a", "405"),
        ("POST /files length=8", "201 location: /files/b"),
        ("PATCH /files/b offset=0 @0-8", "204 upload-offset: 8"),
    ];
    check(
        &tus(),
        &object(8, 8),
        Some(left("https://h/files/a", &[4], false)),
        &anew,
        "done /files/b",
    );
    let shorter = [
        &[("HEAD /files/a", "200 upload-offset: 6 | upload-length: 6")],
        &anew[1..],
    ]
    .concat();
    check(
        &tus(),
        &object(8, 8),
        Some(left("https://h/files/a", &[4], false)),
        &shorter,
        "done /files/b",
    );
    check(
        &tus(),
        &object(8, 8),
        Some(left("https://h/files/a", &[4], true)),
        &shorter[..1],
        "error Changed",
    );
    let odd = left("no url", &[4], true);
    check(
        &tus(),
        &object(8, 8),
        Some(odd),
        &anew[2..],
        "done /files/b",
    );
}

/// A run that found the source changed, and ended before it had asked the server, must not let the next one trust it.
#[test]
fn doubts_outlive_the_process() {
    let stale = left("https://h/files/a", &[4], false);
    let second = tus().open(&object(8, 8), Some(stale)).unwrap();
    let third = Left::new(second.saved(), true);
    let anew = [
        ("HEAD /files/a", "200 upload-offset: 6"),
        ("DELETE /files/a", "204"),
        ("POST /files length=8", "201 location: /files/b"),
        ("PATCH /files/b offset=0 @0-8", "204 upload-offset: 8"),
    ];
    check(&tus(), &object(8, 8), Some(third), &anew, "done /files/b");
}

#[test]
fn a_given_upload() {
    let url = Url::parse("https://h/up/7").unwrap();
    let rows = [
        ("HEAD /up/7", "200 upload-offset: 2 | upload-length: 4"),
        ("PATCH /up/7 offset=2 @2-4", "204 upload-offset: 4"),
    ];
    let given = tus().upload_url(url.clone());
    check(&given, &object(4, 4), None, &rows, "done /up/7");
    let existing = Tus::existing(url);
    check(&existing, &object(4, 4), None, &rows, "done /up/7");
    check(
        &existing,
        &object(4, 4),
        None,
        &[("HEAD /up/7", "404")],
        "error Status 404",
    );
    // Somebody else made it, and nothing was sent: it is not for this upload to delete.
    check(&given, &object(4, 4), None, &[("abort", "")], "aborted");
}

#[test]
fn aborted() {
    for answer in ["204", "404", "410", "405", "501"] {
        let rows = [
            ("POST /files length=8", CREATED),
            ("PATCH /files/a offset=0 @0-4", "204 upload-offset: 4"),
            ("abort", ""),
            ("DELETE /files/a", "503"),
            ("DELETE /files/a", "lost"),
            ("DELETE /files/a", answer),
        ];
        check(&tus(), &object(8, 4), None, &rows, "aborted");
    }
    check(&tus(), &object(8, 4), None, &[("abort", "")], "aborted");
}

#[test]
fn streams_tell_their_length_at_last() {
    let mut stream = Object::new("a", None);
    stream.part_size = Some(5);
    let options = (
        "OPTIONS /files",
        "204 tus-version: 1.0.0 | tus-extension: creation,creation-defer-length",
    );
    check(
        &tus(),
        &stream,
        None,
        &[
            options,
            ("POST /files length=10", CREATED),
            ("PATCH /files/a offset=0 @0-5", "204 upload-offset: 5"),
            ("PATCH /files/a offset=5 @5-10", "204 upload-offset: 10"),
        ],
        "done /files/a",
    );
    // Begun while the end was not known: the resource does not have the length yet.
    let begun = left("https://h/files/a", &[5], true);
    check(
        &tus(),
        &stream,
        Some(begun),
        &[
            options,
            (
                "HEAD /files/a",
                "200 upload-offset: 10 | upload-defer-length: 1",
            ),
            ("PATCH /files/a offset=10 length=10 @10-10", "lost"),
            ("HEAD /files/a", "200 upload-offset: 10 | upload-length: 10"),
        ],
        "done /files/a",
    );
    let plain = [(
        "OPTIONS /files",
        "204 tus-version: 1.0.0 | tus-extension: creation",
    )];
    check(&tus(), &stream, None, &plain, "error Length");
}

#[test]
fn digests_of_parts() {
    let protocol = tus().checksum(Algorithm::Sha1);
    let options = "204 tus-version: 1.0.0 | tus-extension: creation,checksum | tus-checksum-algorithm: md5,SHA1";
    let patch = "PATCH /files/a offset=0 checksum=sha1 eazU2qPTMgmoooPkoc6zXbbzwCs= @0-4";
    let damaged = |status: &str| {
        check(
            &protocol,
            &object(4, 4),
            None,
            &[
                ("OPTIONS /files", options),
                ("POST /files length=4", CREATED),
                (patch, status),
                ("HEAD /files/a", "200 upload-offset: 0"),
                (patch, "204 upload-offset: 4"),
            ],
            "done /files/a",
        );
    };
    damaged("460");
    damaged("417");
    let refused = |options: &str| {
        check(
            &protocol,
            &object(4, 4),
            None,
            &[("OPTIONS /files", options)],
            "error Parameter",
        );
    };
    refused("204 tus-version: 1.0.0 | tus-extension: creation");
    refused("204 tus-version: 1.0.0 | tus-extension: checksum | tus-checksum-algorithm: md5");
    refused("204 tus-version: 0.2.2 | tus-extension: checksum");
    refused("204 tus-version: 1.0.0 | tus-extension: checksum | tus-max-size: 3");
}

#[test]
fn data_with_the_creation() {
    let protocol = tus().creation_with_data(true);
    let with = (
        "OPTIONS /files",
        "200 tus-extension: creation,creation-with-upload",
    );
    let post = "POST /files length=8 @0-4";
    let rest = ("PATCH /files/a offset=4 @4-8", "204 upload-offset: 8");
    let run = |rows: &[(&str, &str)]| check(&protocol, &object(8, 4), None, rows, "done /files/a");
    run(&[
        with,
        (post, "lost"),
        (post, "201 location: /files/a | upload-offset: 4"),
        rest,
    ]);
    run(&[
        with,
        (post, CREATED),
        ("HEAD /files/a", "200 upload-offset: 4"),
        rest,
    ]);
    let plain = ("OPTIONS /files", "200 tus-extension: creation");
    let first = ("PATCH /files/a offset=0 @0-4", "204 upload-offset: 4");
    run(&[plain, ("POST /files length=8", CREATED), first, rest]);
    let wrong = [with, (post, "201 location: /files/a | upload-offset: 5")];
    check(&protocol, &object(8, 4), None, &wrong, "error Range");
    let all = [
        with,
        (
            "POST /files length=4 @0-4",
            "201 location: /files/a | upload-offset: 4 > made",
        ),
    ];
    check(&protocol, &object(4, 4), None, &all, "done /files/a made");
}

#[test]
fn methods_in_disguise() {
    check(
        &tus().override_method(true),
        &object(8, 4),
        None,
        &[
            ("POST /files length=8", CREATED),
            (
                "POST /files/a offset=0 x-http-method-override=PATCH @0-4",
                "204 upload-offset: 4",
            ),
            ("abort", ""),
            ("POST /files/a x-http-method-override=DELETE", "204"),
        ],
        "aborted",
    );
}

#[test]
fn metadata() {
    let meta = |pairs: &[(&str, &str)], file: bool| {
        let mut object = Object::new("ü.txt", Some(1));
        object.metadata = pairs
            .iter()
            .map(|(a, b)| ((*a).into(), (*b).into()))
            .collect();
        let value = crate::tus::wire::metadata(&object, file);
        value.map(|value| value.map(|value| value.to_str().unwrap().to_owned()))
    };
    let type_ = "filetype YXBwbGljYXRpb24vb2N0ZXQtc3RyZWFt";
    assert_eq!(meta(&[], false).unwrap(), None);
    assert_eq!(
        meta(&[], true).unwrap(),
        Some(format!("filename w7wudHh0,{type_}"))
    );
    let own = meta(&[("filename", "b"), ("flag", "")], true).unwrap();
    assert_eq!(own, Some(format!("filename Yg==,flag,{type_}")));
    for name in ["", "a b", "a,b", "ü", "a\n"] {
        assert!(meta(&[(name, "1")], false).is_err(), "{name:?}");
    }
    assert!(meta(&[("a", "1"), ("a", "2")], false).is_err());
}

#[test]
fn nothing_shows_a_secret() {
    let url = Url::parse("https://h/files?token=secret").unwrap();
    let tus = Tus::new(url.clone()).upload_url(url.clone());
    let draft = crate::tus::TusDraft::new(url.clone()).upload_url(url);
    for text in [format!("{tus:?}"), format!("{draft:?}")] {
        assert!(!text.contains("secret"), "{text}");
    }
    assert!(
        Tus::new(Url::parse("ftp://h/").unwrap())
            .validate()
            .is_err()
    );
}
