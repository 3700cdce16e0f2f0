//! The reference server of tus 1.0 and what a test may do to its uploads behind the client's back.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::gate::Gate;
use super::installed;
use crate::daemon::Daemon;

/// A running tus server (`@tus/server` on Node): creation, creation-with-upload, creation-defer-length, termination,
/// expiration, and checksum where [`TusSetup::checksum`] asks for it. It has no concatenation; [`super::TusPy`] does.
///
/// What it does that others need not: a wrong `Content-Type` draws a 400, bytes beyond `Upload-Length` a 413, an expired
/// upload a 410, and a HEAD while a PATCH hangs stops the PATCH after three seconds.
#[derive(Debug)]
pub struct TusServer {
    gate: Gate,
    daemon: Daemon,
}

impl TusServer {
    /// Starts one with everything it has and no token; `None` where its programs are not installed.
    ///
    /// # Panics
    /// When it does not start, or is not installed though this is CI.
    #[must_use]
    pub fn start() -> Option<Self> {
        TusSetup::new().start()
    }

    /// Where uploads are created, through the gate.
    #[must_use]
    pub fn url(&self) -> String {
        self.gate.url(PATH)
    }

    /// The same past the gate.
    #[must_use]
    pub fn direct_url(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.daemon.port())
    }

    /// What stands before it.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The bytes that it has of an upload, given its URL (or the last segment of it); `None` when it has no such upload.
    ///
    /// # Panics
    /// When the file cannot be read.
    #[must_use]
    pub fn stored(&self, upload: &str) -> Option<Vec<u8>> {
        match fs::read(self.file(upload)) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => panic!("{upload}: {error}"),
        }
    }

    /// The file that has the bytes of an upload, given its URL (or the last segment of it).
    #[must_use]
    pub fn file(&self, upload: &str) -> PathBuf {
        let id = upload.rsplit('/').next().unwrap_or(upload);
        self.daemon.directory().join(UPLOADS).join(id)
    }

    /// The last segments of the URLs of all uploads that it has, sorted.
    #[must_use]
    pub fn uploads(&self) -> Vec<String> {
        let entries = fs::read_dir(self.daemon.directory().join(UPLOADS));
        let names = entries.into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut uploads: Vec<_> = names.filter(|name| !name.ends_with(".json")).collect();
        uploads.sort();
        uploads
    }

    /// What was sent in `Upload-Metadata` at the creation, decoded: an object of strings, or null without any.
    ///
    /// # Panics
    /// When there is no such upload.
    #[must_use]
    pub fn metadata(&self, upload: &str) -> Value {
        self.info(upload)["metadata"].clone()
    }

    /// Removes an upload as an administrator does: the client finds a 404.
    ///
    /// # Panics
    /// When there is no such upload.
    pub fn delete(&self, upload: &str) {
        fs::remove_file(self.file(upload)).expect("an upload's file");
        fs::remove_file(self.info_file(upload)).expect("an upload's description");
    }

    /// Loses the end of what was uploaded: the next HEAD tells this offset.
    ///
    /// # Panics
    /// When there is no such upload.
    pub fn truncate(&self, upload: &str, length: u64) {
        let file = File::options().write(true).open(self.file(upload));
        file.and_then(|file| file.set_len(length))
            .expect("an upload's file");
    }

    /// Makes an upload older than uploads may get: the client finds a 410.
    ///
    /// # Panics
    /// When there is no such upload.
    pub fn expire(&self, upload: &str) {
        let mut info = self.info(upload);
        info["creation_date"] = json!("2001-01-01T00:00:00.000Z");
        fs::write(self.info_file(upload), info.to_string()).expect("an upload's description");
    }

    /// What it wrote to its standard output and error.
    #[must_use]
    pub fn output(&self) -> Vec<String> {
        self.daemon.lines(crate::daemon::OUTPUT)
    }

    fn info(&self, upload: &str) -> Value {
        let text = fs::read(self.info_file(upload)).expect("an upload's description");
        serde_json::from_slice(&text).expect("the store writes JSON")
    }

    fn info_file(&self, upload: &str) -> PathBuf {
        self.file(upload).with_extension("json")
    }
}

/// What a tus server is told before its start.
#[derive(Clone, Debug)]
pub struct TusSetup {
    token: Option<String>,
    max_size: Option<u64>,
    expire: Duration,
    location: Location,
    checksum: bool,
    without: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Location {
    Absolute,
    Relative,
}

impl TusSetup {
    /// All extensions but checksum, no token, no largest size, a day for each upload, absolute locations.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "builders of this crate have none"
    )]
    pub fn new() -> Self {
        Self {
            token: None,
            max_size: None,
            expire: Duration::from_secs(24 * 3600),
            location: Location::Absolute,
            checksum: false,
            without: Vec::new(),
        }
    }

    /// All requests but OPTIONS need `Authorization: Bearer` with this.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// `Tus-Max-Size` in bytes: a longer upload draws a 413.
    #[must_use]
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// How long an upload that is not complete is kept after its creation. Default one day.
    #[must_use]
    pub fn expire(mut self, time: Duration) -> Self {
        self.expire = time;
        self
    }

    /// `Location` is a path, not a URL.
    #[must_use]
    pub fn relative_location(mut self) -> Self {
        self.location = Location::Relative;
        self
    }

    /// Offers the checksum extension (md5, sha1, sha256, sha512); a wrong one draws a 460 and nothing of it is kept.
    #[must_use]
    pub fn checksum(mut self) -> Self {
        self.checksum = true;
        self
    }

    /// Does not offer this extension, such as `creation-with-upload`.
    #[must_use]
    pub fn without(mut self, extension: &str) -> Self {
        self.without.push(extension.to_owned());
        self
    }

    /// Starts it; `None` where its programs are not installed.
    ///
    /// # Panics
    /// As [`TusServer::start`].
    #[must_use]
    pub fn start(self) -> Option<TusServer> {
        installed::node()?;
        let daemon = Daemon::start("tus", |scratch: &Path, port| {
            fs::create_dir(scratch.join(UPLOADS))?;
            let setup = json!({
                "token": self.token,
                "maxSize": self.max_size,
                "expireMs": u64::try_from(self.expire.as_millis()).unwrap_or(u64::MAX),
                "relativeLocation": self.location == Location::Relative,
                "checksum": self.checksum,
                "without": self.without,
            });
            fs::write(scratch.join(SETUP), setup.to_string())?;
            let mut command = installed::node().ok_or(io::ErrorKind::NotFound)?;
            command.arg(installed::script("tus.mjs"));
            command.arg(port.to_string()).arg(SETUP);
            Ok(command)
        });
        Some(TusServer {
            gate: Gate::before(daemon.port()),
            daemon,
        })
    }
}

const PATH: &str = "/files";
const UPLOADS: &str = "uploads";
const SETUP: &str = "setup.json";
