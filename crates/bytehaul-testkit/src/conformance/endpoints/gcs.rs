//! Google's resumable uploads under a token: one chunk after the other, on a grid.

use serde_json::json;

use super::{WRONG, elsewhere, flood, page};
use crate::conformance::{Abilities, After, Endpoint, Lie, Loss, Place, Step};
use crate::uploads::{Fault, Gate, GcsServer};

/// A server of Google's resumable uploads.
#[derive(Debug)]
pub struct Gcs {
    server: GcsServer,
}

impl Gcs {
    /// Starts one.
    ///
    /// # Panics
    /// As [`GcsServer::start`].
    #[must_use]
    pub fn start() -> Option<Self> {
        let server = GcsServer::start()?;
        Some(Self { server })
    }
}

impl Endpoint for Gcs {
    fn name(&self) -> &'static str {
        "GCS"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            parallel: 1,
            least_parallel: 1,
            resumable: true,
            streams: true,
            recommits: true,
            aborts: true,
            // The token opens the session, whose URL is all that is needed afterwards.
            renews: false,
            // The grid.
            part: 256 << 10,
            many: 40,
        }
    }

    fn gate(&self) -> &Gate {
        self.server.gate()
    }

    /// The address is JSON: `endpoint`, `object`, `token`.
    fn place(&self, name: &str, content: &[u8], _part: u64) -> Place {
        let address = json!({
            "endpoint": self.server.url(),
            "object": format!("gs://{}/{name}", GcsServer::BUCKET),
            "token": GcsServer::TOKEN,
        });
        Place {
            address: address.to_string(),
            key: name.to_owned(),
            len: content.len() as u64,
            since: self.gate().requests().len(),
        }
    }

    fn object(&self, place: &Place, _location: Option<&str>) -> Option<Vec<u8>> {
        self.server.object(&place.key)
    }

    fn is_staged(&self, place: &Place) -> bool {
        !self.server.sessions(&place.key).is_empty()
    }

    fn aim(&self, step: Step, fault: Fault, _parts: u64) -> Option<Fault> {
        match step {
            Step::Begin => Some(fault.on("POST")),
            // Without a body it is the question how much is there.
            Step::Part => Some(fault.on("PUT").of_length(1..=u64::MAX)),
            Step::Commit => None,
        }
    }

    fn occupy(&self, place: &Place, content: &[u8]) -> bool {
        self.server.put(&place.key, content);
        true
    }

    fn lose(&self, place: &Place, loss: Loss) -> Option<After> {
        let sessions = self.server.sessions(&place.key);
        let (session, _) = sessions.first()?;
        let left = match loss {
            Loss::Some => self.abilities().part,
            Loss::All => 0,
        };
        self.server.truncate(session, left);
        Some(After::Recovers)
    }

    fn lies(&self) -> Vec<Lie> {
        let begin = |fault: Fault| fault.on("POST");
        let part = |fault: Fault| fault.on("PUT").of_length(1..=u64::MAX);
        let has = |range: &str| part(Fault::replace(308, "").header("Range", range));
        let described = "{\"size\": \"7\", \"crc32c\": \"AAAAAA==\"}";
        vec![
            Lie::new("a page to the opening", begin(page(200)), WRONG),
            Lie::new(
                "a session without a place",
                begin(Fault::replace(200, "")),
                WRONG,
            ),
            Lie::new("more than was sent", has("bytes=0-99999999"), WRONG),
            Lie::new("no range at all", has("all of it"), WRONG),
            Lie::new("nothing kept", part(Fault::replace(308, "")), WRONG),
            Lie::new("a part that nobody saw", part(Fault::refuse(308)), WRONG),
            Lie::new(
                "another object",
                part(Fault::replace(200, described)),
                WRONG,
            ),
            Lie::new("a flood", part(flood(200)), WRONG),
            Lie::new(
                "a session that is gone",
                part(Fault::replace(410, "")),
                WRONG,
            ),
            Lie::new("elsewhere", part(elsewhere(302)), &[109]),
        ]
    }
}
