//! Memory is bounded by the budget, however many connections there are and however large the file is.

use bytehaul::ErrorKind;
use bytehaul_testkit::{Behaviour, Effect, Object, When};

use crate::common::{Bed, KIB, MIB};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_budget_is_enough_for_many_connections() {
    for connections in [1, 8, 32] {
        let object = Object::random(1, 8 * MIB);
        let bed = Bed::serving(&object.clone().behaviour(Behaviour::new().rate(4 * MIB)));
        let spec = bed
            .spec()
            .max_connections(connections)
            .memory_budget(64 * KIB);
        bed.completes(spec, &object).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_budget_survives_resets_and_lead_ins() {
    let object = Object::random(1, 4 * MIB);
    let trouble = Behaviour::new()
        .when(When::Chance(500), Effect::ResetWithin(0..300 * KIB))
        .always(Effect::AlignStart(128 * KIB));
    let bed = Bed::serving(&object.clone().behaviour(trouble));
    let spec = bed
        .spec()
        .max_connections(8)
        .max_retries(20)
        .memory_budget(64 * KIB);
    bed.completes(spec, &object).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn less_than_the_least_budget_is_told_at_once() {
    let bed = Bed::serving(&Object::random(1, KIB));
    for budget in [0, 1, 64 * KIB - 1] {
        let error = bed
            .fetch(bed.spec().memory_budget(budget))
            .await
            .expect_err("too little");
        assert_eq!(
            (error.code(), error.kind()),
            (102, ErrorKind::Parameter),
            "{error:?}"
        );
    }
    assert_eq!(bed.server.connections(), 0);
}

/// The server of the test lives in the same process and holds a block for each connection, which is in the bound.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_takes_no_more_memory_than_a_small_one() {
    use bytehaul_testkit::Usage;
    let peak_of = async |len: u64| {
        let object = Object::random(1, len);
        let bed = Bed::serving(&object);
        bed.completes(
            bed.spec().max_connections(8).memory_budget(2 * MIB),
            &object,
        )
        .await;
        Usage::own().peak_rss
    };
    let small = peak_of(8 * MIB).await;
    let large = peak_of(96 * MIB).await;
    assert!(
        large < small + 16 * MIB,
        "{} KiB, then {} KiB",
        small / KIB,
        large / KIB
    );
}
