//! The hashes of pieces at work: which piece can be checked by now, what a wrong one leads to, and the reading back.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytehaul_integrity::{Digest, Hasher};
use bytehaul_schedule::{ByteRange, RangeSet};
use bytehaul_storage::Writer;
use bytehaul_transport::SafeUrl;
use tokio::task::JoinSet;

use crate::error::DownloadError;
use crate::piece_hashes::PieceHashes;

/// The pieces of one download, over all its attempts.
#[derive(Debug)]
pub(crate) struct Pieces {
    url: SafeUrl,
    hashes: PieceHashes,
    book: Mutex<Book>,
}

/// What is known of each piece. Pure.
#[derive(Debug, Default)]
struct Book {
    len: u64,
    /// How often it was begun: what an older check still finds does not count.
    generation: u64,
    /// Bytes of pieces that nobody has begun to check.
    unchecked: RangeSet,
    checking: usize,
    /// How often each of these was wrong.
    wrong: HashMap<usize, u32>,
}

/// What a check has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Checked {
    Right,
    /// These bytes were wrong. They are not there any more, in the file's own books.
    Wrong(Range<u64>),
}

impl Pieces {
    pub(crate) fn new(url: SafeUrl, hashes: PieceHashes) -> Self {
        Self {
            url,
            hashes,
            book: Mutex::default(),
        }
    }

    /// Begins again with nothing checked, for a file of `len` bytes.
    pub(crate) fn begin(&self, len: u64) {
        let mut book = self.book();
        book.len = len;
        book.generation += 1;
        book.checking = 0;
        book.unchecked = ByteRange::new(0, len).into_iter().collect();
    }

    /// Whether every piece was found right.
    fn is_settled(&self) -> bool {
        let book = self.book();
        book.unchecked.is_empty() && book.checking == 0
    }

    fn take_due(&self, written: &RangeSet, most: usize) -> Vec<usize> {
        self.book()
            .take_due(self.hashes.piece_length(), written, most)
    }

    /// Checks one piece, whose bytes are all written. A wrong one is taken for missing before this returns.
    async fn check(&self, writer: &Writer, piece: usize) -> Result<Checked, DownloadError> {
        let (len, generation) = {
            let book = self.book();
            (book.len, book.generation)
        };
        let range = self.hashes.range(piece, len);
        let (Some(range), Some(expected)) = (range, self.hashes.hash(piece)) else {
            return Ok(Checked::Right);
        };
        let (part, span) = (writer.layout().part.clone(), range.clone());
        let actual =
            super::blocking(move || digest(&part, span, Hasher::new(expected.algorithm()))).await;
        // What cannot be read back has to come again, like what is wrong.
        if actual.as_ref().is_ok_and(|actual| *actual == expected) {
            self.book().note_right(generation);
            return Ok(Checked::Right);
        }
        writer.invalidate(range.clone()).await?;
        let times = self.book().note_wrong(generation, piece, &range);
        match actual {
            Ok(actual) if times >= MOST_TIMES => Err(DownloadError::ChecksumMismatch {
                url: self.url.clone(),
                expected: Box::new(expected),
                actual: Box::new(actual),
                declared: false,
                piece: Some(range),
            }),
            Ok(_) => {
                bytehaul_log::warn!(url = %self.url, ?range, times, "a piece is wrong; it is fetched again");
                Ok(Checked::Wrong(range))
            }
            Err(source) if times >= MOST_TIMES => Err(unreadable(writer, source)),
            Err(_) => Ok(Checked::Wrong(range)),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Whether it was begun for a file of this length, and nothing was stopped in the middle.
    fn is_of(&self, len: u64) -> bool {
        self.len == len && self.checking == 0
    }

    /// Pieces that are there in full and were not checked, at most so many; they count as being checked from now on.
    fn take_due(&mut self, piece_length: u64, written: &RangeSet, most: usize) -> Vec<usize> {
        let mut due = Vec::new();
        for there in written.intersection(&self.unchecked).iter() {
            let mut piece = there.start().div_ceil(piece_length);
            while due.len() < most
                && let Some(start) = piece.checked_mul(piece_length)
                && let end = start.saturating_add(piece_length).min(self.len)
                && start < end
                && end <= there.end()
            {
                due.extend(usize::try_from(piece));
                piece += 1;
            }
        }
        for &piece in &due {
            let start = piece as u64 * piece_length;
            let range = ByteRange::new(start, start.saturating_add(piece_length).min(self.len));
            self.unchecked.remove(range.expect("a piece has bytes"));
        }
        self.checking += due.len();
        due
    }

    /// Every piece that has some of these bytes is unchecked; what is found of one that is being checked now does not
    /// change that.
    fn forget(&mut self, piece_length: u64, bytes: &RangeSet) {
        for range in bytes.iter() {
            let start = range.start() / piece_length * piece_length;
            let end = range.end().div_ceil(piece_length);
            let end = end.saturating_mul(piece_length).min(self.len);
            self.unchecked.extend(ByteRange::new(start, end));
        }
    }

    fn note_right(&mut self, generation: u64) {
        if self.generation == generation {
            self.checking -= 1;
        }
    }

    fn note_wrong(&mut self, generation: u64, piece: usize, range: &Range<u64>) -> u32 {
        if self.generation == generation {
            self.checking -= 1;
            self.unchecked
                .extend(ByteRange::new(range.start, range.end));
        }
        let times = self.wrong.entry(piece).or_default();
        *times += 1;
        *times
    }
}

/// Checks pieces beside a transfer. Dropping it stops that; what was wrong is found again by the next run.
#[derive(Debug)]
pub(crate) struct Checker {
    work: Option<(Arc<Pieces>, Writer)>,
    tasks: JoinSet<Result<Checked, DownloadError>>,
}

impl Checker {
    /// Checks every piece of a file of `len` bytes anew. For `None` there is nothing to check.
    pub(crate) fn begin(work: Option<(Arc<Pieces>, Writer)>, len: u64) -> Self {
        if let Some((pieces, _)) = &work {
            pieces.begin(len);
        }
        Self {
            work,
            tasks: JoinSet::new(),
        }
    }

    /// Checks what an earlier checker has left of a file of `len` bytes.
    pub(crate) fn go_on(work: Option<(Arc<Pieces>, Writer)>, len: u64) -> Self {
        let known = work
            .as_ref()
            .is_none_or(|(pieces, _)| pieces.book().is_of(len));
        if known {
            let tasks = JoinSet::new();
            return Self { work, tasks };
        }
        Self::begin(work, len)
    }

    /// Whether every piece was found right.
    pub(crate) fn is_settled(&self) -> bool {
        self.work
            .as_ref()
            .is_none_or(|(pieces, _)| pieces.is_settled())
    }

    /// Has the pieces of these bytes checked again, which are missing again for a reason of their own.
    pub(crate) fn forget(&self, bytes: &RangeSet) {
        if let Some((pieces, _)) = &self.work {
            pieces.book().forget(pieces.hashes.piece_length(), bytes);
        }
    }

    /// Begins to check what is there by now, a few pieces at a time.
    pub(crate) fn look(&mut self) {
        let free = AT_ONCE - self.tasks.len().min(AT_ONCE);
        let Some((pieces, writer)) = &self.work else {
            return;
        };
        if free == 0 || pieces.is_settled() {
            return;
        }
        for piece in pieces.take_due(&written(writer), free) {
            let (pieces, writer) = (Arc::clone(pieces), writer.clone());
            self.tasks
                .spawn(async move { pieces.check(&writer, piece).await });
        }
    }

    /// What the next check has found; waits for ever when nothing is being checked. Cancel safe.
    ///
    /// # Errors
    /// A piece that was wrong too often, and trouble with the disk.
    pub(crate) async fn next(&mut self) -> Result<Checked, DownloadError> {
        match self.tasks.join_next().await {
            Some(Ok(checked)) => checked,
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// What keeps this from being settled though everything seemed to be there: bytes that are not in the file after
    /// all. `None` while something is still being checked, or can be.
    pub(crate) async fn lacks(&mut self) -> Result<Option<RangeSet>, DownloadError> {
        let Some((pieces, writer)) = &self.work else {
            return Ok(None);
        };
        if !self.tasks.is_empty() || pieces.is_settled() {
            return Ok(None);
        }
        writer.settled().await?;
        let len = pieces.book().len;
        let lacks = ByteRange::new(0, len).map(|whole| written(writer).gaps(whole));
        self.look();
        Ok(lacks.filter(|lacks| !lacks.is_empty() && self.tasks.is_empty()))
    }

    /// Checks the rest of a file of which everything was handed over, and says which bytes were wrong.
    pub(crate) async fn finish(&mut self) -> Result<RangeSet, DownloadError> {
        if let Some((pieces, writer)) = &self.work
            && !pieces.is_settled()
        {
            writer.settled().await?;
        }
        let mut wrong = RangeSet::new();
        loop {
            self.look();
            if self.tasks.is_empty() {
                return Ok(wrong);
            }
            if let Checked::Wrong(range) = self.next().await? {
                wrong.extend(ByteRange::new(range.start, range.end));
            }
        }
    }
}

fn written(writer: &Writer) -> RangeSet {
    writer
        .written()
        .into_iter()
        .filter_map(|range| ByteRange::new(range.start, range.end))
        .collect()
}

fn digest(part: &Path, span: Range<u64>, mut hasher: Hasher) -> io::Result<Digest> {
    let mut file = std::fs::File::open(part)?;
    file.seek(SeekFrom::Start(span.start))?;
    let mut left = span.end - span.start;
    let mut buffer = vec![0; BUFFER.min(usize::try_from(left).unwrap_or(BUFFER))];
    while left > 0 {
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        file.read_exact(&mut buffer[..wanted])?;
        hasher.update(&buffer[..wanted]);
        left -= wanted as u64;
    }
    Ok(hasher.finish())
}

fn unreadable(writer: &Writer, source: io::Error) -> DownloadError {
    bytehaul_storage::Error::Io {
        action: "read",
        path: writer.layout().part.clone(),
        offset: None,
        source: source.into(),
    }
    .into()
}

/// A piece that is wrong so often is wrong at its source.
const MOST_TIMES: u32 = 3;

/// Checks that may run beside a transfer at the same time.
const AT_ONCE: usize = 2;

const BUFFER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange::new(start, end).expect("a range")
    }

    fn book(len: u64) -> Book {
        Book {
            len,
            unchecked: [range(0, len)].into_iter().collect(),
            ..Book::default()
        }
    }

    #[test]
    fn a_piece_is_due_when_it_is_whole_and_due_again_when_it_was_wrong() {
        let mut book = book(25);
        let there = |ranges: &[(u64, u64)]| ranges.iter().map(|&(a, b)| range(a, b)).collect();
        assert_eq!(book.take_due(10, &there(&[(0, 9), (11, 20)]), 9), [0; 0]);
        assert_eq!(book.take_due(10, &there(&[(0, 19), (20, 25)]), 9), [0, 2]);
        assert_eq!(book.take_due(10, &there(&[(0, 25)]), 9), [1]);
        assert_eq!(book.take_due(10, &there(&[(0, 25)]), 9), [0; 0]);
        assert_eq!((book.note_wrong(0, 1, &(10..20)), book.checking), (1, 2));
        assert_eq!(book.take_due(10, &there(&[(0, 10), (20, 25)]), 9), [0; 0]);
        assert_eq!(book.take_due(10, &there(&[(0, 25)]), 9), [1]);
        assert_eq!(book.note_wrong(0, 1, &(10..20)), 2);
        book.forget(10, &there(&[(12, 13), (21, 22)]));
        assert_eq!(book.take_due(10, &there(&[(0, 25)]), 9), [1, 2]);
    }

    proptest! {
        #[test]
        fn every_piece_is_checked_once_in_whatever_order_bytes_come(
            len in 1u64..200,
            piece in 1u64..40,
            most in 1usize..4,
            arrivals in prop::collection::vec((0u64..200, 1u64..60), 0..40),
        ) {
            let mut book = book(len);
            let mut written = RangeSet::new();
            let mut seen = Vec::new();
            let mut take = |book: &mut Book, written: &RangeSet| loop {
                let due = book.take_due(piece, written, most);
                if due.is_empty() {
                    break;
                }
                for &one in &due {
                    let start = one as u64 * piece;
                    assert!(written.contains(&range(start, (start + piece).min(len))));
                }
                seen.extend(due);
            };
            for (start, count) in arrivals {
                if start < len {
                    written.insert(range(start, (start + count).min(len)));
                    take(&mut book, &written);
                }
            }
            written.insert(range(0, len));
            take(&mut book, &written);
            seen.sort_unstable();
            let all: Vec<usize> = (0..usize::try_from(len.div_ceil(piece)).expect("small")).collect();
            prop_assert_eq!(&seen, &all);
            prop_assert!(book.unchecked.is_empty());
            prop_assert_eq!(book.checking, all.len());
        }
    }
}
