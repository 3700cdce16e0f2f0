//! A server of Aliyun OSS that verifies signatures, and the official SDK beside it to presign URLs and to look at what became of them.

use std::fs;
use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::gate::Gate;
use super::installed;
use super::sdk::Sdk;
use crate::daemon::Daemon;

/// A running server of OSS with one bucket, [`OssServer::BUCKET`], in [`OssServer::REGION`]; written from Alibaba's documentation
/// (`servers/oss.py`), because there is no emulator that verifies Version 4 of the signature.
///
/// It takes PutObject, GetObject with ranges (whole and 200 for one that leaves the object, unless `x-oss-range-behavior` says
/// otherwise), HeadObject, and everything of multipart uploads: parts but the last of under 100 KiB draw a 400 at completion.
/// Signatures are made again from what arrived by the official SDK's own signer. Buckets may stand in the path or before
/// `.localhost`. What it does not do: Version 1 of the signature, copies, appends, versions, and the order in which the real
/// one checks things.
#[derive(Debug)]
pub struct OssServer {
    sdk: Sdk,
    gate: Gate,
    daemon: Daemon,
}

/// A part that an OSS server has of an upload that is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OssPart {
    /// From one.
    pub number: u64,
    /// In bytes.
    pub size: u64,
    /// With its quotes, as the server says it.
    pub etag: String,
}

/// Whom an OSS server knows, and what its clock says.
#[derive(Clone, Debug)]
pub struct OssSetup {
    access_key: String,
    token: Option<String>,
    clock: i64,
    page: u32,
    least: u64,
}

impl OssServer {
    /// The bucket.
    pub const BUCKET: &str = "tests";
    /// Its region.
    pub const REGION: &str = "cn-hangzhou";
    /// The access key that it knows.
    pub const ACCESS_KEY: &str = "LTAItest";
    /// Its secret.
    pub const SECRET_KEY: &str = "osssecretosssecret";

    /// Starts one; `None` where no Python is installed.
    ///
    /// # Panics
    /// When it does not start, or when Python is not installed though this is CI.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(&OssSetup::new())
    }

    /// The same with credentials of another kind.
    ///
    /// # Panics
    /// As [`OssServer::start`].
    #[must_use]
    pub fn start_with(setup: &OssSetup) -> Option<Self> {
        installed::python()?;
        let daemon = Daemon::start("oss", |scratch, port| {
            fs::write(scratch.join(SETUP), setup.json())?;
            let mut command = installed::python().ok_or(io::ErrorKind::NotFound)?;
            command.arg(installed::script("oss.py"));
            command.arg(port.to_string());
            Ok(command)
        });
        let daemon = daemon.killed_when_dropped();
        let gate = Gate::before(daemon.port());
        let direct = format!("http://127.0.0.1:{}", daemon.port());
        let presigned = gate.url("");
        let mut arguments = vec![direct.as_str(), &presigned, Self::REGION];
        arguments.extend([&setup.access_key, Self::SECRET_KEY, Self::BUCKET]);
        arguments.extend(setup.token.as_deref());
        Some(Self {
            sdk: Sdk::start("oss_sdk.py", &arguments, daemon.directory()),
            gate,
            daemon,
        })
    }

    /// Knows others from now on. The SDK beside it keeps the credentials that it was started with.
    ///
    /// # Panics
    /// When the file for it cannot be written.
    pub fn set(&self, setup: &OssSetup) {
        let file = self.daemon.directory().join(SETUP);
        // By a rename: the server reads it at any time.
        let new = file.with_extension("new");
        fs::write(&new, setup.json())
            .and_then(|()| fs::rename(&new, &file))
            .expect("the directory of the server can be written to");
    }

    /// The endpoint, through the gate.
    #[must_use]
    pub fn url(&self) -> String {
        self.gate.url("")
    }

    /// The same past the gate.
    #[must_use]
    pub fn direct_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.daemon.port())
    }

    /// What stands before it.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// URLs for one operation, one for each set of parameters, by the SDK's names for them without the bucket: `GetObject`,
    /// `PutObject`, `HeadObject` with `key`, `UploadPart` with `key`, `upload_id` and `part_number`, `CompleteMultipartUpload` and
    /// `AbortMultipartUpload` with `key` and `upload_id`.
    ///
    /// # Panics
    /// When the SDK does not know them.
    #[must_use]
    pub fn presign_each(
        &self,
        operation: &str,
        each: impl IntoIterator<Item = Value>,
        expires: Duration,
    ) -> Vec<String> {
        let each: Vec<_> = each.into_iter().collect();
        let of = json!({"operation": operation, "each": each, "expires": expires.as_secs()});
        let urls = self.sdk.ask("presign", of).expect("presigning asks nobody");
        serde_json::from_value(urls).expect("URLs are strings")
    }

    /// One such URL.
    ///
    /// # Panics
    /// As [`OssServer::presign_each`].
    #[must_use]
    pub fn presign(&self, operation: &str, params: Value, expires: Duration) -> String {
        let urls = self.presign_each(operation, [params], expires);
        urls.into_iter().next().expect("one URL for one question")
    }

    /// Begins a multipart upload and returns its id.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn create(&self, key: &str) -> String {
        let made = self.sdk.ask("create", json!({ "key": key }));
        let made = made.unwrap_or_else(|code| panic!("create {key}: {code}"));
        made.as_str().expect("an id").to_owned()
    }

    /// Discards a multipart upload.
    ///
    /// # Errors
    /// The code with which the server refuses.
    pub fn abort(&self, key: &str, upload: &str) -> Result<(), String> {
        let of = json!({"key": key, "upload": upload});
        self.sdk.ask("abort", of).map(drop)
    }

    /// The content of an object; `None` when there is none of that key.
    ///
    /// # Panics
    /// When the server refuses for another reason.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        found(key, self.sdk.fetch("save", json!({ "key": key })))
    }

    /// Puts an object there by the SDK, in one request.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn put(&self, key: &str, content: &[u8]) {
        let stored = self.sdk.give("store", json!({ "key": key }), content);
        stored.unwrap_or_else(|code| panic!("put {key}: {code}"));
    }

    /// Puts an object there by the SDK, in parts of so many bytes.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn put_in_parts(&self, key: &str, content: &[u8], part: u64) {
        let of = json!({"key": key, "part": part});
        let stored = self.sdk.give("store_in_parts", of, content);
        stored.unwrap_or_else(|code| panic!("put {key}: {code}"));
    }

    /// `size`, `etag`, `contentType`, `crc64` (decimal), `type` and `metadata` of an object.
    ///
    /// # Panics
    /// When the server refuses for another reason than that there is none.
    #[must_use]
    pub fn head(&self, key: &str) -> Option<Value> {
        found(key, self.sdk.ask("head", json!({ "key": key })))
    }

    /// The parts that it has of an upload.
    ///
    /// # Errors
    /// The code with which the server refuses: `NoSuchUpload` when the upload is complete or aborted.
    pub fn parts(&self, key: &str, upload: &str) -> Result<Vec<OssPart>, String> {
        let listed = self
            .sdk
            .ask("parts", json!({"key": key, "upload": upload}))?;
        let listed: Vec<(u64, u64, String)> =
            serde_json::from_value(listed).expect("numbers, sizes and tags");
        let parts = listed.into_iter();
        Ok(parts
            .map(|(number, size, etag)| OssPart { number, size, etag })
            .collect())
    }

    /// Keys and ids of all uploads that are neither complete nor aborted.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn uploads(&self) -> Vec<(String, String)> {
        let listed = self.sdk.ask("uploads", json!({}));
        let listed = listed.unwrap_or_else(|code| panic!("list uploads: {code}"));
        serde_json::from_value(listed).expect("keys and ids")
    }
}

impl OssSetup {
    /// One key without a token, the time as it is, a thousand uploads on a page of their list.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "builders of this crate have none"
    )]
    pub fn new() -> Self {
        Self {
            access_key: OssServer::ACCESS_KEY.to_owned(),
            token: None,
            clock: 0,
            page: 1000,
            least: 100 << 10,
        }
    }

    /// Another access key, with the same secret: requests of the old one are refused.
    #[must_use]
    pub fn access_key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.access_key);
        self
    }

    /// The security token that every request has to have.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// A clock that is so many seconds ahead; it allows for 900 either way.
    #[must_use]
    pub fn clock(mut self, seconds: i64) -> Self {
        self.clock = seconds;
        self
    }

    /// Uploads on a page of their list, at most.
    #[must_use]
    pub fn page(mut self, uploads: u32) -> Self {
        self.page = uploads;
        self
    }

    /// Bytes that no part but the last is smaller than.
    #[must_use]
    pub fn least_part(mut self, bytes: u64) -> Self {
        self.least = bytes;
        self
    }

    fn json(&self) -> String {
        json!({
            "access_key": self.access_key,
            "secret_key": OssServer::SECRET_KEY,
            "region": OssServer::REGION,
            "bucket": OssServer::BUCKET,
            "token": self.token,
            "clock": self.clock,
            "page": self.page,
            "least": self.least,
        })
        .to_string()
    }
}

fn found<T>(key: &str, outcome: Result<T, String>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(code) if code == "NoSuchKey" => None,
        Err(code) => panic!("{key}: {code}"),
    }
}

const SETUP: &str = "setup.json";
