//! The IETF's draft: a server that knows whether an upload is complete, and never forgets what was.

use std::thread;
use std::time::{Duration, Instant};

use super::{WRONG, elsewhere, flood, page, resources};
use crate::conformance::{Abilities, After, Endpoint, Lie, Loss, Place, Step};
use crate::uploads::{DraftServer, Fault, Gate};

/// A server of the draft.
#[derive(Debug)]
pub struct Draft {
    server: DraftServer,
}

impl Draft {
    /// Starts one.
    ///
    /// # Panics
    /// As [`DraftServer::start`].
    #[must_use]
    pub fn start() -> Option<Self> {
        let server = DraftServer::start()?;
        Some(Self { server })
    }

    fn known(&self, place: &Place) -> Vec<String> {
        resources(self.gate(), place.since, &["PATCH", "HEAD", "DELETE"])
    }
}

impl Endpoint for Draft {
    fn name(&self) -> &'static str {
        "tus-draft"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            parallel: 1,
            least_parallel: 1,
            resumable: true,
            streams: true,
            recommits: true,
            aborts: true,
            renews: true,
            part: 64 << 10,
            many: 200,
        }
    }

    fn gate(&self) -> &Gate {
        self.server.gate()
    }

    fn place(&self, name: &str, content: &[u8], _part: u64) -> Place {
        Place {
            address: self.server.url(),
            key: name.to_owned(),
            len: content.len() as u64,
            since: self.gate().requests().len(),
        }
    }

    fn object(&self, place: &Place, location: Option<&str>) -> Option<Vec<u8>> {
        let known = match location {
            Some(location) => vec![location.to_owned()],
            None => self.known(place),
        };
        // It answers before it has written down that it did.
        let begun = Instant::now();
        loop {
            if let Some(complete) = known.iter().find(|id| self.server.is_complete(id)) {
                return self.server.stored(complete);
            }
            if begun.elapsed() > SETTLE {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn is_staged(&self, place: &Place) -> bool {
        let mut known = self.known(place).into_iter();
        known.any(|id| self.server.stored(&id).is_some())
    }

    fn aim(&self, step: Step, fault: Fault, _parts: u64) -> Option<Fault> {
        match step {
            Step::Begin => Some(fault.on("POST")),
            Step::Part => Some(fault.on("PATCH")),
            Step::Commit => None,
        }
    }

    fn lose(&self, place: &Place, loss: Loss) -> Option<After> {
        let known = self.known(place);
        let upload = known.iter().find(|id| self.server.stored(id).is_some())?;
        let has = self.server.stored(upload).map_or(0, |bytes| bytes.len());
        match loss {
            Loss::Some => self.server.truncate(upload, has as u64 / 2),
            Loss::All => self.server.delete(upload),
        }
        Some(After::Recovers)
    }

    fn lies(&self) -> Vec<Lie> {
        let post = |fault: Fault| fault.on("POST");
        let patch = |fault: Fault| fault.on("PATCH");
        let told = |offset: &str, complete: &str| {
            let fault = Fault::replace(204, "").header("Upload-Offset", offset);
            patch(fault.header("Upload-Complete", complete))
        };
        vec![
            Lie::new("a page to the creation", post(page(200)), WRONG),
            Lie::new(
                "a creation without a place",
                post(Fault::replace(201, "")),
                WRONG,
            ),
            Lie::new("a page to a part", patch(page(200)), WRONG),
            Lie::new("a part that nobody saw", patch(Fault::refuse(200)), WRONG),
            Lie::new("a flood", patch(flood(200)), WRONG),
            Lie::new("an offset beyond the end", told("99999999999", "?0"), WRONG),
            Lie::new("an offset that stays", told("0", "?0"), WRONG),
            Lie::new("an offset before the start", told("-5", "?0"), WRONG),
            Lie::new("complete in the middle", told("65536", "?1"), WRONG),
            Lie::new("nothing told", patch(Fault::replace(204, "")), WRONG),
            Lie::new("a conflict", patch(Fault::replace(409, "")), WRONG),
            Lie::new("gone", patch(Fault::replace(404, "")), WRONG),
            Lie::new("elsewhere", patch(elsewhere(302)), &[109]),
        ]
    }
}

const SETTLE: Duration = Duration::from_millis(100);
