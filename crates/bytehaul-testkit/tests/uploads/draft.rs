//! The server of the IETF draft, driven by tus-js-client, which speaks an earlier version of it, and by plain requests.

use bytehaul_testkit::uploads::{DraftServer, DraftSetup, Fault};

use crate::{ask, content, curl, tus::tus_js, value};

const TYPE: &str = "Content-Type: application/partial-upload";
const VERSION: &str = "Upload-Draft-Interop-Version: 8";

#[test]
fn an_independent_client_gets_through_faults() {
    let Some(server) = DraftSetup::new().absolute_location().start() else {
        return;
    };
    let bytes = content(700_000);
    let check = |faults: &[Fault]| {
        server.gate().forget();
        server.gate().set(faults.to_vec());
        let options = r#"{"protocol": "ietf-draft-05", "chunkSize": 300000}"#;
        let done = tus_js(&bytes, &server.url(), options);
        let lines = server.gate().lines();
        assert!(done.success(), "{} {lines:?}", done.err());
        let url = done.out().trim().to_owned();
        assert_eq!(server.stored(&url), Some(bytes.clone()), "{lines:?}");
        assert!(server.is_complete(&url), "{lines:?}");
        let struck = lines.iter().filter(|line| line.contains('(')).count();
        assert_eq!(struck, faults.len(), "{lines:?}");
    };
    check(&[]);
    check(&[Fault::refuse(503).on("PATCH").after(1)]);
    check(&[
        Fault::cut(70_000).on("PATCH").after(1),
        Fault::lose_answer().on("POST"),
    ]);
    check(&[Fault::lose_answer().on("PATCH")]);
}

#[test]
fn interim_answers() {
    let Some(server) = DraftSetup::new().progress(100_000).start() else {
        return;
    };
    let bytes = content(250_000);
    let send = |version: &str| {
        let (_, head) = ask(
            "POST",
            &server.url(),
            &[version, "Upload-Complete: ?1"],
            &bytes,
        );
        head.matches("http/1.1 104").count()
    };
    assert!(send(VERSION) >= 2);
    assert_eq!(send("Upload-Draft-Interop-Version: 6"), 0);
    let uploads = server.uploads();
    assert_eq!(uploads.len(), 2);
    assert!(uploads.iter().all(|upload| server.is_complete(upload)));
    // Cut after the 104: its location is all that a client needs.
    server.gate().set([Fault::cut(60_000).on("POST")]);
    let (_, head) = ask(
        "POST",
        &server.url(),
        &[VERSION, "Upload-Complete: ?1"],
        &bytes,
    );
    let path = value(&head, "location").unwrap().to_owned();
    let url = server.gate().url(&path);
    let (status, head) = ask("HEAD", &url, &[], b"");
    let told = ["upload-offset", "upload-complete", "upload-length"].map(|name| value(&head, name));
    assert_eq!(
        (status, told),
        (204, [Some("60000"), Some("?0"), Some("250000")])
    );
    let rest = ["Upload-Offset: 60000", "Upload-Complete: ?1", TYPE];
    assert_eq!(ask("PATCH", &url, &rest, &bytes[60_000..]).0, 200);
    assert_eq!(server.stored(&url).unwrap(), bytes);
    assert_eq!(curl(&[&url], b"").stdout, bytes);
}

#[test]
fn what_the_draft_does_not_allow() {
    let setup = DraftSetup::new()
        .limit("max-size", 100)
        .limit("max-append-size", 50);
    let Some(server) = setup.limit("min-append-size", 5).only_resumable().start() else {
        return;
    };
    let (_, head) = ask("OPTIONS", &server.url(), &[], b"");
    assert_eq!(
        value(&head, "accept-patch"),
        Some("application/partial-upload")
    );
    let limits = value(&head, "upload-limit").unwrap();
    assert!(limits.contains("max-append-size=50"), "{limits}");
    let create = |headers: &[&str], body: &[u8], expected| {
        let (status, head) = ask("POST", &server.url(), headers, body);
        assert_eq!(status, expected, "{headers:?} {:?}", server.rejections());
        value(&head, "location").map(|path| server.gate().url(path))
    };
    create(&[], b"hello", 400);
    create(&["Upload-Complete: 1"], b"hello", 400);
    create(&["Upload-Complete: ?1", "Upload-Length: 6"], b"hello", 400);
    create(&["Upload-Complete: ?0", "Upload-Length: 101"], b"", 413);
    create(&["Upload-Complete: ?0"], &[b'x'; 51], 413);
    create(&["Upload-Complete: ?0"], b"abc", 400);
    let named = "Content-Disposition: inline; filename=\"a\"";
    let url = create(
        &["Upload-Complete: ?0", "Upload-Length: 10", named],
        b"",
        201,
    )
    .unwrap();
    assert_eq!(
        server.about(&url)["content-disposition"],
        "inline; filename=\"a\""
    );
    let patch = |headers: &[&str], body: &[u8], expected| {
        let (status, head) = ask("PATCH", &url, headers, body);
        assert_eq!(status, expected, "{headers:?} {:?}", server.rejections());
        head
    };
    let (at0, more, last) = (
        "Upload-Offset: 0",
        "Upload-Complete: ?0",
        "Upload-Complete: ?1",
    );
    patch(&[at0, more], b"hello", 415);
    patch(&[TYPE, at0], b"hello", 400);
    patch(&[TYPE, more], b"hello", 400);
    let head = patch(&[TYPE, more, "Upload-Offset: 5"], b"hello", 409);
    assert_eq!(value(&head, "upload-offset"), Some("0"));
    patch(&[TYPE, at0, last], b"hello", 400);
    let digest = "Content-Digest: sha-256=:AAAA:";
    patch(&[TYPE, at0, more, digest], b"hello", 400);
    let head = patch(&[TYPE, at0, more], b"hello", 204);
    assert_eq!(value(&head, "upload-complete"), Some("?0"));
    let head = patch(&[TYPE, "Upload-Offset: 5", last], b"world", 200);
    assert_eq!(value(&head, "upload-complete"), Some("?1"));
    patch(&[TYPE, "Upload-Offset: 10", last], b"", 400);
    assert_eq!(server.stored(&url).unwrap(), b"helloworld");
    assert_eq!(ask("DELETE", &url, &[], b"").0, 204);
    assert_eq!(ask("HEAD", &url, &[], b"").0, 404);
    let url = create(&[more, "Upload-Length: 10"], b"hello", 201).unwrap();
    assert_eq!(server.stored(&url).unwrap(), b"hello");
    server.delete(&url);
    assert_eq!(ask("HEAD", &url, &[], b"").0, 404);
}

#[test]
fn a_new_request_ends_the_one_before_it() {
    let Some(server) = DraftServer::start() else {
        return;
    };
    let bytes = content(400_000);
    let (_, head) = ask("POST", &server.url(), &["Upload-Complete: ?0"], b"");
    let url = server.gate().url(value(&head, "location").unwrap());
    server.gate().set([Fault::slow(100_000).on("PATCH")]);
    let rest = ["Upload-Offset: 0", "Upload-Complete: ?1", TYPE];
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| ask("PATCH", &url, &rest, &bytes).0);
        while server.stored(&url).unwrap().len() < 50_000 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let (_, head) = ask("HEAD", &url, &[], b"");
        let offset: usize = value(&head, "upload-offset").unwrap().parse().unwrap();
        assert!((50_000..400_000).contains(&offset), "{offset}");
        assert_eq!(slow.join().unwrap(), 0);
        assert_eq!(server.stored(&url).unwrap().len(), offset);
    });
}
