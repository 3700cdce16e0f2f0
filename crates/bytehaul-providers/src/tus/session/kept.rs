//! What of a session outlives the process, and how another one takes it up.

use super::{Session, State, at};
use crate::tus::progress::Progress;
use crate::tus::resource::Resource;
use crate::tus::wire::kept;
use crate::tus::{DOUBTFUL, MOST_PARTIALS, UNTOUCHED};
use crate::{Left, Saved, SessionId, Stage};

impl Session {
    /// Goes on with what an earlier run left. Tells whether there was anything to go on with.
    pub(super) fn take(&mut self, left: Left) -> bool {
        if left.saved.extra.contains_key(PARTIALS) {
            self.take_partials(left);
        } else if left.saved.session.is_some() {
            self.take_whole(left);
        } else {
            return false;
        }
        true
    }

    /// Takes up the one upload of an earlier run.
    fn take_whole(&mut self, left: Left) {
        self.partial_size = None;
        let saved = left.saved;
        let url = saved.session.as_ref().and_then(|id| kept(id.as_str()));
        // Whether it is still there is for the server to say, as long as it can be asked and sent again.
        if saved.stage == Stage::Complete && (url.is_none() || self.len.is_none()) {
            self.state = State::Done(at(url));
            return;
        }
        if saved.part_size > 0 {
            self.manner.part_size = saved.part_size;
        }
        let whole = Resource::new(0, 0, self.len);
        let unchanged = left.unchanged && !saved.extra.contains_key(DOUBTFUL);
        let progress = Progress::resumed(&saved.parts, unchanged);
        let touched = !saved.extra.contains_key(UNTOUCHED);
        self.resources.push(match url {
            Some(url) if saved.stage != Stage::Aborted => whole.existing(url, progress, touched),
            Some(_) | None => whole,
        });
    }

    /// Takes up the partial uploads of an earlier run.
    fn take_partials(&mut self, left: Left) {
        let saved = left.saved;
        let joined = saved.session.as_ref().and_then(|id| kept(id.as_str()));
        let is_complete = saved.stage == Stage::Complete;
        if is_complete && (joined.is_none() || self.len.is_none()) {
            self.partial_size = None;
            self.state = State::Done(at(joined));
            return;
        }
        let size = saved.part_size.max(1);
        let shares = self.len.unwrap_or(0).div_ceil(size);
        if saved.stage == Stage::Aborted || shares > MOST_PARTIALS {
            return;
        }
        self.partial_size = Some(size);
        self.plan();
        let mut proven = true;
        for resource in &mut self.resources {
            let number = resource.number();
            let fresh = Resource::new(number, resource.base(), resource.len());
            let receipt = saved.parts.iter().find(|receipt| {
                let place = (receipt.number, receipt.offset, Some(receipt.size));
                place == (number, resource.base(), resource.len())
            });
            let url = receipt.and_then(|receipt| kept(receipt.tag.as_deref()?));
            if let (Some(receipt), Some(url)) = (receipt, url) {
                let mut own = receipt.clone();
                own.offset = 0;
                let progress = Progress::resumed(&[own], left.unchanged);
                *resource = fresh.existing(url, progress, true);
                continue;
            }
            proven = false;
            let begun = saved.extra.get(&partial_key(number));
            if let Some(url) = begun.and_then(|url| kept(url)) {
                *resource = match left.unchanged {
                    true => fresh.existing(url, Progress::resumed(&[], true), true),
                    false => fresh.instead_of(url),
                };
            }
        }
        self.joined_maybe = is_complete || saved.stage == Stage::Committing;
        if let (true, Some(url)) = (proven && self.joined_maybe, joined) {
            self.state = State::Verify(url);
        }
    }

    /// What to keep.
    pub(super) fn keep(&self) -> Saved {
        let begun = self.resources.iter().any(|part| part.url().is_some());
        let stage = match &self.state {
            State::Done(_) => Stage::Complete,
            State::Aborted => Stage::Aborted,
            State::Join | State::Joining(_) | State::Verify(_) | State::Verifying(..) => {
                Stage::Committing
            }
            // Until the server has said more, the parts may have been joined already.
            _ if begun && self.joined_maybe => Stage::Committing,
            _ if begun => Stage::Sending,
            _ => Stage::Beginning,
        };
        let url = match &self.state {
            State::Done(completed) => completed.location.clone(),
            State::Verify(url) | State::Verifying(url, _) => Some(url.to_string()),
            _ => self
                .whole()
                .and_then(|whole| Some(whole.url()?.to_string())),
        };
        let mut saved = Saved {
            session: url.map(SessionId::new),
            stage,
            ..Saved::default()
        };
        let expires = self.resources.iter().find_map(Resource::expires);
        if let Some(expires) = expires {
            saved.extra.insert(EXPIRES.into(), expires.to_owned());
        }
        match self.partial_size {
            // It is not decided yet, and nothing is there to be taken up.
            Some(_) if !begun => (),
            Some(size) => {
                saved.part_size = size;
                saved.extra.insert(PARTIALS.into(), "1".into());
                saved.parts = self
                    .resources
                    .iter()
                    .filter_map(Resource::receipt)
                    .collect();
                for part in self.resources.iter().filter(|part| !part.is_complete()) {
                    if let Some(url) = part.url() {
                        saved
                            .extra
                            .insert(partial_key(part.number()), url.to_string());
                    }
                }
            }
            None => {
                saved.part_size = self.manner.part_size;
                if let Some(whole) = self.whole() {
                    saved.parts = whole.receipts().to_vec();
                    if whole.is_doubtful() {
                        saved.extra.insert(DOUBTFUL.into(), "1".into());
                    }
                    if whole.url().is_some() && !whole.touched() {
                        saved.extra.insert(UNTOUCHED.into(), "1".into());
                    }
                }
            }
        }
        saved
    }
}

fn partial_key(number: u32) -> String {
    format!("{PARTIAL}{number}")
}

/// Says that the upload goes in partial uploads.
const PARTIALS: &str = "concatenation";

/// With the number of a partial upload that is not complete: its URL.
const PARTIAL: &str = "partial.";

/// When the server will drop the upload, as it said.
const EXPIRES: &str = "expires";
