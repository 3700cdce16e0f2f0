//! The driver of a transfer over ranges: it owns workers and clocks, and carries out what the scheduler decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytehaul_schedule::{
    Action, Class, ConnectionId, Event, Failure, LeaseId, RangeSet, Scheduler,
};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::error::DownloadError;
use crate::identity::Evidence;
use crate::session::lease::Lease;
use crate::session::trouble::{Trouble, after_retries};
use crate::session::worker::{self, Adopted, Assignment, Report};

/// How a ranged transfer ended without an error.
#[derive(Debug)]
pub(crate) enum End {
    /// Every byte has been handed to the writer.
    Complete(Evidence),
    /// The server does not do ranges properly; what has arrived stays.
    Unreliable { what: String, done: RangeSet },
    /// The remote file is another one now.
    Changed(String),
}

/// Runs the scheduler to its end. Dropping the future drops all requests in flight.
pub(crate) struct Driver {
    scheduler: Scheduler,
    shared: Arc<worker::Shared>,
    tasks: JoinSet<()>,
    workers: HashMap<ConnectionId, Worker>,
    leases: HashMap<LeaseId, Claim>,
    reports: mpsc::UnboundedReceiver<Report>,
    reporter: mpsc::UnboundedSender<Report>,
    evidence: Evidence,
    /// When an answer was last found to be of the known version.
    accepted: Instant,
    unreliable: u32,
    failures: u32,
    last_error: Option<DownloadError>,
}

struct Worker {
    assignments: mpsc::UnboundedSender<Assignment>,
    task: AbortHandle,
}

struct Claim {
    lease: Arc<Lease>,
    connection: ConnectionId,
}

impl Driver {
    pub(crate) fn new(
        scheduler: Scheduler,
        shared: Arc<worker::Shared>,
        evidence: Evidence,
    ) -> Self {
        let (reporter, reports) = mpsc::unbounded_channel();
        Self {
            scheduler,
            shared,
            tasks: JoinSet::new(),
            workers: HashMap::new(),
            leases: HashMap::new(),
            reports,
            reporter,
            evidence,
            accepted: Instant::now(),
            unreliable: 0,
            failures: 0,
            last_error: None,
        }
    }

    /// Gives the probe's response to the first worker.
    pub(crate) fn adopt(
        &mut self,
        range: bytehaul_schedule::ByteRange,
        latency: Duration,
        adopted: Adopted,
    ) {
        if let Some((connection, id)) = self.scheduler.adopt(Instant::now(), range, latency) {
            self.assign(connection, id, range, Some(adopted));
        }
    }

    /// Runs to the end. No worker is left when it returns, so what follows cannot race a late write.
    pub(crate) async fn run(mut self) -> Result<End, DownloadError> {
        let end = self.drive().await;
        self.tasks.shutdown().await;
        end
    }

    async fn drive(&mut self) -> Result<End, DownloadError> {
        let sink = Arc::clone(&self.shared.intake.sink);
        let failed = sink.failed();
        tokio::pin!(failed);
        loop {
            if let Some(end) = self.turn()? {
                return Ok(end);
            }
            let wake = self
                .scheduler
                .poll_timeout()
                .map_or(TICK, |at| at.saturating_duration_since(Instant::now()));
            tokio::select! {
                biased;
                error = &mut failed => return Err(error.into()),
                Some(report) = self.reports.recv() => {
                    if let Some(end) = self.hear(report)? {
                        return Ok(end);
                    }
                    while let Ok(report) = self.reports.try_recv() {
                        if let Some(end) = self.hear(report)? {
                            return Ok(end);
                        }
                    }
                }
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => self.joined(ended)?,
                () = tokio::time::sleep(wake.min(TICK)) => (),
            }
        }
    }

    /// Tells the scheduler how far everybody is, and does what it says.
    fn turn(&mut self) -> Result<Option<End>, DownloadError> {
        let now = Instant::now();
        for (&lease, claim) in &self.leases {
            self.scheduler.handle(
                now,
                Event::Progress {
                    lease,
                    position: claim.lease.submitted(),
                },
            );
        }
        self.scheduler.handle(now, Event::Tick);
        while let Some(action) = self.scheduler.poll_action(now) {
            match action {
                Action::Fetch {
                    connection,
                    lease,
                    range,
                    ..
                } => self.assign(connection, lease, range, None),
                Action::Shrink { lease, end } => self.shrink(now, lease, end),
                Action::Abandon { lease } => self.abandon(lease),
                Action::Close { connection } => self.close(connection),
                Action::Finish => {
                    self.publish();
                    return Ok(Some(End::Complete(self.evidence)));
                }
                Action::Fail { .. } => return Err(self.give_up()),
                _ => (),
            }
        }
        self.publish();
        Ok(None)
    }

    fn hear(&mut self, report: Report) -> Result<Option<End>, DownloadError> {
        let now = Instant::now();
        match report {
            Report::Accepted {
                id,
                latency,
                evidence,
            } => {
                if self.leases.contains_key(&id) {
                    self.evidence = self.evidence.max(evidence);
                    self.accepted = now;
                    self.scheduler
                        .handle(now, Event::Accepted { lease: id, latency });
                }
            }
            Report::Done { id } => {
                if let Some(claim) = self.leases.remove(&id) {
                    self.failures = 0;
                    self.unreliable = 0;
                    self.scheduler.handle(
                        now,
                        Event::Progress {
                            lease: id,
                            position: claim.lease.submitted(),
                        },
                    );
                }
            }
            Report::Failed { id, trouble } => {
                if let Some(claim) = self.leases.remove(&id) {
                    self.scheduler.handle(
                        now,
                        Event::Progress {
                            lease: id,
                            position: claim.lease.submitted(),
                        },
                    );
                    // The scheduler takes the connection of a failed lease for gone.
                    self.close(claim.connection);
                    return self.failed(now, id, trouble);
                }
            }
        }
        Ok(None)
    }

    fn failed(
        &mut self,
        now: Instant,
        lease: LeaseId,
        trouble: Trouble,
    ) -> Result<Option<End>, DownloadError> {
        tracing::debug!(url = %self.shared.source.safe_url(), ?trouble, "a request failed");
        self.shared.intake.stats.retries.fetch_add(1, Relaxed);
        let failure = match trouble {
            Trouble::Fatal(error) => return Err(error),
            Trouble::Changed(what) => return Ok(Some(End::Changed(what))),
            // One worker has asked often enough; but while others see the known validator, it wobbles.
            Trouble::Doubt(what) if now.duration_since(self.accepted) > LONG_DOUBT => {
                return Ok(Some(End::Changed(what)));
            }
            Trouble::Doubt(_) => Failure::new(Class::Transient),
            Trouble::Unreliable(what) => {
                self.unreliable += 1;
                if self.unreliable > MAX_UNRELIABLE {
                    return Ok(Some(End::Unreliable {
                        what,
                        done: self.scheduler.done().clone(),
                    }));
                }
                Failure::new(Class::Transient)
            }
            Trouble::Retry { failure, error } => {
                self.failures += 1;
                self.last_error = Some(error);
                failure
            }
        };
        self.scheduler.handle(now, Event::Failed { lease, failure });
        Ok(None)
    }

    fn assign(
        &mut self,
        connection: ConnectionId,
        id: LeaseId,
        range: bytehaul_schedule::ByteRange,
        adopted: Option<Adopted>,
    ) {
        let lease = Arc::new(Lease::new(range.start(), range.end()));
        self.leases.insert(
            id,
            Claim {
                lease: Arc::clone(&lease),
                connection,
            },
        );
        let worker = self.workers.entry(connection).or_insert_with(|| {
            let (assignments, receiver) = mpsc::unbounded_channel();
            let task = self.tasks.spawn(worker::work(
                Arc::clone(&self.shared),
                receiver,
                self.reporter.clone(),
            ));
            Worker { assignments, task }
        });
        // A worker only ends when its sender is dropped or it panicked, and a panic is heard by `joined`.
        let _ = worker.assignments.send(Assignment { id, lease, adopted });
    }

    fn shrink(&mut self, now: Instant, lease: LeaseId, end: u64) {
        let Some(claim) = self.leases.get(&lease) else {
            return;
        };
        let end = claim.lease.shrink(end);
        self.scheduler.handle(now, Event::Shrunk { lease, end });
    }

    fn abandon(&mut self, lease: LeaseId) {
        if let Some(claim) = self.leases.remove(&lease) {
            self.close(claim.connection);
        }
    }

    fn close(&mut self, connection: ConnectionId) {
        if let Some(worker) = self.workers.remove(&connection) {
            worker.task.abort();
        }
    }

    fn joined(&mut self, ended: Result<(), tokio::task::JoinError>) -> Result<(), DownloadError> {
        match ended {
            Err(error) if error.is_panic() => {
                Err(super::panicked(self.shared.source.safe_url(), error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn publish(&self) {
        let stats = &self.shared.intake.stats;
        stats.received.store(self.scheduler.received(), Relaxed);
        stats.set_connections(u32::try_from(self.leases.len()).unwrap_or(u32::MAX));
    }

    fn give_up(&mut self) -> DownloadError {
        let url = self.shared.source.safe_url().clone();
        let error = self.last_error.take().unwrap_or_else(|| {
            let what = "answers to ranges that cannot be used".into();
            DownloadError::BadResponse {
                url,
                what,
                retries: 0,
            }
        });
        after_retries(error, self.failures.saturating_sub(1))
    }
}

/// How often progress is reported when nothing else happens.
const TICK: Duration = Duration::from_millis(50);

/// How long no worker may have seen the known validator before one that met only others calls it a change.
const LONG_DOUBT: Duration = Duration::from_secs(2);

/// Unusable answers to ranges in a row before the rest is asked for as one stream.
const MAX_UNRELIABLE: u32 = 4;
