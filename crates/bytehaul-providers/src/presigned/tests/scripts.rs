//! Whole uploads as a list of what is asked and what comes back.

mod renewing;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{plan, run};
use crate::presigned::{PlanRequest, Presigned, UploadPlan, s3};
use crate::{
    Answer, Available, CallError, Exchange, Fault, Left, Lost, Next, Object, PartReceipt, Payload,
    ProtocolErrorKind, Segment, Stage, UploadProtocol, UploadSession,
};

/// Two parts at `/1` and `/2`, a completion at `/c` and an abort at `/a`.
fn two() -> UploadPlan {
    plan(
        r#"{"upload_id": "u", "total_size": 6, "chunk_size": 4,
        "parts": [{"part_number": 1, "offset": 0, "size": 4, "url": "http://h/1", "provider_part_id": "p"},
                  {"part_number": 2, "offset": 4, "size": 2, "url": "http://h/2"}],
        "complete_request": {"url": "http://h/c"}, "abort_request": {"url": "http://h/a"}}"#,
    )
}

fn with_head() -> UploadPlan {
    two().head_request(PlanRequest::new("http://h/k"))
}

/// Another plan for each call, with `?1`, `?2`… at the end of its URLs.
fn renewing(plan: UploadPlan, expires_in: Option<u64>) -> Presigned {
    let count = Mutex::new(0);
    let newer = plan.clone();
    Presigned::new(plan).refresher(move || {
        let mut count = count.lock().unwrap();
        *count += 1;
        let mut plan = newer.clone();
        for part in &mut plan.parts {
            part.url.push_str(&format!("?{count}"));
            part.expires_at = expires_in.map(|seconds| at(*count * 1000 + seconds));
        }
        std::future::ready(Ok(plan))
    })
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

struct Bench {
    session: Box<dyn UploadSession>,
    now: SystemTime,
    /// Of the last request with bytes of its own.
    body: String,
}

impl Bench {
    fn new(protocol: &Presigned, left: Option<Left>) -> Self {
        let object = Object::new("f", Some(6));
        Self {
            session: protocol.open(&object, left).unwrap(),
            now: at(0),
            body: String::new(),
        }
    }

    /// Plays lines `request -> answer`, one request at a time, and says how it ends.
    ///
    /// Answers are a status, its fields and its body; `lost`, `unsent`, `renewed`; and `at N` sets the clock first.
    #[track_caller]
    fn play(&mut self, lines: &[&str]) -> String {
        let available = Available {
            until: 6,
            ended: true,
        };
        let mut lines = lines.iter();
        loop {
            let next = match self.session.next(available, self.now) {
                Ok(next) => next,
                Err(error) => return format!("{:?}: {error}", error.kind()),
            };
            let asked = match &next {
                Next::Send(exchange) => {
                    self.note(exchange);
                    let url = exchange.url.as_str();
                    format!("{} {}", exchange.method, &url["http://h".len()..])
                }
                Next::Call(_) => "refresh".into(),
                Next::Done(_) => "done".into(),
                Next::Aborted => "aborted".into(),
                Next::Wait => "wait".into(),
                Next::Digest(_) => panic!("no digest is needed"),
            };
            let Some(line) = lines.next() else {
                return asked;
            };
            let (expected, reply) = line.split_once(" -> ").unwrap_or((line, ""));
            assert_eq!(asked, expected, "{line}");
            let (clock, reply) = match reply.strip_prefix("at ") {
                Some(rest) => rest.split_once(' ').unwrap(),
                None => ("", reply),
            };
            if let Ok(seconds) = clock.parse() {
                self.now = at(seconds);
            }
            let ended = match next {
                Next::Send(exchange) => self.answer(&exchange, reply),
                Next::Call(call) => {
                    let id = call.id;
                    match run(*call) {
                        Ok(value) => self.session.returned(id, value, self.now),
                        Err(error) => {
                            assert!(error.retry);
                            self.session.lost(id, Lost::Unknown);
                            Ok(())
                        }
                    }
                }
                _ => return asked,
            };
            match ended {
                Ok(()) => (),
                Err(Fault::Fatal(error)) => {
                    assert_eq!(lines.next(), None, "{error}");
                    return format!("{:?}: {error}", error.kind());
                }
                Err(other) => panic!("{line}: {other:?}"),
            }
        }
    }

    fn note(&mut self, exchange: &Exchange) {
        if let Payload { segments } = &exchange.payload
            && let [Segment::Bytes(bytes)] = &segments[..]
        {
            self.body = String::from_utf8(bytes.to_vec()).unwrap();
        }
    }

    fn answer(&mut self, exchange: &Exchange, reply: &str) -> Result<(), Fault> {
        let id = exchange.id;
        match reply {
            "lost" => self.session.lost(id, Lost::Unknown),
            "unsent" => self.session.lost(id, Lost::Unsent),
            _ => {
                let (status, rest) = reply.split_once(' ').unwrap_or((reply, ""));
                let status = StatusCode::from_bytes(status.as_bytes()).unwrap();
                let (fields, body) = match rest.find(['<', '{']) {
                    Some(at) => rest.split_at(at),
                    None => (rest, ""),
                };
                let mut headers = HeaderMap::new();
                for field in fields.split_whitespace() {
                    let (name, value) = field.split_once('=').unwrap();
                    let name: http::HeaderName = name.parse().unwrap();
                    headers.insert(name, value.parse().unwrap());
                }
                let body = Bytes::copy_from_slice(body.as_bytes());
                let sent = exchange.payload.source_range();
                let sent = sent.map_or(0, |range| range.end - range.start);
                let answer =
                    Answer::new(status, &headers, &body, &exchange.url).sent(sent, Some(7));
                match self.session.answered(id, &answer, self.now) {
                    // What a driver does after its wait.
                    Err(Fault::Status | Fault::Again(_) | Fault::Now(_)) => {
                        self.session.lost(id, Lost::Refused(status));
                    }
                    ended => return ended,
                }
            }
        }
        Ok(())
    }
}

#[track_caller]
fn check(protocol: &Presigned, lines: &[&str], end: &str) -> Bench {
    let mut bench = Bench::new(protocol, None);
    assert_eq!(bench.play(lines), end, "{lines:?}");
    bench
}

const PARTS: [&str; 2] = ["PUT /1 -> 200 etag=\"a\"", "PUT /2 -> 201"];

fn after_parts(more: &[&'static str]) -> Vec<&'static str> {
    PARTS.iter().chain(more).copied().collect()
}

#[test]
fn parts_then_the_completion() {
    let bench = check(
        &Presigned::new(two()),
        &after_parts(&["POST /c -> 200 etag=\"e\" {\"id\":1}"]),
        "done",
    );
    let json = r#"{"upload_id":"u","total_size":6,"chunk_size":4,"parts":[{"part_number":1,"provider_part_id":"p","offset":0,"size":4,"etag":"\"a\""},{"part_number":2,"provider_part_id":null,"offset":4,"size":2,"etag":null}]}"#;
    assert_eq!(bench.body, json);
    let saved = bench.session.saved();
    assert_eq!(saved.stage, Stage::Complete);
    let crcs: Vec<_> = saved.parts.iter().map(|part| part.crc32c).collect();
    assert_eq!(crcs, [Some(7); 2]);
}

#[test]
fn the_body_is_the_first_that_there_is() {
    let check = |change: fn(&mut PlanRequest), build: bool, expected: &str| {
        let mut plan = two();
        change(plan.complete_request.as_mut().unwrap());
        let mut protocol = Presigned::new(plan);
        if build {
            protocol = protocol.completion_body(|parts| {
                let numbers = parts.iter().map(|part| part.part_number.to_string());
                Ok(numbers.collect::<Vec<_>>().join(",").into_bytes())
            });
        }
        let mut bench = Bench::new(&protocol, None);
        bench.play(&PARTS);
        assert!(bench.body.starts_with(expected), "{}", bench.body);
        assert_eq!(bench.body.is_empty(), expected.is_empty());
    };
    check(|request| request.body = Some("own".into()), true, "own");
    check(|_| (), true, "1,2");
    check(|_| (), false, "{\"upload_id\"");
    check(|request| request.method = Some("GET".into()), false, "");
    check(|request| request.method = Some("GET".into()), true, "1,2");
    check(
        |request| request.body_format = crate::presigned::BodyFormat::None,
        false,
        "",
    );
}

#[test]
fn a_builder_that_cannot_build_ends_the_upload() {
    let protocol = Presigned::new(two()).completion_body(s3::complete_body);
    let end = "Custom: the body of the completion could not be built";
    check(&protocol, &PARTS, end);
    let mut plan = two();
    plan.complete_request.as_mut().unwrap().body_format = crate::presigned::BodyFormat::S3;
    let end = "Parse: the answer to part 2 had no ETag, without which it cannot be named";
    check(&Presigned::new(plan), &PARTS, end);
}

#[test]
fn what_passes_is_tried_again() {
    let protocol = Presigned::new(two());
    check(
        &protocol,
        &[
            "PUT /1 -> 503",
            "PUT /1 -> lost",
            "PUT /1 -> 429",
            "PUT /1 -> 400 <Error><Code>RequestTimeout</Code></Error>",
            "PUT /1 -> 200 <Error><Code>InternalError</Code></Error>",
            "PUT /1 -> 200",
            "PUT /2 -> unsent",
            "PUT /2 -> 200",
            "POST /c -> 500",
            "POST /c -> 200 <Error><Code>InternalError</Code></Error>",
            "POST /c -> lost",
            "POST /c -> 200",
        ],
        "done",
    );
}

#[test]
fn an_error_shows_its_code_and_nothing_else() {
    let protocol = Presigned::new(two());
    let check = |lines: &[&str], end: &str| drop(check(&protocol, lines, end));
    let body = "<Error><Code>NoSuchUpload</Code><Message>secret</Message></Error>";
    let end = "Status(404): part 1: status 404, NoSuchUpload";
    check(&[&format!("PUT /1 -> 404 {body}")], end);
    check(&["PUT /1 -> 403"], "Status(403): part 1: status 403");
    check(
        &["PUT /1 -> 302 location=http://x/secret"],
        "Status(302): part 1: status 302",
    );
    let lines = after_parts(&["POST /c -> 200 <Error><Code>InvalidPart</Code></Error>"]);
    check(&lines, "Status(200): completion: status 200, InvalidPart");
    let lines = after_parts(&["POST /c -> 409 x-ms-error-code=BlobAlreadyExists"]);
    check(&lines, "Changed: completion: status 409, BlobAlreadyExists");
    let lines = after_parts(&["POST /c -> 404"]);
    check(&lines, "Status(404): completion: status 404");
}

#[test]
fn a_lost_answer_to_the_completion_is_never_a_guess() {
    const GONE: &str = "POST /c -> 404 <Error><Code>NoSuchUpload</Code></Error>";
    const UNKNOWN: &str = "Indeterminate: it cannot be known whether the object was made: ";
    let blind = |more: &[&'static str], end: &str| {
        drop(check(&Presigned::new(two()), &after_parts(more), end));
    };
    let gone = format!(
        "{UNKNOWN}the answer to the completion was lost, and the next one was status 404, NoSuchUpload"
    );
    blind(&["POST /c -> lost", GONE], &gone);
    blind(&["POST /c -> 504", GONE], &gone);
    blind(
        &["POST /c -> unsent", GONE],
        "Status(404): completion: status 404, NoSuchUpload",
    );
    blind(
        &["POST /c -> 429", GONE],
        "Status(404): completion: status 404, NoSuchUpload",
    );
    blind(
        &["POST /c -> lost", "POST /c -> 403"],
        &format!("{UNKNOWN}the answer to the completion was lost, and the next one was status 403"),
    );

    let asks = |more: &[&'static str], end: &str| {
        let mut lines = after_parts(&["POST /c -> lost", GONE]);
        lines.extend(more);
        drop(check(&Presigned::new(with_head()), &lines, end));
    };
    asks(&["HEAD /k -> 200 content-length=6 etag=\"e\""], "done");
    asks(
        &[
            "HEAD /k -> 503",
            "HEAD /k -> lost",
            "HEAD /k -> 200 content-length=6",
        ],
        "done",
    );
    asks(
        &["HEAD /k -> 404"],
        "Status(404): completion: status 404, NoSuchUpload, and the object is not there",
    );
    asks(
        &["HEAD /k -> 200 content-length=5"],
        "Changed: the session is gone, and the object has 5 bytes instead of 6",
    );
    for vague in [
        "",
        " content-length=-6",
        " content-length=99999999999999999999",
    ] {
        let line = format!("HEAD /k -> 200{vague}");
        let mut lines = after_parts(&["POST /c -> lost", GONE]);
        lines.push(&line);
        let end = format!("{UNKNOWN}an object without a length is there");
        check(&Presigned::new(with_head()), &lines, &end);
    }
    asks(
        &["HEAD /k -> 403"],
        &format!(
            "{UNKNOWN}completion: status 404, NoSuchUpload, and asking for the object: status 403"
        ),
    );
    asks(
        &["HEAD /k -> 200 content-length=6 etag=\"0cc175b9c0f1b6a831c399e269772661-3\""],
        &format!("{UNKNOWN}an object of this length is there, but not of these parts"),
    );
}

#[test]
fn cancelling_discards_what_was_staged_and_nothing_else() {
    let check = |plan: UploadPlan, lines: &[&str], end: &str| {
        let mut bench = check(&Presigned::new(plan), &["PUT /1 -> 200"], "PUT /2");
        bench.session.abort();
        assert_eq!(bench.play(lines), end);
        bench.session.saved().stage
    };
    let aborted = check(two(), &["DELETE /a -> 503", "DELETE /a -> 204"], "aborted");
    assert_eq!(aborted, Stage::Aborted);
    check(two(), &["DELETE /a -> lost", "DELETE /a -> 404"], "aborted");
    check(
        two(),
        &["DELETE /a -> 400"],
        "Status(400): abort: status 400",
    );
    let mut without = two();
    without.abort_request = None;
    check(without, &[], "aborted");
    let mut done = self::check(
        &Presigned::new(two()),
        &after_parts(&["POST /c -> 200"]),
        "done",
    );
    done.session.abort();
    assert_eq!(done.play(&[]), "done");
}

#[test]
fn a_run_goes_on_where_another_was() {
    let first = check(
        &Presigned::new(two()),
        &["PUT /1 -> 200 etag=\"a\""],
        "PUT /2",
    );
    let saved = first.session.saved();
    let resume = |plan: UploadPlan, change: fn(&mut crate::Saved), lines: &[&str]| {
        let mut saved = saved.clone();
        change(&mut saved);
        let mut bench = Bench::new(&Presigned::new(plan), Some(Left::new(saved, true)));
        bench.play(lines)
    };
    let rest = ["PUT /2 -> 200", "POST /c -> 200"];
    assert_eq!(resume(two(), |_| (), &rest), "done");
    // Parts of another session, or discarded ones, are not there.
    assert_eq!(resume(two().upload_id("v"), |_| (), &[]), "PUT /1");
    assert_eq!(
        resume(two(), |saved| saved.stage = Stage::Aborted, &[]),
        "PUT /1"
    );
    assert_eq!(
        resume(two(), |saved| saved.parts[0].size = 3, &[]),
        "PUT /1"
    );
    assert_eq!(
        resume(two(), |saved| saved.parts[0].offset = u64::MAX, &[]),
        "PUT /1"
    );
    assert_eq!(resume(two(), |saved| saved.parts.clear(), &[]), "PUT /1");
    assert_eq!(
        resume(two(), |saved| saved.stage = Stage::Complete, &[]),
        "done"
    );
    // Where it can be asked, it is.
    let confirm = |answer: &str| {
        let complete = |saved: &mut crate::Saved| saved.stage = Stage::Complete;
        resume(with_head(), complete, &[&format!("HEAD /k -> {answer}")])
    };
    assert_eq!(confirm("200 content-length=6"), "done");
    for answer in ["404", "403", "200 content-length=7"] {
        let ended = confirm(answer);
        assert_ne!(ended, "done", "{answer}");
    }
}

#[test]
fn the_commit_is_its_own_stage() {
    let first = check(&Presigned::new(two()), &PARTS, "POST /c");
    let saved = first.session.saved();
    assert_eq!(saved.stage, Stage::Committing);
    let mut bench = Bench::new(&Presigned::new(two()), Some(Left::new(saved.clone(), true)));
    assert_eq!(bench.play(&["POST /c -> 200"]), "done");
    // The run before may have sent it.
    let mut bench = Bench::new(&Presigned::new(with_head()), Some(Left::new(saved, true)));
    let lines = ["POST /c -> 404", "HEAD /k -> 200 content-length=6"];
    assert_eq!(bench.play(&lines), "done");
}

#[test]
fn parts_that_an_application_has_kept_are_not_sent_again() {
    let kept = vec![
        PartReceipt::new(1, 0, 4).tag("\"a\"".to_owned()),
        PartReceipt::new(2, 4, 1),
        PartReceipt::new(9, 0, 4),
    ];
    let protocol = Presigned::new(two()).resumed_parts(kept.clone());
    check(&protocol, &["PUT /2 -> 200", "POST /c -> 200"], "done");
    let all = vec![kept[0].clone(), PartReceipt::new(2, 4, 2)];
    check(
        &Presigned::new(two()).resumed_parts(all),
        &["POST /c -> 200"],
        "done",
    );
}

#[test]
fn without_a_completion_the_last_part_is_the_end() {
    let mut plan = two();
    plan.complete_request = None;
    check(&Presigned::new(plan), &PARTS, "done");
}

#[test]
fn an_object_of_no_bytes_is_sent() {
    let open = |json: &str, until: u64| {
        let protocol = Presigned::new(plan(json));
        let mut session = protocol.open(&Object::new("f", Some(0)), None).unwrap();
        let available = Available { until, ended: true };
        session.next(available, at(0))
    };
    let part = r#"{"total_size": 0, "parts": [{"part_number": 1, "offset": 0, "size": 0, "url": "http://h/1"}]}"#;
    let Ok(Next::Send(exchange)) = open(part, 0) else {
        panic!("nothing is sent");
    };
    assert_eq!(exchange.payload, Payload::source(0..0));
    let commit = r#"{"total_size": 0, "complete_request": {"url": "http://h/c"}}"#;
    assert!(matches!(open(commit, 0), Ok(Next::Send(exchange)) if exchange.url.path() == "/c"));
    let error = open(commit, 1).unwrap_err();
    assert_eq!(error.kind(), ProtocolErrorKind::Length);
}

#[test]
fn answers_to_nothing_change_nothing() {
    let protocol = Arc::new(Presigned::new(two()));
    let mut bench = Bench::new(&protocol, None);
    let before = bench.session.saved();
    let id = crate::ExchangeId(77);
    let (headers, body) = (HeaderMap::new(), Bytes::new());
    let url = crate::Url::parse("http://h/").unwrap();
    let answer = Answer::new(StatusCode::OK, &headers, &body, &url);
    assert!(bench.session.answered(id, &answer, at(0)).is_ok());
    assert!(bench.session.returned(id, Box::new(7), at(0)).is_ok());
    bench.session.lost(id, Lost::Unknown);
    assert_eq!(bench.session.saved(), before);
}
