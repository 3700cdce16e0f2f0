//! Aliyun OSS with its keys.

use serde_json::json;

use super::{WRONG, elsewhere, flood, page};
use crate::conformance::{Abilities, After, Endpoint, Lie, Loss, Place, Step};
use crate::uploads::{Fault, Gate, OssServer};

/// An OSS server.
#[derive(Debug)]
pub struct Oss {
    server: OssServer,
}

impl Oss {
    /// Starts one.
    ///
    /// # Panics
    /// As [`OssServer::start`].
    #[must_use]
    pub fn start() -> Option<Self> {
        let server = OssServer::start()?;
        Some(Self { server })
    }

    fn upload(&self, place: &Place) -> Option<String> {
        let open = self.server.uploads();
        let found = open.into_iter().find(|(key, _)| *key == place.key);
        found.map(|(_, upload)| upload)
    }
}

impl Endpoint for Oss {
    fn name(&self) -> &'static str {
        "OSS"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            parallel: 3,
            least_parallel: 1,
            resumable: true,
            streams: true,
            recommits: true,
            aborts: true,
            renews: true,
            // The server takes no smaller ones.
            part: 100 << 10,
            many: 100,
        }
    }

    fn gate(&self) -> &Gate {
        self.server.gate()
    }

    /// The address is JSON: `endpoint`, `region`, `object`, `key`, `secret`.
    fn place(&self, name: &str, content: &[u8], _part: u64) -> Place {
        let address = json!({
            "endpoint": self.server.url(),
            "region": OssServer::REGION,
            "object": format!("oss://{}/{name}", OssServer::BUCKET),
            "key": OssServer::ACCESS_KEY,
            "secret": OssServer::SECRET_KEY,
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
        self.upload(place).is_some()
    }

    fn aim(&self, step: Step, fault: Fault, parts: u64) -> Option<Fault> {
        match step {
            Step::Begin => Some(fault.on("POST").at("?uploads")),
            Step::Part if parts > 1 => Some(fault.on("PUT").at("partNumber=")),
            // An object of one part is put at once.
            Step::Part => Some(fault.on("PUT")),
            Step::Commit => Some(fault.on("POST").at("uploadId=")),
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
        let upload = self.upload(place)?;
        let aborted = self.server.abort(&place.key, &upload);
        aborted.unwrap_or_else(|code| panic!("abort {}: {code}", place.key));
        Some(After::Recovers)
    }

    fn lies(&self) -> Vec<Lie> {
        let begin = |fault: Fault| fault.on("POST").at("?uploads");
        let part = |fault: Fault| fault.on("PUT");
        let commit = |fault: Fault| fault.on("POST").at("uploadId=");
        let failed = "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>";
        let told = |etag: &str, crc: &str| {
            let fault = Fault::replace(200, "").header("ETag", etag);
            part(fault.header("x-oss-hash-crc64ecma", crc))
        };
        vec![
            Lie::new("a page to the creation", begin(page(200)), WRONG),
            Lie::new(
                "a creation without an id",
                begin(Fault::replace(200, "<InitiateMultipartUploadResult/>")),
                WRONG,
            ),
            Lie::new("a part that nobody saw", part(Fault::refuse(200)), WRONG),
            Lie::new("another CRC", told("\"0\"", "1"), WRONG),
            Lie::new("no number for a CRC", told("\"0\"", "x"), WRONG),
            Lie::new("a flood", part(flood(200)), WRONG),
            Lie::new("a session that is gone", part(Fault::refuse(404)), WRONG),
            Lie::new("elsewhere", part(elsewhere(307)), &[109]),
            Lie::new(
                "a commit that failed behind a 200",
                commit(Fault::replace(200, failed)),
                WRONG,
            ),
            Lie::new("a page to the commit", commit(page(200)), WRONG),
            Lie::new(
                "a commit that nobody saw and a 404",
                commit(Fault::refuse(404)),
                WRONG,
            ),
        ]
    }
}
