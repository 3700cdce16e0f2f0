//! Carries out what a session wants: requests in flight, waits, digests, checkpoints. Decides nothing that the session can.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytehaul_integrity::{Digest, Hasher};
use bytehaul_providers::{
    Available, Call, CallError, Completed, Exchange, ExchangeId, Lost, Next, ProtocolError,
    ProtocolErrorKind, Returned, Step, UploadSession,
};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::session::panicked;
use crate::upload::body::Failed;
use crate::upload::courier::{Came, Courier};
use crate::upload::error::UploadError;
use crate::upload::progress::UploadState;
use crate::upload::retries::Retries;
use crate::upload::save::Ledger;
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
    /// Those among them that open a session, which must not be forgotten; parts that open one besides; and the other requests.
    pub(crate) begins: Vec<AbortHandle>,
    pub(crate) first_parts: Vec<AbortHandle>,
    pub(crate) others: Vec<AbortHandle>,
    /// Flights that are no requests.
    pub(crate) digests: usize,
    pub(crate) acknowledged: u64,
    /// Whether parts may be sent in any order.
    pub(crate) in_any_order: bool,
    /// Whether the object may be complete, for all that is known.
    pub(crate) in_doubt: bool,
    /// Requests that were denied and sent again with newer credentials, since the server had more than before.
    pub(crate) denied: usize,
    /// Bytes of a stream that may be held; `None`: nothing is read of it any more.
    pub(crate) hold: Option<u64>,
    /// What the session is told of the source in place of how it is, where it is only discarded and the source is not read.
    pub(crate) told: Option<Available>,
}

/// Whether the source has the checksum that was asked for. Whatever completes the object waits for it.
pub(crate) enum Checksum {
    None,
    /// Computed beside the transfer.
    Beside(Verdict),
    /// Of a stream: computed as it is read.
    Stream {
        expected: Digest,
        hasher: Option<Box<Hasher>>,
    },
}

/// What a digest beside the transfer has come to, once it has.
pub(crate) type Verdict = watch::Receiver<Option<Result<Digest, UploadError>>>;

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
            let due = self.ledger.due();
            let landed = tokio::select! {
                landed = self.flights.join_next() => landed,
                saved = self.ledger.saved() => {
                    self.stats.durable(saved);
                    continue;
                }
                // What was not saved at once for being too soon is not left until something else happens.
                () = due => {
                    self.save_when_due();
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

    /// Starts what the session wants and there is room for.
    async fn launch(&mut self) -> Result<Option<End>, UploadError> {
        loop {
            self.read_on();
            if self.requests() >= self.parallel {
                return Ok(None);
            }
            let available = self.told.unwrap_or_else(|| self.courier.source.available());
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
                    // Whatever step it was that completed it, or none of this run.
                    if let Checksum::Beside(verdict) = &self.checksum {
                        verified(verdict.clone()).await?;
                    }
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
        let opens = self.opens(&exchange.step);
        let flight = self.flights.spawn(async move {
            if let Some(checksum) = checksum
                && let Err(error) = verified(checksum).await
            {
                return Landed::Unread(error);
            }
            let came = courier.send(&exchange).await;
            let (id, step) = (exchange.id, exchange.step);
            Landed::Came { id, step, came }
        });
        self.took_off(flight, opens);
        Ok(())
    }

    async fn call(&mut self, call: Call) -> Result<(), UploadError> {
        self.prepare(&call.step).await?;
        let checksum = self.gate(&call.step)?;
        let Call {
            id,
            step,
            source: range,
            limit,
            run,
            ..
        } = call;
        let courier = Arc::clone(&self.courier);
        let opens = self.opens(&step);
        let flight = self.flights.spawn(async move {
            if let Some(checksum) = checksum
                && let Err(error) = verified(checksum).await
            {
                return Landed::Unread(error);
            }
            let loaded = match &range {
                Some(range) => courier.source.load(range.clone()).await,
                None => Ok(bytes::Bytes::new()),
            };
            let wanted = range.as_ref().map_or(0, |range| range.end - range.start);
            let data = match loaded {
                Ok(data) if data.len() as u64 == wanted => data,
                // A stream of which these bytes are no longer held.
                Ok(_) => return Landed::Unread(courier.failed(Failed::UsedUp)),
                Err(error) => return Landed::Unread(error),
            };
            courier.limiter.acquire(data.len() as u64).await;
            let result = match limit {
                Some(limit) => tokio::time::timeout(limit, run(data))
                    .await
                    .unwrap_or_else(|_| Err(CallError::transient(too_long(limit)))),
                None => run(data).await,
            };
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
        self.took_off(flight, opens);
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
        // A save beside the transfer may have been begun, and have failed.
        let is_unkept = self.ledger.keeper.is_there() && !self.ledger.is_kept;
        let is_news = is_unkept
            || self.ledger.stage != Some(stage)
            || *step == Step::Begin
            || self.outruns_what_is_kept();
        if is_news && *step != Step::Abort {
            self.save_now().await?;
        }
        Ok(())
    }

    fn outruns_what_is_kept(&self) -> bool {
        let kept = self.ledger.sender.borrow();
        let kept = kept.as_ref().map(|kept| &kept.session);
        kept.is_some_and(|kept| self.session.outruns(kept))
    }

    /// What has to be verified before this step may be sent.
    fn gate(&mut self, step: &Step) -> Result<Option<Verdict>, UploadError> {
        let available = self.courier.source.available();
        // Of no bytes, the session alone may be the object.
        let is_empty = available.ended && available.until == 0;
        if !(self.completes(step) || *step == Step::Begin && is_empty) {
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
                    expected: Box::new(*expected),
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
}

fn too_long(limit: Duration) -> String {
    format!("it took longer than {} s", limit.as_secs_f64())
}

/// Waits for the verdict on the source.
async fn verified(mut verdict: Verdict) -> Result<(), UploadError> {
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

/// Bytes of a stream that are read at a time.
const STREAM_STEP: usize = 256 * 1024;

/// Bytes of a stream that may be held beyond the parts in flight, for protocols whose parts are larger than they said.
const MOST_EXTRA: u64 = 256 << 20;
