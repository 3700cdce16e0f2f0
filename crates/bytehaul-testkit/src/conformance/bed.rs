//! One client and one endpoint, and the uploads that cases try with them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{
    Abilities, Client, Done, Endpoint, Failed, Job, Look, Place, Running, Source, Step, laws,
};
use crate::Object;
use crate::daemon::Scratch;
use crate::uploads::{Fault, Gate};

/// A client, an endpoint, and a directory for what they leave on disk.
pub struct Bed {
    pub(super) endpoint: Box<dyn Endpoint>,
    pub(super) client: Box<dyn Client>,
    scratch: Scratch,
    trials: AtomicU64,
}

impl Bed {
    /// A bed for cases.
    ///
    /// # Panics
    /// When no directory can be made.
    pub fn new(endpoint: impl Endpoint + 'static, client: impl Client + 'static) -> Self {
        Self {
            endpoint: Box::new(endpoint),
            client: Box::new(client),
            scratch: Scratch::new("conformance").expect("a directory for a test"),
            trials: AtomicU64::new(0),
        }
    }

    pub(super) fn abilities(&self) -> Abilities {
        self.endpoint.abilities()
    }

    pub(super) fn gate(&self) -> &Gate {
        self.endpoint.gate()
    }

    /// Says that a case is left out, and why.
    pub(super) fn skips(&self, case: &str, why: &str) {
        eprintln!("skipped: {} / {case}: {why}", self.endpoint.name());
    }

    /// An upload of a new file of this length to a new place. The gate is healed.
    pub(super) fn trial(&self, case: impl AsRef<str>, len: u64) -> Trial<'_> {
        self.gate().set([]);
        let number = self.trials.fetch_add(1, Ordering::Relaxed);
        let content = Object::random(number + 1, len).whole();
        let name = format!("object-{number:04}.bin");
        let directory = self.scratch.0.join(format!("trial-{number}"));
        fs::create_dir(&directory).expect("a directory for a trial");
        let path = directory.join(&name);
        fs::write(&path, &content).expect("a file for a trial");
        let abilities = self.abilities();
        let place = self.endpoint.place(&name, &content, abilities.part);
        Trial {
            bed: self,
            what: format!("{} / {}", self.endpoint.name(), case.as_ref()),
            job: Job {
                source: Source::File(path.clone()),
                name,
                part: abilities.part,
                parallel: abilities.parallel,
                checkpoints: Some(directory.join("checkpoints")),
                retries: 3,
                delay: Duration::from_millis(5),
                patience: Duration::from_secs(20),
                rate: 0,
                sha256: None,
                renewals: None,
            },
            content,
            place,
            path,
            since: AtomicUsize::new(self.gate().requests().len()),
        }
    }
}

impl fmt::Debug for Bed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bed")
            .field("endpoint", &self.endpoint.name())
            .finish_non_exhaustive()
    }
}

/// One upload that may be tried several times.
pub(super) struct Trial<'a> {
    pub(super) bed: &'a Bed,
    pub(super) what: String,
    pub(super) job: Job,
    pub(super) content: Vec<u8>,
    pub(super) place: Place,
    /// The file, also where the job has another source.
    pub(super) path: PathBuf,
    since: AtomicUsize,
}

impl Trial<'_> {
    pub(super) fn parts(&self) -> u64 {
        (self.content.len() as u64).div_ceil(self.job.part)
    }

    pub(super) fn of_bytes(mut self) -> Self {
        self.job.source = Source::Bytes(self.content.clone());
        self
    }

    /// Chunks of this size; without a checkpoint, since nobody can go on with a stream.
    pub(super) fn of_stream(mut self, chunk: usize) -> Self {
        self.job.source = Source::Stream {
            bytes: Arc::new(self.content.clone()),
            chunk,
            given: Arc::default(),
        };
        self
    }

    /// The directory of its checkpoint.
    pub(super) fn checkpoints(&self) -> &Path {
        let kept = self.job.checkpoints.as_deref();
        kept.expect("a trial keeps a checkpoint")
    }

    /// The source changes: the new bytes are the ones that an object has to have.
    pub(super) fn becomes(&mut self, content: Vec<u8>) {
        fs::write(&self.path, &content).expect("the file of a trial");
        self.place = self.bed.endpoint.changed(&self.place, &content);
        self.content = content;
    }

    /// The faults for requests of this kind; false where there are no such requests.
    pub(super) fn aims(&self, step: Step, faults: impl IntoIterator<Item = Fault>) -> bool {
        let parts = self.parts();
        let aimed = faults.into_iter();
        let aimed = aimed.map(|fault| self.bed.endpoint.aim(step, fault, parts));
        match aimed.collect::<Option<Vec<_>>>() {
            Some(aimed) => {
                self.bed.gate().set(aimed);
                true
            }
            None => false,
        }
    }

    pub(super) fn heals(&self) {
        self.bed.gate().set([]);
    }

    /// From here on requests and bytes are counted.
    pub(super) fn counts(&self) {
        let since = self.bed.gate().requests().len();
        self.since.store(since, Ordering::Relaxed);
    }

    pub(super) fn requests(&self) -> usize {
        self.bed.gate().requests().len() - self.since.load(Ordering::Relaxed)
    }

    /// Bytes of bodies that came since, without what is not of the source: at most this much of each request.
    pub(super) fn received(&self) -> u64 {
        let requests = self.bed.gate().requests();
        let since = self.since.load(Ordering::Relaxed);
        requests[since..].iter().map(|one| one.received).sum()
    }

    /// What bodies may have beside bytes of the source, in all requests since.
    pub(super) fn wrapping(&self) -> u64 {
        self.requests() as u64 * WRAPPING + self.parts() * LISTED
    }

    pub(super) fn object(&self, location: Option<&str>) -> Option<Vec<u8>> {
        self.bed.endpoint.object(&self.place, location)
    }

    /// There is no object of all the bytes, be they right or wrong.
    pub(super) fn has_no_object(&self) {
        let found = self.object(None).map(|bytes| bytes.len());
        assert_eq!(found, None, "{}: an object of so many bytes", self.what);
    }

    pub(super) fn start(&self) -> Run<'_> {
        let running = self.bed.client.start(&self.place, &self.job);
        let watched = Arc::clone(&running);
        let looks = tokio::spawn(async move {
            let mut looks = vec![watched.look()];
            while !looks.last().is_some_and(|look| look.state.is_end()) {
                tokio::time::sleep(LOOK_EVERY).await;
                let look = watched.look();
                if looks.last() != Some(&look) {
                    looks.push(look);
                }
            }
            // Nothing may follow the end.
            tokio::time::sleep(LOOK_EVERY).await;
            looks.push(watched.look());
            looks
        });
        Run {
            trial: self,
            running,
            looks,
        }
    }

    pub(super) async fn ends(&self) -> Result<Done, Failed> {
        self.start().ended().await
    }

    /// Runs it to an object that has every byte right.
    pub(super) async fn completes(&self) -> Done {
        let ended = self.ends().await;
        self.is_complete(ended)
    }

    pub(super) fn is_complete(&self, ended: Result<Done, Failed>) -> Done {
        let done = ended.unwrap_or_else(|error| {
            let lines = self.lines();
            panic!(
                "{}: code {}: {}\n{lines}",
                self.what, error.code, error.text
            )
        });
        assert_eq!(done.bytes, self.content.len() as u64, "{}", self.what);
        let found = self.object(done.location.as_deref());
        let found = found.unwrap_or_else(|| {
            let lines = self.lines();
            panic!("{}: complete, and there is no object\n{lines}", self.what)
        });
        self.is_content(&found);
        done
    }

    pub(super) fn is_content(&self, found: &[u8]) {
        let differs = found.iter().zip(&self.content).position(|(a, b)| a != b);
        assert!(
            differs.is_none() && found.len() == self.content.len(),
            "{}: the object has {} bytes of {}, and differs at {differs:?}\n{}",
            self.what,
            found.len(),
            self.content.len(),
            self.lines()
        );
    }

    /// Runs it to an error of one of these codes.
    pub(super) async fn fails(&self, codes: &[u16]) -> Failed {
        let ended = self.ends().await;
        self.has_failed(ended, codes)
    }

    pub(super) fn has_failed(&self, ended: Result<Done, Failed>, codes: &[u16]) -> Failed {
        match ended {
            Err(error) if codes.contains(&error.code) => error,
            other => {
                let lines = self.lines();
                panic!("{}: {other:?}, not one of {codes:?}\n{lines}", self.what)
            }
        }
    }

    /// The requests so far, for panics.
    pub(super) fn lines(&self) -> String {
        let requests = self.bed.gate().requests();
        let lines = requests[self.place.since..]
            .iter()
            .map(|one| format!("  {one} {} bytes, {}", one.received, one.answered));
        let lines: Vec<_> = lines.collect();
        let hidden = lines.len().saturating_sub(60);
        lines[hidden..].join("\n")
    }
}

/// An upload that runs, and is watched.
pub(super) struct Run<'a> {
    trial: &'a Trial<'a>,
    pub(super) running: Arc<dyn Running>,
    looks: JoinHandle<Vec<Look>>,
}

impl Run<'_> {
    /// Waits for the end, and checks everything that was seen on the way.
    pub(super) async fn ended(self) -> Result<Done, Failed> {
        let Self {
            trial,
            running,
            looks,
        } = self;
        let what = &trial.what;
        let ended = tokio::time::timeout(PATIENCE, running.wait()).await;
        let ended = ended
            .unwrap_or_else(|_| panic!("{what}: no end: {:?}\n{}", running.look(), trial.lines()));
        assert_eq!(running.wait().await, ended, "{what}: two ends");
        let looks = looks.await.expect("looking does not panic");
        laws::check(what, &looks, &ended);
        ended
    }

    /// Waits until it has come so far, or has ended.
    pub(super) async fn until(&self, is_time: impl Fn(Look) -> bool) -> Look {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let look = self.running.look();
                if is_time(look) || look.state.is_end() {
                    return look;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let look = self.running.look();
        waited.await.unwrap_or_else(|_| {
            panic!(
                "{}: it stays at {look:?}\n{}",
                self.trial.what,
                self.trial.lines()
            )
        })
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(40);

/// Bytes of a body that are not of the source, at most.
const WRAPPING: u64 = 1500;

/// The same for each part that a commit lists.
const LISTED: u64 = 300;
