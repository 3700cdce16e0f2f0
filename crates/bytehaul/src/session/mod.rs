//! The life of one download: runs its parts, listens for the caller's wish to stop, reports, and isolates panics.

mod carry;
mod compared;
mod declared;
mod description;
mod finish;
pub(crate) mod given;
mod intake;
pub(crate) mod job;
mod lease;
mod mirrored;
mod open;
mod overlap;
mod pieces;
mod place;
mod probe;
mod prove;
mod ranged;
mod recheck;
pub(crate) mod renewal;
mod roster;
mod sequential;
mod sink;
mod source;
mod spot;
pub(crate) mod stats;
mod stream;
mod transfer;
pub(crate) mod trouble;
mod visit;
mod worker;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytehaul_storage::Writer;
use bytehaul_transport::SafeUrl;
use bytes::Bytes;
use tokio::sync::{RwLock, mpsc, watch};
use tokio::task::JoinError;

use crate::control::{Control, Stop};
use crate::downloader::Shared;
use crate::error::DownloadError;
use crate::handle::DownloadHandle;
use crate::network::Access;
use crate::outcome::Outcome;
use crate::progress::{DownloadState, ProgressSnapshot};
use crate::session::job::Job;
use crate::session::stats::{Meter, Stats};
use crate::spec::DownloadSpec;
use crate::stream::{Declared, DownloadStream};

/// The session's ends of the channels that a handle holds.
pub(crate) type DownloadControl = Control<ProgressSnapshot, Result<Outcome, DownloadError>>;

/// Checks the fields of a spec.
pub(crate) fn check(spec: DownloadSpec) -> Result<(), DownloadError> {
    Job::new(spec).map(drop)
}

/// Starts a download to a file on the current runtime. It ends by itself, and tells `control` how.
pub(crate) fn spawn(shared: Arc<Shared>, spec: DownloadSpec, control: DownloadControl) {
    match prepare(&shared, spec) {
        Err(error) => control.refuse(error),
        Ok((job, access)) => supervise(job.safe_url.clone(), control, move |session, stop| {
            run(session, shared, access, job, stop)
        }),
    }
}

/// What a download to a reader tells its stream.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) chunks: mpsc::UnboundedSender<Bytes>,
    /// What all of them have to hash to; set before the first one, if ever.
    pub(crate) expected: Arc<OnceLock<Declared>>,
}

/// Starts a download to a reader.
pub(crate) fn spawn_stream(
    shared: Arc<Shared>,
    spec: DownloadSpec,
    handle: DownloadHandle,
    control: DownloadControl,
) -> DownloadStream {
    let (sender, chunks) = mpsc::unbounded_channel();
    let expected = Arc::new(OnceLock::new());
    match prepare(&shared, spec) {
        Err(error) => control.refuse(error),
        Ok((job, access)) => {
            let reader = Reader {
                chunks: sender,
                expected: Arc::clone(&expected),
            };
            supervise(job.safe_url.clone(), control, move |session, stop| {
                run_stream(session, shared, access, job, stop, reader)
            });
        }
    }
    DownloadStream::new(chunks, handle, expected)
}

/// All that may be wrong with the caller's wishes is found here, before anything is sent or opened.
fn prepare(shared: &Shared, spec: DownloadSpec) -> Result<(Job, Access), DownloadError> {
    let job = Job::new(spec)?;
    let access = shared.clients.of(&job.network)?;
    Ok((job, access))
}

/// Runs the work in a task of its own, so that a panic in it becomes this download's failure and nobody else's,
/// and reports on it until it ends.
fn supervise<F>(
    url: SafeUrl,
    control: DownloadControl,
    work: impl FnOnce(Arc<Session>, watch::Receiver<Stop>) -> F,
) where
    F: Future<Output = Result<Outcome, DownloadError>> + Send + 'static,
{
    let Control {
        stop,
        progress,
        result,
    } = control;
    let session = Arc::new(Session {
        stats: Arc::new(Stats::new(Instant::now())),
        active: Mutex::new(None),
        gate: Arc::default(),
    });
    let mut work = tokio::spawn(work(Arc::clone(&session), stop));
    tokio::spawn(async move {
        let mut meter = Meter::default();
        let mut ticks = tokio::time::interval(REPORT_EVERY);
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended,
                _ = ticks.tick() => session.report(&progress, &mut meter),
            }
        };
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => Err(keep(&session, panicked(&url, error)).await),
        };
        session.stats.set_state(match &ended {
            Ok(_) => DownloadState::Completed,
            Err(DownloadError::Paused) => DownloadState::Paused,
            Err(DownloadError::Cancelled) => DownloadState::Cancelled,
            Err(_) => DownloadState::Failed,
        });
        session.stats.set_connections(0);
        session.report(&progress, &mut meter);
        result.send_replace(Some(ended));
    });
}

/// What a running download shares with its reporter.
pub(crate) struct Session {
    stats: Arc<Stats>,
    /// The writer of the part file, once there is one: what a stop has to save.
    active: Mutex<Option<Writer>>,
    /// Held by blocking work on the target, so that a stop can wait for what it cannot interrupt.
    gate: Arc<RwLock<()>>,
}

impl Session {
    /// Runs blocking work on the target. When the caller stops waiting, what comes of it is dropped, and the gate
    /// opens only after that.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let guard = Arc::clone(&self.gate).read_owned().await;
        let (value, _guard) = blocking(move || (work(), guard)).await;
        value
    }

    fn set_active(&self, writer: Option<Writer>) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = writer;
    }

    fn active(&self) -> Option<Writer> {
        self.active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The sum of a download to a reader.
    fn outcome(&self, streamed: stream::Streamed, url: SafeUrl) -> Outcome {
        let stats = &self.stats;
        Outcome {
            path: PathBuf::new(),
            bytes: streamed.len,
            digest: None,
            verified: None,
            resumed_from: 0,
            fetched: stats.fetched.load(Relaxed),
            evidence: streamed.evidence,
            length_verified: streamed.length_verified,
            retries: stats.retries.load(Relaxed),
            restarts: 0,
            connections: stats.peak_connections.load(Relaxed),
            elapsed: stats.elapsed(Instant::now()),
            url,
            mirrors: Vec::new(),
        }
    }

    fn report(&self, progress: &watch::Sender<ProgressSnapshot>, meter: &mut Meter) {
        let now = Instant::now();
        let rate = meter.sample(now, self.stats.fetched.load(Relaxed));
        if let Some(writer) = self.active() {
            self.stats
                .durable
                .store(writer.status().borrow().durable, Relaxed);
        }
        progress.send_replace(self.stats.snapshot(now, rate));
    }
}

async fn run(
    session: Arc<Session>,
    shared: Arc<Shared>,
    access: Access,
    job: Job,
    stop: watch::Receiver<Stop>,
) -> Result<Outcome, DownloadError> {
    let transfer = transfer::Transfer::new(Arc::clone(&session), &shared, &access, job);
    // Dropping the transfer drops every request in flight; what has been handed to the writer is still saved.
    let arrived = tokio::select! {
        biased;
        why = stopped(stop) => Err(why),
        arrived = transfer.run() => arrived,
    };
    match arrived {
        // From here on the file is all there: finishing is not interrupted, or a stop could race the rename.
        Ok(arrived) => finish::finish(&session, transfer.job(), arrived).await,
        Err(error) => Err(keep(&session, error).await),
    }
}

async fn run_stream(
    session: Arc<Session>,
    shared: Arc<Shared>,
    access: Access,
    job: Job,
    stop: watch::Receiver<Stop>,
    reader: Reader,
) -> Result<Outcome, DownloadError> {
    let carrier = carry::Carrier::new(&shared, &access, job, Arc::clone(&session.stats));
    let gone = reader.chunks.clone();
    let streamed = tokio::select! {
        biased;
        why = stopped(stop) => return Err(why),
        () = gone.closed() => return Err(DownloadError::Cancelled),
        streamed = stream::stream(&session, &carrier, reader) => streamed?,
    };
    Ok(session.outcome(streamed, carrier.job.safe_url.clone()))
}

/// Resolves when the caller wishes an end.
async fn stopped(mut stop: watch::Receiver<Stop>) -> DownloadError {
    loop {
        let wish = *stop.borrow_and_update();
        match wish {
            Stop::Pause => return DownloadError::Paused,
            Stop::Cancel => return DownloadError::Cancelled,
            Stop::Run | Stop::Detached => (),
        }
        if stop.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Saves what has arrived, gives the target free, and returns the error that ended the transfer.
async fn keep(session: &Session, error: DownloadError) -> DownloadError {
    // Whatever still works on the target when the transfer was dropped: afterwards nothing holds it.
    let _idle = session.gate.write().await;
    let Some(writer) = session.active() else {
        return error;
    };
    session.stats.set_connections(0);
    session.set_active(None);
    let closed = writer.close().await;
    // What the next run will find, rather than what was last counted.
    session
        .stats
        .received
        .store(total(&writer.written()), Relaxed);
    session
        .stats
        .durable
        .store(total(&writer.durable()), Relaxed);
    match closed {
        Ok(()) => error,
        // A stop that was asked for but could not save is no clean stop.
        Err(failed) if matches!(error, DownloadError::Paused | DownloadError::Cancelled) => {
            failed.into()
        }
        Err(failed) => {
            bytehaul_log::warn!(error = %failed, "what has arrived could not be recorded");
            error
        }
    }
}

fn total(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// The failure that a panic becomes.
pub(crate) fn panicked(url: &SafeUrl, error: JoinError) -> DownloadError {
    let what = match error.try_into_panic() {
        Ok(panic) => match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (None, Some(text)) => text.clone(),
            (None, None) => "a panic".to_owned(),
        },
        Err(_) => "the runtime is shutting down".to_owned(),
    };
    DownloadError::Internal {
        url: url.clone(),
        what,
    }
}

const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Runs blocking work on the runtime's blocking threads. A panic in it goes on in the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// A URL as text that may be shown, whether it can be parsed or not.
pub(crate) fn shown(text: &str) -> String {
    let text = text.trim();
    match url::Url::parse(text) {
        Ok(url) if url.has_host() => SafeUrl::from(&url).to_string(),
        // What cannot be parsed may hold a secret anywhere: before the last `@`, and after a `?` or `#`.
        Ok(_) | Err(_) => {
            let (start, rest) = text
                .split_once("://")
                .filter(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
                .map_or(("", text), |(scheme, _)| text.split_at(scheme.len() + 3));
            // A password may hold a `?` or a `#` that should have been encoded, so the `@` comes first.
            let (hidden, rest) = rest
                .rsplit_once('@')
                .map_or(("", rest), |(_, rest)| ("***@", rest));
            let open = rest.split(['?', '#']).next().unwrap_or_default();
            let cut = if open.len() < rest.len() { "…" } else { "" };
            format!("{start}{hidden}{open}{cut}")
                .chars()
                .take(MOST_SHOWN)
                .collect()
        }
    }
}

/// Enough to recognise a URL by.
const MOST_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_url_gives_nothing_away() {
        for (text, expected) in [
            ("not a url", "not a url"),
            ("http://user:hunter2@[::", "http://***@[::"),
            ("http://us@er:hunter2@:x/?sig=abc", "http://***@:x/…"),
            ("user:hunter2@host", "***@host"),
            ("http://[::?token=x", "http://[::…"),
            ("http://user:hunter2#1@host/?sig=abc", "http://***@host/…"),
            ("http://user:hunter2?1@host/", "http://***@host/"),
            ("host/?token=hunter2&to=http://x", "host/…"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }
}
