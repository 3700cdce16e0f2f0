//! S3 with its keys, or with a plan of URLs that boto3 presigned for a multipart upload.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Signer, WRONG, elsewhere, flood, page};
use crate::conformance::{Abilities, After, Endpoint, Lie, Loss, Place, Step};
use crate::uploads::{Fault, Gate, S3Server};

/// An S3 server.
#[derive(Debug)]
pub struct S3 {
    server: S3Server,
    signer: Signer,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    SeaweedFs,
    Rclone,
}

impl S3 {
    /// Starts a SeaweedFS.
    ///
    /// # Panics
    /// As [`S3Server::start`].
    #[must_use]
    pub fn start(signer: Signer) -> Option<Self> {
        Some(Self {
            server: S3Server::start()?,
            signer,
            kind: Kind::SeaweedFs,
        })
    }

    /// Starts rclone's server, towards a client that signs. It takes small parts; but it refuses one that it has, and does not
    /// tell what became of a commit.
    ///
    /// # Panics
    /// As [`S3Server::rclone`].
    #[must_use]
    pub fn rclone() -> Option<Self> {
        Some(Self {
            server: S3Server::rclone()?,
            signer: Signer::Client,
            kind: Kind::Rclone,
        })
    }

    /// What a back end signs: a plan for an upload that it has begun.
    fn plan(&self, name: &str, len: u64, part: u64) -> Value {
        let upload = self.server.create(name);
        let parts = u32::try_from(len.div_ceil(part).max(1)).expect("few parts");
        let of = json!({"Key": name, "UploadId": upload});
        let sign = |operation: &str| self.server.presign(operation, of.clone(), HOUR);
        json!({
            "upload_id": upload,
            "total": len,
            "chunk": part,
            "parts": self.server.presign_parts(name, &upload, parts, HOUR),
            "complete": sign("complete_multipart_upload"),
            "abort": sign("abort_multipart_upload"),
            "head": self.server.presign("head_object", json!({"Key": name}), HOUR),
        })
    }

    fn upload(&self, place: &Place) -> Option<String> {
        let open = self.server.uploads();
        let found = open.into_iter().find(|(key, _)| *key == place.key);
        found.map(|(_, upload)| upload)
    }
}

impl Endpoint for S3 {
    fn name(&self) -> &'static str {
        match self.signer {
            Signer::BackEnd => "presigned S3",
            Signer::Client if self.kind == Kind::Rclone => "S3 by rclone",
            Signer::Client => "S3",
        }
    }

    fn abilities(&self) -> Abilities {
        let (part, many) = match self.kind {
            // It takes no smaller ones.
            Kind::SeaweedFs => (5 << 20, 8),
            Kind::Rclone => (64 << 10, 100),
        };
        Abilities {
            parallel: 3,
            least_parallel: 1,
            resumable: true,
            streams: self.signer == Signer::Client,
            recommits: self.kind == Kind::SeaweedFs,
            aborts: true,
            renews: true,
            part,
            many,
        }
    }

    fn gate(&self) -> &Gate {
        self.server.gate()
    }

    /// The address is JSON: `upload_id`, `total`, `chunk`, `parts` (URLs), `complete`, `abort`, `head` of a plan; with keys
    /// `endpoint`, `object`, `least_part`, `key`, `secret`.
    fn place(&self, name: &str, content: &[u8], part: u64) -> Place {
        let len = content.len() as u64;
        let address = match self.signer {
            Signer::BackEnd => self.plan(name, len, part),
            Signer::Client => json!({
                "endpoint": self.server.url(),
                "object": format!("s3://{}/{name}", S3Server::BUCKET),
                "least_part": self.abilities().part,
                "key": S3Server::ACCESS_KEY,
                "secret": S3Server::SECRET_KEY,
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
        self.server.object(&place.key)
    }

    fn is_staged(&self, place: &Place) -> bool {
        self.upload(place).is_some()
    }

    fn aim(&self, step: Step, fault: Fault, parts: u64) -> Option<Fault> {
        let is_plan = self.signer == Signer::BackEnd;
        match step {
            Step::Begin => (!is_plan).then(|| fault.on("POST").at("uploads=")),
            Step::Part if is_plan || parts > 1 => Some(fault.on("PUT").at("partNumber=")),
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
        let params = json!({"Key": place.key, "UploadId": upload});
        let aborted = self.server.call("abort_multipart_upload", params);
        aborted.unwrap_or_else(|code| panic!("abort {}: {code}", place.key));
        Some(match self.signer {
            Signer::Client => After::Recovers,
            Signer::BackEnd => After::MayFail,
        })
    }

    fn lies(&self) -> Vec<Lie> {
        let part = |fault: Fault| fault.on("PUT");
        let commit = |fault: Fault| fault.on("POST").at("uploadId=");
        let failed = "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>";
        let denied = "<Error><Code>EntityTooSmall</Code></Error>";
        let mut lies = vec![
            Lie::new("a part that nobody saw", part(Fault::refuse(200)), WRONG),
            Lie::new(
                "another ETag",
                part(Fault::replace(200, "").header("ETag", "\"0\"")),
                WRONG,
            ),
            Lie::new("a flood", part(flood(200)), WRONG),
            Lie::new("a session that is gone", part(Fault::refuse(404)), WRONG),
            Lie::new("elsewhere", part(elsewhere(307)), &[109]),
            Lie::new(
                "a commit that failed behind a 200",
                commit(Fault::replace(200, failed)),
                WRONG,
            ),
            Lie::new(
                "a commit refused behind a 200",
                commit(Fault::replace(200, denied)),
                WRONG,
            ),
            Lie::new(
                "a commit that nobody saw and a 404",
                commit(Fault::refuse(404)),
                WRONG,
            ),
        ];
        if self.signer == Signer::Client {
            let begin = |fault: Fault| fault.on("POST").at("uploads=");
            lies.extend([
                Lie::new("a page to the creation", begin(page(200)), WRONG),
                Lie::new(
                    "a creation without an id",
                    begin(Fault::replace(200, "<InitiateMultipartUploadResult/>")),
                    WRONG,
                ),
            ]);
        }
        lies
    }
}

const HOUR: Duration = Duration::from_secs(3600);
