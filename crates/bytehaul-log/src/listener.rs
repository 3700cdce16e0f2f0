//! The one listener of the process: how an event comes to it beside `tracing`, and what it can do no harm with.
//!
//! An event is emitted twice: to whatever subscriber the application has, and then, for as long as that one event takes, to a
//! subscriber of this crate on the same thread. The latter only writes it down. The listener is called after that, when
//! nothing of `tracing` is under way any more, so that it may log itself.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};

use crate::record::LogRecord;

/// What is called with each record.
pub type DebugLogListener = Arc<dyn Fn(&LogRecord) + Send + Sync>;

/// Sets, replaces or, with `None`, clears the process's listener for everything that bytehaul logs, of every level.
///
/// Takes effect with the next event, also of downloads that are running; an event that is being logged on another thread
/// may still come to the old one. The listener is called on the thread that logs, so it should be quick. When it panics,
/// that is caught and the download goes on. What is logged while it runs, on its thread, does not come to it.
pub fn set_debug_log_listener(listener: Option<DebugLogListener>) {
    let installed = listener.map(|listener| Installed {
        listener,
        dispatch: Dispatch::new(Scribe),
        _second: Dispatch::new(Scribe),
    });
    LISTENING.store(installed.is_some(), Ordering::Relaxed);
    let old = std::mem::replace(
        &mut *INSTALLED.write().unwrap_or_else(PoisonError::into_inner),
        installed,
    );
    if old.is_some() {
        drop(old);
        // Levels that only the old one wanted are no longer made.
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Whether there is a listener: what decides if an event is made a second time.
pub fn is_listening() -> bool {
    LISTENING.load(Ordering::Relaxed)
}

/// Emits an event for the listener alone, and calls it.
pub fn tee(emit: impl FnOnce()) {
    let installed = INSTALLED
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let Some(Installed {
        listener, dispatch, ..
    }) = installed
    else {
        return;
    };
    // Threads that are ending have no place to write it down any more.
    let is_outermost = CALLING.try_with(|calling| !calling.replace(true));
    if is_outermost != Ok(true) {
        return;
    }
    let _done = Done;
    tracing::dispatcher::with_default(&dispatch, emit);
    let record = WRITTEN.try_with(|written| written.borrow_mut().take());
    if let Ok(Some(record)) = record {
        // A listener that panics is its application's matter; the panic hook has told of it.
        let _ = catch_unwind(AssertUnwindSafe(|| listener(&record)));
    }
}

#[derive(Clone)]
struct Installed {
    listener: DebugLogListener,
    dispatch: Dispatch,
    /// While `tracing` knows of one subscriber only, it asks the thread's default alone whether anybody wants an event,
    /// and remembers the answer; of two, it asks both. This one is never anybody's default.
    _second: Dispatch,
}

/// Lets the next event of this thread through, however this one ended.
struct Done;

impl Drop for Done {
    fn drop(&mut self) {
        let _ = CALLING.try_with(|calling| calling.set(false));
    }
}

/// Writes down the one event that is emitted while it is this thread's subscriber.
struct Scribe;

impl Subscriber for Scribe {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_ours(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata)
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let record = LogRecord::of(event, SystemTime::now());
        let _ = WRITTEN.try_with(|written| *written.borrow_mut() = Some(record));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.target().starts_with("bytehaul")
}

static LISTENING: AtomicBool = AtomicBool::new(false);
static INSTALLED: RwLock<Option<Installed>> = RwLock::new(None);

thread_local! {
    static CALLING: Cell<bool> = const { Cell::new(false) };
    static WRITTEN: RefCell<Option<LogRecord>> = const { RefCell::new(None) };
}
