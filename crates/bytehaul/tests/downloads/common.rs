//! What every test needs: a server, a directory, a downloader in a hurry, and looks at what is left on the disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytehaul::{DownloadError, DownloadHandle, DownloadSpec, Downloader, Outcome};
use bytehaul_testkit::{Behaviour, Object, Server, check_file};
use tempfile::TempDir;

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;

/// A server, a directory to download into, and a downloader.
pub(crate) struct Bed {
    pub(crate) server: Server,
    pub(crate) dir: TempDir,
    pub(crate) downloader: Downloader,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self {
            server: Server::spawn_thread(),
            dir: tempfile::tempdir().expect("a temporary directory"),
            downloader: downloader(),
        }
    }

    /// A bed whose server serves `object` at `/f`.
    pub(crate) fn serving(object: &Object) -> Self {
        let bed = Self::new();
        bed.server.serve("/f", object.clone());
        bed
    }

    /// A download of `/f` to the target.
    pub(crate) fn spec(&self) -> DownloadSpec {
        self.spec_of("/f")
    }

    /// A download of `path` to the target, with retries that do not wait long.
    pub(crate) fn spec_of(&self, path: &str) -> DownloadSpec {
        quick(&self.server.url(path)).output_path(self.target())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.path("file.bin")
    }

    pub(crate) fn part(&self) -> PathBuf {
        self.path("file.bin.bytehaul-part")
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.path("file.bin.bytehaul-control")
    }

    pub(crate) fn start(&self, spec: DownloadSpec) -> DownloadHandle {
        self.downloader.download(spec)
    }

    /// Downloads to the end, whatever it is; only hanging is a failure here.
    pub(crate) async fn fetch(&self, spec: DownloadSpec) -> Result<Outcome, DownloadError> {
        ended(&self.start(spec)).await
    }

    /// Downloads, and checks that exactly the bytes of `object` were published and nothing is left beside them.
    #[track_caller]
    pub(crate) fn completes(
        &self,
        spec: DownloadSpec,
        object: &Object,
    ) -> impl Future<Output = Outcome> {
        let caller = std::panic::Location::caller();
        let object = object.clone();
        async move {
            let outcome = match self.fetch(spec).await {
                Ok(outcome) => outcome,
                Err(error) => panic!("{caller}: {error:?}"),
            };
            assert_eq!(outcome.bytes, object.len(), "{caller}");
            self.is_published(&object);
            outcome
        }
    }

    /// Starts on a line of `rate` bytes a second in all, pauses when about `bytes` have come, and makes the line fast
    /// again: how many bytes are left for the next run, by the word of this one.
    pub(crate) async fn paused_at(&self, spec: DownloadSpec, bytes: u64, rate: u64) -> u64 {
        let mut rate = rate;
        loop {
            match self.try_to_pause(spec.clone(), bytes, rate).await {
                Some(left) => return left,
                // A busy machine noticed too late that enough had come.
                None => std::fs::remove_file(self.target()).expect("complete"),
            }
            rate /= 2;
        }
    }

    async fn try_to_pause(&self, spec: DownloadSpec, bytes: u64, rate: u64) -> Option<u64> {
        let url = url::Url::parse(&spec.url).expect("a URL of the server");
        let line = Behaviour::new().total_rate(rate);
        self.server.behave(url.path(), line);
        let before = self.server.bytes_sent();
        let handle = self.start(spec);
        let enough = || self.server.bytes_sent() >= before + bytes;
        eventually("enough bytes", || {
            enough() && handle.progress().received > 0
        })
        .await;
        handle.pause().await;
        self.server.behave(url.path(), Behaviour::new());
        match handle.wait().await {
            Ok(outcome) if outcome.resumed_from == 0 => return None,
            Err(DownloadError::Paused) => (),
            ended => panic!("{ended:?}"),
        }
        self.is_kept();
        let last = handle.progress();
        assert!(last.durable > 0, "nothing saved: {last:?}");
        Some(last.durable)
    }

    /// Nothing is fetched any more. An idle connection may stay for the next download.
    pub(crate) async fn falls_silent(&self) {
        let mut sent = self.server.bytes_sent();
        let mut since = Instant::now();
        eventually("silence", || {
            let now = self.server.bytes_sent();
            if std::mem::replace(&mut sent, now) != now {
                since = Instant::now();
            }
            since.elapsed() > Duration::from_millis(200)
        })
        .await;
    }

    #[track_caller]
    pub(crate) fn is_published(&self, object: &Object) {
        if let Err(mismatch) = check_file(self.target(), object) {
            panic!("{mismatch}");
        }
        assert_eq!(self.names(), ["file.bin"], "something is left beside it");
    }

    /// Nothing is published; what arrived is there for the next run.
    #[track_caller]
    pub(crate) fn is_kept(&self) {
        assert!(
            self.part().exists() && self.control().exists(),
            "{:?}",
            self.names()
        );
        assert!(!self.target().exists(), "published half a file");
    }

    /// What is in the directory, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.dir.path())
    }
}

/// A downloader that knows no system proxy, name server or delay.
pub(crate) fn downloader() -> Downloader {
    Downloader::builder()
        .proxy_from_env(false)
        .build()
        .expect("the defaults are fine")
}

/// Retries soon, splits from 1 MiB on, and takes 5 s of silence for a dead server.
pub(crate) fn quick(url: &str) -> DownloadSpec {
    DownloadSpec::new(url)
        .retry_base_delay(Duration::from_millis(10))
        .min_split_size(MIB)
        .read_timeout(Duration::from_secs(5))
}

/// How the download ended.
pub(crate) async fn ended(handle: &DownloadHandle) -> Result<Outcome, DownloadError> {
    match tokio::time::timeout(HANGS, handle.wait()).await {
        Ok(ended) => ended,
        Err(_) => panic!("hangs: {:?}", handle.progress()),
    }
}

/// Waits until so many bytes have arrived.
pub(crate) async fn received(handle: &DownloadHandle, bytes: u64) {
    until(handle, |progress| progress.received >= bytes).await;
}

/// Waits until a snapshot is as wanted.
pub(crate) async fn until(
    handle: &DownloadHandle,
    wanted: impl FnMut(&bytehaul::ProgressSnapshot) -> bool,
) {
    let mut progress = handle.progress_watch();
    let waited = tokio::time::timeout(HANGS, progress.wait_for(wanted)).await;
    match waited.map(|seen| seen.map(drop)) {
        Ok(Ok(_)) => (),
        Ok(Err(_)) => panic!("ended: {:?} {:?}", handle.progress(), handle.wait().await),
        Err(_) => panic!("hangs: {:?}", handle.progress()),
    }
}

/// Waits until something outside of the download is so.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + HANGS;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Something that must not take a second.
pub(crate) async fn at_once(what: impl Future<Output = ()>) {
    let began = Instant::now();
    what.await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "took {:?}",
        began.elapsed()
    );
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("the directory is there");
    let names: BTreeSet<_> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.into_iter().collect()
}

/// Far beyond what any test takes on a busy machine.
const HANGS: Duration = Duration::from_secs(25);
