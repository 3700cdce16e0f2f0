//! The CRC-64 of each part: asked for a few parts ahead of what is sent, kept until the object is there.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use bytehaul_integrity::Crc;

use crate::{Algorithm, Digest, DigestJob, ExchangeId, Ids, Parts};

/// What is known of the parts, by index.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    known: BTreeMap<usize, u64>,
    asked: HashMap<ExchangeId, usize>,
}

impl Sums {
    pub(super) fn get(&self, index: usize) -> Option<u64> {
        self.known.get(&index).copied()
    }

    pub(super) fn set(&mut self, index: usize, crc: u64) {
        self.known.insert(index, crc);
    }

    pub(super) fn is_asked(&self, index: usize) -> bool {
        self.asked.values().any(|asked| *asked == index)
    }

    /// How many are being computed.
    pub(super) fn asked(&self) -> usize {
        self.asked.len()
    }

    /// The job for a part.
    pub(super) fn ask(&mut self, index: usize, range: Range<u64>, ids: &mut Ids) -> DigestJob {
        let id = ids.fresh();
        self.asked.insert(id, index);
        DigestJob {
            id,
            range,
            algorithm: Algorithm::Crc64,
        }
    }

    /// Takes one; gives the index of its part, if it was asked for.
    pub(super) fn answered(&mut self, id: ExchangeId, digest: &Digest) -> Option<usize> {
        let index = self.asked.remove(&id)?;
        self.known.insert(index, digest.crc()?);
        Some(index)
    }

    /// The question came to nothing.
    pub(super) fn lost(&mut self, id: ExchangeId) {
        self.asked.remove(&id);
    }

    /// It is in doubt, and has to be computed again.
    pub(super) fn forget(&mut self, index: usize) {
        self.known.remove(&index);
    }

    /// That of the object that these parts make; `None`: that of a part is not known.
    pub(super) fn joined(&self, parts: &Parts) -> Option<u64> {
        let each = parts.iter().enumerate().map(|(index, part)| {
            let size = part.range.end - part.range.start;
            Some((self.get(index)?, size))
        });
        let each: Vec<_> = each.collect::<Option<_>>()?;
        Some(Crc::Crc64.join(each))
    }

    /// Those of parts that are done, as text to keep.
    pub(super) fn kept(&self, is_done: impl Fn(usize) -> bool) -> String {
        let done = self.known.iter().filter(|(index, _)| is_done(**index));
        let each: Vec<_> = done
            .map(|(index, crc)| format!("{index}:{crc:x}"))
            .collect();
        each.join(" ")
    }

    /// Reads what was kept; what is not like that is passed over.
    pub(super) fn from_kept(text: &str) -> Self {
        let pair = |pair: &str| {
            let (index, crc) = pair.split_once(':')?;
            Some((index.parse().ok()?, u64::from_str_radix(crc, 16).ok()?))
        };
        Self {
            known: text.split(' ').filter_map(pair).collect(),
            asked: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytehaul_integrity::Hasher;

    use super::*;

    #[test]
    fn parts_make_the_whole() {
        let data = b"some bytes in parts of four";
        let parts = Parts::even(data.len() as u64, 4, 1);
        let (mut sums, mut ids) = (Sums::default(), Ids::default());
        for (index, part) in parts.iter().enumerate() {
            assert_eq!(sums.joined(&parts), None);
            let job = sums.ask(index, part.range.clone(), &mut ids);
            assert!(sums.is_asked(index));
            let bytes = &data[part.range.start as usize..part.range.end as usize];
            let digest = Hasher::digest(job.algorithm, bytes);
            assert_eq!(sums.answered(job.id, &digest), Some(index));
            assert_eq!(sums.answered(job.id, &digest), None);
        }
        let whole = Hasher::digest(Algorithm::Crc64, data).crc();
        assert_eq!(sums.joined(&parts), whole);
        let kept = sums.kept(|index| index != 1);
        let mut again = Sums::from_kept(&kept);
        assert_eq!(again.joined(&parts), None);
        again.set(1, sums.get(1).unwrap());
        assert_eq!(again.joined(&parts), whole);
    }

    #[test]
    fn what_was_not_kept_so() {
        for text in ["", "x", "1:", ":f", "1:g", "-1:f", "1:10000000000000000"] {
            assert!(Sums::from_kept(text).known.is_empty(), "{text}");
        }
    }
}
