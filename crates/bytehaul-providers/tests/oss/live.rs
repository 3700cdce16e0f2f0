//! A server that verifies every signature by the official SDK's signer, and the SDK, which reads what was written and writes what is
//! read.

use std::process::Command;
use std::time::{Duration, SystemTime};

use bytehaul_providers::http::header::{CONTENT_RANGE, RANGE};
use bytehaul_providers::http::{HeaderMap, Method};
use bytehaul_providers::oss::{
    Addressing, Existing, ListUploads, Operation, Oss, OssConfig, OssCredentials, OssDownload,
};
use bytehaul_providers::{
    Answer, Available, DownloadProtocol, Exchange, Left, Next, Object, ProtocolErrorKind, Wanted,
};
use bytehaul_testkit::uploads::{Fault, OssServer, OssSetup};

use crate::client::{Response, Upload, send};

const PART: u64 = 100 << 10;

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

fn keys() -> OssCredentials {
    OssCredentials::new(OssServer::ACCESS_KEY, OssServer::SECRET_KEY)
}

fn config(server: &OssServer, keys: OssCredentials) -> OssConfig {
    OssConfig::new(keys)
        .region(OssServer::REGION)
        .endpoint(server.url())
        .part_size(PART)
}

fn address(key: &str) -> String {
    format!("oss://{}/{key}", OssServer::BUCKET)
}

fn named(server: &OssServer, key: &str) -> Oss {
    Oss::new(&address(key), config(server, keys())).unwrap()
}

/// How it ends: `done` or the error.
fn upload(to: &Oss, source: &[u8]) -> String {
    match Upload::new(to, source, None).run(usize::MAX) {
        Ok(completed) => {
            let completed = completed.unwrap();
            assert!(completed.verified.is_some() && completed.etag.is_some());
            "done".to_owned()
        }
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

fn get(from: &OssDownload, wanted: &Wanted, range: Option<&str>) -> Response {
    let request = from.request(wanted, SystemTime::now()).unwrap();
    let mut fields = request.headers;
    if let Some(range) = range {
        fields.insert(RANGE, range.parse().unwrap());
    }
    send(&Method::GET, &request.url, &fields, None).unwrap()
}

/// Sends a request that no session has asked for.
fn bring(exchange: &Exchange) -> Response {
    let body = (!exchange.payload.is_empty()).then_some(&b""[..]);
    send(&exchange.method, &exchange.url, &exchange.headers, body).unwrap()
}

#[test]
fn objects_of_any_name_go_up_and_down() {
    let Some(server) = OssServer::start() else {
        return;
    };
    let long = ["x", "y", "z", "w"]
        .map(|letter| letter.repeat(255))
        .join("/");
    assert_eq!(long.len(), 1023);
    let odd = [
        "a b",
        "a+b",
        "100%",
        "%20",
        "ü/漢字",
        "?#&=",
        "~!$'()*,;:@",
        "a//b/",
        "\"<&>\"",
        &long,
    ];
    for (at, key) in odd.into_iter().enumerate() {
        let (to, source) = (named(&server, key), content(at * 1000));
        assert_eq!(upload(&to, &source), "done", "{key}");
        // What the SDK reads under this key is what was sent.
        assert_eq!(server.object(key).as_ref(), Some(&source), "{key}");
        let head = server.head(key).unwrap();
        assert_eq!(head["contentType"], "text/x-test", "{key}");
        assert_eq!(head["metadata"]["own"], "b, c", "{key}");
        let from = OssDownload::new(&address(key), config(&server, keys())).unwrap();
        let whole = get(&from, &Wanted::Whole, None);
        let there = (whole.status.as_u16(), &*whole.body);
        assert_eq!(there, (200, &*source), "{key}");
    }
}

#[test]
fn ranges_of_what_the_sdk_has_written() {
    let Some(server) = OssServer::start() else {
        return;
    };
    let source = content(250_000);
    server.put_in_parts("of/the sdk", &source, PART);
    let from = OssDownload::new(&address("of/the sdk"), config(&server, keys())).unwrap();
    let check =
        |wanted: &Wanted, range: &str, status: u16, expected: &[u8], place: Option<&str>| {
            let part = get(&from, wanted, Some(range));
            assert_eq!(part.status.as_u16(), status, "{range}");
            let given = part.headers.get(CONTENT_RANGE);
            assert_eq!(given.map(|value| value.to_str().unwrap()), place, "{range}");
            if status == 206 {
                assert!(&*part.body == expected, "{range}");
            }
        };
    let span = Wanted::Span(10..20);
    check(
        &span,
        "bytes=10-19",
        206,
        &source[10..20],
        Some("bytes 10-19/250000"),
    );
    let end = &source[249_990..];
    let place = Some("bytes 249990-249999/250000");
    check(&Wanted::From(249_990), "bytes=249990-", 206, end, place);
    // Without `x-oss-range-behavior` the server would send all of it.
    let beyond = Wanted::Span(249_990..260_000);
    check(&beyond, "bytes=249990-259999", 206, end, place);
    check(&Wanted::From(250_000), "bytes=250000-", 416, &[], None);
    let etag = server.head("of/the sdk").unwrap()["etag"]
        .as_str()
        .unwrap()
        .to_owned();
    let pinned = from.clone().if_match(&etag).unwrap();
    assert_eq!(get(&pinned, &Wanted::Whole, None).status, 200);
    let other = from.if_match("\"0\"").unwrap();
    assert_eq!(get(&other, &Wanted::Whole, None).status, 412);
}

#[test]
fn interrupted_uploads_go_on_where_the_server_is() {
    let Some(server) = OssServer::start() else {
        return;
    };
    let source = content(5 * PART as usize - 7);
    for requests in 1..=6 {
        let key = format!("after {requests}");
        let to = named(&server, &key);
        server.gate().forget();
        let mut first = Upload::new(&to, &source, None);
        assert!(first.run(requests).unwrap().is_none());
        let saved = first.session.saved();
        drop(first);
        let left = Some(Left::new(saved, true));
        let mut second = Upload::new(&to, &source, left);
        let done = second.run(usize::MAX).unwrap().unwrap();
        assert!(done.verified.is_some());
        let log = server.gate().requests();
        let puts = log.iter().filter(|one| one.method == "PUT");
        assert_eq!(puts.count(), 5, "{key}");
        assert_eq!(server.object(&key).as_ref(), Some(&source));
    }
    assert_eq!(server.uploads(), []);
}

#[test]
fn troubles_on_the_way_are_overcome() {
    let Some(server) = OssServer::start() else {
        return;
    };
    let source = content(3 * PART as usize - 7);
    let check = |name: &str, faults: &[Fault]| {
        server.gate().set(faults.to_vec());
        assert_eq!(upload(&named(&server, name), &source), "done", "{name}");
        assert_eq!(server.object(name).as_ref(), Some(&source), "{name}");
    };
    let part = |fault: Fault| fault.on("PUT").at("partNumber=2");
    let commit = |fault: Fault| fault.on("POST").at("uploadId=");
    check("lost part", &[part(Fault::lose_answer())]);
    check("cut part", &[part(Fault::cut(50_000))]);
    check(
        "busy",
        &[
            part(Fault::refuse(503)).times(2),
            commit(Fault::refuse(500)),
        ],
    );
    check("lost completion", &[commit(Fault::lose_answer())]);
    check(
        "completion lost in a gateway",
        &[commit(Fault::replace(504, ""))],
    );
    let other = Fault::replace(200, "").header("ETag", "\"0\"");
    check("another ETag", &[part(other)]);
    let error = "<Error><Code>InternalError</Code></Error>";
    check("an error in a 200", &[commit(Fault::replace(200, error))]);
    let wrong = Fault::replace(200, "").header("ETag", "\"0\"");
    check(
        "another CRC",
        &[part(wrong.header("x-oss-hash-crc64ecma", "1"))],
    );
    assert_eq!(server.uploads(), []);
}

#[test]
fn access() {
    let Some(server) = OssServer::start_with(&OssSetup::new().token("t/0+ken=")) else {
        return;
    };
    let source = content(1000);
    let check = |config: OssConfig, expected: &str| {
        let to = Oss::new(&address("k"), config).unwrap();
        let ended = upload(&to, &source);
        assert!(ended.starts_with(expected), "{ended}");
    };
    let with_token = || keys().security_token("t/0+ken=");
    let given = |keys: OssCredentials| config(&server, keys);
    check(given(with_token()), "done");
    check(
        given(keys()),
        "Status(403): part 1: status 403, AccessDenied",
    );
    check(
        given(keys().security_token("old")),
        "Status(403): part 1: status 403, InvalidSecurityToken",
    );
    let wrong = OssCredentials::new(OssServer::ACCESS_KEY, "wrong").security_token("t/0+ken=");
    check(
        given(wrong),
        "Status(403): part 1: status 403, SignatureDoesNotMatch",
    );
    check(
        given(with_token()).region("cn-beijing"),
        "Status(400): part 1: status 400, InvalidArgument: the region is not that of the endpoint",
    );
    let setup = OssSetup::new().token("t/0+ken=");
    for clock in [1000, -1000] {
        server.set(&setup.clone().clock(clock));
        check(
            given(with_token()),
            "Status(403): part 1: status 403, RequestTimeTooSkewed: a clock is wrong: the server's says ",
        );
    }
    server.set(&setup.clone().clock(800));
    check(given(with_token()), "done");
}

/// The bucket's name before the host, where nothing of it is in the path.
#[test]
fn buckets_in_the_host() {
    let Some(server) = OssServer::start() else {
        return;
    };
    server.put("a b", b"hello");
    let port = server.gate().port();
    let config = config(&server, keys()).endpoint(format!("http://localhost:{port}"));
    let config = config.addressing(Addressing::VirtualHost);
    let from = OssDownload::new(&address("a b"), config).unwrap();
    let request = from.request(&Wanted::Whole, SystemTime::now()).unwrap();
    let host = format!("http://tests.localhost:{port}/a%20b");
    assert_eq!(request.url.as_str(), host);
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--noproxy", "*", "--resolve"]);
    curl.arg(format!("tests.localhost:{port}:127.0.0.1"));
    for (name, value) in &request.headers {
        curl.arg("-H")
            .arg(format!("{name}: {}", value.to_str().unwrap()));
    }
    let output = curl.arg(host).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello");
}

#[test]
fn what_must_not_be_replaced_stays() {
    let Some(server) = OssServer::start() else {
        return;
    };
    server.put("k", b"old");
    for len in [1000, 250_000] {
        let refuse = config(&server, keys()).existing(Existing::Refuse);
        let to = Oss::new(&address("k"), refuse.clone()).unwrap();
        let ended = upload(&to, &content(len));
        assert!(ended.starts_with("Changed: "), "{ended}");
        assert_eq!(server.object("k").unwrap(), b"old");
        let key = format!("new {len}");
        let to = Oss::new(&address(&key), refuse).unwrap();
        // Its own answer is lost, and then it is there.
        let request = Fault::lose_answer().after(u64::from(len > 1000) * 4);
        server.gate().set([request]);
        assert_eq!(upload(&to, &content(len)), "done");
    }
}

#[test]
fn links_are_good_for_what_they_say() {
    let Some(server) = OssServer::start() else {
        return;
    };
    let to = named(&server, "a b+c");
    let now = SystemTime::now();
    let life = Duration::from_secs(60);
    let link = |operation: Operation<'_>| to.presign(&operation, &keys(), now, life).unwrap();
    let none = HeaderMap::new();
    let ask = |method: Method, operation: Operation<'_>, body: Option<&[u8]>| {
        send(&method, &link(operation), &none, body).unwrap()
    };
    assert_eq!(ask(Method::PUT, Operation::Put, Some(b"hello")).status, 200);
    assert_eq!(&*ask(Method::GET, Operation::Get, None).body, b"hello");
    assert_eq!(ask(Method::HEAD, Operation::Head, None).status, 200);
    assert_eq!(ask(Method::PUT, Operation::Get, Some(b"x")).status, 403);
    let old = now - Duration::from_secs(120);
    let old = to.presign(&Operation::Get, &keys(), old, life).unwrap();
    assert_eq!(send(&Method::GET, &old, &none, None).unwrap().status, 403);
    let begun = to
        .create_request(&Object::new("f", Some(5)), &keys(), now)
        .unwrap();
    let Response {
        status,
        headers,
        body,
    } = bring(&begun);
    let id = Oss::created(&Answer::new(status, &headers, &body, &begun.url)).unwrap();
    let upload = id.as_str();
    let part = Operation::Part { upload, number: 1 };
    let sent = ask(Method::PUT, part, Some(b"parts"));
    let etag = sent.headers["etag"].to_str().unwrap();
    let listed = ask(Method::GET, Operation::ListParts { upload }, None);
    assert!(String::from_utf8_lossy(&listed.body).contains(etag));
    let all = format!("<C><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></C>");
    let complete = Operation::Complete { upload };
    assert_eq!(
        ask(Method::POST, complete, Some(all.as_bytes())).status,
        200
    );
    assert_eq!(server.object("a b+c").unwrap(), b"parts");
    let other = server.create("a b+c");
    let abort = Operation::Abort { upload: &other };
    assert_eq!(ask(Method::DELETE, abort, None).status, 204);
    assert_eq!(server.uploads(), []);
}

#[cfg(feature = "presigned")]
#[test]
fn plans_are_carried_out_without_the_key() {
    use bytehaul_providers::presigned::Presigned;

    let Some(server) = OssServer::start() else {
        return;
    };
    let source = content(250_000);
    let to = named(&server, "by plan");
    let now = SystemTime::now();
    let object = Object::new("f", Some(source.len() as u64));
    let begun = to.create_request(&object, &keys(), now).unwrap();
    let Response {
        status,
        headers,
        body,
    } = bring(&begun);
    let id = Oss::created(&Answer::new(status, &headers, &body, &begun.url)).unwrap();
    let plan = to
        .plan(&id, &object, &keys(), now, Duration::from_secs(60))
        .unwrap();
    let plan = Presigned::new(plan);
    let lost = Fault::lose_answer().on("POST").at("uploadId=");
    server.gate().set([lost]);
    let done = Upload::new(&plan, &source, None).run(usize::MAX).unwrap();
    assert!(done.is_some());
    assert_eq!(server.object("by plan").unwrap(), source);
}

#[test]
fn open_uploads_are_listed_and_aborted() {
    let Some(server) = OssServer::start_with(&OssSetup::new().page(2)) else {
        return;
    };
    let keys_of = ["pre/a+b c", "pre/a+b c", "pre/ü&<", "other", "pre/z"];
    for key in keys_of {
        let _ = server.create(key);
    }
    let config = config(&server, keys());
    let mut list = ListUploads::new(&address("pre/"), &config).unwrap();
    let mut found = Vec::new();
    let now = SystemTime::now();
    while let Some(exchange) = list.request(&keys(), now).unwrap() {
        let Response {
            status,
            headers,
            body,
        } = bring(&exchange);
        let answer = Answer::new(status, &headers, &body, &exchange.url);
        let page = list.answered(&answer, now);
        found.extend(page.unwrap_or_else(|fault| panic!("{fault:?}")));
    }
    let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["pre/a+b c", "pre/a+b c", "pre/z", "pre/ü&<"]);
    assert!(found.iter().all(|one| one.begun_at.is_some()));
    for upload in &found {
        let abort = list.abort(upload, &keys(), now).unwrap();
        assert_eq!(bring(&abort).status, 204);
        assert_eq!(bring(&abort).status, 404);
    }
    let left = server.uploads();
    assert_eq!(
        left.iter().map(|(key, _)| &**key).collect::<Vec<_>>(),
        ["other"]
    );
}

#[test]
fn an_upload_is_discarded_and_nothing_else() {
    let Some(server) = OssServer::start() else {
        return;
    };
    server.put("k", b"old");
    let other = server.create("k");
    let source = content(250_000);
    let to = named(&server, "k");
    let mut first = Upload::new(&to, &source, None);
    assert!(first.run(3).unwrap().is_none());
    assert_eq!(server.uploads().len(), 2);
    let left = Some(Left::new(first.session.saved(), true));
    let mut second = Upload::new(&to, &source, left);
    second.session.abort();
    let nothing = Available {
        until: 0,
        ended: true,
    };
    let next = second.session.next(nothing, SystemTime::now());
    let Next::Send(exchange) = next.unwrap() else {
        panic!("nothing is discarded")
    };
    assert_eq!(bring(&exchange).status, 204);
    assert_eq!(server.uploads(), [("k".to_owned(), other)]);
    assert_eq!(server.object("k").unwrap(), b"old");
}

#[test]
fn a_bucket_that_is_not_there() {
    let Some(server) = OssServer::start() else {
        return;
    };
    let to = Oss::new("oss://nobodys/k", config(&server, keys())).unwrap();
    let error = Upload::new(&to, b"x", None).run(usize::MAX).unwrap_err();
    assert!(matches!(error.kind(), ProtocolErrorKind::Status(status) if status == 404));
    assert!(
        error.to_string().ends_with("status 404, NoSuchBucket"),
        "{error}"
    );
}
