//! Bodies of every length and framing: the end is only the end when it was announced, and what is encoded is not the file.

use bytehaul::{DownloadError, DownloadSpec};
use bytehaul_testkit::{Behaviour, Effect, Object, When};

use crate::common::{Bed, KIB, MIB};

const LEN: u64 = 6 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

fn several(spec: DownloadSpec) -> DownloadSpec {
    spec.max_connections(4).piece_size(256 * KIB)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_and_empty_files() {
    for len in [0, 1, 2, 4095, MIB - 1, MIB, MIB + 1] {
        for effect in [None, Some(Effect::IgnoreRange), Some(Effect::Chunked(999))] {
            println!("{len} {effect:?}");
            let object = Object::random(1, len);
            let behaviour = effect.into_iter().fold(Behaviour::new(), Behaviour::always);
            let bed = Bed::serving(&object.clone().behaviour(behaviour));
            let outcome = bed.completes(several(bed.spec()), &object).await;
            assert!(outcome.length_verified);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encoded_content_is_never_taken_for_the_file() {
    let text = Object::bytes("all work and no play ".repeat(50_000));
    for when in [When::Always, When::From(1)] {
        let gzip = Behaviour::new()
            .when(When::Requests(0..1), Effect::ResetAfter(100_000))
            .when(when, Effect::Gzip);
        let bed = Bed::serving(&text.clone().behaviour(gzip));
        let error = bed.fetch(bed.spec()).await.expect_err("encoded");
        assert!(
            matches!(error, DownloadError::BadResponse { .. }),
            "{error:?}"
        );
        assert!(!bed.target().exists());
        let asked = bed.server.requests();
        assert!(
            asked
                .iter()
                .all(|r| r.header("accept-encoding") == Some("identity")),
            "{asked:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_ends_early_is_asked_for_again() {
    let cut = |at| Behaviour::new().when(When::Requests(0..2), Effect::TruncateAfter(at));
    for behaviour in [
        cut(0),
        cut(LEN / 2),
        cut(LEN / 2).always(Effect::IgnoreRange),
        cut(LEN / 2).always(Effect::Chunked(5000)),
        cut(LEN / 2)
            .always(Effect::Chunked(5000))
            .always(Effect::IgnoreRange),
        cut(LEN - 1)
            .always(Effect::IgnoreRange)
            .always(Effect::NoValidator),
    ] {
        let bed = Bed::serving(&object().behaviour(behaviour));
        let outcome = bed
            .completes(bed.spec().max_connections(1), &object())
            .await;
        assert!(
            outcome.length_verified && outcome.retries > 0,
            "{outcome:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_always_ends_early_is_no_file() {
    let cut = Behaviour::new()
        .always(Effect::TruncateAfter(100))
        .always(Effect::IgnoreRange);
    let bed = Bed::serving(&object().no_validator().behaviour(cut));
    let error = bed
        .fetch(bed.spec().max_retries(2))
        .await
        .expect_err("never all of it");
    assert_eq!(error.code(), 106, "{error:?}");
    assert!(!bed.target().exists());
    assert_eq!(bed.server.requests().len(), 3);
}

/// Only here an early end cannot be told from the end, and the outcome says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_that_nobody_announced_is_not_verified() {
    let until_close = Behaviour::new()
        .always(Effect::CloseDelimited)
        .always(Effect::IgnoreRange);
    let bed = Bed::serving(&object().behaviour(until_close.clone()));
    let outcome = bed.completes(bed.spec(), &object()).await;
    assert!(!outcome.length_verified);
    let chunked = until_close.always(Effect::Chunked(4096));
    let bed = Bed::serving(&object().behaviour(chunked));
    let outcome = bed.completes(bed.spec(), &object()).await;
    assert!(outcome.length_verified);
}

/// All bytes came, and the end of them was lost: the next request learns that nothing is missing (RFC 9110, 416).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_416_with_the_length_that_is_there_is_the_end() {
    let first = When::Requests(0..1);
    let unfinished = Behaviour::new()
        .when(first.clone(), Effect::IgnoreRange)
        .when(first.clone(), Effect::Chunked(64 * KIB))
        .when(first, Effect::TruncateAfter(LEN));
    let bed = Bed::serving(&object().behaviour(unfinished));
    let outcome = bed.completes(bed.spec(), &object()).await;
    assert_eq!(outcome.fetched, LEN, "{:?}", bed.server.requests());
    assert_eq!(
        bed.server.requests().last().map(|request| request.status),
        Some(416)
    );
}

/// Whatever comes instead of an answer: no panic, no file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_make_no_sense() {
    let heads = [
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-18446744073709551615/*\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 9-3/5\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes \u{fc}\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/18446744073709551615\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */99\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        "HTTP/1.1 300 Multiple Choices\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 999 Why\r\nContent-Length: 0\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "\0\0\0\0",
    ];
    for head in heads {
        let bed = Bed::new();
        let nonsense = Behaviour::new().always(Effect::Raw(head.as_bytes().to_vec()));
        bed.server.serve("/f", object().behaviour(nonsense));
        let error = bed.fetch(bed.spec().max_retries(1)).await.expect_err(head);
        assert!(
            !matches!(error, DownloadError::Internal { .. }),
            "{head}: {error:?}"
        );
        assert!(!bed.target().exists(), "{head}");
        assert!(
            bed.server.requests().len() <= 12,
            "{head}: {} requests",
            bed.server.requests().len()
        );
    }
}

/// A stream of unknown length breaks off, and the rest comes in parts shorter than asked: the end of a part is not the
/// end of the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_part_is_not_the_end_of_a_file_of_unknown_length() {
    for total in [None, Some(Effect::UnknownTotal)] {
        let first = || When::Requests(0..1);
        let behaviour = Behaviour::new()
            .rate(16 * MIB)
            .when(first(), Effect::IgnoreRange)
            .when(first(), Effect::Chunked(64 * KIB))
            .when(first(), Effect::ResetAfter(MIB))
            .when(When::From(1), Effect::ShortRange(700 * KIB));
        let behaviour = total
            .into_iter()
            .fold(behaviour, |all, effect| all.when(When::From(1), effect));
        let bed = Bed::serving(&object().behaviour(behaviour));
        let outcome = bed
            .completes(bed.spec().max_connections(1), &object())
            .await;
        assert!(bed.server.requests().len() > 2, "{outcome:?}");
    }
}
