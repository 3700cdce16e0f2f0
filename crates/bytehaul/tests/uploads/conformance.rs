//! The conformance suite of uploads, run for every protocol against a real server.

use bytehaul_testkit::conformance::endpoints::{
    Azure, Concatenated, Draft, Form, Gcs, Oss, Put, S3, Signer, Tus,
};
use bytehaul_testkit::conformance::{Bed, Endpoint, cases};
use bytehaul_testkit::uploads::TusSetup;

use crate::client::{Haul, md5};
use crate::speech::Speech;

/// Makes a bed, where the server is installed, and runs a case on it. Asking a server blocks, so it takes some threads.
fn run<E: Endpoint + 'static>(endpoint: Option<E>, speech: Speech, case: impl AsyncFnOnce(&Bed)) {
    let Some(endpoint) = endpoint else {
        return;
    };
    // `RUST_LOG=bytehaul=debug` shows what an upload says of itself.
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let shown = tracing_subscriber::fmt().with_env_filter(filter);
    let _ = shown.with_test_writer().try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let bed = Bed::new(endpoint, Haul::new(speech));
        case(&bed).await;
    });
}

macro_rules! conforms {
    ($protocol:ident, $speech:ident, $endpoint:expr) => {
        mod $protocol {
            use super::*;

            conforms!(@cases $speech, $endpoint,
                every_size many_parts checksums
                every_boundary servers_that_lost servers_that_have_more
                killed_again_and_again
                paused_at_any_time cancelled_at_any_time
                parts_that_fail parts_that_break_off begins_and_commits_that_fail
                answers_that_are_lost nothing_is_claimed_early
                changed_on_the_way changed_between_runs
                access_that_is_renewed access_that_is_never_renewed
                a_rate_that_holds a_stream_is_held_in_bounds
                several_at_once the_same_twice
                wrong_answers);
        }
    };
    (@cases $speech:ident, $endpoint:expr, $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                run($endpoint, Speech::$speech, cases::$case);
            }
        )*
    };
}

/// The same for a server that takes seconds to start: one for several cases; or for those cases alone that are named.
macro_rules! conforms_in_groups {
    ($protocol:ident, $speech:ident, $endpoint:expr) => {
        conforms_in_groups!($protocol, $speech, $endpoint;
            sizes: every_size many_parts checksums;
            // What a source that changes leaves on its way to the gate is not to be counted for another case.
            resumed: every_boundary servers_that_lost servers_that_have_more
                changed_between_runs changed_on_the_way;
            lost: answers_that_are_lost nothing_is_claimed_early wrong_answers
                access_that_is_renewed access_that_is_never_renewed;
            failing: parts_that_fail parts_that_break_off begins_and_commits_that_fail;
            stopped: killed_again_and_again cancelled_at_any_time;
            paused: paused_at_any_time;
            together: a_rate_that_holds a_stream_is_held_in_bounds several_at_once the_same_twice);
    };
    ($protocol:ident, $speech:ident, $endpoint:expr; $($group:ident: $($case:ident)*);*) => {
        mod $protocol {
            use super::*;

            $(
                #[test]
                fn $group() {
                    run($endpoint, Speech::$speech, async |bed: &Bed| {
                        $(cases::$case(bed).await;)*
                    });
                }
            )*
        }
    };
}

conforms!(form, Form, Form::start(md5));
conforms!(put, Put, Put::start());
conforms!(tus, Tus, Tus::start());
conforms!(tus_concatenated, Concatenated, Concatenated::start());
conforms!(
    tus_checked,
    Checked,
    Tus::start_with(&TusSetup::new().checksum(), "tus with checksums")
);
conforms!(tus_draft, Draft, Draft::start());

/// Its parts are of 5 MiB: each case takes its time, so that those of plans as such are left to Azure's.
mod presigned_s3 {
    use super::*;

    conforms!(@cases PresignedS3, S3::start(Signer::BackEnd),
        every_size every_boundary servers_that_lost
        killed_again_and_again cancelled_at_any_time
        parts_that_fail begins_and_commits_that_fail
        answers_that_are_lost nothing_is_claimed_early
        changed_between_runs access_that_is_renewed wrong_answers);
}

// What parts of 5 MiB are needed for, and what rclone cannot: it takes no part twice, and does not tell of a lost commit.
conforms_in_groups!(s3, S3, S3::start(Signer::Client);
    resumed: every_boundary servers_that_lost servers_that_have_more;
    lost: answers_that_are_lost nothing_is_claimed_early;
    cancelled: cancelled_at_any_time);
conforms_in_groups!(s3_by_rclone, S3, S3::rclone();
    sizes: every_size many_parts checksums;
    access: access_that_is_renewed access_that_is_never_renewed wrong_answers;
    failing: parts_that_fail begins_and_commits_that_fail parts_that_break_off;
    stopped: killed_again_and_again cancelled_at_any_time changed_on_the_way;
    paused: paused_at_any_time;
    together: a_rate_that_holds a_stream_is_held_in_bounds several_at_once the_same_twice);
conforms_in_groups!(
    presigned_azure,
    PresignedAzure,
    Azure::start(Signer::BackEnd)
);
conforms_in_groups!(azure, Azure, Azure::start(Signer::Client));
conforms_in_groups!(oss, Oss, Oss::start());
conforms_in_groups!(gcs, Gcs, Gcs::start());
conforms!(own, Own, own());

// How streams, rates and renewals are met is the same as in those of parts in a row.
conforms_in_groups!(own_blocks, OwnBlocks, own_blocks();
    sizes: every_size many_parts checksums;
    resumed: every_boundary servers_that_lost servers_that_have_more changed_on_the_way
        changed_between_runs;
    lost: answers_that_are_lost nothing_is_claimed_early parts_that_fail begins_and_commits_that_fail
        wrong_answers;
    stopped: killed_again_and_again paused_at_any_time cancelled_at_any_time several_at_once);

/// A protocol of one's own whose parts go in any order.
fn own_blocks() -> Option<Azure> {
    let server = Azure::start(Signer::BackEnd)?;
    Some(server.able(|abilities| abilities.renews = false))
}

/// The reference server of tus, for a protocol whose own client knows neither streams nor renewal.
fn own() -> Option<Tus> {
    let server = Tus::start_with(&TusSetup::new(), "a protocol of one's own")?;
    Some(server.able(|abilities| {
        abilities.streams = false;
        abilities.renews = false;
    }))
}
