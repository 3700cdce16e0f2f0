//! Every answer is compared with what was asked: wrong ranges, lengths and encodings never reach the file.

use bytehaul::{DownloadError, DownloadSpec};
use bytehaul_testkit::{Behaviour, Effect, Object, When};

use crate::common::{Bed, KIB, MIB};

const LEN: u64 = 4 * MIB;

fn object() -> Object {
    Object::random(1, LEN)
}

fn several(spec: DownloadSpec) -> DownloadSpec {
    spec.max_connections(4).piece_size(256 * KIB)
}

/// The ways in which a range can be answered wrongly, or at least strangely.
fn strange_ranges() -> Vec<(&'static str, Effect)> {
    vec![
        ("an earlier start", Effect::AlignStart(256 * KIB + 7)),
        ("other bytes, and says so", Effect::ShiftRange(512)),
        ("the right bytes under a wrong start", Effect::ClaimStart(1)),
        ("unknown total", Effect::UnknownTotal),
        ("a longer range", Effect::LongRange(4096)),
        ("a shorter range", Effect::ShortRange(300 * KIB)),
        ("a 206 without Content-Range", Effect::NoContentRange),
        ("more bytes than announced", Effect::Surplus(999)),
        ("the whole file", Effect::IgnoreRange),
        ("chunks", Effect::Chunked(10_000)),
        ("until the connection is closed", Effect::CloseDelimited),
        ("closing after each", Effect::Close),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_from_the_first_answer_on() {
    for (name, effect) in strange_ranges() {
        println!("{name}");
        let bed = Bed::serving(&object().behaviour(Behaviour::new().when(When::Ranged, effect)));
        bed.completes(several(bed.spec()), &object()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_from_the_second_answer_on() {
    for (name, effect) in strange_ranges() {
        println!("{name}");
        let when = When::From(1).and(When::Ranged);
        let behaviour = Behaviour::new().when(when, effect).total_rate(24 * MIB);
        let bed = Bed::serving(&object().behaviour(behaviour));
        bed.completes(several(bed.spec()), &object()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_once_in_the_middle() {
    for (name, effect) in strange_ranges() {
        println!("{name}");
        let behaviour = Behaviour::new()
            .when(When::Requests(2..3), effect)
            .total_rate(24 * MIB);
        let bed = Bed::serving(&object().behaviour(behaviour));
        bed.completes(several(bed.spec()), &object()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_when_resuming() {
    for (name, effect) in strange_ranges() {
        println!("{name}");
        let bed = Bed::serving(&object());
        bed.paused_at(several(bed.spec()), 2 * MIB, 24 * MIB).await;
        bed.server
            .behave("/f", Behaviour::new().when(When::Ranged, effect));
        bed.completes(several(bed.spec()), &object()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_with_one_connection_that_breaks() {
    for (name, effect) in strange_ranges() {
        println!("{name}");
        let behaviour = Behaviour::new()
            .when(When::Requests(0..1), Effect::ResetAfter(2 * MIB + 77))
            .when(When::From(1).and(When::Ranged), effect);
        let bed = Bed::serving(&object().behaviour(behaviour));
        bed.completes(bed.spec().max_connections(1), &object())
            .await;
    }
}

/// Another total is another file, or a lie; either way nothing but the right bytes is ever published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_total_that_changes() {
    for (claimed, requests) in [
        (LEN + 1, When::Requests(2..3)),
        (LEN - 1, When::Requests(2..3)),
        (LEN + 1, When::From(2)),
        (3, When::From(2)),
        (u64::MAX, When::From(1)),
    ] {
        println!("{claimed} {requests:?}");
        let lie = Behaviour::new()
            .when(requests, Effect::WrongTotal(claimed))
            .total_rate(48 * MIB);
        let bed = Bed::serving(&object().behaviour(lie));
        match bed.fetch(several(bed.spec())).await {
            Ok(_) => bed.is_published(&object()),
            Err(error) => {
                // A total beyond all measure is found by the disk that should hold it.
                let told = matches!(
                    error,
                    DownloadError::RemoteChanged { .. }
                        | DownloadError::BadResponse { .. }
                        | DownloadError::Storage(_)
                );
                assert!(told && !bed.target().exists(), "{error:?}");
            }
        }
    }
}

/// Pages that say "no" are not parts of the file, and no reason to give up what is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_page_never_gets_into_the_file() {
    for status in [400, 403, 404, 416, 500, 502] {
        println!("{status}");
        let bed = Bed::serving(&object());
        let had = bed.paused_at(several(bed.spec()), 2 * MIB, 16 * MIB).await;
        let page = Effect::status(status).body("x".repeat(300_000));
        let every_third = When::EveryRequest { every: 3, index: 1 };
        bed.server.serve(
            "/f",
            object().behaviour(Behaviour::new().when(every_third, page)),
        );
        match bed.fetch(several(bed.spec())).await {
            Ok(outcome) => assert!(outcome.resumed_from >= had, "{status}: {outcome:?}"),
            Err(error) => {
                let found = error.status().map(|status| status.as_u16());
                assert_eq!(found, Some(status), "{error:?}");
                bed.is_kept();
                bed.server.behave("/f", Behaviour::new());
                let outcome = bed.completes(several(bed.spec()), &object()).await;
                assert!(outcome.resumed_from >= had, "{status}: {outcome:?}");
            }
        }
        bed.is_published(&object());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_page_with_the_status_of_a_part_is_found_out() {
    let page = |status: &str, more: &str| {
        let body = "<html>not now</html>".repeat(50);
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html\r\n{more}Content-Length: {}\r\n\r\n",
            body.len()
        );
        Effect::Raw(format!("{head}{body}").into_bytes())
    };
    for (name, page) in [
        ("206 without a range", page("206 Partial Content", "")),
        ("200 of another length", page("200 OK", "")),
        (
            "206 of the start",
            page(
                "206 Partial Content",
                "Content-Range: bytes 0-999/4194304\r\n",
            ),
        ),
        (
            "206 of several ranges",
            page(
                "206 Partial Content",
                "Content-Type: multipart/byteranges; boundary=x\r\n",
            ),
        ),
    ] {
        println!("{name}");
        let behaviour = Behaviour::new()
            .when(When::Requests(2..3), page)
            .total_rate(24 * MIB);
        let bed = Bed::serving(&object().behaviour(behaviour));
        bed.completes(several(bed.spec()), &object()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_416_to_every_range_is_answered_by_asking_without() {
    for when in [When::Ranged, When::From(1).and(When::Ranged)] {
        let refuse = Behaviour::new()
            .when(when, Effect::status(416))
            .total_rate(24 * MIB);
        let bed = Bed::serving(&object().behaviour(refuse));
        bed.completes(several(bed.spec()), &object()).await;
    }
}
