//! Single exchanges as they were written down, each with what follows.

mod regions;

use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul_integrity::{Hasher, crc32c};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};

use crate::s3::{Checksum, S3, S3Config, S3Credentials};
use crate::{
    Answer, Available, Fault, Left, Lost, Next, Object, PartReceipt, Saved, SessionId, Stage,
    UploadProtocol, UploadSession,
};

/// An upload of ten bytes, `0123456789`, in parts of four.
struct Script {
    config: S3Config,
    left: Option<Saved>,
    aborts: bool,
    /// What is asked for, by host, method and query, and what is answered.
    exchanges: Vec<(&'static str, &'static str)>,
}

fn script(exchanges: &[(&'static str, &'static str)]) -> Script {
    let config = S3Config::new(S3Credentials::new("AK", "s3cret"))
        .least_part(1)
        .part_size(4)
        .checksum(Checksum::None);
    Script {
        config,
        left: None,
        aborts: false,
        exchanges: exchanges.to_vec(),
    }
}

impl Script {
    fn config(mut self, change: impl FnOnce(S3Config) -> S3Config) -> Self {
        self.config = change(self.config);
        self
    }

    fn left(mut self, saved: Saved) -> Self {
        self.left = Some(saved);
        self
    }

    fn aborts(mut self) -> Self {
        self.aborts = true;
        self
    }

    #[track_caller]
    fn ends(self, expected: &str) {
        let protocol = S3::new("s3://bucket/key", self.config).unwrap();
        let object = Object::new("f", Some(SOURCE.len() as u64));
        let left = self.left.map(|saved| Left::new(saved, true));
        let mut session = protocol.open(&object, left).unwrap();
        if self.aborts {
            session.abort();
        }
        let mut exchanges = self.exchanges.into_iter();
        let ended = run(&mut *session, &mut exchanges);
        assert_eq!(ended, expected);
        assert_eq!(exchanges.next(), None, "it ended before");
    }
}

fn run(
    session: &mut dyn UploadSession,
    exchanges: &mut impl Iterator<Item = (&'static str, &'static str)>,
) -> String {
    let available = Available {
        until: SOURCE.len() as u64,
        ended: true,
    };
    loop {
        let exchange = match session.next(available, now()) {
            Ok(Next::Send(exchange)) => exchange,
            Ok(Next::Digest(job)) => {
                let range = job.range.start as usize..job.range.end as usize;
                session.digested(job.id, Hasher::digest(job.algorithm, &SOURCE[range]));
                continue;
            }
            Ok(Next::Call(call)) => {
                let mut running = (call.run)(Bytes::new());
                let mut context = Context::from_waker(Waker::noop());
                let Poll::Ready(Ok(given)) = running.as_mut().poll(&mut context) else {
                    panic!("this provider always answers")
                };
                session.returned(call.id, given, now()).unwrap();
                continue;
            }
            Ok(Next::Done(completed)) => {
                return format!("done {}", completed.etag.unwrap_or_default());
            }
            Ok(Next::Aborted) => return "aborted".to_owned(),
            Ok(other) => panic!("{other:?}"),
            Err(error) => return format!("{:?}: {error}", error.kind()),
        };
        let pairs: Vec<String> = exchange
            .url
            .query_pairs()
            .map(|(name, value)| match &*name {
                "partNumber" => value.into_owned(),
                _ => format!("{name}={value}"),
            })
            .collect();
        let asked = format!("{} {}", exchange.method, pairs.join(" "));
        let asked = match exchange.url.host_str() {
            Some("bucket.s3.us-east-1.amazonaws.com") => asked.trim_end().to_owned(),
            host => format!("{} {}", host.unwrap(), asked.trim_end()),
        };
        let (expected, answer) = exchanges
            .next()
            .unwrap_or_else(|| panic!("{asked} comes unexpected"));
        assert_eq!(asked, expected);
        if answer == "lost" {
            session.lost(exchange.id, Lost::Unknown);
            continue;
        }
        let (status, mut rest) = answer.split_once(' ').unwrap_or((answer, ""));
        let mut headers = HeaderMap::new();
        while let Some((field, behind)) =
            rest.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        {
            let (name, value) = field.split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
            rest = behind.trim_start();
        }
        let body = match rest.strip_prefix('!') {
            Some(code) => format!("<Error><Code>{code}</Code></Error>"),
            None => rest.to_owned(),
        };
        let body = Bytes::from(body);
        let status = StatusCode::from_bytes(status.as_bytes()).unwrap();
        let mut told = Answer::new(status, &headers, &body, &exchange.url);
        if let Some(range) = exchange.payload.source_range() {
            let bytes = &SOURCE[range.start as usize..range.end as usize];
            told = told.sent(bytes.len() as u64, Some(crc32c(bytes)));
        }
        match session.answered(exchange.id, &told, now()) {
            Ok(()) => (),
            Err(Fault::Fatal(error)) => return format!("{:?}: {error}", error.kind()),
            Err(_) => session.lost(exchange.id, Lost::Refused(status)),
        }
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// Of an earlier run that has sent the parts of these numbers, with the tags `"1"`, `"2"` and `"3"`.
fn earlier(stage: Stage, parts: &[u32]) -> Saved {
    let mut saved = Saved {
        session: Some(SessionId::new("U")),
        stage,
        part_size: 4,
        ..Saved::default()
    };
    saved.extra.insert("len".into(), "10".into());
    saved.extra.insert("checksum".into(), "none".into());
    saved.parts = parts
        .iter()
        .map(|number| {
            let start = u64::from(number - 1) * 4;
            let end = (start + 4).min(10);
            let crc = crc32c(&SOURCE[start as usize..end as usize]);
            let tag = format!("\"{number}\"");
            PartReceipt::new(*number, start, end - start)
                .tag(tag)
                .crc32c(crc)
        })
        .collect();
    saved
}

const SOURCE: &[u8] = b"0123456789";
const CREATED: &str =
    "200 <InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>";
const COMPLETED: &str =
    "200 <CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>";
/// Beginning and parts of an upload without incidents.
const SENT: [(&str, &str); 4] = [
    ("POST uploads=", CREATED),
    ("PUT 1 uploadId=U", "200 [etag: \"1\"]"),
    ("PUT 2 uploadId=U", "200 [etag: \"2\"]"),
    ("PUT 3 uploadId=U", "200 [etag: \"3\"]"),
];

fn after_sending(more: &[(&'static str, &'static str)]) -> Script {
    script(&[&SENT[..], more].concat())
}

#[test]
fn a_completion_in_good_order() {
    after_sending(&[("POST uploadId=U", COMPLETED)]).ends("done \"whole\"");
    // White space to keep the connection open, and nothing else.
    after_sending(&[("POST uploadId=U", "200 [etag: \"e\"] \n \n")]).ends("done \"e\"");
    after_sending(&[
        ("POST uploadId=U", "200 <html>hello</html>"),
        ("POST uploadId=U", COMPLETED),
    ])
    .ends("done \"whole\"");
}

#[test]
fn an_error_in_a_200() {
    after_sending(&[
        ("POST uploadId=U", "200 !InternalError"),
        ("POST uploadId=U", COMPLETED),
    ])
    .ends("done \"whole\"");
    after_sending(&[("POST uploadId=U", "200 !MalformedXML")])
        .ends("Status(200): completion: status 200, MalformedXML");
}

#[test]
fn a_lost_completion() {
    let lost = |more: &[(&'static str, &'static str)]| {
        after_sending(&[&[("POST uploadId=U", "lost")], more].concat())
    };
    lost(&[("POST uploadId=U", COMPLETED)]).ends("done \"whole\"");
    let gone = ("POST uploadId=U", "404 !NoSuchUpload");
    // No tag is an MD5 here, so that nothing follows from them.
    lost(&[gone, ("HEAD", "200 [content-length: 10][etag: \"x\"]")]).ends(
        "Indeterminate: it cannot be known whether the object was made: an answer was lost, the next one was \
         status 404, NoSuchUpload, and the object that is there cannot be told from others",
    );
    lost(&[gone, ("HEAD", "200 [content-length: 9][etag: \"x\"]")]).ends(
        "Indeterminate: it cannot be known whether the object was made: an answer was lost, the next one was \
         status 404, NoSuchUpload, and another object is there",
    );
    lost(&[gone, ("HEAD", "403")]).ends(
        "Indeterminate: it cannot be known whether the object was made: an answer was lost, the next one was \
         status 404, NoSuchUpload, and asking for the object: status 403",
    );
    // It is not there, and neither is the upload: all of it again.
    let again = [
        &[gone, ("HEAD", "404")],
        &SENT[..],
        &[("POST uploadId=U", COMPLETED)],
    ]
    .concat();
    lost(&again).ends("done \"whole\"");
    lost(&[("POST uploadId=U", "403 !AccessDenied"), ("HEAD", "404")])
        .ends("Status(403): completion: status 403, AccessDenied, and the object is not there");
}

#[test]
fn the_composite_tag_of_a_lost_completion() {
    let parts = [
        (
            "PUT 1 uploadId=U",
            "200 [etag: \"eb62f6b9306db575c2d596b1279627a4\"]",
        ),
        (
            "PUT 2 uploadId=U",
            "200 [etag: \"6dd4c5f0b8e7a3f0b0a0e1d6e2f0a1b2\"]",
        ),
        (
            "PUT 3 uploadId=U",
            "200 [etag: \"7647966b7343c29048673252e490f736\"]",
        ),
        ("POST uploadId=U", "lost"),
        ("POST uploadId=U", "404 !NoSuchUpload"),
    ];
    let tags = parts[..3]
        .iter()
        .map(|(_, answer)| answer.split('"').nth(1));
    let whole = crate::said::composite_etag(tags).unwrap();
    let found: &'static str = format!("200 [content-length: 10][etag: \"{whole}\"]").leak();
    let until = [&SENT[..1], &parts].concat();
    script(&[&until[..], &[("HEAD", found)]].concat()).ends(&format!("done \"{whole}\""));
    let other = "200 [content-length: 10][etag: \"00000000000000000000000000000000-3\"]";
    script(&[&until[..], &[("HEAD", other)]].concat()).ends(
        "Indeterminate: it cannot be known whether the object was made: an answer was lost, the next one was \
         status 404, NoSuchUpload, and another object is there",
    );
}

#[test]
fn a_part_that_the_server_lost() {
    let listed = "200 <ListPartsResult><Part><PartNumber>1</PartNumber><ETag>\"1\"</ETag><Size>4</Size></Part>\
         <Part><PartNumber>3</PartNumber><ETag>\"3\"</ETag><Size>2</Size></Part></ListPartsResult>";
    after_sending(&[
        ("POST uploadId=U", "400 !InvalidPart"),
        ("GET uploadId=U", listed),
        ("PUT 2 uploadId=U", "200 [etag: \"2\"]"),
        ("POST uploadId=U", COMPLETED),
    ])
    .ends("done \"whole\"");
    let all = "200 <ListPartsResult><Part><PartNumber>1</PartNumber><Size>4</Size></Part>\
         <Part><PartNumber>2</PartNumber><Size>4</Size></Part>\
         <Part><PartNumber>3</PartNumber><Size>2</Size></Part></ListPartsResult>";
    after_sending(&[("POST uploadId=U", "400 !InvalidPart"), ("GET uploadId=U", all)]).ends(
        "Status(400): completion: status 400, InvalidPart, though all parts are listed as they were sent",
    );
    after_sending(&[
        ("POST uploadId=U", "400 !InvalidPart"),
        ("GET uploadId=U", "405 !MethodNotAllowed"),
    ])
    .ends(
        "Status(400): completion: status 400, InvalidPart, and there is no list of what is there",
    );
}

#[test]
fn an_upload_that_vanishes() {
    let gone = ("PUT 2 uploadId=U", "404 !NoSuchUpload");
    let lost = [&SENT[..2], &[gone]].concat();
    let all = [&lost[..], &SENT, &[("POST uploadId=U", COMPLETED)]].concat();
    script(&all).ends("done \"whole\"");
    let thrice = [&lost[..], &lost, &lost].concat();
    script(&thrice)
        .ends("Status(404): the server has lost the upload again: status 404, NoSuchUpload");
}

#[test]
fn parts_that_are_not_taken() {
    let begun = |more: &[(&'static str, &'static str)]| script(&[&SENT[..1], more].concat());
    begun(&[("PUT 1 uploadId=U", "200")]).ends("Parse: the answer to part 1 has no ETag");
    begun(&[("PUT 1 uploadId=U", "400 !EntityTooLarge")])
        .ends("Status(400): part 1: status 400, EntityTooLarge");
    let again = [
        ("PUT 1 uploadId=U", "503 !SlowDown"),
        ("PUT 1 uploadId=U", "400 !BadDigest"),
        // The server took other bytes than were sent.
        (
            "PUT 1 uploadId=U",
            "200 [etag: \"1\"][x-amz-checksum-crc32c: AAAAAA==]",
        ),
    ];
    let all = [
        &SENT[..1],
        &again,
        &SENT[1..],
        &[("POST uploadId=U", COMPLETED)],
    ]
    .concat();
    script(&all).ends("done \"whole\"");
}

#[test]
fn an_object_that_must_not_be_there() {
    let keeps = |config: S3Config| config.if_none_match_any(true);
    after_sending(&[("POST uploadId=U", "412 !PreconditionFailed")])
        .config(keeps)
        .ends("Changed: an object is there already: status 412, PreconditionFailed");
    // It may be ours, when an answer was lost.
    after_sending(&[
        ("POST uploadId=U", "lost"),
        ("POST uploadId=U", "412 !PreconditionFailed"),
        ("HEAD", "200 [content-length: 11][etag: \"x\"]"),
    ])
    .config(keeps)
    .ends("Changed: an object is there already, of other bytes: status 412, PreconditionFailed");
    let small = |config: S3Config| keeps(config).part_size(10);
    script(&[
        ("PUT", "lost"),
        ("PUT", "412 !PreconditionFailed"),
        (
            "HEAD",
            "200 [content-length: 10][etag: \"781e5e245d69b566979b86e28d23f2c7\"]",
        ),
    ])
    .config(small)
    .ends("done \"781e5e245d69b566979b86e28d23f2c7\"");
    // Another one may come and go while ours is decided.
    after_sending(&[
        ("POST uploadId=U", "409 !ConditionalRequestConflict"),
        ("POST uploadId=U", COMPLETED),
    ])
    .config(keeps)
    .ends("done \"whole\"");
}

#[test]
fn a_bucket_in_another_region() {
    let moved = "301 [x-amz-bucket-region: eu-west-1] !PermanentRedirect";
    let there = |asked: &'static str| -> &'static str {
        format!("bucket.s3.eu-west-1.amazonaws.com {asked}").leak()
    };
    script(&[("PUT", moved), (there("PUT"), "200 [etag: \"1\"]")])
        .config(|config| config.part_size(10))
        .ends("done \"1\"");
    script(&[
        ("PUT", moved),
        (
            there("PUT"),
            "301 [x-amz-bucket-region: us-east-1] !PermanentRedirect",
        ),
    ])
    .config(|config| config.part_size(10))
    .ends("Status(301): the bucket is in us-east-1: status 301, PermanentRedirect");
    // No region can be a host of somebody else.
    script(&[(
        "PUT",
        "301 [x-amz-bucket-region: evil.test/] !PermanentRedirect",
    )])
    .config(|config| config.part_size(10))
    .ends("Status(301): the bucket is in evil.test/: status 301, PermanentRedirect");
    // What is shown of it is a word.
    let long: &'static str = format!("301 [x-amz-bucket-region: / {}]", "x".repeat(5000)).leak();
    script(&[("PUT", long)])
        .config(|config| config.part_size(10))
        .ends(&format!(
            "Status(301): the bucket is in /{}: status 301",
            "x".repeat(39)
        ));
}

fn earlier_complete() -> Saved {
    let mut complete = earlier(Stage::Complete, &[1, 2, 3]);
    complete.extra.insert("etag".into(), "\"e\"".into());
    complete
}

#[test]
fn an_earlier_run() {
    let list = |parts: &str| -> &'static str {
        let parts: String = parts
            .split_whitespace()
            .map(|one| {
                let (number, tag) = one.split_once(':').unwrap();
                let size = if number == "3" { 2 } else { 4 };
                format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{tag}\"</ETag><Size>{size}</Size></Part>")
            })
            .collect();
        format!("200 <ListPartsResult>{parts}</ListPartsResult>").leak()
    };
    let end = ("POST uploadId=U", COMPLETED);
    script(&[("GET uploadId=U", list("1:1 2:2")), SENT[3], end])
        .left(earlier(Stage::Sending, &[1, 2]))
        .ends("done \"whole\"");
    // Another one has been sent under this number since.
    script(&[
        ("GET uploadId=U", list("1:1 2:other")),
        SENT[2],
        SENT[3],
        end,
    ])
    .left(earlier(Stage::Sending, &[1, 2]))
    .ends("done \"whole\"");
    // Whose receipt is not there, but whose tag is the MD5 of the bytes that are here.
    let md5 = Hasher::digest(crate::Algorithm::Md5, &SOURCE[..4]).hex();
    let claimed = list(&format!("1:{md5} 2:2"));
    script(&[("GET uploadId=U", claimed), SENT[3], end])
        .left(earlier(Stage::Sending, &[2]))
        .ends("done \"whole\"");
    let all = [
        &[("GET uploadId=U", "404 !NoSuchUpload")],
        &SENT[..],
        &[end],
    ]
    .concat();
    script(&all)
        .left(earlier(Stage::Sending, &[1, 2]))
        .ends("done \"whole\"");
    // It was at the completion: what stands there is looked at first.
    let whole = [
        &[("GET uploadId=U", "404 !NoSuchUpload"), ("HEAD", "404")],
        &SENT[..],
        &[end],
    ]
    .concat();
    script(&whole)
        .left(earlier(Stage::Committing, &[1, 2, 3]))
        .ends("done \"whole\"");
    // Who cannot ask does not know, and does not call it failed.
    for refusal in ["400 !ExpiredToken", "403 !InvalidAccessKeyId"] {
        let code = refusal.replace(" !", ", ");
        script(&[("GET uploadId=U", refusal)])
            .left(earlier(Stage::Committing, &[1, 2, 3]))
            .ends(&format!(
                "Indeterminate: it cannot be known whether the object was made: an earlier run was at the \
                 completion, and the server cannot be asked: list of parts: status {code}"
            ));
    }
    // There is no list: the receipts count.
    for refusal in [
        "405 !MethodNotAllowed",
        "403 !AccessDenied",
        "501 !NotImplemented",
    ] {
        script(&[("GET uploadId=U", refusal), SENT[3], end])
            .left(earlier(Stage::Sending, &[1, 2]))
            .ends("done \"whole\"");
    }
    let complete = earlier_complete();
    script(&[("HEAD", "200 [content-length: 10][etag: \"e\"]")])
        .left(complete.clone())
        .ends("done \"e\"");
    // Another one is there, or none, or it may not be looked at: 403 is also said of a key that is not there.
    for answer in ["200 [content-length: 10][etag: \"f\"]", "404", "403", "405"] {
        let anew = [&[("HEAD", answer)], &SENT[..], &[end]].concat();
        script(&anew).left(complete.clone()).ends("done \"whole\"");
    }
    // What cannot be a checkpoint of this upload counts for nothing.
    let mut odd = earlier(Stage::Sending, &[1]);
    odd.part_size = 0;
    after_sending(&[end]).left(odd).ends("done \"whole\"");
    let mut odd = earlier(Stage::Sending, &[1]);
    odd.extra.insert("len".into(), "11".into());
    after_sending(&[end]).left(odd).ends("done \"whole\"");
}

/// What is named goes into URLs and into the checkpoint.
#[test]
fn an_upload_whose_id_nobody_would_give() {
    let id = "x".repeat(1025);
    let created: &'static str = format!("200 <InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>").leak();
    script(&[("POST uploads=", created)])
        .ends("Parse: the answer to the creation has no upload id");
}

#[test]
fn aborts() {
    script(&[]).aborts().ends("aborted");
    let left = || earlier(Stage::Sending, &[1]);
    script(&[("DELETE uploadId=U", "204")])
        .left(left())
        .aborts()
        .ends("aborted");
    script(&[("DELETE uploadId=U", "404 !NoSuchUpload")])
        .left(left())
        .aborts()
        .ends("aborted");
    script(&[("DELETE uploadId=U", "lost"), ("DELETE uploadId=U", "204")])
        .left(left())
        .aborts()
        .ends("aborted");
    script(&[("DELETE uploadId=U", "403 !AccessDenied")])
        .left(left())
        .aborts()
        .ends("Status(403): abort: status 403, AccessDenied");
}

/// What was refused was not made: another run need not look for it, and is refused in the same words.
#[test]
fn a_small_object_that_is_refused_is_in_no_doubt() {
    let config = S3Config::new(S3Credentials::new("ak", "s3cret"))
        .checksum(Checksum::None)
        .part_size(16);
    let protocol = S3::new("s3://bucket/key", config).unwrap();
    let object = Object::new("f", Some(SOURCE.len() as u64));
    let end = "Status(403): upload: status 403, AccessDenied";
    let mut left = None;
    for _ in 0..2 {
        let mut session = protocol.open(&object, left).unwrap();
        let mut exchanges = [("PUT", "403 !AccessDenied")].into_iter();
        assert_eq!(run(&mut *session, &mut exchanges), end);
        let saved = session.saved();
        assert_eq!(saved.stage, Stage::Beginning);
        left = Some(Left::new(saved, true));
    }
}

#[test]
fn answers_that_cannot_be() {
    for odd in ["200 <a>", "200 {}", "200", "299 [etag: \u{fc}]"] {
        script(&[("POST uploads=", odd)])
            .ends("Parse: the answer to the creation has no upload id");
    }
    script(&[("POST uploads=", "304")]).ends("Status(304): creation of the upload: status 304");
    let list = ("GET uploadId=U", "200 <ListBucketResult/>");
    script(&[list])
        .left(earlier(Stage::Sending, &[1]))
        .ends("Parse: the list of parts is no such XML");
}
