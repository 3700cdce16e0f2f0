//! Which parts have the digest that goes with them: asked for a few ahead of what is sent, never more.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::azure::BlockCheck;
use crate::{Algorithm, Digest, DigestJob, ExchangeId, Ids};

/// The digests of parts that are about to be sent, and of those that may have to be sent again.
#[derive(Debug)]
pub(super) struct Digests {
    algorithm: Option<Algorithm>,
    ready: BTreeMap<usize, Digest>,
    asked: HashMap<ExchangeId, usize>,
}

impl Digests {
    pub(super) fn new(check: BlockCheck) -> Self {
        Self {
            algorithm: match check {
                BlockCheck::Md5 => Some(Algorithm::Md5),
                BlockCheck::Crc64 => Some(Algorithm::Crc64Nvme),
                BlockCheck::None => None,
            },
            ready: BTreeMap::new(),
            asked: HashMap::new(),
        }
    }

    /// Whether parts are sent without any.
    pub(super) fn are_none(&self) -> bool {
        self.algorithm.is_none()
    }

    pub(super) fn of(&self, index: usize) -> Option<Digest> {
        self.ready.get(&index).copied()
    }

    /// Parts whose digest is there, ascending.
    pub(super) fn ready(&self) -> impl Iterator<Item = usize> {
        self.ready.keys().copied()
    }

    /// Parts whose digest is being computed.
    pub(super) fn asked(&self) -> usize {
        self.asked.len()
    }

    /// Whether the digest of this part is there or will be.
    pub(super) fn has(&self, index: usize) -> bool {
        self.ready.contains_key(&index) || self.asked.values().any(|asked| *asked == index)
    }

    /// The job for a part.
    pub(super) fn ask(&mut self, index: usize, range: Range<u64>, ids: &mut Ids) -> DigestJob {
        let id = ids.fresh();
        self.asked.insert(id, index);
        DigestJob {
            id,
            range,
            algorithm: self.algorithm.unwrap_or(Algorithm::Md5),
        }
    }

    pub(super) fn answered(&mut self, id: ExchangeId, digest: Digest) {
        if let Some(index) = self.asked.remove(&id) {
            self.ready.insert(index, digest);
        }
    }

    /// The part is taken, or its digest is in doubt.
    pub(super) fn forget(&mut self, index: usize) {
        self.ready.remove(&index);
    }
}
