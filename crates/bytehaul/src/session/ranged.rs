//! The driver of a transfer over ranges: it owns workers and clocks, and carries out what the scheduler decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytehaul_schedule::{
    Action, ByteRange, Class, ConnectionId, Event, Failure, LeaseId, RangeSet, Scheduler, SourceId,
    Standing,
};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::error::{DownloadError, ErrorKind};
use crate::identity::Evidence;
use crate::session::description::News;
use crate::session::intake::Intake;
use crate::session::lease::Lease;
use crate::session::mirrored::Mirrored;
use crate::session::pieces::{Checked, Checker};
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
    pub(super) scheduler: Scheduler,
    pub(super) intake: Intake,
    /// By the number of the source.
    pub(super) parties: Vec<Party>,
    pub(super) mirrored: Mirrored,
    /// The longest wait that a host may ask for.
    longest: Duration,
    /// Connections kept free for proofs.
    pub(super) reserved: u32,
    tasks: JoinSet<()>,
    workers: HashMap<ConnectionId, Worker>,
    pub(super) leases: HashMap<LeaseId, Claim>,
    reports: mpsc::UnboundedReceiver<Report>,
    reporter: mpsc::UnboundedSender<Report>,
    pub(super) evidence: Evidence,
    pub(super) checker: Checker,
    /// What may still be said of the file, and its length.
    news: Option<(mpsc::UnboundedReceiver<News>, u64)>,
    failures: u32,
    last_error: Option<DownloadError>,
}

struct Worker {
    assignments: mpsc::UnboundedSender<Assignment>,
    task: AbortHandle,
}

pub(super) struct Claim {
    pub(super) lease: Arc<Lease>,
    pub(super) connection: ConnectionId,
    pub(super) source: SourceId,
}

/// One source, as the driver sees it.
pub(super) struct Party {
    pub(super) shared: Arc<worker::Shared>,
    /// When an answer of it was last found to be of the known version.
    accepted: Instant,
    /// Unusable answers in a row.
    unreliable: u32,
    /// What was last said to, and heard from, others who use the host.
    told: Option<u32>,
    held: Option<Instant>,
    /// What it failed of last.
    pub(super) last_words: Option<String>,
}

impl Driver {
    pub(crate) fn new(
        scheduler: Scheduler,
        shared: worker::Shared,
        mirrored: Mirrored,
        evidence: Evidence,
        longest: Duration,
    ) -> Self {
        let shared = Arc::new(shared);
        let party = || Party::new(&shared);
        let (reporter, reports) = mpsc::unbounded_channel();
        Self {
            scheduler,
            intake: shared.intake.clone(),
            parties: (0..mirrored.count()).map(|_| party()).collect(),
            mirrored,
            longest,
            reserved: 0,
            tasks: JoinSet::new(),
            workers: HashMap::new(),
            leases: HashMap::new(),
            reports,
            reporter,
            checker: Checker::begin(None, 0),
            news: None,
            evidence,
            failures: 0,
            last_error: None,
        }
    }

    /// Has every piece checked as it arrives; the transfer ends only when all were found right.
    pub(crate) fn check(&mut self, checker: Checker) {
        self.checker = checker;
    }

    /// Has what is said of a file of `len` bytes while it arrives taken in.
    pub(crate) fn listen(&mut self, news: mpsc::UnboundedReceiver<News>, len: u64) {
        self.news = Some((news, len));
    }

    /// One source more, of which nothing is known yet.
    pub(super) fn add_party(&mut self) {
        let party = Party::new(&self.parties[0].shared);
        self.parties.push(party);
    }

    /// Gives the probe's response to the first worker.
    pub(crate) fn adopt(&mut self, range: ByteRange, latency: Duration, adopted: Adopted) {
        if let Some((connection, id)) = self.scheduler.adopt(Instant::now(), range, latency) {
            self.assign(connection, SourceId::PRIMARY, id, range, Some(adopted));
        }
    }

    /// Runs to the end. No worker is left when it returns, so what follows cannot race a late write.
    pub(crate) async fn run(mut self) -> Result<End, DownloadError> {
        let end = self.drive().await;
        self.tasks.shutdown().await;
        end
    }

    async fn drive(&mut self) -> Result<End, DownloadError> {
        let sink = Arc::clone(&self.intake.sink);
        let failed = sink.failed();
        tokio::pin!(failed);
        loop {
            if let Some(end) = self.turn()? {
                return Ok(end);
            }
            // What mirrors delivered last is looked at before it counts, and so is every piece with a hash.
            if self.scheduler.is_finished() && !self.is_looking() {
                if self.checker.is_settled() {
                    return Ok(End::Complete(self.evidence));
                }
                if let Some(lacks) = self.checker.lacks().await? {
                    self.take_back(&lacks).await?;
                    continue;
                }
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
                news = heard(&mut self.news) => match news {
                    Some((news, len)) => self.take_in(news, len),
                    None => self.news = None,
                },
                Some(proof) = self.mirrored.proofs.join_next(), if !self.mirrored.proofs.is_empty() => self.proved(proof)?,
                Some(spot) = self.mirrored.spots.join_next(), if !self.mirrored.spots.is_empty() => self.looked(spot).await?,
                checked = self.checker.next() => self.checked(checked?).await?,
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => self.joined(ended)?,
                () = tokio::time::sleep(wake.min(TICK)) => (),
            }
        }
    }

    /// Tells the scheduler how far everybody is, and does what it says.
    fn turn(&mut self) -> Result<Option<End>, DownloadError> {
        let now = Instant::now();
        for (&lease, claim) in &self.leases {
            let position = claim.lease.submitted();
            self.note(claim, position);
            self.scheduler
                .handle(now, Event::Progress { lease, position });
        }
        self.look_after_mirrors(now);
        self.checker.look();
        self.heed_others(now);
        self.scheduler.handle(now, Event::Tick);
        while let Some(action) = self.scheduler.poll_action(now) {
            match action {
                Action::Fetch {
                    connection,
                    source,
                    lease,
                    range,
                } => self.assign(connection, source, lease, range, None),
                Action::Shrink { lease, end } => self.shrink(now, lease, end),
                Action::Abandon { lease } => self.abandon(lease),
                Action::Close { connection } => self.close(connection),
                Action::Fail { .. } => return Err(self.give_up()),
                _ => (),
            }
        }
        self.publish();
        Ok(None)
    }

    /// Has a piece that was wrong fetched again. A mirror that delivered all of it is out.
    async fn checked(&mut self, checked: Checked) -> Result<(), DownloadError> {
        let Checked::Wrong(range) = checked else {
            return Ok(());
        };
        let Some(range) = ByteRange::new(range.start, range.end) else {
            return Ok(());
        };
        if let Some(culprit) = self.mirror_of(&range) {
            let reason = format!("its bytes {range} do not have the hash of their piece");
            self.quarantine(culprit, reason).await?;
        } else {
            self.dispute(range);
        }
        self.take_back(&[range].into_iter().collect()).await
    }

    fn hear(&mut self, report: Report) -> Result<Option<End>, DownloadError> {
        let now = Instant::now();
        match report {
            Report::Accepted {
                id,
                latency,
                evidence,
            } => {
                if let Some(claim) = self.leases.get(&id) {
                    self.evidence = self.evidence.max(evidence);
                    self.parties[claim.source.0 as usize].accepted = now;
                    self.scheduler
                        .handle(now, Event::Accepted { lease: id, latency });
                }
            }
            Report::Done { id } => {
                if let Some(claim) = self.leases.remove(&id) {
                    self.failures = 0;
                    self.parties[claim.source.0 as usize].unreliable = 0;
                    self.progress(now, id, &claim);
                }
            }
            Report::Failed { id, trouble } => {
                if let Some(claim) = self.leases.remove(&id) {
                    self.progress(now, id, &claim);
                    // The scheduler takes the connection of a failed lease for gone.
                    self.close(claim.connection);
                    return self.failed(now, id, claim.source, trouble);
                }
            }
        }
        Ok(None)
    }

    fn failed(
        &mut self,
        now: Instant,
        lease: LeaseId,
        source: SourceId,
        trouble: Trouble,
    ) -> Result<Option<End>, DownloadError> {
        let is_one_of_many = self.has_others(now, source);
        let party = &mut self.parties[source.0 as usize];
        let url = party.shared.source.safe_url();
        bytehaul_log::debug!(%url, ?trouble, "a request failed");
        self.intake.stats.retries.fetch_add(1, Relaxed);
        party.last_words = Some(trouble.what());
        let failure = match trouble {
            // What this machine cannot do, no other source can help.
            Trouble::Fatal(error) if !is_one_of_many || error.kind() == ErrorKind::Local => {
                return Err(error);
            }
            Trouble::Fatal(error) => {
                self.last_error = Some(error);
                Failure::new(Class::Fatal)
            }
            // One worker has asked often enough; but while others see the known validator, it wobbles.
            Trouble::Doubt(_) if now.duration_since(party.accepted) <= LONG_DOUBT => {
                Failure::new(Class::Transient)
            }
            Trouble::Changed(_) | Trouble::Doubt(_)
                if is_one_of_many && source != SourceId::PRIMARY =>
            {
                Failure::new(Class::Fatal)
            }
            // Only what the first source says decides that nothing is worth keeping.
            Trouble::Changed(what) | Trouble::Doubt(what) if source != SourceId::PRIMARY => {
                let url = party.shared.source.safe_url().clone();
                return Err(DownloadError::BadResponse {
                    url,
                    what,
                    retries: 0,
                });
            }
            Trouble::Changed(what) | Trouble::Doubt(what) => return Ok(Some(End::Changed(what))),
            Trouble::Unreliable(what) => {
                party.unreliable += 1;
                if party.unreliable <= MAX_UNRELIABLE {
                    Failure::new(Class::Transient)
                } else if is_one_of_many {
                    Failure::new(Class::RangesUnreliable)
                } else {
                    let done = self.scheduler.done().clone();
                    return Ok(Some(End::Unreliable { what, done }));
                }
            }
            Trouble::Retry { failure, error } => {
                if failure.class.is_push_back() {
                    party.shared.source.visit().hold(&failure, self.longest);
                }
                self.failures += 1;
                self.last_error = Some(error);
                failure
            }
        };
        self.scheduler.handle(now, Event::Failed { lease, failure });
        Ok(None)
    }

    /// Tells others who use the same hosts what was learned, and takes note of what they have.
    fn heed_others(&mut self, now: Instant) {
        for (at, party) in self.parties.iter_mut().enumerate() {
            let source = SourceId(u32::try_from(at).unwrap_or(u32::MAX));
            let answered = self.scheduler.answered_by(source);
            let learned = self.scheduler.host_limit(source);
            let visit = party.shared.source.visit();
            if answered > 0 {
                visit.using(answered);
            }
            if learned != party.told
                && learned.is_some_and(|now| party.told.is_none_or(|was| now < was))
            {
                visit.is_full();
            }
            party.told = learned;
            if let Some(connections) = visit.share(now)
                && answered > connections
                && learned.is_none_or(|learned| learned > connections)
            {
                party.told = Some(connections);
                let event = Event::HostLimit {
                    source,
                    connections,
                };
                self.scheduler.handle(now, event);
            }
            if let Some(until) = visit.held(now)
                && party.held != Some(until)
            {
                party.held = Some(until);
                self.scheduler
                    .handle(now, Event::HostHeld { source, until });
            }
        }
    }

    pub(super) fn has_others(&self, now: Instant, source: SourceId) -> bool {
        let mut sources = self.scheduler.sources(now);
        sources.any(|(id, standing)| id != source && standing != Standing::Lost)
    }

    fn progress(&mut self, now: Instant, lease: LeaseId, claim: &Claim) {
        let position = claim.lease.submitted();
        self.note(claim, position);
        self.scheduler
            .handle(now, Event::Progress { lease, position });
    }

    /// Notes who brought what, where that may be asked.
    pub(super) fn note(&self, claim: &Claim, position: u64) {
        if let Some(range) = ByteRange::new(claim.lease.start(), position)
            && (!self.mirrored.is_alone() || self.news.is_some())
        {
            let member = self.mirrored.member(claim.source);
            self.mirrored.roster.deliver(member, range);
        }
    }

    /// The leases that a source works on.
    pub(super) fn claims_of(&self, source: SourceId) -> Vec<LeaseId> {
        let claims = self
            .leases
            .iter()
            .filter(|(_, claim)| claim.source == source);
        claims.map(|(&id, _)| id).collect()
    }

    /// The leases that have, or may come to have, bytes of these.
    pub(super) fn claims_within(&self, bytes: &RangeSet) -> Vec<LeaseId> {
        let has_some = |claim: &Claim| {
            ByteRange::new(claim.lease.start(), claim.lease.end())
                .is_some_and(|range| bytes.overlapping(range).next().is_some())
        };
        let claims = self.leases.iter().filter(|(_, claim)| has_some(claim));
        claims.map(|(&id, _)| id).collect()
    }

    fn assign(
        &mut self,
        connection: ConnectionId,
        source: SourceId,
        id: LeaseId,
        range: ByteRange,
        adopted: Option<Adopted>,
    ) {
        let lease = Arc::new(Lease::new(range.start(), range.end()));
        self.leases.insert(
            id,
            Claim {
                lease: Arc::clone(&lease),
                connection,
                source,
            },
        );
        let worker = self.workers.entry(connection).or_insert_with(|| {
            let (assignments, receiver) = mpsc::unbounded_channel();
            let task = self.tasks.spawn(worker::work(
                Arc::clone(&self.parties[source.0 as usize].shared),
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

    pub(super) fn abandon(&mut self, lease: LeaseId) {
        if let Some(claim) = self.leases.remove(&lease) {
            let position = claim.lease.revoke();
            self.note(&claim, position);
            self.close(claim.connection);
        }
    }

    pub(super) fn close(&mut self, connection: ConnectionId) {
        if let Some(worker) = self.workers.remove(&connection) {
            worker.task.abort();
        }
    }

    pub(super) fn joined(
        &mut self,
        ended: Result<(), tokio::task::JoinError>,
    ) -> Result<(), DownloadError> {
        match ended {
            Err(error) if error.is_panic() => {
                let first = &self.parties[0].shared;
                Err(super::panicked(first.source.safe_url(), error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn publish(&self) {
        let stats = &self.intake.stats;
        stats.received.store(self.scheduler.received(), Relaxed);
        stats.set_connections(u32::try_from(self.leases.len()).unwrap_or(u32::MAX));
    }

    fn give_up(&mut self) -> DownloadError {
        let url = self.parties[0].shared.source.safe_url().clone();
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

impl Party {
    fn new(shared: &Arc<worker::Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            accepted: Instant::now(),
            unreliable: 0,
            told: None,
            held: None,
            last_words: None,
        }
    }
}

/// The next news, with the length of the file; `None` when there is no more to come. Cancel safe.
async fn heard(news: &mut Option<(mpsc::UnboundedReceiver<News>, u64)>) -> Option<(News, u64)> {
    match news {
        Some((news, len)) => news.recv().await.map(|news| (news, *len)),
        None => std::future::pending().await,
    }
}

/// How often progress is reported when nothing else happens.
const TICK: Duration = Duration::from_millis(50);

/// How long no worker may have seen the known validator before one that met only others calls it a change.
const LONG_DOUBT: Duration = Duration::from_secs(2);

/// Unusable answers to ranges in a row before the rest is asked for as one stream.
const MAX_UNRELIABLE: u32 = 4;
