//! Which digests of a part are known, asked for, or still to be asked for, and what a part that the server has must be like.

use std::ops::Range;

use crate::{Algorithm, Digest, DigestJob, ExchangeId, Ids};

/// The digests of one part.
#[derive(Clone, Debug, Default)]
pub(super) struct Digests {
    asked: Vec<(ExchangeId, Algorithm)>,
    known: Vec<Digest>,
    claim: Option<Claim>,
}

/// A part that the server says it has, and of which nothing is known here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Claim {
    pub(super) tag: String,
    /// What its bytes must have.
    pub(super) digest: Digest,
}

impl Digests {
    /// Those of a part that is to be compared with what the server has.
    pub(super) fn of_claim(claim: Claim) -> Self {
        Self {
            claim: Some(claim),
            ..Self::default()
        }
    }

    pub(super) fn known(&self) -> &[Digest] {
        &self.known
    }

    pub(super) fn get(&self, algorithm: Algorithm) -> Option<Digest> {
        let of = |digest: &&Digest| digest.algorithm() == algorithm;
        self.known.iter().find(of).copied()
    }

    pub(super) fn has_all(&self, algorithms: &[Algorithm]) -> bool {
        algorithms.iter().all(|one| self.get(*one).is_some())
    }

    /// What a claim needs, with the checksum that receipts have.
    pub(super) fn wanted_by_claim(&self) -> Option<Vec<Algorithm>> {
        let claim = self.claim.as_ref()?;
        let mut wanted = vec![claim.digest.algorithm()];
        if !wanted.contains(&Algorithm::Crc32c) {
            wanted.push(Algorithm::Crc32c);
        }
        Some(wanted)
    }

    /// Ends the claim, once all is known that it needs: the tag of the part, if its bytes are those of the source.
    pub(super) fn settle(&mut self) -> Option<Result<String, ()>> {
        let wanted = self.wanted_by_claim()?;
        if !self.has_all(&wanted) {
            return None;
        }
        let claim = self.claim.take()?;
        let same = self.get(claim.digest.algorithm()) == Some(claim.digest);
        Some(if same { Ok(claim.tag) } else { Err(()) })
    }

    /// One of these that nobody has been asked for.
    pub(super) fn ask(
        &mut self,
        algorithms: &[Algorithm],
        range: &Range<u64>,
        ids: &mut Ids,
    ) -> Option<DigestJob> {
        let open = |one: &&Algorithm| {
            self.get(**one).is_none() && !self.asked.iter().any(|(_, asked)| asked == *one)
        };
        let algorithm = *algorithms.iter().find(open)?;
        let id = ids.fresh();
        self.asked.push((id, algorithm));
        Some(DigestJob {
            id,
            range: range.clone(),
            algorithm,
        })
    }

    /// Takes one, if it was asked for here.
    pub(super) fn take(&mut self, id: ExchangeId, digest: Digest) -> bool {
        let ours = |asked: &(ExchangeId, Algorithm)| *asked == (id, digest.algorithm());
        let Some(at) = self.asked.iter().position(ours) else {
            return false;
        };
        self.asked.remove(at);
        self.known.push(digest);
        true
    }

    /// The question came to nothing.
    pub(super) fn forget(&mut self, id: ExchangeId) {
        self.asked.retain(|(asked, _)| *asked != id);
    }
}
