//! A strict server of the form protocol, which is one POST with a form for each chunk, and ways to make it lose and know data.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use serde_json::json;

use super::gate::Gate;
use super::installed;
use crate::daemon::Daemon;

/// A running server of the form protocol, written from its contract alone (`servers/form.py`).
///
/// One URL takes `multipart/form-data` with an exact `Content-Length`. *Prepare* has the text parts `fileMd5`, `fileName`,
/// `category`, `totalSize` in this order. A *chunk* has the file part `file` (`upload_chunk_data`,
/// `application/octet-stream`), then these with `offset` and `partSize` before `totalSize`. The answer is blank or JSON:
/// `nextByte` says where the next chunk starts, `fileId` that all is there. A chunk that comes again is taken when it is
/// the same. Whatever the contract does not allow draws a 400 and is kept in [`FormServer::violations`].
#[derive(Debug)]
pub struct FormServer {
    gate: Gate,
    daemon: Daemon,
}

impl FormServer {
    /// Starts one; `None` where no Python is installed.
    ///
    /// # Panics
    /// When it does not start, or when Python is not installed though this is CI.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(&FormSetup::new())
    }

    /// The same with answers of another kind.
    ///
    /// # Panics
    /// As [`FormServer::start`].
    #[must_use]
    pub fn start_with(setup: &FormSetup) -> Option<Self> {
        installed::python()?;
        let daemon = Daemon::start("form", |scratch, port| {
            fs::create_dir(scratch.join(UPLOADS))?;
            fs::write(scratch.join(SETUP), setup.json())?;
            let mut command = installed::python().ok_or(io::ErrorKind::NotFound)?;
            command.arg(installed::script("form.py"));
            command.arg(port.to_string());
            Ok(command)
        });
        Some(Self {
            gate: Gate::before(daemon.port()),
            daemon,
        })
    }

    /// Answers otherwise from now on.
    ///
    /// # Panics
    /// When the file for it cannot be written.
    pub fn set(&self, setup: &FormSetup) {
        let file = self.daemon.directory().join(SETUP);
        // By a rename: the server reads it at any time.
        let new = file.with_extension("new");
        fs::write(&new, setup.json())
            .and_then(|()| fs::rename(&new, &file))
            .expect("the directory of the server can be written to");
    }

    /// The one URL of the protocol, through the gate. It has a query, which has to be sent.
    #[must_use]
    pub fn url(&self) -> String {
        self.gate.url(PATH)
    }

    /// The same past the gate.
    #[must_use]
    pub fn direct_url(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.daemon.port())
    }

    /// What stands before it. All requests have one path: choose chunks by [`super::Fault::after`].
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The content of a complete upload, by its lowercase hex MD5; `None` while it is not complete.
    #[must_use]
    pub fn complete(&self, md5: &str) -> Option<Vec<u8>> {
        fs::read(self.file(md5)).ok()
    }

    /// What it has of an upload that is not complete; `None` when it has none of that MD5.
    #[must_use]
    pub fn partial(&self, md5: &str) -> Option<Vec<u8>> {
        fs::read(self.part(md5)).ok()
    }

    /// Loses the end of an upload that is not complete: the next prepare tells this offset.
    ///
    /// # Panics
    /// When there is no such upload.
    pub fn truncate(&self, md5: &str, length: u64) {
        let file = File::options().write(true).open(self.part(md5));
        file.and_then(|file| file.set_len(length))
            .expect("a partial upload");
    }

    /// Makes it know a file: whoever prepares the same gets the `fileId` at once.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn know(&self, md5: &str, content: &[u8]) {
        fs::write(self.file(md5), content).expect("the directory of the server can be written to");
    }

    /// Makes it have a part of a file from an earlier run.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn know_partly(&self, md5: &str, content: &[u8]) {
        fs::write(self.part(md5), content).expect("the directory of the server can be written to");
    }

    /// What requests did so far that the contract does not allow.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.daemon.lines("violations.log")
    }

    fn file(&self, md5: &str) -> PathBuf {
        self.daemon.directory().join(UPLOADS).join(md5)
    }

    fn part(&self, md5: &str) -> PathBuf {
        self.file(md5).with_extension("part")
    }
}

/// How a form server answers, within the contract.
#[derive(Clone, Debug)]
pub struct FormSetup {
    method: String,
    headers: Vec<(String, String)>,
    status: u16,
    file_id: Option<String>,
    cursor: Cursor,
    keep: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cursor {
    Told,
    Blank,
}

impl FormSetup {
    /// POST, 200, `nextByte` always told, `fileId` is `id-` and the MD5, every chunk kept whole.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "builders of this crate have none"
    )]
    pub fn new() -> Self {
        Self {
            method: "POST".to_owned(),
            headers: Vec::new(),
            status: 200,
            file_id: Some("id-{md5}".to_owned()),
            cursor: Cursor::Told,
            keep: 0,
        }
    }

    /// The method that every request must have: POST, PUT or PATCH.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// A header that every request must have.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Status of answers that went well. Default 200.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The `fileId`, which may be empty; `{md5}` in it is replaced.
    #[must_use]
    pub fn file_id(mut self, id: &str) -> Self {
        self.file_id = Some(id.to_owned());
        self
    }

    /// No `fileId`: the end is reached when the total is, and a prepare of a known file tells nothing.
    #[must_use]
    pub fn no_file_id(mut self) -> Self {
        self.file_id = None;
        self
    }

    /// Blank bodies in place of `nextByte`: the client counts by itself. Not for a server that keeps parts of chunks.
    #[must_use]
    pub fn blank(mut self) -> Self {
        self.cursor = Cursor::Blank;
        self
    }

    /// Keeps only the first so many bytes of each chunk and says so: the next one starts off the grid.
    #[must_use]
    pub fn keep(mut self, bytes: u64) -> Self {
        self.keep = bytes;
        self
    }

    fn json(&self) -> String {
        let headers: serde_json::Map<_, _> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        json!({
            "method": self.method,
            "headers": headers,
            "status": self.status,
            "fileId": self.file_id,
            "blank": self.cursor == Cursor::Blank,
            "keep": self.keep,
        })
        .to_string()
    }
}

const PATH: &str = "/upload?of=tests";
const UPLOADS: &str = "uploads";
const SETUP: &str = "setup.json";
