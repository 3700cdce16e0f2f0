//! Bytes of two versions are never mixed, between runs and within one; a validator that wobbles is no change.

use bytehaul::{Algorithm, DownloadError, Evidence, OnRemoteChange};
use bytehaul_integrity::Hasher;
use bytehaul_testkit::{Behaviour, Effect, Object, check_file};

use crate::common::{Bed, MIB, ended, received};

const LEN: u64 = 6 * MIB;

/// Two versions of the same length, told apart as far as `validators` go.
fn versions(validators: &str) -> (Object, Object) {
    let old = Object::random(1, LEN);
    // Alike but for one byte of the start, so that comparing some bytes elsewhere finds nothing.
    let new = old.clone().flipped_at(10).etag("\"new\"");
    match validators {
        "strong etag" => (old, new),
        "strong etag alone" => (old.no_last_modified(), new.no_last_modified()),
        "weak etag" => (
            old.no_last_modified().etag("W/\"1\""),
            new.no_last_modified().etag("W/\"2\""),
        ),
        "weak etag that stays, last-modified that changes" => (
            old.etag("W/\"1\""),
            new.etag("W/\"1\"")
                .last_modified("Fri, 03 Jan 2025 03:04:05 GMT"),
        ),
        "last-modified" => (
            old.no_etag(),
            new.no_etag().last_modified("Fri, 03 Jan 2025 03:04:05 GMT"),
        ),
        "digest" => (
            with_digest(old.no_validator()),
            with_digest(new.no_validator()),
        ),
        "a validator that goes away" => (old, new.no_validator()),
        "none" => (old.no_validator(), Object::random(2, LEN).no_validator()),
        other => panic!("{other}"),
    }
}

/// The same object with a digest of it in its header.
pub(crate) fn with_digest(object: Object) -> Object {
    let digest = Hasher::digest(Algorithm::Sha256, &object.whole());
    object.header("Repr-Digest", format!("sha-256=:{}:", digest.base64()))
}

/// One test for each kind of validator by which a change can be noticed.
macro_rules! for_every_validator {
    ($($check:ident),* $(,)?) => { $(
        mod $check {
            for_every_validator!(@ $check
                strong_etag "strong etag",
                strong_etag_alone "strong etag alone",
                weak_etag "weak etag",
                weak_etag_that_stays "weak etag that stays, last-modified that changes",
                last_modified "last-modified",
                digest "digest",
                validator_that_goes_away "a validator that goes away",
            );
        }
    )* };
    (@ $check:ident $($name:ident $validators:expr),* $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            super::$check($validators).await;
        }
    )* };
}

for_every_validator!(
    replaced_between_two_runs,
    replaced_between_two_runs_with_the_wish_to_fail,
    replaced_midway_with_eight_connections,
    replaced_midway_with_one_connection,
    replaced_midway_with_the_wish_to_fail,
    replaced_midway_where_there_are_no_ranges,
);

async fn replaced_between_two_runs(validators: &str) {
    let (old, new) = versions(validators);
    let bed = Bed::serving(&old);
    bed.paused_at(bed.spec().max_connections(4), 2 * MIB, 8 * MIB)
        .await;
    bed.server.replace("/f", new.clone());
    let outcome = bed.completes(bed.spec().max_connections(4), &new).await;
    assert_eq!(outcome.resumed_from, 0);
}

async fn replaced_between_two_runs_with_the_wish_to_fail(validators: &str) {
    let (old, new) = versions(validators);
    let bed = Bed::serving(&old);
    let had = bed
        .paused_at(bed.spec().max_connections(4), 2 * MIB, 8 * MIB)
        .await;
    bed.server.replace("/f", new);
    let fail = bed.spec().on_remote_change(OnRemoteChange::Fail);
    let error = bed.fetch(fail).await.expect_err("changed");
    assert!(
        matches!(error, DownloadError::RemoteChanged { .. }),
        "{error:?}"
    );
    assert_eq!(error.code(), 123);
    bed.is_kept();
    bed.server.replace("/f", old.clone());
    let outcome = bed.completes(bed.spec(), &old).await;
    assert!(
        outcome.resumed_from >= had,
        "what there was is kept: {outcome:?}"
    );
}

async fn replaced_midway_with_eight_connections(validators: &str) {
    let (bed, _, new, result) = replaced_midway(validators, 8, OnRemoteChange::Restart).await;
    let outcome = result.expect("starts over");
    bed.is_published(&new);
    assert!(
        outcome.restarts >= 1 && outcome.resumed_from == 0,
        "{outcome:?}"
    );
}

async fn replaced_midway_with_one_connection(validators: &str) {
    let (bed, _, new, result) = replaced_midway(validators, 1, OnRemoteChange::Restart).await;
    let outcome = result.expect("starts over");
    bed.is_published(&new);
    assert!(outcome.restarts >= 1, "{outcome:?}");
}

async fn replaced_midway_with_the_wish_to_fail(validators: &str) {
    let (bed, _, _, result) = replaced_midway(validators, 4, OnRemoteChange::Fail).await;
    let error = result.expect_err("changed");
    assert!(
        matches!(error, DownloadError::RemoteChanged { .. }),
        "{error:?}"
    );
    bed.is_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_by_another_length_between_two_runs() {
    for (len, validators) in [
        (LEN - MIB, "strong"),
        (LEN + MIB, "strong"),
        (LEN + 1, "none"),
        (MIB, "none"),
    ] {
        let (old, new) = (Object::random(1, LEN), Object::random(2, len));
        let (old, new) = match validators {
            "none" => (old.no_etag(), new.no_etag()),
            _ => (old, new),
        };
        let bed = Bed::serving(&old);
        bed.paused_at(bed.spec().max_connections(4), 2 * MIB, 16 * MIB)
            .await;
        bed.server.replace("/f", new.clone());
        bed.completes(bed.spec(), &new).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_validator_there_is_no_resume_between_runs() {
    let (old, new) = versions("none");
    let bed = Bed::serving(&old);
    bed.paused_at(bed.spec().max_connections(4), 2 * MIB, 16 * MIB)
        .await;
    bed.server.replace("/f", new.clone());
    let outcome = bed.completes(bed.spec(), &new).await;
    assert_eq!(outcome.resumed_from, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_validator_there_is_a_resume_for_who_asks_for_it() {
    let (old, _) = versions("none");
    let bed = Bed::serving(&old);
    let had = bed
        .paused_at(bed.spec().max_connections(4), 2 * MIB, 16 * MIB)
        .await;
    let outcome = bed
        .completes(bed.spec().resume_without_validator(true), &old)
        .await;
    assert!(outcome.resumed_from >= had);
    assert_eq!(
        outcome.evidence,
        Evidence::Length,
        "and says what it rests on"
    );
}

/// Replaces the object when 1 MiB has come. The first version is slow and the second one is not.
async fn replaced_midway(
    validators: &str,
    connections: u32,
    on_change: OnRemoteChange,
) -> (
    Bed,
    Object,
    Object,
    Result<bytehaul::Outcome, DownloadError>,
) {
    let (old, new) = versions(validators);
    let bed = Bed::serving(&old.clone().behaviour(Behaviour::new().total_rate(8 * MIB)));
    let spec = bed
        .spec()
        .max_connections(connections)
        .on_remote_change(on_change);
    let handle = bed.start(spec);
    received(&handle, MIB).await;
    bed.server.replace("/f", new.clone());
    // Whoever is in the middle of a response of the old version has to ask again.
    bed.server.reset_connections();
    let result = ended(&handle).await;
    (bed, old, new, result)
}

/// Where nothing tells two versions apart there is one answer, and another one begins again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_midway_without_any_validator() {
    for connections in [1, 4] {
        let (bed, old, new, result) =
            replaced_midway("none", connections, OnRemoteChange::Restart).await;
        let outcome = result.expect("begins again");
        assert!(is_either(&bed, &old, &new), "mixed: {outcome:?}");
        assert_eq!(outcome.evidence, Evidence::SingleResponse);
    }
}

/// Whether the target is a whole copy of one of the two; a mixture is neither.
fn is_either(bed: &Bed, one: &Object, other: &Object) -> bool {
    check_file(bed.target(), one).is_ok() || check_file(bed.target(), other).is_ok()
}

/// A server without ranges sends the other version from its start, which must not go behind the old one's bytes.
async fn replaced_midway_where_there_are_no_ranges(validators: &str) {
    let (old, new) = versions(validators);
    let whole = Behaviour::new()
        .always(Effect::IgnoreRange)
        .total_rate(16 * MIB);
    let bed = Bed::serving(&old.clone().behaviour(whole));
    let handle = bed.start(bed.spec());
    received(&handle, MIB).await;
    bed.server.replace("/f", new.clone());
    bed.server.reset_connections();
    ended(&handle).await.expect("starts over");
    bed.is_published(&new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_midway_without_ranges_or_validators() {
    replaced_midway_where_there_are_no_ranges("none").await;
}
