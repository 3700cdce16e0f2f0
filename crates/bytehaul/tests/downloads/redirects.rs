//! Where redirects lead, how often they are asked, and what never goes there or anywhere else: the caller's secrets.

use bytehaul::DownloadError;
use bytehaul_testkit::{Behaviour, Effect, Object, Server, When};

use crate::common::{Bed, MIB, ended, eventually};

const LEN: u64 = 6 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

/// A bed whose `/r` leads to `/f` on another server, at 4 MiB/s for each connection.
pub(crate) fn elsewhere() -> (Bed, Server) {
    let bed = Bed::new();
    let other = Server::spawn_thread();
    other.serve("/f", object().behaviour(Behaviour::new().rate(4 * MIB)));
    bed.server.redirect("/r", other.url("/f"));
    (bed, other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_followed_once_for_all_connections() {
    for status in [301, 302, 303, 307, 308] {
        let (bed, other) = elsewhere();
        let redirect = Effect::Redirect(status, other.url("/f"));
        bed.server.behave("/r", Behaviour::new().always(redirect));
        let outcome = bed
            .completes(bed.spec_of("/r").max_connections(8), &object())
            .await;
        assert!(other.requests().len() > 2, "{:?}", other.requests());
        assert_eq!(
            bed.server.requests().len(),
            1,
            "{status}: asked once where the file is"
        );
        assert_eq!(outcome.url.to_string(), other.url("/f"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_target_of_a_redirect_is_asked_for_again() {
    for status in [401, 403, 404, 410] {
        let (bed, other) = elsewhere();
        // From the third request on the first place is no longer good, and the redirect leads to another one.
        let expires = Behaviour::new()
            .rate(4 * MIB)
            .when(When::From(2), Effect::status(status));
        other.behave("/f", expires);
        other.serve("/g", object().behaviour(Behaviour::new().rate(4 * MIB)));
        bed.server.behave(
            "/r",
            Behaviour::new()
                .always(Effect::redirect(other.url("/f")))
                .when(When::From(1), Effect::redirect(other.url("/g"))),
        );
        let outcome = bed
            .completes(bed.spec_of("/r").max_connections(4), &object())
            .await;
        assert!(outcome.fetched <= LEN + MIB, "{status}: {outcome:?}");
        assert_eq!(outcome.restarts, 0, "{status}");
        let asked = bed.server.requests().len();
        assert!((2..=5).contains(&asked), "{status}: {asked} times");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_of_a_redirect_that_dies_is_asked_for_again() {
    let (bed, other) = elsewhere();
    let third = Server::spawn_thread();
    third.serve("/f", object());
    let handle = bed.start(bed.spec_of("/r").max_connections(4));
    eventually("some bytes", || other.bytes_sent() > MIB).await;
    bed.server.redirect("/r", third.url("/f"));
    drop(other);
    let outcome = ended(&handle).await.expect("the file is still there");
    bed.is_published(&object());
    assert_eq!(outcome.restarts, 0);
    assert_eq!(outcome.url.to_string(), third.url("/f"));
    let asked = bed.server.requests().len();
    assert!((2..=10).contains(&asked), "{asked} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_to_something_that_is_gone_for_good_ends() {
    let (bed, other) = elsewhere();
    other.behave("/f", Behaviour::new().always(Effect::status(403)));
    let error = bed.fetch(bed.spec_of("/r")).await.expect_err("forbidden");
    assert_eq!(error.code(), 109, "{error:?}");
    assert!(bed.server.requests().len() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_that_lead_nowhere_end_at_once() {
    let long = format!("/{}", "a".repeat(65_534));
    let nested = format!("http://127.0.0.1:1/{}", "%00".repeat(20_000));
    let locations = [
        "",
        "http://",
        "http://[::1",
        "http://:80/",
        "ftp://127.0.0.1/f",
        "file:///etc/passwd",
        "data:text/plain,x",
        "javascript:alert(1)",
        "//",
        "\u{ff}\u{fe}",
        "http://127.0.0.1:99999/",
        &long,
        &nested,
    ];
    for location in locations {
        let bed = Bed::new();
        bed.server.redirect("/r", location);
        let spec = bed.spec_of("/r").max_retries(1);
        let result = bed.fetch(spec).await;
        let shown: String = location.chars().take(30).collect();
        let error = result.expect_err(&shown);
        assert!(
            !matches!(error, DownloadError::Internal { .. }),
            "{shown}: {error:?}"
        );
        assert_eq!(bed.names(), Vec::<String>::new(), "{shown}");
        assert!(
            bed.server.requests().len() <= 25,
            "{shown}: {} requests",
            bed.server.requests().len()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_in_a_circle_end() {
    let bed = Bed::new();
    bed.server.redirect("/a", "/b").redirect("/b", "/a");
    let error = bed.fetch(bed.spec_of("/a")).await.expect_err("a circle");
    assert_eq!(error.code(), 106, "{error:?}");
    assert!(bed.server.requests().len() <= 3, "not tried again");
    // Each step elsewhere.
    for step in 0..60 {
        bed.server
            .redirect(format!("/s{step}"), format!("/s{}", step + 1));
    }
    bed.server.reset_log();
    bed.fetch(bed.spec_of("/s0")).await.expect_err("too many");
    assert!(
        bed.server.requests().len() <= 32,
        "{}",
        bed.server.requests().len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_beyond_all_measure_are_refused() {
    for bytes in [40_000, 1 << 20] {
        let flood = Behaviour::new().always(Effect::HeaderFlood(bytes));
        let bed = Bed::serving(&object().behaviour(flood));
        match bed.fetch(bed.spec().max_retries(1)).await {
            Ok(_) => bed.is_published(&object()),
            Err(error) => assert_eq!(error.code(), 106, "{error:?}"),
        }
    }
}
