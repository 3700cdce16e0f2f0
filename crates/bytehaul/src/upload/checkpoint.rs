//! What another run needs to go on: a value to keep, and the file that it is kept in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytehaul_integrity::{Algorithm, Hasher};
use bytehaul_providers::{Saved, SessionId, Stage};
use bytehaul_storage::checkpoints::{self, CheckpointFile, Checkpoints};
use bytehaul_storage::source::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::session::blocking;
use crate::spec::Durability;
use crate::upload::error::UploadError;
use crate::upload::job::{Job, shown_target};
use crate::upload::spec::{CheckpointPlace, UploadSource};

/// How far an upload is, as a value: what [`UploadHandle::checkpoint`](crate::UploadHandle::checkpoint) gives and
/// [`UploadSpec::checkpoint`](crate::UploadSpec#structfield.checkpoint) takes.
///
/// It holds no credentials and no bytes, but what the server calls the session, which may be a URL that is all one needs to
/// write to it. Serialize it in any self-describing format (JSON, a document column); [`to_json`](Self::to_json) is
/// what bytehaul's own files hold. Fields may be added in later versions; a checkpoint of a version that is not known is not used.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Version of this form, now 1.
    pub version: u16,
    /// Name of the protocol.
    pub protocol: String,
    /// Where to, redacted.
    pub target: String,
    /// What tells the upload from others whose targets look the same when they are redacted, as a hash; `None` in those of
    /// earlier versions.
    #[serde(default)]
    pub identity: Option<String>,
    /// What the source is: an absolute path, or the name that was given to bytes or a reader.
    pub source: String,
    /// What the source looked like.
    pub fingerprint: Fingerprint,
    /// CRC-32C of a source in memory, of which the fingerprint tells the length alone.
    #[serde(default)]
    pub content: Option<u32>,
    /// Whether the source was found to look different since the session was begun: from then on, what the server has beyond
    /// the receipts is not believed to be of it.
    #[serde(default)]
    pub source_changed: bool,
    /// Length of the source in bytes, once it is known.
    pub total: Option<u64>,
    /// When the session was begun, in seconds since 1970.
    pub begun_at: u64,
    /// When this was written, in seconds since 1970.
    pub updated_at: u64,
    /// The session.
    pub session: Saved,
}

impl Checkpoint {
    /// Bytes of parts that the server has answered for.
    pub fn acknowledged(&self) -> u64 {
        let sizes = self.session.parts.iter().map(|part| part.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Whether the server may hold something of this session that is not an object yet.
    pub fn is_open(&self) -> bool {
        match self.session.stage {
            Stage::Complete | Stage::Aborted => false,
            Stage::Beginning | Stage::Sending | Stage::Committing => true,
            // What a later version may add: better asked about once more than forgotten.
            _ => true,
        }
    }

    /// Whether it is one of the upload that is told from others by `identity` and goes to `target`, for all that both say:
    /// one of an earlier version does not, nor does a target of which no more is known than what is shown of it, as in a list
    /// of records.
    pub(crate) fn may_be_of(&self, identity: &str, target: &str) -> bool {
        let ours = self.identity.as_ref();
        ours.is_none_or(|ours| *ours == hashed(identity)) || shown_target(target) == target
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, numbers and lists are JSON")
    }

    /// From JSON.
    ///
    /// # Errors
    /// It is no checkpoint, or one of a version that is not known.
    pub fn from_json(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let checkpoint: Self = serde_json::from_slice(bytes).map_err(CheckpointError::Form)?;
        if checkpoint.version != VERSION {
            return Err(CheckpointError::Version(checkpoint.version));
        }
        Ok(checkpoint)
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("protocol", &self.protocol)
            .field("target", &self.target)
            .field("source", &self.source)
            .field("total", &self.total)
            .field("stage", &self.session.stage)
            .field("acknowledged", &self.acknowledged())
            .finish_non_exhaustive()
    }
}

/// Why bytes are no checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not the JSON of one.
    #[error("not a checkpoint")]
    Form(#[source] serde_json::Error),
    /// Written by a version that this one does not know.
    #[error("a checkpoint of version {0}, which is not known")]
    Version(u16),
}

/// The file of one upload's checkpoint, if it has one. Holding it keeps other processes away from the same upload.
#[derive(Debug)]
pub(crate) struct Keeper {
    file: Option<Held>,
}

/// Used by one blocking call at a time; gone once the checkpoint has been removed.
type Held = Arc<Mutex<Option<CheckpointFile>>>;

impl Keeper {
    /// No file.
    pub(crate) fn none() -> Self {
        Self { file: None }
    }

    pub(crate) async fn open(
        place: &CheckpointPlace,
        source: &UploadSource,
        identity: String,
        durability: Durability,
    ) -> Result<Self, UploadError> {
        let kept = stored(durability);
        let file = match (place, source) {
            (CheckpointPlace::Nowhere, _) => return Ok(Self::none()),
            (CheckpointPlace::Directory(directory), _) => {
                let place = Checkpoints::in_directory(directory).durability(kept);
                blocking(move || place.claim(&identity)).await?
            }
            (CheckpointPlace::Record(path), _) => {
                let path = path.clone();
                let claim = move || {
                    let directory = path.parent().unwrap_or(Path::new("."));
                    let place = Checkpoints::in_directory(directory).durability(kept);
                    place.claim_named(path.file_name().unwrap_or_default())
                };
                blocking(claim).await?
            }
            (CheckpointPlace::BesideSource, UploadSource::File(path)) => {
                let path = path.clone();
                let mut file = blocking(move || checkpoints::beside(&path)).await?;
                file.set_durability(kept);
                file
            }
            (CheckpointPlace::BesideSource, _) => {
                let reason = "only a file has a place beside it";
                return Err(UploadError::parameter("checkpoints", reason));
            }
        };
        Ok(Self {
            file: Some(Arc::new(Mutex::new(Some(file)))),
        })
    }

    /// Keeps a checkpoint beside the upload's own, which is another one from now on: nothing else tells of its session.
    /// Where the application keeps checkpoints, it has this one.
    pub(crate) async fn set_aside(job: &Job, left: &Checkpoint) -> Result<(), UploadError> {
        let directory = match (&job.place, &job.source) {
            (CheckpointPlace::Directory(directory), _) => directory,
            (CheckpointPlace::Record(path), _)
            | (CheckpointPlace::BesideSource, UploadSource::File(path)) => {
                path.parent().unwrap_or(Path::new("."))
            }
            (CheckpointPlace::Nowhere | CheckpointPlace::BesideSource, _) => return Ok(()),
        };
        let place = Checkpoints::in_directory(directory).durability(stored(job.durability));
        // The same session has the same name, however often it could not be discarded.
        let session = left.session.session.as_ref().map_or("", SessionId::as_str);
        let identity = match left.identity == Some(hashed(&job.identity)) {
            true => job.identity.clone(),
            false => format!("{} {} {}", left.protocol, left.target, left.source),
        };
        let key = format!("{identity}{SET_ASIDE}{}", hashed(session));
        let bytes = left.to_json();
        let kept = blocking(move || place.claim(&key)?.save(&bytes)).await;
        match kept {
            // Somebody is about to discard it.
            Err(bytehaul_storage::Error::Locked { .. }) => Ok(()),
            kept => Ok(kept?),
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.file.is_some()
    }

    /// What is in the file. What cannot be used is told and passed over.
    pub(crate) async fn load(&self) -> Result<Option<Checkpoint>, UploadError> {
        let load = |file: &mut Option<CheckpointFile>| match file {
            Some(file) => file.load(),
            None => Ok(None),
        };
        let Some(bytes) = self.with(load).await? else {
            return Ok(None);
        };
        match Checkpoint::from_json(&bytes) {
            Ok(checkpoint) => Ok(Some(checkpoint)),
            Err(error) => {
                bytehaul_log::warn!(%error, "the checkpoint of an earlier run is not used");
                Ok(None)
            }
        }
    }

    pub(crate) async fn save(&self, checkpoint: &Checkpoint) -> Result<(), UploadError> {
        if !self.is_there() {
            return Ok(());
        }
        let bytes = checkpoint.to_json();
        let save = move |file: &mut Option<CheckpointFile>| match file {
            Some(file) => file.save(&bytes),
            None => Ok(()),
        };
        self.with(save).await
    }

    /// Removes the file and gives its place free.
    pub(crate) async fn remove(&self) -> Result<(), UploadError> {
        let remove = |file: &mut Option<CheckpointFile>| match file.take() {
            Some(file) => file.remove(),
            None => Ok(()),
        };
        self.with(remove).await
    }

    async fn with<T: Default + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Option<CheckpointFile>) -> Result<T, bytehaul_storage::Error>
        + Send
        + 'static,
    ) -> Result<T, UploadError> {
        let Some(held) = self.file.clone() else {
            return Ok(T::default());
        };
        let done = move || work(&mut held.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(blocking(done).await?)
    }
}

fn stored(durability: Durability) -> bytehaul_storage::Durability {
    match durability {
        Durability::PowerCut => bytehaul_storage::Durability::PowerCut,
        Durability::Kill => bytehaul_storage::Durability::Kill,
    }
}

/// The identity of the upload whose checkpoint has this key.
pub(crate) fn identity_of(key: &str) -> &str {
    key.rsplit_once(SET_ASIDE).map_or(key, |(before, _)| before)
}

/// What tells one upload from another, in a form that may be kept anywhere.
pub(crate) fn hashed(identity: &str) -> String {
    let digest = Hasher::digest(Algorithm::Sha256, identity.as_bytes());
    digest.hex()[..32].to_owned()
}

/// How the source is called in a checkpoint, and in what tells one upload from another.
pub(crate) fn source_name(source: &UploadSource, name: &str) -> String {
    match source {
        UploadSource::File(path) => absolute(path).display().to_string(),
        UploadSource::Bytes(_) | UploadSource::Reader(_) => name.to_owned(),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Stands in the key of a checkpoint that was set aside between the upload's identity and the session's.
const SET_ASIDE: &str = "\tleft\t";

/// The version of the form that is written.
pub(crate) const VERSION: u16 = 1;
