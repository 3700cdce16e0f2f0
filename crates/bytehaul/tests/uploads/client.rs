//! bytehaul as a client of the conformance suite: jobs become specs, and what comes of them goes back.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytehaul::protocol::UploadProtocol;
use bytehaul::{
    CheckpointPlace, Checksum, Durability, Refreshed, UploadHandle, UploadReader, UploadSource,
    UploadSpec, UploadState, Uploader, refresh_fn,
};
use bytehaul_integrity::{Algorithm, Hasher};
use bytehaul_testkit::conformance::{
    Client, Done, Failed, Job, Look, Pending, Place, Running, Source, State,
};
use tokio::io::{AsyncRead, ReadBuf};

use crate::speech::Speech;

/// An uploader that speaks one protocol. The same address has the same protocol value, however many uploads go there.
pub(crate) struct Haul {
    speech: Speech,
    uploader: Uploader,
    protocols: Mutex<HashMap<String, Arc<dyn UploadProtocol>>>,
}

impl Haul {
    pub(crate) fn new(speech: Speech) -> Self {
        Self {
            speech,
            uploader: Uploader::builder().proxy_from_env(false).build().unwrap(),
            protocols: Mutex::default(),
        }
    }

    fn protocol(&self, place: &Place, job: &Job) -> Arc<dyn UploadProtocol> {
        if job.renewals.is_some() {
            return self.speech.protocol(&place.address, job.renewals.clone());
        }
        let mut known = self.protocols.lock().unwrap();
        let made = || self.speech.protocol(&place.address, None);
        Arc::clone(known.entry(place.address.clone()).or_insert_with(made))
    }
}

impl Client for Haul {
    fn start(&self, place: &Place, job: &Job) -> Arc<dyn Running> {
        let spec = spec(self.protocol(place, job), job);
        Arc::new(Hauled(self.uploader.upload(spec)))
    }

    fn command(&self, place: &Place, job: &Job) -> Command {
        let Source::File(path) = &job.source else {
            panic!("only files outlive a process");
        };
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args([
                "--exact",
                "client::the_process_that_is_killed",
                "--nocapture",
            ])
            .env(SPEECH, self.speech.name())
            .env(ADDRESS, &place.address)
            .env(FILE, path)
            .env(
                CHECKPOINTS,
                job.checkpoints.as_ref().expect("a place for it"),
            )
            .env(PART, job.part.to_string())
            .env(PARALLEL, job.parallel.to_string());
        command
    }

    fn sha256(&self, content: &[u8]) -> String {
        Hasher::digest(Algorithm::Sha256, content).hex()
    }
}

/// Lowercase hex MD5.
pub(crate) fn md5(content: &[u8]) -> String {
    Hasher::digest(Algorithm::Md5, content).hex()
}

fn spec(protocol: Arc<dyn UploadProtocol>, job: &Job) -> UploadSpec {
    let source = match &job.source {
        Source::File(path) => UploadSource::File(path.clone()),
        Source::Bytes(bytes) => UploadSource::Bytes(bytes.clone().into()),
        Source::Stream {
            bytes,
            chunk,
            given,
        } => {
            let chunks = Chunks {
                bytes: Arc::clone(bytes),
                chunk: *chunk,
                given: Arc::clone(given),
            };
            UploadSource::Reader(UploadReader::new(chunks))
        }
    };
    let mut spec = UploadSpec::new(source, protocol)
        .name(&*job.name)
        .content_type("application/octet-stream")
        .part_size(job.part)
        .max_connections(job.parallel)
        .max_retries(job.retries)
        .max_begin_retries(job.retries)
        .retry_base_delay(job.delay)
        .read_timeout(job.patience)
        .max_upload_speed(job.rate)
        // The kill of a process is no power cut, and hundreds of uploads wait for no disk.
        .durability(Durability::Kill);
    if let (Some(directory), false) = (
        &job.checkpoints,
        matches!(job.source, Source::Stream { .. }),
    ) {
        spec = spec.checkpoints(CheckpointPlace::Directory(directory.clone()));
    }
    if let Some(hex) = &job.sha256 {
        spec = spec.checksum(Checksum::Sha256(hex.clone()));
    }
    if let Some(renewals) = &job.renewals
        && spec.protocol.endpoint().is_some()
    {
        let renewals = Arc::clone(renewals);
        spec = spec.refresher(refresh_fn(move |_| {
            let count = renewals.fetch_add(1, Relaxed) + 1;
            async move { Ok(Refreshed::new().header("X-Renewed", count.to_string())) }
        }));
    }
    spec
}

/// A stream that gives its bytes in chunks of one size, and counts them.
struct Chunks {
    bytes: Arc<Vec<u8>>,
    chunk: usize,
    given: Arc<AtomicU64>,
}

impl AsyncRead for Chunks {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let at = self.given.load(Relaxed) as usize;
        let size = self.chunk.min(into.remaining()).min(self.bytes.len() - at);
        into.put_slice(&self.bytes[at..at + size]);
        self.given.fetch_add(size as u64, Relaxed);
        Poll::Ready(Ok(()))
    }
}

struct Hauled(UploadHandle);

impl Hauled {
    fn session(&self) -> Option<String> {
        let session = self.0.checkpoint()?.session.session?;
        Some(session.as_str().to_owned())
    }
}

impl Running for Hauled {
    fn look(&self) -> Look {
        let progress = self.0.progress();
        Look {
            state: match progress.state {
                UploadState::Pending => State::Pending,
                UploadState::Preparing => State::Preparing,
                UploadState::Sending => State::Sending,
                UploadState::Committing => State::Committing,
                UploadState::Completed => State::Completed,
                UploadState::Paused => State::Paused,
                UploadState::Cancelled => State::Cancelled,
                UploadState::Failed => State::Failed,
                other => panic!("a state that the suite does not know: {other:?}"),
            },
            total: progress.total,
            sent: progress.sent,
            acknowledged: progress.acknowledged,
            durable: progress.durable,
        }
    }

    fn wait(&self) -> Pending<'_, Result<Done, Failed>> {
        Box::pin(async {
            match self.0.wait().await {
                Ok(outcome) => Ok(Done {
                    bytes: outcome.bytes,
                    resumed_from: outcome.resumed_from,
                    // A protocol of one's own tells the session alone.
                    location: outcome.location.or_else(|| self.session()),
                }),
                Err(error) => Err(Failed {
                    code: error.code(),
                    text: format!("{error}: {error:?}"),
                }),
            }
        })
    }

    fn pause(&self) -> Pending<'_, ()> {
        Box::pin(async { self.0.pause().await })
    }

    fn cancel(&self) -> Pending<'_, ()> {
        Box::pin(async { self.0.cancel().await })
    }
}

/// What the killed process does: this test's own program, run again with these variables. Without them, nothing but to
/// check that the name by which it is run is this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_is_killed() {
    let Ok(speech) = std::env::var(SPEECH) else {
        assert!(module_path!().ends_with("client"), "{}", module_path!());
        return;
    };
    let told = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let path = PathBuf::from(told(FILE));
    let job = Job {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        source: Source::File(path),
        part: told(PART).parse().unwrap(),
        parallel: told(PARALLEL).parse().unwrap(),
        checkpoints: Some(told(CHECKPOINTS).into()),
        retries: 3,
        delay: Duration::from_millis(5),
        patience: Duration::from_secs(20),
        rate: 0,
        sha256: None,
        renewals: None,
    };
    let place = Place {
        address: told(ADDRESS),
        key: String::new(),
        len: 0,
        since: 0,
    };
    let haul = Haul::new(Speech::named(&speech));
    let ended = haul.start(&place, &job).wait().await;
    ended.expect("completes when nobody kills it");
}

const SPEECH: &str = "BYTEHAUL_TEST_SPEECH";
const ADDRESS: &str = "BYTEHAUL_TEST_ADDRESS";
const FILE: &str = "BYTEHAUL_TEST_FILE";
const CHECKPOINTS: &str = "BYTEHAUL_TEST_CHECKPOINTS";
const PART: &str = "BYTEHAUL_TEST_PART";
const PARALLEL: &str = "BYTEHAUL_TEST_PARALLEL";
