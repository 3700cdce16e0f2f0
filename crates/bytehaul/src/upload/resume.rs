//! What of an earlier run is taken up: the checkpoint, as far as the source and its own receipts bear it out.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytehaul_integrity::crc32c_append;
use bytehaul_providers::{Acknowledged, Available, Left, PartReceipt, Saved, Stage};
use bytehaul_ratelimit::BytesPerSecond;
use bytehaul_storage::source::Fingerprint;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::network::Access;
use crate::session::blocking;
use crate::session::given::Given;
use crate::session::renewal::Renewal;
use crate::upload::checkpoint::{Checkpoint, Keeper, VERSION, hashed};
use crate::upload::courier::Courier;
use crate::upload::driver::{Checksum, Driver};
use crate::upload::error::UploadError;
use crate::upload::job::{Job, Resume};
use crate::upload::progress::UploadState;
use crate::upload::retries::Retries;
use crate::upload::save::{Ledger, now};
use crate::upload::source::{Buffers, READ, Source};
use crate::upload::stats::Stats;
use crate::upload::uploader::Shared;

/// An upload that is ready to be driven.
pub(crate) struct Opened {
    pub(crate) job: Job,
    pub(crate) driver: Driver,
}

/// Opens the source and the session, new or taken up.
pub(crate) async fn open(
    shared: &Shared,
    access: &Access,
    mut job: Job,
    stats: Arc<Stats>,
    sender: watch::Sender<Option<Checkpoint>>,
) -> Result<Opened, UploadError> {
    stats.set_state(UploadState::Preparing);
    let keeper = Keeper::open(
        &job.place,
        &job.source,
        job.identity.clone(),
        job.durability,
    );
    let keeper = Arc::new(keeper.await?);
    let source = Source::open(&job.source).await?;
    let fingerprint = source.fingerprint();
    job.object.len = source.len();
    if let Some(len) = job.object.len {
        stats.set_total(len);
    }
    let courier = Arc::new(courier(shared, access, &job, source, &stats));
    let content = content(&courier.source).await;
    let identity = hashed(&job.identity);
    let is_same = |it: &Checkpoint| it.identity.as_ref().is_none_or(|it| *it == identity);
    let earlier = match earlier(&job, &keeper).await? {
        Some(other) if !(may_be_ours(&job, &other) && is_same(&other)) => {
            bytehaul_log::warn!("a checkpoint of another upload is not used");
            if job.checkpoint.is_none() && other.is_open() {
                Keeper::set_aside(&job, &other).await?;
            }
            None
        }
        earlier => earlier,
    };
    let begun_at = earlier.as_ref().map(|earlier| earlier.begun_at);
    let left = match earlier {
        None => None,
        Some(earlier) => {
            let left = prove(&courier.source, &fingerprint, content, &earlier).await?;
            // Of another source, or not wanted: it is of no use any more, and its staging is not left behind.
            let useless = job.resume == Resume::Discard || left.is_none();
            let given = job.protocol.capabilities().given_session;
            if useless && earlier.is_open() && !given {
                discard(&job, &courier, &earlier).await?;
            }
            left.filter(|_| !useless)
        }
    };
    let form = Checkpoint {
        source_changed: left.as_ref().is_some_and(|left| !left.unchanged),
        version: VERSION,
        protocol: job.protocol.name().to_owned(),
        target: job.target.clone(),
        source: job.source_name.clone(),
        identity: Some(identity),
        fingerprint,
        content,
        total: job.object.len,
        begun_at: begun_at.unwrap_or_else(now),
        updated_at: now(),
        session: Saved::default(),
    };
    if let Some(left) = &left {
        let parts = &left.saved.parts;
        let bytes: u64 = parts.iter().map(|part| part.size).sum();
        stats.resumed_from.store(bytes, Relaxed);
        stats
            .was_complete
            .store(left.saved.stage == Stage::Complete, Relaxed);
        for part in parts {
            stats.known_sent(part.offset..part.end());
        }
        stats.acknowledged(Acknowledged { prefix: 0, bytes });
    }
    // A commit may have been carried out, of which an earlier run has heard nothing.
    let in_doubt = left
        .as_ref()
        .is_some_and(|left| left.saved.stage == Stage::Committing);
    let session = job.protocol.open(&job.object, left);
    let session = session.map_err(|error| UploadError::protocol(&job.safe_url, error))?;
    let ledger = ledger(Arc::clone(&keeper), sender, form);
    let mut driver = driver(&job, session, courier, stats, ledger);
    driver.in_doubt = in_doubt;
    Ok(Opened { job, driver })
}

/// Opens the session of an earlier run for being discarded; `None`: there is none.
pub(crate) async fn open_to_abort(
    shared: &Shared,
    access: &Access,
    job: Job,
) -> Result<Option<Driver>, UploadError> {
    let keeper = Keeper::open(
        &job.place,
        &job.source,
        job.identity.clone(),
        job.durability,
    );
    let keeper = Arc::new(keeper.await?);
    let target = job.protocol.target();
    let is_ours = |it: &Checkpoint| may_be_ours(&job, it) && it.may_be_of(&job.identity, &target);
    let Some(earlier) = earlier(&job, &keeper).await?.filter(is_ours) else {
        return Ok(None);
    };
    if !earlier.is_open() {
        keeper.remove().await?;
        return Ok(None);
    }
    let stats = Arc::new(Stats::new(Instant::now()));
    let courier = courier(shared, access, &job, Source::Bytes(Bytes::new()), &stats);
    to_abort(&job, Arc::new(courier), stats, keeper, &earlier).map(Some)
}

/// The checkpoint that an earlier run has left, of whatever upload it was.
async fn earlier(job: &Job, keeper: &Keeper) -> Result<Option<Checkpoint>, UploadError> {
    match job.checkpoint.clone() {
        Some(given) => Ok(Some(given)),
        None => keeper.load().await,
    }
}

/// Whether a checkpoint is, as far as it can be seen, one of this upload.
fn may_be_ours(job: &Job, earlier: &Checkpoint) -> bool {
    earlier.version == VERSION
        && earlier.protocol == job.protocol.name()
        && earlier.target == job.target
        && earlier.source == job.source_name
        && earlier.session.stage != Stage::Aborted
}

/// What of a checkpoint may be used for this source; `None`: nothing, because it is another one.
async fn prove(
    source: &Source,
    fingerprint: &Fingerprint,
    content: Option<u32>,
    earlier: &Checkpoint,
) -> Result<Option<Left>, UploadError> {
    // What a stream gave then cannot be compared with what it gives now.
    if matches!(source, Source::Stream(_)) || earlier.fingerprint.size() != fingerprint.size() {
        return Ok(None);
    }
    let difference = earlier.fingerprint.difference(fingerprint);
    if let Some(difference) = difference {
        bytehaul_log::debug!(
            difference,
            "the source may have changed since; its bytes decide"
        );
    }
    let looks_same = difference.is_none() && earlier.content == content;
    let mut saved = earlier.session.clone();
    let mut claimed = std::mem::take(&mut saved.parts);
    let all = claimed.len();
    if !looks_same {
        // Nothing speaks for these but the fingerprint.
        claimed.retain(|part| part.crc32c.is_some());
    }
    saved.parts = same_bytes(source, claimed).await?;
    if saved.parts.len() < all {
        bytehaul_log::warn!(
            parts = all - saved.parts.len(),
            "parts of the source are not what was sent, and are sent again"
        );
    }
    let same = saved.parts.len() == all;
    let looks_same = looks_same && !earlier.source_changed;
    let unchanged = same && (looks_same || covers(&saved.parts, fingerprint.size()));
    // Nothing at all is the same: it is another source of the same length. Of a complete object all has to be.
    if !unchanged && (saved.parts.is_empty() || saved.stage == Stage::Complete) {
        return Ok(None);
    }
    Ok(Some(Left::new(saved, unchanged)))
}

/// Whether the receipts speak for every byte of a source of this length, each with a checksum.
fn covers(parts: &[PartReceipt], len: u64) -> bool {
    let mut parts: Vec<_> = parts.iter().collect();
    parts.sort_by_key(|part| part.offset);
    let mut end = 0;
    for part in parts {
        if part.offset > end || part.crc32c.is_none() {
            return false;
        }
        end = end.max(part.end());
    }
    end == len
}

/// The receipts whose bytes have the checksum that they had when they were sent. Stops early when dropped.
async fn same_bytes(
    source: &Source,
    claimed: Vec<PartReceipt>,
) -> Result<Vec<PartReceipt>, UploadError> {
    let source = source.clone();
    let alive = Arc::new(());
    let watched = Arc::downgrade(&alive);
    let checked = blocking(move || {
        let buffers = Buffers::default();
        let len = source.len().unwrap_or(0);
        let mut same = Vec::with_capacity(claimed.len());
        for part in claimed {
            let (mut at, end, mut crc) = (part.offset, part.end(), 0);
            if end > len {
                continue;
            }
            while at < end && watched.strong_count() > 0 {
                let bytes = source.read(at..end, READ, &buffers)?;
                if bytes.is_empty() {
                    break;
                }
                crc = crc32c_append(crc, &bytes);
                at += bytes.len() as u64;
            }
            if part.crc32c.is_none_or(|expected| expected == crc) {
                same.push(part);
            }
        }
        Ok(same)
    })
    .await;
    drop(alive);
    checked.map_err(|error: bytehaul_storage::Error| error.into())
}

/// What a source in memory is, beyond its length.
async fn content(source: &Source) -> Option<u32> {
    let Source::Bytes(bytes) = source else {
        return None;
    };
    let bytes = bytes.clone();
    Some(blocking(move || crc32c_append(0, &bytes)).await)
}

/// Discards a session that is of no use. What it had counts for nothing in the new one. Where that is not possible now, its
/// checkpoint is kept under another name.
async fn discard(
    job: &Job,
    courier: &Arc<Courier>,
    earlier: &Checkpoint,
) -> Result<(), UploadError> {
    let none = Arc::new(Keeper::none());
    let stats = Arc::new(Stats::new(Instant::now()));
    let driver = to_abort(job, Arc::clone(courier), stats, none, earlier);
    let aborted = match driver {
        Ok(mut driver) => {
            driver.retries = Retries::new(
                job.retry.clone().max_retries(1),
                job.retry.clone().max_retries(1),
                seed(),
            );
            super::abort(driver).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = aborted {
        bytehaul_log::warn!(%error, "what an earlier run has staged could not be discarded");
        Keeper::set_aside(job, earlier).await?;
    }
    Ok(())
}

fn to_abort(
    job: &Job,
    courier: Arc<Courier>,
    stats: Arc<Stats>,
    keeper: Arc<Keeper>,
    earlier: &Checkpoint,
) -> Result<Driver, UploadError> {
    let mut object = job.object.clone();
    object.len = earlier.total;
    let left = Left::new(earlier.session.clone(), true);
    let session = job.protocol.open(&object, Some(left));
    let session = session.map_err(|error| UploadError::protocol(&job.safe_url, error))?;
    let (sender, _) = watch::channel(None);
    let mut driver = driver(
        job,
        session,
        courier,
        stats,
        ledger(keeper, sender, earlier.clone()),
    );
    driver.checksum = Checksum::None;
    driver.hold = None;
    driver.told = Some(Available {
        until: earlier.total.unwrap_or(0),
        ended: earlier.total.is_some(),
    });
    Ok(driver)
}

fn ledger(
    keeper: Arc<Keeper>,
    sender: watch::Sender<Option<Checkpoint>>,
    form: Checkpoint,
) -> Ledger {
    Ledger {
        keeper,
        sender,
        form,
        saving: None,
        is_kept: false,
        last: None,
        pause: Duration::ZERO,
        is_dirty: false,
        stage: None,
    }
}

fn driver(
    job: &Job,
    session: Box<dyn bytehaul_providers::UploadSession>,
    courier: Arc<Courier>,
    stats: Arc<Stats>,
    ledger: Ledger,
) -> Driver {
    let checksum = match (&job.digest, &courier.source) {
        (None, _) => Checksum::None,
        (Some(expected), Source::Stream(_)) => Checksum::Stream {
            expected: *expected,
            hasher: Some(Box::new(bytehaul_integrity::Hasher::new(
                expected.algorithm(),
            ))),
        },
        (Some(expected), source) => {
            Checksum::Beside(beside(source.clone(), *expected, courier.name.clone()))
        }
    };
    Driver {
        session,
        courier,
        stats,
        retries: Retries::new(job.begin_retry.clone(), job.retry.clone(), seed()),
        parallel: job.parallel,
        ledger,
        checksum,
        flights: JoinSet::new(),
        begins: Vec::new(),
        first_parts: Vec::new(),
        others: Vec::new(),
        digests: 0,
        acknowledged: 0,
        denied: 0,
        in_any_order: job.protocol.capabilities().parallel,
        in_doubt: false,
        hold: Some(0),
        told: None,
    }
}

/// Compares the source with its checksum beside the transfer; stops when nobody waits for it any more.
fn beside(
    source: Source,
    expected: bytehaul_integrity::Digest,
    name: String,
) -> watch::Receiver<Option<Result<bytehaul_integrity::Digest, UploadError>>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let len = source.len().unwrap_or(0);
        let verdict = tokio::select! {
            () = sender.closed() => return,
            digest = source.digest(0..len, expected.algorithm()) => match digest {
                Ok(actual) if actual == expected => Ok(actual),
                Ok(actual) => Err(UploadError::ChecksumMismatch {
                    name,
                    expected: Box::new(expected),
                    actual: Box::new(actual),
                }),
                Err(error) => Err(error),
            },
        };
        sender.send_replace(Some(verdict));
    });
    receiver
}

fn courier(
    shared: &Shared,
    access: &Access,
    job: &Job,
    source: Source,
    stats: &Arc<Stats>,
) -> Courier {
    let renewal = job.endpoint.clone().map(|endpoint| {
        let given = Given::new(
            endpoint,
            job.headers.clone(),
            job.auth.clone(),
            Arc::clone(&access.netrc),
        );
        Renewal::new(given, job.refresher.clone(), job.expires_at)
    });
    Courier {
        client: access.client.clone(),
        renewal,
        url: job.safe_url.clone(),
        name: job.source_name.clone(),
        source,
        limiter: shared.limiter.child(BytesPerSecond::new(job.speed)),
        stats: Arc::clone(stats),
        digest: job.digest,
    }
}

fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of an upload of `before` that has the receipt of so many bytes, for one of `now`: the bytes whose receipts
    /// are kept, and whether what the server has beyond them is believed.
    async fn check(before: &'static [u8], receipt: u64, now: &'static [u8]) -> Option<(u64, bool)> {
        let was = Source::Bytes(Bytes::from_static(before));
        let source = Source::Bytes(Bytes::from_static(now));
        let mut session = Saved::default();
        session.stage = Stage::Sending;
        if receipt > 0 {
            let crc = crc32c_append(0, &before[..receipt as usize]);
            session.parts = vec![PartReceipt::new(1, 0, receipt).crc32c(crc)];
        }
        let earlier = Checkpoint {
            version: VERSION,
            protocol: "put".into(),
            target: "http://h/".into(),
            source: "name".into(),
            identity: None,
            fingerprint: was.fingerprint(),
            content: content(&was).await,
            source_changed: false,
            total: was.len(),
            begun_at: 0,
            updated_at: 0,
            session,
        };
        let (fingerprint, content) = (source.fingerprint(), content(&source).await);
        let left = prove(&source, &fingerprint, content, &earlier).await;
        let left = left.unwrap()?;
        let kept = left.saved.parts.iter().map(|part| part.size).sum();
        Some((kept, left.unchanged))
    }

    #[tokio::test]
    async fn other_bytes_of_the_same_length_are_another_source() {
        assert_eq!(check(b"abcdef", 0, b"abcdef").await, Some((0, true)));
        assert_eq!(check(b"abcdef", 3, b"abcdef").await, Some((3, true)));
        assert_eq!(check(b"abcdef", 0, b"ABCDEF").await, None);
        assert_eq!(check(b"abcdef", 3, b"ABCDEF").await, None);
        assert_eq!(check(b"abcdef", 3, b"abcDEF").await, Some((3, false)));
    }
}
