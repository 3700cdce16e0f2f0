//! Azurite, which verifies every signature, and the official SDK, which reads what was written and writes what is read.

use std::time::{Duration, SystemTime};

use bytehaul_providers::azure::{Azure, AzureConfig, AzureCredentials, Existing, ListStaged};
use bytehaul_providers::http::header::RANGE;
use bytehaul_providers::http::{HeaderMap, Method};
use bytehaul_providers::{Answer, DownloadProtocol, Left, ProtocolErrorKind, Wanted};
use bytehaul_testkit::uploads::{Azurite, Fault, Sas};

use crate::client::{Response, Upload, send};
use crate::dice::Dice;

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

fn config(server: &Azurite, key: &str) -> AzureConfig {
    let url = server.url("");
    let (endpoint, _) = url.split_once("/tests").unwrap();
    let key = AzureCredentials::shared_key(Azurite::ACCOUNT, key).unwrap();
    AzureConfig::new(key).endpoint(endpoint).part_size(100_000)
}

fn named(server: &Azurite, blob: &str) -> Azure {
    let address = format!("az://{}/{blob}", Azurite::CONTAINER);
    Azure::new(&address, config(server, Azurite::KEY)).unwrap()
}

/// How it ends: `done` or the error.
fn upload(to: &Azure, source: &[u8]) -> String {
    match Upload::new(to, source, None).run(usize::MAX) {
        Ok(completed) => {
            assert!(completed.unwrap().etag.is_some());
            "done".to_owned()
        }
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

fn get(from: &dyn DownloadProtocol, wanted: &Wanted, range: Option<&str>) -> Response {
    let request = from.request(wanted, SystemTime::now()).unwrap();
    assert!(
        !request.headers.contains_key(RANGE),
        "the range is the driver's"
    );
    let mut fields = request.headers;
    if let Some(range) = range {
        fields.insert(RANGE, range.parse().unwrap());
    }
    send(&Method::GET, &request.url, &fields, None).unwrap()
}

#[test]
fn blobs_of_any_name_and_size_go_up_and_down() {
    let Some(server) = Azurite::start() else {
        return;
    };
    let mut dice = Dice(3);
    let fixed = [
        "a b",
        "a+b",
        "a//b",
        "100%",
        "%20",
        "ü/漢字",
        "?#&=",
        "~!$'()*,;:@",
    ];
    let mut names: Vec<String> = fixed.iter().map(|name| (*name).to_owned()).collect();
    names.push("x".repeat(1024));
    names.extend((0..30).map(|_| dice.blob()));
    let sizes = [0, 1, 99_999, 100_000, 100_001, 250_000];
    for (name, len) in names.iter().zip(sizes.iter().cycle()) {
        let (to, source) = (named(&server, name), content(*len));
        assert_eq!(upload(&to, &source), "done", "{name} {len}");
        // What the SDK reads under this name is what was sent.
        assert_eq!(server.blob(name).as_ref(), Some(&source), "{name}");
        let properties = server.properties(name).unwrap();
        assert_eq!(properties["contentType"], "text/x-test", "{name}");
        assert_eq!(properties["metadata"]["a_1"], "b, c", "{name}");
        let whole = get(&to.download(), &Wanted::Whole, None);
        assert_eq!(
            (whole.status.as_u16(), &*whole.body),
            (200, &*source),
            "{name}"
        );
    }
    // And what it has written is what is read.
    server.put("of/the sdk", &content(1000));
    let from = named(&server, "of/the sdk").download();
    let check = |wanted: &Wanted, range: &str, expected: std::ops::Range<usize>| {
        let part = get(&from, wanted, Some(range));
        assert_eq!(
            (part.status.as_u16(), &*part.body),
            (206, &content(1000)[expected]),
            "{range}"
        );
    };
    check(&Wanted::Span(10..20), "bytes=10-19", 10..20);
    check(&Wanted::From(990), "bytes=990-", 990..1000);
    check(&Wanted::Span(0..1000), "bytes=0-999", 0..1000);
    assert_eq!(from.target(), named(&server, "of/the sdk").url().as_str());
}

#[test]
fn signatures_are_verified() {
    let Some(server) = Azurite::start() else {
        return;
    };
    let address = format!("az://{}/f", Azurite::CONTAINER);
    let wrong = config(&server, "d3Jvbmc=");
    let to = Azure::new(&address, wrong).unwrap();
    for len in [10, 250_000] {
        let error = upload(&to, &content(len));
        assert!(
            error.starts_with("Status(403)") && error.contains("Authorization"),
            "{error}"
        );
    }
    assert_eq!(
        get(&to.download(), &Wanted::Whole, None).status.as_u16(),
        403
    );
    // What is signed for one request is good for no other.
    let to = named(&server, "f");
    assert_eq!(upload(&to, b"content"), "done");
    let request = to
        .download()
        .request(&Wanted::Whole, SystemTime::now())
        .unwrap();
    let mut tampered = request.headers.clone();
    let status = |fields: &HeaderMap, method: Method| {
        send(&method, &request.url, fields, None)
            .unwrap()
            .status
            .as_u16()
    };
    assert_eq!(status(&tampered, Method::GET), 200);
    assert_eq!(status(&tampered, Method::DELETE), 403);
    tampered.insert(
        "x-ms-date",
        "Sat, 31 Jan 2026 12:34:56 GMT".parse().unwrap(),
    );
    assert_eq!(status(&tampered, Method::GET), 403);
}

#[test]
fn links_allow_what_they_say_for_as_long_as_they_say() {
    let Some(server) = Azurite::start() else {
        return;
    };
    let name = "dir/ü +%.bin";
    let to = named(&server, name);
    let now = SystemTime::now();
    let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
    // Ours.
    let by_link = |letters: &str, life, now| {
        let url = to.presign(letters, life, now).unwrap();
        Azure::new(url.as_str(), AzureConfig::default().part_size(100_000)).unwrap()
    };
    for len in [10, 250_000] {
        let source = content(len);
        assert_eq!(upload(&by_link("cw", hour, now), &source), "done");
        assert_eq!(server.blob(name).unwrap(), source);
        let whole = get(&by_link("r", hour, now).download(), &Wanted::Whole, None);
        assert_eq!(&*whole.body, source);
        for (letters, life, now) in [("r", hour, now), ("cw", second, now - hour)] {
            let error = upload(&by_link(letters, life, now), &source);
            assert!(error.starts_with("Status(403)"), "{error}");
        }
    }
    let whole = get(&by_link("cw", hour, now).download(), &Wanted::Whole, None);
    assert_eq!(whole.status.as_u16(), 403);
    // One that is not good yet, as for whoever's clock is ahead.
    let mut late = bytehaul_providers::azure::sign::Sas::new("rcw", now + hour).over_http();
    late.starts = Some(now + hour / 2);
    let url = to.presign_as(&late).unwrap();
    let early = Azure::new(url.as_str(), AzureConfig::default()).unwrap();
    assert!(upload(&early, b"x").starts_with("Status(403)"));
    // Those of the SDK.
    let url = server.sas_url("sdk.bin", Sas::new("rcw"));
    let by_sdk = Azure::new(&url, AzureConfig::default().part_size(100_000)).unwrap();
    assert_eq!(upload(&by_sdk, &content(250_000)), "done");
    assert_eq!(
        &*get(&by_sdk.download(), &Wanted::Whole, None).body,
        content(250_000)
    );
}

#[test]
fn interrupted_uploads_go_on_where_the_server_is() {
    let Some(server) = Azurite::start() else {
        return;
    };
    let source = content(550_000);
    let to = named(&server, "resumed");
    let mut first = Upload::new(&to, &source, None);
    assert!(first.run(4).unwrap().is_none());
    let saved = first.session.saved();
    assert_eq!(server.blocks("resumed").uncommitted.len(), 4);
    server.gate().forget();
    let mut second = Upload::new(&to, &source, Some(Left::new(saved.clone(), true)));
    assert!(second.run(usize::MAX).unwrap().is_some());
    let lines = server.gate().lines();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(server.blob("resumed").unwrap(), source);
    // It is complete, and another run sends nothing of it.
    server.gate().forget();
    let left = Left::new(second.session.saved(), true);
    assert!(
        Upload::new(&to, &source, Some(left))
            .run(usize::MAX)
            .unwrap()
            .is_some()
    );
    assert_eq!(server.gate().lines().len(), 1);
    // Where the list was put and nobody heard of it, the blob is known by its blocks.
    server.gate().forget();
    let mut committing = second.session.saved();
    committing.stage = bytehaul_providers::Stage::Committing;
    assert!(
        Upload::new(&to, &source, Some(Left::new(committing, true)))
            .run(usize::MAX)
            .unwrap()
            .is_some()
    );
    assert_eq!(server.gate().lines().len(), 1);
}

#[test]
fn troubles_on_the_way_are_overcome() {
    let Some(server) = Azurite::start() else {
        return;
    };
    let source = content(250_000);
    let check = |name: &str, existing: Existing, fault: Fault| {
        server.gate().set([fault]);
        let address = format!("az://{}/{name}", Azurite::CONTAINER);
        let to = Azure::new(&address, config(&server, Azurite::KEY).existing(existing)).unwrap();
        assert_eq!(upload(&to, &source), "done", "{name}");
        assert_eq!(server.blob(name).unwrap(), source, "{name}");
    };
    for existing in [Existing::Replace, Existing::Refuse] {
        let name = |what: &str| format!("{what} {existing:?}");
        check(
            &name("cut"),
            existing,
            Fault::cut(50_000).on("PUT").times(2),
        );
        check(
            &name("busy"),
            existing,
            Fault::refuse(503).on("PUT").times(2),
        );
        check(
            &name("block"),
            existing,
            Fault::lose_answer().at("comp=block&"),
        );
        check(
            &name("list"),
            existing,
            Fault::lose_answer().at("comp=blocklist"),
        );
        check(
            &name("gateway"),
            existing,
            Fault::replace(504, "").at("comp=blocklist"),
        );
    }
    server.gate().set([Fault::lose_answer().on("PUT")]);
    let small = Azure::new(
        "az://tests/small",
        config(&server, Azurite::KEY).existing(Existing::Refuse),
    )
    .unwrap();
    assert_eq!(upload(&small, b"small"), "done");
}

#[test]
fn what_is_staged_and_belongs_to_nothing_is_listed() {
    let Some(server) = Azurite::start() else {
        return;
    };
    let source = content(250_000);
    for name in ["b/one", "b/two +", "c"] {
        Upload::new(&named(&server, name), &source, None)
            .run(2)
            .unwrap();
    }
    server.put("b/there", b"bytes");
    server.put("b/empty", b"");
    let check = |name: &str, expected: &[&str]| {
        let mut list = ListStaged::new(name, &config(&server, Azurite::KEY)).unwrap();
        let key = AzureCredentials::shared_key(Azurite::ACCOUNT, Azurite::KEY).unwrap();
        let mut found = Vec::new();
        let now = SystemTime::now();
        while let Some(exchange) = list.request(&key, now) {
            let response = send(&exchange.method, &exchange.url, &exchange.headers, None).unwrap();
            let answer = Answer::new(
                response.status,
                &response.headers,
                &response.body,
                &exchange.url,
            );
            found.extend(list.answered(&answer, now).unwrap());
        }
        let shown: Vec<_> = found
            .iter()
            .map(|one| format!("{} {} {}", one.blob, one.blocks, one.bytes))
            .collect();
        assert_eq!(shown, expected);
    };
    check("az://tests/b/", &["b/one 2 200000", "b/two + 2 200000"]);
    check(
        "az://tests",
        &["b/one 2 200000", "b/two + 2 200000", "c 2 200000"],
    );
    check("az://tests/d", &[]);
}

#[test]
fn what_must_not_be_replaced_stays() {
    let Some(server) = Azurite::start() else {
        return;
    };
    server.put("theirs", b"theirs");
    let refusing = config(&server, Azurite::KEY).existing(Existing::Refuse);
    let to = Azure::new("az://tests/theirs", refusing).unwrap();
    for len in [10, 250_000] {
        let source = content(len);
        let error = Upload::new(&to, &source, None).run(usize::MAX).unwrap_err();
        assert_eq!(error.kind(), ProtocolErrorKind::Changed, "{error}");
    }
    assert_eq!(server.blob("theirs").unwrap(), b"theirs");
    // Nor does giving up take it away.
    let to = named(&server, "theirs");
    let source = content(250_000);
    let mut upload = Upload::new(&to, &source, None);
    upload.run(2).unwrap();
    upload.session.abort();
    assert_eq!(server.blob("theirs").unwrap(), b"theirs");
    let missing = Azure::new("az://nowhere/f", config(&server, Azurite::KEY)).unwrap();
    let error = Upload::new(&missing, b"x", None)
        .run(usize::MAX)
        .unwrap_err();
    assert!(error.to_string().contains("ContainerNotFound"), "{error}");
}
