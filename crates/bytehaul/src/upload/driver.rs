//! Carries out what a session wants: requests in flight, waits, digests, checkpoints. Decides nothing that the session can.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytehaul_integrity::{Digest, Hasher};
use bytehaul_providers::{
    Answer, Call, CallError, Completed, Exchange, ExchangeId, Fault, Lost, Next, ProtocolError,
    ProtocolErrorKind, Returned, Stage, Step, UploadSession,
};
use bytehaul_schedule::{Class, Failure};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::session::panicked;
use crate::session::renewal::Then;
use crate::upload::checkpoint::{Checkpoint, Keeper};
use crate::upload::courier::{Came, Courier, Done, Received};
use crate::upload::error::UploadError;
use crate::upload::progress::UploadState;
use crate::upload::retries::Retries;
use crate::upload::source::{Grown, Source, grow};
use crate::upload::stats::Stats;

/// One session and everything that works for it.
pub(crate) struct Driver {
    pub(crate) session: Box<dyn UploadSession>,
    pub(crate) courier: Arc<Courier>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) retries: Retries,
    pub(crate) parallel: usize,
    pub(crate) ledger: Ledger,
    pub(crate) checksum: Checksum,
    pub(crate) flights: JoinSet<Landed>,
    /// Flights that are no requests.
    pub(crate) digests: usize,
    pub(crate) acknowledged: u64,
    /// Whether the object may be complete, for all that is known.
    pub(crate) in_doubt: bool,
    /// Requests that were denied and sent again with newer credentials, since the server had more than before.
    pub(crate) denied: usize,
    /// Bytes of a stream that may be held; `None`: nothing is read of it any more.
    pub(crate) hold: Option<u64>,
}

/// Where the checkpoint goes, and how fresh it is.
pub(crate) struct Ledger {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) sender: watch::Sender<Option<Checkpoint>>,
    /// All of it but the session.
    pub(crate) form: Checkpoint,
    pub(crate) saving: Option<tokio::task::JoinHandle<(u64, Result<(), UploadError>)>>,
    pub(crate) last: Option<Instant>,
    pub(crate) pause: Duration,
    pub(crate) is_dirty: bool,
    pub(crate) stage: Option<Stage>,
}

/// Whether the source has the checksum that was asked for. Whatever completes the object waits for it.
pub(crate) enum Checksum {
    None,
    /// Computed beside the transfer.
    Beside(watch::Receiver<Option<Result<Digest, UploadError>>>),
    /// Of a stream: computed as it is read.
    Stream {
        expected: Digest,
        hasher: Option<Hasher>,
    },
}

/// Something that was in flight.
pub(crate) enum Landed {
    Came {
        id: ExchangeId,
        step: Step,
        came: Came,
    },
    Called {
        id: ExchangeId,
        step: Step,
        result: Result<Returned, CallError>,
    },
    /// The bytes for a call, or a digest, could not be read.
    Unread(UploadError),
    Digested(ExchangeId, Digest),
    /// The wait before another try is over.
    Rested(ExchangeId, Lost),
    Grown(std::io::Result<Grown>),
}

/// How a session ended.
pub(crate) enum End {
    Done(Completed),
    Aborted,
}

impl Driver {
    /// Runs the session to its end.
    pub(crate) async fn run(&mut self) -> Result<End, UploadError> {
        loop {
            if let Some(end) = self.launch().await? {
                return Ok(end);
            }
            let landed = tokio::select! {
                landed = self.flights.join_next() => landed,
                saved = self.ledger.saved() => {
                    self.stats.durable(saved);
                    continue;
                }
            };
            match landed {
                Some(landed) => self.land(landed).await?,
                // The part that the session waits for is larger than what may be held by now.
                None if self.hold_more() => continue,
                None => return Err(self.stuck()),
            }
            let acknowledged = self.session.acknowledged();
            if acknowledged.bytes > self.acknowledged {
                self.denied = 0;
                self.retries.progressed();
            }
            // At most what there was before: a server that keeps losing bytes must not renew what is tried for ever.
            self.acknowledged = self.acknowledged.max(acknowledged.bytes);
            self.stats.acknowledged(acknowledged);
            if !self.ledger.keeper.is_there() {
                self.stats.durable(acknowledged.bytes);
            }
            if let Source::Stream(stream) = &self.courier.source {
                stream.release(acknowledged.prefix);
            }
            self.ledger.is_dirty = true;
            self.save_when_due();
        }
    }

    /// Drops what is in flight, and saves where the session is.
    pub(crate) async fn stop(&mut self) -> Result<(), UploadError> {
        self.flights.shutdown().await;
        self.digests = 0;
        self.stats.set_connections(0);
        self.save_now().await
    }

    /// Starts what the session wants and there is room for.
    async fn launch(&mut self) -> Result<Option<End>, UploadError> {
        loop {
            self.read_on();
            if self.requests() >= self.parallel {
                return Ok(None);
            }
            let available = self.courier.source.available();
            if available.ended && self.stats.total().is_none() {
                self.stats.set_total(available.until);
                self.ledger.form.total = Some(available.until);
            }
            let next = self.session.next(available, SystemTime::now());
            match next.map_err(|error| self.protocol(error))? {
                Next::Send(exchange) => self.send(*exchange).await?,
                Next::Call(call) => self.call(*call).await?,
                Next::Digest(job) => {
                    let source = self.courier.source.clone();
                    self.digests += 1;
                    self.flights.spawn(async move {
                        match source.digest(job.range, job.algorithm).await {
                            Ok(digest) => Landed::Digested(job.id, digest),
                            Err(error) => Landed::Unread(error),
                        }
                    });
                }
                Next::Done(completed) => {
                    self.save_now().await?;
                    // An object that is there is sent by no other run, with or without receipts.
                    self.stats.durable(available.until);
                    return Ok(Some(End::Done(completed)));
                }
                Next::Aborted => return Ok(Some(End::Aborted)),
                // `Wait`, and what a later contract may add.
                _ => return Ok(None),
            }
            self.stats.set_connections(self.requests());
        }
    }

    fn requests(&self) -> usize {
        self.flights.len() - self.digests
    }

    async fn send(&mut self, exchange: Exchange) -> Result<(), UploadError> {
        self.prepare(&exchange.step).await?;
        let courier = Arc::clone(&self.courier);
        let checksum = self.gate(&exchange.step)?;
        self.flights.spawn(async move {
            if let Some(checksum) = checksum
                && let Err(error) = verified(checksum).await
            {
                return Landed::Unread(error);
            }
            let came = courier.send(&exchange).await;
            let (id, step) = (exchange.id, exchange.step);
            Landed::Came { id, step, came }
        });
        Ok(())
    }

    async fn call(&mut self, call: Call) -> Result<(), UploadError> {
        self.prepare(&call.step).await?;
        let checksum = self.gate(&call.step)?;
        let Call {
            id,
            step,
            source: range,
            run,
            ..
        } = call;
        let courier = Arc::clone(&self.courier);
        self.flights.spawn(async move {
            if let Some(checksum) = checksum
                && let Err(error) = verified(checksum).await
            {
                return Landed::Unread(error);
            }
            let loaded = match &range {
                Some(range) => courier.source.load(range.clone()).await,
                None => Ok(bytes::Bytes::new()),
            };
            let data = match loaded {
                Ok(data) => data,
                Err(error) => return Landed::Unread(error),
            };
            courier.limiter.acquire(data.len() as u64).await;
            let result = run(data).await;
            if let Some(range) = range.filter(|_| result.is_ok()) {
                courier.stats.sent(range);
                let source = courier.source.clone();
                let checked = crate::session::blocking(move || source.check());
                if let Err(error) = checked.await {
                    return Landed::Unread(error.into());
                }
            }
            Landed::Called { id, step, result }
        });
        Ok(())
    }

    /// Before anything is sent that the server may keep, the ledger tells of it.
    async fn prepare(&mut self, step: &Step) -> Result<(), UploadError> {
        let state = match step {
            Step::Begin | Step::Check | Step::Refresh => None,
            Step::Part { .. } => Some(UploadState::Sending),
            Step::Commit => Some(UploadState::Committing),
            _ => None,
        };
        if let Some(state) = state {
            self.stats.advance(state);
        }
        let stage = self.session.stage();
        let is_news = self.ledger.stage != Some(stage) || *step == Step::Begin;
        if is_news && *step != Step::Abort {
            self.save_now().await?;
        }
        Ok(())
    }

    /// What has to be verified before this step may be sent.
    fn gate(
        &mut self,
        step: &Step,
    ) -> Result<Option<watch::Receiver<Option<Result<Digest, UploadError>>>>, UploadError> {
        let available = self.courier.source.available();
        if !self.completes(step) {
            return Ok(None);
        }
        match &mut self.checksum {
            Checksum::None => Ok(None),
            Checksum::Beside(verdict) => Ok(Some(verdict.clone())),
            Checksum::Stream { expected, hasher } => {
                // Once it has matched it is gone; a body that takes the stream to its end compares by itself.
                let Some(hasher) = hasher.take().filter(|_| available.ended) else {
                    return Ok(None);
                };
                let actual = hasher.finish();
                if actual == *expected {
                    return Ok(None);
                }
                Err(UploadError::ChecksumMismatch {
                    name: self.courier.name.clone(),
                    expected: Box::new(expected.clone()),
                    actual: Box::new(actual),
                })
            }
        }
    }

    /// Reads on in a stream, as long as what is held of it is less than the parts that may be in flight.
    fn read_on(&mut self) {
        let Source::Stream(stream) = &self.courier.source else {
            return;
        };
        let Some(extra) = self.hold else {
            return;
        };
        let part = self.session.part_size().max(STREAM_STEP as u64);
        let held = part
            .saturating_mul(self.parallel as u64)
            .saturating_add(extra);
        if stream.in_memory() >= held {
            return;
        }
        let Some(reader) = stream.take_reader() else {
            return;
        };
        let room = usize::try_from(held - stream.in_memory()).unwrap_or(usize::MAX);
        let hasher = match &mut self.checksum {
            Checksum::Stream { hasher, .. } => hasher.take(),
            Checksum::None | Checksum::Beside(_) => None,
        };
        self.digests += 1;
        self.flights
            .spawn(async move { Landed::Grown(grow(reader, room.min(STREAM_STEP), hasher).await) });
    }

    /// Allows for more of a stream to be held, within reason.
    fn hold_more(&mut self) -> bool {
        match (&self.courier.source, &mut self.hold) {
            (Source::Stream(stream), Some(extra)) if *extra < MOST_EXTRA => {
                *extra += STREAM_STEP as u64 * 4;
                !stream.has_ended()
            }
            _ => false,
        }
    }

    async fn land(&mut self, landed: Result<Landed, JoinError>) -> Result<(), UploadError> {
        let landed =
            landed.map_err(|error| UploadError::from(panicked(&self.courier.url, error)))?;
        match landed {
            Landed::Came { id, step, came } => self.came(id, step, came).await?,
            Landed::Called { id, step, result } => self.called(id, step, result)?,
            Landed::Unread(error) => return Err(error),
            Landed::Digested(id, digest) => {
                self.digests -= 1;
                self.session.digested(id, digest);
            }
            Landed::Rested(id, how) => self.session.lost(id, how),
            Landed::Grown(grown) => {
                self.digests -= 1;
                let grown = grown.map_err(|error| UploadError::Read {
                    name: self.courier.name.clone(),
                    source: Arc::new(error),
                })?;
                if let Checksum::Stream { hasher, .. } = &mut self.checksum {
                    *hasher = grown.hasher;
                }
                if let Source::Stream(stream) = &self.courier.source {
                    stream.add(grown.reader, grown.bytes);
                }
            }
        }
        self.stats.set_connections(self.requests());
        Ok(())
    }

    async fn came(&mut self, id: ExchangeId, step: Step, came: Came) -> Result<(), UploadError> {
        match came {
            Came::Answer(received) => self.answered(id, step, &received).await,
            Came::Lost {
                how,
                failure,
                error,
                done,
            } => {
                self.doubt(&step, done);
                self.again(id, &step, how, failure, error)
            }
            Came::Fatal(error) => Err(error),
        }
    }

    /// Something that may have been done: if it completes the object, nothing is certain before the server has said more.
    fn doubt(&mut self, step: &Step, done: Done) {
        if done == Done::Perhaps && self.completes(step) {
            self.in_doubt = true;
        }
    }

    /// Whether the object may be complete once this is done.
    fn completes(&self, step: &Step) -> bool {
        let available = self.courier.source.available();
        match step {
            Step::Commit => true,
            Step::Part { range, .. } => available.ended && range.end >= available.until,
            _ => false,
        }
    }

    async fn answered(
        &mut self,
        id: ExchangeId,
        step: Step,
        received: &Received,
    ) -> Result<(), UploadError> {
        let (sent, crc) = received.sent;
        let answer = Answer::new(
            received.status,
            &received.headers,
            &received.body,
            &received.url,
        );
        let answer = answer.sent(sent, (sent > 0).then_some(crc));
        let taken = self.session.answered(id, &answer, SystemTime::now());
        let fault = match taken {
            Ok(()) => {
                self.retries.succeeded(&step);
                self.in_doubt = false;
                return Ok(());
            }
            Err(fault) => fault,
        };
        let how = Lost::Refused(received.status);
        match fault {
            Fault::Status => {
                // Between two denials the server may well take another kind of request, which says nothing of this one.
                let in_vain = self.denied >= MOST_DENIED * self.parallel;
                if !in_vain && self.courier.renewed(received).await? == Then::AskAgain {
                    self.denied += 1;
                    self.stats.retries.fetch_add(1, Relaxed);
                    self.session.lost(id, how);
                    return Ok(());
                }
                match self.courier.plain(&step, received) {
                    Came::Lost {
                        how,
                        failure,
                        error,
                        done,
                    } => {
                        self.doubt(&step, done);
                        self.again(id, &step, how, failure, error)
                    }
                    Came::Fatal(error) => Err(error),
                    Came::Answer(_) => Ok(()),
                }
            }
            Fault::Again(what) => {
                let mut failure = Failure::new(Class::Transient);
                failure.retry_after = crate::upload::courier::wait_asked_for(&received.headers);
                self.again(id, &step, how, failure, self.refused(received, what))
            }
            Fault::Now(what) => {
                let failure = Failure::new(Class::Transient).retry_after(Duration::ZERO);
                self.again(id, &step, how, failure, self.refused(received, what))
            }
            Fault::Fatal(error) => Err(self.protocol(error)),
            _ => Err(self.refused(received, "an answer that leads nowhere".into())),
        }
    }

    fn called(
        &mut self,
        id: ExchangeId,
        step: Step,
        result: Result<Returned, CallError>,
    ) -> Result<(), UploadError> {
        match result {
            Ok(value) => match self.session.returned(id, value, SystemTime::now()) {
                Ok(()) => {
                    self.retries.succeeded(&step);
                    Ok(())
                }
                Err(Fault::Fatal(error)) => Err(self.protocol(error)),
                Err(fault) => {
                    let what = format!("{fault:?}");
                    let error = ProtocolError::new(ProtocolErrorKind::Custom, what);
                    let failure = Failure::new(Class::Transient);
                    self.again(id, &step, Lost::Unknown, failure, self.protocol(error))
                }
            },
            Err(error) => {
                let kind = match (error.status, &step) {
                    (Some(status), _) => ProtocolErrorKind::Status(status),
                    (None, Step::Refresh) => ProtocolErrorKind::Refresh,
                    (None, _) => ProtocolErrorKind::Custom,
                };
                let mut failure = Failure::new(match error.retry {
                    true => Class::Transient,
                    false => Class::Fatal,
                });
                failure.retry_after = error.retry_after;
                let how = error.status.map_or(Lost::Unknown, Lost::Refused);
                let what = match step {
                    Step::Refresh => "the access could not be renewed",
                    _ => "the protocol's own call failed",
                };
                let error = ProtocolError::new(kind, what).with_source(error.source);
                self.again(id, &step, how, failure, self.protocol(error))
            }
        }
    }

    /// Waits beside the rest and lets the session try again, or gives up.
    fn again(
        &mut self,
        id: ExchangeId,
        step: &Step,
        how: Lost,
        failure: Failure,
        error: UploadError,
    ) -> Result<(), UploadError> {
        let wait = match self.retries.failed(step, failure) {
            Ok(wait) => wait,
            Err(tries) if self.in_doubt => return Err(self.indeterminate(error, tries)),
            Err(tries) => return Err(error.after_retries(tries)),
        };
        bytehaul_log::debug!(?step, ?wait, %error, "to be tried again");
        self.stats.retries.fetch_add(1, Relaxed);
        self.flights.spawn(async move {
            tokio::time::sleep(wait).await;
            Landed::Rested(id, how)
        });
        Ok(())
    }

    /// It was asked for as often as was allowed, and may have been done each time.
    fn indeterminate(&self, error: UploadError, tries: u32) -> UploadError {
        let what =
            "the object may or may not be there: no answer said what became of the last request";
        let what = ProtocolError::new(ProtocolErrorKind::Indeterminate, what).with_source(error);
        self.protocol(what).after_retries(tries)
    }

    fn refused(&self, received: &Received, what: String) -> UploadError {
        let kind = match received.status.is_success() {
            true => ProtocolErrorKind::Parse,
            false => ProtocolErrorKind::Status(received.status),
        };
        self.protocol(ProtocolError::new(kind, what))
    }

    fn protocol(&self, error: ProtocolError) -> UploadError {
        UploadError::protocol(&self.courier.url, error)
    }

    /// It has not ended within the time that it had.
    pub(crate) fn too_slow(&self) -> UploadError {
        let what = "the server did not answer in time";
        self.protocol(ProtocolError::new(ProtocolErrorKind::Custom, what))
    }

    /// Nothing is in flight, and the session wants nothing: it would wait for ever.
    fn stuck(&self) -> UploadError {
        UploadError::Internal {
            url: self.courier.url.clone(),
            what: "the protocol waits, and nothing is on its way".into(),
        }
    }

    fn save_when_due(&mut self) {
        let ledger = &mut self.ledger;
        let is_due = ledger
            .last
            .is_none_or(|last| last.elapsed() >= ledger.pause);
        if !ledger.is_dirty || !is_due || ledger.saving.is_some() {
            return;
        }
        ledger.begin_save(self.session.saved());
    }

    /// Writes the checkpoint and waits for it. The first one has to succeed: without it a session could be forgotten.
    pub(crate) async fn save_now(&mut self) -> Result<(), UploadError> {
        let is_first = self.ledger.stage.is_none();
        // By reference: when this future is dropped, the next save still waits for the one that is under way.
        if let Some(saving) = &mut self.ledger.saving {
            let _ = saving.await;
            self.ledger.saving = None;
        }
        self.ledger.begin_save(self.session.saved());
        let Some(saving) = &mut self.ledger.saving else {
            return Ok(());
        };
        let saved = saving.await;
        self.ledger.saving = None;
        match saved {
            Ok((bytes, Ok(()))) => {
                self.stats.durable(bytes);
                self.ledger.pause = MOST_OFTEN;
                Ok(())
            }
            Ok((_, Err(error))) if is_first => Err(error),
            Ok((_, Err(error))) => {
                bytehaul_log::warn!(%error, "the checkpoint could not be written");
                Ok(())
            }
            Err(error) => Err(panicked(&self.courier.url, error).into()),
        }
    }
}

impl Ledger {
    fn begin_save(&mut self, session: bytehaul_providers::Saved) {
        self.is_dirty = false;
        self.last = Some(Instant::now());
        self.stage = Some(session.stage);
        let mut checkpoint = self.form.clone();
        checkpoint.updated_at = now();
        checkpoint.session = session;
        self.sender.send_replace(Some(checkpoint.clone()));
        if !self.keeper.is_there() {
            return;
        }
        let keeper = Arc::clone(&self.keeper);
        self.saving = Some(tokio::spawn(async move {
            let saved = keeper.save(&checkpoint).await;
            (checkpoint.acknowledged(), saved)
        }));
    }

    /// A save beside the transfer has ended: how many bytes it tells of. Never resolves when there is none. Cancel-safe.
    async fn saved(&mut self) -> u64 {
        let Some(saving) = &mut self.saving else {
            return std::future::pending().await;
        };
        let ended = saving.await;
        self.saving = None;
        let took = self.last.map(|last| last.elapsed()).unwrap_or_default();
        self.pause = MOST_OFTEN.max(took * 10);
        match ended {
            Ok((bytes, Ok(()))) => bytes,
            Ok((_, Err(error))) => {
                bytehaul_log::warn!(%error, "the checkpoint could not be written");
                0
            }
            Err(_) => 0,
        }
    }
}

/// Waits for the verdict on the source.
async fn verified(
    mut verdict: watch::Receiver<Option<Result<Digest, UploadError>>>,
) -> Result<(), UploadError> {
    let verdict = match verdict.wait_for(Option::is_some).await {
        Ok(verdict) => verdict.clone(),
        Err(_) => None,
    };
    match verdict {
        Some(verdict) => verdict.map(drop),
        // The runtime is going down, and this with it.
        None => std::future::pending().await,
    }
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// A checkpoint is not written more often than this beside the transfer; a slow disk makes it ten times its own time.
const MOST_OFTEN: Duration = Duration::from_millis(100);

/// Denied requests that are sent again with newer credentials, for each one that may be in flight, before the server's answer is final.
const MOST_DENIED: usize = 3;

/// Bytes of a stream that are read at a time.
const STREAM_STEP: usize = 256 * 1024;

/// Bytes of a stream that may be held beyond the parts in flight, for protocols whose parts are larger than they said.
const MOST_EXTRA: u64 = 256 << 20;
