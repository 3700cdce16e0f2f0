//! The form protocol: one URL, one chunk after the other, and the server knows an upload by its MD5.

use super::{WRONG, elsewhere, flood, page};
use crate::conformance::{Abilities, After, Endpoint, Lie, Loss, Place, Step};
use crate::uploads::{Fault, FormServer, Gate};

/// A form server.
#[derive(Debug)]
pub struct Form {
    server: FormServer,
    md5: fn(&[u8]) -> String,
}

impl Form {
    /// Starts one, given what computes an MD5 in lowercase hex.
    ///
    /// # Panics
    /// As [`FormServer::start`].
    #[must_use]
    pub fn start(md5: fn(&[u8]) -> String) -> Option<Self> {
        let server = FormServer::start()?;
        Some(Self { server, md5 })
    }
}

impl Endpoint for Form {
    fn name(&self) -> &'static str {
        "form"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            parallel: 1,
            least_parallel: 1,
            resumable: true,
            streams: false,
            recommits: true,
            aborts: false,
            renews: true,
            part: 64 << 10,
            many: 200,
        }
    }

    fn gate(&self) -> &Gate {
        self.server.gate()
    }

    fn place(&self, _name: &str, content: &[u8], _part: u64) -> Place {
        Place {
            address: self.server.url(),
            key: (self.md5)(content),
            len: content.len() as u64,
            since: self.gate().requests().len(),
        }
    }

    fn changed(&self, place: &Place, content: &[u8]) -> Place {
        Place {
            key: (self.md5)(content),
            len: content.len() as u64,
            ..place.clone()
        }
    }

    fn object(&self, place: &Place, _location: Option<&str>) -> Option<Vec<u8>> {
        self.server.complete(&place.key)
    }

    fn is_staged(&self, place: &Place) -> bool {
        self.server.partial(&place.key).is_some()
    }

    fn aim(&self, step: Step, fault: Fault, _parts: u64) -> Option<Fault> {
        match step {
            Step::Begin => Some(fault.of_length(0..=PREPARE)),
            Step::Part => Some(fault.of_length(PREPARE + 1..=u64::MAX)),
            Step::Commit => None,
        }
    }

    fn lose(&self, place: &Place, loss: Loss) -> Option<After> {
        let has = self.server.partial(&place.key)?.len() as u64;
        self.server.truncate(
            &place.key,
            match loss {
                Loss::Some => has / 2,
                Loss::All => 0,
            },
        );
        Some(After::Recovers)
    }

    fn lies(&self) -> Vec<Lie> {
        let chunk = |fault: Fault| fault.of_length(PREPARE + 1..=u64::MAX);
        let cursor = |next: &str| chunk(Fault::replace(200, &format!("{{\"nextByte\": {next}}}")));
        vec![
            Lie::new("a page to prepare", page(200), &[113]),
            Lie::new("a page to a chunk", chunk(page(200)), &[113]),
            Lie::new(
                "a list to a chunk",
                chunk(Fault::replace(200, "[1]")),
                &[113],
            ),
            Lie::new("a chunk that nobody saw", chunk(Fault::refuse(200)), &[113]),
            Lie::new("a flood", chunk(flood(200)), WRONG),
            Lie::new("a cursor beyond the end", cursor("99999999999"), &[114]),
            Lie::new("a cursor that stays", cursor("0"), &[114]),
            Lie::new("a cursor before the start", cursor("-5"), &[114]),
            Lie::new("a cursor that is a text", cursor("\"7\""), &[113]),
            Lie::new("a cursor beyond numbers", cursor("1e400"), &[113, 114]),
            Lie::new(
                "prepared beyond the end",
                Fault::replace(200, "{\"nextByte\": 99999999999}"),
                &[114],
            ),
            Lie::new("elsewhere", chunk(elsewhere(302)), &[109]),
            Lie::new("elsewhere for good", chunk(elsewhere(308)), &[109]),
            Lie::new("gone", chunk(Fault::replace(404, "")), &[109]),
        ]
    }

    fn complaints(&self) -> Vec<String> {
        self.server.violations()
    }
}

/// The longest form without a file part, with the names that the suite gives.
const PREPARE: u64 = 650;
