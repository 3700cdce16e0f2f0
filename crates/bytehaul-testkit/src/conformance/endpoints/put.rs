//! One PUT of the whole to nginx, whose objects appear at once when all of the body has come.

use std::fs;
use std::path::PathBuf;

use super::{WRONG, elsewhere};
use crate::conformance::{Abilities, Endpoint, Lie, Place, Step};
use crate::daemon::Scratch;
use crate::nginx::Nginx;
use crate::uploads::{Fault, Gate};

/// An nginx with `PUT`.
#[derive(Debug)]
pub struct Put {
    gate: Gate,
    _server: Nginx,
    files: Scratch,
}

impl Put {
    /// Starts one.
    ///
    /// # Panics
    /// As [`Nginx::start`].
    #[must_use]
    pub fn start() -> Option<Self> {
        let files = Scratch::new("put").expect("a directory for a server");
        let server = Nginx::start(&files.0)?;
        Some(Self {
            gate: Gate::before(server.port()),
            _server: server,
            files,
        })
    }

    fn file(&self, place: &Place) -> PathBuf {
        self.files.0.join(&place.key)
    }
}

impl Endpoint for Put {
    fn name(&self) -> &'static str {
        "put"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            parallel: 1,
            least_parallel: 1,
            resumable: false,
            streams: true,
            recommits: true,
            aborts: true,
            renews: true,
            part: 64 << 10,
            many: 200,
        }
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn place(&self, name: &str, content: &[u8], _part: u64) -> Place {
        Place {
            address: self.gate.url(&format!("/put/{name}")),
            key: name.to_owned(),
            len: content.len() as u64,
            since: self.gate.requests().len(),
        }
    }

    fn object(&self, place: &Place, _location: Option<&str>) -> Option<Vec<u8>> {
        fs::read(self.file(place)).ok()
    }

    fn is_staged(&self, _place: &Place) -> bool {
        // What is incomplete is in a temporary file of nginx, which goes with its connection.
        false
    }

    fn aim(&self, step: Step, fault: Fault, _parts: u64) -> Option<Fault> {
        (step == Step::Part).then(|| fault.on("PUT"))
    }

    fn occupy(&self, place: &Place, content: &[u8]) -> bool {
        fs::write(self.file(place), content).expect("the directory of a server");
        true
    }

    fn lies(&self) -> Vec<Lie> {
        // Any 2xx is the server's word, whatever the body says.
        vec![
            Lie::new("elsewhere", elsewhere(302), &[109]),
            Lie::new("elsewhere for good", elsewhere(308), &[109]),
            Lie::new("not modified", Fault::replace(304, ""), &[109]),
            Lie::new("gone", Fault::replace(410, ""), WRONG),
        ]
    }
}
