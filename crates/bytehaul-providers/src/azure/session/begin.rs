//! How an upload begins: as a new one, or with what an earlier run has left; and into which parts it goes.

use std::collections::HashMap;
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};

use super::{ETAG, Md5, Reason, Session, State};
use crate::azure::digests::Digests;
use crate::azure::object::Blob;
use crate::azure::{BlockIds, Existing, Setup};
use crate::blocks::MOST_BLOCKS;
use crate::credentials::Keys;
use crate::{
    Available, Completed, Ids, Left, Part, PartState, Parts, ProtocolError, ProtocolErrorKind,
    Stage,
};

impl Session {
    pub(in crate::azure) fn new(
        setup: Arc<Setup>,
        mut blob: Blob,
        left: Option<Left>,
    ) -> Result<Self, ProtocolError> {
        // What a stream gave then cannot be compared with what it gives now.
        let left = left.filter(|left| left.saved.stage != Stage::Aborted && blob.len.is_some());
        let kept_size = left.as_ref().map_or(0, |left| left.saved.part_size);
        if kept_size > 0 && blob.len.unwrap_or(0).div_ceil(kept_size) <= MOST_BLOCKS {
            blob.part_size = kept_size;
        }
        let name = fresh_name()?;
        let mut session = Self {
            keys: Keys::new(&setup.credentials),
            ids: Ids::default(),
            block_ids: BlockIds::of_session(&name),
            name,
            parts: Parts::default(),
            missing: 0,
            is_whole: false,
            digests: Digests::new(setup.config.check),
            flights: HashMap::new(),
            state: State::Sending,
            maybe_made: false,
            is_refused: false,
            rounds: 0,
            md5: Md5::Unknown,
            setup,
            blob,
        };
        if let Some(len) = session.blob.len {
            session.parts = Parts::even(len, session.blob.part_size, 1);
            session.missing = session.parts.len();
            session.is_whole = session.missing == 1;
        }
        match left {
            Some(left) => session.restore(left),
            None => session.state = session.first(),
        }
        Ok(session)
    }

    /// Where an upload begins of which nothing is there.
    fn first(&self) -> State {
        // What is put at once hears of it soon enough.
        match self.setup.config.existing {
            Existing::Refuse if !self.is_whole => State::Vacant,
            Existing::Refuse | Existing::Replace => State::Sending,
        }
    }

    fn restore(&mut self, left: Left) {
        let Left { saved, unchanged } = left;
        if saved.stage == Stage::Complete && !unchanged {
            self.state = self.first();
            return;
        }
        for receipt in saved.parts {
            let index = usize::try_from(receipt.number).unwrap_or(0).wrapping_sub(1);
            let fits = |part: &Part| part.range == (receipt.offset..receipt.end());
            let is_named = self.is_whole || receipt.tag.is_some();
            if is_named && self.parts.get(index).is_some_and(fits) {
                self.set(index, PartState::Done(receipt));
            }
        }
        if saved.stage == Stage::Complete {
            self.state = State::Still(Completed {
                etag: saved.extra.get(ETAG).cloned(),
                ..Completed::default()
            });
            return;
        }
        // A source that has changed must not be put under the names of what it was: a block of it may still be on its way.
        if let Some(session) = saved.session.filter(|_| unchanged) {
            self.name = session.as_str().to_owned();
            self.block_ids = BlockIds::of_session(&self.name);
        }
        // The run that has sent the last part may have sent the list too.
        self.maybe_made = match self.is_whole {
            true => saved.stage != Stage::Beginning,
            false => saved.stage == Stage::Committing || self.missing == 0,
        };
        self.state = match self.is_whole {
            true => State::Sending,
            false => State::List(Reason::Resume),
        };
    }

    /// The upload begins anew: what an earlier run has made is not there any more.
    pub(super) fn afresh(&mut self) {
        self.all_missing();
        self.maybe_made = false;
        self.state = self.first();
    }

    pub(super) fn all_missing(&mut self) {
        for index in 0..self.parts.len() {
            self.set(index, PartState::Missing);
        }
    }

    /// Adds the parts of a source without end that can be read by now.
    pub(super) fn grow(&mut self, available: Available) -> Result<(), ProtocolError> {
        if self.is_whole {
            return Ok(());
        }
        loop {
            let start = self.parts.end();
            let size = self.blob.size_of(self.parts.len());
            let until = start.saturating_add(size).min(available.until);
            self.is_whole = available.ended && self.parts.is_empty() && available.until <= size;
            let is_part = until.saturating_sub(start) == size
                || (available.ended && until > start)
                || self.is_whole;
            if !is_part {
                return Ok(());
            }
            if self.parts.len() as u64 >= MOST_BLOCKS {
                let what = format!(
                    "a blob has no more than {MOST_BLOCKS} blocks, and more bytes come after them"
                );
                return Err(ProtocolError::new(ProtocolErrorKind::Length, what));
            }
            let number = u32::try_from(self.parts.len() + 1).unwrap_or(u32::MAX);
            self.parts.push(number, start..until);
            self.missing += 1;
            if self.is_whole {
                return Ok(());
            }
        }
    }
}

/// A name that no other upload has.
pub(in crate::azure) fn fresh_name() -> Result<String, ProtocolError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        let what = "this system has no random numbers to name blocks with";
        ProtocolError::new(ProtocolErrorKind::Custom, what)
    })?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
