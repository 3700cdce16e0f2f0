//! Plans that are renewed: ahead of their end, when they are refused, and by what they may be replaced.

use super::*;

#[test]
fn what_is_refused_is_renewed_once() {
    let protocol = || renewing(two(), None);
    check(
        &protocol(),
        &[
            "PUT /1 -> 403",
            "refresh",
            "PUT /1?1 -> 200",
            "PUT /2?1 -> 200",
            "POST /c -> 200",
        ],
        "done",
    );
    check(
        &protocol(),
        &[
            "PUT /1 -> 400 <Error><Code>ExpiredToken</Code></Error>",
            "refresh",
            "PUT /1?1 -> 403",
        ],
        "Status(403): part 1: status 403",
    );
    // Good for a while, and then no longer.
    check(
        &protocol(),
        &[
            "PUT /1 -> 401",
            "refresh",
            "PUT /1?1 -> 503",
            "PUT /1?1 -> 401",
            "refresh",
            "PUT /1?2 -> 200",
            "PUT /2?2 -> 200",
            "POST /c -> 403",
            "refresh",
            "POST /c -> 200",
        ],
        "done",
    );
    // But not for ever.
    let again = [
        "PUT /1 -> 401",
        "refresh",
        "PUT /1?1 -> 503",
        "PUT /1?1 -> 401",
        "refresh",
        "PUT /1?2 -> 503",
        "PUT /1?2 -> 401",
        "refresh",
        "PUT /1?3 -> 503",
        "PUT /1?3 -> 401",
    ];
    check(&protocol(), &again, "Status(401): part 1: status 401");
    let mut bench = check(&protocol(), &["PUT /1 -> 200"], "PUT /2");
    bench.session.abort();
    assert_eq!(
        bench.play(&["DELETE /a -> 403", "refresh", "DELETE /a -> 204"]),
        "aborted"
    );
}

#[test]
fn what_expires_is_renewed_ahead_of_it() {
    let expiring = |seconds: u64| {
        let mut plan = two();
        for part in &mut plan.parts {
            part.expires_at = Some(at(seconds));
        }
        plan
    };
    let lines =
        |lines: &[&str], plan: UploadPlan, life| drop(check(&renewing(plan, life), lines, "done"));
    lines(
        &["PUT /1 -> 200", "PUT /2 -> 200", "POST /c -> 200"],
        expiring(61),
        None,
    );
    lines(
        &[
            "refresh",
            "PUT /1?1 -> 200",
            "PUT /2?1 -> 200",
            "POST /c -> 200",
        ],
        expiring(60),
        None,
    );
    lines(
        &[
            "PUT /1 -> at 2 200",
            "refresh",
            "PUT /2?1 -> 200",
            "POST /c -> 200",
        ],
        expiring(61),
        None,
    );
    // New URLs that have expired already are tried, and asked for again only when they have been of use.
    let useless = Some(0);
    let script = [
        "PUT /1 -> at 2000 200",
        "refresh",
        "PUT /2?1 -> 200",
        "POST /c -> 200",
    ];
    lines(&script, expiring(100), useless);
    check(
        &Presigned::new(expiring(0)),
        &["PUT /1 -> 403"],
        "Status(403): part 1: status 403",
    );
}

#[test]
fn a_refresher_that_fails_is_fatal_only_when_it_is_needed() {
    let failing = |plan: UploadPlan, transient: bool| {
        Presigned::new(plan).refresher(move || {
            let error = match transient {
                true => CallError::transient("the account is closed").into(),
                false => "the account is closed".into(),
            };
            std::future::ready(Err(error))
        })
    };
    let mut expiring = two();
    expiring.parts[0].expires_at = Some(at(30));
    let end = "Refresh: new URLs could not be had";
    for transient in [false, true] {
        let lines = [
            "refresh",
            "PUT /1 -> 200",
            "PUT /2 -> 200",
            "POST /c -> 200",
        ];
        check(&failing(expiring.clone(), transient), &lines, "done");
    }
    check(&failing(two(), false), &["PUT /1 -> 403", "refresh"], end);
    // The driver counts these.
    check(
        &failing(two(), true),
        &["PUT /1 -> 403", "refresh", "refresh"],
        "refresh",
    );
}

#[test]
fn a_renewed_plan_has_to_be_the_same_upload() {
    let check = |change: fn(&mut UploadPlan), end: &str| {
        let mut other = two();
        change(&mut other);
        let protocol =
            Presigned::new(two()).refresher(move || std::future::ready(Ok(other.clone())));
        check(&protocol, &["PUT /1 -> 403", "refresh"], end);
    };
    let other = |what: &str| format!("Refresh: the renewed plan is of another upload: {what}");
    let part = other("part 1 has another number, offset, size or id");
    check(|plan| plan.parts[0].part_number = 7, &part);
    check(|plan| plan.parts[0].provider_part_id = None, &part);
    check(
        |plan| {
            plan.parts[0].size = 3;
            plan.parts[1] = crate::presigned::PlanPart::new(2, 3, 3, "http://h/2");
        },
        &part,
    );
    check(
        |plan| plan.upload_id = Some("v".into()),
        &other("its upload id differs"),
    );
    check(
        |plan| (plan.parts[1].offset, plan.parts[1].size) = (5, 1),
        "Refresh: the renewed plan cannot be used: invalid plan: no part has the bytes 4-4 before part 2",
    );
    // What it leaves out stays, and its order is its own.
    check(
        |plan| {
            plan.parts.reverse();
            (plan.complete_request, plan.abort_request, plan.upload_id) = (None, None, None);
        },
        "PUT /1",
    );
}
