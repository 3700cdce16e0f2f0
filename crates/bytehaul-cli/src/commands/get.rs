//! `get`: keeps some downloads running, shows them, and stops them when a signal asks for it.

use std::collections::BTreeMap;

use bytehaul::{DownloadError, DownloadHandle, Downloader, MirrorState, Outcome};
use tokio::task::JoinSet;

use crate::commands::{stream, tick, ticks, written};
use crate::exit::Exit;
use crate::failure::{self, Failure};
use crate::job::{Destination, Job, Plan, short_name};
use crate::output::{File, Kept, Output, to_stderr};
use crate::signals::Signals;

/// Carries out a plan.
pub(crate) async fn run(plan: Plan, output: Output, mut signals: Signals) -> Exit {
    let downloader = match plan.downloader.build() {
        Ok(downloader) => downloader,
        Err(error) => {
            to_stderr(format_args!("bytehaul: {}", failure::chain(&error)));
            return error.kind().into();
        }
    };
    let mut run = Run::new(downloader, plan.jobs, output);
    match plan.destination {
        Destination::Stdout => {
            stream::run(
                &run.downloader,
                run.jobs.remove(0),
                run.output,
                &mut signals,
            )
            .await
        }
        Destination::Files => {
            run.files(plan.at_once, &mut signals).await;
            run.output.end();
            let exit = run.exit();
            match written(&mut run.output, &mut signals).await {
                Ok(()) => exit,
                // The interruption has been told of.
                Err(_) if exit == Exit::Interrupted => exit,
                Err(_) => {
                    to_stderr(
                        "bytehaul: interrupted: all files had ended, but nobody read the last events",
                    );
                    Exit::Interrupted
                }
            }
        }
    }
}

/// The files of one command, and how far they are. One task owns it.
struct Run {
    downloader: Downloader,
    jobs: Vec<Job>,
    /// Position of the next job to begin.
    next: usize,
    running: BTreeMap<usize, DownloadHandle>,
    ends: JoinSet<(usize, Result<Outcome, DownloadError>)>,
    failures: BTreeMap<usize, Exit>,
    output: Output,
}

impl Run {
    fn new(downloader: Downloader, jobs: Vec<Job>, output: Output) -> Self {
        Self {
            downloader,
            jobs,
            next: 0,
            running: BTreeMap::new(),
            ends: JoinSet::new(),
            failures: BTreeMap::new(),
            output,
        }
    }

    async fn files(&mut self, at_once: usize, signals: &mut Signals) {
        let mut ticks = self.output.period().map(ticks);
        loop {
            while self.running.len() < at_once && self.next < self.jobs.len() {
                self.begin();
            }
            tokio::select! {
                ended = self.ends.join_next() => match ended {
                    Some(ended) => self.ended(ended.expect("waiting for a download neither panics nor is aborted")),
                    None => return,
                },
                () = tick(&mut ticks) => self.show(),
                () = signals.asked() => return self.interrupt().await,
            }
        }
    }

    fn begin(&mut self) {
        let number = self.next;
        self.next += 1;
        let job = &self.jobs[number];
        self.output.started(File {
            number,
            url: &job.url,
        });
        let handle = self.downloader.download(job.spec.clone());
        self.running.insert(number, handle.clone());
        self.ends
            .spawn(async move { (number, handle.wait().await) });
    }

    fn show(&mut self) {
        for (number, handle) in &self.running {
            self.output.progress(
                File {
                    number: *number,
                    url: &self.jobs[*number].url,
                },
                &handle.progress(),
            );
        }
        self.output.totals();
    }

    fn ended(&mut self, (number, result): (usize, Result<Outcome, DownloadError>)) {
        let handle = self
            .running
            .remove(&number)
            .expect("a download that ends was running");
        let file = File {
            number,
            url: &self.jobs[number].url,
        };
        match result {
            Ok(outcome) => {
                self.output.completed(file, &outcome);
                for warning in warnings(file, &outcome) {
                    self.output.warning(&warning);
                }
            }
            Err(error) => {
                let kept = match handle.progress().durable {
                    0 => failure::Kept::Nothing,
                    _ => failure::Kept::Something,
                };
                let mut failure = Failure::new(file.url, &error, kept);
                if self.jobs[number].is_provided() {
                    failure = failure.of_provider();
                }
                self.output.failed(file, &failure);
                self.failures.insert(number, failure.exit);
            }
        }
    }

    /// Pauses everything. A second signal ends the process meanwhile.
    async fn interrupt(&mut self) {
        let mut stopped = Stopped::default();
        for handle in self.running.values() {
            // The wish stands when the returned future is dropped; the end of each is awaited below.
            drop(handle.pause());
        }
        // Now, because that sudden end would leave the bars where they are.
        self.output.end();
        while let Some(ended) = self.ends.join_next().await {
            let (number, result) =
                ended.expect("waiting for a download neither panics nor is aborted");
            match result {
                Err(DownloadError::Paused) => self.stopped(number, &mut stopped),
                Ok(_) | Err(_) => self.ended((number, result)),
            }
        }
        if stopped.files == 0 && self.next == self.jobs.len() {
            return;
        }
        for number in self.next..self.jobs.len() {
            self.stopped(number, &mut stopped);
        }
        self.output.interrupted(stopped.kept());
    }

    /// Notes a file that the interruption has stopped, or that it has kept from beginning.
    fn stopped(&mut self, number: usize, stopped: &mut Stopped) {
        let job = &self.jobs[number];
        let file = File {
            number,
            url: &job.url,
        };
        self.output.stopped(
            file,
            &Failure::new(&job.url, &DownloadError::Paused, failure::Kept::Something),
        );
        self.failures.insert(number, Exit::Interrupted);
        stopped.files += 1;
        let progress = match self.running.remove(&number) {
            Some(handle) => handle.progress(),
            None => return,
        };
        if progress.durable > 0 {
            stopped.bytes += progress.durable;
            stopped.begun += 1;
            stopped.name = short_name(progress.path.as_deref(), &job.url).to_owned();
        }
    }

    /// The status of the first failing file; that of an interruption before all others.
    fn exit(&self) -> Exit {
        if self
            .failures
            .values()
            .any(|exit| *exit == Exit::Interrupted)
        {
            return Exit::Interrupted;
        }
        self.failures
            .values()
            .next()
            .copied()
            .unwrap_or(Exit::Complete)
    }
}

/// What an interruption has stopped.
#[derive(Default)]
struct Stopped {
    files: usize,
    /// Those of which something is kept.
    begun: usize,
    bytes: u64,
    /// Name of the last of them.
    name: String,
}

impl Stopped {
    fn kept(&self) -> Kept<'_> {
        Kept {
            bytes: self.bytes,
            files: self.begun,
            name: Some(&self.name),
            untouched: self.files - self.begun,
        }
    }
}

/// What a user would want to know of a file though it is complete.
fn warnings(file: File<'_>, outcome: &Outcome) -> Vec<String> {
    let mut warnings = Vec::new();
    if !outcome.length_verified {
        warnings.push(format!(
            "{} announced no length, so a truncation could not be noticed",
            file.url
        ));
    }
    for mirror in &outcome.mirrors {
        match &mirror.state {
            MirrorState::Quarantined { reason } => warnings.push(format!(
                "{} has other bytes ({reason}); nothing that came from it is in the file",
                mirror.url
            )),
            MirrorState::Dropped { reason } => {
                warnings.push(format!("{} was given up: {reason}", mirror.url));
            }
            // Neither is worth a word; states that a later library may add are in the JSON events.
            _ => (),
        }
    }
    warnings
}
