//! What a plan may say, and what of it is shown.

use std::time::{Duration, UNIX_EPOCH};

use super::plan;
use crate::presigned::{
    BodyFormat, DownloadPlan, PlanPart, PlanRequest, Presigned, PresignedDownload, UploadPlan,
};
use crate::{Object, ProtocolErrorKind, UploadProtocol};

/// A plan of parts `number@offset+size`, and what is wrong with it.
#[track_caller]
fn check(total: u64, parts: &str, expected: Option<&str>) {
    let mut plan = UploadPlan::new(total, 4);
    for part in parts.split_whitespace() {
        let (number, place) = part.split_once('@').unwrap();
        let (offset, size) = place.split_once('+').unwrap();
        let numbers = [number, offset, size].map(|text| text.parse::<u64>().unwrap());
        plan = plan.part(PlanPart::new(
            numbers[0] as u32,
            numbers[1],
            numbers[2],
            "https://h/k?sig=secret",
        ));
    }
    is(&plan, expected);
}

#[track_caller]
fn is(plan: &UploadPlan, expected: Option<&str>) {
    let protocol = Presigned::new(plan.clone());
    match (protocol.validate(), expected) {
        (Ok(()), None) => (),
        (Err(error), Some(expected)) => {
            assert_eq!(error.kind(), ProtocolErrorKind::Parameter);
            let text = error.to_string();
            assert!(text.contains(expected), "{text}, not {expected}");
            assert!(!text.contains("secret"), "{text}");
            let object = Object::new("f", Some(plan.total_size));
            assert!(protocol.open(&object, None).is_err());
        }
        (result, _) => panic!("{result:?} instead of {expected:?}"),
    }
}

#[test]
fn every_rule_has_its_own_words() {
    check(10, "1@0+4 2@4+4 3@8+2", None);
    check(10, "9@8+2 1@4+4 3@0+4", None);
    check(0, "1@0+0", None);
    check(10, "", Some("no parts for an object of 10 bytes"));
    check(0, "", Some("nothing would be sent"));
    check(10, "1@0+10 2@10+0", Some("part 2 has no bytes"));
    check(0, "1@0+0 2@0+0", Some("part 1 has no bytes"));
    check(10, "1@0+0 2@0+10", Some("part 1 has no bytes"));
    check(
        10,
        "1@0+8 2@8+4",
        Some("part 2 ends at 12, outside of an object of 10"),
    );
    check(0, "1@0+1", Some("part 1 ends at 1, outside"));
    check(10, "1@18446744073709551615+1", Some("beyond all numbers"));
    check(
        10,
        "1@0+10 2@0+4",
        Some("parts 2 and 1 have the same offset 0"),
    );
    check(10, "1@0+6 2@4+6", Some("parts 1 and 2 overlap at 4"));
    check(
        10,
        "1@0+4 2@6+4",
        Some("no part has the bytes 4-5 before part 2"),
    );
    check(10, "1@2+8", Some("no part has the bytes 0-1"));
    check(10, "1@0+4 2@4+4", Some("from 8 to the end at 10"));
    check(10, "1@0+4 1@4+6", Some("part 1 stands there twice"));
}

#[test]
fn requests_have_to_be_sendable() {
    let one = |change: fn(PlanPart) -> PlanPart| {
        UploadPlan::new(1, 1).part(change(PlanPart::new(1, 0, 1, "https://h/k?sig=secret")))
    };
    let at = |url: &'static str| UploadPlan::new(1, 1).part(PlanPart::new(1, 0, 1, url));
    is(&at("secret"), Some("the URL of part 1 is none"));
    is(&at("ftp://secret/"), Some("part 1 is not http or https"));
    is(
        &one(|part| part.header("host", "h").header("Content-Length", "1")),
        None,
    );
    is(&one(|part| part.header("a b", "secret")), Some("no name"));
    is(
        &one(|part| part.header("x", "sec\nsecret")),
        Some("value of x of part 1"),
    );
    is(&one(|part| part.header("Range", "bytes=0-")), Some("range"));
    is(
        &one(|part| part.header("X-a", "1").header("x-A", "2")),
        Some("x-a twice"),
    );
    let verb = |mut part: PlanPart| {
        part.method = "P T".into();
        part
    };
    is(&one(verb), Some("the method of part 1"));
    let same = UploadPlan::new(2, 1)
        .part(PlanPart::new(1, 0, 1, "https://h/1").provider_part_id("a"))
        .part(PlanPart::new(2, 1, 1, "https://h/2").provider_part_id("a"));
    is(&same, Some("the id of another part"));
    let beside = one(|part| part).abort_request(PlanRequest::new("secret"));
    is(&beside, Some("the URL of abort_request"));
}

#[test]
fn json_is_read_with_its_defaults_and_written_again() {
    let text = r#"{"total_size": 1, "parts": [{"part_number": 1, "offset": 0, "size": 1,
        "url": "https://h/k", "expires_at": "1970-01-01T00:01:40Z"}],
        "complete_request": {"url": "https://h/c", "body_format": "s3", "expires_at": 7.5}, "unknown": [1]}"#;
    let read = plan(text);
    let part = &read.parts[0];
    assert_eq!((part.method.as_str(), read.refresh_before), ("PUT", 60));
    assert_eq!(part.expires_at, Some(UNIX_EPOCH + Duration::from_secs(100)));
    let complete = read.complete_request.clone().unwrap();
    assert_eq!(complete.body_format, BodyFormat::S3);
    let mut again = plan(&serde_json::to_string(&read).unwrap());
    // Fractions of a second are not written.
    again.complete_request = Some(complete);
    assert_eq!(again, read);
    for bad in [
        r#"{"total_size": -1}"#,
        r#"{"total_size": 1e30}"#,
        r#"{"parts": [{"part_number": 4294967296, "offset": 0, "size": 1, "url": ""}]}"#,
        r#"{"parts": [{"part_number": 1, "offset": 0, "size": 1, "url": "", "expires_at": "soon"}]}"#,
        r#"{"parts": [{"part_number": 1, "offset": 0, "size": 1, "url": "", "expires_at": 1e300}]}"#,
        r#"{"parts": [{"part_number": 1, "offset": 0, "size": 1, "url": "", "expires_at": 18446744073709551615}]}"#,
        r#""plan""#,
    ] {
        assert!(serde_json::from_str::<UploadPlan>(bad).is_err(), "{bad}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let url = "https://me:secret@h/secret?sig=secret";
    let request = || PlanRequest::new(url).header("x-k", "secret").body("secret");
    let mut plan = UploadPlan::new(1, 1)
        .part(PlanPart::new(1, 0, 1, url).header("x-k", "secret"))
        .complete_request(request())
        .abort_request(request())
        .head_request(request());
    plan.metadata.insert("k".into(), "secret".into());
    let download = DownloadPlan::new(url).range_header("x-k", "secret");
    let protocol = PresignedDownload::new(download.clone()).unwrap();
    let text = format!(
        "{plan:?} {:?} {download:?} {protocol:?}",
        Presigned::new(plan.clone())
    );
    assert!(text.contains("x-k") && !text.contains("secret"), "{text}");
}

/// Amazon says so with 400.
#[test]
fn a_url_whose_token_has_expired_is_refused() {
    let download = PresignedDownload::new(DownloadPlan::new("https://h/k?sig=x")).unwrap();
    let is_refused = |status: u16, code: &str| {
        let body = bytes::Bytes::from(format!("<Error><Code>{code}</Code></Error>"));
        let (headers, url) = (http::HeaderMap::new(), "https://h/k".parse().unwrap());
        let status = http::StatusCode::from_u16(status).unwrap();
        let answer = crate::Answer::new(status, &headers, &body, &url);
        crate::DownloadProtocol::is_refused(&download, &answer)
    };
    assert!(is_refused(400, "ExpiredToken") && is_refused(403, "AccessDenied"));
    assert!(!is_refused(400, "InvalidRequest") && !is_refused(404, "NoSuchKey"));
}

#[test]
fn the_target_is_the_same_for_each_signature() {
    let check = |plan: UploadPlan, expected: &str| {
        assert_eq!(Presigned::new(plan).target(), expected);
    };
    let plan = UploadPlan::new(2, 1)
        .part(PlanPart::new(2, 1, 1, "https://h/k?part=2&sig=x"))
        .part(PlanPart::new(1, 0, 1, "https://h/k?part=1&sig=x"));
    check(plan.clone(), "https://h/k");
    check(plan.clone().upload_id("a b"), "https://h/k?upload_id=a+b");
    let complete = PlanRequest::new("https://api/c/17?sig=x#y");
    check(plan.complete_request(complete), "https://api/c/17");
    check(UploadPlan::new(0, 1), "");
}

#[test]
fn the_source_has_to_be_the_one_that_was_planned() {
    let plan = UploadPlan::new(2, 2).part(PlanPart::new(1, 0, 2, "https://h/k"));
    let protocol = Presigned::new(plan);
    let open = |len| {
        let opened = protocol.open(&Object::new("f", len), None);
        opened.err().map(|error| error.kind())
    };
    assert_eq!(open(Some(2)), None);
    assert_eq!(open(Some(3)), Some(ProtocolErrorKind::Parameter));
    assert_eq!(open(None), Some(ProtocolErrorKind::Length));
}
