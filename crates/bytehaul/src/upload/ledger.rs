//! The uploads that were begun on this machine: their records in a directory, to be listed, discarded and tidied up.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytehaul_providers::UploadProtocol;
use bytehaul_storage::checkpoints::{CheckpointEntry, Checkpoints, EntryContent, state_dir};
use bytes::Bytes;

use crate::upload::checkpoint::{Checkpoint, identity_of};
use crate::upload::error::UploadError;
use crate::upload::job::shown_target;
use crate::upload::spec::{CheckpointPlace, UploadSource, UploadSpec};

/// The records of all uploads whose checkpoints are kept in one directory ([`CheckpointPlace::Directory`]). A record is
/// written before the request that opens a session, so that nothing is staged at a server that nobody knows of.
///
/// All calls block for as long as it takes to read or remove some small files.
///
/// ```no_run
/// use bytehaul::UploadLedger;
///
/// # fn list() -> Result<(), bytehaul::UploadError> {
/// let Some(ledger) = UploadLedger::of_user() else { return Ok(()) };
/// for record in ledger.list()? {
///     println!("{} {:?}", record.name.display(), record.checkpoint());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct UploadLedger {
    checkpoints: Checkpoints,
}

/// One record, as [`UploadLedger::list`] found it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UploadRecord {
    /// Its name in the directory.
    pub name: OsString,
    /// Where it is.
    pub path: PathBuf,
    /// What tells its upload from others ([`UploadSpec::identity`]), where it can be read.
    pub identity: Option<String>,
    /// When it was written last, where the file system says.
    pub modified: Option<SystemTime>,
    /// Whether an upload is at work on it, in this process or in another one.
    pub in_use: bool,
    /// What is in it.
    pub content: RecordContent,
}

/// What a record tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RecordContent {
    /// How far the upload is.
    Saved(Box<Checkpoint>),
    /// Nothing yet: no request has been sent.
    Nothing,
    /// It is damaged, of a later version, of another user, or cannot be read; why, for a person to read.
    Unusable(String),
}

impl UploadLedger {
    /// The records in this directory, which need not exist.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self {
            checkpoints: Checkpoints::in_directory(directory),
        }
    }

    /// The records that the command keeps: those in `uploads` in the directory of bytehaul's state.
    ///
    /// That is `$BYTEHAUL_STATE_DIR`; else `bytehaul` in `$XDG_STATE_HOME`; else `~/.local/state/bytehaul`, on macOS
    /// `~/Library/Application Support/bytehaul`, on Windows `%LOCALAPPDATA%\bytehaul`. `None` when the environment names no home.
    pub fn of_user() -> Option<Self> {
        state_dir().map(|state| Self::in_directory(state.join(UPLOADS)))
    }

    /// The records below another directory of state than the user's.
    pub fn below(state: &Path) -> Self {
        Self::in_directory(state.join(UPLOADS))
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        self.checkpoints.directory()
    }

    /// Where uploads keep their checkpoints to be found here.
    pub fn place(&self) -> CheckpointPlace {
        CheckpointPlace::Directory(self.directory().to_owned())
    }

    /// All records, by name, those that are of no use among them. None if there is no directory.
    ///
    /// # Errors
    /// [`UploadError::Storage`] when the directory cannot be read.
    pub fn list(&self) -> Result<Vec<UploadRecord>, UploadError> {
        let found = self.checkpoints.list()?;
        Ok(found.into_iter().map(UploadRecord::new).collect())
    }

    /// What to give to [`Uploader::abort`](crate::Uploader::abort) to discard what the upload of a record has staged, and then
    /// the record. The source is not needed. Credentials and headers are in no record: they are added to the spec.
    ///
    /// # Errors
    /// [`UploadError::InvalidParameter`] when the record is not one of this protocol and target, or cannot be read. A target
    /// with secrets in it has to be the very one, or what the record shows of it.
    pub fn spec_to_abort(
        &self,
        record: &UploadRecord,
        protocol: Arc<dyn UploadProtocol>,
    ) -> Result<UploadSpec, UploadError> {
        let Some(checkpoint) = record.checkpoint() else {
            return Err(UploadError::parameter("record", "it cannot be read"));
        };
        let target = protocol.target();
        let is_so_shown =
            checkpoint.protocol == protocol.name() && checkpoint.target == shown_target(&target);
        let source = UploadSource::Bytes(Bytes::new());
        let spec = UploadSpec::new(source, protocol).name(&checkpoint.source);
        if !is_so_shown || !checkpoint.may_be_of(&spec.identity(), &target) {
            let reason = format!(
                "it is of an upload by {} to {}{}",
                checkpoint.protocol,
                checkpoint.target,
                if is_so_shown {
                    ", with other values"
                } else {
                    ""
                }
            );
            return Err(UploadError::parameter("record", reason));
        }
        Ok(spec.checkpoints(CheckpointPlace::Record(record.path.clone())))
    }

    /// Removes a record by its name, whatever is in it. Nothing is sent: what its upload has staged stays at the server.
    ///
    /// # Errors
    /// [`UploadError::Storage`]: there is none of that name, an upload is at work on it, or it cannot be removed.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> Result<(), UploadError> {
        Ok(self.checkpoints.remove(name)?)
    }

    /// Removes the records of uploads that are complete and were so before this moment, and says how many. Those in use, and those
    /// that cannot be removed, stay.
    ///
    /// # Errors
    /// [`UploadError::Storage`] when the directory cannot be read.
    pub fn prune(&self, before: SystemTime) -> Result<usize, UploadError> {
        let mut removed = 0;
        for record in self.list()? {
            let is_old = |record: &UploadRecord| record.modified.is_some_and(|at| at < before);
            let is_over = |checkpoint: &Checkpoint| !checkpoint.is_open();
            if record.in_use || !is_old(&record) || !record.checkpoint().is_some_and(is_over) {
                continue;
            }
            // Claimed and read once more: another run may have begun it anew in between.
            let Ok(file) = self.checkpoints.claim_named(&record.name) else {
                continue;
            };
            let Ok(Some(bytes)) = file.load() else {
                continue;
            };
            let still = Checkpoint::from_json(&bytes).is_ok_and(|checkpoint| is_over(&checkpoint));
            removed += usize::from(still && file.remove().is_ok());
        }
        Ok(removed)
    }
}

impl UploadRecord {
    fn new(entry: CheckpointEntry) -> Self {
        let identity = entry.key().map(|key| identity_of(key).to_owned());
        let content = match entry.content {
            EntryContent::Saved { bytes, .. } => match Checkpoint::from_json(&bytes) {
                Ok(checkpoint) => RecordContent::Saved(Box::new(checkpoint)),
                Err(error) => RecordContent::Unusable(error.to_string()),
            },
            EntryContent::Nothing => RecordContent::Nothing,
            EntryContent::Unusable(why) => RecordContent::Unusable(why),
            other => RecordContent::Unusable(format!("{other:?}")),
        };
        Self {
            name: entry.name,
            path: entry.path,
            identity,
            modified: entry.modified,
            in_use: entry.in_use,
            content,
        }
    }

    /// How far the upload is, where it can be read.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        match &self.content {
            RecordContent::Saved(checkpoint) => Some(checkpoint),
            RecordContent::Nothing | RecordContent::Unusable(_) => None,
        }
    }
}

/// Below the directory of state.
const UPLOADS: &str = "uploads";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytehaul_providers::{Saved, Stage};
    use bytehaul_storage::source::Fingerprint;

    use super::*;
    use crate::upload::checkpoint::VERSION;

    fn saved(ledger: &UploadLedger, key: &str, stage: Stage) {
        let mut session = Saved::default();
        session.stage = stage;
        let checkpoint = Checkpoint {
            source_changed: false,
            version: VERSION,
            protocol: "put".into(),
            target: "http://h/".into(),
            source: key.into(),
            identity: None,
            content: None,
            fingerprint: Fingerprint::of_bytes(0),
            total: None,
            begun_at: 0,
            updated_at: 0,
            session,
        };
        let mut file = ledger.checkpoints.claim(key).unwrap();
        file.save(&checkpoint.to_json()).unwrap();
    }

    #[test]
    fn only_old_records_of_complete_uploads_are_pruned() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = UploadLedger::below(dir.path());
        assert_eq!(ledger.prune(SystemTime::now()).unwrap(), 0);
        for (key, stage) in [
            ("open", Stage::Sending),
            ("doubtful", Stage::Committing),
            ("done", Stage::Complete),
            ("busy", Stage::Complete),
        ] {
            saved(&ledger, key, stage);
        }
        std::fs::write(dir.path().join("uploads/x.bytehaul-upload"), "junk").unwrap();
        let hour = Duration::from_secs(3600);
        assert_eq!(ledger.prune(SystemTime::now() - hour).unwrap(), 0);
        let busy = ledger.checkpoints.claim("busy").unwrap();
        assert_eq!(ledger.prune(SystemTime::now() + hour).unwrap(), 1);
        drop(busy);
        let left = ledger.list().unwrap();
        let left: Vec<_> = left
            .iter()
            .map(|record| record.checkpoint().map(|it| it.source.as_str()))
            .collect();
        assert_eq!(left.len(), 4);
        for key in ["open", "doubtful", "busy"] {
            assert!(left.contains(&Some(key)), "{left:?}");
        }
        assert!(left.contains(&None));
    }
}
