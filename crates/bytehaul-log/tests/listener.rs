//! The listener beside `tracing`: what it hears, what it does not, and what it cannot break.
//!
//! One test, since there is one listener in a process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytehaul_log::{LogLevel, LogRecord, set_debug_log_listener};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

type Heard = Arc<Mutex<Vec<LogRecord>>>;

fn listen() -> Heard {
    let heard = Heard::default();
    let to = Arc::clone(&heard);
    set_debug_log_listener(Some(Arc::new(move |record: &LogRecord| {
        to.lock().expect("no panic").push(record.clone());
    })));
    heard
}

fn take(heard: &Heard) -> Vec<LogRecord> {
    std::mem::take(&mut heard.lock().expect("no panic"))
}

/// An application's own subscriber, which counts, and wants nothing below a warning.
struct Own(Arc<AtomicUsize>);

impl Subscriber for Own {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(7)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_listener_hears_ours_beside_tracing() {
    let evaluated = AtomicUsize::new(0);
    let count = || evaluated.fetch_add(1, Ordering::SeqCst);
    bytehaul_log::warn!(target: "bytehaul::test", n = count(), "nobody listens");
    assert_eq!(evaluated.load(Ordering::SeqCst), 0);

    let heard = listen();
    let error = std::io::Error::other("no luck");
    bytehaul_log::debug!(target: "bytehaul::test", url = %"http://h/", at = ?(1, 2), n = 3, error = &error as &dyn std::error::Error, "asking {}", "again");
    bytehaul_log::trace!(target: "other", "not ours");
    let [record] = &take(&heard)[..] else {
        panic!("one event")
    };
    assert_eq!(
        (record.level, record.target, record.message.as_str()),
        (LogLevel::Debug, "bytehaul::test", "asking again")
    );
    let fields: Vec<_> = record
        .fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        fields.join(" "),
        "url=http://h/ at=(1, 2) n=3 error=no luck"
    );

    with_a_subscriber_of_the_application(&heard);
    a_listener_may_log_and_panic();

    // Replaced, and cleared.
    let second = listen();
    bytehaul_log::info!(target: "bytehaul::test", "two");
    assert_eq!((take(&heard).len(), take(&second).len()), (0, 1));
    set_debug_log_listener(None);
    bytehaul_log::error!(target: "bytehaul::test", "three");
    assert_eq!(take(&second).len(), 0);
    let third = listen();
    for _ in 0..2 {
        bytehaul_log::info!(target: "bytehaul::test", "four");
    }
    assert_eq!(take(&third).len(), 2, "set again after it was cleared");
    set_debug_log_listener(None);
    // What it cost is gone: no subscriber is left that wants anything.
    assert_eq!(
        tracing::level_filters::LevelFilter::current(),
        tracing::level_filters::LevelFilter::OFF
    );
}

fn with_a_subscriber_of_the_application(heard: &Heard) {
    let counted = Arc::new(AtomicUsize::new(0));
    tracing::subscriber::with_default(Own(Arc::clone(&counted)), || {
        bytehaul_log::warn!(target: "bytehaul::test", "for both");
        bytehaul_log::trace!(target: "bytehaul::test", "for the listener");
        tracing::warn!(target: "bytehaul::test", "not through us");
        tracing::warn!("the application's");
    });
    assert_eq!(
        counted.load(Ordering::SeqCst),
        3,
        "nothing is stolen, nothing comes twice"
    );
    let messages: Vec<_> = take(heard)
        .into_iter()
        .map(|record| record.message)
        .collect();
    assert_eq!(messages, ["for both", "for the listener"]);
}

fn a_listener_may_log_and_panic() {
    let calls = Arc::new(AtomicUsize::new(0));
    let own = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    set_debug_log_listener(Some(Arc::new(move |_: &LogRecord| {
        counted.fetch_add(1, Ordering::SeqCst);
        bytehaul_log::warn!(target: "bytehaul::test", "from within");
        tracing::warn!("the application's, from within");
        panic!("on purpose");
    })));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    tracing::subscriber::with_default(Own(Arc::clone(&own)), || {
        bytehaul_log::warn!(target: "bytehaul::test", "one");
        bytehaul_log::warn!(target: "bytehaul::test", "two");
    });
    std::panic::set_hook(hook);
    assert_eq!(
        calls.load(Ordering::SeqCst),
        2,
        "once for each, never for its own"
    );
    assert_eq!(
        own.load(Ordering::SeqCst),
        6,
        "what it logs reaches the application"
    );
}
