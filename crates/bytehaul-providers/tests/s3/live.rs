//! Real servers, which verify every signature, and boto3, which reads what was written and writes what is read.

use std::net::TcpListener;
use std::ops::Range;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use bytehaul_providers::http::header::{CONTENT_LENGTH, ETAG, RANGE};
use bytehaul_providers::http::{HeaderMap, Method};
use bytehaul_providers::s3::{
    Checksum, ListUploads, Operation, PayloadSigning, S3, S3Config, S3Credentials, S3Download,
};
use bytehaul_providers::{
    Answer, DownloadProtocol, Left, ProtocolErrorKind, Stage, UploadProtocol, Url, Wanted,
};
use bytehaul_testkit::uploads::{Fault, S3Server, client};
use serde_json::json;

use crate::client::{Response, Upload, send};

const PART: u64 = 5 << 20;

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

fn keys() -> S3Credentials {
    S3Credentials::new(S3Server::ACCESS_KEY, S3Server::SECRET_KEY)
}

fn config(url: &str, keys: S3Credentials) -> S3Config {
    let endpoint = Url::parse(url).unwrap();
    S3Config::new(keys).endpoint(endpoint).part_size(PART)
}

fn named(server: &S3Server, key: &str) -> S3 {
    let object = format!("s3://{}/{key}", S3Server::BUCKET);
    S3::new(&object, config(&server.url(), keys())).unwrap()
}

/// How it ends: `done` or the error.
fn upload(to: &S3, source: &[u8]) -> String {
    match Upload::new(to, source, None).run(usize::MAX) {
        Ok(completed) => {
            assert!(completed.unwrap().etag.is_some());
            "done".to_owned()
        }
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

fn get(from: &S3Download, wanted: &Wanted, range: Option<&str>) -> Response {
    let request = from.request(wanted, SystemTime::now()).unwrap();
    let mut fields = request.headers;
    if let Some(range) = range {
        fields.insert(RANGE, range.parse().unwrap());
    }
    send(&Method::GET, &request.url, &fields, None).unwrap()
}

#[test]
fn objects_of_any_name_go_up_and_down() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let odd = [
        "a b",
        "a+b",
        "100%",
        "%20",
        "ü/漢字",
        "?#&=",
        "~!$'()*,;:@",
        "a=b&c",
        "\"quoted\"",
        "<&>",
    ];
    let long = [
        "x".repeat(200),
        "y".repeat(200),
        "z".repeat(200),
        "w".repeat(200),
        "v".repeat(220),
    ]
    .join("/");
    assert_eq!(long.len(), 1024);
    for (at, key) in odd.into_iter().chain([long.as_str()]).enumerate() {
        let (to, source) = (named(&server, key), content(at * 1000));
        assert_eq!(upload(&to, &source), "done", "{key}");
        // What the SDK reads under this key is what was sent.
        assert_eq!(server.object(key).as_ref(), Some(&source), "{key}");
        let head = server.call("head_object", json!({ "Key": key })).unwrap();
        assert_eq!(head["ContentType"], "text/x-test", "{key}");
        assert_eq!(head["Metadata"]["own"], "b, c", "{key}");
        let object = format!("s3://{}/{key}", S3Server::BUCKET);
        let from = S3Download::new(&object, config(&server.url(), keys())).unwrap();
        let whole = get(&from, &Wanted::Whole, None);
        assert_eq!(
            (whole.status.as_u16(), &*whole.body),
            (200, &*source),
            "{key}"
        );
    }
    // And what it has written is what is read.
    server.put("of/the sdk", &content(1000));
    let object = format!("s3://{}/of/the sdk", S3Server::BUCKET);
    let from = S3Download::new(&object, config(&server.url(), keys())).unwrap();
    let check = |wanted: &Wanted, range: &str, expected: Range<usize>| {
        let part = get(&from, wanted, Some(range));
        let expected = &content(1000)[expected];
        assert_eq!(
            (part.status.as_u16(), &*part.body),
            (206, expected),
            "{range}"
        );
        part
    };
    let part = check(&Wanted::Span(10..20), "bytes=10-19", 10..20);
    check(&Wanted::From(990), "bytes=990-", 990..1000);
    let etag = part.headers[ETAG].to_str().unwrap().to_owned();
    let pinned = from.clone().if_match(&etag).unwrap();
    assert_eq!(
        get(&pinned, &Wanted::Span(0..9), Some("bytes=0-8"))
            .status
            .as_u16(),
        206
    );
    let pinned = from.if_match("\"another\"").unwrap();
    assert_eq!(
        get(&pinned, &Wanted::Span(0..9), Some("bytes=0-8"))
            .status
            .as_u16(),
        412
    );
}

/// Each way to compare the bytes, signed bodies or not, in one request and in parts.
#[test]
fn every_checksum_is_taken() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let checksums = [
        Checksum::None,
        Checksum::ContentMd5,
        Checksum::Crc32c,
        Checksum::Crc64Nvme,
        Checksum::Sha256,
    ];
    for checksum in checksums {
        for (len, signing) in [
            (1000, PayloadSigning::Never),
            (2 * PART as usize + 77, PayloadSigning::Auto),
        ] {
            let config = config(&server.url(), keys());
            let config = config.checksum(checksum).payload_signing(signing);
            let key = format!("{checksum:?} {len}");
            let to = S3::new(&format!("s3://{}/{key}", S3Server::BUCKET), config).unwrap();
            let source = content(len);
            let completed = Upload::new(&to, &source, None)
                .run(usize::MAX)
                .unwrap()
                .unwrap();
            assert_eq!(server.object(&key), Some(source), "{key}");
            let head = server.call("head_object", json!({ "Key": key })).unwrap();
            let bare = |etag: &str| etag.trim_matches('"').to_owned();
            let theirs = head["ETag"].as_str().unwrap();
            assert_eq!(bare(&completed.etag.unwrap()), bare(theirs), "{key}");
        }
    }
    assert_eq!(server.uploads(), []);
}

#[test]
fn what_is_not_signed_right_is_refused_in_words() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let object = format!("s3://{}/f", S3Server::BUCKET);
    let check = |keys: S3Credentials, code: &str| {
        let to = S3::new(&object, config(&server.url(), keys)).unwrap();
        for len in [10, PART as usize + 1] {
            let error = upload(&to, &content(len));
            assert!(
                error.starts_with("Status(403)") && error.contains(code),
                "{error}"
            );
        }
    };
    check(
        S3Credentials::new(S3Server::ACCESS_KEY, "wrong"),
        "SignatureDoesNotMatch",
    );
    check(S3Credentials::new("NOBODY", "wrong"), "InvalidAccessKeyId");
    // By an hour, and the words say which clock says what.
    let to = named(&server, "f");
    let object = bytehaul_providers::Object::new("f", Some(0));
    let mut session = to.open(&object, None).unwrap();
    let available = bytehaul_providers::Available {
        until: 0,
        ended: true,
    };
    let early = SystemTime::now() - Duration::from_secs(3600);
    let exchange = loop {
        match session.next(available, early).unwrap() {
            bytehaul_providers::Next::Send(exchange) => break exchange,
            bytehaul_providers::Next::Digest(job) => {
                let digest = bytehaul_integrity::Hasher::digest(job.algorithm, b"");
                session.digested(job.id, digest);
            }
            other => panic!("{other:?}"),
        }
    };
    let sent = send(
        &exchange.method,
        &exchange.url,
        &exchange.headers,
        Some(b""),
    )
    .unwrap();
    let answer = Answer::new(sent.status, &sent.headers, &sent.body, &exchange.url);
    let fault = session.answered(exchange.id, &answer, early).unwrap_err();
    let shown = format!("{fault:?}");
    assert!(
        shown.contains("a clock is wrong: the server's says"),
        "{shown}"
    );
}

#[test]
fn interrupted_uploads_go_on_where_the_server_is() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let source = content(3 * PART as usize + 1);
    let to = named(&server, "resumed");
    let mut first = Upload::new(&to, &source, None);
    // The creation and two parts.
    assert!(first.run(3).unwrap().is_none());
    let mut saved = first.session.saved();
    assert_eq!((saved.stage, saved.parts.len()), (Stage::Sending, 2));
    let upload = saved.session.clone().unwrap();
    // Of one of them the receipt was not written down, and another one was sent twice.
    saved.parts.remove(0);
    let before = server.gate().requests().len();
    let left = Left::new(saved.clone(), true);
    let completed = Upload::new(&to, &source, Some(left))
        .run(usize::MAX)
        .unwrap();
    assert!(completed.is_some());
    let sent = server.gate().requests();
    let puts = sent[before..]
        .iter()
        .filter(|one| one.method == "PUT")
        .count();
    assert_eq!(puts, 2, "only what was not there");
    assert_eq!(server.object("resumed"), Some(source.clone()));
    assert_eq!(server.uploads(), []);
    // Gone and never completed: all of it is sent again.
    server
        .call("delete_object", json!({"Key": "resumed"}))
        .unwrap();
    let left = Left::new(saved, true);
    assert!(
        Upload::new(&to, &source, Some(left))
            .run(usize::MAX)
            .unwrap()
            .is_some()
    );
    assert_eq!(server.object("resumed"), Some(source));
    assert_ne!(
        server.uploads(),
        [("resumed".to_owned(), upload.as_str().to_owned())]
    );
}

#[test]
fn a_lost_completion_is_found() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let source = content(PART as usize + 5);
    let to = named(&server, "found");
    let mut first = Upload::new(&to, &source, None);
    assert!(first.run(3).unwrap().is_none());
    server.gate().set([Fault::lose_answer().on("POST")]);
    let completed = first.run(usize::MAX).unwrap().unwrap();
    assert!(completed.etag.unwrap().trim_matches('"').ends_with("-2"));
    assert_eq!(server.object("found"), Some(source.clone()));
    // By the next run, too, and without sending any of it again.
    let mut saved = first.session.saved();
    let count = || {
        server
            .gate()
            .requests()
            .iter()
            .filter(|one| one.method == "PUT")
            .count()
    };
    let before = count();
    let left = Left::new(saved.clone(), true);
    assert!(
        Upload::new(&to, &source, Some(left))
            .run(usize::MAX)
            .unwrap()
            .is_some()
    );
    saved.stage = Stage::Committing;
    let left = Left::new(saved, true);
    assert!(
        Upload::new(&to, &source, Some(left))
            .run(usize::MAX)
            .unwrap()
            .is_some()
    );
    assert_eq!(count(), before);
}

#[test]
fn an_object_that_is_there_can_be_left_alone() {
    let Some(server) = S3Server::start() else {
        return;
    };
    server.put("there", b"old");
    let object = format!("s3://{}/there", S3Server::BUCKET);
    let to = S3::new(
        &object,
        config(&server.url(), keys()).if_none_match_any(true),
    )
    .unwrap();
    for len in [10, PART as usize + 1] {
        let error = upload(&to, &content(len));
        assert!(
            error.starts_with("Changed: an object is there already"),
            "{error}"
        );
    }
    assert_eq!(server.object("there").unwrap(), b"old");
}

#[test]
fn what_was_left_open_is_listed_and_aborted() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let source = content(PART as usize + 1);
    let keys_there = ["a b", "dir/ü+%", "dir/z"];
    for key in keys_there {
        let to = named(&server, key);
        assert!(Upload::new(&to, &source, None).run(2).unwrap().is_none());
    }
    let mut first = Upload::new(&named(&server, "cancelled"), &source, None);
    assert!(first.run(2).unwrap().is_none());
    first.session.abort();
    while !matches!(first.run(1), Ok(None)) || first.session.stage() != Stage::Aborted {}
    let now = SystemTime::now();
    let list = |prefix: &str| {
        let name = format!("s3://{}/{prefix}", S3Server::BUCKET);
        let mut list = ListUploads::new(&name, &config(&server.url(), keys())).unwrap();
        let mut found = Vec::new();
        while let Some(exchange) = list.request(&keys(), now).unwrap() {
            let Response {
                status,
                headers,
                body,
            } = send(&exchange.method, &exchange.url, &exchange.headers, None).unwrap();
            let answer = Answer::new(status, &headers, &body, &exchange.url);
            found.extend(list.answered(&answer, now).unwrap());
        }
        (list, found)
    };
    let (_, found) = list("dir/");
    let mut found: Vec<_> = found.iter().map(|one| one.key.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, ["dir/z", "dir/ü+%"]);
    let (mut orphans, found) = list("");
    let mut names: Vec<_> = found.iter().map(|one| one.key.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a b", "dir/z", "dir/ü+%"]);
    for one in &found {
        assert!(
            one.begun_at
                .is_some_and(|at| at > now - Duration::from_secs(600))
        );
        let exchange = orphans.abort(one, &keys(), now).unwrap();
        let sent = send(&exchange.method, &exchange.url, &exchange.headers, None).unwrap();
        assert!(sent.status.is_success(), "{}", sent.status);
    }
    assert_eq!(server.uploads(), []);
}

#[test]
fn signed_urls_do_what_they_say() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let to = named(&server, "dir/ü +%.bin");
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let status = |operation: &Operation<'_>, method: Method, body: Option<&[u8]>, now| {
        let url = to.presign(operation, &keys(), now, hour).unwrap();
        send(&method, &url, &HeaderMap::new(), body).unwrap()
    };
    assert_eq!(
        status(&Operation::Put, Method::PUT, Some(b"abc"), now)
            .status
            .as_u16(),
        200
    );
    assert_eq!(
        &*status(&Operation::Get, Method::GET, None, now).body,
        b"abc"
    );
    let head = status(&Operation::Head, Method::HEAD, None, now);
    assert_eq!(head.headers[CONTENT_LENGTH], "3");
    // For another operation, and later, they are good for nothing.
    assert_eq!(
        status(&Operation::Get, Method::PUT, Some(b"x"), now)
            .status
            .as_u16(),
        403
    );
    let late = now - Duration::from_secs(7200);
    assert_eq!(
        status(&Operation::Get, Method::GET, None, late)
            .status
            .as_u16(),
        403
    );
}

#[cfg(feature = "presigned")]
#[test]
fn a_plan_is_carried_out() {
    use bytehaul_providers::Object;
    use bytehaul_providers::presigned::Presigned;

    let Some(server) = S3Server::start() else {
        return;
    };
    let to = named(&server, "planned");
    let source = content(2 * PART as usize + 1);
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let mut object = Object::new("f", Some(source.len() as u64));
    object.metadata = vec![("own".to_owned(), "x".to_owned())];
    let begin = to.create_request(&object, &keys(), now).unwrap();
    let Response {
        status,
        headers,
        body,
    } = send(&begin.method, &begin.url, &begin.headers, Some(b"")).unwrap();
    let id = S3::created(&Answer::new(status, &headers, &body, &begin.url)).unwrap();
    let plan = to.plan(&id, &object, &keys(), now, hour).unwrap();
    assert_eq!(plan.parts.len(), 3);
    let completed = Upload::new(&Presigned::new(plan), &source, None).run(usize::MAX);
    assert!(completed.unwrap().is_some());
    assert_eq!(server.object("planned"), Some(source));
    let head = server
        .call("head_object", json!({"Key": "planned"}))
        .unwrap();
    assert_eq!(head["Metadata"]["own"], "x");
}

/// rclone's server: its ETags say nothing of the bytes, it ignores conditions, and lists parts in its own way.
#[test]
fn a_second_server_that_does_much_otherwise() {
    let Some(mut command) = client("rclone") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("tests")).unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let login = format!("{},{}", S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
    command
        .args([
            "serve",
            "s3",
            "--auth-key",
            &login,
            "--addr",
            &format!("127.0.0.1:{port}"),
        ])
        .arg("--config=")
        .arg(directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let server = Killed(command.spawn().unwrap());
    let url = format!("http://127.0.0.1:{port}");
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(std::time::Instant::now() < until, "it does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    let object = "s3://tests/dir/a b.bin";
    let to = S3::new(object, config(&url, keys())).unwrap();
    for len in [0, 10, 3 * PART as usize + 9] {
        let source = content(len);
        assert_eq!(upload(&to, &source), "done", "{len}");
        let from = S3Download::new(object, config(&url, keys())).unwrap();
        assert_eq!(&*get(&from, &Wanted::Whole, None).body, source, "{len}");
    }
    let source = content(2 * PART as usize + 9);
    let mut first = Upload::new(&to, &source, None);
    assert!(first.run(3).unwrap().is_none());
    let left = Left::new(first.session.saved(), true);
    assert!(
        Upload::new(&to, &source, Some(left))
            .run(usize::MAX)
            .unwrap()
            .is_some()
    );
    let from = S3Download::new(object, config(&url, keys())).unwrap();
    assert_eq!(&*get(&from, &Wanted::Whole, None).body, source);
    let wrong = S3::new(
        object,
        config(&url, S3Credentials::new(S3Server::ACCESS_KEY, "wrong")),
    );
    let error = Upload::new(&wrong.unwrap(), b"x", None)
        .run(usize::MAX)
        .unwrap_err();
    assert!(
        matches!(error.kind(), ProtocolErrorKind::Status(_)),
        "{error}"
    );
    drop(server);
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
