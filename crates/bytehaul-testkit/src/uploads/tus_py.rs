//! A second server of tus 1.0, for parallel parts and for another opinion.

use std::fs;
use std::io;

use super::gate::Gate;
use super::installed;
use crate::daemon::Daemon;

/// A running `tuspyserver`: what the reference server has, and concatenation.
///
/// What it does that others do not: HEAD draws a 400 unless the metadata has `filename` and `filetype`, OPTIONS is answered
/// at the creation URL only, bytes beyond `Upload-Length` draw a 400 and a wrong `Content-Type` a 415, checksums are ignored,
/// and it never asks for `Tus-Resumable`. SeaweedFS has concatenation too: [`super::S3Server::tus_url`].
#[derive(Debug)]
pub struct TusPy {
    gate: Gate,
    daemon: Daemon,
}

impl TusPy {
    /// Starts one; `None` where its programs are not installed.
    ///
    /// # Panics
    /// When it does not start, or is not installed though this is CI.
    #[must_use]
    pub fn start() -> Option<Self> {
        installed::python()?;
        let daemon = Daemon::start("tus-py", |scratch, port| {
            fs::create_dir(scratch.join(UPLOADS))?;
            let mut command = installed::python().ok_or(io::ErrorKind::NotFound)?;
            command.arg(installed::script("tus_py.py"));
            command.arg(port.to_string());
            Ok(command)
        });
        Some(Self {
            gate: Gate::before(daemon.port()),
            daemon: daemon.killed_when_dropped(),
        })
    }

    /// Where uploads are created, through the gate.
    #[must_use]
    pub fn url(&self) -> String {
        self.gate.url("/files/")
    }

    /// What stands before it.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The bytes that it has of an upload, given its URL (or the last segment of it); `None` when it has no such upload.
    #[must_use]
    pub fn stored(&self, upload: &str) -> Option<Vec<u8>> {
        let id = upload.rsplit('/').next().unwrap_or(upload);
        fs::read(self.daemon.directory().join(UPLOADS).join(id)).ok()
    }
}

const UPLOADS: &str = "uploads";
