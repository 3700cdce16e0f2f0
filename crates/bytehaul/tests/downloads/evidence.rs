//! What counts as the same file, and what the outcome says that it rests on.

use bytehaul::{DownloadError, Evidence};
use bytehaul_testkit::{Behaviour, Effect, Object, When};

use crate::common::{Bed, KIB, MIB, ended, received};
use crate::identity::with_digest;

const LEN: u64 = 4 * MIB;

/// Edges of one CDN name the same bytes differently.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etag_that_wobbles_is_no_change() {
    let wobble = |object: &Object| {
        let alternate = Effect::AlternateEtags("\"a\"".into(), "\"b\"".into());
        object.clone().behaviour(Behaviour::new().always(alternate))
    };
    for connections in [1, 8] {
        let object = Object::random(1, LEN);
        let bed = Bed::serving(&wobble(&object));
        let outcome = bed
            .completes(bed.spec().max_connections(connections), &object)
            .await;
        assert_eq!(outcome.restarts, 0);
        let sent = bed.server.bytes_sent();
        assert!(
            outcome.fetched <= LEN + MIB,
            "{} fetched, {sent} sent",
            outcome.fetched
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etag_that_wobbles_does_not_stop_a_resume() {
    let object = Object::random(1, LEN);
    let bed = Bed::serving(&object.clone().etag("\"a\""));
    let had = bed
        .paused_at(bed.spec().max_connections(4), 2 * MIB, 16 * MIB)
        .await;
    bed.server.reset_log();
    let alternate = Effect::AlternateEtags("\"b\"".into(), "\"a\"".into());
    bed.server.behave("/f", Behaviour::new().always(alternate));
    let outcome = bed.completes(bed.spec().max_connections(4), &object).await;
    assert!(outcome.resumed_from >= had, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_of_the_server_outweighs_another_etag() {
    let object = with_digest(Object::random(1, LEN));
    let bed = Bed::serving(&object.clone().etag("\"edge-1\""));
    let had = bed
        .paused_at(bed.spec().max_connections(4), 2 * MIB, 16 * MIB)
        .await;
    bed.server.replace("/f", object.clone().etag("\"edge-2\""));
    let outcome = bed.completes(bed.spec().max_connections(4), &object).await;
    assert!(outcome.resumed_from >= had, "{outcome:?}");
    assert_eq!(outcome.evidence, Evidence::Digest);
}

/// A same-size file from elsewhere is not this file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_url_is_another_file() {
    let validators = |object: Object| {
        [
            object.clone().no_etag(),
            object.clone().etag("W/\"1\""),
            object.no_validator(),
        ]
    };
    // Alike but for one byte of the start, so that comparing some bytes elsewhere finds nothing.
    let (one, other) = (
        Object::random(1, LEN),
        Object::random(1, LEN).flipped_at(10),
    );
    let pairs = validators(one).into_iter().zip(validators(other));
    for (one, other) in pairs {
        for (first, second) in [("/f", "/g"), ("/f?v=1", "/f?v=2")] {
            let bed = Bed::serving(&one);
            bed.paused_at(bed.spec_of(first).max_connections(4), 2 * MIB, 16 * MIB)
                .await;
            bed.server.serve("/g", other.clone());
            bed.server.replace("/f", other.clone());
            let trusting = bed.spec_of(second).resume_without_validator(true);
            let outcome = bed.completes(trusting, &other).await;
            assert_eq!(outcome.resumed_from, 0, "{second} after {first}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_part_of_another_url_is_not_published() {
    let (one, other) = (Object::random(1, LEN), Object::random(2, LEN));
    let bed = Bed::serving(&one.behaviour(Behaviour::new().total_rate(8 * MIB)));
    bed.server.serve("/g", other.clone());
    let handle = bed.start(bed.spec().max_connections(4));
    received(&handle, MIB).await;
    std::fs::write(bed.target(), "mine").expect("write");
    ended(&handle).await.expect_err("the name is taken");
    std::fs::remove_file(bed.target()).expect("remove");
    bed.completes(bed.spec_of("/g"), &other).await;
}

/// Another signature of the same file is the same file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_signature_resumes() {
    let object = Object::random(1, LEN);
    let bed = Bed::serving(&object);
    let signed = |date: &str, signature: &str| {
        format!("/f?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={date}&X-Amz-Signature={signature}")
    };
    let first = bed.spec_of(&signed("20250101T000000Z", &"1a".repeat(32)));
    let had = bed
        .paused_at(first.max_connections(4), 2 * MIB, 16 * MIB)
        .await;
    let outcome = bed
        .completes(
            bed.spec_of(&signed("20250102T000000Z", &"2b".repeat(32))),
            &object,
        )
        .await;
    assert!(outcome.resumed_from >= had);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_says_on_what_it_rests() {
    let object = || Object::random(1, LEN);
    let cases = [
        (Evidence::StrongEtag, object()),
        (Evidence::WeakEtag, object().etag("W/\"1\"")),
        (Evidence::LastModified, object().no_etag()),
        (Evidence::Digest, with_digest(object())),
    ];
    for (expected, object) in cases {
        let bed = Bed::serving(&object.behaviour(Behaviour::new().total_rate(24 * MIB)));
        let outcome = bed
            .fetch(bed.spec().max_connections(4))
            .await
            .expect("completes");
        assert!(bed.server.requests().len() > 1);
        assert_eq!(outcome.evidence, expected);
        let alone = bed
            .spec()
            .min_split_size(64 * MIB)
            .output_path(bed.path("alone"));
        let outcome = bed.fetch(alone).await.expect("completes");
        assert_eq!(outcome.evidence, Evidence::SingleResponse, "{expected}");
    }
}

/// Without a validator several answers could be of several versions, so there is one, unless the caller trusts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_validator_there_is_one_stream() {
    let object = Object::random(1, LEN).no_validator();
    let bed = Bed::serving(&object.behaviour(Behaviour::new().total_rate(24 * MIB)));
    let spec = || bed.spec().max_connections(4);
    let outcome = bed.fetch(spec()).await.expect("completes");
    assert_eq!(outcome.evidence, Evidence::SingleResponse);
    assert_eq!(outcome.connections, 1);
    let trusting = spec()
        .resume_without_validator(true)
        .output_path(bed.path("trusting"));
    let outcome = bed.fetch(trusting).await.expect("completes");
    assert_eq!(outcome.evidence, Evidence::Length);
    assert!(outcome.connections > 1, "{outcome:?}");
}

/// Some hosts answer conditional ranges wrongly, so the proof is in comparing the answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_distrusts_if_range_is_no_obstacle() {
    let object = Object::random(1, LEN);
    for effect in [Effect::DistrustIfRange, Effect::IgnoreConditions] {
        let bed = Bed::serving(&object);
        let had = bed
            .paused_at(bed.spec().max_connections(4), 2 * MIB, 16 * MIB)
            .await;
        bed.server
            .behave("/f", Behaviour::new().when(When::Always, effect));
        let outcome = bed.completes(bed.spec().max_connections(4), &object).await;
        assert!(
            outcome.resumed_from >= had && outcome.fetched <= LEN - had + 512 * KIB,
            "{outcome:?}"
        );
    }
}

/// One answer with another validator, and then trouble, is no proof of a change: what has arrived stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubt_followed_by_trouble_keeps_progress() {
    let object = Object::random(1, LEN);
    let bed = Bed::serving(&object);
    let had = bed
        .paused_at(bed.spec().max_connections(1), 2 * MIB, 16 * MIB)
        .await;
    let doubtful = Behaviour::new()
        .rate(8 * MIB)
        .when(When::Requests(0..1), Effect::ResetAfter(512 * KIB))
        .when(When::Requests(1..2), Effect::Etag("\"other\"".into()))
        .when(When::From(2), Effect::ResetAfter(0));
    bed.server.behave("/f", doubtful);
    let spec = bed.spec().max_connections(1).max_retries(1);
    let error = bed.fetch(spec).await.expect_err("the server is gone");
    assert!(matches!(error, DownloadError::Network { .. }), "{error}");
    bed.is_kept();
    bed.server.behave("/f", Behaviour::new());
    let outcome = bed.completes(bed.spec(), &object).await;
    assert!(outcome.resumed_from >= had, "{outcome:?}");
}
