//! A disk that fails, dawdles or is meddled with at a chosen change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytehaul_integrity::Algorithm;

use super::{claim, filled, object};
use crate::witness::{Change, Name, Witness};
use crate::{Allocation, Budget, Conflict, Error, Resume, StartOptions, Writer};

/// Fails one kind of change from its n-th time on, or makes each slow.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) kind: Kind,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) with: io::ErrorKind,
    pub(super) seen: AtomicUsize,
    pub(super) target: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    WritePart,
    SyncPart,
    WriteControl,
    Publish,
    SyncDirectory,
    RemoveControl,
    SlowWrite,
    PanicAtWrite,
    TargetAppears,
    ClaimMeanwhile,
}

pub(super) fn broken(kind: Kind, from: usize, with: io::ErrorKind) -> Arc<Broken> {
    Arc::new(Broken {
        kind,
        from,
        to: usize::MAX,
        with,
        seen: AtomicUsize::new(0),
        target: None,
    })
}

impl Witness for Broken {
    fn before(&self, change: Change<'_>) -> io::Result<()> {
        use Change::{Remove, Rename, Sync, SyncDirectory, Write};
        let hit = match (self.kind, change) {
            (
                Kind::SlowWrite,
                Write {
                    name: Name::Part, ..
                },
            ) => {
                std::thread::sleep(Duration::from_millis(1));
                false
            }
            (
                Kind::TargetAppears,
                Rename {
                    to: Name::Target, ..
                },
            ) => {
                // In the last instant, when all looks before the rename are over.
                std::fs::write(
                    self.target.as_deref().expect("set by the test"),
                    "somebody else's",
                )?;
                false
            }
            // The target has its name, and its clean-up is still to come.
            (Kind::ClaimMeanwhile, SyncDirectory) => {
                let target = self.target.as_deref().expect("set by the test");
                let claimed = crate::claim(target, Conflict::Overwrite, Resume::Continue);
                assert!(matches!(claimed, Err(Error::Locked { .. })), "{claimed:?}");
                true
            }
            (
                Kind::WritePart | Kind::PanicAtWrite,
                Write {
                    name: Name::Part, ..
                },
            )
            | (Kind::SyncPart, Sync(Name::Part))
            | (Kind::SyncDirectory, SyncDirectory)
            | (Kind::RemoveControl, Remove(Name::Control))
            | (
                Kind::WriteControl,
                Write {
                    name: Name::ControlNew,
                    ..
                },
            )
            | (
                Kind::Publish,
                Rename {
                    to: Name::Target, ..
                },
            ) => true,
            (_, _) => false,
        };
        let seen = if hit {
            self.seen.fetch_add(1, Ordering::Relaxed)
        } else {
            return Ok(());
        };
        assert!(
            self.kind != Kind::PanicAtWrite || seen < self.from,
            "a panic in the midst of writing"
        );
        if (self.from..self.to).contains(&seen) {
            Err(self.with.into())
        } else {
            Ok(())
        }
    }

    fn after(&self, _change: Change<'_>) {}
}

pub(super) fn start(target: &Path, witness: &Arc<Broken>, len: u64) -> Writer {
    let options = StartOptions {
        len: Some(len),
        piece_size: 4096,
        allocation: Allocation::None,
        save_every: Duration::from_secs(60),
        digest: Some(Algorithm::Crc32c.into()),
        ..StartOptions::default()
    };
    claim(target, witness).start(options).unwrap()
}

pub(super) async fn submit(writer: &Writer, from: u64, len: u64) {
    writer.submit(
        from,
        filled(&Budget::default(), &object(0, from..from + len)).await,
    );
}

pub(super) fn durable_after(target: &Path) -> u64 {
    let claim = crate::claim(target, Conflict::Refuse, Resume::Continue).unwrap();
    claim.left().map_or(0, |left| {
        left.durable
            .iter()
            .map(|range| range.end - range.start)
            .sum()
    })
}
