//! The reference server of tus, driven by its reference client and by plain requests.

use std::fs;

use bytehaul_testkit::process::{Finished, Process};
use bytehaul_testkit::uploads::{self, Fault, TusServer, TusSetup};

use crate::{ask, content, value};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/servers/tus_client.mjs");

/// Uploads with tus-js-client.
pub(crate) fn tus_js(bytes: &[u8], url: &str, options: &str) -> Finished {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("source");
    fs::write(&file, bytes).unwrap();
    let mut command = uploads::node().unwrap();
    command.arg(CLIENT).arg(file).arg(url).arg(options);
    Process::new(command).run().unwrap()
}

#[test]
fn the_reference_client_gets_through_faults() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let bytes = content(700_000);
    let check = |options: &str, faults: &[Fault], line: &str| {
        server.gate().forget();
        server.gate().set(faults.to_vec());
        let done = tus_js(&bytes, &server.url(), options);
        let lines = server.gate().lines();
        assert!(done.success(), "{line}: {} {lines:?}", done.err());
        assert_eq!(
            server.stored(done.out().trim()),
            Some(bytes.clone()),
            "{line}"
        );
        let seen = lines.iter().filter(|seen| seen.contains(line)).count();
        assert_eq!(seen, faults.len().max(1), "{line}: {lines:?}");
    };
    let chunks = r#"{"chunkSize": 300000}"#;
    check("{}", &[], "POST /files 201");
    check(chunks, &[Fault::refuse(503).on("PATCH").after(1)], "(");
    check(chunks, &[Fault::cut(70_000).on("PATCH").after(1)], "(");
    check(chunks, &[Fault::lose_answer().on("PATCH")], "(");
    check(chunks, &[Fault::lose_answer().on("POST")], "(");
    check(
        chunks,
        &[Fault::drop_request().on("HEAD"), Fault::cut(9).on("PATCH")],
        "(",
    );
    check(
        r#"{"uploadDataDuringCreation": true}"#,
        &[Fault::cut(300_000).on("POST")],
        "(",
    );
}

const V: &str = "Tus-Resumable: 1.0.0";
const TYPE: &str = "Content-Type: application/offset+octet-stream";

fn create(server: &TusServer, headers: &[&str]) -> (u16, String) {
    ask("POST", &server.url(), &[&[V], headers].concat(), b"")
}

fn patch(url: &str, offset: u64, body: &[u8], more: &[&str]) -> u16 {
    let offset = format!("Upload-Offset: {offset}");
    ask("PATCH", url, &[&[V, TYPE, &offset], more].concat(), body).0
}

fn offset(url: &str) -> (u16, Option<u64>) {
    let (status, head) = ask("HEAD", url, &[V], b"");
    let offset = value(&head, "upload-offset").and_then(|offset| offset.parse().ok());
    (status, offset)
}

#[test]
fn behind_the_clients_back() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let make = || {
        let (status, head) = create(
            &server,
            &["Upload-Length: 10", "Upload-Metadata: filename YS5i"],
        );
        assert_eq!(status, 201, "{head} {:?}", server.output());
        value(&head, "location").unwrap().to_owned()
    };
    let url = make();
    assert!(url.starts_with(&server.url()), "{url}");
    assert_eq!(server.metadata(&url)["filename"], "a.b");
    assert_eq!(patch(&url, 0, b"01234567", &[]), 204);
    assert_eq!(patch(&url, 0, b"01234567", &[]), 409);
    assert_eq!(offset(&url), (200, Some(8)));
    server.truncate(&url, 3);
    assert_eq!(offset(&url), (200, Some(3)));
    assert_eq!(patch(&url, 3, b"3456789", &[]), 204);
    assert_eq!(server.stored(&url).unwrap(), b"0123456789");
    let url = make();
    server.gate().set([Fault::cut(4).on("PATCH")]);
    assert_eq!(patch(&url, 0, b"01234567", &[]), 0);
    assert_eq!(server.stored(&url).unwrap(), b"0123");
    assert_eq!(offset(&url), (200, Some(4)));
    let url = make();
    server.expire(&url);
    assert_eq!(offset(&url), (410, None));
    let url = make();
    server.delete(&url);
    assert_eq!(offset(&url), (404, None));
    assert_eq!(server.stored(&url), None);
    assert_eq!(server.uploads().len(), 3);
}

#[test]
fn setups() {
    let setup = TusSetup::new()
        .token("s3cret")
        .max_size(100)
        .relative_location();
    let setup = setup.checksum().without("creation-with-upload");
    let Some(server) = setup.start() else {
        return;
    };
    let (_, head) = ask("OPTIONS", &server.url(), &[V], b"");
    let extensions = value(&head, "tus-extension").unwrap();
    assert!(extensions.ends_with(",checksum"), "{extensions}");
    assert!(!extensions.contains("creation-with-upload"), "{extensions}");
    assert_eq!(
        value(&head, "tus-checksum-algorithm"),
        Some("md5,sha1,sha256,sha512")
    );
    assert_eq!(value(&head, "tus-max-size"), Some("100"));
    let token = "Authorization: Bearer s3cret";
    assert_eq!(create(&server, &["Upload-Length: 10"]).0, 401);
    assert_eq!(create(&server, &["Upload-Length: 101", token]).0, 413);
    let (status, head) = create(&server, &["Upload-Length: 10", token]);
    let path = value(&head, "location").unwrap();
    assert_eq!((status, path.starts_with("/files/")), (201, true), "{head}");
    let url = server.gate().url(path);
    let send = |at, body, sum| patch(&url, at, body, &[token, sum]);
    // Of "hello".
    let right = "Upload-Checksum: sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=";
    assert_eq!(send(0, b"hellO", right), 460);
    assert_eq!(server.stored(&url).unwrap(), b"");
    assert_eq!(send(0, b"hello", "Upload-Checksum: crc32 abc="), 400);
    assert_eq!(send(0, b"hello", right), 204, "{:?}", server.output());
    assert_eq!(send(5, b"world", "X: y"), 204);
    assert_eq!(server.stored(&url).unwrap(), b"helloworld");
}
