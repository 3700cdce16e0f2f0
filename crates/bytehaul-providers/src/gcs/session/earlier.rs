//! What an earlier run has left: a session to go on with, or an object to look for.

use url::Url;

use super::{ETAG, LEN, Session, State};
use crate::gcs::answers;
use crate::{Answer, Cursor, Left, Stage};

impl Session {
    pub(super) fn take_up(&mut self, left: &Left) {
        let saved = &left.saved;
        let len: Option<u64> = saved.extra.get(LEN).and_then(|len| len.parse().ok());
        let url = saved.session.as_ref();
        let url = url.and_then(|url| Url::parse(url.as_str()).ok());
        if len != self.len || saved.stage == Stage::Aborted {
            return;
        }
        // A session that has ended answers for its upload, and not for what is there today: that is asked of the object,
        // or sent again.
        if saved.stage == Stage::Complete {
            let etag = saved.extra.get(ETAG).filter(|_| left.unchanged);
            if let (Some(etag), Some(_)) = (etag, &self.settings.object) {
                self.state = State::Look(etag.clone());
            }
            return;
        }
        let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
            return;
        };
        self.cursor = Cursor::restored(&saved.parts);
        self.trusted = match left.unchanged {
            true => u64::MAX,
            false => self.cursor.offset(),
        };
        self.is_in_doubt = saved.stage == Stage::Committing;
        self.url = Some(url);
        self.state = State::Ask;
    }

    /// An object is there: the one that an earlier run has made, or it is sent again.
    pub(super) fn looked(&mut self, answer: &Answer<'_>) {
        let State::Look(etag) = &self.state else {
            return;
        };
        let found = answers::finished(answer);
        let is_same = found.completed.etag.as_ref() == Some(etag) && found.size == self.len;
        self.state = match self.len.filter(|_| is_same) {
            Some(len) => {
                self.cursor.set(len);
                State::Done(found.completed)
            }
            None => State::Open,
        };
    }
}
