//! A blob in blocks towards Microsoft's emulator: by the account's key, or by a plan under a SAS.

use serde_json::json;

use super::{Signer, WRONG, elsewhere};
use crate::conformance::{Abilities, After, Endpoint, Lie, Loss, Place, Step};
use crate::uploads::{Azurite, Fault, Gate, Sas};

/// Azurite.
#[derive(Debug)]
pub struct Azure {
    server: Azurite,
    signer: Signer,
    abilities: Abilities,
}

impl Azure {
    /// Starts one.
    ///
    /// # Panics
    /// As [`Azurite::start`].
    #[must_use]
    pub fn start(signer: Signer) -> Option<Self> {
        let server = Azurite::start()?;
        let abilities = Abilities {
            parallel: 3,
            least_parallel: 1,
            resumable: true,
            streams: signer == Signer::Client,
            recommits: true,
            // Blocks that are not committed expire by themselves.
            aborts: false,
            renews: true,
            part: 64 << 10,
            many: 200,
        };
        Some(Self {
            server,
            signer,
            abilities,
        })
    }

    /// For a client that cannot do all that the server can.
    #[must_use]
    pub fn able(mut self, change: impl FnOnce(&mut Abilities)) -> Self {
        change(&mut self.abilities);
        self
    }
}

impl Endpoint for Azure {
    fn name(&self) -> &'static str {
        match self.signer {
            Signer::Client => "Azure",
            Signer::BackEnd => "presigned Azure SAS",
        }
    }

    fn abilities(&self) -> Abilities {
        self.abilities
    }

    fn gate(&self) -> &Gate {
        self.server.gate()
    }

    /// The address is JSON: `blob` (URL with its SAS), `total`, `chunk`, `session` of a plan; with the account's key `endpoint`,
    /// `object`, `key`, `secret`.
    fn place(&self, name: &str, content: &[u8], part: u64) -> Place {
        let len = content.len() as u64;
        let address = match self.signer {
            Signer::BackEnd => json!({
                "blob": self.server.sas_url(name, Sas::new("rcw")),
                "total": len,
                "chunk": part,
                "session": name,
            }),
            Signer::Client => json!({
                "endpoint": self.gate().url(&format!("/{}", Azurite::ACCOUNT)),
                "object": format!("az://{}/{name}", Azurite::CONTAINER),
                "key": Azurite::ACCOUNT,
                "secret": Azurite::KEY,
            }),
        };
        Place {
            address: address.to_string(),
            key: name.to_owned(),
            len,
            since: self.gate().requests().len(),
        }
    }

    fn object(&self, place: &Place, _location: Option<&str>) -> Option<Vec<u8>> {
        self.server.blob(&place.key)
    }

    fn is_staged(&self, place: &Place) -> bool {
        !self.server.blocks(&place.key).uncommitted.is_empty()
    }

    fn aim(&self, step: Step, fault: Fault, parts: u64) -> Option<Fault> {
        match step {
            Step::Begin => None,
            Step::Part if parts > 1 => Some(fault.on("PUT").at("comp=block&blockid")),
            // A blob of one block is put at once.
            Step::Part => Some(fault.on("PUT")),
            Step::Commit => (parts > 1).then(|| fault.on("PUT").at("comp=blocklist")),
        }
    }

    fn occupy(&self, place: &Place, content: &[u8]) -> bool {
        self.server.put(&place.key, content);
        true
    }

    fn lose(&self, place: &Place, loss: Loss) -> Option<After> {
        if loss == Loss::Some {
            return None;
        }
        // Whoever puts a blob throws away the blocks that were not committed; the emulator keeps them.
        self.server.put(&place.key, b"somebody else's");
        Some(match self.signer {
            Signer::Client => After::Recovers,
            Signer::BackEnd => After::MayFail,
        })
    }

    fn lies(&self) -> Vec<Lie> {
        let block = |fault: Fault| fault.on("PUT").at("comp=block&blockid");
        let commit = |fault: Fault| fault.on("PUT").at("comp=blocklist");
        let busy = "<?xml version=\"1.0\"?><Error><Code>ServerBusy</Code></Error>";
        vec![
            Lie::new("a block that nobody saw", block(Fault::refuse(201)), WRONG),
            Lie::new("a block refused", block(Fault::refuse(404)), WRONG),
            Lie::new("elsewhere", block(elsewhere(307)), &[109]),
            Lie::new(
                "a commit that failed behind a 200",
                commit(Fault::replace(200, busy)),
                WRONG,
            ),
            Lie::new(
                "a commit that nobody saw and a 400",
                commit(Fault::refuse(400)),
                WRONG,
            ),
            Lie::new(
                "a commit that worked and a 400",
                commit(Fault::replace(400, "")),
                WRONG,
            ),
        ]
    }
}
