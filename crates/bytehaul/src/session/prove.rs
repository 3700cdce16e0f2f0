//! Whether another source has the same file: length, digests and validators first, and where they decide nothing, bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytehaul_integrity::{Algorithm, Digest};
use bytehaul_ratelimit::Limiter;
use bytehaul_schedule::{ByteRange, RangeSet, samples};
use bytehaul_storage::Writer;
use bytehaul_transport::{Origin, RequestRange};
use bytes::{BufMut, Bytes};
use tokio::sync::Mutex;

use crate::identity::{Evidence, Identity};
use crate::response::Answer;
use crate::session::compared;
use crate::session::overlap;
use crate::session::roster::Roster;
use crate::session::source::{Source, lead_in};
use crate::session::stats::Stats;
use crate::session::trouble::Trouble;

/// What others are compared with: the source that is believed, and its bytes that are there already.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) source: Arc<Source>,
    pub(crate) known: Identity,
    /// Its place in the roster.
    pub(crate) member: usize,
    pub(crate) roster: Arc<Roster>,
    pub(crate) writer: Writer,
    /// What the whole file has to hash to.
    pub(crate) digest: Option<Digest>,
    pub(crate) seed: u64,
    pub(crate) toll: Toll,
    /// Samples that were fetched for one mirror serve for all.
    pub(crate) cache: Mutex<BTreeMap<u64, Bytes>>,
}

/// What every byte from the network counts for, those that are only compared as well.
#[derive(Clone, Debug)]
pub(crate) struct Toll {
    pub(crate) limiter: Limiter,
    pub(crate) stats: Arc<Stats>,
}

impl Toll {
    pub(crate) async fn pay(&self, bytes: usize) {
        self.stats.fetched.fetch_add(bytes as u64, Relaxed);
        self.limiter.acquire(bytes as u64).await;
    }
}

/// A source that has the same file.
#[derive(Debug)]
pub(crate) struct Proven {
    /// What its answers are to be compared with from now on.
    pub(crate) known: Identity,
    pub(crate) evidence: Evidence,
}

/// Why a source cannot be used.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// It has something else.
    Differs(String),
    /// It does not work, or cannot be used beside others.
    Unusable(String),
}

/// Proves that `mirror` has the file of the reference, before a byte of it is used.
pub(crate) async fn prove(mirror: &Source, reference: &Reference) -> Result<Proven, Unfit> {
    let Some(len) = reference.known.len else {
        return Err(Unfit::Unusable(
            "the length of the file is not known".into(),
        ));
    };
    let whole: RangeSet = ByteRange::new(0, len).into_iter().collect();
    let expected = reference.expected();
    let mut shown: Option<Identity> = None;
    for range in samples(&whole, reference.seed) {
        let against = shown.as_ref().unwrap_or(&expected);
        let (theirs, identity, evidence) =
            patiently(mirror, against, range, &reference.toll).await?;
        if shown.is_none() {
            // That it names the digest is its own word, unless the file will be held against it.
            let is_held_to_it = evidence == Evidence::Digest && reference.digest.is_some();
            if is_held_to_it || reference.vouches_for(mirror, &identity) {
                let evidence = evidence.min(Evidence::StrongEtag);
                return Ok(Proven {
                    known: identity,
                    evidence,
                });
            }
            shown = Some(identity);
        }
        let ours = reference.bytes(range).await.map_err(|trouble| {
            Unfit::Unusable(format!("nothing to compare with: {}", trouble.what()))
        })?;
        if ours != theirs {
            return Err(Unfit::Differs(format!("its bytes {range} are others")));
        }
    }
    match shown {
        Some(known) => Ok(Proven {
            known,
            evidence: Evidence::Samples,
        }),
        None => Err(Unfit::Unusable("the file has no bytes".into())),
    }
}

/// Proves that a source has the file of which `there` is in the part file already. Without a byte to compare, nothing
/// is proven.
pub(crate) async fn prove_by_part(
    source: &Source,
    shown: &Identity,
    part: &std::path::Path,
    there: &RangeSet,
    seed: u64,
    toll: &Toll,
) -> Result<(), Unfit> {
    let chosen = samples(there, seed);
    if chosen.is_empty() {
        return Err(Unfit::Unusable("nothing is there to compare with".into()));
    }
    for range in chosen {
        let (theirs, ..) = patiently(source, shown, range, toll).await?;
        let ours = read(part.to_path_buf(), range)
            .await
            .map_err(|error| Unfit::Unusable(error.to_string()))?;
        if ours != theirs {
            return Err(Unfit::Differs(format!("its bytes {range} are others")));
        }
    }
    Ok(())
}

/// Exactly the bytes of a range, if the answer is of the known version, with what it says of itself. A source that
/// sends them byte by byte cannot hold up what waits for the comparison for ever.
pub(crate) async fn fetch(
    source: &Source,
    known: &Identity,
    range: ByteRange,
    toll: &Toll,
) -> Result<(Bytes, Identity, Evidence), Trouble> {
    let fetched = fetch_all(source, known, range, toll);
    match tokio::time::timeout(LONGEST_FETCH, fetched).await {
        Ok(fetched) => fetched,
        Err(_) => Err(Trouble::Unreliable(format!(
            "{range} took more than {LONGEST_FETCH:?}"
        ))),
    }
}

async fn fetch_all(
    source: &Source,
    known: &Identity,
    range: ByteRange,
    toll: &Toll,
) -> Result<(Bytes, Identity, Evidence), Trouble> {
    let span = RequestRange::Span(range.start()..range.end());
    let (mut reply, evidence) = compared::ask(source, known, span).await?;
    let skip = match &reply.answer {
        Answer::Part { range: got, .. } => lead_in(range.start(), got),
        Answer::Whole { .. } => Err("it ignores ranges".into()),
        _ => Err("it does not answer ranges properly".into()),
    };
    let skip = skip.map_err(Trouble::Unreliable)?;
    let Some(wanted) = usize::try_from(skip.saturating_add(range.len()))
        .ok()
        .filter(|&wanted| wanted <= MOST)
    else {
        return Err(Trouble::Unreliable(
            "a range from far before the one that was asked for".into(),
        ));
    };
    let mut bytes = Vec::with_capacity(wanted);
    while bytes.len() < wanted {
        let room = wanted - bytes.len();
        let read = reply.body.read(&mut (&mut bytes).limit(room)).await;
        let count = read.map_err(|error| Trouble::transport(source.safe_url(), error))?;
        if count == 0 {
            return Err(Trouble::short(source.safe_url()));
        }
        toll.pay(count).await;
    }
    let bytes = Bytes::from(bytes).slice(wanted - usize::try_from(range.len()).unwrap_or(wanted)..);
    Ok((bytes, reply.identity, evidence))
}

impl Reference {
    /// The bytes of a range as the reference has them: from the part file where they came from it, or from it now.
    async fn bytes(&self, range: ByteRange) -> Result<Bytes, Trouble> {
        let mut cache = self.cache.lock().await;
        if let Some(known) = cache.get(&range.start()) {
            return Ok(known.clone());
        }
        let written: RangeSet = self
            .writer
            .written()
            .into_iter()
            .filter_map(|range| ByteRange::new(range.start, range.end))
            .collect();
        let is_ours = written.contains(&range)
            && self
                .roster
                .foreign(self.member)
                .overlapping(range)
                .next()
                .is_none();
        let there = match is_ours {
            true => read(self.writer.layout().part.clone(), range).await.ok(),
            false => None,
        };
        let bytes = match there {
            Some(bytes) => bytes,
            None => fetch(&self.source, &self.known, range, &self.toll).await?.0,
        };
        cache.insert(range.start(), bytes.clone());
        Ok(bytes)
    }

    /// What the first answer of another source has to agree with. Its validators are its own; a digest of the whole
    /// file is not.
    fn expected(&self) -> Identity {
        let known = self.known.digests.iter().chain(&self.digest);
        Identity {
            len: self.known.len,
            digests: known.copied().filter(is_strong).collect(),
            ..Identity::default()
        }
    }

    /// Within one origin, the same strong validator means the same bytes (RFC 9110, section 8.8.1).
    fn vouches_for(&self, mirror: &Source, shown: &Identity) -> bool {
        let origins = (Origin::of(self.source.url()), Origin::of(mirror.url()));
        let is_same_origin = matches!(origins, (Ok(ours), Ok(theirs)) if ours == theirs);
        let etags = (&self.known.etag, &shown.etag);
        is_same_origin && matches!(etags, (Some(ours), Some(theirs)) if ours.strong_eq(theirs))
    }
}

/// Reads bytes of the part file.
pub(crate) async fn read(part: std::path::PathBuf, range: ByteRange) -> std::io::Result<Bytes> {
    let length = usize::try_from(range.len()).unwrap_or(usize::MAX);
    super::blocking(move || overlap::read(&part, range.start(), length).map(Bytes::from)).await
}

/// Asks again a few times.
async fn patiently(
    source: &Source,
    known: &Identity,
    range: ByteRange,
    toll: &Toll,
) -> Result<(Bytes, Identity, Evidence), Unfit> {
    let mut waits = WAITS.iter();
    loop {
        let trouble = match fetch(source, known, range, toll).await {
            Ok(fetched) => return Ok(fetched),
            Err(trouble) => trouble,
        };
        match (trouble, waits.next()) {
            (Trouble::Retry { failure, .. }, Some(wait)) => {
                let asked = failure.retry_after.unwrap_or_default().min(LONGEST_WAIT);
                tokio::time::sleep(asked.max(*wait)).await;
            }
            (Trouble::Changed(what) | Trouble::Doubt(what), _) => return Err(Unfit::Differs(what)),
            (trouble, _) => return Err(Unfit::Unusable(trouble.what())),
        }
    }
}

/// Whether nobody makes another file with the same value by accident or on purpose.
fn is_strong(digest: &Digest) -> bool {
    matches!(
        digest.algorithm(),
        Algorithm::Sha256 | Algorithm::Sha512 | Algorithm::Blake3
    )
}

const WAITS: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];
/// So long that a slow line or a low limit is no reason.
const LONGEST_FETCH: Duration = Duration::from_secs(600);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The longest stretch that is compared, with what leads in to it.
const MOST: usize = 8 * 1024 * 1024;
