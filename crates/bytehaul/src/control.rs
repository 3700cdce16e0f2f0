//! The two ends between a handle and the task that it watches: wishes to stop one way, progress and the result the other.

use tokio::sync::watch;

/// What the caller has asked for; the strongest wish wins and is never taken back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Stop {
    Run,
    Pause,
    Cancel,
    /// All handles are gone on purpose: run to the end.
    Detached,
}

/// The handle's end. Dropping it asks for a pause, unless it was detached.
pub(crate) struct Wishes<P, R> {
    stop: watch::Sender<Stop>,
    progress: watch::Receiver<P>,
    result: watch::Receiver<Option<R>>,
}

/// The task's end.
pub(crate) struct Control<P, R> {
    pub(crate) stop: watch::Receiver<Stop>,
    pub(crate) progress: watch::Sender<P>,
    pub(crate) result: watch::Sender<Option<R>>,
}

/// Both ends.
pub(crate) fn channels<P: Default, R>() -> (Wishes<P, R>, Control<P, R>) {
    let (stop, stop_rx) = watch::channel(Stop::Run);
    let (progress_tx, progress) = watch::channel(P::default());
    let (result_tx, result) = watch::channel(None);
    let wishes = Wishes {
        stop,
        progress,
        result,
    };
    let control = Control {
        stop: stop_rx,
        progress: progress_tx,
        result: result_tx,
    };
    (wishes, control)
}

impl<P: Clone, R: Clone> Wishes<P, R> {
    pub(crate) fn progress(&self) -> P {
        self.progress.borrow().clone()
    }

    pub(crate) fn progress_watch(&self) -> watch::Receiver<P> {
        self.progress.clone()
    }

    /// Makes the wish known at once.
    pub(crate) fn ask(&self, wish: Stop) {
        self.stop.send_if_modified(|stop| {
            let stronger = *stop < wish || *stop == Stop::Detached;
            if stronger {
                *stop = wish;
            }
            stronger
        });
    }

    /// Lets the task run to its end without a handle.
    pub(crate) fn detach(&self) {
        self.replace_run(Stop::Detached);
    }

    /// The result; `None` when the task is gone without one. Cancel-safe.
    pub(crate) async fn ended(&self) -> Option<R> {
        let mut result = self.result.clone();
        let ended = result.wait_for(Option::is_some).await;
        ended.ok().and_then(|value| value.clone())
    }

    /// The task is gone, and with it whatever it still had to do after its result. Cancel-safe.
    pub(crate) async fn gone(&self) {
        let mut result = self.result.clone();
        while result.changed().await.is_ok() {}
    }
}

impl<P, R> Wishes<P, R> {
    fn replace_run(&self, by: Stop) {
        self.stop.send_if_modified(|stop| {
            let run = *stop == Stop::Run;
            if run {
                *stop = by;
            }
            run
        });
    }
}

impl<P, R> Drop for Wishes<P, R> {
    fn drop(&mut self) {
        self.replace_run(Stop::Pause);
    }
}
