//! tus 1.0: uploads are resources, which are found in the gate's log because their names are the server's.

use std::thread;
use std::time::Duration;

use super::{WRONG, elsewhere, flood, page, resources};
use crate::conformance::{Abilities, After, Endpoint, Lie, Loss, Place, Step};
use crate::uploads::{Fault, Gate, TusPy, TusServer, TusSetup};

/// The reference server of tus.
#[derive(Debug)]
pub struct Tus {
    server: TusServer,
    name: &'static str,
    abilities: Abilities,
}

impl Tus {
    /// Starts one.
    ///
    /// # Panics
    /// As [`TusServer::start`].
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(&TusSetup::new(), "tus")
    }

    /// The same with another setup and another name.
    ///
    /// # Panics
    /// As [`TusServer::start`].
    #[must_use]
    pub fn start_with(setup: &TusSetup, name: &'static str) -> Option<Self> {
        let server = setup.clone().start()?;
        let abilities = Abilities {
            parallel: 1,
            least_parallel: 1,
            resumable: true,
            streams: true,
            recommits: true,
            aborts: true,
            renews: true,
            part: 64 << 10,
            many: 200,
        };
        Some(Self {
            server,
            name,
            abilities,
        })
    }

    /// For a client that cannot do all that the server can.
    #[must_use]
    pub fn able(mut self, change: impl FnOnce(&mut Abilities)) -> Self {
        change(&mut self.abilities);
        self
    }

    fn known(&self, place: &Place) -> Vec<String> {
        resources(self.gate(), place.since, &WRITES)
    }
}

impl Endpoint for Tus {
    fn name(&self) -> &'static str {
        self.name
    }

    fn abilities(&self) -> Abilities {
        self.abilities
    }

    fn gate(&self) -> &Gate {
        self.server.gate()
    }

    fn place(&self, name: &str, content: &[u8], _part: u64) -> Place {
        place(&self.server.url(), name, content, self.gate())
    }

    fn object(&self, place: &Place, location: Option<&str>) -> Option<Vec<u8>> {
        whole(place, location, &self.known(place), |id| {
            self.server.stored(id)
        })
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
        lies()
    }
}

/// A server of tus that joins partial uploads.
#[derive(Debug)]
pub struct Concatenated {
    server: TusPy,
}

impl Concatenated {
    /// Starts one.
    ///
    /// # Panics
    /// As [`TusPy::start`].
    #[must_use]
    pub fn start() -> Option<Self> {
        let server = TusPy::start()?;
        Some(Self { server })
    }

    fn known(&self, place: &Place) -> Vec<String> {
        resources(self.gate(), place.since, &WRITES)
    }
}

impl Endpoint for Concatenated {
    fn name(&self) -> &'static str {
        "tus with concatenation"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            parallel: 3,
            least_parallel: 2,
            resumable: true,
            streams: true,
            // The server forgets the parts that it has joined.
            recommits: false,
            aborts: true,
            renews: true,
            part: 64 << 10,
            many: 60,
        }
    }

    fn gate(&self) -> &Gate {
        self.server.gate()
    }

    fn place(&self, name: &str, content: &[u8], _part: u64) -> Place {
        place(&self.server.url(), name, content, self.gate())
    }

    fn object(&self, place: &Place, location: Option<&str>) -> Option<Vec<u8>> {
        whole(place, location, &self.known(place), |id| {
            self.server.stored(id)
        })
    }

    fn is_staged(&self, place: &Place) -> bool {
        let mut known = self.known(place).into_iter();
        known.any(|id| self.server.stored(&id).is_some())
    }

    fn aim(&self, step: Step, fault: Fault, parts: u64) -> Option<Fault> {
        match step {
            Step::Begin => Some(fault.on("POST")),
            Step::Part => Some(fault.on("PATCH")),
            // Each part is created by a POST, and the last one joins them.
            Step::Commit => (parts > 1).then(|| fault.on("POST").after(parts)),
        }
    }

    fn settle(&self) {
        // The server stands still while a request waits for the lock that another one has.
        self.gate().disconnect();
        thread::sleep(Duration::from_millis(100));
    }

    fn lies(&self) -> Vec<Lie> {
        lies()
    }
}

fn place(url: &str, name: &str, content: &[u8], gate: &Gate) -> Place {
    Place {
        address: url.to_owned(),
        key: name.to_owned(),
        len: content.len() as u64,
        since: gate.requests().len(),
    }
}

/// Where it is said to be, or else any upload of the whole length.
fn whole(
    place: &Place,
    location: Option<&str>,
    known: &[String],
    stored: impl Fn(&str) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    if let Some(location) = location {
        return stored(location);
    }
    let mut all = known.iter().filter_map(|id| stored(id));
    all.find(|bytes| bytes.len() as u64 == place.len)
}

fn lies() -> Vec<Lie> {
    let post = |fault: Fault| fault.on("POST");
    let patch = |fault: Fault| fault.on("PATCH");
    let offset = |told: &str| patch(Fault::replace(204, "").header("Upload-Offset", told));
    vec![
        Lie::new("a page to the creation", post(page(200)), WRONG),
        Lie::new(
            "a creation without a place",
            post(Fault::replace(201, "")),
            WRONG,
        ),
        Lie::new(
            "a place that is none",
            post(Fault::replace(201, "").header("Location", "http://[")),
            WRONG,
        ),
        Lie::new("a page to a part", patch(page(200)), WRONG),
        Lie::new("a part that nobody saw", patch(Fault::refuse(200)), WRONG),
        Lie::new("a flood", patch(flood(200)), WRONG),
        Lie::new("an offset beyond the end", offset("99999999999"), WRONG),
        Lie::new("an offset that stays", offset("0"), WRONG),
        Lie::new("an offset before the start", offset("-5"), WRONG),
        Lie::new(
            "an offset beyond numbers",
            offset("99999999999999999999999"),
            WRONG,
        ),
        Lie::new("no offset", patch(Fault::replace(204, "")), WRONG),
        Lie::new("a conflict", patch(Fault::replace(409, "")), WRONG),
        Lie::new("gone", patch(Fault::replace(410, "")), WRONG),
        Lie::new("elsewhere", patch(elsewhere(302)), &[109]),
        Lie::new("elsewhere for good", patch(elsewhere(308)), &[109]),
    ]
}

const WRITES: [&str; 3] = ["PATCH", "HEAD", "DELETE"];
