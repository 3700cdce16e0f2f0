//! What is particular to failed uploads: what to do about them, and that nobody knows is a verdict of its own.

use bytehaul::protocol::UploadProtocol;
use bytehaul::{ErrorKind, UploadError};

use super::{DISK_FULL, Failure, Kept, LOCKED, kind_word, text};
use crate::exit::Exit;
use crate::job::provider::Provider;
use crate::job::put::OnSignal;

/// What a hint depends on beside the error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Circumstances {
    pub(crate) kept: Kept,
    pub(crate) stop: OnSignal,
    /// Whether another run asks the server how far this one came.
    pub(crate) is_resumable: bool,
    pub(crate) access: Access,
}

/// What an upload is let in with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// What the command was given: headers, a token, a password.
    Given,
    /// Every request is signed already, so that credentials are of no use.
    Presigned,
    /// A provider's credentials, by the environment.
    Provider,
}

impl Access {
    /// That of a protocol.
    pub(crate) fn of(protocol: &dyn UploadProtocol) -> Self {
        match (protocol.endpoint(), Provider::named(protocol.name())) {
            (_, Some(_)) => Self::Provider,
            // Under a token, and not by a signed URL.
            (None, None) if protocol.target().starts_with("gs") => Self::Provider,
            (Some(_), None) => Self::Given,
            (None, None) => Self::Presigned,
        }
    }
}

impl Failure {
    /// The same of an object that a provider's credentials are asked for.
    pub(crate) fn of_provider(mut self) -> Self {
        if self.exit == Exit::Server {
            self.hint = Some(PROVIDER);
        }
        self
    }

    /// What to say of `error`, which ended the upload to `url`.
    pub(crate) fn upload(url: &str, error: &UploadError, of: Circumstances) -> Self {
        let (kind, exit) = match error.code() {
            // The network is the cause, but that the object may be there is what counts.
            INDETERMINATE => ("indeterminate", Exit::Other),
            _ => (kind_word(error.kind()), error.kind().into()),
        };
        Self {
            text: text(url, error),
            hint: hint(error, of),
            code: error.code(),
            kind,
            exit,
        }
    }
}

/// What to do about it, where something can be done.
fn hint(error: &UploadError, of: Circumstances) -> Option<&'static str> {
    match (error.code(), error.kind()) {
        (DISK_FULL, _) => Some("free some space and run the same command again"),
        (SOURCE_MISSING, _) => Some("check the path of the file"),
        (SOURCE_CHANGED, _) => Some(
            "run the same command again when nobody writes to the file: what has changed is sent again",
        ),
        (LOCKED, _) if of.stop == OnSignal::Discard => {
            Some("another upload of stdin to this URL is running; tell them apart with --name")
        }
        (LOCKED, _) => Some("wait for the other upload of this file to end"),
        (INDETERMINATE, _) if of.is_resumable => {
            Some("run the same command again, which asks the server what it has")
        }
        (INDETERMINATE, _) => {
            Some("look whether the object is there; if it is not, run the same command again")
        }
        (UNPARSED | BAD_CURSOR, _) => {
            Some("the server may speak another protocol; choose one with --protocol")
        }
        (_, ErrorKind::RemoteChanged) => Some(
            "nothing was replaced; without --no-overwrite an object that is there is, and --no-resume begins anew",
        ),
        (_, ErrorKind::Integrity) => {
            Some("the object was not completed; check the value, and that it is the right file")
        }
        (_, ErrorKind::Server) => match error.status().map(|status| status.as_u16()) {
            Some(400..=404) if of.access == Access::Provider => Some(PROVIDER),
            Some(401 | 403) if of.access == Access::Presigned => Some(
                "the signed URLs may have expired; run it again with a new plan for the same upload",
            ),
            Some(401 | 403) => Some("give credentials with -H, BYTEHAUL_BEARER or .netrc"),
            Some(404 | 405 | 410 | 501) => {
                Some("check the URL, and with --protocol that the server speaks it")
            }
            Some(413) => Some("the server takes no files of this size"),
            Some(_) | None => None,
        },
        (_, ErrorKind::Network) => match of.kept {
            Kept::Something => Some("run the same command again to resume"),
            Kept::Nothing => None,
        },
        (_, ErrorKind::Internal) => Some("this is a bug in bytehaul; what the server has is kept"),
        _ => None,
    }
}

/// What to do where a provider refuses.
pub(crate) const PROVIDER: &str = "check the name, the credentials and what they allow, the region and the endpoint: docs/cli.md has the variables";

// Stable numbers of the library: see `UploadError::code`.
const UNPARSED: u16 = 113;
const BAD_CURSOR: u16 = 114;
const SOURCE_MISSING: u16 = 115;
const SOURCE_CHANGED: u16 = 122;
const INDETERMINATE: u16 = 130;
