//! What every test needs: a server, a directory, a manager, and everything that it has told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytehaul::{
    DownloadSpec, EventKind, EventStream, Network, TaskId, TaskState, TransferError, TransferEvent,
    TransferManager, TransferManagerBuilder, TransferOutcome,
};
use bytehaul_testkit::{Behaviour, Effect, Object, Server, check_file};
use tempfile::TempDir;

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;

pub(crate) struct Bed {
    pub(crate) server: Server,
    pub(crate) dir: TempDir,
    pub(crate) transfers: TransferManager,
    pub(crate) events: EventStream,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(
        change: impl FnOnce(TransferManagerBuilder) -> TransferManagerBuilder,
    ) -> Self {
        let transfers = manager(change);
        Self {
            server: Server::spawn_thread(),
            dir: tempfile::tempdir().expect("a temporary directory"),
            events: transfers.events(),
            transfers,
        }
    }

    /// A download of a small object.
    pub(crate) fn small(&self, name: &str) -> DownloadSpec {
        self.serving(name, small(name))
    }

    /// A download of which no byte ever comes.
    pub(crate) fn hanging(&self, name: &str) -> DownloadSpec {
        let silent = Behaviour::new().always(Effect::Hang);
        self.serving(name, Object::random(1, KIB).behaviour(silent))
    }

    /// A download of 4 MiB that takes seconds.
    pub(crate) fn slow(&self, name: &str) -> DownloadSpec {
        let slow = Behaviour::new().total_rate(2 * MIB);
        self.serving(name, large(name).behaviour(slow))
    }

    /// A download that fails at once.
    pub(crate) fn missing(&self, name: &str) -> DownloadSpec {
        self.spec(name)
    }

    fn serving(&self, name: &str, object: Object) -> DownloadSpec {
        self.server.serve(format!("/{name}"), object);
        self.spec(name)
    }

    pub(crate) fn spec(&self, name: &str) -> DownloadSpec {
        DownloadSpec::new(self.server.url(&format!("/{name}")))
            .output_path(self.path(name))
            .retry_base_delay(Duration::from_millis(10))
            .read_timeout(Duration::from_secs(60))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes the line of a slow or silent download fast.
    pub(crate) fn hurry(&self, name: &str) {
        self.server.behave(&format!("/{name}"), Behaviour::new());
    }

    pub(crate) fn is_there(&self, name: &str, object: &Object) {
        if let Err(mismatch) = check_file(self.path(name), object) {
            panic!("{name}: {mismatch}");
        }
    }

    pub(crate) fn state(&self, id: TaskId) -> TaskState {
        self.transfers.handle(id).expect("it is known").state()
    }

    /// Waits until so many bytes of a running task are there.
    pub(crate) async fn received(&self, id: TaskId, bytes: u64) {
        eventually("bytes", || {
            let snapshot = self.transfers.snapshot();
            let lines = [snapshot.downloads, snapshot.uploads];
            let mut active = lines.iter().flat_map(|line| &line.active);
            active.any(|task| task.id == id && task.progress.done >= bytes)
        })
        .await;
    }

    pub(crate) async fn wait(&self, id: TaskId) -> Result<TransferOutcome, TransferError> {
        soon(self.transfers.wait(id)).await
    }

    /// Closes the manager; everything that was told of it, to the end.
    pub(crate) async fn told(&mut self) -> Vec<Arc<TransferEvent>> {
        match soon(self.transfers.close()).await {
            Ok(()) | Err(TransferError::Closed) => (),
            Err(error) => panic!("{error:?}"),
        }
        let mut told = Vec::new();
        while let Some(event) = soon(self.events.next()).await {
            told.push(event);
        }
        told
    }
}

pub(crate) fn manager(
    change: impl FnOnce(TransferManagerBuilder) -> TransferManagerBuilder,
) -> TransferManager {
    let network = Network::default().proxy_from_env(false);
    let builder = TransferManager::builder().network(network);
    change(builder).build().expect("the settings are fine")
}

pub(crate) fn small(name: &str) -> Object {
    Object::random(name.len() as u64, 64 * KIB)
}

pub(crate) fn large(name: &str) -> Object {
    Object::random(name.len() as u64, 4 * MIB)
}

/// The states that were told of a task, such as `pending transmission complete`.
pub(crate) fn states(told: &[Arc<TransferEvent>], id: TaskId) -> String {
    let states = told.iter().filter(|event| event.id == id);
    let states = states.filter_map(|event| event.kind.state());
    let states: Vec<_> = states.map(|state| state.to_string()).collect();
    states.join(" ")
}

/// The last event of each task is its only terminal one, if it has one, and no state follows another that it must not.
#[track_caller]
pub(crate) fn is_lawful(told: &[Arc<TransferEvent>]) {
    let ids: std::collections::BTreeSet<_> = told.iter().map(|event| event.id).collect();
    for id in ids {
        let of_task: Vec<_> = told.iter().filter(|event| event.id == id).collect();
        let (_, before) = of_task.split_last().expect("one at least");
        let early = before.iter().find(|event| event.kind.is_terminal());
        assert!(early.is_none(), "after its end: {of_task:?}");
        let states: Vec<_> = of_task.iter().filter_map(|e| e.kind.state()).collect();
        assert!(states[0].is_initial(), "{states:?}");
        let lawful = states.windows(2).all(|two| two[0].may_become(two[1]));
        assert!(lawful, "{states:?}");
    }
    assert!(told.is_sorted_by(|a, b| a.seq < b.seq));
}

/// The terminal event says what waiting for the task gives.
#[track_caller]
pub(crate) fn is_told(
    told: &[Arc<TransferEvent>],
    id: TaskId,
    ended: &Result<TransferOutcome, TransferError>,
) {
    let expected = match ended {
        Ok(outcome) => EventKind::Completed(outcome.completion()),
        Err(TransferError::Canceled) => EventKind::Canceled,
        Err(error) => EventKind::Failed(error.failure()),
    };
    let last = told.iter().rfind(|event| event.id == id);
    assert_eq!(last.map(|event| &event.kind), Some(&expected));
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, TransferError>) -> u16 {
    result.expect_err("refused").code()
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + HANGS;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Something that must come to an end.
#[track_caller]
pub(crate) fn soon<T>(what: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(HANGS, what).await {
            Ok(value) => value,
            Err(_) => panic!("hangs: {caller}"),
        }
    }
}

/// Far beyond what any test takes on a busy machine.
const HANGS: Duration = Duration::from_secs(25);
