//! How many run at a time, and how fast, also when that changes.

use bytehaul::{Network, TaskState, TransferManager};

use crate::bed::{Bed, code, eventually, small, soon};

fn active(bed: &Bed) -> usize {
    bed.transfers.snapshot().downloads.active.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_changes_while_tasks_run() {
    let bed = Bed::with(|builder| builder.max_downloads(1));
    let ids: Vec<_> = (0..6)
        .map(|n| bed.transfers.enqueue(bed.hanging(&n.to_string())).unwrap())
        .collect();
    assert_eq!(active(&bed), 1);
    bed.transfers.set_max_downloads(4).unwrap();
    assert_eq!(active(&bed), 4);
    assert_eq!(bed.transfers.snapshot().downloads.limit, 4);
    bed.transfers.set_max_downloads(2).unwrap();
    assert_eq!(active(&bed), 4, "nothing is interrupted");
    for &id in &ids[..2] {
        bed.transfers.cancel(id).await.unwrap();
    }
    assert_eq!(active(&bed), 2);
    bed.transfers.cancel(ids[2]).await.unwrap();
    assert_eq!(active(&bed), 2, "the next one has its slot");
    assert_eq!(bed.state(ids[4]), TaskState::Transmission);
    assert_eq!(bed.state(ids[5]), TaskState::Pending);
    eventually("requests of those that run", || {
        (3..5).all(|n| !bed.server.requests_for(&format!("/{n}")).is_empty())
    })
    .await;
    assert!(bed.server.requests_for("/5").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_1_to_64_and_settings_are_checked() {
    let bed = Bed::new();
    for (tasks, accepted) in [(0, false), (1, true), (64, true), (65, false)] {
        assert_eq!(bed.transfers.set_max_downloads(tasks).is_ok(), accepted);
        assert_eq!(bed.transfers.set_max_uploads(tasks).is_ok(), accepted);
        let builder = TransferManager::builder();
        assert_eq!(builder.max_downloads(tasks).build().is_ok(), accepted);
    }
    assert_eq!(code(bed.transfers.set_max_uploads(0)), 102);
    let builder = TransferManager::builder;
    assert_eq!(code(builder().queue_capacity(0).build()), 102);
    assert_eq!(code(builder().event_capacity(0).build()), 102);
    assert_eq!(code(builder().max_uploads(65).build()), 102);
    let network = Network::default().user_agent("a");
    let both = builder().network(network.clone());
    let both = both.downloader(bed.transfers.downloader().clone());
    assert_eq!(code(both.build()), 102);
    assert_eq!(
        code(builder().network(network.user_agent("a\nb")).build()),
        102
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_rate_for_all_downloads() {
    let bed = Bed::with(|builder| builder.max_downloads(4).max_download_speed(256 * 1024));
    let begun = std::time::Instant::now();
    let ids = ["a", "bb", "ccc", "dddd"].map(|name| {
        let spec = bed.small(name);
        bed.transfers.enqueue(spec).unwrap()
    });
    for id in ids {
        bed.wait(id).await.unwrap();
    }
    let took = begun.elapsed().as_secs_f64();
    assert!(took > 0.5, "256 KiB at 256 KiB a second: {took}");
    bed.transfers.downloader().set_max_download_speed(0);
}

/// The settings of the manager are those of the client that protocols may use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protocols_may_use_the_same_client() {
    let bed = Bed::with(|builder| builder.network(Network::default().user_agent("mine/1")));
    let _ = bed.small("f");
    let client = bed.transfers.client().unwrap();
    let url = bed.server.url("/f").parse().unwrap();
    let answer = soon(client.send(bytehaul_transport::Request::get(url))).await;
    assert_eq!(answer.unwrap().status(), 200);
    let requests = bed.server.requests_for("/f");
    assert_eq!(requests[0].header("user-agent"), Some("mine/1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managers_can_share_a_downloader() {
    let bed = Bed::new();
    let shared = bed.transfers.downloader().clone();
    let other = TransferManager::builder().downloader(shared);
    let other = other.build().unwrap();
    let id = other.enqueue(bed.small("f")).unwrap();
    soon(other.wait(id)).await.unwrap();
    bed.is_there("f", &small("f"));
}
