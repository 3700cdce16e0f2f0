//! How a session begins: anew, or where an earlier run was.

use std::collections::HashMap;

use super::{CHECKSUM, ETAG, LEN, Listing, Looking, MOST_RESTARTS, Session, State};
use crate::credentials::Keys;
use crate::s3::answers::Said;
use crate::s3::geometry::Geometry;
use crate::s3::listing::PartList;
use crate::s3::wire::Wire;
use crate::s3::{Checksum, S3Config};
use crate::{Ids, Left, Object, PartState, Parts, ProtocolError, ProtocolErrorKind, Stage};

impl Session {
    pub(in crate::s3) fn new(
        wire: Wire,
        config: &S3Config,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Self, ProtocolError> {
        let geometry = Geometry::new(object, config)?;
        let mut session = Self {
            wire,
            keys: Keys::new(&config.credentials),
            ids: Ids::default(),
            geometry,
            parallel: object.parallel.max(1),
            parts: parts(&geometry),
            digests: HashMap::new(),
            sums: HashMap::new(),
            upload: None,
            flights: HashMap::new(),
            state: State::Begin,
            maybe_made: false,
            is_refused: false,
            is_in_doubt: false,
            has_moved: false,
            is_stream: object.len.is_none(),
            restarts: 0,
        };
        if let Some(left) = left {
            session.take_up(left);
        }
        Ok(session)
    }

    fn take_up(&mut self, left: Left) {
        let saved = left.saved;
        let len: Option<u64> = saved.extra.get(LEN).and_then(|len| len.parse().ok());
        let checksum = saved.extra.get(CHECKSUM);
        let checksum = checksum.and_then(|kept| Checksum::from_kept(kept));
        if len != self.geometry.len || saved.stage == Stage::Aborted {
            return;
        }
        if saved.stage == Stage::Complete {
            if left.unchanged {
                self.state = State::Look(Looking::Complete(saved.extra.get(ETAG).cloned()));
            }
            return;
        }
        let Some(upload) = saved.session else {
            // The one request of a small object may have arrived.
            self.maybe_made = saved.stage == Stage::Committing;
            return;
        };
        let geometry = Geometry::of_earlier(saved.part_size, len);
        let (Some(geometry), Some(checksum)) = (geometry, checksum) else {
            return;
        };
        self.upload = Some(upload.as_str().to_owned());
        self.wire.checksum = checksum;
        self.geometry = geometry;
        self.parts = parts(&geometry);
        let numbered = self.parts.iter().enumerate();
        let by_number: HashMap<u32, usize> = numbered.map(|(at, part)| (part.number, at)).collect();
        for receipt in saved.parts {
            let Some(&index) = by_number.get(&receipt.number) else {
                continue;
            };
            let range = self.parts.get(index).map(|part| part.range.clone());
            if range == Some(receipt.offset..receipt.end()) {
                self.parts.set(index, PartState::Done(receipt));
            }
        }
        // What a stream has sent cannot be compared with what it gives now, but overwritten.
        self.state = match geometry.len {
            None => State::Sending,
            Some(_) => {
                let committing = saved.stage == Stage::Committing || self.parts.all_done();
                self.is_in_doubt = committing;
                State::List(PartList::default(), Listing::Earlier { committing })
            }
        };
    }

    /// Begins anew, because the server has nothing any more of what was sent; `said` is how it said so.
    ///
    /// # Errors
    /// It has said so too often, or what was sent cannot be had again.
    pub(super) fn restart(&mut self, said: &Said) -> Result<(), ProtocolError> {
        let is_gone = self.is_stream && self.parts.acknowledged().bytes > 0;
        if is_gone || self.restarts == MOST_RESTARTS {
            let what = match is_gone {
                true => format!("the server has lost what it had of a stream: {said}"),
                false => format!("the server has lost the upload again: {said}"),
            };
            return Err(ProtocolError::new(
                ProtocolErrorKind::Status(said.status),
                what,
            ));
        }
        self.put_all_back();
        self.restarts += 1;
        self.digests.clear();
        self.sums.clear();
        self.upload = None;
        self.maybe_made = false;
        for index in 0..self.parts.len() {
            self.parts.set(index, PartState::Missing);
        }
        self.state = State::Begin;
        Ok(())
    }
}

/// Those of an object whose length is known; of a stream, none yet.
fn parts(geometry: &Geometry) -> Parts {
    match geometry.len {
        Some(len) => Parts::even(len, geometry.size, 1),
        None => Parts::default(),
    }
}
