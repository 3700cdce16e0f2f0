//! One call of a refresher: who waits for it shares the result, and who gives up takes nothing from the others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::refresh::{Refresh, RefreshRequest, Refreshed};

/// One call of the refresher, in a task of its own, so that a connection that is given up does not lose its result.
#[derive(Debug)]
pub(super) struct Flight {
    result: watch::Receiver<Option<Result<Refreshed, Failure>>>,
    task: AbortHandle,
}

pub(super) type Failure = Arc<dyn std::error::Error + Send + Sync>;

impl Flight {
    pub(super) fn start(
        refresher: Arc<dyn Refresh>,
        request: RefreshRequest,
        wait: Duration,
    ) -> Self {
        let (sender, result) = watch::channel(None);
        let task = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let refreshed = refresher.refresh(request).await;
            sender.send_replace(Some(refreshed.map_err(Failure::from)));
        });
        Self {
            result,
            task: task.abort_handle(),
        }
    }

    /// Resolves when there is a result, or nobody left to give one.
    pub(super) async fn landed(&self) {
        let _ = self.result.clone().wait_for(Option::is_some).await;
    }

    pub(super) fn result(&self) -> Option<Result<Refreshed, Failure>> {
        // Looked at first: whoever is gone has left the result before.
        let gone = self.result.has_changed().is_err();
        let result = self.result.borrow().clone();
        match result {
            None if gone => Some(Err(Arc::new(Panicked))),
            result => result,
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the refresher panicked")]
struct Panicked;
