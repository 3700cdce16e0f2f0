//! A server of Google's resumable uploads, and what a test may do to its sessions behind the client's back.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::Value;

use super::gate::Gate;
use super::installed;
use crate::daemon::Daemon;

/// A running server of resumable uploads to Google Cloud Storage, written from Google's page on them (`servers/gcs.py`): the
/// emulators that there are do not say truly how much they have.
///
/// It keeps the grid of 256 KiB, takes the token with the request that opens a session alone, and answers a complete session
/// with the object. It has no other part of the API, and verifies no signature: a signed URL is one with the token as its
/// `X-Goog-Signature`.
#[derive(Debug)]
pub struct GcsServer {
    gate: Gate,
    daemon: Daemon,
}

impl GcsServer {
    /// The bucket, which is any.
    pub const BUCKET: &str = "tests";
    /// The token that it takes.
    pub const TOKEN: &str = "ya29.token";

    /// Starts one; `None` where no Python is installed.
    ///
    /// # Panics
    /// When it does not start, or when Python is not installed though this is CI.
    #[must_use]
    pub fn start() -> Option<Self> {
        installed::python()?;
        let daemon = Daemon::start("gcs", |_, port| {
            let mut command = installed::python().ok_or(io::ErrorKind::NotFound)?;
            command.arg(installed::script("gcs.py"));
            command.args([&port.to_string(), Self::TOKEN]);
            Ok(command)
        });
        let daemon = daemon.killed_when_dropped();
        Some(Self {
            gate: Gate::before(daemon.port()),
            daemon,
        })
    }

    /// The endpoint, through the gate.
    #[must_use]
    pub fn url(&self) -> String {
        self.gate.url("")
    }

    /// A URL that is signed for opening a session. The name has to be fit for a URL.
    #[must_use]
    pub fn signed_url(&self, name: &str) -> String {
        let (bucket, token) = (Self::BUCKET, Self::TOKEN);
        self.gate
            .url(&format!("/{bucket}/{name}?X-Goog-Signature={token}"))
    }

    /// What stands before it.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The content of an object.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.file(name)).ok()
    }

    /// Puts an object there.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn put(&self, name: &str, content: &[u8]) {
        fs::write(self.file(name), content).expect("the directory of the server");
    }

    /// Ids of the sessions for this name that are not complete, and what was said when they were opened.
    #[must_use]
    pub fn sessions(&self, name: &str) -> Vec<(String, Value)> {
        let entries = fs::read_dir(self.daemon.directory().join("sessions"));
        let paths = entries.into_iter().flatten().flatten();
        let paths = paths.map(|entry| entry.path());
        let told = paths.filter(|path| path.extension().is_some());
        let told = told.filter_map(|path| {
            let mut about: Value = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            let is_open = about["name"] == name && about["done"] == false;
            let id = path.file_stem()?.to_str()?.to_owned();
            is_open.then(|| (id, about["about"].take()))
        });
        told.collect()
    }

    /// Loses what a session has beyond so many bytes; of 0 bytes, the session.
    ///
    /// # Panics
    /// When there is no such session.
    pub fn truncate(&self, session: &str, length: u64) {
        let content = self.daemon.directory().join("sessions").join(session);
        let lost = match length {
            0 => fs::remove_file(content.with_extension("json")),
            _ => {
                let file = fs::File::options().write(true).open(content);
                file.and_then(|file| file.set_len(length))
            }
        };
        lost.expect("a session");
    }

    fn file(&self, name: &str) -> PathBuf {
        let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.daemon.directory().join("objects").join(hex)
    }
}
