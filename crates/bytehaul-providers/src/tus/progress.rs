//! How far an upload resource is, and how much of what its server claims to have is believed.

use std::ops::Range;

use crate::{Answer, Cursor, PartReceipt, ProtocolError, ProtocolErrorKind};

/// The bytes of one upload resource, counted from its own start.
#[derive(Debug, Default)]
pub(super) struct Progress {
    cursor: Cursor,
    /// Bytes at the server up to here can be ours: they are proven, or this run has sent them.
    trusted: u64,
    /// Whether an earlier run wrote to the resource too.
    resumed: bool,
    /// Whether what the server has may still turn out to be of an earlier source.
    doubtful: bool,
    /// The furthest that the server has ever confirmed.
    furthest: u64,
    /// Successes since then that did not say how far it is.
    silent: u32,
}

/// Whose bytes the server has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Ours.
    Ours,
    /// Bytes that an earlier run sent of a source that has changed since.
    Stale,
}

impl Progress {
    /// Of a resource that an earlier run began. If the source is `unchanged`, all that the server has is believed, else no
    /// more than the receipts prove.
    pub(super) fn resumed(receipts: &[PartReceipt], unchanged: bool) -> Self {
        let cursor = Cursor::restored(receipts);
        let trusted = if unchanged { u64::MAX } else { cursor.offset() };
        Self {
            furthest: cursor.offset(),
            trusted,
            cursor,
            resumed: true,
            doubtful: !unchanged,
            silent: 0,
        }
    }

    /// What is known of the bytes.
    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Whether the next run must not trust the server even if the source is the one of this run, because this run has not
    /// found out yet whose bytes the server has.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Bytes that the server has.
    pub(super) fn offset(&self) -> u64 {
        self.cursor.offset()
    }

    /// The CRC-32C of all of them, where it is known.
    pub(super) fn crc32c(&self) -> Option<u32> {
        match self.cursor.receipts() {
            [all] => all.crc32c,
            _ => None,
        }
    }

    /// Bytes up to here are on their way.
    pub(super) fn sending(&mut self, until: u64) {
        self.trusted = self.trusted.max(until);
    }

    /// The server has answered that it took of these bytes those before `offset`, maybe before all of them were sent.
    ///
    /// # Errors
    /// It cannot be so.
    pub(super) fn took(
        &mut self,
        range: &Range<u64>,
        offset: u64,
        answer: &Answer<'_>,
    ) -> Result<(), ProtocolError> {
        let sent = range.start.saturating_add(answer.sent).min(range.end);
        let whole = offset == range.end;
        let partly = offset > range.start && offset < range.end;
        if !(whole || partly) || offset > sent {
            return Err(wrong(format!(
                "the server is at {offset} after it was sent {}-{}",
                range.start, sent
            )));
        }
        self.cursor.set(range.start);
        self.cursor
            .add(offset - range.start, answer.crc32c.filter(|_| whole));
        self.advanced();
        Ok(())
    }

    /// The server was asked and is at `offset`, of `len` if that is known.
    ///
    /// # Errors
    /// It cannot be so.
    pub(super) fn at(&mut self, offset: u64, len: Option<u64>) -> Result<Standing, ProtocolError> {
        if offset > self.trusted && self.resumed {
            return Ok(Standing::Stale);
        }
        if offset > len.unwrap_or(u64::MAX).min(self.trusted) {
            return Err(wrong(format!(
                "the server has {offset} bytes, more than it was sent"
            )));
        }
        self.doubtful = false;
        self.cursor.set(offset);
        self.advanced();
        Ok(Standing::Ours)
    }

    /// Whose bytes an upload of this length is for, if the source is of `len` bytes.
    ///
    /// # Errors
    /// It is not for the source, which has not changed since.
    pub(super) fn fits(
        &self,
        declared: Option<u64>,
        len: Option<u64>,
    ) -> Result<Standing, ProtocolError> {
        let (Some(declared), Some(len)) = (declared, len) else {
            return Ok(Standing::Ours);
        };
        if declared == len {
            return Ok(Standing::Ours);
        }
        if self.doubtful {
            return Ok(Standing::Stale);
        }
        let what = format!("the upload at the server is of {declared} bytes, the source of {len}");
        Err(ProtocolError::new(ProtocolErrorKind::Changed, what))
    }

    /// A request that sent bytes succeeded, and the answer does not say how far the server is.
    ///
    /// # Errors
    /// It has done so again and again, and has not come further.
    pub(super) fn unsaid(&mut self) -> Result<(), ProtocolError> {
        self.silent += 1;
        if self.silent > MOST_SILENT {
            return Err(wrong(
                "the server takes bytes and does not keep them".into(),
            ));
        }
        Ok(())
    }

    fn advanced(&mut self) {
        if self.offset() > self.furthest {
            self.furthest = self.offset();
            self.silent = 0;
        }
    }
}

fn wrong(what: String) -> ProtocolError {
    ProtocolError::new(ProtocolErrorKind::Range, what)
}

/// Successes without progress before the server is given up.
const MOST_SILENT: u32 = 8;
