//! The budget: a bound that holds, turns that are kept, and buffers that never grow.

use std::time::Duration;

use bytehaul_storage::Budget;
use bytes::BufMut;

#[test]
fn buffer_sizes_follow_the_connections() {
    let budget = Budget::default();
    assert_eq!(budget.total(), 64 << 20);
    assert_eq!(budget.buffer_size(0), 1 << 20);
    assert_eq!(budget.buffer_size(8), 1 << 20);
    assert_eq!(budget.buffer_size(64), 340 << 10);
    assert_eq!(budget.buffer_size(usize::MAX), 4 << 10);
    assert_eq!(Budget::new(0).total(), 4 << 10);
}

#[tokio::test]
async fn a_buffer_never_grows() {
    let budget = Budget::new(1 << 20);
    let mut buffer = budget.buffer(100).await;
    assert_eq!(
        (buffer.len(), buffer.capacity(), buffer.room()),
        (0, 100, 100)
    );
    buffer.space(30).put_bytes(1, 30);
    assert_eq!(buffer.extend_from_slice(&[2; 1000]), 70);
    assert!(buffer.is_full() && !buffer.space(10).has_remaining_mut());
    assert_eq!(buffer.iter().filter(|&&byte| byte == 2).count(), 70);
    buffer.truncate(10);
    assert_eq!(buffer.room(), 90);
    buffer.clear();
    assert!(buffer.is_empty());
    drop(buffer);
    // The same memory, with nothing of the old bytes in it.
    assert!(budget.buffer(100).await.is_empty());
    assert_eq!(
        budget.buffer(usize::MAX).await.capacity(),
        1 << 20,
        "cut to the budget, or it would wait for ever"
    );
}

#[tokio::test(start_paused = true)]
async fn waiters_get_their_turn_in_order_and_leave_without_a_trace() {
    let budget = Budget::new(8 << 10);
    let held = budget.buffer(6 << 10).await;
    let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    // The large one comes first, and small ones that would fit do not overtake it.
    for (name, size) in [("large", 8 << 10), ("gone", 1 << 10), ("small", 1 << 10)] {
        let (budget, order) = (budget.clone(), order.clone());
        waiting.push(tokio::spawn(async move {
            let _buffer = budget.buffer(size).await;
            order.lock().unwrap().push(name);
        }));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(budget.try_buffer(1).is_none(), "nobody overtakes");
    assert!(order.lock().unwrap().is_empty());
    waiting.remove(1).abort();
    drop(held);
    for task in waiting {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["large", "small"]);
    assert_eq!((budget.in_use(), budget.peak()), (0, 8 << 10));
}
