//! Plans of presigned uploads, as a back end or whoever stands in its place may write them.

use std::collections::HashSet;
use std::time::SystemTime;

use bytehaul_providers::http::{HeaderMap, HeaderValue, StatusCode};
use bytehaul_providers::presigned::{BodyFormat, PlanPart, Presigned, UploadPlan};
use bytehaul_providers::{
    Answer, Available, Exchange, Next, Object, ProtocolErrorKind, Step, UploadProtocol, Url,
};
use bytes::Bytes;

/// A plan that is accepted covers its object without gap and overlap, is the same when written again, shows no signature,
/// and ends in an object when its server takes everything: each part once, in its range, then the completion. A plan that
/// breaks none of the rules is accepted.
pub fn upload_plan(data: &[u8]) {
    let Ok(mut plan) = serde_json::from_slice::<UploadPlan>(data) else {
        return;
    };
    let json = serde_json::to_string(&plan).expect("a plan is plain");
    assert_eq!(
        serde_json::from_str::<UploadPlan>(&json).expect("a plan"),
        plan
    );
    let verdict = plan.validate();
    assert!(verdict.is_ok() || !is_plain(&plan), "{verdict:?} of {json}");
    if !json.contains(SECRET) {
        secretive(&mut plan.clone());
    }
    if verdict.is_err() {
        return;
    }
    covers(&plan);
    plan.parts.sort_by_key(|part| part.offset);
    finishes(&plan);
}

/// Whether it is of a kind that nothing can be said against.
fn is_plain(plan: &UploadPlan) -> bool {
    let plain = |part: &PlanPart| {
        part.method == "PUT"
            && part
                .url
                .strip_prefix("https://a.test/")
                .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            && part.headers.is_empty()
            && part.provider_part_id.is_none()
            && part.size > 0
    };
    let others = [
        &plan.complete_request,
        &plan.abort_request,
        &plan.head_request,
    ];
    let numbers: HashSet<_> = plan.parts.iter().map(|part| part.part_number).collect();
    plan.parts.iter().all(plain)
        && others.into_iter().all(Option::is_none)
        && numbers.len() == plan.parts.len()
        && !plan.parts.is_empty()
        && gap(plan).is_none()
}

/// Where the parts, one after the other, do not meet; or where they end, if that is not the end of the object.
fn gap(plan: &UploadPlan) -> Option<u128> {
    let mut parts: Vec<_> = plan.parts.iter().collect();
    parts.sort_by_key(|part| (part.offset, part.size));
    let mut end = 0;
    for part in parts {
        if u128::from(part.offset) != end {
            return Some(end);
        }
        end += u128::from(part.size);
    }
    (end != u128::from(plan.total_size)).then_some(end)
}

fn covers(plan: &UploadPlan) {
    assert_eq!(gap(plan), None, "{plan:?}");
    let empty = plan.parts.iter().filter(|part| part.size == 0).count();
    assert!(
        empty == 0 || (plan.total_size == 0 && plan.parts.len() == 1),
        "{plan:?}"
    );
    let numbers: HashSet<_> = plan.parts.iter().map(|part| part.part_number).collect();
    assert_eq!(numbers.len(), plan.parts.len(), "{plan:?}");
    let requests = [
        &plan.complete_request,
        &plan.abort_request,
        &plan.head_request,
    ];
    let urls = requests.into_iter().flatten().map(|request| &request.url);
    for url in plan.parts.iter().map(|part| &part.url).chain(urls) {
        let url = Url::parse(url.trim()).expect("an accepted URL is one");
        assert!(matches!(url.scheme(), "http" | "https") && url.has_host());
    }
}

/// Neither looking at a plan nor what is said against it shows a signature.
fn secretive(plan: &mut UploadPlan) {
    for part in &mut plan.parts {
        part.url.push_str("?sig=fuzzedsecret");
        part.headers
            .insert("authorization".to_owned(), SECRET.to_owned());
    }
    let requests = [
        &mut plan.complete_request,
        &mut plan.abort_request,
        &mut plan.head_request,
    ];
    for request in requests.into_iter().flatten() {
        request.url.push_str("?sig=fuzzedsecret");
        request
            .headers
            .insert("authorization".to_owned(), SECRET.to_owned());
        request.body = Some(SECRET.to_owned());
    }
    let protocol = Presigned::new(plan.clone());
    let said = plan.validate().err();
    let shown = format!("{plan:?} {protocol:?} {said:?} {}", protocol.target());
    assert!(!shown.contains(SECRET), "{shown}");
}

fn finishes(plan: &UploadPlan) {
    let protocol = Presigned::new(plan.clone());
    let object = Object::new("source.bin", Some(plan.total_size));
    let mut session = protocol.open(&object, None).expect("the plan was accepted");
    let available = Available {
        until: plan.total_size,
        ended: true,
    };
    let mut missing = plan.parts.iter();
    let mut committed = 0;
    for _ in 0..plan.parts.len() + 3 {
        // Nothing has expired in 1970, or it did so before.
        let now = SystemTime::UNIX_EPOCH;
        let exchange = match session.next(available, now) {
            Ok(Next::Send(exchange)) => exchange,
            Ok(Next::Done(_)) => {
                assert_eq!(missing.next(), None);
                assert_eq!(committed, usize::from(plan.complete_request.is_some()));
                let acknowledged = session.acknowledged();
                assert_eq!(
                    (acknowledged.prefix, acknowledged.bytes),
                    (plan.total_size, plan.total_size)
                );
                return;
            }
            Ok(next) => panic!("nothing is on its way, and the session wants {next:?}"),
            Err(error) => return assert_eq!(error.kind(), ProtocolErrorKind::Refresh, "{error}"),
        };
        match &exchange.step {
            Step::Part { number, range } => {
                let part = missing.next().expect("no part is sent twice");
                assert_eq!(committed, 0, "a part after the completion");
                assert_eq!(
                    (*number, range.start, range.end - range.start),
                    (part.part_number, part.offset, part.size)
                );
                assert_eq!(exchange.payload.source_range(), Some(range.clone()));
            }
            Step::Commit => {
                assert_eq!(missing.next(), None, "the completion before a part");
                committed += 1;
                body_fits(plan, &exchange);
            }
            step => panic!("{step:?}"),
        }
        let headers = HeaderMap::from_iter([(
            bytehaul_providers::http::header::ETAG,
            HeaderValue::from_static("\"e\""),
        )]);
        let body = Bytes::new();
        let answer = Answer::new(StatusCode::OK, &headers, &body, &exchange.url);
        let sent = exchange
            .payload
            .source_range()
            .map_or(0, |range| range.end - range.start);
        let taken = session.answered(exchange.id, &answer.sent(sent, None), now);
        assert!(taken.is_ok(), "{taken:?}");
    }
    panic!("a server that takes everything is asked too often");
}

/// The JSON of a completion has all parts, ascending by number.
fn body_fits(plan: &UploadPlan, exchange: &Exchange) {
    let Some(complete) = &plan.complete_request else {
        return;
    };
    let written = complete.body.is_some() || complete.body_format != BodyFormat::Json;
    let bodiless = matches!(exchange.method.as_str(), "GET" | "HEAD" | "DELETE");
    if written || bodiless {
        return;
    }
    let [bytehaul_providers::Segment::Bytes(body)] = &exchange.payload.segments[..] else {
        panic!("a completion of {:?}", exchange.payload);
    };
    let body: serde_json::Value = serde_json::from_slice(body).expect("it is JSON");
    let number = |part: &serde_json::Value| part["part_number"].as_u64().expect("a number");
    let numbers: Vec<u64> = body["parts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(number)
        .collect();
    assert!(
        numbers.is_sorted() && numbers.len() == plan.parts.len(),
        "{body}"
    );
    assert_eq!(body["total_size"].as_u64(), Some(plan.total_size));
}

const SECRET: &str = "fuzzedsecret";
