//! A real S3 server that verifies signatures, and boto3 beside it to presign URLs and to look at what became of them.

use std::fs;
use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::gate::Gate;
use super::installed;
use super::sdk::Sdk;
use crate::daemon::{self, Daemon};

/// A running SeaweedFS with one bucket, [`S3Server::BUCKET`].
///
/// It verifies SigV4 in headers and URLs, and the clock; parts but the last of under 5 MiB draw a 400 at completion. What
/// it does that S3 does not: it takes any region, it does not compare a body with its signed digest, a part that was sent
/// twice is listed twice, and completing twice is a 200.
#[derive(Debug)]
pub struct S3Server {
    sdk: Sdk,
    gate: Gate,
    tus: Gate,
    daemon: Daemon,
}

/// A part that an S3 server has of an upload that is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Part {
    /// From one.
    pub number: u64,
    /// In bytes.
    pub size: u64,
    /// With its quotes, as the server says it.
    pub etag: String,
}

impl S3Server {
    /// The bucket.
    pub const BUCKET: &str = "tests";
    /// The domain that buckets may stand before, in place of the path; a client has to be told where it is.
    pub const DOMAIN: &str = "s3.test";
    /// The access key that it knows.
    pub const ACCESS_KEY: &str = "AKIDTEST";
    /// Its secret.
    pub const SECRET_KEY: &str = "secrettestsecrettest";

    /// Starts one; `None` where its programs are not installed. It takes one to four seconds.
    ///
    /// # Panics
    /// When it does not start, or is not installed though this is CI.
    #[must_use]
    pub fn start() -> Option<Self> {
        installed::client("weed")?;
        let filer = std::cell::Cell::new(0);
        let daemon = Daemon::start("s3", |scratch, port| {
            fs::create_dir(scratch.join("data"))?;
            let known = json!({"identities": [{
                "name": "tests",
                "credentials": [{"accessKey": Self::ACCESS_KEY, "secretKey": Self::SECRET_KEY}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }]});
            fs::write(scratch.join("s3.json"), known.to_string())?;
            let mut command = installed::client("weed").ok_or(io::ErrorKind::NotFound)?;
            command.args(["mini", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
            command.args(["-s3.config=s3.json", "-webdav=false", "-admin.ui=false"]);
            command.arg(format!("-s3.domainName={}", Self::DOMAIN));
            command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
            command.args(["-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock"]);
            command.arg(format!("-s3.port={port}"));
            for other in OTHER_PORTS {
                let port = daemon::free_port()?;
                if other == "filer.port" {
                    filer.set(port);
                }
                command.arg(format!("-{other}={port}"));
            }
            Ok(command)
        });
        Some(Self::before(daemon, filer.get()))
    }

    /// rclone's server of S3 in its place, for another opinion, with parts of any size: it starts at once. Its ETags say nothing
    /// of the bytes, it knows neither conditions nor tus, and it keeps uploads in memory.
    ///
    /// # Panics
    /// As [`S3Server::start`].
    #[must_use]
    pub fn rclone() -> Option<Self> {
        installed::client("rclone")?;
        let daemon = Daemon::start("rclone-s3", |scratch, port| {
            fs::create_dir(scratch.join("data"))?;
            let mut command = installed::client("rclone").ok_or(io::ErrorKind::NotFound)?;
            command.args(["serve", "s3", "--config=", "data", "--auth-key"]);
            command.arg(format!("{},{}", Self::ACCESS_KEY, Self::SECRET_KEY));
            command.args(["--addr", &format!("127.0.0.1:{port}")]);
            Ok(command)
        });
        Some(Self::before(daemon, 1))
    }

    fn before(daemon: Daemon, filer: u16) -> Self {
        // It takes seconds to put in order what is thrown away anyway.
        let daemon = daemon.killed_when_dropped();
        let gate = Gate::before(daemon.port());
        let direct = format!("http://127.0.0.1:{}", daemon.port());
        let presigned = gate.url("");
        let account = [Self::ACCESS_KEY, Self::SECRET_KEY, Self::BUCKET];
        let arguments = [&[direct.as_str(), &presigned], &account[..]].concat();
        Self {
            sdk: Sdk::start("s3.py", &arguments, daemon.directory()),
            gate,
            tus: Gate::before(filer),
            daemon,
        }
    }

    /// The endpoint, through the gate; its host is the one that presigned URLs are signed for.
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

    /// SeaweedFS also takes uploads by tus 1.0 (creation, creation-with-upload, termination, concatenation), as a second
    /// opinion: the URL to create one under that becomes the object of this key, through [`S3Server::tus_gate`].
    #[must_use]
    pub fn tus_url(&self, key: &str) -> String {
        self.tus
            .url(&format!("/.tus/buckets/{}/{key}", Self::BUCKET))
    }

    /// What stands before its tus.
    #[must_use]
    pub fn tus_gate(&self) -> &Gate {
        &self.tus
    }

    /// A URL for one operation, by boto3's name for it (`put_object`, `get_object`, `upload_part`,
    /// `complete_multipart_upload`, `abort_multipart_upload`, `list_parts`, `head_object`) and with its parameters but the bucket.
    ///
    /// # Panics
    /// When boto3 does not know them.
    #[must_use]
    pub fn presign(&self, operation: &str, params: Value, expires: Duration) -> String {
        let urls = self.presign_each(operation, [params], expires);
        urls.into_iter().next().expect("one URL for one question")
    }

    /// One such URL for each set of parameters, quick also for thousands.
    ///
    /// # Panics
    /// As [`S3Server::presign`].
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

    /// URLs for the parts `1..=count` of an upload.
    ///
    /// # Panics
    /// As [`S3Server::presign`].
    #[must_use]
    pub fn presign_parts(
        &self,
        key: &str,
        upload: &str,
        count: u32,
        expires: Duration,
    ) -> Vec<String> {
        let part = |number| json!({"Key": key, "UploadId": upload, "PartNumber": number});
        self.presign_each("upload_part", (1..=count).map(part), expires)
    }

    /// Begins a multipart upload and returns its id.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn create(&self, key: &str) -> String {
        let made = self.call("create_multipart_upload", json!({ "Key": key }));
        let made = made.unwrap_or_else(|code| panic!("create {key}: {code}"));
        made["UploadId"].as_str().expect("an id").to_owned()
    }

    /// Does an operation by boto3's name for it, and returns what boto3 says or the error code (`NoSuchUpload`).
    ///
    /// # Errors
    /// The code with which the server refuses.
    ///
    /// # Panics
    /// When boto3 does not know the operation or its parameters.
    pub fn call(&self, operation: &str, params: Value) -> Result<Value, String> {
        let of = json!({"operation": operation, "params": params});
        self.sdk.ask("call", of)
    }

    /// The content of an object; `None` when there is none of that key.
    ///
    /// # Panics
    /// When the server refuses for another reason.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        match self.sdk.fetch("save", json!({ "key": key })) {
            Ok(bytes) => Some(bytes),
            Err(code) if code == "NoSuchKey" => None,
            Err(code) => panic!("get {key}: {code}"),
        }
    }

    /// Puts an object there by the SDK.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn put(&self, key: &str, content: &[u8]) {
        let stored = self.sdk.give("store", json!({ "key": key }), content);
        stored.unwrap_or_else(|code| panic!("put {key}: {code}"));
    }

    /// Puts an object there by the SDK, in parts of so many bytes, at least 5 MiB.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn put_in_parts(&self, key: &str, content: &[u8], part: u64) {
        let of = json!({"key": key, "part": part});
        let stored = self.sdk.give("store_in_parts", of, content);
        stored.unwrap_or_else(|code| panic!("put {key}: {code}"));
    }

    /// The parts that it has of an upload, as often as it lists them.
    ///
    /// # Errors
    /// The code with which the server refuses: `NoSuchUpload` when the upload is complete or aborted.
    pub fn parts(&self, key: &str, upload: &str) -> Result<Vec<S3Part>, String> {
        let params = json!({"Key": key, "UploadId": upload});
        let parts = self.every("list_parts", "Parts", params)?;
        let number = |value: &Value| value.as_u64().expect("a number");
        let parts = parts.iter().map(|part| S3Part {
            number: number(&part["PartNumber"]),
            size: number(&part["Size"]),
            etag: part["ETag"].as_str().expect("an entity tag").to_owned(),
        });
        Ok(parts.collect())
    }

    /// Keys and ids of all uploads that are neither complete nor aborted.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn uploads(&self) -> Vec<(String, String)> {
        let uploads = self.every("list_multipart_uploads", "Uploads", json!({}));
        let uploads = uploads.unwrap_or_else(|code| panic!("list uploads: {code}"));
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let pairs = uploads.iter();
        pairs
            .map(|one| (text(&one["Key"]), text(&one["UploadId"])))
            .collect()
    }

    fn every(&self, operation: &str, field: &str, params: Value) -> Result<Vec<Value>, String> {
        let of = json!({"operation": operation, "field": field, "params": params});
        let listed = self.sdk.ask("every", of)?;
        Ok(listed.as_array().cloned().unwrap_or_default())
    }
}

const OTHER_PORTS: [&str; 9] = [
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "admin.port",
    "admin.port.grpc",
];
