//! How a session begins: anew, or where an earlier run was.

use std::collections::HashMap;

use super::{ETAG, MOST_ROUNDS, Reason, SUMS, Session, State};
use crate::credentials::Keys;
use crate::oss::OssConfig;
use crate::oss::answers::Said;
use crate::oss::geometry::Geometry;
use crate::oss::listing::PartList;
use crate::oss::sums::Sums;
use crate::oss::wire::Wire;
use crate::{
    Completed, Ids, Left, Object, PartReceipt, PartState, Parts, ProtocolError, ProtocolErrorKind,
    Stage,
};

impl Session {
    pub(in crate::oss) fn new(
        wire: Wire,
        config: &OssConfig,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Self, ProtocolError> {
        let mut geometry = Geometry::new(object, config)?;
        let left = left.filter(|left| left.saved.stage != Stage::Aborted);
        let kept_size = left.as_ref().map_or(0, |left| left.saved.part_size);
        if let Some(earlier) = geometry.of_earlier(kept_size) {
            geometry = earlier;
        }
        let mut session = Self {
            wire,
            keys: Keys::new(&config.credentials),
            ids: Ids::default(),
            parallel: object.parallel.max(1),
            parts: Parts::default(),
            missing: 0,
            is_whole: false,
            sums: Sums::default(),
            claims: HashMap::new(),
            upload: None,
            flights: HashMap::new(),
            state: State::Sending,
            maybe_made: false,
            is_refused: false,
            moves: 0,
            rounds: 0,
            damaged: HashMap::new(),
            geometry,
        };
        if let Some(len) = geometry.len {
            session.parts = Parts::even(len, geometry.size, 1);
            session.missing = session.parts.len();
            session.is_whole = session.missing == 1;
        }
        if let Some(left) = left {
            session.take_up(left);
        }
        Ok(session)
    }

    fn take_up(&mut self, left: Left) {
        let Left { saved, unchanged } = left;
        let sums = saved.extra.get(SUMS);
        let sums = sums.map(|text| Sums::from_kept(text)).unwrap_or_default();
        match (saved.stage, self.geometry.len) {
            // What a stream gave then cannot be compared with what it gives now. Its upload is there to be discarded, or
            // to be written over.
            (_, None) => self.upload = saved.session.map(|id| id.as_str().to_owned()),
            (Stage::Complete, Some(_)) if unchanged => {
                self.restore(saved.parts, &sums);
                self.state = State::Still(Completed {
                    etag: saved.extra.get(ETAG).cloned(),
                    ..Completed::default()
                });
            }
            (Stage::Complete, Some(_)) => (),
            (stage, Some(_)) if self.is_whole => self.maybe_made = stage == Stage::Committing,
            (stage, Some(_)) => {
                let Some(session) = saved.session else {
                    return;
                };
                self.upload = Some(session.as_str().to_owned());
                let parts = saved.parts.into_iter();
                self.restore(parts.filter(|part| part.tag.is_some()), &sums);
                // The run that has sent the last part may have sent the completion too.
                self.maybe_made = stage == Stage::Committing || self.missing == 0;
                self.state = State::List(PartList::default(), Reason::Resume);
            }
        }
    }

    fn restore(&mut self, receipts: impl IntoIterator<Item = PartReceipt>, sums: &Sums) {
        for receipt in receipts {
            let index = usize::try_from(receipt.number).unwrap_or(0).wrapping_sub(1);
            let range = self.parts.get(index).map(|part| part.range.clone());
            if range == Some(receipt.offset..receipt.end()) {
                // Without its bytes' CRC-32C nobody has compared it with the source.
                if let Some(crc) = sums.get(index).filter(|_| receipt.crc32c.is_some()) {
                    self.sums.set(index, crc);
                }
                self.set(index, PartState::Done(receipt));
            }
        }
    }

    /// Begins anew, because the server has nothing any more of what was sent; `said` is how it said so.
    ///
    /// # Errors
    /// It has said so too often, or what was sent cannot be had again.
    pub(super) fn restart(&mut self, said: &Said) -> Result<(), ProtocolError> {
        if self.geometry.len.is_none() && self.parts.acknowledged().bytes > 0 {
            let what = format!("the server has lost what it had of a stream: {said}");
            let kind = ProtocolErrorKind::Status(said.status);
            return Err(ProtocolError::new(kind, what));
        }
        self.another_round(said)?;
        self.afresh();
        Ok(())
    }

    /// Nothing of it is there.
    pub(super) fn afresh(&mut self) {
        self.put_all_back();
        self.claims.clear();
        self.upload = None;
        self.maybe_made = false;
        for index in 0..self.parts.len() {
            self.set(index, PartState::Missing);
        }
        self.state = State::Sending;
    }

    /// Once more, but not for ever.
    pub(super) fn another_round(&mut self, said: &Said) -> Result<(), ProtocolError> {
        self.rounds += 1;
        if self.rounds <= MOST_ROUNDS {
            return Ok(());
        }
        let what = format!("the server keeps losing what it has taken: {said}");
        Err(ProtocolError::new(
            ProtocolErrorKind::Status(said.status),
            what,
        ))
    }
}
