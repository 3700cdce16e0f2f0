//! The stream of events: order, slow readers, what is in an event and what must not be.

use std::sync::Arc;

use bytehaul::{Direction, EventKind, TaskOptions, TransferEvent};

use crate::bed::{Bed, MIB, is_lawful, soon, states};

fn progress(told: &[Arc<TransferEvent>]) -> Vec<u64> {
    let of = |event: &Arc<TransferEvent>| match &event.kind {
        EventKind::Progress(progress) => Some(progress.done),
        _ => None,
    };
    told.iter().filter_map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_grows_to_the_whole() {
    let mut bed = Bed::new();
    let reader = bed.transfers.events();
    let reading = tokio::spawn(async move {
        let (mut reader, mut told) = (reader, Vec::new());
        while let Some(event) = reader.next().await {
            told.push(event);
        }
        told
    });
    let id = bed.transfers.enqueue(bed.slow("f")).unwrap();
    bed.wait(id).await.unwrap();
    let slow = bed.told().await;
    let quick = soon(reading).await.unwrap();
    is_lawful(&quick);
    let done = progress(&quick);
    assert!(done.len() > 4 && done.is_sorted(), "{done:?}");
    assert_eq!(done.last(), Some(&(4 * MIB)));
    // Who has read nothing so far gets the latest alone, and every state.
    assert_eq!(progress(&slow), [4 * MIB]);
    assert_eq!(states(&slow, id), states(&quick, id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_misses_no_state() {
    let mut bed = Bed::with(|builder| builder.event_capacity(1));
    let ids: Vec<_> = (0..100)
        .map(|n| bed.transfers.enqueue(bed.small(&n.to_string())).unwrap())
        .collect();
    for &id in &ids {
        bed.wait(id).await.unwrap();
    }
    let told = bed.told().await;
    is_lawful(&told);
    for id in ids {
        assert_eq!(states(&told, id), "pending transmission complete");
    }
    assert!(!bed.events.fell_behind());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_says_whose_it_is_and_no_secrets() {
    let mut bed = Bed::new();
    let mut spec = bed.small("f").header("authorization", "Bearer secret-1");
    spec.url = spec.url.replace("//", "//user:secret-2@");
    spec.url.push_str("?sig=secret-3-with-some-length&part=7");
    let options = TaskOptions::new().label("row 5");
    let id = bed.transfers.enqueue_with(spec, options).unwrap();
    bed.wait(id).await.unwrap();
    let missing = bed.server.url("/missing?token=secret-4-with-some-length");
    let missing = bytehaul::DownloadSpec::new(missing).output_path(bed.path("missing"));
    let failed = bed.transfers.enqueue(missing).unwrap();
    bed.wait(failed).await.unwrap_err();
    let snapshot = bed.transfers.snapshot();
    let told = bed.told().await;
    let text = format!("{told:?} {snapshot:?} {:?}", bed.transfers);
    let json = serde_json::to_string(&told.iter().map(|event| &**event).collect::<Vec<_>>());
    let json = json.unwrap();
    for shown in [&text, &json] {
        assert!(!shown.contains("secret"), "{shown}");
    }
    for event in told.iter().filter(|event| event.id == id) {
        assert_eq!(event.label.as_deref(), Some("row 5"));
        assert_eq!(event.direction, Direction::Download);
        assert_eq!(event.target, bed.path("f").display().to_string());
        assert!(
            event.source.starts_with(&bed.server.url("/f?")),
            "{event:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_survive_json() {
    let mut bed = Bed::new();
    let ids = [bed.small("a"), bed.missing("b"), bed.hanging("c")]
        .map(|spec| bed.transfers.enqueue(spec).unwrap());
    bed.wait(ids[0]).await.unwrap();
    bed.wait(ids[1]).await.unwrap_err();
    bed.transfers.cancel(ids[2]).await.unwrap();
    for event in bed.told().await {
        let json = serde_json::to_string(&*event).unwrap();
        let again: TransferEvent = serde_json::from_str(&json).unwrap();
        assert_eq!(again, *event, "{json}");
    }
}

/// The form of an event is what applications have in their databases.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_of_an_event_is_stable() {
    let mut bed = Bed::new();
    let id = bed.transfers.enqueue_paused(bed.missing("f")).unwrap();
    bed.transfers.resume(id).await.unwrap();
    bed.wait(id).await.unwrap_err();
    let told = bed.told().await;
    let values: Vec<_> = told
        .iter()
        .filter(|event| !matches!(event.kind, EventKind::Progress(_)))
        .map(|event| serde_json::to_value(&**event).unwrap())
        .collect();
    let (source, target) = (bed.server.url("/f"), bed.path("f"));
    let common = |seq: &serde_json::Value, kind| {
        serde_json::json!({
            "seq": seq, "id": 1, "direction": "download", "source": source, "target": target,
            "kind": kind,
        })
    };
    for (value, state) in values.iter().zip(["paused", "pending", "transmission"]) {
        let kind = serde_json::json!({ "state": state });
        assert_eq!(*value, common(&value["seq"], kind));
    }
    let last = &values[3];
    let failure = &last["kind"]["failed"];
    assert_eq!(failure["code"], 109);
    assert_eq!(failure["kind"], "server");
    assert_eq!(failure["status"], 404);
    assert!(
        failure["message"]
            .as_str()
            .unwrap()
            .contains("answered 404")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_a_closed_manager_ends() {
    let bed = Bed::new();
    soon(bed.transfers.close()).await.unwrap();
    let mut late = bed.transfers.events();
    assert!(soon(late.next()).await.is_none());
    assert!(!late.fell_behind());
}
