//! A server that asks for less gets less, comes first in saying when, and costs no data.

use std::time::{Duration, SystemTime};

use bytehaul_testkit::{Behaviour, Effect, Excess, Object, RecordedRequest, When};

use crate::common::{Bed, MIB};

const LEN: u64 = 6 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

/// What a server does to a request, or to a connection, that is one too many.
async fn refused(name: &str, limit: impl FnOnce(&Bed)) {
    println!("{name}");
    let bed = Bed::serving(&object().behaviour(Behaviour::new().rate(8 * MIB)));
    limit(&bed);
    let outcome = bed
        .completes(bed.spec().max_connections(8), &object())
        .await;
    assert!(
        outcome.fetched <= LEN + MIB,
        "{name}: a refusal costs no data: {outcome:?}"
    );
    assert_eq!(outcome.restarts, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_above_two_requests_at_once() {
    for status in [429, 503, 403] {
        refused(&status.to_string(), |bed| {
            let too_many = Behaviour::new()
                .rate(8 * MIB)
                .when(When::Above(2), Effect::status(status));
            bed.server.behave("/f", too_many);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_above_two_connections() {
    for excess in [Excess::Reset, Excess::Close] {
        refused(&format!("{excess:?}"), |bed| {
            bed.server.limit_connections(Some((2, excess)));
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_one_connection_is_not_hammered() {
    let too_many = Behaviour::new()
        .total_rate(3 * MIB)
        .when(When::Above(1), Effect::status(429));
    let bed = Bed::serving(&object().behaviour(too_many));
    bed.completes(
        bed.spec()
            .max_connections(8)
            .retry_base_delay(Duration::from_millis(250)),
        &object(),
    )
    .await;
    let refused = bed
        .server
        .requests()
        .iter()
        .filter(|request| request.status == 429)
        .count();
    assert!(refused <= 16, "{refused} refused requests in two seconds");
}

/// The first answer says when to come back; how long the client stayed away.
async fn comes_back_after(answer: bytehaul_testkit::StatusAnswer, cap: Duration) -> Duration {
    let later = Behaviour::new().when(When::Requests(0..1), answer);
    let bed = Bed::serving(&object().behaviour(later));
    bed.completes(bed.spec().max_retry_after(cap), &object())
        .await;
    let at: Vec<Duration> = bed
        .server
        .requests()
        .iter()
        .map(|request: &RecordedRequest| request.at)
        .collect();
    at[1] - at[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_in_seconds() {
    for status in [429, 503] {
        let answer = Effect::status(status).retry_after(Duration::from_secs(1));
        let waited = comes_back_after(answer, Duration::from_secs(60)).await;
        assert!((0.99..2.5).contains(&waited.as_secs_f64()), "{waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_as_a_date() {
    let until = SystemTime::now() + Duration::from_secs(3);
    let waited =
        comes_back_after(Effect::status(503).retry_at(until), Duration::from_secs(60)).await;
    // A date has whole seconds.
    assert!((1.5..4.5).contains(&waited.as_secs_f64()), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_after_beyond_the_cap_is_cut() {
    let answers = [
        Effect::status(503).retry_after(Duration::from_secs(86_400)),
        Effect::status(429).retry_at(SystemTime::now() + Duration::from_secs(86_400)),
        Effect::status(503).retry_after_raw("99999999999999999999"),
    ];
    for answer in answers {
        let waited = comes_back_after(answer, Duration::from_millis(300)).await;
        assert!((0.29..2.0).contains(&waited.as_secs_f64()), "{waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_after_that_makes_no_sense_is_ignored() {
    for text in [
        "",
        "soon",
        "-5",
        "1e9",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "\u{fc}",
    ] {
        let waited = comes_back_after(
            Effect::status(503).retry_after_raw(text),
            Duration::from_secs(60),
        )
        .await;
        assert!(waited < Duration::from_secs(2), "{text}: {waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_obeyed_in_the_middle_as_well() {
    let later = Behaviour::new()
        .when(When::Requests(0..1), Effect::ResetAfter(MIB))
        .when(
            When::Requests(1..2),
            Effect::status(503).retry_after(Duration::from_secs(1)),
        );
    let bed = Bed::serving(&object().behaviour(later));
    bed.completes(bed.spec().max_connections(1), &object())
        .await;
    let requests = bed.server.requests();
    let waited = requests[2].at - requests[1].at;
    assert!((0.99..2.5).contains(&waited.as_secs_f64()), "{waited:?}");
}
