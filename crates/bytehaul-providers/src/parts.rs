//! Where the parts of an upload stand: a table for parts in any order, a cursor for one after the other.

use std::ops::Range;

use bytehaul_integrity::crc32c_combine;

use crate::{Acknowledged, ExchangeId, PartReceipt};

/// Gives each exchange of a session a name of its own.
#[derive(Clone, Debug, Default)]
pub struct Ids(u64);

impl Ids {
    /// A name that was not used yet.
    pub fn fresh(&mut self) -> ExchangeId {
        self.0 += 1;
        ExchangeId(self.0)
    }
}

/// The parts of an upload whose parts may be sent in any order.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    parts: Vec<Part>,
    /// No part before this one is missing.
    first_missing: usize,
    acknowledged: u64,
}

/// A part: which bytes, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Part {
    /// Its number, as the protocol counts.
    pub number: u32,
    /// Its bytes of the source.
    pub range: Range<u64>,
    /// Where it stands.
    pub state: PartState,
}

/// Where a part stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PartState {
    /// To be sent.
    Missing,
    /// On its way, by this exchange.
    InFlight(ExchangeId),
    /// Taken by the server.
    Done(PartReceipt),
}

impl Parts {
    /// Parts of one size, the last one shorter, numbered from `first`. An object of no bytes has one part of no bytes.
    pub fn even(len: u64, size: u64, first: u32) -> Self {
        let mut parts = Self::default();
        let size = size.max(1);
        let mut number = first;
        loop {
            let start = parts.end();
            parts.push(number, start..start.saturating_add(size).min(len));
            if parts.end() >= len {
                return parts;
            }
            number = number.saturating_add(1);
        }
    }

    /// Adds a part that begins where the last one ends, or anywhere: the caller knows its plan.
    pub fn push(&mut self, number: u32, range: Range<u64>) {
        self.parts.push(Part {
            number,
            range,
            state: PartState::Missing,
        });
    }

    /// Where the last part ends.
    pub fn end(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.range.end)
    }

    /// All parts in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The first part that is to be sent, by its index.
    pub fn missing(&mut self) -> Option<usize> {
        let at = self.parts[self.first_missing.min(self.parts.len())..]
            .iter()
            .position(|part| part.state == PartState::Missing)?;
        self.first_missing += at;
        Some(self.first_missing)
    }

    /// The part of this index.
    pub fn get(&self, index: usize) -> Option<&Part> {
        self.parts.get(index)
    }

    /// The index of the part that this exchange carries.
    pub fn carried_by(&self, id: ExchangeId) -> Option<usize> {
        let position = |part: &Part| part.state == PartState::InFlight(id);
        self.parts.iter().position(position)
    }

    /// Sets where a part stands.
    pub fn set(&mut self, index: usize, state: PartState) {
        let Some(part) = self.parts.get_mut(index) else {
            return;
        };
        let size = part.range.end - part.range.start;
        if matches!(part.state, PartState::Done(_)) {
            self.acknowledged -= size;
        }
        match &state {
            PartState::Done(_) => self.acknowledged += size,
            PartState::Missing => self.first_missing = self.first_missing.min(index),
            PartState::InFlight(_) => (),
        }
        part.state = state;
    }

    /// Takes over a receipt of an earlier run, if there is a part of this number, offset and size. Tells whether there was.
    pub fn restore(&mut self, receipt: PartReceipt) -> bool {
        let fits = |part: &Part| {
            part.number == receipt.number && part.range == (receipt.offset..receipt.end())
        };
        match self.parts.iter().position(fits) {
            Some(index) => {
                self.set(index, PartState::Done(receipt));
                true
            }
            None => false,
        }
    }

    /// Whether every part is done.
    pub fn all_done(&self) -> bool {
        self.parts
            .iter()
            .all(|part| matches!(part.state, PartState::Done(_)))
    }

    /// The receipts of the parts that are done, in the order of the parts.
    pub fn receipts(&self) -> Vec<PartReceipt> {
        let done = |part: &Part| match &part.state {
            PartState::Done(receipt) => Some(receipt.clone()),
            PartState::Missing | PartState::InFlight(_) => None,
        };
        self.parts.iter().filter_map(done).collect()
    }

    /// What the server has confirmed.
    pub fn acknowledged(&self) -> Acknowledged {
        let done = |part: &&Part| matches!(part.state, PartState::Done(_));
        let prefix = self.parts.iter().take_while(done).last();
        Acknowledged {
            prefix: prefix.map_or(0, |part| part.range.end),
            bytes: self.acknowledged,
        }
    }
}

/// How far an upload has come whose bytes are sent one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    offset: u64,
    receipts: Vec<PartReceipt>,
}

impl Cursor {
    /// Goes on from receipts of an earlier run: as far as they reach from the start without a gap.
    pub fn restored(receipts: &[PartReceipt]) -> Self {
        let mut cursor = Self::default();
        for receipt in receipts {
            if receipt.offset != cursor.offset {
                break;
            }
            cursor.add(receipt.size, receipt.crc32c);
        }
        cursor
    }

    /// Bytes that the server has from the start.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The server has taken this many more bytes; `crc32c` is theirs, where it is known.
    pub fn add(&mut self, bytes: u64, crc32c: Option<u32>) {
        if bytes == 0 {
            return;
        }
        let joined = match (self.receipts.last_mut(), crc32c) {
            (Some(last), Some(crc)) => match last.crc32c {
                Some(before) => {
                    last.crc32c = Some(crc32c_combine(before, crc, bytes));
                    last.size = last.size.saturating_add(bytes);
                    true
                }
                None => false,
            },
            (Some(_) | None, _) => false,
        };
        if !joined {
            let number = u32::try_from(self.receipts.len()).unwrap_or(u32::MAX);
            self.receipts
                .push(PartReceipt::new(number, self.offset, bytes).crc32c(crc32c));
        }
        self.offset = self.offset.saturating_add(bytes);
    }

    /// The server says that it has this many bytes from the start, which is believed in both directions.
    pub fn set(&mut self, offset: u64) {
        if offset >= self.offset {
            self.add(offset - self.offset, None);
            return;
        }
        self.receipts.retain(|receipt| receipt.offset < offset);
        if let Some(last) = self.receipts.last_mut()
            && last.end() > offset
        {
            last.size = offset - last.offset;
            last.crc32c = None;
        }
        self.offset = offset;
    }

    /// What is known of the bytes so far.
    pub fn receipts(&self) -> &[PartReceipt] {
        &self.receipts
    }

    /// What the server has confirmed.
    pub fn acknowledged(&self) -> Acknowledged {
        Acknowledged {
            prefix: self.offset,
            bytes: self.offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytehaul_integrity::crc32c;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn even_parts_cover_the_object() {
        let check = |len: u64, size: u64, ends: &[u64]| {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let expected: Vec<Range<u64>> =
                starts.zip(ends).map(|(start, end)| start..*end).collect();
            let parts = Parts::even(len, size, 1);
            let ranges: Vec<_> = parts.iter().map(|part| part.range.clone()).collect();
            assert_eq!(ranges, expected, "{len} by {size}");
            let numbers: Vec<_> = parts.iter().map(|part| part.number as usize).collect();
            assert_eq!(numbers, (1..=expected.len()).collect::<Vec<_>>());
        };
        check(0, 4, &[0]);
        check(1, 4, &[1]);
        check(4, 4, &[4]);
        check(5, 4, &[4, 5]);
        check(5, 0, &[1, 2, 3, 4, 5]);
    }

    proptest! {
        /// The table agrees with a naive count after any moves.
        #[test]
        fn counts_are_those_of_a_list(moves in prop::collection::vec((0..6_usize, 0..3_u8), 0..60)) {
            let mut parts = Parts::even(23, 4, 1);
            for (index, kind) in moves {
                let part = parts.get(index).unwrap().clone();
                let receipt = PartReceipt::new(part.number, part.range.start, part.range.end - part.range.start);
                parts.set(index, match kind {
                    0 => PartState::Missing,
                    1 => PartState::InFlight(ExchangeId(9)),
                    _ => PartState::Done(receipt),
                });
                let done: Vec<bool> = parts.iter().map(|part| matches!(part.state, PartState::Done(_))).collect();
                let bytes: u64 = parts.receipts().iter().map(|receipt| receipt.size).sum();
                let prefix = done.iter().position(|done| !done).map_or(23, |at| at as u64 * 4);
                prop_assert_eq!(parts.acknowledged(), Acknowledged { prefix, bytes });
                prop_assert_eq!(parts.all_done(), done.iter().all(|done| *done));
                let missing = parts.iter().position(|part| part.state == PartState::Missing);
                prop_assert_eq!(parts.missing(), missing);
            }
        }

        /// Whatever is added and taken back, the receipts cover the bytes up to the offset and their checksums are right.
        #[test]
        fn a_cursor_knows_its_bytes(steps in prop::collection::vec((any::<bool>(), 0..40_u64, any::<bool>()), 0..30)) {
            let data: Vec<u8> = (0..2000_u32).map(|at| (at * 7 % 251) as u8).collect();
            let of = |range: Range<u64>| crc32c(&data[range.start as usize..range.end as usize]);
            let mut cursor = Cursor::default();
            for (forward, bytes, known) in steps {
                let at = cursor.offset();
                match forward {
                    true => cursor.add(bytes, known.then(|| of(at..at + bytes))),
                    false => cursor.set(at.saturating_sub(bytes)),
                }
                let mut end = 0;
                for receipt in cursor.receipts() {
                    prop_assert_eq!(receipt.offset, end);
                    end = receipt.end();
                    if let Some(crc) = receipt.crc32c {
                        prop_assert_eq!(crc, of(receipt.offset..end));
                    }
                }
                prop_assert_eq!(end, cursor.offset());
                prop_assert_eq!(&Cursor::restored(cursor.receipts()), &cursor);
            }
        }
    }
}
