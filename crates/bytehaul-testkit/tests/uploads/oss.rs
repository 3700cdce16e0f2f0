//! The OSS server takes what the official SDK signs, through curl too, and refuses what it did not.

use std::thread;
use std::time::Duration;

use bytehaul_testkit::uploads::{Fault, OssPart, OssServer, OssSetup};
use serde_json::json;

use crate::{ask, content, value};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn the_sdk_finds_what_it_put() {
    let Some(server) = OssServer::start() else {
        return;
    };
    let bytes = content(350_000);
    for key in ["plain", "a b+ü//%2F?&.bin", "empty"] {
        let bytes = if key == "empty" { &[][..] } else { &bytes };
        server.put(key, bytes);
        assert_eq!(server.object(key).unwrap(), bytes, "{key}");
        server.put_in_parts(key, bytes, 102_400);
        assert_eq!(server.object(key).unwrap(), bytes, "{key}");
    }
    let head = server.head("plain").unwrap();
    assert_eq!(
        (&head["size"], &head["type"]),
        (&json!(350_000), &json!("Multipart"))
    );
    assert_eq!((server.head("none"), server.object("none")), (None, None));
    assert_eq!(server.uploads(), []);
}

#[test]
fn presigned_parts() {
    let Some(server) = OssServer::start() else {
        return;
    };
    let part = 100 << 10;
    let bytes = content(part + 1000);
    let key = "a/b c.bin";
    let upload = server.create(key);
    let of = |number: u32| json!({"key": key, "upload_id": upload, "part_number": number});
    let urls = server.presign_each("UploadPart", (1..=3000).map(of), HOUR);
    assert!(urls[0].starts_with(&server.url()));
    let busy = Fault::refuse(503).at("partNumber=2&").on("PUT");
    server.gate().set([busy]);
    let put = |url: &str, body: &[u8]| {
        let (status, head) = ask("PUT", url, &[], body);
        (status, value(&head, "etag").map(str::to_owned))
    };
    let (status, first) = put(&urls[0], &bytes[..part]);
    assert_eq!(status, 200);
    assert_eq!(put(&urls[1], &bytes[part..]), (503, None));
    let (status, second) = put(&urls[1], &bytes[part..]);
    assert_eq!(status, 200);
    assert_eq!(
        put(&urls[2].replace("uploadId=", "uploadId=x"), b"x").0,
        403
    );
    let etags = [first.unwrap(), second.unwrap()].map(|tag| tag.to_uppercase());
    let expected = [(1, part as u64), (2, 1000)].into_iter().zip(&etags);
    let expected: Vec<_> = expected
        .map(|((number, size), etag)| OssPart {
            number,
            size,
            etag: etag.clone(),
        })
        .collect();
    assert_eq!(server.parts(key, &upload).unwrap(), expected);
    assert_eq!(server.uploads(), [(key.to_owned(), upload.clone())]);
    let params = json!({"key": key, "upload_id": upload});
    let url = server.presign("CompleteMultipartUpload", params, HOUR);
    let complete = |numbers: &[usize]| {
        let part = |number: &usize| {
            let etag = &etags[number - 1];
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        };
        let parts: String = numbers.iter().map(part).collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        ask("POST", &url, &[], body.as_bytes()).0
    };
    assert_eq!(
        (complete(&[]), complete(&[2, 1]), complete(&[1, 2])),
        (400, 400, 200)
    );
    assert_eq!(complete(&[1, 2]), 404);
    assert_eq!(server.object(key).unwrap(), bytes);
    assert_eq!(server.parts(key, &upload).unwrap_err(), "NoSuchUpload");
    let upload = server.create("d");
    server.abort("d", &upload).unwrap();
    assert_eq!(server.abort("d", &upload).unwrap_err(), "NoSuchUpload");
}

#[test]
fn small_parts_are_refused_at_the_end() {
    let Some(server) = OssServer::start() else {
        return;
    };
    let upload = server.create("k");
    let url = |number: u32| {
        let of = json!({"key": "k", "upload_id": upload, "part_number": number});
        server.presign("UploadPart", of, HOUR)
    };
    let mut parts = String::new();
    for number in [1, 2] {
        let (status, head) = ask("PUT", &url(number), &[], b"small");
        assert_eq!(status, 200);
        let etag = value(&head, "etag").unwrap().to_uppercase();
        parts += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let of = json!({"key": "k", "upload_id": upload});
    let url = server.presign("CompleteMultipartUpload", of, HOUR);
    let body = format!("<C>{parts}</C>");
    let (status, head) = ask("POST", &url, &[], body.as_bytes());
    assert_eq!(
        (status, value(&head, "x-oss-ec")),
        (400, Some("0042-00000213"))
    );
    assert_eq!(ask("PUT", &self::url(&server, 10_001), &[], b"x").0, 403);
}

/// A URL that is signed for another part.
fn url(server: &OssServer, number: u32) -> String {
    let of = json!({"key": "k", "upload_id": "0", "part_number": 1});
    let url = server.presign("UploadPart", of, HOUR);
    url.replace("partNumber=1", &format!("partNumber={number}"))
}

#[test]
fn ranges_as_oss_has_them() {
    let Some(server) = OssServer::start() else {
        return;
    };
    server.put("k", b"0123456789");
    let url = server.presign("GetObject", json!({"key": "k"}), HOUR);
    let check = |fields: &[&str], expected: (u16, Option<&str>)| {
        let (status, head) = ask("GET", &url, fields, b"");
        assert_eq!(
            (status, value(&head, "content-range")),
            expected,
            "{fields:?}"
        );
    };
    check(&["Range: bytes=2-3"], (206, Some("bytes 2-3/10")));
    check(&["Range: bytes=-3"], (206, Some("bytes 7-9/10")));
    check(&["Range: bytes=8-10"], (200, None));
    check(&["Range: bytes=10-"], (200, None));
    // A field of its own is signed; without the signature it is refused.
    check(
        &["Range: bytes=8-10", "x-oss-range-behavior: standard"],
        (403, None),
    );
}

#[test]
fn access() {
    let Some(server) = OssServer::start_with(&OssSetup::new().token("t/0+ken")) else {
        return;
    };
    server.put("k", b"0123456789");
    let url = server.presign("GetObject", json!({"key": "k"}), HOUR);
    let get = |url: &str, fields: &[&str]| ask("GET", url, fields, b"").0;
    assert_eq!(get(&url, &[]), 200);
    for (from, to) in [
        ("x-oss-signature=", "x-oss-signature=0"),
        ("x-oss-expires=3", "x-oss-expires=4"),
        ("/tests/k", "/tests/l"),
        ("%2Fcn-hangzhou%2F", "%2Fcn-beijing%2F"),
        ("t%2F0%2Bken", "other"),
        ("LTAItest", "LTAIother"),
    ] {
        let other = url.replace(from, to);
        assert_ne!(other, url, "{from}");
        let status = get(&other, &[]);
        assert!(matches!(status, 400 | 403), "{from}: {status}");
    }
    assert_eq!(get(&url, &["Content-Type: a/b"]), 403);
    assert_eq!(get(&server.url(), &[]), 403);
    let short = server.presign("GetObject", json!({"key": "k"}), Duration::from_secs(2));
    thread::sleep(Duration::from_millis(2100));
    assert_eq!(get(&short, &[]), 403);
    let (status, head) = ask("HEAD", &url, &[], b"");
    assert_eq!(status, 403);
    assert!(value(&head, "x-oss-err").is_some(), "{head}");
    server.set(&OssSetup::new().access_key("LTAInew").token("t/0+ken"));
    assert_eq!(get(&url, &[]), 403);
    server.set(&OssSetup::new().token("t/0+ken").clock(1000));
    let refused = server.abort("k", "0").unwrap_err();
    assert_eq!(refused, "RequestTimeTooSkewed");
}
