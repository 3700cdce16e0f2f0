//! An application that keeps the events in its own database and makes its tasks again after a restart.

use std::collections::BTreeMap;

use bytehaul::{EventKind, TaskOptions, TaskState, TransferEvent};

use crate::bed::{Bed, MIB, large, manager, small, soon};

/// What an application keeps of each of its rows: the last state that it was told, from JSON alone.
fn rows(lines: &[String]) -> BTreeMap<String, TaskState> {
    let mut rows = BTreeMap::new();
    for line in lines {
        let event: TransferEvent = serde_json::from_str(line).unwrap();
        if let Some(state) = event.kind.state() {
            rows.insert(event.label.expect("each has one"), state);
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rebuilt_from_events_that_were_kept() {
    let mut bed = Bed::with(|builder| builder.max_downloads(2));
    let label = |name: &str| TaskOptions::new().label(name);
    let enqueue = |name: &str, spec| bed.transfers.enqueue_with(spec, label(name)).unwrap();
    let quick = enqueue("quick", bed.small("quick"));
    bed.wait(quick).await.unwrap();
    let slow = enqueue("slow", bed.slow("slow"));
    enqueue("hanging", bed.hanging("hanging"));
    enqueue("waiting", bed.small("waiting"));
    bed.received(slow, MIB).await;
    let told = bed.told().await;
    let lines: Vec<_> = told
        .iter()
        .map(|event| serde_json::to_string(&**event).unwrap())
        .collect();

    let unfinished: Vec<_> = rows(&lines)
        .into_iter()
        .filter(|(_, state)| !state.is_terminal())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(unfinished, ["hanging", "slow", "waiting"]);
    bed.hurry("slow");
    bed.hurry("hanging");
    let before = bed.server.requests().len();
    let next = manager(|builder| builder);
    let mut events = next.events();
    let ids: BTreeMap<_, _> = unfinished
        .iter()
        .map(|name| {
            let id = next.enqueue_with(bed.spec(name), label(name).paused());
            (name.as_str(), id.unwrap())
        })
        .collect();
    for (name, &id) in &ids {
        let event = soon(events.next()).await.unwrap();
        assert_eq!(event.kind, EventKind::State(TaskState::Paused));
        assert_eq!((event.label.as_deref(), event.id), (Some(*name), id));
    }
    assert_eq!(bed.server.requests().len(), before, "no network");
    next.resume(ids["slow"]).await.unwrap();
    let outcome = soon(next.wait(ids["slow"])).await.unwrap().completion();
    assert!(outcome.resumed_from >= MIB, "{outcome:?}");
    bed.is_there("slow", &large("slow"));
    assert_eq!(
        next.snapshot().downloads.paused.len(),
        2,
        "nobody else moved"
    );
    assert!(bed.server.requests_for("/waiting").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_paused_imports_and_a_selection() {
    let mut bed = Bed::with(|builder| builder.queue_capacity(4));
    // No file is looked at: not even the directory is there.
    let nowhere = bed.path("not/there");
    let ids: Vec<_> = (0..1000)
        .map(|n| {
            let spec = bed
                .small(&n.to_string())
                .output_path(nowhere.join(n.to_string()));
            let spec = if n % 100 == 7 {
                bed.small(&n.to_string())
            } else {
                spec
            };
            bed.transfers.enqueue_paused(spec).unwrap()
        })
        .collect();
    assert_eq!(bed.transfers.snapshot().downloads.paused.len(), 1000);
    assert!(bed.server.requests().is_empty());
    assert!(!nowhere.exists());
    let chosen: Vec<_> = (0..1000).filter(|n| n % 100 == 7).collect();
    for &n in &chosen {
        bed.transfers.resume(ids[n]).await.unwrap();
    }
    for &n in &chosen {
        bed.wait(ids[n]).await.unwrap();
        bed.is_there(&n.to_string(), &small(&n.to_string()));
    }
    assert_eq!(bed.transfers.snapshot().downloads.paused.len(), 990);
    let told = bed.told().await;
    for (n, &id) in ids.iter().enumerate() {
        let states = crate::bed::states(&told, id);
        if chosen.contains(&n) {
            assert_eq!(states, "paused pending transmission complete");
        } else {
            assert_eq!(states, "paused");
        }
    }
}
