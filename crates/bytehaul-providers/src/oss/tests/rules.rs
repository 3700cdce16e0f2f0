//! Single exchanges as they were written down, each with what follows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul_integrity::{Crc, Hasher, crc32c};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};

use crate::oss::{Existing, ListUploads, Operation, Oss, OssConfig, OssCredentials, OssDownload};
use crate::{
    Answer, Available, DownloadProtocol, Fault, Left, Lost, Next, Object, PartReceipt, Saved,
    SessionId, Stage, UploadProtocol, UploadSession, Wanted,
};

/// An upload of ten bytes, `0123456789`, in parts of four.
struct Script {
    config: OssConfig,
    left: Option<Left>,
    aborts: bool,
    /// What is asked for, by host, method and query, and what is answered.
    exchanges: Vec<(&'static str, String)>,
}

fn config() -> OssConfig {
    OssConfig::new(OssCredentials::new("ak", "s3cret"))
        .region("cn-hangzhou")
        .least_part(1)
        .part_size(4)
}

fn script(exchanges: &[(&'static str, &str)]) -> Script {
    let owned = exchanges.iter();
    Script {
        config: config(),
        left: None,
        aborts: false,
        exchanges: owned
            .map(|(asked, said)| (*asked, (*said).to_owned()))
            .collect(),
    }
}

impl Script {
    fn config(mut self, change: impl FnOnce(OssConfig) -> OssConfig) -> Self {
        self.config = change(self.config);
        self
    }

    fn left(mut self, saved: Saved) -> Self {
        self.left = Some(Left::new(saved, true));
        self
    }

    fn changed(mut self) -> Self {
        self.left = self.left.map(|left| Left::new(left.saved, false));
        self
    }

    fn aborts(mut self) -> Self {
        self.aborts = true;
        self
    }

    #[track_caller]
    fn ends(self, expected: &str) {
        let protocol = Oss::new("oss://bucket/key", self.config).unwrap();
        let object = Object::new("f", Some(SOURCE.len() as u64));
        let mut session = protocol.open(&object, self.left).unwrap();
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
    exchanges: &mut impl Iterator<Item = (&'static str, String)>,
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
            Ok(Next::Done(completed)) => {
                let sure = if completed.verified.is_some() {
                    ""
                } else {
                    "?"
                };
                return format!("done {}{sure}", completed.etag.unwrap_or_default());
            }
            Ok(Next::Aborted) => return "aborted".to_owned(),
            Ok(other) => panic!("{other:?}"),
            Err(error) => return format!("{:?}: {error}", error.kind()),
        };
        let pairs = exchange.url.query_pairs();
        let pairs = pairs.filter_map(|(name, value)| match &*name {
            "partNumber" => Some(value.into_owned()),
            "encoding-type" | "max-parts" => None,
            "uploads" => Some("uploads".to_owned()),
            "part-number-marker" => Some(format!("after {value}")),
            _ => Some(format!("{name}={value}")),
        });
        let asked = [exchange.method.to_string()].into_iter().chain(pairs);
        let mut asked = asked.collect::<Vec<_>>().join(" ");
        match exchange.url.host_str() {
            Some("bucket.oss-cn-hangzhou.aliyuncs.com") => (),
            host => asked = format!("{} {asked}", host.unwrap()),
        }
        let (expected, answer) = exchanges
            .next()
            .unwrap_or_else(|| panic!("{asked} comes unexpected"));
        assert_eq!(asked, expected);
        if answer == "lost" {
            session.lost(exchange.id, Lost::Unknown);
            continue;
        }
        let (status, mut rest) = answer.split_once(' ').unwrap_or((&answer, ""));
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

fn part(number: u32) -> &'static [u8] {
    let start = (number as usize - 1) * 4;
    &SOURCE[start..(start + 4).min(10)]
}

/// Of an earlier run that has sent the parts of these numbers, with the tags `"1"`, `"2"` and `"3"`.
fn earlier(stage: Stage, parts: &[u32]) -> Saved {
    let mut saved = Saved {
        session: Some(SessionId::new("U")),
        stage,
        part_size: 4,
        ..Saved::default()
    };
    let receipt = |number: &u32| {
        let bytes = part(*number);
        PartReceipt::new(*number, u64::from(number - 1) * 4, bytes.len() as u64)
            .tag(format!("\"{number}\""))
            .crc32c(crc32c(bytes))
    };
    saved.parts = parts.iter().map(receipt).collect();
    saved
}

/// A list of parts: numbers, and a CRC each if it is that of the source.
fn listed(parts: &[(u32, Option<bool>)]) -> String {
    let one = |(number, is_same): &(u32, Option<bool>)| {
        let crc = Crc::Crc64.checksum(part(*number));
        let crc = is_same.map(|same| if same { crc } else { crc ^ 1 });
        let crc = crc.map_or(String::new(), |crc| {
            format!("<HashCrc64ecma>{crc}</HashCrc64ecma>")
        });
        let size = part(*number).len();
        format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>\"{number}\"</ETag><Size>{size}</Size>{crc}</Part>"
        )
    };
    let parts: String = parts.iter().map(one).collect();
    format!("200 <ListPartsResult>{parts}</ListPartsResult>")
}

/// An object that is there, of these bytes.
fn there(bytes: &[u8]) -> String {
    let crc = Crc::Crc64.checksum(bytes);
    let len = bytes.len();
    format!("200 [etag: \"o\"] [content-length: {len}] [x-oss-hash-crc64ecma: {crc}]")
}

fn completed() -> String {
    let crc = Crc::Crc64.checksum(SOURCE);
    format!(
        "200 [x-oss-hash-crc64ecma: {crc}] <CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>"
    )
}

const SOURCE: &[u8] = b"0123456789";
const CREATED: &str =
    "200 <InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>";
/// Beginning and parts of an upload without incidents.
const SENT: [(&str, &str); 4] = [
    ("POST uploads", CREATED),
    ("PUT 1 uploadId=U", "200 [etag: \"1\"]"),
    ("PUT 2 uploadId=U", "200 [etag: \"2\"]"),
    ("PUT 3 uploadId=U", "200 [etag: \"3\"]"),
];

fn after_sending(more: &[(&'static str, &str)]) -> Script {
    let mut all = script(&SENT);
    all.exchanges.extend(script(more).exchanges);
    all
}

#[test]
fn a_completion_in_good_order() {
    after_sending(&[("POST uploadId=U", &completed())]).ends("done \"whole\"");
    after_sending(&[("POST uploadId=U", "200 [etag: \"e\"]")]).ends("done \"e\"?");
    // It says nothing of the object, so it is asked again.
    after_sending(&[
        ("POST uploadId=U", "200 <html>hello</html>"),
        ("POST uploadId=U", "404 !NoSuchUpload"),
        ("HEAD", &there(SOURCE)),
    ])
    .ends("done \"o\"");
    after_sending(&[
        ("POST uploadId=U", "200 !InternalError"),
        ("POST uploadId=U", &completed()),
    ])
    .ends("done \"whole\"");
    after_sending(&[(
        "POST uploadId=U",
        "200 [etag: \"e\"] [x-oss-hash-crc64ecma: 1]",
    )])
    .ends("Checksum: the server has made an object of other bytes than were sent");
}

#[test]
fn a_completion_that_was_not_heard_of() {
    let after = |more: &[(&'static str, &str)]| {
        let lost = [("POST uploadId=U", "lost")];
        after_sending(&[&lost[..], more].concat())
    };
    after(&[("POST uploadId=U", &completed())]).ends("done \"whole\"");
    let gone = ("POST uploadId=U", "404 !NoSuchUpload");
    after(&[gone, ("HEAD", &there(SOURCE))]).ends("done \"o\"");
    after(&[gone, ("HEAD", "200 [content-length: 10] [etag: \"o\"]")]).ends(
        "Indeterminate: it cannot be known whether the object was made: status 404, NoSuchUpload, \
         and the object does not say of which bytes it is",
    );
    after(&[gone, ("HEAD", "403")]).ends(
        "Indeterminate: it cannot be known whether the object was made: status 404, NoSuchUpload, \
         and asking for the object: status 403",
    );
    // Somebody has discarded it: all of it again, over what is there.
    let mut anew = vec![gone, ("HEAD", "404")];
    anew.extend(SENT);
    let done = completed();
    anew.push(("POST uploadId=U", &done));
    after(&anew).ends("done \"whole\"");
    let other = there(b"9876543210");
    anew[1] = ("HEAD", &other);
    after(&anew).ends("done \"whole\"");
    after(&[("POST uploadId=U", "403 !AccessDenied"), ("HEAD", "404")])
        .ends("Status(403): completion: status 403, AccessDenied");
}

#[test]
fn what_exists_is_left_alone() {
    let refuse = |config: OssConfig| config.existing(Existing::Refuse);
    script(&[("POST uploads", "409 !FileAlreadyExists")])
        .config(refuse)
        .ends("Changed: creation of the upload: status 409, FileAlreadyExists");
    let exists = ("POST uploadId=U", "409 !FileAlreadyExists");
    after_sending(&[exists])
        .config(refuse)
        .ends("Changed: completion: status 409, FileAlreadyExists");
    let lost = ("POST uploadId=U", "lost");
    after_sending(&[lost, exists, ("HEAD", &there(SOURCE))])
        .config(refuse)
        .ends("done \"o\"");
    after_sending(&[lost, exists, ("HEAD", &there(b"0"))])
        .config(refuse)
        .ends("Changed: completion: status 409, FileAlreadyExists");
}

#[test]
fn parts_of_other_bytes_are_sent_again() {
    let other = "200 [etag: \"x\"] [x-oss-hash-crc64ecma: 1]";
    let mut all = SENT.to_vec();
    all.splice(1..1, [("PUT 1 uploadId=U", other); 3]);
    let done = completed();
    all.push(("POST uploadId=U", &done));
    script(&all).ends("done \"whole\"");
    all.splice(1..1, [("PUT 1 uploadId=U", other)]);
    script(&all[..5]).ends("Checksum: the server has other bytes of part 1 than were sent");
    script(&[SENT[0], ("PUT 1 uploadId=U", "200")])
        .ends("Parse: the answer to part 1 does not say what the server calls it");
}

#[test]
fn the_servers_list_decides() {
    let resumed = |list: &str, kept: &[u32], sent: &[&'static str]| {
        let done = completed();
        let mut all = vec![("GET uploadId=U after 0", list)];
        let puts = sent.iter().map(|asked| (*asked, "200 [etag: \"n\"]"));
        all.extend(puts);
        all.push(("POST uploadId=U", &done));
        script(&all).left(earlier(Stage::Sending, kept))
    };
    let (one, two, three) = ("PUT 1 uploadId=U", "PUT 2 uploadId=U", "PUT 3 uploadId=U");
    let same = |number| (number, Some(true));
    let list = listed(&[same(1), same(2)]);
    resumed(&list, &[1, 2], &[three]).ends("done \"whole\"");
    // Without a receipt, by its CRC.
    resumed(&list, &[1], &[three]).ends("done \"whole\"");
    resumed(&list, &[], &[three]).ends("done \"whole\"");
    resumed(&list, &[], &[three])
        .changed()
        .ends("done \"whole\"");
    // Of other bytes.
    let list = listed(&[same(1), (2, Some(false))]);
    resumed(&list, &[1], &[two, three]).ends("done \"whole\"");
    // Nothing says of which bytes it is.
    let list = listed(&[(1, None), (2, None)]);
    resumed(&list, &[1], &[two, three]).ends("done \"whole\"");
    // The server has lost what there is a receipt of.
    resumed(&listed(&[same(3)]), &[1, 2], &[one, two]).ends("done \"whole\"");
    // Nobody may ask.
    resumed("403 !AccessDenied", &[1], &[two, three]).ends("done \"whole\"");
    resumed("200 <html/>", &[1], &[]).exchanges.truncate(1);
}

#[test]
fn an_upload_that_is_gone_is_begun_anew() {
    let done = completed();
    let mut all = vec![("GET uploadId=U after 0", "404 !NoSuchUpload")];
    all.extend(SENT);
    all.push(("POST uploadId=U", &done));
    script(&all)
        .left(earlier(Stage::Sending, &[1]))
        .ends("done \"whole\"");
    // It was at the completion: the object may be there.
    let all = [all[0], ("HEAD", &there(SOURCE))];
    let committing = || earlier(Stage::Committing, &[1, 2, 3]);
    script(&all).left(committing()).ends("done \"o\"");
    script(&all)
        .left(earlier(Stage::Sending, &[1, 2, 3]))
        .ends("done \"o\"");
    // Not for ever.
    let mut all = Vec::new();
    for _ in 0..4 {
        all.extend([SENT[0], ("PUT 1 uploadId=U", "404 !NoSuchUpload")]);
    }
    script(&all)
        .ends("Status(404): the server keeps losing what it has taken: status 404, NoSuchUpload");
}

#[test]
fn parts_that_the_completion_misses_are_sent_again() {
    let done = completed();
    let list = listed(&[(1, Some(true)), (3, Some(true))]);
    after_sending(&[
        ("POST uploadId=U", "400 !InvalidPart"),
        ("GET uploadId=U after 0", &list),
        ("PUT 2 uploadId=U", "200 [etag: \"2\"]"),
        ("POST uploadId=U", &done),
    ])
    .ends("done \"whole\"");
}

#[test]
fn what_was_complete_is_looked_at() {
    let complete = || {
        let mut saved = earlier(Stage::Complete, &[1, 2, 3]);
        saved.extra.insert("etag".into(), "\"o\"".into());
        saved
    };
    script(&[("HEAD", &there(SOURCE))])
        .left(complete())
        .ends("done \"o\"?");
    let done = completed();
    // None is there, or another one, or it may not be looked at.
    for answer in ["404", "403", &there(b"012345678x9")] {
        let mut all = vec![("HEAD", answer)];
        all.extend(SENT);
        all.push(("POST uploadId=U", &done));
        script(&all).left(complete()).ends("done \"whole\"");
    }
}

#[test]
fn another_endpoint_is_followed_once() {
    let moved = "403 <Error><Code>AccessDenied</Code><Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint></Error>";
    let put = |config: OssConfig| config.part_size(10);
    script(&[
        ("PUT", moved),
        (
            "bucket.oss-cn-beijing.aliyuncs.com PUT",
            "200 [etag: \"e\"]",
        ),
    ])
    .config(put)
    .ends("done \"e\"?");
    script(&[
        ("PUT", moved),
        ("bucket.oss-cn-beijing.aliyuncs.com PUT", moved),
    ])
    .config(put)
    .ends("Status(403): the bucket has another endpoint: status 403, AccessDenied");
}

/// What is named goes into URLs and into the checkpoint.
#[test]
fn an_upload_whose_id_nobody_would_give() {
    let id = "x".repeat(1025);
    let created: &'static str = format!("200 <InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>").leak();
    script(&[("POST uploads", created)]).ends("Parse: the answer to the creation has no upload id");
}

#[test]
fn an_abort_discards_its_own_upload() {
    script(&[]).aborts().ends("aborted");
    for answer in ["204", "404 !NoSuchUpload"] {
        script(&[("DELETE uploadId=U", answer)])
            .left(earlier(Stage::Committing, &[1, 2, 3]))
            .aborts()
            .ends("aborted");
    }
    // Nobody knows any more what was uploaded.
    let protocol = Oss::new("oss://bucket/key", config()).unwrap();
    let left = Left::new(earlier(Stage::Sending, &[1]), true);
    let mut session = protocol.open(&Object::new("f", None), Some(left)).unwrap();
    session.abort();
    let mut exchanges = [("DELETE uploadId=U", "204".to_owned())].into_iter();
    assert_eq!(run(&mut *session, &mut exchanges), "aborted");
}

#[test]
fn faults_of_the_one_asking() {
    script(&[("POST uploads", "403 !SignatureDoesNotMatch")])
        .ends("Status(403): creation of the upload: status 403, SignatureDoesNotMatch");
    script(&[("POST uploads", "200 <html/>")])
        .ends("Parse: the answer to the creation has no upload id");
    script(&[("POST uploads", "404 !NoSuchBucket")])
        .ends("Status(404): creation of the upload: status 404, NoSuchBucket");
}

/// What was refused was not made: another run need not look for it, and is refused in the same words.
#[test]
fn a_small_object_that_is_refused_is_in_no_doubt() {
    let protocol = Oss::new("oss://bucket/key", config().part_size(16)).unwrap();
    let object = Object::new("f", Some(SOURCE.len() as u64));
    let end = "Status(403): part 1: status 403, AccessDenied";
    let mut left = None;
    for _ in 0..2 {
        let mut session = protocol.open(&object, left).unwrap();
        assert_eq!(session.saved().stage, Stage::Committing);
        let mut exchanges = [("PUT", "403 !AccessDenied".to_owned())].into_iter();
        assert_eq!(run(&mut *session, &mut exchanges), end);
        let saved = session.saved();
        assert_eq!(saved.stage, Stage::Beginning);
        left = Some(Left::new(saved, true));
    }
}

#[test]
fn a_download_asks_for_what_there_is() {
    let download = OssDownload::new("oss://bucket/a key", config()).unwrap();
    let shown = |download: &OssDownload, wanted: Wanted| {
        let request = download.request(&wanted, now()).unwrap();
        let names = request.headers.keys().map(HeaderName::as_str);
        (request.url.to_string(), names.collect::<Vec<_>>().join(" "))
    };
    let (url, names) = shown(&download, Wanted::Whole);
    assert_eq!(url, "https://bucket.oss-cn-hangzhou.aliyuncs.com/a%20key");
    assert!(
        !names.contains("behavior") && names.contains("authorization"),
        "{names}"
    );
    let version = download
        .version("v 1")
        .if_match("\"e\"")
        .unwrap()
        .total_size(7);
    let (url, names) = shown(&version, Wanted::From(3));
    assert!(url.ends_with("/a%20key?versionId=v%201"), "{url}");
    assert!(
        names.contains("x-oss-range-behavior") && names.contains("if-match"),
        "{names}"
    );
    assert_eq!(version.target(), url);
    assert_eq!(version.expires_at(), None);
    assert_eq!(DownloadProtocol::total_size(&version), Some(7));
}

#[test]
fn uploads_are_listed_page_by_page_and_aborted() {
    let credentials = OssCredentials::new("ak", "s3cret");
    let mut list = ListUploads::new("oss://bucket/pre", &config()).unwrap();
    let mut ask = |expected: Option<&str>, body: &str| {
        let exchange = list.request(&credentials, now()).unwrap();
        let asked = exchange
            .as_ref()
            .map(|exchange| exchange.url.query().unwrap());
        assert_eq!(asked, expected);
        let Some(exchange) = exchange else {
            return Vec::new();
        };
        let (headers, body) = (HeaderMap::new(), Bytes::copy_from_slice(body.as_bytes()));
        let answer = Answer::new(StatusCode::OK, &headers, &body, &exchange.url);
        list.answered(&answer, now()).unwrap()
    };
    let first = "uploads&max-uploads=1000&encoding-type=url&prefix=pre";
    let page = "<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
        <NextKeyMarker>pre%2Fb</NextKeyMarker><NextUploadIdMarker>U2</NextUploadIdMarker>\
        <Upload><Key>pre%2Fa</Key><UploadId>U1</UploadId></Upload>\
        <Upload><Key>pre%2Fb</Key><UploadId>U2</UploadId></Upload></ListMultipartUploadsResult>";
    let found = ask(Some(first), page);
    let keys: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["pre/a", "pre/b"]);
    let next = format!("{first}&key-marker=pre%2Fb&upload-id-marker=U2");
    assert!(ask(Some(&next), "<ListMultipartUploadsResult/>").is_empty());
    assert!(ask(None, "").is_empty());
    let abort = list.abort(&found[0], &credentials, now()).unwrap();
    let url = "https://bucket.oss-cn-hangzhou.aliyuncs.com/pre/a?uploadId=U1";
    assert_eq!((abort.method.as_str(), abort.url.as_str()), ("DELETE", url));
}

#[test]
fn links_live_no_longer_than_their_key() {
    let oss = Oss::new("oss://bucket/key", config()).unwrap();
    let check = |left: Option<u64>, expected: &str| {
        let mut credentials = OssCredentials::new("ak", "s3cret");
        credentials.expires_at = left.map(|left| now() + Duration::from_secs(left));
        let life = Duration::from_secs(900);
        let url = oss
            .presign(&Operation::Get, &credentials, now(), life)
            .unwrap();
        assert!(url.as_str().contains(expected), "{url}");
    };
    check(None, "&x-oss-expires=900&");
    check(Some(60), "&x-oss-expires=60&");
    check(Some(0), "&x-oss-expires=1&");
}

#[cfg(feature = "presigned")]
#[test]
fn plans_are_whole() {
    let oss = Oss::new("oss://bucket/key", config()).unwrap();
    let credentials = OssCredentials::new("ak", "s3cret");
    let life = Duration::from_secs(900);
    let plan = |len| {
        let object = Object::new("f", Some(len));
        let plan = oss.plan(&SessionId::new("U+"), &object, &credentials, now(), life);
        let plan = plan.unwrap();
        plan.validate().unwrap();
        plan
    };
    assert_eq!(plan(10).parts.len(), 3);
    assert_eq!(plan(0).parts.len(), 1);
    assert_eq!(plan(10).upload_id.as_deref(), Some("U+"));
    let download = oss.download_plan(&credentials, now(), life).unwrap();
    assert!(download.range_url.contains("x-oss-signature="));
}
