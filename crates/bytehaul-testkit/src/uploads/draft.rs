//! A server of the IETF's draft for resumable uploads, and what a test may do to its uploads behind the client's back.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::gate::Gate;
use super::installed;
use crate::daemon::Daemon;

/// A running server of "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload, interop version 8), written from
/// the draft's text alone (`servers/draft.py`).
///
/// `104` with the `Location` comes at once to those who send `Upload-Draft-Interop-Version: 8`. A request for an upload ends
/// the one before it. `Content-Digest` and `Repr-Digest` with SHA-256 are compared. An upload that was complete stays, and
/// its URL answers GET with the content. An empty creation is exempt from `min-append-size`.
#[derive(Debug)]
pub struct DraftServer {
    gate: Gate,
    daemon: Daemon,
}

impl DraftServer {
    /// Starts one without limits; `None` where no Python is installed.
    ///
    /// # Panics
    /// When it does not start, or when Python is not installed though this is CI.
    #[must_use]
    pub fn start() -> Option<Self> {
        DraftSetup::new().start()
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
    #[must_use]
    pub fn stored(&self, upload: &str) -> Option<Vec<u8>> {
        fs::read(self.file(upload)).ok()
    }

    /// Whether it was told that the upload is complete, and all of it came.
    #[must_use]
    pub fn is_complete(&self, upload: &str) -> bool {
        self.state(upload)["complete"] == true
    }

    /// The headers of the creation that describe the content, by lowercase name; null when it has no such upload.
    #[must_use]
    pub fn about(&self, upload: &str) -> Value {
        self.state(upload)["about"].take()
    }

    /// The last segments of the URLs of all uploads that it has, sorted.
    #[must_use]
    pub fn uploads(&self) -> Vec<String> {
        let entries = fs::read_dir(self.daemon.directory().join(UPLOADS));
        let names = entries.into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut uploads: Vec<_> = names.filter(|name| !name.contains('.')).collect();
        uploads.sort();
        uploads
    }

    /// Forgets an upload: the client finds a 404, as the draft wants it when a server lost anything.
    ///
    /// # Panics
    /// When there is no such upload.
    pub fn delete(&self, upload: &str) {
        fs::remove_file(self.state_file(upload)).expect("an upload's state");
        fs::remove_file(self.file(upload)).expect("an upload's content");
    }

    /// Loses the end of what was uploaded, which the draft forbids: a client must notice.
    ///
    /// # Panics
    /// When there is no such upload.
    pub fn truncate(&self, upload: &str, length: u64) {
        let file = fs::File::options().write(true).open(self.file(upload));
        file.and_then(|file| file.set_len(length))
            .expect("an upload's content");
    }

    /// The requests that it did not grant so far: method, status, reason.
    #[must_use]
    pub fn rejections(&self) -> Vec<String> {
        self.daemon.lines("violations.log")
    }

    fn state(&self, upload: &str) -> Value {
        let text = fs::read(self.state_file(upload)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn state_file(&self, upload: &str) -> PathBuf {
        self.file(upload).with_extension("json")
    }

    fn file(&self, upload: &str) -> PathBuf {
        let id = upload.rsplit('/').next().unwrap_or(upload);
        self.daemon.directory().join(UPLOADS).join(id)
    }
}

/// What a server of the draft is told before its start.
#[derive(Clone, Debug)]
pub struct DraftSetup {
    limits: serde_json::Map<String, Value>,
    interim: bool,
    progress: u64,
    absolute: bool,
    required: bool,
}

impl DraftSetup {
    /// No limits, `104` at the creation, none for progress, relative locations, other uploads taken too.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "builders of this crate have none"
    )]
    pub fn new() -> Self {
        Self {
            limits: serde_json::Map::new(),
            interim: true,
            progress: 0,
            absolute: false,
            required: false,
        }
    }

    /// A member of `Upload-Limit`, told and enforced: `max-size`, `min-size`, `max-append-size`, `min-append-size`; `max-age`
    /// is only told.
    #[must_use]
    pub fn limit(mut self, name: &str, value: u64) -> Self {
        self.limits.insert(name.to_owned(), value.into());
        self
    }

    /// Sends no `104`, as a server behind an intermediary that drops them.
    #[must_use]
    pub fn without_interim(mut self) -> Self {
        self.interim = false;
        self
    }

    /// Tells `Upload-Offset` in a `104` after each so many bytes.
    #[must_use]
    pub fn progress(mut self, every: u64) -> Self {
        self.progress = every;
        self
    }

    /// `Location` is a URL, not a path.
    #[must_use]
    pub fn absolute_location(mut self) -> Self {
        self.absolute = true;
        self
    }

    /// An upload without `Upload-Complete` draws a 400.
    #[must_use]
    pub fn only_resumable(mut self) -> Self {
        self.required = true;
        self
    }

    /// Starts it; `None` where no Python is installed.
    ///
    /// # Panics
    /// As [`DraftServer::start`].
    #[must_use]
    pub fn start(self) -> Option<DraftServer> {
        installed::python()?;
        let daemon = Daemon::start("draft", |scratch, port| {
            fs::create_dir(scratch.join(UPLOADS))?;
            let setup = json!({
                "limits": self.limits,
                "interim": self.interim,
                "progress": self.progress,
                "absolute": self.absolute,
                "required": self.required,
            });
            fs::write(scratch.join("setup.json"), setup.to_string())?;
            let mut command = installed::python().ok_or(io::ErrorKind::NotFound)?;
            command.arg(installed::script("draft.py"));
            command.arg(port.to_string());
            Ok(command)
        });
        Some(DraftServer {
            gate: Gate::before(daemon.port()),
            daemon,
        })
    }
}

const PATH: &str = "/files";
const UPLOADS: &str = "uploads";
