//! Whether the file at a target is the one that a stored download was to make: a process may die between giving it its name
//! and writing that down.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytehaul_integrity::{Digest, Hasher};

use super::recipe::{DownloadRecipe, Recipe};
use crate::manager::outcome::Completion;

/// What a download was to make, where that can be told from anything else.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    path: PathBuf,
    digest: Digest,
}

impl Expected {
    /// Only what has a checksum and a name of its own can be proven.
    pub(super) fn of(recipe: &Recipe) -> Option<Self> {
        let Recipe::Download(
            recipe @ DownloadRecipe {
                overwrite: false, ..
            },
        ) = recipe
        else {
            return None;
        };
        let path = recipe.output_path.clone()?;
        let digest = recipe.spec().ok()?.checksum?.digest().ok()?;
        Some(Self { path, digest })
    }

    /// Reads the file. `None`: it is another one, or cannot be read.
    pub(super) fn find(self) -> Option<Completion> {
        let bytes = has(&self.path, &self.digest).unwrap_or_else(|error| {
            bytehaul_log::warn!(%error, "what is at a target could not be read");
            None
        })?;
        Some(Completion {
            bytes,
            moved: 0,
            resumed_from: bytes,
            path: Some(self.path),
            location: None,
            etag: None,
            payload: None,
            digest: Some(self.digest.to_string()),
            retries: 0,
            elapsed: Duration::ZERO,
        })
    }
}

/// The length of a file that has this digest.
fn has(path: &Path, digest: &Digest) -> io::Result<Option<u64>> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; 256 << 10];
    let mut len = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => {
                hasher.update(&buffer[..read]);
                len += read as u64;
            }
        }
    }
    Ok((hasher.finish() == *digest).then_some(len))
}
