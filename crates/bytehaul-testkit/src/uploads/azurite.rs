//! Microsoft's own emulator of Blob storage, and its SDK beside it to make SAS URLs and to look at what became of them.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::gate::Gate;
use super::installed;
use super::sdk::Sdk;
use crate::daemon::Daemon;

/// A running Azurite with one container, [`Azurite::CONTAINER`].
///
/// It verifies shared keys and SAS with their dates and permissions. What it does that Azure does not: a bad signature is
/// `AuthorizationFailure` by name, an `x-ms-date` an hour old is taken, a wrong `Content-MD5` is `InvalidOperation`, and
/// `x-ms-content-crc64` draws a 500.
#[derive(Debug)]
pub struct Azurite {
    sdk: Sdk,
    gate: Gate,
    daemon: Daemon,
}

/// What a SAS lets its bearer do to one blob: the letters of `sp`, such as `cw` to create and write, `r` to read.
#[derive(Clone, Copy, Debug)]
pub struct Sas<'a> {
    permissions: &'a str,
    begins: i64,
    expires: i64,
}

impl<'a> Sas<'a> {
    /// These permissions from a minute ago for an hour.
    #[must_use]
    pub fn new(permissions: &'a str) -> Self {
        Self {
            permissions,
            begins: -60,
            expires: 3600,
        }
    }

    /// It ends after this time; `se` has whole seconds.
    #[must_use]
    pub fn expires(mut self, time: Duration) -> Self {
        self.expires = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        self
    }

    /// It ended a minute ago.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.begins = -3600;
        self.expires = -60;
        self
    }
}

/// The blocks of a blob: base64 ids and sizes, in the order of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// Those that make up the blob.
    pub committed: Vec<(String, u64)>,
    /// Those that were put since and belong to nothing yet.
    pub uncommitted: Vec<(String, u64)>,
}

impl Azurite {
    /// The container.
    pub const CONTAINER: &str = "tests";
    /// The account that every emulator knows.
    pub const ACCOUNT: &str = "devstoreaccount1";
    /// Its key, which Microsoft publishes: it opens nothing but emulators.
    pub const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    /// Starts one; `None` where its programs are not installed. It takes two seconds.
    ///
    /// # Panics
    /// When it does not start, or is not installed though this is CI.
    #[must_use]
    pub fn start() -> Option<Self> {
        installed::node()?;
        let daemon = Daemon::start("azurite", |_, port| {
            let program = installed::npm("azurite/dist/src/blob/main.js");
            let mut command = installed::node().ok_or(io::ErrorKind::NotFound)?;
            command.arg(program.ok_or(io::ErrorKind::NotFound)?);
            command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
            command.args(["--location", ".", "--silent", "--disableTelemetry"]);
            // The SDK is newer than what it knows.
            command.arg("--skipApiVersionCheck");
            Ok(command)
        });
        let daemon = daemon.killed_when_dropped();
        let endpoint = format!("http://127.0.0.1:{}/{}", daemon.port(), Self::ACCOUNT);
        let account = [Self::ACCOUNT, Self::KEY, Self::CONTAINER];
        let arguments = [&[endpoint.as_str()], &account[..]].concat();
        Some(Self {
            sdk: Sdk::start("azure_blob.py", &arguments, daemon.directory()),
            gate: Gate::before(daemon.port()),
            daemon,
        })
    }

    /// The URL of a blob without any right to it, through the gate. The name has to be fit for a URL.
    #[must_use]
    pub fn url(&self, blob: &str) -> String {
        self.gate.url(&path(blob))
    }

    /// The same past the gate.
    #[must_use]
    pub fn direct_url(&self, blob: &str) -> String {
        format!("http://127.0.0.1:{}{}", self.daemon.port(), path(blob))
    }

    /// What stands before it.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The query of a SAS for one blob, to be put behind `?`.
    ///
    /// # Panics
    /// When the SDK does not know the permissions.
    #[must_use]
    pub fn sas(&self, blob: &str, sas: Sas<'_>) -> String {
        let of = json!({
            "blob": blob,
            "permissions": sas.permissions,
            "begins": sas.begins,
            "expires": sas.expires,
        });
        let query = self.sdk.ask("sas", of).expect("signing asks nobody");
        query.as_str().expect("a query is a string").to_owned()
    }

    /// The URL of a blob with a SAS, through the gate.
    ///
    /// # Panics
    /// As [`Azurite::sas`].
    #[must_use]
    pub fn sas_url(&self, blob: &str, sas: Sas<'_>) -> String {
        format!("{}?{}", self.url(blob), self.sas(blob, sas))
    }

    /// The content of a blob; `None` when there is none, or only blocks that were not committed.
    ///
    /// # Panics
    /// When the server refuses for another reason.
    #[must_use]
    pub fn blob(&self, blob: &str) -> Option<Vec<u8>> {
        found(blob, self.sdk.fetch("save", json!({ "blob": blob })))
    }

    /// Puts a blob there by the SDK.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn put(&self, blob: &str, content: &[u8]) {
        let stored = self.sdk.give("store", json!({ "blob": blob }), content);
        stored.unwrap_or_else(|code| panic!("put {blob}: {code}"));
    }

    /// Puts a blob there by the SDK, in blocks of so many bytes.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn put_in_blocks(&self, blob: &str, content: &[u8], block: u64) {
        let of = json!({"blob": blob, "block": block});
        let stored = self.sdk.give("store_in_blocks", of, content);
        stored.unwrap_or_else(|code| panic!("put {blob}: {code}"));
    }

    /// The blocks of a blob; none of either kind when nobody has put anything.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn blocks(&self, blob: &str) -> Blocks {
        let listed = found(blob, self.sdk.ask("blocks", json!({ "blob": blob })));
        let Some(listed) = listed else {
            return Blocks::default();
        };
        let some = |which: usize| serde_json::from_value(listed[which].clone()).expect("pairs");
        Blocks {
            committed: some(0),
            uncommitted: some(1),
        }
    }

    /// `size`, `etag`, `contentType`, `contentMd5` (base64) and `metadata` of a blob.
    ///
    /// # Panics
    /// When the server refuses for another reason than that there is none.
    #[must_use]
    pub fn properties(&self, blob: &str) -> Option<Value> {
        found(blob, self.sdk.ask("properties", json!({ "blob": blob })))
    }

    /// The names of all blobs.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn blobs(&self) -> Vec<String> {
        let names = self.sdk.ask("blobs", json!({}));
        let names = names.unwrap_or_else(|code| panic!("list blobs: {code}"));
        serde_json::from_value(names).expect("names are strings")
    }
}

fn found<T>(blob: &str, outcome: Result<T, String>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(code) if code == "BlobNotFound" => None,
        Err(code) => panic!("{blob}: {code}"),
    }
}

fn path(blob: &str) -> String {
    format!("/{}/{}/{blob}", Azurite::ACCOUNT, Azurite::CONTAINER)
}
